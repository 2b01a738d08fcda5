"""Distances and maps against 160 digits, for points up to 10^-12 from the border of the ball."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import eps
from hyperbolic_truth import (
    DIMENSIONS,
    SEEDS,
    directions,
    distance,
    dot,
    from_half_space,
    half_space_distance,
    hyperboloid_distance,
    hyperboloid_log,
    hyperboloid_transport,
    in_ball,
    lifted,
    log,
    mp,
    near_pairs,
    of_rows,
    to_half_space,
    transport,
    vector,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from georeduce.apps.exact import gaps
from georeduce.apps.hyperbolic import HalfSpace, Hyperboloid, PoincareBall
from georeduce.apps.hyperbolic._arrays import length
from georeduce.engine import Vi, Vj

EPS = eps(float)
N = 12
few = settings(max_examples=25)
curvatures = st.sampled_from([-1.0, -0.3, -7.0])


def relative(D: int, dtype: Any = float) -> float:
    """Return how far a distance may be off, as a part of it.

    Half an eps for a difference, (D / 2 + 2) eps for a norm of D of them, as much for each of two
    gaps, their roots, inverses and products as there are operations (8 halves), 4 ulps for the
    asinh, and one for R.
    """
    return (D / 2 + 12) * eps(dtype)


@given(SEEDS, DIMENSIONS, curvatures)
@few
def test_gaps_have_all_digits(seed: int, D: int, K: float) -> None:
    x = in_ball(np.random.default_rng(seed), N, D, 15, 1 / np.sqrt(-K))
    exact = of_rows(lambda row: float(1 + mp.mpf(K) * mp.fsum(v**2 for v in vector(row))), x)
    found = gaps(x, K)[:, 0]
    assert found.dtype == np.float64
    # a rounding, and the errors of second order, D^2 of them beside a gap of at least 1e-16
    assert (abs(found - exact) <= EPS * exact + 4 * D**2 * EPS**2).all()
    assert gaps(x, K) == pytest.approx(gaps(x[:, None], K)[:, 0], rel=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_gaps_of_many_points(dtype: Any, rng: Any) -> None:
    """Block by block, near the border and not, as one by one."""
    x = np.concatenate([in_ball(rng, 9000, 5, 7), rng.random((9000, 5)) / 3]).astype(dtype)
    x = x[np.square(x, dtype=float).sum(1) < 1]
    one_by_one = np.array([gaps(row)[0] for row in x])
    assert (abs(gaps(x)[:, 0] / one_by_one - 1) <= eps(dtype)).all()


@given(SEEDS, DIMENSIONS, curvatures)
@few
def test_ball_distances(seed: int, D: int, K: float) -> None:
    ball = PoincareBall(K)
    x, y = near_pairs(np.random.default_rng(seed), N, D, R=ball.radius)
    exact = of_rows(lambda a, b: distance(a, b, K), x, y)
    assert (abs(ball.distance(x, y) - exact) <= relative(D) * exact).all()


def test_ball_distances_as_formulas(backend: str, rng: Any) -> None:
    x, y = near_pairs(rng, N, 3)
    exact = np.array([[distance(a, b) for b in y] for a in x])
    for found in (
        PoincareBall().distance(Vi(x), Vj(y)).max(axis=1, backend=backend)[:, 0],
        PoincareBall().distance(x[:, None], y).max(axis=1),
    ):
        assert (abs(found - exact.max(axis=1)) <= relative(3) * exact.max(axis=1)).all()
    d = PoincareBall().distance(Vi(x), Vj(y)).dense()
    assert (abs(d - exact) <= relative(3) * exact).all()


def test_float32_border_points_are_not_at_one_distance(backend: str, rng: Any) -> None:
    """Other codes give 12.2061 for all of them; asked for are 1e-3 of the 50-digit value."""
    x = directions(rng, 20, 5) * (1 - rng.uniform(1e-7, 1e-5, (20, 1)))
    x = x.astype(np.float32)
    exact = np.array([[distance(a, b) for b in x] for a in x])
    assert exact[~np.eye(20, dtype=bool)].min() > 20
    limit = relative(5, np.float32)
    assert limit < 1e-3
    # as K smallest: one kernel that shows all values
    found = PoincareBall().distance(Vi(x), Vj(x)).Kmin(20, axis=1, backend=backend)
    assert found.dtype == np.float32
    assert (abs(found - np.sort(exact, axis=1)) <= limit * np.sort(exact, axis=1)).all()
    assert (abs(PoincareBall().distance(x[:, None], x) - exact) <= limit * exact).all()


def test_what_differences_of_a_tiny_size_give() -> None:
    """Squares of differences would vanish."""
    x = np.array([[1e-200, 0.0], [0.5, 1e-180]])
    y = np.array([[-2e-200, 0.0], [0.5, 0.0]])
    exact = 2 * np.array([3e-200, 1e-180 / 0.75])  # the metric at the point, times the difference
    assert (abs(PoincareBall().distance(x, y) - exact) <= relative(2) * exact).all()


@given(SEEDS, DIMENSIONS)
@few
def test_ball_logarithms_and_transport(seed: int, D: int) -> None:
    """Relative to their lengths: directions are of positive terms, and cancel nowhere by much."""
    rng = np.random.default_rng(seed)
    ball = PoincareBall()
    x, y = near_pairs(rng, N, D)
    exact = of_rows(log, x, y)
    size = np.linalg.norm(exact, axis=1, keepdims=True)
    # g delta and |delta|^2 x, whose sum is half of the first at least
    assert (abs(ball.log(x, y) - exact) <= 4 * relative(D) * size).all()
    v = directions(rng, N, D)
    exact = of_rows(transport, x, y, v)
    size = np.linalg.norm(exact, axis=1, keepdims=True)
    # a rotation: what is added to v is at most twice as long, of three terms that do not cancel
    assert (abs(ball.transport(x, y, v) - exact) <= 4 * relative(D) * size).all()


@given(SEEDS, DIMENSIONS, curvatures)
@few
def test_hyperboloid_distances(seed: int, D: int, K: float) -> None:
    """Of points as far as the ball has them and farther, close ones included."""
    rng = np.random.default_rng(seed)
    space = Hyperboloid(K)
    x = directions(rng, N, D) * 10.0 ** rng.uniform(-6, 13, (N, 1))
    y = directions(rng, N, D) * 10.0 ** rng.uniform(-6, 13, (N, 1))
    y[: N // 3] = x[: N // 3] * (1 + 10.0 ** rng.uniform(-12, 0, (N // 3, 1)))
    y[N // 3 : N // 2] = x[N // 3 : N // 2] + rng.uniform(-1, 1, (N // 2 - N // 3, D))
    exact = of_rows(lambda a, b: hyperboloid_distance(a, b, K), x, y)
    x, y = (space.project(np.pad(a, [(0, 0), (1, 0)])) for a in (x, y))
    # both terms are squares of products and roots of what has no error of first order; numbers in
    # two parts end at eps^2, directions at as much of the points' size
    limit = 2 * relative(D) * exact
    limit += 8 * EPS**2 * (space.radius + np.linalg.norm(x[:, 1:], axis=1))
    assert (abs(space.distance(x, y) - exact) <= limit).all()
    assert (abs(np.diag(space.distance(Vi(x), Vj(y)).dense()) - exact) <= limit).all()


def test_hyperboloid_formulas_in_float32(rng: Any) -> None:
    x = directions(rng, N, 3) * 10.0 ** rng.uniform(-3, 7, (N, 1))
    x[1] = x[0] * np.float32(1.001)
    x = Hyperboloid().project(np.pad(x, [(0, 0), (1, 0)]).astype(np.float32))
    exact = np.array([[hyperboloid_distance(a[1:], b[1:]) for b in x] for a in x])
    found = Hyperboloid().distance(Vi(x), Vj(x)).dense()
    assert found.dtype == np.float32
    assert (abs(found - exact) <= 2 * relative(3, np.float32) * exact).all()


@given(SEEDS, DIMENSIONS, curvatures)
@few
def test_half_space_distances(seed: int, D: int, K: float) -> None:
    rng = np.random.default_rng(seed)
    p, q = rng.standard_normal((2, N, D))
    p[:, -1], q[:, -1] = 10.0 ** rng.uniform(-12, 12, (2, N))
    q[: N // 3] = p[: N // 3] * (1 + 10.0 ** rng.uniform(-12, 0, (N // 3, 1)))
    exact = of_rows(lambda a, b: half_space_distance(a, b, K), p, q)
    assert (abs(HalfSpace(K).distance(p, q) - exact) <= relative(D) * exact).all()


@given(SEEDS, DIMENSIONS)
@few
def test_half_space_logarithms_and_transport(seed: int, D: int) -> None:
    rng = np.random.default_rng(seed)
    p, q, v = rng.standard_normal((3, N, D))
    p[:, -1], q[:, -1] = 10.0 ** rng.uniform(-12, 6, (2, N))
    q[: N // 3] = p[: N // 3] * (1 + 10.0 ** rng.uniform(-9, 0, (N // 3, 1)))

    def log(p: Any, q: Any) -> Any:
        x, y = from_half_space(p, 0 * p)[0], from_half_space(q, 0 * q)[0]
        return to_half_space(x, hyperboloid_log(x, y))

    def transport(p: Any, q: Any, v: Any) -> Any:
        (x, w), y = from_half_space(p, v), from_half_space(q, 0 * q)[0]
        return to_half_space(y, hyperboloid_transport(x, y, w))

    for found, exact in (
        (HalfSpace().log(p, q), of_rows(log, p, q)),
        (HalfSpace().transport(p, q, v), of_rows(transport, p, q, v)),
    ):
        size = np.linalg.norm(exact, axis=1, keepdims=True)
        # as in the ball: squared distances and differences of heights, or two reflections
        assert (abs(found - exact) <= 4 * relative(D) * size).all()


@given(SEEDS, DIMENSIONS)
@few
def test_hyperboloid_logarithms_and_transport(seed: int, D: int) -> None:
    """By Riemannian lengths, in which a rounding of a coordinate counts for x_0 as much."""
    rng = np.random.default_rng(seed)
    space = Hyperboloid()
    x, y = (directions(rng, N, D) * 10.0 ** rng.uniform(-6, 6, (N, 1)) for _ in range(2))
    y[: N // 3] = x[: N // 3] * (1 + 10.0 ** rng.uniform(-9, 0, (N // 3, 1)))
    x, y = (space.project(np.pad(a, [(0, 0), (1, 0)])) for a in (x, y))
    v = space._from_frame(space.features(x), directions(rng, N, D))
    logs, vectors = space.log(x, y), space.transport(x, y, v)
    for n in range(N):
        (p, w), (q, _) = lifted(x[n, 1:], v[n, 1:]), lifted(y[n, 1:], 0 * y[n, 1:])
        for at, found, exact, far in (
            (x, logs, hyperboloid_log(p, q), x[n, 0]),
            (y, vectors, hyperboloid_transport(p, q, w), x[n, 0] + y[n, 0]),
        ):
            off = found[n, 1:] - np.array([float(a) for a in exact[1:]])
            size = float(mp.sqrt(dot(exact[1:], exact[1:]) - exact[0] ** 2))
            length = space.norm(at[n], np.array([0.0, *off]))
            assert length <= 8 * relative(D) * far * size


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=str)
def test_lengths_of_vectors_of_any_size(dtype: Any, rng: np.random.Generator) -> None:
    limits = np.finfo(dtype)
    v = rng.normal(size=(4, 3))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    sizes = np.array([[float(limits.tiny / limits.eps)], [1.0], [float(limits.max) / 4], [0.0]])
    tol = relative(3, dtype)
    for chosen in (slice(None), slice(1, 2), slice(0, 0)):
        found = length((sizes[chosen] * v[chosen]).astype(dtype))
        np.testing.assert_allclose(found, sizes[chosen], rtol=tol)
