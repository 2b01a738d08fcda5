"""The solver beside POT's, closed forms, the exact assignment and plans that are stored whole."""

from __future__ import annotations

import sys
from typing import Any

import fake_cupy
import numpy as np
import ot
import pytest
from plans import costs_of, marginal_errors, stored
from scipy.linalg import sqrtm
from scipy.optimize import linear_sum_assignment

from georeduce.apps.ot import Problem, solve
from georeduce.apps.ot._acceleration import Acceleration
from georeduce.apps.ot._softmin import Softmin
from georeduce.apps.ot._steps import Alternating
from georeduce.engine import ConvergenceWarning, Vi, Vj

Array = np.ndarray[Any, Any]


def weighted(rng: np.random.Generator, *sizes: int) -> list[Array]:
    return [w / w.sum() for w in map(rng.random, sizes)]


@pytest.mark.parametrize("epsilon", [0.5, 0.05])
def test_plans_are_pots(rng: np.random.Generator, epsilon: float) -> None:
    x, y = rng.random((40, 3)), rng.random((50, 3)) + 0.1
    a, b = weighted(rng, 40, 50)
    costs = ot.dist(x, y)
    theirs = ot.sinkhorn(a, b, costs, epsilon, "sinkhorn_log", stopThr=1e-12, numItermax=10**4)
    ours = solve(Problem(x, y, a, b, epsilon=epsilon), tol=1e-11)
    np.testing.assert_allclose(stored(ours), theirs, atol=1e-9, rtol=0)
    entropy = (theirs * np.log(theirs / np.outer(a, b))).sum()
    np.testing.assert_allclose(ours.value, (theirs * costs).sum() + epsilon * entropy, rtol=1e-9)


def grid(mean: Array, cov: Array, n: int = 41) -> tuple[Array, Array]:
    """Return points and weights of a Gaussian, by which smooth integrals are exact."""
    axis = np.linspace(-6, 6, n)
    z = np.stack(np.meshgrid(*[axis] * len(mean)), -1).reshape(-1, len(mean))
    weights = np.exp(-(z**2).sum(-1) / 2)
    return mean + z @ np.linalg.cholesky(cov).T, weights / weights.sum()


@pytest.mark.parametrize("epsilon", [0.3, 3.0])
def test_the_value_between_gaussians_is_the_closed_form(epsilon: float) -> None:
    """Janati, Muzellec, Peyré & Cuturi 2020, theorem 1, with epsilon = 2 sigma^2."""
    means = np.array([0.0, 0.0]), np.array([1.0, -0.5])
    A, B = np.array([[1.0, 0.3], [0.3, 0.5]]), np.array([[0.7, -0.2], [-0.2, 0.4]])
    (x, a), (y, b) = grid(means[0], A), grid(means[1], B)
    solved = solve(Problem(x, y, a, b, epsilon=epsilon), tol=1e-6)
    root, s2 = np.real(sqrtm(A)), epsilon / 2
    D = np.real(sqrtm(4 * root @ B @ root + s2**2 * np.eye(2)))
    trace = np.trace(A) + np.trace(B) - np.trace(D)
    entropy = 2 * s2 * (1 - np.log(2 * s2)) + s2 * np.linalg.slogdet(D + s2 * np.eye(2))[1]
    exact = ((means[0] - means[1]) ** 2).sum() + trace + entropy
    np.testing.assert_allclose(solved.value, exact, rtol=1e-6)


@pytest.mark.parametrize("D", [1, 3])
def test_without_entropy_it_is_the_assignment(rng: np.random.Generator, D: int) -> None:
    x, y = rng.random((2, 60, D))
    costs = ((x[:, None] - y) ** 2).sum(-1)
    rows, columns = linear_sum_assignment(costs)
    exact = costs[rows, columns].mean()
    problem = Problem(x, y, epsilon=1e-5 * costs.max())
    solved = solve(problem, tol=1e-3)
    # the entropy of a permutation, beside nothing; and what is not moved yet
    assert exact - 1e-3 * costs.max() <= solved.value <= exact + problem.epsilon * np.log(60)
    assert (stored(solved).argmax(-1) == columns).mean() > 0.9


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda t: t.__name__)
@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-7])
@pytest.mark.parametrize("size", [1e-1, 1e-3], ids=lambda s: f"epsilon{s:g}")
def test_marginals_are_as_near_as_is_claimed(
    rng: np.random.Generator, dtype: Any, tol: float, size: float
) -> None:
    """Whatever the points are in: pairs are in the dtype that resolves the tolerance."""
    x, y = rng.random((50, 2)).astype(dtype), (1 + rng.random((70, 2))).astype(dtype)
    a, b = weighted(rng, 50, 70)
    solved = solve(Problem(x, y, a, b, epsilon=size * 8), tol=tol)
    assert solved.converged
    rows, columns = marginal_errors(solved)
    assert rows <= tol
    assert columns <= tol
    np.testing.assert_allclose(max(rows, columns), solved.errors[-1], rtol=0.3, atol=tol / 4)


def test_float32_far_from_the_origin_keeps_its_digits(rng: np.random.Generator) -> None:
    """Points in float64 whose differences float32 would lose."""
    x, y = 1e6 + rng.random((2, 40, 2))
    solved = solve(Problem(x, y, epsilon=0.01))
    assert max(marginal_errors(solved)) <= 1e-3


@pytest.mark.parametrize("case", ["cube", "clusters", "line"])
def test_acceleration_takes_fewer_steps_and_the_dual_never_falls(
    rng: np.random.Generator, case: str
) -> None:
    x, y = rng.random((2, 100, 1 if case == "line" else 2))
    if case == "clusters":
        x, y = (np.round(2 * points) + 0.05 * points for points in (x, y))
    problem = Problem(x, y, epsilon=0.002)
    counts = []
    for fast in (False, True):
        steps = Alternating(problem, np.float64, {})
        acceleration = Acceleration(problem.b, True, problem.epsilon)
        values, error = [steps.value(np.zeros(100))], 1.0
        while error > 1e-4 and len(values) < 3000:
            g, error = steps.step()
            values.append(steps.value(acceleration.onwards(steps.g, g) if fast else g))
            while fast and (g := acceleration.retreat(values[-1] < values[-2])) is not None:
                values[-1] = steps.value(g)
        assert np.all(np.diff(values) > -1e-12)
        counts.append(len(values))
    assert counts[1] < counts[0] / 3


def test_a_symmetric_problem_has_one_potential(rng: np.random.Generator) -> None:
    x = rng.random((60, 3))
    (a,) = weighted(rng, 60)
    for problem in (Problem(x, x, a, a, epsilon=0.01), Problem(x, x.copy(), a, a, epsilon=0.01)):
        solved = solve(problem, tol=1e-8)
        np.testing.assert_array_equal(solved.f, solved.g)
        np.testing.assert_allclose(marginal_errors(solved), 2 * [solved.errors[-1]], rtol=1e-3)
    other = solve(Problem(x, x[::-1].copy(), a, a[::-1], epsilon=0.01), tol=1e-8)
    np.testing.assert_allclose(solved.value, other.value, rtol=1e-8)


def test_a_cost_that_is_not_symmetric_has_two(rng: np.random.Generator) -> None:
    x = rng.random((30, 2))
    uphill = lambda x, y: x.sqdist(y) + (y - x).sum(-1).exp()  # noqa: E731
    solved = solve(Problem(x, x, cost=uphill, epsilon=0.1), tol=1e-6)
    costs = costs_of(solved.problem) + np.exp(x.sum(-1) - x.sum(-1)[:, None])
    assert max(marginal_errors(solved, costs)) <= 1e-6


def test_errors_are_those_of_every_iteration(rng: np.random.Generator) -> None:
    """Whichever the last one is."""
    problem = Problem(rng.random((40, 2)), rng.random((50, 2)), epsilon=0.01)
    start = np.zeros(40), np.zeros(50)
    errors = solve(problem, tol=1e-6, start=start).errors
    for n in range(1, 8):
        with pytest.warns(ConvergenceWarning, match=f"after {n} iterations"):
            solved = solve(problem, tol=1e-6, start=start, max_iter=n)
        assert len(solved.errors) == n
        np.testing.assert_allclose(max(marginal_errors(solved)), solved.errors[-1], rtol=1e-3)
        np.testing.assert_array_equal(solved.errors, errors[:n])


@pytest.mark.parametrize("start", ["gaussian", "sorted"])
def test_starts_save_steps_and_change_nothing(rng: np.random.Generator, start: str) -> None:
    D = 1 if start == "sorted" else 3
    x, y = rng.normal(size=(200, D)), 2 + rng.normal(size=(220, D)) * 0.5
    a, b = weighted(rng, 200, 220)
    problem = Problem(x, y, a, b, epsilon=0.5)
    fast, slow = (solve(problem, tol=1e-6, start=s) for s in (start, "zero"))
    assert len(fast.errors) < len(slow.errors)
    np.testing.assert_allclose(fast.value, slow.value, rtol=1e-6)


@pytest.mark.parametrize("shape", [(), (2, 3)], ids=["one", "batch"])
def test_gaussian_potentials_are_those_of_gaussians(shape: tuple[int, ...]) -> None:
    """Nothing is left to do, on grids whose moments are those of Gaussians."""
    x, a = grid(np.zeros(1), np.eye(1))
    y, b = grid(np.ones(1), 0.3 * np.eye(1))
    x, y, a, b = (np.broadcast_to(h, (*shape, *h.shape)).copy() for h in (x, y, a, b))
    solved = solve(Problem(x, y, a, b, epsilon=4.0), tol=1e-6, start="gaussian")
    assert solved.errors[0].shape == shape
    assert np.all(solved.errors[0] <= 1e-6)


def test_a_solution_is_a_start(rng: np.random.Generator) -> None:
    x, y = rng.random((40, 2)), rng.random((50, 2))
    problem = Problem(x, y, epsilon=0.01)
    solved = solve(problem, tol=1e-5)
    for again in (solved, (solved.f, solved.g), [solved.f, solved.g]):
        assert len(solve(problem, tol=1e-5, start=again).errors) <= 2  # in float32 and float64
    sharper = solve(Problem(x, y, epsilon=0.008), tol=1e-5, start=solved)
    assert len(sharper.errors) < len(solve(sharper.problem, tol=1e-5).errors)


def test_a_solution_is_a_start_for_other_points(rng: np.random.Generator) -> None:
    """From a sample of the points to all of them."""
    x, y = rng.random((400, 2)), rng.random((500, 2)) ** 2
    sample = solve(Problem(x[::2], y[::2], epsilon=0.02))
    problem = Problem(x, y, epsilon=0.02)
    first = solve(problem, tol=1.9, start=sample)
    assert (
        first.errors[0] < 0.2 * solve(problem, tol=1.9, start=(0 * first.f, 0 * first.g)).errors[0]
    )
    assert max(marginal_errors(solve(problem, start=sample))) <= 1e-3


@pytest.mark.parametrize("tol", [1e-4, 1e-7], ids="tol={:g}".format)
def test_many_points_begin_with_a_sample(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, tol: float
) -> None:
    """Which saves reductions of all pairs, and changes nothing; in one dtype, or in both."""
    x, y = rng.random((2100, 2)), rng.random((2200, 2)) ** 2
    a, b = weighted(rng, 2100, 2200)
    sizes: list[int] = []

    def counted(self: Any, h: Any) -> Any:
        result = half(self, h)
        sizes.append(h.shape[-1] * result.shape[-1])
        return result

    half = Softmin.__call__
    monkeypatch.setattr(Softmin, "__call__", counted)
    values, whole = [], []
    for start in ("zero", (np.zeros(2100), np.zeros(2200))):
        solved = solve(Problem(x, y, a, b, epsilon=0.02), tol=tol, start=start)
        values.append(solved.value)
        whole.append(sizes.count(2100 * 2200))
        sizes.clear()
    assert whole[0] < whole[1]
    np.testing.assert_allclose(values[0], values[1], rtol=1e-6)


def test_a_batch_is_its_problems(rng: np.random.Generator) -> None:
    x, y = rng.random((2, 3, 20, 2)), rng.random((2, 3, 30, 2))
    a, b = rng.random((2, 3, 20)), rng.random((2, 3, 30))
    a, b = a / a.sum(-1, keepdims=True), b / b.sum(-1, keepdims=True)
    x[1, 1] *= 3
    together = solve(Problem(x, y, a, b, epsilon=0.02), tol=1e-7)
    assert together.errors[-1].shape == (2, 3)
    for side in marginal_errors(together):
        assert (side <= 1e-7).all()
    for k in np.ndindex(2, 3):
        alone = solve(Problem(x[k], y[k], a[k], b[k], epsilon=0.02), tol=1e-7)
        np.testing.assert_allclose(together.value[k], alone.value, rtol=1e-6)


def test_costs_may_hold_numbers_of_the_points(rng: np.random.Generator) -> None:
    """Which no sample of the points is for."""
    x, y = rng.random((20, 2)), rng.random((30, 2))
    i, j = rng.random((20, 1)), rng.random((30, 1))
    cost = lambda x, y: x.sqdist(y) + (Vi(i) - Vj(j)).square()  # noqa: E731
    solved = solve(Problem(x, y, cost=cost, epsilon=0.05), tol=1e-6)
    features = Problem(np.hstack([x, i]), np.hstack([y, j]), epsilon=0.05)
    np.testing.assert_allclose(solved.value, solve(features, tol=1e-6).value, rtol=1e-6)


@pytest.mark.parametrize("start", ["zero", "gaussian", "sorted"])
@pytest.mark.parametrize("penalty", [None, "kl", "tv"])
def test_arrays_of_a_gpu(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, start: str, penalty: str | None
) -> None:
    """Vectors stay where the points are."""
    cupy = fake_cupy.install(monkeypatch)
    x, y = rng.random((20, 2)), rng.random((25, 2))
    how = {"epsilon": 0.05} | ({"reach": 0.4, "penalty": penalty} if penalty else {})
    here = solve(Problem(x, y, **how), start=start)
    there = solve(Problem(cupy.asarray(x), cupy.asarray(y), **how), start=start)
    assert isinstance(there.f, cupy.ndarray)
    np.testing.assert_allclose(there.f.get(), here.f, atol=1e-6)


@pytest.mark.parametrize("tqdm", [True, False], ids=["bar", "lines"])
def test_progress(
    tqdm: bool, rng: np.random.Generator, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not tqdm:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    solved = solve(Problem(rng.random((20, 2)), rng.random((30, 2)), epsilon=0.05), verbose=2)
    said = capsys.readouterr()
    assert "error=" in said.err if tqdm else f"Iteration {len(solved.errors)}" in said.out
    solve(solved.problem)
    assert not any(capsys.readouterr())
