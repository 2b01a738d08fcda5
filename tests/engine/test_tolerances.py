"""The bounds that other tests compare with hold, and are not so wide as to hold everything."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import EXPECT, Array, analyse, assert_close, check_indices, check_smallest, sum_error

from georeduce.engine.formula import derived as d
from georeduce.engine.formula import ops as o
from georeduce.engine.formula.evaluate import evaluate
from georeduce.engine.formula.expr import Expr, constant, variable

x, y = variable("i", 3, 0), variable("j", 3, 1)
FORMULAS = {
    "gaussian": o.exp(o.neg(d.sqdist(x, y))),
    "quotient": o.div(o.add(x, constant(3)), o.add(y, constant(3))),
    "cancellation": o.sub(o.exp(x), o.exp(x * constant(1) + y - y)),
    "cosine": d.dot(d.normalize(x), d.normalize(y)),
    "chain": o.sin(o.exp(o.cos(x * y))),
}


def points(rng: np.random.Generator) -> dict[Expr, Array]:
    return {
        x: rng.uniform(-2, 2, (200, 1, 3)).astype("float32"),
        y: rng.uniform(-2, 2, (1, 300, 3)).astype("float32"),
    }


@pytest.mark.parametrize("e", FORMULAS.values(), ids=FORMULAS)
def test_bounds_hold_and_are_near(e: Expr, rng: np.random.Generator) -> None:
    values = points(rng)
    ((exact, bound),) = analyse([e], values, "float32")
    error = np.abs(evaluate(e, values, np.dtype("float32")) - exact)
    assert (error <= bound).all()
    # Roundings seldom all point the same way, and functions keep fewer ulps than they may.
    assert np.median(bound) < 50 * np.median(error[error > 0])


def test_a_jump_is_unclear_where_rounding_decides_it() -> None:
    values = {x: np.float32([[0.1, 0.5, 0.9]]), y: np.float32([[0.1, 0.5, 0.9]])}
    third = o.div(x, constant(3))
    e = o.lt(o.mul(third, constant(3)), y)
    assert (analyse([e], values, "float32")[0][1] == 1).all()
    assert (analyse([o.lt(x, y)], values, "float32")[0][1] == 0).all()
    assert (analyse([o.floor(o.mul(third, constant(30)))], values, "float32")[0][1] == 1).any()


def test_overflow_is_unclear() -> None:
    values = {x: np.float32([[1.0, 80.0, 100.0]]), y: np.float32([[0.0] * 3])}
    _, bound = analyse([o.exp(x)], values, "float32")[0]
    assert np.isfinite(bound).tolist() == [[True, True, False]]
    assert np.isfinite(analyse([o.exp(x)], values, "float64")[0][1]).all()


@pytest.mark.parametrize("name", [n for n in EXPECT if n not in ("count", "any", "all")])
def test_a_result_that_is_off_is_refused(name: str, rng: np.random.Generator) -> None:
    v = rng.uniform(0.5, 1.5, (4, 100, 2))
    zero = np.zeros(v.shape)
    ((expected, bound),) = EXPECT[name](v, zero, 1 + v, zero, "float32")
    assert_close(expected, expected, bound)
    with pytest.raises(AssertionError, match="differ; first at"):
        assert_close(expected * (1 + 1e-3), expected, bound)


def test_sums_of_any_length_are_near() -> None:
    """Flushing bounds the error in float32, however many the terms."""
    assert sum_error("float32", 10**7) < 2 * sum_error("float32", 64)
    assert sum_error("float32", 3) < sum_error("float32", 64) / 10


def test_assert_close() -> None:
    one = np.array([1.0, np.inf, np.nan])
    assert_close(one, one, np.zeros(3))
    for other in ([1.0, np.inf, 0.0], [1.0, -np.inf, np.nan], [1.1, np.inf, np.nan]):
        with pytest.raises(AssertionError, match="1 of 3 differ"):
            assert_close(np.array(other), one, np.full(3, 0.01))
    with pytest.raises(AssertionError, match="beyond the analysis"):
        assert_close(one, one + 1, np.full(3, np.inf))


def test_indices() -> None:
    v = np.array([[3.0, 1.0, 1.0, np.nan], [np.nan] * 4, [np.nan, np.inf, np.inf, np.nan]])
    exact = np.zeros(v.shape)
    check_indices(np.array([1, -1, 1]), v, exact)
    for wrong in ([2, -1, 1], [0, -1, 1], [1, 0, 1], [1, -1, 0]):
        with pytest.raises(AssertionError):
            check_indices(np.array(wrong), v, exact)
    # within the errors, either will do
    check_indices(np.array([2, -1, 1]), v, np.array([[0, 1e-9, 1e-9, 0], [0] * 4, [0] * 4]))


def test_smallest() -> None:
    v = np.array([[3.0, 1.0, 1.0, np.nan]])
    exact = np.zeros(v.shape)
    good = {"values": np.array([[1, 1, 3, np.inf]]), "indices": np.array([[1, 2, 0, -1]])}
    check_smallest(good, v, exact, 4)
    for name, wrong in (
        ("values", [[1, 1, 3, 4]]),
        ("indices", [[2, 1, 0, -1]]),
        ("indices", [[1, 1, 0, -1]]),
        ("indices", [[1, 2, 0, 3]]),
    ):
        with pytest.raises(AssertionError):
            check_smallest(good | {name: np.array(wrong)}, v, exact, 4)
