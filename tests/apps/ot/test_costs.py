"""The table of costs: what is promised of each, beside NumPy in float64."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from helpers import eps

from georeduce.apps.ot import Cost, Problem, power, solve
from georeduce.apps.ot.costs import COSTS, resolve
from georeduce.engine import ArgumentError, LazyTensor, ShapeError

Array = np.ndarray[Any, Any]


def _norm(x: Array) -> Array:
    return np.linalg.norm(x, axis=-1)


def _cosine(x: Array, y: Array) -> Array:
    return (x * y).sum(-1) / (_norm(x) * _norm(y))


def _poincare(x: Array, y: Array) -> Array:
    gaps = (1 - _norm(x) ** 2) * (1 - _norm(y) ** 2)
    return np.arccosh(1 + 2 * _norm(x - y) ** 2 / gaps)


MEANINGS: dict[str, Callable[[Array, Array], Array]] = {
    "sqeuclidean": lambda x, y: _norm(x - y) ** 2,
    "euclidean": lambda x, y: _norm(x - y),
    "manhattan": lambda x, y: abs(x - y).sum(-1),
    "cosine": lambda x, y: 1 - _cosine(x, y),
    "sphere": lambda x, y: np.arccos(np.clip(_cosine(x, y), -1, 1)),
    "poincare": _poincare,
    "power(1.5)": lambda x, y: _norm(x - y) ** 1.5,
    "power(3)": lambda x, y: _norm(x - y) ** 3,
}
KINDS = {cost.name: cost for cost in (*COSTS.values(), power(1.5), power(3))}


@pytest.fixture(params=KINDS.values(), ids=lambda cost: cost.name)
def cost(request: pytest.FixtureRequest) -> Cost:
    return request.param


@pytest.fixture
def points(rng: np.random.Generator) -> Array:
    return rng.uniform(-0.5, 0.5, (7, 3))  # in the ball


def test_every_cost_has_a_meaning() -> None:
    assert set(MEANINGS) == set(KINDS)


def test_a_cost_is_what_it_means(cost: Cost, points: Array) -> None:
    x, y = points[:3], points[3:]
    expected = MEANINGS[cost.name](x[:, None], y)
    # the reference itself loses half of the digits where it is small
    tolerance = 100 * eps(np.float64) * expected.max() / expected.min() ** 2
    np.testing.assert_allclose(cost.between(x, y).dense(), expected, rtol=tolerance)


def test_a_cost_is_symmetric_and_0_on_the_diagonal(cost: Cost, points: Array) -> None:
    C = cost.between(points, points).dense()
    np.testing.assert_array_equal(np.diag(C), 0)
    np.testing.assert_array_equal(C, C.T)
    assert (C >= 0).all()


def test_a_cost_has_its_degree(cost: Cost, points: Array) -> None:
    x, y = points[:3], points[3:]
    scaled = cost.between(2 * x, 2 * y).dense() if cost.scales else None
    if scaled is not None:
        np.testing.assert_allclose(scaled, cost.of_distance(2) * cost.between(x, y).dense())
    assert cost.of_distance(3) == 3**cost.degree


def test_a_cost_of_float32_points_is_exact(cost: Cost, points: Array) -> None:
    x, y = points[:3].astype(np.float32), points[3:].astype(np.float32)
    wide = cost.between(x.astype(float), y.astype(float)).dense()
    found = cost.between(x, y).dense()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wide, rtol=64 * eps(np.float32))


def test_slopes_of_a_cost_in_torch(cost: Cost, points: Array) -> None:
    x, y = (torch.tensor(p, requires_grad=True) for p in (points[:3], points[3:]))
    assert torch.autograd.gradcheck(lambda x, y: cost.between(x, y).sum(axis=1), (x, y))
    assert torch.isfinite(torch.autograd.grad(cost.between(x, x).sum(axis=1).sum(), x)[0]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_angles_have_their_digits_near_0_and_pi(dtype: Any) -> None:
    angles = np.array([1e-6, 1e-3, 1.0, np.pi - 1e-3, np.pi - 1e-6])
    y = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(dtype)
    x = np.array([[3.0, 0.0]], dtype)
    exact = np.arctan2(y[:, 1].astype(float), y[:, 0])  # of what rounding left
    found = COSTS["sphere"].between(x, y).dense()[0]
    np.testing.assert_allclose(found, exact, rtol=8 * eps(dtype))
    away = np.pi - exact[-2:]
    np.testing.assert_allclose(np.pi - found[-2:], away, atol=4 * eps(dtype) * np.pi)


@pytest.mark.parametrize("name", ["cosine", "sphere"])
def test_the_origin_has_no_direction(name: str, points: Array) -> None:
    points[2] = 0
    sentence = (
        rf"points other than the origin for the cost '{name}', but got the origin at 2\. Drop"
    )
    with pytest.raises(ArgumentError, match=sentence):
        Problem(points, points, cost=name)


def test_points_are_in_the_ball(points: Array) -> None:
    points[2] = 1
    with pytest.raises(ArgumentError, match=r"inside of the ball.*norm of 1\.732"):
        Problem(points, points, cost="poincare")


def test_a_function_is_a_cost(points: Array) -> None:
    def weighted(x: LazyTensor, y: LazyTensor) -> LazyTensor:
        # the last feature is a label: what points have besides is a feature of them
        return x[:2].sqdist(y[:2]) + 10 * (x[2] - y[2]).abs()

    points[:, 2] = np.arange(7) % 2
    plan = solve(Problem(points, points[::-1].copy(), cost=weighted, epsilon=0.3)).plan
    stays = points[:, None, 2] == points[::-1, 2]
    assert plan.dense()[stays].sum() == pytest.approx(1, abs=1e-6)
    assert resolve(weighted).name == "weighted"


def test_costs_can_be_pickled(cost: Cost, points: Array) -> None:
    again = pickle.loads(pickle.dumps(cost))
    assert again.name == cost.name
    np.testing.assert_array_equal(
        again.between(points, points).dense(), cost.between(points, points).dense()
    )


def test_wrong_costs_are_told(points: Array) -> None:
    cases: dict[str, Any] = {
        "Did you mean 'euclidean'": "euclidian",
        "cost to be one of": 3,
        "dimension 1.*but got dimension 3": lambda x, y: (x - y).abs(),
        "LazyTensor of dimension 1.*but got ndarray": lambda x, y: points,
        "Use both arguments": lambda x, y: x.sqnorm2(),
    }
    for sentence, cost in cases.items():
        with pytest.raises((ArgumentError, ShapeError), match=sentence):
            Problem(points, points, cost=cost)
    with pytest.raises(ArgumentError, match="p to be a positive number"):
        power(0)
    assert power(2) is COSTS["sqeuclidean"]
