"""Every entry of the table of operations against a meaning of its own (`meanings.py`).

One kernel tests an operation in one dtype: the results for arguments of each axis (rows, columns,
parameters, pairs) and of each combination of dimensions are concatenated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from cases import DTYPES
from helpers import Array, assert_close, sum_error, tensor_values
from meanings import DIMS, MEANINGS, PARAMS

from experiments import optable
from georeduce.engine import LazyTensor, Pm, Vi, Vj, concatenate
from georeduce.engine.backends._base import Task
from georeduce.engine.formula.ops import OPS, Op
from georeduce.engine.formula.reductions import REDUCTIONS
from georeduce.engine.lazy import apply
from georeduce.engine.methods import build, reduce

D, M, N = 3, 3, 40


@dataclass(frozen=True)
class Argument:
    """One argument: the axis it varies along, its kind, its dimension, and a number of its own."""

    axis: str
    kind: str
    dim: int
    n: int


class Points:
    """Arrays for arguments, drawn from an interval when first asked for; each has its own seed.

    Half of the numbers are multiples of 1/4: there comparisons tie, and rounding has edges.
    """

    def __init__(self, op: Op, dtype: str) -> None:
        self.op, self.dtype = op, dtype

    def array(self, a: Argument) -> Array:
        """Return the points of an argument, (M, 1, dim), (1, N, dim) or (1, 1, dim)."""
        low, high = self.op.domain
        rng = np.random.default_rng([ord(a.axis), a.dim, a.n])
        shape = {"i": (M, 1, a.dim), "j": (1, N, a.dim), "p": (1, 1, a.dim)}[a.axis]
        edges = np.arange(np.ceil(4 * low), np.floor(4 * high) + 1) / 4
        some = rng.random(shape) < 0.5
        return np.where(some, rng.choice(edges, shape), rng.uniform(low, high, shape)).astype(
            self.dtype
        )

    def value(self, a: Argument) -> Array:
        """Return what an argument is, in float64."""
        if a.axis == "b":  # of both: halfway between a row and a column
            x, y = (self.array(Argument(axis, a.kind, a.dim, a.n)) for axis in "ij")
            return (x.astype(np.float64) + y) / 2
        x = self.array(a).astype(np.float64)
        return x if a.kind == "real" else x > self.middle

    def tensor(self, a: Argument, batched: bool) -> LazyTensor:
        """Return the LazyTensor of an argument; batched columns are one each in a batch."""
        if a.axis == "b":
            x, y = (self.tensor(Argument(axis, a.kind, a.dim, a.n), batched) for axis in "ij")
            return (x + y) * 0.5
        x = self.array(a)
        if a.axis == "p":
            made = Pm(x[0, 0])
        elif a.axis == "i":
            made = Vi(x[:, 0])
        else:
            made = Vj(x[0, :, None] if batched else x[0])
        if a.kind == "real":
            return made
        above = made > self.middle
        return apply(OPS["to_index"], (above,)) if a.kind == "index" else above

    @property
    def middle(self) -> float:
        return sum(self.op.domain) / 2


def forms(op: Op) -> Iterator[tuple[tuple[Argument, ...], tuple[Any, ...]]]:
    """Yield the arguments and the parameters that an operation is tried with."""
    kinds = ["real" if kind in ("same", "any") else kind for kind in op.args]
    n = len(kinds)
    several = [(D,) * n] if n == 1 else [(D,) * n, (1, *(D,) * (n - 1)), (*(D,) * (n - 1), 1)]
    mixed = ("b",) if kinds == ["real"] else tuple("ijp"[:n])
    alone = [(axis,) * n for axis in "ijp"]
    for later_params, params in enumerate(PARAMS.get(op.name, [()])):
        for later_dims, dims in enumerate(DIMS.get(op.name, several)):
            # all placements once, then one for each further choice
            places = [mixed] if later_params or later_dims else [mixed, *alone, tuple("pji"[:n])]
            for axes in dict.fromkeys(places):
                each_one = enumerate(zip(axes, kinds, dims, strict=True))
                yield tuple(Argument(*one, k) for k, one in each_one), params


def tensor(name: str, dtype: str, batched: bool) -> LazyTensor:
    """Return all forms of an operation as one formula."""
    op = OPS[name]
    points = Points(op, dtype)
    parts = []
    for arguments, params in forms(op):
        parts.append(apply(op, [points.tensor(a, batched) for a in arguments], params))
    # so that the formula has rows and columns, if none of the arguments does
    nothing = Vi(np.zeros((M, 1), dtype)) * Vj(np.zeros((N, 1, 1) if batched else (N, 1), dtype))
    return concatenate([*parts, nothing])


@cache
def meaning(name: str, dtype: str) -> Array:
    """Return what the forms of an operation are for all pairs, (M, N, dims)."""
    assert name in MEANINGS, f"write what {name!r} means in tests/meanings.py"
    op = OPS[name]
    points = Points(op, dtype)
    parts = []
    for arguments, params in forms(op):
        args = [points.value(a) for a in arguments]
        lead = np.broadcast_shapes(*(a.shape[:-1] for a in args))
        args = [np.broadcast_to(a, (*lead, a.shape[-1])) for a in args]
        part = np.asarray(MEANINGS[name](*args, *params), np.float64)
        parts.append(np.broadcast_to(part, (M, N, part.shape[-1])))
    return np.concatenate([*parts, np.zeros((M, N, 1))], -1)


OPERATIONS = [(name, dtype) for name in OPS for dtype in DTYPES]


def tasks() -> list[list[Task]]:
    """Return what this module compiles."""
    return [[build(tensor(name, dtype, False), "sum", "j")[0] for name, dtype in OPERATIONS]]


@pytest.mark.parametrize(("name", "dtype"), OPERATIONS)
def test_each_value(name: str, dtype: str, backend: str) -> None:
    z = tensor(name, dtype, batched=True)
    result = reduce(z, "sum", "j", backend=backend)
    ((_, bound),), _ = tensor_values(z, "sum", "j")
    expected = meaning(name, dtype).transpose(1, 0, 2)
    # a division by zero or the like is beyond the analysis of errors, and rare
    assert_close(result, expected, bound[..., 0, :])


@pytest.mark.parametrize(("name", "dtype"), OPERATIONS)
def test_sum_of_values(name: str, dtype: str, backend: str) -> None:
    z = tensor(name, dtype, batched=False)
    result = reduce(z, "sum", "j", backend=backend)
    ((_, bound),), _ = tensor_values(z, "sum", "j")
    values = meaning(name, dtype)
    with np.errstate(invalid="ignore"):  # 0 / 0 is not a number, and inf - inf neither
        total, size = values.sum(1), np.abs(values).sum(1)
    # one value beyond the analysis makes a sum so
    assert_close(result, total, bound.sum(-2) + sum_error(dtype, N) * size, unclear=0.5)


# --- The table --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(OPS))
def test_entry_is_complete(name: str) -> None:
    op = OPS[name]
    ways = [op.expand is not None, op.index is not None, bool(op.fold), bool(op.code)]
    ways.append(op.parts is not None)
    assert ways.count(True) == 1, "an entry is one of: derived, index map, fold, code, parts"
    assert op.expand is not None or op.numpy is not None
    assert op.doc.endswith(".")
    assert op.domain[0] < op.domain[1]
    assert len(op.defaults) <= len(op.args) - 1 + len(op.params)
    assert bool(op.params) == (name in PARAMS), "write parameters to try in PARAMS"
    # folds over the features share the method with a reduction of that name; powers have their own
    if hasattr(LazyTensor, name) and name not in (*REDUCTIONS, "power"):
        assert op.doc in str(getattr(LazyTensor, name).__doc__)


def test_a_second_entry_of_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^Expected a new operation, but got 'exp' a second"):
        Op("exp", "Again.")


def test_readme_table_is_up_to_date() -> None:
    text = optable.README.read_text(encoding="utf-8")
    assert optable.updated(text) == text, "run: python -m experiments optable"
