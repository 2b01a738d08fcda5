"""Plans that are not stored, beside the matrices that they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers import eps, sum_error
from scipy.special import softmax

from georeduce.apps.ot import Problem, Transport, solve
from georeduce.engine import ArgumentError, DTypeError, ShapeError, Vi, options

Array = np.ndarray[Any, Any]
EPSILON = 0.05


@pytest.fixture(params=[np.float64, np.float32], ids=lambda t: t.__name__)
def dtype(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def solved(rng: np.random.Generator, dtype: Any) -> Transport:
    x, y = rng.random((30, 3)).astype(dtype), rng.random((40, 3)).astype(dtype)
    a, b = rng.random(30), rng.random(40)
    a[3], b[5:7] = 0, 0
    return solve(Problem(x, y, a / a.sum(), b / b.sum(), epsilon=EPSILON), tol=1e-6)


def costs(solved: Transport) -> Array:
    x, y = (points.astype(float) for points in (solved.problem.x, solved.problem.y))
    return ((x[..., :, None, :] - y[..., None, :, :]) ** 2).sum(-1)


def stored(solved: Transport) -> Array:
    """The plan by NumPy in float64."""
    p = solved.problem
    sums = solved.f[..., :, None] + solved.g[..., None, :]
    weights = p.a[..., :, None] * p.b[..., None, :]
    return weights * np.exp((sums - costs(solved)) / p.epsilon)


def error(solved: Transport, dtype: Any) -> float:
    """Relative error of entries: exponents are of the size of the potentials over epsilon."""
    size = (np.abs(solved.f).max() + np.abs(solved.g).max()) / solved.problem.epsilon
    return 16 * eps(dtype) * (1 + size) + sum_error(dtype, max(solved.plan.shape))


def test_a_plan_is_its_matrix(rng: np.random.Generator, solved: Transport, dtype: Any) -> None:
    plan, P = solved.plan, stored(solved)
    rtol = error(solved, dtype)
    u, v = rng.random((2, 30)).astype(dtype), rng.random((40, 2)).astype(dtype)
    found = {
        "dense": (plan.dense(), P),
        "applied": (plan @ v, P @ v),
        "a vector": (plan @ v[:, 0], P @ v[:, 0]),
        "from the left": (u @ plan, u @ P),
        "a vector from the left": (u[0] @ plan, u[0] @ P),
        "transposed": (plan.T @ u.T, P.T @ u.T),
        "rows": (plan.sum(axis=1), P.sum(1)),
        "columns": (plan.sum(axis=-2), P.sum(0)),
        "rows of the transpose": (plan.T.sum(axis=-1), P.sum(0)),
    }
    for what, (ours, exact) in found.items():
        assert ours.dtype == dtype, what
        np.testing.assert_allclose(ours, exact, rtol=rtol, err_msg=what)
    assert plan.shape == (30, 40)
    assert plan.T.shape == (40, 30)
    np.testing.assert_allclose(plan.sum(), 1, rtol=rtol)
    assert (plan.dense()[3] == 0).all()
    assert (plan.dense()[:, 5:7] == 0).all()


def test_a_law_given_the_source(rng: np.random.Generator, solved: Transport, dtype: Any) -> None:
    law, P = solved.plan.conditional(), stored(solved)
    p = solved.problem
    with np.errstate(divide="ignore"):
        exact = softmax(np.log(p.b) + (solved.g - costs(solved)) / p.epsilon, axis=1)
    rtol = error(solved, dtype)
    values = rng.random((40, 2)).astype(dtype)
    np.testing.assert_allclose(law.dense(), exact, rtol=rtol)
    np.testing.assert_allclose(law.mean(), exact @ p.y, rtol=rtol)
    np.testing.assert_allclose(law.mean(values), exact @ values, rtol=rtol)
    np.testing.assert_allclose(law.mean(values[:, 0]), exact @ values[:, 0], rtol=rtol)
    np.testing.assert_array_equal(law.argmax(), exact.argmax(1))
    back = solved.plan.T.conditional().mean(p.x)
    some = p.b > 0
    np.testing.assert_allclose(back[some], (P.T @ p.x)[some] / P.sum(0)[some, None], rtol=rtol)


def test_what_users_look_for_is_there(solved: Transport, dtype: Any) -> None:
    plan, P, p = solved.plan, stored(solved), solved.problem
    np.testing.assert_array_equal(plan.argmax()[p.a > 0], P.argmax(1)[p.a > 0])
    np.testing.assert_array_equal(plan.T.argmax()[p.b > 0], P.argmax(0)[p.b > 0])
    np.testing.assert_array_equal(plan.sample(1), plan.conditional().sample(1))
    assert (P[np.arange(30), plan.sample(1)] > 0)[p.a > 0].all()
    rtol = error(solved, dtype)
    np.testing.assert_allclose(np.sum(plan), 1, rtol=rtol)
    np.testing.assert_allclose(np.sum(plan, axis=1), P.sum(1), rtol=rtol)


def test_new_points_have_a_law(rng: np.random.Generator, solved: Transport, dtype: Any) -> None:
    p, law = solved.problem, solved.plan.conditional()
    new = solved.plan.conditional(p.x[:4].copy())
    assert new.shape == (4, 40)
    assert repr(new) == "Conditional(plan=Plan of shape (30, 40))"
    np.testing.assert_array_equal(new.mean(), law.mean()[:4])
    # far away the law is that of the farthest point there, not 0 / 0
    far = solved.plan.conditional(np.full((1, 3), 1e3, dtype))
    assert far.argmax() == (p.y.sum(1) * (p.b > 0)).argmax()
    np.testing.assert_allclose(far.mean(), p.y[far.argmax()], rtol=eps(dtype))


def test_samples_follow_the_law(solved: Transport) -> None:
    law = solved.plan.conditional()
    n = 400
    again = solved.plan.conditional(np.repeat(solved.problem.x, n, axis=0))
    drawn = again.sample(random_state=0).reshape(30, n)
    p = law.dense().astype(float)
    counts = np.stack([np.bincount(row, minlength=40) for row in drawn])
    assert (counts[p == 0] == 0).all()
    # each count is within five standard deviations, and all of them as near as counts are
    spread = np.sqrt(n * p * (1 - p)) + 1
    assert (abs(counts - n * p) < 5 * spread).all()
    likely = n * p > 1
    assert 0.8 < (((counts - n * p) ** 2)[likely] / (n * p * (1 - p))[likely]).mean() < 1.2
    np.testing.assert_array_equal(drawn, again.sample(random_state=0).reshape(30, n))


def test_samples_invert_the_cumulative_law(rng: np.random.Generator) -> None:
    x, y = rng.random((5, 3)), rng.random((1000, 3))
    law = solve(Problem(x, y, epsilon=EPSILON)).plan.conditional()
    upto = law.dense().cumsum(axis=1)
    share = np.random.RandomState(7).random_sample(5)[:, None] * upto[:, -1:]
    np.testing.assert_array_equal(law.sample(random_state=7), (upto <= share).sum(axis=1))


@pytest.mark.parametrize("penalty", ["kl", "tv"])
@pytest.mark.parametrize("reach", [None, 0.4, (None, 0.4)], ids=str)
def test_parts_of_the_value(rng: np.random.Generator, reach: Any, penalty: str) -> None:
    x, y = rng.random((30, 3)), rng.random((40, 3))
    a, b = (w / w.sum() for w in (rng.random(30), rng.random(40)))
    problem = Problem(x, y, a, b, epsilon=EPSILON, reach=reach, penalty=penalty)
    tol = 1e-10
    solved = solve(problem, tol=tol)
    P, C, ab = stored(solved), costs(solved), np.outer(a, b)
    marginals = (P.sum(1), a), (P.sum(0), b)
    expected = [(P * C).sum(), EPSILON * ((P * np.log(P / ab)).sum() - P.sum() + 1)]
    for (m, w), r in zip(marginals, problem.reach, strict=True):
        size = {"kl": (m * np.log(m / w) - m + w).sum(), "tv": abs(m - w).sum()}[penalty]
        expected.append(0 if r is None else r**2 * size)
    rtol = error(solved, np.float64)
    np.testing.assert_allclose(solved.parts, expected, rtol=rtol, atol=rtol)
    # no gap between the primal and the dual: both are the value, to the order of the error
    np.testing.assert_allclose(sum(solved.parts), solved.value, rtol=100 * tol)


def test_float32_points_keep_the_digits_of_a_sharp_plan(rng: np.random.Generator) -> None:
    x, y = (rng.random((30, 3)).astype(np.float32) for _ in range(2))
    f, g = np.full(30, 300.0), np.zeros(30)
    sharp = Transport(Problem(x, y + 10, epsilon=1e-3), f, g, (), True)
    assert sharp.plan.dtype == np.float64
    exponents = (f[:, None] - costs(sharp)) / 1e-3
    np.testing.assert_allclose(
        sharp.plan.conditional().dense(), softmax(exponents, axis=1), rtol=8 * eps(np.float32)
    )


def test_batches_are_problems_side_by_side(rng: np.random.Generator) -> None:
    x, y = rng.random((2, 30, 3)), rng.random((2, 40, 3))
    whole = solve(Problem(x, y, epsilon=EPSILON), tol=1e-9)
    v = rng.random((2, 40, 2))
    for k in range(2):
        one = Transport(Problem(x[k], y[k], epsilon=EPSILON), whole.f[k], whole.g[k], (), True)
        np.testing.assert_allclose((whole.plan @ v)[k], one.plan @ v[k])
        np.testing.assert_allclose((whole.plan.T @ x)[k], one.plan.T @ x[k])
        np.testing.assert_allclose(whole.plan.sum(axis=1)[k], one.plan.sum(axis=0))
        np.testing.assert_allclose(whole.plan.sum(axis=2)[k], one.plan.sum(axis=1))
        law, alone = whole.plan.conditional(), one.plan.conditional()
        np.testing.assert_allclose(law.mean()[k], alone.mean())
        np.testing.assert_array_equal(law.argmax()[k], alone.argmax())
        np.testing.assert_allclose([p[k] for p in whole.parts], one.parts)
    upto = law.dense().cumsum(axis=-1)
    share = np.random.RandomState(0).random_sample((2, 30))[..., None]
    np.testing.assert_array_equal(law.sample(random_state=0), (upto <= share).sum(axis=-1))


def test_plans_of_tensors_give_tensors(solved: Transport, dtype: Any) -> None:
    p = solved.problem
    x, y = (torch.tensor(points, requires_grad=True) for points in (p.x, p.y))
    there = Transport(
        Problem(x, y, torch.tensor(p.a), torch.tensor(p.b), epsilon=EPSILON),
        solved.f, solved.g, (), True,
    )  # fmt: skip
    plan, ours = there.plan, solved.plan
    pairs = [
        (plan @ y.detach(), ours @ p.y),
        (plan.sum(axis=1), ours.sum(axis=1)),
        (plan.conditional().mean(), ours.conditional().mean()),
        (plan.conditional().argmax(), ours.conditional().argmax()),
        (plan.conditional().sample(0), ours.conditional().sample(0)),
        (plan.dense(), ours.dense()),
    ]
    for tensor, array in pairs:
        assert not tensor.requires_grad
        np.testing.assert_allclose(tensor.numpy(), array, rtol=error(solved, dtype))
    # values have derivatives: a map is linear in them
    v = torch.ones(40, dtype=x.dtype, requires_grad=True)
    (plan @ v).sum().backward()
    np.testing.assert_allclose(v.grad, ours.sum(axis=0), rtol=error(solved, dtype))


def test_costs_may_be_one_sided(rng: np.random.Generator) -> None:
    x, y = rng.random((30, 3)), rng.random((40, 3))
    problem = Problem(x, y, cost=lambda x, y: (y - x).relu().sum(-1), epsilon=EPSILON)
    plan = solve(problem).plan
    np.testing.assert_allclose(plan.T.dense(), plan.dense().T)
    np.testing.assert_allclose(plan.T.conditional(y[:2]).mean(), plan.T.conditional().mean()[:2])


def test_costs_with_arrays_of_their_own(rng: np.random.Generator, dtype: Any) -> None:
    x, y = rng.random((30, 3)).astype(dtype), rng.random((40, 3)).astype(dtype)
    more = Vi(rng.random((30, 1)).astype(dtype))
    problem = Problem(x, y, cost=lambda x, y: x.sqdist(y) + more, epsilon=EPSILON)
    plan = Transport(problem, np.zeros(30), np.zeros(40), (np.float64(1e-9),), True).plan
    assert plan.dtype == dtype
    P = plan.dense()
    np.testing.assert_allclose(plan.T.sum(axis=1), P.sum(0), rtol=sum_error(dtype, 30) * 2)
    upto = (P / P.sum(1, keepdims=True)).cumsum(axis=1)
    share = np.random.RandomState(0).random_sample((30, 1))
    drawn = plan.conditional().sample(0)
    # in float32 a threshold may be on the other side of a number
    assert (drawn == (upto <= share).sum(axis=1)).mean() > 0.9
    with pytest.raises(ShapeError, match=r"got 3 and 30.*\n.*make it features of the points"):
        plan.conditional(x[:3]).mean()


def test_infinite_costs_are_no_part_of_the_value(rng: np.random.Generator) -> None:
    x, y = rng.random((30, 3)), rng.random((40, 3))
    x[:15, 0], y[:20, 0] = 5, 5

    def near(x: Any, y: Any) -> Any:
        return (x.sqdist(y) < 4).where(x.sqdist(y), np.inf)

    plan = Transport(Problem(x, y, cost=near, epsilon=1), np.zeros(30), np.zeros(40), (), True).plan
    P, C = plan.dense(), ((x[:, None] - y) ** 2).sum(-1)
    assert (P[:15, 20:] == 0).all()
    np.testing.assert_allclose(plan.cost, (P * C).sum())
    nowhere = plan.conditional(np.full((1, 3), 50.0))
    assert np.isnan(nowhere.mean()).all()
    assert nowhere.sample() == -1


def test_what_is_refused(solved: Transport, dtype: Any) -> None:
    plan, ones = solved.plan, np.ones(7, dtype)
    with pytest.raises(ShapeError, match=r"values of shape \(40,\).*got shape \(7,\)"):
        plan @ ones
    with pytest.raises(ShapeError, match=r"values of shape \(30,\).*got shape \(7,\)"):
        ones @ plan
    with pytest.raises(ArgumentError, match=r"axis=0 \(over rows\), 1 \(over columns\) or None"):
        plan.sum(axis=2)
    with pytest.raises(ShapeError, match=r"points of shape \(n, 3\), but got shape \(7,\)"):
        plan.conditional(ones)
    with pytest.raises(DTypeError, match=r"values of the rows of the plan as a NumPy.*got list"):
        [1.0] @ plan
    with pytest.raises(ArgumentError, match="random_state"):
        plan.conditional().sample(random_state="now")
    for asked in (np.asarray, np.argmax):
        with pytest.raises(DTypeError, match=r"a Plan, which is never stored\. Use \.dense\(\)"):
            asked(plan)
    for asked in (lambda plan: 2 * plan, lambda plan: plan * ones, lambda plan: ones * plan):
        with pytest.raises(DTypeError, match=r"arrays, but got a Plan.*plan\.matrix"):
            asked(plan)
    with pytest.raises(ArgumentError, match="dtype=None for a Plan, but got"):
        np.sum(plan, dtype=np.float64)
    with pytest.raises(ArgumentError, match=r"axis=0 .*got \(0, 1\)"):
        np.sum(plan, axis=(0, 1))
    for wrong in (np.nan, np.inf):
        points = np.zeros((4, 3), dtype)
        points[2, 1] = wrong
        with pytest.raises(
            ArgumentError, match=rf"finite numbers in x, but got {wrong} at \(2, 1\)"
        ):
            plan.conditional(points)


def test_large_plans_are_not_stored() -> None:
    many = np.zeros((100_000, 1), np.float32)
    plan = Transport(Problem(many, many, epsilon=1), *np.zeros((2, 100_000)), (), True).plan
    sentence = r"at most 67108864 numbers.*\(100000, 100000\), 74.5 GiB in float64\. Apply the plan"
    with options(backend="numpy"), pytest.raises(ShapeError, match=sentence):
        plan.dense()
    with pytest.raises(ShapeError, match=sentence):
        plan.conditional().dense()
