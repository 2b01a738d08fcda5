"""Placeholders: shapes that are not known, reductions that wait for arrays, and what they need."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import Array, eps

from georeduce.engine import ArgumentError, LazyTensor, Pm, ShapeError, Var, Vi, Vj
from georeduce.engine.backends._base import make_task
from georeduce.engine.methods import build
from georeduce.engine.places import Deferred

D = 3
K = (-Vi(0, D).sqdist(Vj(1, D)) / Pm(2, 1)).exp()


@pytest.fixture
def points(rng: np.random.Generator) -> tuple[Array, Array]:
    return rng.random((4, D)), rng.random((5, D))


def filled(x: Any, y: Any, s: Any) -> LazyTensor:
    """Return K of data."""
    return (-Vi(x).sqdist(Vj(y)) / Pm(s)).exp()


def test_shapes_that_are_not_known() -> None:
    assert str((Vi(0, D).shape, Vj(1, D).shape)) == "((M, 1, 3), (1, N, 3))"
    assert str(((Vi(0, D) - Vj(1, D)).shape, K.shape, K.ndim)) == "((M, N, 3), (M, N), 2)"
    assert Pm(2, 1).shape == (1, 1, 1)
    assert repr(K) == "LazyTensor of shape (M, N), numbers: exp(-sum(square(x0 - y1)) / p2)"
    half = Vi(np.zeros((7, D))) - Vj(0, D)
    assert str(half.shape) == "(7, N, 3)"
    assert str((half - Vi(0, D)).shape) == "(7, N, 3)"


def test_what_is_a_placeholder() -> None:
    for one in (Vj(1, D), Var(1, D, 1), LazyTensor((1, D, 1))):
        assert one.slots[0].array is Vj(1, D).slots[0].array
        assert one.slots[0].axis == "j"
    assert (Vi(0, D) * Var(0, D, 0)).expr is (Vi(0, D) * Vi(0, D)).expr, "one slot"
    assert Pm((1, 2, 3)).D == 3, "numbers"
    assert LazyTensor((1.0, 2.0, 3.0)).D == 3, "numbers"
    assert (Vi(np.zeros((2, 3))) - (1, 2, 3)).D == 3, "numbers"
    assert Var(np.zeros((4, 2)), cat=0).shape == (4, 1, 2)


def test_reductions_wait(points: tuple[Array, Array]) -> None:
    x, y = points
    weight = Vj(3, 2)
    for wait, now in (
        (lambda z: z.sum(axis=1, backend="numpy"), ()),
        (lambda z: z.max(axis=0, backend="numpy"), ()),
        (lambda z: z.argKmin(2, axis=1, backend="numpy"), ()),
        (lambda z: z.Kmin_argKmin(2, axis=1, backend="numpy"), ()),
        (lambda z: z.min_argmin(axis=0, backend="numpy"), ()),
        (lambda z: z.T.sum(axis=0, backend="numpy"), ()),
        (lambda z, w=weight: z.logsumexp(axis=1, weight=w, backend="numpy"), (y[:, :2],)),
        (lambda z, w=weight: z.sumsoftmaxweight(w, axis=1, backend="numpy"), (y[:, :2],)),
    ):
        deferred = wait(K)
        assert isinstance(deferred, Deferred)
        result = deferred(x, y, 0.5, *now)
        expected = wait(filled(x, y, 0.5), *(Vj(w) for w in now))
        many = isinstance(expected, tuple)
        for a, b in zip(
            result if many else [result], expected if many else [expected], strict=True
        ):
            np.testing.assert_array_equal(a, b)


def test_the_same_task_as_of_data(points: tuple[Array, Array]) -> None:
    """Nothing is compiled again: formulas that are filled are those of data."""
    x, y = points
    make_task.cache_clear()
    first = build(filled(x, y, 0.5), "sum", "j")[0]
    K.sum(axis=1, backend="numpy")(x, y, 0.5)
    assert make_task.cache_info().misses == 1
    assert build(filled(x, y, 2.0), "sum", "j")[0] is first


def test_products_and_data(points: tuple[Array, Array]) -> None:
    x, y = points
    b = np.arange(5.0)
    np.testing.assert_array_equal((K @ b)(x, y, 0.5), filled(x, y, 0.5) @ b)
    np.testing.assert_array_equal((b @ K.T)(x, y, 0.5), filled(x, y, 0.5) @ b)
    partly = Vi(x).sqdist(Vj(0, D)).sum(axis=1, backend="numpy")
    np.testing.assert_array_equal(partly(y), Vi(x).sqdist(Vj(y)).sum(axis=1, backend="numpy"))
    twice = (Vi(0, D) - Vj(0, D)).abs().sum(-1).sum(axis=1, backend="numpy")
    assert twice(x).shape == (4, 1), "one array along both axes"


def test_batches_numbers_and_dtypes(points: tuple[Array, Array]) -> None:
    x, y = points
    f = K.sum(axis=1, backend="numpy")
    both = np.stack([x, 2 * x])
    assert f(both, y, 0.5).shape == (2, 4, 1)
    np.testing.assert_array_equal(f(both, y, 0.5)[1], f(2 * x, y, 0.5))
    scales = np.array([[0.5], [2.0]])
    np.testing.assert_array_equal(f(x, y, scales)[1], f(x, y, 2.0))
    np.testing.assert_array_equal(f(x, y, np.array([0.5])), f(x, y, 0.5))
    assert f(x.astype("f4"), y.astype("f4"), 0.5).dtype == np.float32


def test_call_is_false(points: tuple[Array, Array]) -> None:
    x, y = points
    now = filled(x, y, 0.5)
    later = now.sum(axis=1, call=False, backend="numpy")
    assert isinstance(later, Deferred)
    np.testing.assert_array_equal(later(), now.sum(axis=1, backend="numpy"))
    out = np.empty((4, 1))
    assert later(out=out) is out
    np.testing.assert_array_equal(out, later())


def test_options_wait_too(points: tuple[Array, Array]) -> None:
    x, y = (a.astype("f4") for a in points)
    f = K.sum(axis=1, backend="numpy", sum_scheme="kahan_scheme", dtype_acc="float64")
    expected = filled(*points, 0.5).sum(axis=1, backend="numpy")
    assert f(x, y, 0.5).dtype == np.float32
    exact = filled(x.astype("f8"), y.astype("f8"), 0.5).sum(axis=1, backend="numpy")
    np.testing.assert_allclose(f(x, y, 0.5), exact, rtol=eps("f4"))
    assert expected.shape == exact.shape


def test_copies(points: tuple[Array, Array]) -> None:
    x, y = points
    expected = K.sum(axis=1, backend="numpy")(x, y, 0.5)
    for other in (copy.copy(K), copy.deepcopy(K), pickle.loads(pickle.dumps(K))):
        assert (other * K).expr is (K * K).expr
        np.testing.assert_array_equal(other.sum(axis=1, backend="numpy")(x, y, 0.5), expected)


def test_reductions_are_copied_too(points: tuple[Array, Array]) -> None:
    f = K.sum(axis=1, backend="numpy")
    for other in (copy.deepcopy(f), pickle.loads(pickle.dumps(f))):
        np.testing.assert_array_equal(other(*points, 0.5), f(*points, 0.5))


def test_derivatives_of_placeholders(points: tuple[Array, Array]) -> None:
    x, y = points
    f = K.grad(Vi(0, D), 2).sum(axis=1, backend="numpy")
    x_i = Vi(x)
    z = (-x_i.sqdist(Vj(y)) / Pm(0.5)).exp()
    np.testing.assert_array_equal(f(x, y, 0.5), z.grad(x_i, 2).sum(axis=1, backend="numpy"))


x, y = np.zeros((4, D)), np.zeros((5, D))
f = K.sum(axis=1)
MISTAKES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: f(x, y),
        ArgumentError,
        "Expected 3 arrays, for Vi(0, 3), Vj(1, 3) and Pm(2, 1), but got 2.",
    ),
    (
        lambda: f(x, y[:, :2], 1.0),
        ShapeError,
        "Expected an array of 3 components for Vj(1, 3), but got shape (5, 2).",
    ),
    (
        lambda: f(x, y, [1.0, 2.0]),
        ShapeError,
        "Expected an array of 1 components for Pm(2, 1), but got shape (2,).",
    ),
    (
        lambda: (Vi(x) + Vi(0, D)).sum(axis=0)(y),
        ShapeError,
        "Expected the same number of rows M, but got 5 and 4.",
    ),
    (
        lambda: K.dense(),
        ArgumentError,
        "Expected arrays, but got a placeholder of number 0. Reduce the formula along rows or "
        "columns, and call the result with its arrays.",
    ),
    (
        lambda: Vi(-1, D),
        ArgumentError,
        "Expected Vi(ind, dim) with the number of the array as an integer of 0 or more, but got "
        "-1.",
    ),
    (
        lambda: Pm(0, 0),
        ArgumentError,
        "Expected Pm(ind, dim) with its dimension as an integer of 1 or more, but got 0.",
    ),
    (
        lambda: Vj(x, D),
        ArgumentError,
        "Expected Vj(ind, dim) with the number of the array as an integer of 0 or more, but got "
        "array(",
    ),
    (
        lambda: LazyTensor((0, 1, 3)),
        ArgumentError,
        "Expected cat=0 (rows), 1 (columns) or 2 (parameters), but got cat=3.",
    ),
    (
        lambda: (Vi(0, D) - Vj(1, 2)).sum(axis=1),
        ShapeError,
        "sub: Expected feature axes of equal length, or of length 1, but got 3 and 2.",
    ),
    (
        lambda: (Vi(0, D) - Vj(1, D)).argKmin(2, axis=1),
        ShapeError,
        "Expected a formula of dimension 1 for argKmin, but got 3.",
    ),
]


@pytest.mark.parametrize(("mistake", "error", "sentence"), MISTAKES, ids=[m[2] for m in MISTAKES])
def test_mistake(mistake: Callable[[], Any], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match="^" + re.escape(sentence)):
        mistake()
