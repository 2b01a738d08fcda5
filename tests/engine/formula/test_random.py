"""Random formulas over the whole table: every backend agrees, and simplifying changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
from cases import DTYPES
from formulas import grow, leaves, tensor
from helpers import analyse, assert_close, check
from hypothesis import given
from hypothesis import strategies as st

from georeduce.engine.backends._base import Task
from georeduce.engine.formula import ops as o
from georeduce.engine.formula.expr import PAIR, Expr, constant, postorder
from georeduce.engine.formula.ops import OPS
from georeduce.engine.formula.rewrite import simplify
from georeduce.engine.methods import build

COUNT, DEPTH = 48, 4
REDUCTIONS = ("sum", "max", "logsumexp", "min_argmin")
# A random formula may be large where float32 ends, or jump where its arguments are unclear.
UNCLEAR = 1.0


def formulas() -> list[Expr]:
    """Return formulas that are the same on every run, or nothing would be found in the cache."""
    rng = np.random.default_rng(2024)
    found: list[Expr] = []
    while len(found) < COUNT:
        e = grow(lambda n: int(rng.integers(n)), DEPTH, 1 + len(found) % 5)
        if e.axes == PAIR and e not in found:
            found.append(e)
    return found


FORMULAS = formulas()
CASES = [
    pytest.param(e, REDUCTIONS[n % 4], DTYPES[n // 4 % 2], id=f"{n}-{REDUCTIONS[n % 4]}")
    for n, e in enumerate(FORMULAS)
]


def tasks() -> list[list[Task]]:
    """Return what this module compiles."""
    rng = np.random.default_rng(0)
    made = []
    for case in CASES:
        e, reduction, dtype = case.values
        made.append(build(tensor(e, rng, 2, 3, dtype), reduction, "j")[0])  # type: ignore[arg-type]
    return [made]


@pytest.mark.parametrize(("e", "reduction", "dtype"), CASES)
def test_backends_agree(
    e: Expr, reduction: str, dtype: str, backend: str, rng: np.random.Generator
) -> None:
    for M, N in ((7, 1), (5, 37), (2, 0)):
        check(tensor(e, rng, M, N, dtype), reduction, backend=backend, unclear=UNCLEAR)


def test_most_values_are_clear() -> None:
    """The test above says something: of most values, the analysis knows where they must be."""
    rng = np.random.default_rng(1)
    shares = []
    for e in FORMULAS:
        shape = {"i": (7, 1), "j": (1, 37), "p": (1, 1)}
        points = {
            leaf: rng.uniform(-2, 2, (*shape[leaf.params[0]], leaf.dim))
            for leaf in postorder(e)
            if leaf.is_variable
        }
        ((value, error),) = analyse([e], points, "float32")
        clear = (error <= 1e-2 * np.abs(value)) | (error == 0)
        shares.append((clear & np.isfinite(value)).mean())
    assert np.mean(shares) > 0.75


def test_most_operations_occur() -> None:
    used = {n.op.name for e in FORMULAS for n in postorder(e) if n.op is not None}
    primitive = {name for name, op in OPS.items() if op.expand is None}
    assert len(used) > 0.7 * len(primitive)


@given(data=st.data(), depth=st.integers(1, 5), dim=st.integers(1, 5))
def test_simplify_keeps_the_formula(data: st.DataObject, depth: int, dim: int) -> None:
    e = grow(lambda n: data.draw(st.integers(0, n - 1)), depth, dim)
    simple = simplify(e)
    assert (simple.dim, simple.kind) == (e.dim, e.kind)
    assert simple.axes & ~e.axes == 0, "an axis came from nowhere"
    assert simplify(simple) is simple
    rng = np.random.default_rng(0)
    points = {leaf: rng.uniform(-2, 2, (50, leaf.dim)) for leaf in leaves(dim)}
    (value, error), (other, other_error) = analyse([e, simple], points, "float64")
    value, other = np.asarray(value, float), np.asarray(other, float)
    bound = np.broadcast_to(np.asarray(error) + other_error, np.broadcast(value, other).shape)
    # a rule may give a number where the left side is not defined: x log(x) at 0
    other = np.where(np.isfinite(value), other, value)
    assert_close(*np.broadcast_arrays(other, value), bound, unclear=1)


def test_simplify_uses_the_rules() -> None:
    x = leaves(3)[1]
    e = o.log(o.exp(o.add(o.mul(x, constant(1)), constant(0))))
    assert simplify(e) is x
