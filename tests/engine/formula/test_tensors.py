"""Splines, products of tensors and sequences: against SciPy, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import eps
from scipy.interpolate import BSpline

from georeduce.engine import ArgumentError, LazyTensor, Pm, ShapeError, Vi, Vj
from georeduce.engine.formula import ops as o
from georeduce.engine.formula import tensors
from georeduce.engine.formula.evaluate import evaluate
from georeduce.engine.formula.expr import Expr, variable
from georeduce.engine.formula.grad import vjp

x_i, y_j = Vi(np.ones((4, 6))), Vj(np.ones((3, 6)))


@pytest.mark.parametrize("degree", range(4))
def test_splines_are_scipys(rng: np.random.Generator, degree: int) -> None:
    """Knots that coincide at the ends, as is usual, and one inside that stands twice."""
    knots = np.sort(rng.uniform(0, 1, 6))
    knots = np.concatenate([[0.0] * degree, [0.0], knots, knots[3:4], [1.0], [1.0] * degree])
    knots.sort()
    x = np.concatenate([rng.uniform(0, 1, 20), [0.0], knots[degree + 1 : degree + 4]])
    values = Pm(knots).bspline(Vi(x[:, None]), degree).sum(axis=1, backend="numpy")
    expected = BSpline.design_matrix(x, knots, degree).toarray()
    assert np.abs(values - expected).max() <= 10 * degree * eps("float64")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: x_i.keops_tensordot(y_j, [2, 2], [6], [], []), "dimfa of product 6, but got"),
        (lambda: x_i.keops_tensordot(y_j, [2, 3], [2, 3], [0], [1]), "contracted axes of equal"),
        (lambda: x_i.keops_tensordot(y_j, [2, 3], [2, 3], [2], [1]), r"contfa as axes of \(2, 3"),
        (lambda: x_i.keops_tensordot(y_j, 6, 6, [], [], [0, 2]), "permute as an order of 2 axes"),
        (lambda: x_i.keops_tensordot(y_j, [2.5], 6, [], []), "dimfa as integers"),
        (lambda: x_i.keops_kron(y_j, [2, 3], [6]), "dimfself and dimfother of as many axes"),
        (lambda: x_i.bspline(y_j), "x of dimension 1"),
        (lambda: x_i.bspline(y_j[0], 5), "k from 0 to the number of knots - 2"),
        (lambda: x_i.elem_t(5, 1), "x of dimension 1"),
        (lambda: x_i[0].elemT(5, 5), "places from 0 to 4"),
        (lambda: x_i.extract_t(1, 6), "places from 0 to 5 for 6 components"),
        (lambda: x_i[0].sum_t(0), "a positive dim"),
        (lambda: x_i.softdtw_sqdist(y_j, x_i), "gamma of dimension 1"),
        (lambda: x_i.sum_t(2), "x of dimension 1"),
    ],
)
def test_what_is_refused(call: Callable[[], Any], words: str) -> None:
    with pytest.raises((ArgumentError, ShapeError), match=f"Expected {words}"):
        call()


def test_lists_and_tuples_make_one_formula() -> None:
    as_lists = x_i.keops_tensordot(y_j, [2, 3], [3, 2], [1], [0])
    assert as_lists.expr is x_i.tensordot(y_j, (2, 3), (3, 2), 1, 0).expr


def test_hints_change_nothing() -> None:
    z = (x_i - y_j).exp()
    assert z.factorize(x_i - y_j).expr is z.expr
    assert z.auto_factorize().expr is z.expr
    assert isinstance(z.factorize(x_i), LazyTensor)


A, B, S = variable("i", 6, 0), variable("j", 6, 1), variable("p", 1, 2)
FORMULAS: dict[str, Expr] = {
    "permute": tensors.permute(o.square(A), (2, 3), (1, 0)),
    "scalar-permute": o.mul(S, tensors.permute(A, (1, 3, 2), (2, 0, 1))),
    "tensordot": tensors.keops_tensordot(A, o.square(B), (2, 3), (3, 2), (1,), (0,), (1, 0)),
    "kron": tensors.keops_kron(A, B, (2, 3), (3, 2)),
    "bspline": tensors.bspline(A, S, 2),
    "softdtw": tensors.softdtw_sqdist(A, B, S),
    "sum_t": tensors.sum_t(o.exp(S), 5),
    "elem_t": o.mul(tensors.extract_t(A, 1, 8), tensors.elem_t(S, 8, 3)),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_derivatives(name: str, rng: np.random.Generator) -> None:
    """Against differences; knots that coincide make no NaN."""
    e = FORMULAS[name]
    values = {A: np.sort(rng.uniform(0, 2, 6)), B: rng.uniform(0, 2, 6), S: np.array([0.9])}
    values[A][1] = values[A][0]
    g = variable("p", e.dim, 3)
    values[g] = rng.uniform(-1, 1, e.dim)
    wanted = (A, B, S)
    bars = [evaluate(bar, values, "float64") for bar in vjp(e, wanted, g)]
    h = eps("float64") ** (1 / 3)  # where rounding and curvature are about as bad
    for v, bar in zip(wanted, bars, strict=True):
        if name == "bspline" and v is A:  # knots move through x's neighbours: one side only
            assert np.isfinite(bar).all()
            continue
        slopes = []
        for k in range(v.dim):
            ends = []
            for sign in (-1, 1):
                moved = values[v] + sign * h * (np.arange(v.dim) == k)
                ends.append(evaluate(e, {**values, v: moved}, "float64") @ values[g])
            slopes.append((ends[1] - ends[0]) / (2 * h))
        scale = 1 + np.abs(slopes).max()
        assert np.abs(bar - slopes).max() <= 100 * h * h * scale
