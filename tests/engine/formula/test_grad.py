"""Derivatives of formulas: every operation by finite differences, and closed forms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from formulas import PARAMS
from slopes import Array, assert_slope, slope

from georeduce.engine.errors import ArgumentError, ShapeError
from georeduce.engine.formula import derived as d
from georeduce.engine.formula import ops as o
from georeduce.engine.formula.evaluate import evaluate
from georeduce.engine.formula.expr import Expr, constant, variable, variables
from georeduce.engine.formula.grad import (
    diff,
    divergence,
    grad,
    grad_matrix,
    jvp,
    laplacian,
    trace_operator,
    vjp,
)
from georeduce.engine.formula.op import Op
from georeduce.engine.formula.ops import OPS
from georeduce.engine.formula.rewrite import simplify

POINTS = 5
MADE = {"put": (1, 2, 8), "power": (3,), "permute": ((1, 3), (1, 0))}


def result_of(op: Op, dims: Sequence[int]) -> Expr | None:
    """Return an operation on variables of some dimensions, None if it does not take them."""
    args = []
    for n, (kind, dim) in enumerate(zip(op.args, dims, strict=True)):
        v = variable("i", dim, n)
        args.append(o.gt(v, constant(0)) if kind == "boolean" else v)
    if op.name in MADE:
        params: tuple[Any, ...] = MADE[op.name]
    else:
        params = PARAMS[op.name](lambda n: n // 2, dims[0]) if op.name in PARAMS else ()
    try:
        return op(*args, *params)
    except (ShapeError, ArgumentError):
        return None


def cases() -> list[Any]:
    """Return every operation on vectors, and on vectors and scalars in each place."""
    found = []
    for op in OPS.values():
        if "index" in op.args:
            continue
        n = len(op.args)
        shapes = {(3,) * n, *((1,) * k + (3,) * (n - k) for k in range(n + 1))}
        shapes |= {(3,) * k + (1,) * (n - k) for k in range(n + 1)} | {(6, 3)[:n], (3, 6)[:n]}
        for dims in sorted(shapes):
            e = result_of(op, dims) if len(dims) == n else None
            if e is not None and e.kind == "real":
                found.append(pytest.param(op, e, id=f"{op.name}-{dims}"))
    return found


def points_of(op: Op, e: Expr, rng: np.random.Generator) -> dict[Expr, Array]:
    low, high = op.domain
    pad = 0.05 * (high - low)  # not at an end, where finite differences would leave the domain
    dims = {v: v.dim for v in variables(e)}
    return {v: rng.uniform(low + pad, high - pad, (POINTS, dim)) for v, dim in dims.items()}


def value(e: Expr, points: dict[Expr, Array]) -> Array:
    return np.broadcast_to(evaluate(e, points, np.dtype(np.float64)), (POINTS, e.dim))


def moved(points: dict[Expr, Array], by: dict[Expr, Array], h: float) -> dict[Expr, Array]:
    return {v: a + h * by[v] if v in by else a for v, a in points.items()}


def along(e: Expr, points: dict[Expr, Array], tangents: dict[Expr, Array]) -> Array:
    """Return the slope of the sum of all components in a direction."""
    return slope(lambda h: value(e, moved(points, tangents, h)).sum(-1))


def paired(bars: Sequence[Expr], tangents: dict[Expr, Array], points: dict[Expr, Array]) -> Array:
    """Return the products of gradients and a direction."""
    pairs = zip(bars, tangents.values(), strict=True)
    return np.sum([(value(b, points) * t).sum(-1) for b, t in pairs], axis=0)


@pytest.mark.parametrize(("op", "e"), cases())
def test_operation(op: Op, e: Expr, rng: np.random.Generator) -> None:
    """The adjoint, its own derivative, and the derivative in a direction."""
    points = points_of(op, e, rng)
    inside = tuple(points)
    tangents = {v: rng.uniform(-1, 1, a.shape) for v, a in points.items()}
    for dim in {1, e.dim}:
        g = variable("i", dim, 100)
        known = points | {g: rng.uniform(-1, 1, (POINTS, dim))}
        bars = vjp(e, inside, g)
        assert [b.dim for b in bars] == [v.dim for v in inside]
        expected = along(o.mul(g, e), known, tangents)
        assert_slope(paired(bars, tangents, known), expected)
        assert_slope(paired([simplify(b) for b in bars], tangents, known), expected)
        for bar in bars:
            again = vjp(bar, inside, constant(1))
            assert_slope(paired(again, tangents, known), along(bar, known, tangents))
    t = {v: variable("i", v.dim, 200 + n) for n, v in enumerate(inside)}
    ahead = jvp(e, tuple(t.items()))
    known = points | {t[v]: a for v, a in tangents.items()}
    assert_slope(value(ahead, known), slope(lambda h: value(e, moved(points, tangents, h))))


def test_every_operation_has_one() -> None:
    """A forgotten derivative would be told at its use only."""
    for op in OPS.values():
        if op.kind in ("real", "same") and op.expand is None and "index" not in op.args:
            assert op.vjp is not None or op.name == "truth", op.name


x, y = variable("i", 3, 0), variable("j", 3, 1)
KINKS: list[tuple[str, Expr]] = [
    ("sqrt", o.sqrt(x)),
    ("abs", o.abs_(x)),
    ("norm2", d.norm2(x)),
    ("asin", o.asin(x + 1)),
    ("acos", o.acos(x - 1)),
    ("acosh", o.acosh(x + 1)),
    ("atan2", o.atan2(x, x)),
    ("pow", o.pow_(x, constant(0))),
    ("sinxdivx", o.sinxdivx(x)),
    ("relu", d.relu(x)),
    ("prod", o.mul(o.prod(x), constant(1))),
    ("distance", d.norm2(x - x * constant(2))),
]


@pytest.mark.parametrize(("name", "e"), KINKS, ids=[name for name, _ in KINKS])
def test_kinks_are_finite(name: str, e: Expr) -> None:
    zero = {x: np.zeros((POINTS, 3))}
    first = grad(e, x, constant(1))
    assert np.array_equal(value(first, zero), np.zeros((POINTS, 3)))
    assert np.isfinite(value(grad(first, x, constant(1)), zero)).all()


def test_slope_of_sinc_near_zero() -> None:
    """Where the quotient cancels, to the last digits; mpmath knows."""
    import mpmath

    at = np.array([1e-9, 1e-4, 0.05, 0.29999, 0.30001, 1.0])
    points = {x: np.stack([at, -at, at], -1)[: len(at)]}
    v = evaluate(grad(o.sinxdivx(x), x, constant(1)), points, np.dtype(np.float64))[:, 0]
    with mpmath.workdps(40):
        exact = [
            float(mpmath.cos(mpmath.mpf(t)) / t - mpmath.sin(mpmath.mpf(t)) / mpmath.mpf(t) ** 2)
            for t in at
        ]
    np.testing.assert_allclose(v, exact, rtol=1e3 * np.finfo(np.float64).eps)


# --- Closed forms -------------------------------------------------------------------------------


def at_random(rng: np.random.Generator) -> dict[Expr, Array]:
    return {v: rng.uniform(-1, 1, (POINTS, 3)) for v in (x, y)}


@pytest.mark.parametrize("dim", [1, 3, 10])
def test_laplacians(dim: int, rng: np.random.Generator) -> None:
    u, v = variable("i", dim, 0), variable("j", dim, 1)
    points = {w: rng.uniform(-1, 1, (POINTS, dim)) for w in (u, v)}
    r2 = ((points[u] - points[v]) ** 2).sum(-1, keepdims=True)
    r = np.sqrt(r2)
    forms: list[tuple[Expr, Array]] = [
        (o.exp(-d.sqdist(u, v)), (4 * r2 - 2 * dim) * np.exp(-r2)),
        (d.sqdist(u, v), 2 * dim + 0 * r),
        (d.norm2(u - v), (dim - 1) / r),
        (o.log(d.sqdist(u, v)), 2 * (dim - 2) / r2),
        (o.exp(-d.norm2(u - v)), (1 - (dim - 1) / r) * np.exp(-r)),
        (d.dot(u, v), 0 * r),
    ]
    for e, expected in forms:
        np.testing.assert_allclose(
            value(laplacian(e, u), points), expected, rtol=1e-12, atol=1e-12 * (1 + dim)
        )


def test_divergences(rng: np.random.Generator) -> None:
    points = at_random(rng)
    matrix = variable("p", 9, 2)
    points[matrix] = np.broadcast_to(rng.uniform(-1, 1, 9), (POINTS, 9))
    s = (points[x] * points[y]).sum(-1, keepdims=True)
    forms: list[tuple[Expr, Array]] = [
        (x * x, 2 * points[x].sum(-1, keepdims=True)),
        (d.dot(x, y) * x, 3 * s + s),
        (d.dot(x, y) * y, (points[y] ** 2).sum(-1, keepdims=True)),
        (d.matvecmult(matrix, x), points[matrix][:, ::4].sum(-1, keepdims=True)),
        (d.elem(x, 1) * o.exp(x), None),
        (o.take(x, 2, -1, 3), np.ones((POINTS, 1))),
        (o.repeat(d.elem(x, 0), 3), np.ones((POINTS, 1))),
        (y, np.zeros((POINTS, 1))),
    ]
    for e, expected in forms:
        if expected is None:
            c = points[x]
            expected = (c[:, 1:2] * np.exp(c)).sum(-1, keepdims=True) + np.exp(c[:, 1:2])
        np.testing.assert_allclose(value(divergence(e, x), points), expected, rtol=1e-12)


def column_of(e: Expr, points: dict[Expr, Array], t: Array) -> Array:
    return slope(lambda h: value(e, moved(points, {x: t}, h)))


def test_grad_matrix_and_trace(rng: np.random.Generator) -> None:
    points = at_random(rng)
    e = d.dot(x, y) * o.exp(x)
    jacobian = value(grad_matrix(e, x), points).reshape(POINTS, 3, 3)
    for k in range(3):
        t = np.zeros((POINTS, 3))
        t[:, k] = 1
        assert_slope(jacobian[:, :, k], column_of(e, points, t))
    trace = value(divergence(e, x), points)[:, 0]
    np.testing.assert_allclose(trace, np.trace(jacobian, axis1=1, axis2=2), rtol=1e-12)
    linear = d.dot(x, y) * y + x * 2
    expected = (points[y] ** 2).sum(-1, keepdims=True) + 6
    np.testing.assert_allclose(value(trace_operator(linear, x), points), expected, rtol=1e-12)


def test_what_is_no_derivative() -> None:
    with pytest.raises(ArgumentError, match="Expected a formula that is linear"):
        trace_operator(x * x, x)
    with pytest.raises(ShapeError, match="Expected a formula of dimension 1"):
        laplacian(x, x)
    with pytest.raises(ShapeError, match="Expected a formula of 3 components"):
        divergence(d.dot(x, y), x)
    with pytest.raises(ShapeError, match="Expected a cotangent of 3 components"):
        grad(x, x, variable("i", 2, 5))
    with pytest.raises(ShapeError, match="Expected a tangent of 3 components"):
        diff(x, x, variable("i", 2, 5))


def test_deep_formula() -> None:
    e = x
    for _ in range(3000):
        e = o.sin(e + y)
    assert grad(e, x, constant(1)).dim == 3
