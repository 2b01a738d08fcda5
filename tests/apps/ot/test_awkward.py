"""What is extreme, degenerate or wrong: never NaN, never silence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers import sum_error
from plans import costs_of, marginal_errors, stored

from georeduce.apps.ot import (
    Problem,
    SinkhornTransport,
    Transport,
    TransportKernel,
    _softmin,
    barycenter,
    solve,
)
from georeduce.apps.ot._start import STARTS
from georeduce.engine import ArgumentError, ConvergenceWarning, LazyTensor, ShapeError

Array = np.ndarray[Any, Any]


def near(x: LazyTensor, y: LazyTensor) -> Any:
    """Cost the squared distance up to 0.8, infinity beyond."""
    d2 = x.sqdist(y)
    return (d2 < 0.64).where(d2, np.inf)


def sound(solved: Any) -> bool:
    return bool(np.isfinite(solved.f).all() and np.isfinite(solved.g).all())


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda t: t.__name__)
@pytest.mark.parametrize("size", [1e-6, 1e-3, 1.0, 1e3], ids=lambda s: f"epsilon{s:g}")
def test_any_epsilon(rng: np.random.Generator, dtype: Any, size: float) -> None:
    x, y = rng.random((40, 2)).astype(dtype), rng.random((50, 2)).astype(dtype)
    solved = solve(Problem(x, y, epsilon=2 * size), max_iter=20_000)
    assert sound(solved)
    assert solved.converged
    assert max(marginal_errors(solved)) <= 1e-3


def test_without_convergence_it_says_so(rng: np.random.Generator) -> None:
    problem = Problem(rng.random((200, 2)), rng.random((200, 2)), epsilon=1e-6)
    with pytest.warns(
        ConvergenceWarning, match=r"The marginal error is 0\.\d+ after 3 .*tol=1e-06"
    ):
        solved = solve(problem, tol=1e-6, max_iter=3)
    assert sound(solved)
    assert not solved.converged
    np.testing.assert_allclose(max(marginal_errors(solved)), solved.errors[-1], rtol=0.1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda t: t.__name__)
@pytest.mark.parametrize("scale", [1e-15, 1e15, 1e25])
def test_units_do_not_matter(rng: np.random.Generator, dtype: Any, scale: float) -> None:
    """Squares that float32 has no numbers for included."""
    x, y = rng.random((2, 30, 2))
    one = solve(Problem(x, y, epsilon=0.05), tol=1e-5)
    other = solve(
        Problem((scale * x).astype(dtype), (scale * y).astype(dtype), epsilon=0.05 * scale**2),
        tol=1e-5,
    )
    np.testing.assert_allclose(stored(other), stored(one), atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [(np.float64, 1e-120), (np.float64, 1e100), (np.float64, 1e150)]
    + [(np.float32, scale) for scale in (1e-35, 1e-20, 1e20, 1e35)],
    ids=lambda value: f"{value:g}" if isinstance(value, float) else value.__name__,
)
@pytest.mark.parametrize("start", STARTS)
def test_units_of_the_usual_epsilon(
    rng: np.random.Generator, dtype: Any, scale: float, start: str
) -> None:
    """As many steps, or some more, lead to the same plan where squares of costs overflow."""
    x, y = rng.random((2, 30, 2)).astype(np.float32)
    there = (scale * x.astype(float)).astype(dtype), (scale * y.astype(float)).astype(dtype)
    one = solve(Problem(x.astype(float), y.astype(float)), tol=1e-6, start=start)
    other = solve(Problem(*there), tol=1e-6, start=start)
    np.testing.assert_allclose(other.problem.epsilon, one.problem.epsilon * scale**2, rtol=1e-6)
    atol = float(np.finfo(dtype).tiny)
    np.testing.assert_allclose(other.plan.dense(), one.plan.dense(), rtol=1e-3, atol=atol)
    assert len(other.errors) < 1.5 * len(one.errors)
    usual = Transport(other.problem, other.f, other.g, (), True).plan
    np.testing.assert_allclose(usual.sum(), 1, rtol=1e-3)


def test_units_in_which_costs_are_lost(rng: np.random.Generator) -> None:
    x, y = 1e-130 * rng.random((2, 30, 2))
    with pytest.raises(ArgumentError, match=r"epsilon is at least 1e-250.*Multiply the points"):
        Problem(x, y)


def test_costs_that_overflow(rng: np.random.Generator) -> None:
    x, y = 1e200 * rng.random((2, 30, 2))
    with pytest.raises(ArgumentError, match="use other units"):
        solve(Problem(x, y, epsilon=1.0))


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (np.ones((1, 2)), np.zeros((1, 2))),
        (np.ones((1, 2)), np.arange(6.0).reshape(3, 2)),
        (np.ones((5, 2)), np.ones((4, 2))),
        (np.repeat(np.eye(2), 10, 0), np.repeat(np.eye(2), 7, 0)),
    ],
    ids=["points", "point-to-many", "same", "repeated"],
)
@pytest.mark.parametrize("reach", [None, 0.5], ids=str)
def test_few_places(x: Array, y: Array, reach: Any) -> None:
    solved = solve(Problem(x, y, epsilon=0.01, reach=reach), tol=1e-6)
    assert sound(solved)
    assert max(marginal_errors(solved)) <= 1e-6


def test_the_exact_cost_of_one_point() -> None:
    solved = solve(Problem(np.zeros((1, 2)), np.ones((1, 2)), epsilon=0.1), tol=1e-9)
    np.testing.assert_allclose(solved.value, 2.0, rtol=1e-12)


@pytest.mark.parametrize("reach", [None, 0.3, (0.3, None)], ids=str)
def test_points_without_weight_do_not_count(rng: np.random.Generator, reach: Any) -> None:
    x, y = rng.random((30, 2)), rng.random((40, 2))
    a, b = rng.random(30), rng.random(40)
    a[::3], b[5:] = 0, 0
    a, b = a / a.sum(), b / b.sum()
    solved = solve(Problem(x, y, a, b, epsilon=0.02, reach=reach), tol=1e-9)
    fewer = Problem(x[a > 0], y[b > 0], a[a > 0], b[b > 0], epsilon=0.02, reach=reach)
    assert sound(solved)
    plan = stored(solved)
    assert not plan[a == 0].any()
    assert not plan[:, b == 0].any()
    np.testing.assert_allclose(
        plan[a > 0][:, b > 0], stored(solve(fewer, tol=1e-9)), atol=1e-9, rtol=0
    )


@pytest.mark.parametrize("penalty", ["kl", "tv"])
@pytest.mark.parametrize("how", ["no points", "no weight"])
def test_nothing_on_one_side(rng: np.random.Generator, penalty: str, how: str) -> None:
    """The price is that of the mass that is left behind."""
    x, y, a = rng.random((30, 2)), rng.random((40, 2)), rng.random(30)
    y, b = (y[:0], np.zeros(0)) if how == "no points" else (y, np.zeros(40))
    for problem in (
        Problem(x, y, a, b, epsilon=0.02, reach=0.5, penalty=penalty),
        Problem(y, x, b, a, epsilon=0.02, reach=0.5, penalty=penalty),
    ):
        solved = solve(problem)
        assert solved.converged
        assert sound(solved)
        dual = sum(
            (w * p.dual(h, np)).sum()
            for w, p, h in zip(
                (problem.a, problem.b), problem.penalties, (solved.f, solved.g), strict=True
            )
        )
        np.testing.assert_allclose(dual, 0.25 * a.sum(), rtol=1e-12)


def test_nothing_on_both_sides() -> None:
    solved = solve(Problem(np.zeros((0, 2)), np.zeros((0, 2))))
    assert solved.converged
    assert (solved.f.shape, solved.g.shape) == ((0,), (0,))
    assert solve(Problem(np.zeros((3, 2)), np.ones((2, 2)), np.zeros(3), np.zeros(2))).converged
    batch = solve(Problem(np.zeros((0, 3, 2)), np.ones((0, 2, 2))))
    assert batch.converged
    assert batch.value.shape == (0,)


def test_mass_that_has_nowhere_to_go(rng: np.random.Generator) -> None:
    x, y = rng.random((30, 2)), rng.random((40, 2))
    with pytest.raises(ArgumentError, match="equal sums"):
        Problem(x, y[:0])
    for reach in ((None, 1.0), (1.0, None)):
        pair = (x, y[:0]) if reach[0] is None else (x[:0], y)
        with pytest.raises(ArgumentError, match="Set reach"):
            solve(Problem(*pair, epsilon=1.0, reach=reach))


def test_costs_that_are_infinite_for_some_pairs(rng: np.random.Generator) -> None:
    x, y = rng.random((40, 2)), rng.random((50, 2))
    solved = solve(Problem(x, y, cost=near, epsilon=0.05), tol=1e-6)
    costs = costs_of(solved.problem)
    costs = np.where(costs < 0.64, costs, np.inf)
    assert max(marginal_errors(solved, costs)) <= 1e-6


def groups(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """Return points in two places that `near` keeps apart, 15 and 15 to `count` and 40 - count."""
    x, y = 0.1 * rng.random((30, 2)), 0.1 * rng.random((40, 2))
    x[15:] += 9
    y[count:] += 9
    return x, y


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda t: t.__name__)
@pytest.mark.parametrize("epsilon", [1.0, 1e-2, 1e-5], ids=lambda e: f"epsilon{e:g}")
@pytest.mark.parametrize("batch", [(), (2,)], ids=["one", "batch"])
def test_groups_of_unequal_masses(
    rng: np.random.Generator, dtype: Any, epsilon: float, batch: tuple[int, ...]
) -> None:
    """Their potentials part for ever, until rounding hides that marginals are off."""

    def problem(count: int, **how: Any) -> Problem:
        x, y = (
            np.broadcast_to(points.astype(dtype), (*batch, *points.shape)).copy()
            for points in groups(rng, count)
        )
        return Problem(x, y, cost=near, epsilon=epsilon, **how)

    with pytest.raises(ArgumentError, match=r"keeps both marginals.*unequal masses\. Set reach"):
        solve(problem(25), tol=1e-8)
    assert solve(problem(20)).converged
    assert solve(problem(25, reach=0.5), max_iter=10**4).converged


def test_a_part_of_the_points_may_have_no_plan() -> None:
    """All of them have one: each point reaches one other, which a sample lacks."""
    x = np.arange(2100.0)[:, None]
    solved = solve(Problem(x, x + 0.1, cost=near, epsilon=1.0), tol=1e-6)
    np.testing.assert_allclose(solved.value, 0.01 + np.log(2100), rtol=1e-6)


def test_no_plan_that_was_not_waited_for(rng: np.random.Generator) -> None:
    problem = Problem(*groups(rng, 25), cost=near, epsilon=1e-2)
    with pytest.warns(ConvergenceWarning, match=r"costs are infinite.*no plan.*Set reach"):
        solve(problem, max_iter=3)


def test_the_usual_epsilon_is_of_finite_costs(rng: np.random.Generator) -> None:
    x, y = rng.random((40, 2)), rng.random((50, 2))
    costs = ((x[:, None] - y) ** 2).sum(-1)
    usual = 0.05 * costs[costs < 0.64].mean()
    np.testing.assert_allclose(
        Problem(x, y, cost=near).epsilon, usual, rtol=sum_error(np.float64, 5000)
    )


@pytest.mark.parametrize("penalty", ["kl", "tv"])
def test_a_point_that_is_out_of_reach(rng: np.random.Generator, penalty: str) -> None:
    x, y = rng.random((40, 2)), rng.random((50, 2))
    x[3] = 9
    with pytest.raises(ArgumentError, match=r"point of x.*at 3\. Set reach"):
        solve(Problem(x, y, cost=near, epsilon=0.05))
    with pytest.raises(ArgumentError, match=r"point of y.*at 3\. Set reach"):
        solve(Problem(y, x, cost=near, epsilon=0.05))
    weights = np.where(np.arange(40) == 3, 0, 1 / 39)
    assert sound(solve(Problem(x, y, weights, cost=near, epsilon=0.05)))
    how = {"cost": near, "epsilon": 0.05, "reach": 0.5, "penalty": penalty}
    solved = solve(Problem(x, y, **how), tol=1e-8)
    without = solve(Problem(np.delete(x, 3, 0), y, np.full(39, 1 / 40), **how), tol=1e-8)
    assert sound(solved)
    np.testing.assert_allclose(np.delete(solved.f, 3), without.f, atol=1e-6)


def test_costs_that_are_no_numbers(rng: np.random.Generator) -> None:
    x, y = rng.random((2, 30, 2))
    with pytest.raises(ArgumentError, match="a cost that is a number"):
        solve(Problem(x, y, cost=lambda x, y: (x.sqdist(y) - 0.1).sqrt(), epsilon=0.1))


@pytest.mark.parametrize("kind", [np.array, torch.tensor, np.float32], ids=lambda k: k.__name__)
def test_numbers_may_be_arrays_without_axes(rng: np.random.Generator, kind: Any) -> None:
    x, y = rng.random((30, 2)), rng.random((40, 2))
    problem = Problem(x, y, epsilon=kind(0.25), reach=(kind(0.5), None))
    assert (problem.epsilon, problem.reach) == (0.25, (0.5, None))
    assert Problem(x, y, epsilon=1.0, reach=kind(2)).reach == (2, 2)
    tol = 2.0**-10
    np.testing.assert_array_equal(solve(problem, tol=kind(tol)).f, solve(problem, tol=tol).f)
    for estimator in (SinkhornTransport, TransportKernel):
        model = estimator(epsilon=kind(0.25), reach=kind(0.5), tol=kind(tol)).fit(x)
        assert model.epsilon_ == 0.25
    assert barycenter([x], epsilon=kind(0.25), tol=kind(0.25)).epsilon == 0.25


def test_epsilon_has_no_derivative() -> None:
    with pytest.raises(ArgumentError, match=r"Pass epsilon\.item\(\): there is no derivative"):
        Problem(np.zeros((5, 2)), np.ones((4, 2)), epsilon=torch.tensor(0.1, requires_grad=True))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"tol": 0}, "tol to be a positive number"),
        ({"max_iter": 1.5}, "max_iter to be a positive integer"),
        ({"scaling": 1}, "scaling to be a number between 0 and 1"),
        ({"start": "sortd"}, "Did you mean 'sorted'"),
        ({"start": (np.zeros(3), np.zeros(4))}, "a potential f of shape"),
        ({"verbose": "yes"}, "verbose to be a bool"),
        ({"backend": "gpu"}, "gpu"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_parameters_that_are_wrong(how: dict[str, Any], words: str) -> None:
    with pytest.raises((ArgumentError, ShapeError), match=words):
        solve(Problem(np.zeros((5, 2)), np.ones((4, 2))), **how)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (
            {"a": np.full((2, 5), [[0.2] * 5, [0.2, 0.2, 0.2, -1, 0.2]])},
            r"-1.0 at \(1, 3\)\. A wei",
        ),
        ({"epsilon": np.ones(2)}, "epsilon > 0, one number"),
        ({"epsilon": 0}, r"ot\.emd"),
        ({"cost": np.ones((5, 4))}, "but got ndarray. Costs are not given as a matrix"),
        ({"cost": "sqeuclid"}, "Did you mean 'sqeuclidean'"),
        ({"y": np.ones((2, 4, 2), np.float32)}, "Convert one of them"),
    ],
    ids=["negative-in-batch", "epsilons", "no-epsilon", "matrix", "misspelt", "dtypes"],
)
def test_problems_that_are_wrong(how: dict[str, Any], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        Problem(**{"x": np.zeros((2, 5, 2)), "y": np.ones((2, 4, 2))} | how)


def test_results_are_shown_in_a_line() -> None:
    solved = solve(Problem(np.zeros((300, 2)), np.ones((200, 2)), epsilon=0.5), tol=1e-6)
    assert repr(solved.problem) == "Problem of 300 to 200 points, cost sqeuclidean, epsilon 0.5"
    assert (
        repr(solved)
        == f"Transport of a {solved.problem}, {len(solved.errors)} iterations, converged"
    )


def test_what_is_no_problem() -> None:
    with pytest.raises(ArgumentError, match="problem to be a Problem"):
        solve(np.zeros((3, 2)))  # type: ignore[arg-type]
    problem = Problem(np.zeros((5, 2)), np.ones((4, 2)), cost="euclidean", epsilon=1.0)
    with pytest.raises(ArgumentError, match="Any cost can begin with start='zero'"):
        solve(problem, start="gaussian")
    other = solve(Problem(np.zeros((5, 3)), np.ones((4, 3)), epsilon=1.0))
    with pytest.raises(ShapeError, match="start to be of points"):
        solve(problem, start=other)


def test_an_interruption_leaves_nothing_broken(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = Problem(rng.random((30, 2)), rng.random((40, 2)), epsilon=0.01)
    before = solve(problem)
    calls = iter(range(100))

    def interrupted(self: Any, h: Any) -> Any:
        if next(calls) == 7:
            raise KeyboardInterrupt
        return original(self, h)

    original = _softmin.Softmin.__call__
    with monkeypatch.context() as patched:
        patched.setattr(_softmin.Softmin, "__call__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            solve(problem, verbose=1)
    np.testing.assert_array_equal(solve(problem).f, before.f)


def test_threads_change_nothing(rng: np.random.Generator) -> None:
    problem = Problem(rng.random((300, 2)), rng.random((400, 2)), epsilon=0.01)
    one, two = (solve(problem, n_threads=n) for n in (1, 2))
    np.testing.assert_array_equal(one.g, two.g)
