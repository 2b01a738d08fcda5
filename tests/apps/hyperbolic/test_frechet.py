"""Fréchet means: minima, weights, batches, and how far they come."""

from __future__ import annotations

from typing import Any

import fake_cupy
import numpy as np
import pytest
from helpers import eps
from hyperbolic_truth import directions, in_ball
from scipy.optimize import minimize

from georeduce.apps.hyperbolic import HalfSpace, Hyperboloid, PoincareBall
from georeduce.engine import ArgumentError, ConvergenceWarning, ShapeError

EPS = eps(float)
TOL = 1e-10  # the default
MODELS = [PoincareBall, Hyperboloid, HalfSpace]
each_model = pytest.mark.parametrize("model", MODELS, ids=[m.__name__ for m in MODELS])


def clouds(rng: Any, R: float = 1.0) -> dict[str, Any]:
    near = directions(rng, 60, 3) * R * 0.1 + [0.6 * R, 0, 0]
    rim = directions(rng, 60, 3) * 0.05 + [1, 0, 0]
    rim *= R * (1 - 1e-6) / np.linalg.norm(rim, axis=1, keepdims=True)
    return {
        "a-cluster": near,
        "all-of-the-ball": in_ball(rng, 60, 3, 8, R),
        "at-the-rim": rim,
        "two": np.array([[0.0, 0.0, 0.999], [0.2, 0.1, 0.0]]) * R,
        "one": np.array([[0.3, 0.4, 0.5]]) * R,
        "equal": np.tile([[0.3, 0.4, 0.5]], (5, 1)) * R,
    }


@each_model
@pytest.mark.parametrize("K", [-1.0, -0.3])
def test_the_mean_of_log_maps_vanishes(model: Any, K: float, rng: Any) -> None:
    """Which is what the one minimum of a convex function is told by."""
    ball, space = PoincareBall(K), model(K)
    for name, points in clouds(rng, ball.radius).items():
        x = ball.convert(points, space)
        w = rng.random(len(x))
        mean = space.frechet_mean(x, w)
        d = space.distance(mean, x)
        variance = np.average(d**2, weights=w)
        pull = np.average(space.log(mean, x), axis=0, weights=w)
        # and what rounding the mean's coordinates makes: gaps are 1e-6 and more
        moved = 64 * EPS * ball.radius * (1e6 if name in ("at-the-rim", "all-of-the-ball") else 1e3)
        bend = np.average(d / ball.radius / np.tanh(d / ball.radius + EPS), weights=w)
        assert space.norm(mean, pull) <= 2 * TOL * np.sqrt(variance) + moved * max(bend, 1), name
        off = 64 * EPS * variance + moved**2
        assert abs(space.frechet_variance(x, w) - variance) <= off, name


def test_no_other_point_is_better(rng: Any) -> None:
    ball = PoincareBall()
    x, w = in_ball(rng, 40, 2, 3), rng.random(40)

    def cost(m: Any) -> float:
        inside = m @ m < 1
        return float((w * ball.distance(m, x) ** 2).sum()) if inside else np.inf

    found = minimize(
        cost, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-14}
    )
    # a minimum is found to the root of a rounding
    assert ball.distance(ball.frechet_mean(x, w), found.x) <= np.sqrt(EPS) * 100
    assert cost(ball.frechet_mean(x, w)) <= found.fun * (1 + 8 * EPS)


def test_two_points_have_their_middle(backend: str) -> None:
    ball = PoincareBall()
    x = np.array([[0.9, 0.1], [-0.2, 0.5]])
    mean = ball.frechet_mean(x, backend=backend)
    assert ball.distance(mean, ball.geodesic(*x, 0.5)) <= 10 * TOL * ball.distance(*x)
    third = ball.frechet_mean(x, [2.0, 1.0], backend=backend)
    assert ball.distance(third, ball.geodesic(*x, 1 / 3)) <= 10 * TOL * ball.distance(*x)
    assert ball.frechet_variance(x, backend=backend) == pytest.approx(ball.distance(*x) ** 2 / 4)


def test_isometries_move_means(rng: Any) -> None:
    ball = PoincareBall()
    x, z = in_ball(rng, 30, 3, 2), np.array([0.3, 0.2, -0.5])
    mean = ball.frechet_mean(x)
    moved = ball.frechet_mean(ball.mobius_add(z, x))
    spread = np.sqrt(ball.frechet_variance(x))
    assert ball.distance(ball.mobius_add(z, mean), moved) <= 10 * TOL * spread


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_batches_and_weights(dtype: Any, rng: Any) -> None:
    ball = PoincareBall()
    x, w = in_ball(rng, 60, 2, 2).reshape(2, 3, 10, 2).astype(dtype), rng.random((3, 10))
    mean = ball.frechet_mean(x, w)
    assert mean.shape == (2, 3, 2)
    assert mean.dtype == dtype
    assert ball.frechet_variance(x, w).shape == (2, 3)
    for b in np.ndindex(2, 3):
        alone = ball.frechet_mean(x[b], w[b[1]])
        assert ball.distance(mean[b], alone) <= 100 * max(eps(dtype), TOL)
    twice = ball.frechet_mean(np.concatenate([x[0, 0], x[0, 0, :4]]))
    weighted = ball.frechet_mean(x[0, 0], [2] * 4 + [1] * 6)
    assert ball.distance(twice, weighted) <= 100 * max(eps(dtype), TOL)
    assert ball.distance(ball.frechet_mean(x[0, 0], [0] * 9 + [3]), x[0, 0, 9]) <= 8 * eps(dtype)


def test_tensors_in_tensors_out(rng: Any) -> None:
    torch = pytest.importorskip("torch")
    x = in_ball(rng, 20, 2, 2)
    found = PoincareBall().frechet_mean(torch.tensor(x), torch.ones(20))
    assert found.numpy() == pytest.approx(PoincareBall().frechet_mean(x))


@pytest.mark.compiler
def test_arrays_of_cupy(monkeypatch: pytest.MonkeyPatch, rng: Any) -> None:
    cupy = fake_cupy.install(monkeypatch)
    x, w = in_ball(rng, 20, 2, 2), rng.random(20)
    found = PoincareBall().frechet_mean(cupy.asarray(x), cupy.asarray(w))
    assert isinstance(found, cupy.ndarray)
    assert found.get() == pytest.approx(PoincareBall().frechet_mean(x, w), abs=10 * TOL)


def test_a_mean_that_was_not_reached(rng: Any) -> None:
    with pytest.warns(ConvergenceWarning, match="was not reached in 1 steps: the mean of log maps"):
        PoincareBall().frechet_mean(in_ball(rng, 20, 2), max_iter=1)


def test_what_is_refused() -> None:
    ball, x = PoincareBall(), np.zeros((3, 2))
    with pytest.raises(
        ShapeError, match=r"Expected points of shape \(..., N, D\), but got shape \(2,\)"
    ):
        ball.frechet_mean(np.zeros(2))
    with pytest.raises(ShapeError, match=r"but got shape \(0, 2\)"):
        ball.frechet_mean(np.zeros((0, 2)))
    with pytest.raises(ShapeError, match=r"weights of shape \(3,\), one for each point, but got"):
        ball.frechet_mean(x, np.ones(2))
    with pytest.raises(ArgumentError, match=r"as an array of shape \(3,\), one for .* but got 'w'"):
        ball.frechet_mean(x, "w")
    with pytest.raises(ArgumentError, match="Expected tol to be a number >= 0, but got -1"):
        ball.frechet_mean(x, tol=-1)
    with pytest.raises(ArgumentError, match="Expected max_iter to be a positive integer, but got"):
        ball.frechet_variance(x, max_iter=0)
    for w in ([1, -1, 1], [0, 0, 0], [1, np.nan, 1]):
        with pytest.raises(ArgumentError, match="Expected weights >= 0 with a positive sum"):
            ball.frechet_mean(x, w)
    with pytest.raises(ArgumentError, match="points inside of the ball"):
        ball.frechet_mean(x + 1)
