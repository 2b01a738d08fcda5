"""Roots of sums of squares at another scale: the same values, and only where data asks for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from formulas import grow, leaves
from helpers import eps
from hypothesis import given
from hypothesis import strategies as st

from georeduce.engine import LazyTensor, Pm, Vi, Vj
from georeduce.engine.backends import get_backend
from georeduce.engine.backends._base import Task
from georeduce.engine.backends._scaling import BLOCK, at_scale, largest
from georeduce.engine.formula import ops as o
from georeduce.engine.formula.evaluate import evaluate
from georeduce.engine.formula.expr import Expr, constant, postorder, variables
from georeduce.engine.formula.rewrite import simplify
from georeduce.engine.formula.scaling import plain, scaled_form
from georeduce.engine.methods import build

Array = np.ndarray[Any, Any]
DTYPES = ["float32", "float64"]
D = 3
FAR = {"float32": (-100, 100), "float64": (-900, 900)}
"""Exponents of points whose squares are out of range, while they and their inverses are not."""

# name -> formula of x, y and a number s of the size of the points, and its degree in all of them
FORMULAS: dict[str, tuple[Callable[..., LazyTensor], int]] = {
    "norm": (lambda x, y, s: x.norm2() + 0 * y.elem(0), 1),
    "distance": (lambda x, y, s: (x - y).norm2(), 1),
    "root of sqdist": (lambda x, y, s: x.sqdist(y).sqrt(), 1),
    "factor": (lambda x, y, s: (x - 3.0 * y).norm2(), 1),
    "smoothed": (lambda x, y, s: ((x / s).sqdist(y / s) + 0.25).sqrt(), 0),
    "inverse": (lambda x, y, s: 1 / (x - y).norm2(), -1),
    "normalize": (lambda x, y, s: x.normalize() | y.normalize(), 0),
    "cosine": (lambda x, y, s: (x | y) / (x.norm2() * y.norm2()), 0),
    "direction": (lambda x, y, s: ((x - y) / (x - y).norm2()).sum(-1), 0),
    "laplacian": (lambda x, y, s: (-(x - y).norm2() / s).exp(), 0),
    "laplacian of quotients": (lambda x, y, s: (-((x - y) / s).norm2()).exp(), 0),
    "inside": (lambda x, y, s: ((x - y).norm2() < s).ifelse(1.0, 2.0), 0),
    "sum of two": (lambda x, y, s: (x - y).norm2() + x.norm2() + s, 1),
    "parts": (lambda x, y, s: x[:2].concat(y[1:]).norm2() + x[0], 1),
    "root of ratio": (
        lambda x, y, s: x.norm2() + y.norm2() + s * (x.sqnorm2() / y.sqnorm2()).sqrt(),
        1,
    ),
    "ratio": (lambda x, y, s: (x - y).norm2() / (x.norm2() + y.norm2()), 0),
}


def points(dtype: str, n: int = 17) -> tuple[Array, Array]:
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-1, 1, (n, D)), rng.uniform(-1, 1, (n + 6, D))
    return x.astype(dtype), y.astype(dtype)


def formula(name: str, x: Array, y: Array, size: float = 1.0) -> LazyTensor:
    return FORMULAS[name][0](Vi(x), Vj(y), Pm([0.75 * size]))


# --- The same values --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FORMULAS)
def test_far_from_one(name: str, dtype: str, backend: str) -> None:
    x, y = points(dtype)
    near = formula(name, x, y).max(axis=1, backend=backend)
    degree = FORMULAS[name][1]
    for n in FAR[dtype]:
        size = 2.0**n
        got = formula(name, np.ldexp(x, n), np.ldexp(y, n), size).max(axis=1, backend=backend)
        assert got.dtype == dtype
        # exact but for the last places of functions, and of divisions made into products
        tolerance = 16 * eps(dtype)
        np.testing.assert_allclose(np.ldexp(got, -n * degree), near, rtol=tolerance, atol=tolerance)


def around_roots(a: Expr, b: Expr, c: Expr) -> Iterator[Expr]:
    """Yield formulas with roots of two formulas and a number."""
    norm_a, norm_b = o.OPS["norm2"](a), o.OPS["norm2"](b)
    yield norm_a
    yield o.mul(a, o.rsqrt(o.sum_(o.square(a))))
    yield o.div(o.OPS["dot"](a, a), norm_a)
    yield o.sqrt(o.add(o.sum_(o.square(a)), o.square(c)))
    yield o.add(o.mul(a, norm_a), c)
    yield o.div(norm_a, norm_b)
    yield o.sub(norm_b, o.mul(norm_a, norm_a))
    yield o.where(o.lt(norm_a, norm_b), norm_a, b)
    yield o.sqrt(o.mul(o.inv(norm_a), norm_b))
    yield o.exp(o.neg(o.abs_(o.div(norm_a, c))))
    yield o.minimum(norm_a, o.maximum(norm_b, constant(0)))


@given(st.randoms(use_true_random=False))
def test_any_formula_is_the_same_to_the_bit(random: Any) -> None:
    """Powers of two are exact, so that nothing but the way is another."""
    a, b = (grow(random.randrange, 2, D) for _ in range(2))
    if a.dim != b.dim:
        a, b = o.sum_(a), o.sum_(b)
    rng = np.random.default_rng(2)
    values = {e: rng.uniform(-2, 2, e.dim) for e in leaves(D)}
    number = leaves(D)[-2]
    for e in map(simplify, around_roots(a, b, number)):
        form = scaled_form(e, None)
        if form is None:
            continue
        exponents = [random.randrange(-20, 20) for _ in range(1 + max(c for _, c in form.scaled))]
        slots = {v.params[1]: a for v, a in values.items()}
        for n, (slot, c) in enumerate(form.scaled):
            slots[form.first + n] = np.ldexp(slots[slot], -exponents[c])
        for n, power in enumerate(form.powers):
            place = form.first + len(form.scaled) + 2 * n
            slots[place] = np.array([2.0 ** sum(d * exponents[c] for c, d in power)])
            slots[place + 1] = np.ones(1)
        given_values = {v: slots[v.params[1]] for v in variables(form.formula)}
        expected = evaluate(e, values, np.float64)
        np.testing.assert_array_equal(evaluate(form.formula, given_values, np.float64), expected)


def test_most_of_these_formulas_have_a_second_form() -> None:
    a, b, c = leaves(D)[1], leaves(D)[5], leaves(D)[-2]
    made = [scaled_form(simplify(e), None) for e in around_roots(a, b, c)]
    assert all(form is not None for form in made)


def test_what_has_no_second_form() -> None:
    x, y = (Vi(np.ones((4, D))), Vj(np.ones((5, D))))
    without = [x.sqdist(y), (-x.sqdist(y)).exp(), x.exp().norm2() * y, (x | y).abs().sqrt(),
               (x + y).sqrt().sum(-1), (x - y).abs().sum(-1)]  # fmt: skip
    for f in without:
        task, data = build(f, "sum", "j")
        assert scaled_form(task.formula, task.weight) is None
        assert at_scale(task, data) == (task, data)


def test_quotients_of_sizes_are_what_counts() -> None:
    # the points are tiny, the roots are not
    x, y = points("float32")
    tiny = formula("laplacian of quotients", np.ldexp(x, -100), np.ldexp(y, -100), 2.0**-100)
    task, data = build(tiny, "sum", "j")
    assert at_scale(task, data) == (task, data)


def test_a_weight_with_a_root(backend: str) -> None:
    x, y = points("float32")
    for n in (0, 90):
        huge = Vj(np.ldexp(y, n))
        got = (-Vi(x).sqdist(Vj(y))).sumsoftmaxweight(huge.norm2(), axis=1, backend=backend)
        if n == 0:
            near = got
    np.testing.assert_allclose(np.ldexp(got, -n), near, rtol=16 * eps("float32"))


@pytest.mark.parametrize("dtype", DTYPES)
def test_small_points_among_huge_ones(dtype: str, backend: str) -> None:
    """What the documentation promises: to 2^-110 of the largest in float32, 2^-1000 in float64."""
    x, _ = points(dtype, 8)
    n, below = (100, 110) if dtype == "float32" else (900, 1000)
    exponents = np.array([0] * 4 + [below] * 4)[:, None]
    mixed = np.ldexp(x, n - exponents)
    got = (Vi(mixed).norm2() * Vj(np.ones((1, 1), dtype))).sum(axis=1, backend=backend)
    exact = np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    np.testing.assert_allclose(np.ldexp(got, exponents - n), exact, rtol=(D + 4) * eps(dtype))


def test_points_are_scaled_rather_than_factors(backend: str) -> None:
    """The differences would overflow before a factor could help."""
    x, y = np.full((2, D), 3e38, np.float32), np.full((3, D), -3e38, np.float32)
    p = np.full(D, 1e-10, np.float32)
    got = (Pm(p) * (Vi(x) - Vj(y))).norm2().max(axis=1, backend=backend)
    np.testing.assert_allclose(got, 6e28 * np.sqrt(D), rtol=(D + 6) * eps("float32"))


def test_a_number_beside_a_tiny_root(backend: str) -> None:
    x, y = (np.ldexp(a, -120) for a in points("float32"))
    d = (Vi(x) - Vj(y)).norm2()
    assert (d + 1).max(axis=1, backend=backend).tolist() == [[1.0]] * len(x)
    assert (1 / (1 + d)).min(axis=1, backend=backend).tolist() == [[1.0]] * len(x)


def test_infinities_and_nan_beside_huge_numbers(backend: str) -> None:
    x, y = (np.ldexp(a, 100) for a in points("float32"))
    fine = (Vi(x) - Vj(y)).norm2().max(axis=1, backend=backend)
    x[3, 1], x[5, 0], x[7, 2] = np.inf, -np.inf, np.nan
    got = (Vi(x) - Vj(y)).norm2().sum(axis=1, backend=backend)[:, 0]
    assert got[[3, 5]].tolist() == [np.inf] * 2
    assert np.isnan(got[7])
    got = (Vi(x) - Vj(y)).norm2().max(axis=1, backend=backend)
    others = [n for n in range(len(x)) if n not in (3, 5, 7)]
    np.testing.assert_array_equal(got[others], fine[others])


def test_batches(backend: str) -> None:
    x, y = points("float32")
    both = np.stack([np.ldexp(x, 100), np.ldexp(x, 80)])
    far = np.ldexp(y, 100)
    got = (Vi(both) - Vj(far[None])).norm2().sum(axis=2, backend=backend)
    for part, a in zip(got, both, strict=True):
        alone = (Vi(a) - Vj(far)).norm2().sum(axis=1, backend=backend)
        np.testing.assert_allclose(part, alone, rtol=(D + 4) * eps("float32"))


def test_along_rows(backend: str) -> None:
    x, y = (np.ldexp(a, 100) for a in points("float32"))
    d = (Vi(x) - Vj(y)).norm2()
    np.testing.assert_array_equal(
        d.argmin(axis=0, backend=backend), d.T.argmin(axis=1, backend=backend)
    )


# --- Only where data asks for it --------------------------------------------------------------


ORDINARY = {
    "random": lambda a: a,
    "small": lambda a: np.ldexp(a, -36),
    "large": lambda a: np.ldexp(a, 38),
    "zeros": lambda a: 0 * a,
    "empty": lambda a: a[:0],
    "not finite": lambda a: np.where(a > 0.9, np.inf, np.where(a < -0.9, np.nan, a)),
    "strided": lambda a: np.asfortranarray(a),
}


@pytest.mark.parametrize("kind", ORDINARY)
@pytest.mark.parametrize("name", FORMULAS)
def test_ordinary_data_is_left_alone(name: str, kind: str) -> None:
    x, y = (ORDINARY[kind](a).astype(np.float32) for a in points("float32"))
    task, data = build(formula(name, x, y), "sum", "j")
    assert any(e.op in (o.sqrt, o.rsqrt) for e in postorder(task.formula))
    new, same = at_scale(task, data)
    assert new is task
    assert same is data


@pytest.mark.compiler
def test_ordinary_data_compiles_and_runs_one_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Task] = []
    openmp = get_backend("openmp")
    run = type(openmp).run
    monkeypatch.setattr(openmp, "run", lambda *a: ran.append(a[0]) or run(openmp, *a))  # type: ignore[func-returns-value]
    x, y = points("float32")
    for n in (0, 5, -30, 30, 100, -100, 100):
        (Vi(np.ldexp(x, n)) - Vj(np.ldexp(y, n))).norm2().sum(axis=1, backend="openmp")
    assert [task is ran[0] for task in ran] == [True] * 4 + [False] * 3
    assert len(set(ran)) == 2  # one for all of the others
    assert ran[0] is build((Vi(x) - Vj(y)).norm2(), "sum", "j")[0]


@pytest.mark.compiler
@pytest.mark.parametrize("dim", [3, 50])
def test_looking_costs_little(dim: int) -> None:
    rng = np.random.default_rng(3)
    x, y = (rng.random((4000, dim), dtype=np.float32) for _ in range(2))
    task, data = build((Vi(x) - Vj(y)).norm2(), "sum", "j")
    openmp = get_backend("openmp")
    costs = {}
    for name, call in {
        "look": lambda: at_scale(task, data),
        "run": lambda: openmp.run(task, data),
    }.items():
        times = []
        for _ in range(10):
            start = time.process_time()
            call()
            times.append(time.process_time() - start)
        costs[name] = min(times)
    assert costs["look"] < 0.1 * costs["run"]  # 24,000 or 400,000 numbers; 16 million pairs


@pytest.mark.parametrize("order", ["C", "F"])
def test_largest(order: Any) -> None:
    rng = np.random.default_rng(4)
    for n in (1, 5, BLOCK // 2, BLOCK // 2 + 1, 3 * BLOCK):
        a = np.asarray(rng.uniform(-1, 1, (n, 2)), order=order)
        for row in {0, n // 2, n - 1}:
            for size in (-3.0, 3.0):
                b = a.copy(order)
                b[row, 1] = size
                assert largest(b) == 3
                b[n - 1 - row, 0] = np.nan
                assert largest(b) == 3
                b[n - 1 - row, 0] = -np.inf
                assert largest(b) == 3
    assert largest(np.full((3, 2), np.nan)) == 0
    assert largest(np.zeros((0, 2))) == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_plain_range(dtype: str) -> None:
    """Of numbers as large as its ends, squares of differences are in the range of the type."""
    low, high = plain(np.dtype(dtype))
    info = np.finfo(dtype)
    least = np.spacing(np.ldexp(np.ones(1, dtype), low - 1))  # below the end: numbers are up to it
    assert np.square(least)[0] >= info.smallest_normal
    with np.errstate(over="raise"):
        largest_sum = 2**20 * np.square(np.ldexp(np.full(1, 2, dtype), high + 1))
    assert np.isfinite(largest_sum).all()
