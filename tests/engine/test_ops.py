"""Every entry of the table of operations against a meaning of its own, written here.

One kernel tests an operation in one dtype: the results for arguments of each axis (rows, columns,
parameters, pairs) and of each combination of dimensions are concatenated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import mpmath
import numpy as np
import pytest
from cases import DTYPES
from helpers import Array, assert_close, sum_error, tensor_values

from experiments import optable
from georeduce.engine import LazyTensor, Pm, Vi, Vj, concatenate
from georeduce.engine.backends._base import Task
from georeduce.engine.formula.ops import OPS, Op
from georeduce.engine.formula.reductions import REDUCTIONS
from georeduce.engine.lazy import apply
from georeduce.engine.methods import build, reduce

D, M, N = 3, 3, 40


def each(meaning: Callable[..., Any]) -> Callable[..., Array]:
    """Return a function of arrays from one of numbers, which are exact to 30 digits."""

    def scalar(*args: Any) -> float:
        exact = (a if isinstance(a, bool | np.bool_) else mpmath.mpf(float(a)) for a in args)
        with mpmath.workdps(30):
            return float(meaning(*exact))

    return np.vectorize(scalar, otypes=[float])


def fraction(meaning: Callable[..., Fraction]) -> Callable[..., Array]:
    """Return a function of arrays from one of rational numbers."""
    return np.vectorize(lambda *args: float(meaning(*map(Fraction, args))), otypes=[float])


def rounded(x: Fraction, digits: int = 0) -> Fraction:
    return Fraction(round(x * Fraction(10) ** int(digits))) / Fraction(10) ** int(digits)


def quadratic(x: Array, s: Array) -> Array:
    """Return the squared norm with scalar, diagonal or full weights."""
    n = x.shape[-1]
    if s.shape[-1] == n * n and n > 1:
        return np.einsum("...a,...ab,...b->...", x, s.reshape(*s.shape[:-1], n, n), x)[..., None]
    return (s * x**2).sum(-1, keepdims=True)


def matrix(a: Array, rows: int) -> Array:
    return a.reshape(*a.shape[:-1], rows, -1)


mp = mpmath
MEANINGS: dict[str, Callable[..., Any]] = {
    # arithmetic
    "add": each(lambda x, y: x + y),
    "sub": each(lambda x, y: x - y),
    "mul": each(lambda x, y: x * y),
    "div": each(lambda x, y: x / y if y else mp.nan if not x else mp.sign(x) * mp.inf),
    "neg": each(lambda x: -x),
    "square": each(lambda x: x * x),
    "inv": each(lambda x: 1 / x),
    "abs": each(abs),
    "sign": each(mp.sign),
    "step": each(lambda x: x >= 0),
    "sqrt": each(mp.sqrt),
    "rsqrt": each(lambda x: 1 / mp.sqrt(x)),
    "pow": each(lambda x, y: mp.exp(y * mp.log(x))),
    "power": each(lambda x, n: x**n),
    "minimum": each(lambda x, y: y if y < x else x),
    "lesser": each(lambda x, y: x if x < y else y),
    "greater": each(lambda x, y: x if x > y else y),
    "maximum": each(lambda x, y: y if y > x else x),
    "floor": each(mp.floor),
    "ceil": each(mp.ceil),
    "rint": fraction(rounded),
    "round": fraction(rounded),
    "mod": fraction(lambda x, m, a: (x - a) % m + a),
    "relu": each(lambda x: x if x > 0 else 0),
    "clamp": each(lambda x, a, b: min(max(x, a), b)),
    # functions
    "exp": each(mp.exp),
    "expm1": each(mp.expm1),
    "log": each(mp.log),
    "log1p": each(lambda x: mp.log(1 + x)),
    "xlogx": each(lambda x: x * mp.log(x) if x else 0),
    "sin": each(mp.sin),
    "cos": each(mp.cos),
    "tan": each(mp.tan),
    "asin": each(mp.asin),
    "acos": each(mp.acos),
    "atan": each(mp.atan),
    "atan2": each(mp.atan2),
    "sinh": each(mp.sinh),
    "cosh": each(mp.cosh),
    "tanh": each(mp.tanh),
    "asinh": each(mp.asinh),
    "acosh": each(mp.acosh),
    "atanh": each(mp.atanh),
    "sinc": each(mp.sinc),
    "erf": each(mp.erf),
    "erfc": each(mp.erfc),
    "sigmoid": each(lambda x: 1 / (1 + mp.exp(-x))),
    "softplus": each(lambda x: mp.log(1 + mp.exp(x))),
    # truth
    "lt": each(lambda x, y: x < y),
    "le": each(lambda x, y: x <= y),
    "gt": each(lambda x, y: x > y),
    "ge": each(lambda x, y: x >= y),
    "eq": each(lambda x, y: x == y),
    "ne": each(lambda x, y: x != y),
    "logical_and": each(lambda x, y: x and y),
    "logical_or": each(lambda x, y: x or y),
    "logical_not": each(lambda x: not x),
    "where": each(lambda c, x, y: x if c else y),
    "ifelse": each(lambda c, x, y: x if c >= 0 else y),
    "truth": each(lambda x: 1 if x else 0),
    "to_index": each(lambda x: 1 if x else 0),
    "to_real": each(lambda x: x),
    "add_index": each(lambda x, y: x + y),
    # over the features
    "sum": lambda x: x.sum(-1, keepdims=True),
    "prod": lambda x: x.prod(-1, keepdims=True),
    "min": lambda x: np.sort(x, -1)[..., :1],
    "max": lambda x: np.sort(x, -1)[..., -1:],
    "argmin": lambda x: np.argsort(x, -1, kind="stable")[..., :1],
    "argmax": lambda x: np.argsort(-x, -1, kind="stable")[..., :1],
    "sqnorm2": lambda x: (x**2).sum(-1, keepdims=True),
    "norm2": lambda x: np.linalg.norm(x, axis=-1, keepdims=True),
    "normalize": lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True),
    "sqdist": lambda x, y: ((x - y) ** 2).sum(-1, keepdims=True),
    "dot": lambda x, y: (x * y).sum(-1, keepdims=True),
    "weightedsqnorm": quadratic,
    "weightedsqdist": lambda x, y, s: quadratic(x - y, s),
    # vectors
    "contract": lambda x, n, outer, inner: np.stack(
        [
            sum(x[..., k * outer + term * inner] for term in range(n))
            for k in range(x.shape[-1] // n)
        ],
        -1,
    ),
    "take": lambda x, start, step, n: np.stack([x[..., start + step * k] for k in range(n)], -1),
    "put": lambda x, start, step, n: np.stack(
        [
            x[..., list(range(start, -1 if step < 0 else n, step)).index(k)]
            if k in [start + step * at for at in range(x.shape[-1])]
            else 0 * x[..., 0]
            for k in range(n)
        ],
        -1,
    ),
    "elem": lambda x, i: x[..., [i]],
    "extract": lambda x, i, d: np.roll(x, -i, -1)[..., :d],
    "repeat": lambda x, n: np.stack([x] * n, -1).reshape(*x.shape[:-1], -1),
    "tile": lambda x, n: np.tile(x, (1,) * (x.ndim - 1) + (n,)),
    "concat": lambda x, y: np.concatenate([x, y], -1),
    "one_hot": lambda x, n: np.stack([np.round(x[..., 0]) == k for k in range(n)], -1),
    "matvecmult": lambda a, x: np.einsum(
        "...ab,...b->...a", matrix(a, a.shape[-1] // x.shape[-1]), x
    ),
    "vecmatmult": lambda x, a: np.einsum("...a,...ab->...b", x, matrix(a, x.shape[-1])),
    "tensorprod": lambda x, y: (x[..., :, None] * y[..., None, :]).reshape(*x.shape[:-1], -1),
}
"""What operations mean, written without the engine's table; the features are the last axis."""

PARAMS: dict[str, list[tuple[Any, ...]]] = {
    "power": [(0,), (2,), (3,), (-1,), (0.5,), (-1.5,), (2.7,), (66,)],
    "round": [(0,), (1,), (-1,)],
    "elem": [(0,), (-1,)],
    "extract": [(1, 2), (-2, 1)],
    "take": [(0, 1, 2), (2, -1, 3), (0, 2, 2)],
    "put": [(1, 2, 8), (5, -2, 6), (2, -1, 3), (0, 1, 4), (1, 1, 4)],
    "repeat": [(2,)],
    "tile": [(2,)],
    "contract": [(3, 3, 1), (2, 1, 3)],
    "one_hot": [(4,)],
}
"""Static parameters that are tried."""

DIMS: dict[str, list[tuple[int, ...]]] = {
    "matvecmult": [(6, 3), (3, 3), (2, 1)],
    "vecmatmult": [(3, 6), (3, 3), (1, 2)],
    "tensorprod": [(2, 3), (1, 2)],
    "weightedsqnorm": [(3, 1), (3, 3), (3, 9)],
    "weightedsqdist": [(3, 3, 1), (3, 3, 3), (3, 3, 9), (1, 3, 3)],
    "contract": [(6,)],
    "concat": [(3, 2), (1, 3)],
    "one_hot": [(1,)],
    "extract": [(4,)],
}
"""Dimensions of the arguments that are tried, where not all equal or one."""


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
    assert name in MEANINGS, f"write what {name!r} means in MEANINGS"
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
