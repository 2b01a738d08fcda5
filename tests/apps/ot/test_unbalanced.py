"""Marginals that are let go, at a price: beside POT's solvers and plans that are stored whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import ot
import pytest
from helpers import eps
from plans import costs_of, marginal_errors, simple, stored

from georeduce.apps.ot import Problem, solve
from georeduce.apps.ot._penalties import FAR, PENALTIES, Balanced, Penalty
from georeduce.apps.ot._steps import Alternating, translation

Array = np.ndarray[Any, Any]
RHO = 0.3
EVERY = [Balanced(), *(kind(RHO) for kind in PENALTIES.values())]


@pytest.fixture
def clouds(rng: np.random.Generator) -> tuple[Array, ...]:
    """Return points and weights of sums that differ."""
    return rng.random((20, 2)), rng.random((25, 2)) + 0.2, rng.random(20) / 10, rng.random(25) / 9


@pytest.mark.parametrize("method", ["sinkhorn", "sinkhorn_stabilized"])
@pytest.mark.parametrize("reach", [0.5, (0.5, None), (None, 0.7)], ids=str)
def test_plans_are_pots(clouds: tuple[Array, ...], reach: Any, method: str) -> None:
    x, y, a, b = clouds
    solved = solve(Problem(x, y, a, b, epsilon=0.05, reach=reach), tol=1e-12, max_iter=5000)
    pair = reach if isinstance(reach, tuple) else (reach, reach)
    rho = tuple(np.inf if r is None else r**2 for r in pair)
    how = {"stopThr": 1e-14, "numItermax": 10**5}
    costs = costs_of(solved.problem)
    theirs = ot.unbalanced.sinkhorn_unbalanced(a, b, costs, 0.05, rho, method, "kl", **how)
    np.testing.assert_allclose(stored(solved), theirs, atol=1e-9, rtol=0)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("reach", [0.2, 1.0, (0.4, None)], ids=str)
@pytest.mark.parametrize("epsilon", [0.3, 0.03])
def test_potentials_are_those_of_many_half_steps(
    clouds: tuple[Array, ...], penalty: str, reach: Any, epsilon: float
) -> None:
    x, y, a, b = clouds
    problem = Problem(x, y, a, b, epsilon=epsilon, reach=reach, penalty=penalty)
    solved = solve(problem, tol=1e-10)
    f, g = simple(problem, 3000)
    plan = stored(solved)
    sums = f[:, None] + g - costs_of(problem)
    exact = a[:, None] * b * np.exp(sums / epsilon)
    np.testing.assert_allclose(plan, exact, atol=1e-8 * plan.max(), rtol=0)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("reach", [0.1, 1.0, 30.0, (0.3, None), (None, 3.0)], ids=str)
@pytest.mark.parametrize("tol", [1e-2, 1e-5])
def test_marginals_are_as_near_as_is_claimed(
    clouds: tuple[Array, ...], penalty: str, reach: Any, tol: float
) -> None:
    x, y, a, b = clouds
    problem = Problem(x, y, a, b, epsilon=0.01, reach=reach, penalty=penalty)
    solved = solve(problem, tol=tol)
    assert max(marginal_errors(solved)) <= tol


def test_value_is_that_of_the_primal(clouds: tuple[Array, ...]) -> None:
    x, y, a, b = clouds
    solved = solve(Problem(x, y, a, b, epsilon=0.05, reach=0.6), tol=1e-10)
    plan = stored(solved)

    def divergence(mass: Array, of: Array) -> float:
        return float((mass * np.log(mass / of) - mass + of).sum())

    value = (plan * costs_of(solved.problem)).sum() + 0.05 * divergence(plan, np.outer(a, b))
    for marginal, weights in ((plan.sum(1), a), (plan.sum(0), b)):
        value += 0.36 * divergence(marginal, weights)
    np.testing.assert_allclose(solved.value, value, rtol=1e-8)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_a_long_reach_is_none(rng: np.random.Generator, penalty: str) -> None:
    x, y = rng.random((30, 2)), rng.random((40, 2))
    kept = solve(Problem(x, y, epsilon=0.05), tol=1e-9)
    far = solve(Problem(x, y, epsilon=0.05, reach=1e4, penalty=penalty), tol=1e-9)
    np.testing.assert_allclose(stored(far), stored(kept), atol=1e-8, rtol=0)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_weak_penalties_cost_no_steps(clouds: tuple[Array, ...], penalty: str) -> None:
    """Half steps alone take about rho / epsilon of them."""
    x, y, a, b = clouds
    counts = [
        len(solve(Problem(x, y, a, b, epsilon=0.01, reach=reach, penalty=penalty)).errors)
        for reach in (1.0, 100.0)
    ]
    assert counts[1] <= 2 * counts[0]


# --- The laws of the table --------------------------------------------------------------------


@pytest.mark.parametrize("penalty", EVERY, ids=lambda p: type(p).__name__)
def test_steps_maximise(penalty: Penalty, rng: np.random.Generator) -> None:
    f, eps = rng.normal(size=50), 0.1

    def gain(h: Array) -> Array:
        return penalty.dual(h, np) - eps * np.exp((h - f) / eps)

    step = penalty.step(f, eps)
    best = gain(step)
    for t in np.linspace(-2, 2, 401):
        assert (gain(penalty.within(step + t)) <= best + 1e-12).all()


@pytest.mark.parametrize("penalty", EVERY, ids=lambda p: type(p).__name__)
def test_slopes_are_those_of_the_dual(penalty: Penalty, rng: np.random.Generator) -> None:
    f, t = 0.5 * RHO * rng.random(50), 1e-6
    slope = (penalty.dual(f + t, np) - penalty.dual(f - t, np)) / (2 * t)
    np.testing.assert_allclose(penalty.slope(f), slope, rtol=1e-6)
    np.testing.assert_allclose(
        penalty.slope(f + 0.1), penalty.slope(f) * np.exp(-0.1 * penalty.falls), rtol=1e-12
    )


@pytest.mark.parametrize("penalty", EVERY, ids=lambda p: type(p).__name__)
def test_what_cannot_go_anywhere_has_a_finite_potential(penalty: Penalty) -> None:
    step = penalty.step(np.array([np.inf]), 0.1)
    assert np.isfinite(step).all()
    if penalty.falls:
        assert step[0] == FAR * penalty.rho


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("reach", [0.5, (0.5, None), (None, 0.5)], ids=str)
def test_translations_are_the_best(clouds: tuple[Array, ...], penalty: str, reach: Any) -> None:
    x, y, a, b = clouds
    problem = Problem(x, y, a, b, epsilon=0.1, reach=reach, penalty=penalty)
    steps = Alternating(problem, np.float64, {})
    steps.value(np.zeros(25))
    f, g = steps.f, problem.penalties[1].within(steps.step()[0])
    along_x, along_y = problem.penalties

    def value(c: Any) -> float:
        moved, back = f + c, g - c
        if not (
            np.allclose(along_x.within(moved), moved) and np.allclose(along_y.within(back), back)
        ):
            return -np.inf
        return float((a * along_x.dual(moved, np)).sum() + (b * along_y.dual(back, np)).sum())

    best = translation(problem, f, g)
    assert all(value(best + t) <= value(best) + 1e-12 for t in np.linspace(-1, 1, 201))


@pytest.mark.parametrize("off", [-1.0, -0.9, -1e-3, -1e-9, 0.0, 1e-9, 1e-3, 3.0], ids=str)
def test_small_divergences_keep_their_digits(off: float) -> None:
    """By the series of ``(1 + d) log(1 + d) - d`` where its terms cancel."""
    rho = 1e12
    w = np.array([0.3])
    m = w * (1 + off)
    d = (m - w) / w  # as it is after rounding
    small = np.abs(d) < 0.01
    series = sum((-1) ** k * d**k / (k * (k - 1)) for k in range(2, 12))
    logs = np.log(np.where(m > 0, m / w, 1))
    exact = rho * w * np.where(small, series, (1 + d) * logs - d)
    found = PENALTIES["kl"](rho).primal(m, w, np)
    np.testing.assert_allclose(
        found, exact, rtol=0, atol=float(4 * eps(np.float64) * rho * abs(d[0]))
    )


@pytest.mark.parametrize("penalty", PENALTIES)
def test_parts_pay_for_marginal_errors(clouds: tuple[Array, ...], penalty: str) -> None:
    """As `Transport.parts` says: rho times the error, or half its square."""
    x, y, a, b = clouds
    a, b = a / a.sum(), b / b.sum()
    solved = solve(Problem(x, y, a, b, epsilon=0.05, reach=100.0, penalty=penalty), tol=1e-4)
    rho, off = 1e4, float(solved.errors[-1])
    paid = {"tv": rho * off, "kl": rho / 2 * off**2}[penalty]
    gap = float(sum(solved.parts) - solved.value)
    assert 0.9 * paid < gap < 10 * paid
