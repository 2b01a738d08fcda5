"""LazyTensor: shapes, operators, axes, what is compiled again and what is not."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from georeduce.engine import LazyTensor, Pm, Vi, Vj, concatenate, ops, options
from georeduce.engine.backends import _cache, get_backend
from georeduce.engine.backends._base import make_task
from georeduce.engine.formula.expr import Expr
from georeduce.engine.methods import build

x, y = np.arange(12.0).reshape(4, 3), np.arange(15.0).reshape(5, 3) - 7
X, Y = Vi(x), Vj(y)
K = X.sqdist(Y)
pairs = x[:, None] - y


def exact(z: LazyTensor, expected: Any) -> None:
    """Assert all values: small whole numbers, of which no operation rounds."""
    np.testing.assert_array_equal(z.dense().reshape(z.full_shape), expected)


# --- Shapes -----------------------------------------------------------------------------------


def test_shapes() -> None:
    assert X.shape == (4, 1, 3)
    assert Y.shape == (1, 5, 3)
    assert (X - Y).shape == (4, 5, 3)
    assert K.shape == (4, 5)
    assert K.full_shape == (4, 5, 1)
    assert Pm([1.0, 2.0]).shape == (1, 1, 2)
    assert (K.ndim, len(K), K.dim(), K.D) == (2, 4, 2, 1)
    batched = Vi(np.zeros((2, 1, 4, 3))) * Vj(np.zeros((6, 5, 3)))
    assert batched.shape == (2, 6, 4, 5, 3)
    assert batched.T.shape == (2, 6, 5, 4, 3)


def test_one_point_is_a_parameter_unless_named() -> None:
    """An array (1, 1, D) may be a row or a column: it meets any number of either."""
    one = LazyTensor(np.ones((1, 1, 3)))
    assert (one + X).shape == (4, 1, 3)
    assert (one + Y).shape == (1, 5, 3)
    assert Vi(np.ones((1, 3))).M == 1


def test_dtypes() -> None:
    assert K.dtype == np.float64
    assert (Vi(x.astype("f4")) * 2.5 + [1, 2, 3]).dtype == np.float32
    assert Vi(x.astype("f4")).sum(axis=0, backend="numpy").dtype == np.float32
    assert (Pm(2.5) * Pm([1.0, 3.0])).dtype is None
    assert (Pm(2.5) * Pm([1.0, 3.0])).sum(axis=1, backend="numpy").dtype == np.float64


def test_repr_says_what_it_is() -> None:
    text = repr((-K / 2).exp())
    assert text == "LazyTensor of shape (4, 5), float64: exp(-sum(square(x0 - y1)) / p2)"
    assert (X + Y).formula == "x0 + y1"


# --- Operators --------------------------------------------------------------------------------

OPERATORS: dict[str, tuple[Callable[[], LazyTensor], Any]] = {
    "x + y": (lambda: X + Y, x[:, None] + y),
    "x - y": (lambda: X - Y, pairs),
    "x * y": (lambda: X * Y, x[:, None] * y),
    "x / 2": (lambda: X / 2, x[:, None] / 2),
    "-x": (lambda: -X, -x[:, None]),
    "abs(y)": (lambda: abs(Y), np.abs(y)[None]),
    "1 + x": (lambda: 1 + X, 1 + x[:, None]),
    "7 - x": (lambda: 7 - X, 7 - x[:, None]),
    "3 * x": (lambda: 3 * X, 3 * x[:, None]),
    "8 / (x + 1)": (lambda: 8 / (X * 0 + 4), np.full((4, 1, 3), 2)),
    "list - x": (lambda: [1, 2, 3] - X, [1, 2, 3] - x[:, None]),
    "array - x": (lambda: x[:, None] - X, np.zeros((4, 1, 3))),
    "scalar array * x": (lambda: np.float64(2) * X, 2 * x[:, None]),
    "integer scalar * x": (lambda: np.int32(2) * X, 2 * x[:, None]),
    "0-d array * x": (lambda: np.array(2.0) * X, 2 * x[:, None]),
    "x ** 2": (lambda: X**2, x[:, None] ** 2),
    "x ** 0": (lambda: X**0, np.ones((4, 1, 3))),
    "x ** -1": (lambda: (X + 1 - X + 1) ** -1, np.full((4, 1, 3), 0.5)),
    "(x | y)": (lambda: X | Y, (x[:, None] * y).sum(-1, keepdims=True)),
    "x < y": (lambda: X < Y, x[:, None] < y),
    "x <= 3": (lambda: X <= 3, x[:, None] <= 3),
    "3 < x": (lambda: 3 < X, 3 < x[:, None]),
    "x == y": (lambda: X == Y, x[:, None] == y),
    "x != y": (lambda: X != Y, x[:, None] != y),
    "and": (lambda: (X > 1) & (Y > 1), (x[:, None] > 1) & (y > 1)),
    "or": (lambda: (X > 1) | (Y > 1), (x[:, None] > 1) | (y > 1)),
    "not": (lambda: ~(X > Y), ~(x[:, None] > y)),
    "truth as number": (lambda: (X > Y) * 2 + 1, (x[:, None] > y) * 2 + 1),
    "x[1]": (lambda: X[1], x[:, None, 1:2]),
    "x[-1]": (lambda: X[-1], x[:, None, -1:]),
    "x[1:]": (lambda: X[1:], x[:, None, 1:]),
    "x[::-1]": (lambda: X[::-1], x[:, None, ::-1]),
    "x[..., ::2]": (lambda: X[..., ::2], x[:, None, ::2]),
    "x[:, :, 1]": (lambda: X[:, :, 1], x[:, None, 1:2]),
    "x[-2:]": (lambda: X[-2:], x[:, None, -2:]),
    "sum": (lambda: (X - Y).sum(-1), pairs.sum(-1, keepdims=True)),
    "sum of three axes": (lambda: (X - Y).sum(2), pairs.sum(-1, keepdims=True)),
    "sum()": (lambda: (X - Y).sum(), pairs.sum(-1, keepdims=True)),
    "max": (lambda: (X - Y).max(dim=-1), pairs.max(-1, keepdims=True)),
    "argmin": (lambda: (X - Y).argmin(), pairs.argmin(-1)[..., None]),
    "norm(1)": (lambda: (X - Y).norm(1), np.abs(pairs).sum(-1, keepdims=True)),
    "norm(inf)": (lambda: (X - Y).norm(np.inf), np.abs(pairs).max(-1, keepdims=True)),
    "norm(-1)": (lambda: (X - Y).norm(-1), np.linalg.norm(pairs, axis=-1, keepdims=True)),
    "concatenate": (
        lambda: concatenate([X, Y, X[0]]),
        np.concatenate(
            np.broadcast_arrays(x[:, None], y[None], np.broadcast_to(x[:, None, :1], (4, 1, 3))), -1
        )[..., :7],
    ),
    "cat": (lambda: LazyTensor.cat([X, X], dim=-1), np.concatenate([x, x], -1)[:, None]),
    "function": (lambda: ops.square(X), x[:, None] ** 2),
    "function of an array": (lambda: ops.square(x[:, None]), x[:, None] ** 2),
}


@pytest.mark.parametrize(("make", "expected"), OPERATORS.values(), ids=OPERATORS)
def test_operator(make: Callable[[], LazyTensor], expected: Any) -> None:
    exact(make(), expected)


def test_half_powers_are_roots() -> None:
    assert (X**0.5).formula == "sqrt(x0)"
    assert (X**1.5).formula == "x0 * sqrt(x0)"
    assert (X**-0.5).formula == "inv(sqrt(x0))"
    assert (X**3).formula == "x0 * square(x0)"
    assert (2**X).formula == "pow(p0, x1)"


def test_norms() -> None:
    """One number is the order, as in NumPy; -1 is the axis, as in KeOps."""
    for norm in (X.norm(), X.norm(2), X.norm(-1), X.norm(dim=-1), X.norm(dim=2)):
        assert norm.expr is X.norm2().expr
    assert X.norm(1).expr is X.abs().sum(-1).expr
    assert X.norm(float("inf")).expr is X.abs().max(-1).expr


def test_functions_and_methods_are_the_same() -> None:
    for name in dir(ops):
        assert callable(getattr(ops, name))
        assert getattr(LazyTensor, name).__doc__


def test_hash_and_copies() -> None:
    assert len({X, Y, X}) == 2
    for other in (copy.copy(K), copy.deepcopy(K), pickle.loads(pickle.dumps(K))):
        assert other.expr is K.expr
        np.testing.assert_array_equal(other.dense(), K.dense())


def test_an_array_that_changes_is_seen_changed() -> None:
    """Arrays are not copied."""
    mine = x.copy()
    z = Vi(mine) * 2
    mine[0, 0] = 100
    assert z.dense()[0, 0, 0] == 200


# --- Axes -------------------------------------------------------------------------------------


def test_axes() -> None:
    d = pairs.sum(-1)
    z = X - Y
    with options(backend="numpy"):
        for rows in (z.sum(axis=0), z.sum(dim=0), z.sum(axis=-3), z.sum(0)):
            np.testing.assert_array_equal(rows, pairs.sum(0))
        for columns in (z.sum(axis=1), z.sum(dim=1), z.sum(axis=-2), z.sum_reduction(axis=1)):
            np.testing.assert_array_equal(columns, pairs.sum(1))
        s = z.sum(-1)
        np.testing.assert_array_equal(s.argmax(axis=1)[:, 0], d.argmax(1))
        np.testing.assert_array_equal(s.Kmin(2, axis=0), np.sort(d, 0)[:2].T)
        np.testing.assert_array_equal(s.min_argmin(dim=1)[0][:, 0], d.min(1))
        batched = Vi(np.stack([x, -x])) - Y
        np.testing.assert_array_equal(batched.sum(axis=2)[0], pairs.sum(1))
        np.testing.assert_array_equal(batched.sum(axis=1)[1], (-x[:, None] - y).sum(0))


def test_a_formula_of_one_axis_is_reduced_along_either() -> None:
    with options(backend="numpy"):
        np.testing.assert_array_equal(X.sum(axis=0), x.sum(0)[None])
        np.testing.assert_array_equal(X.sum(axis=1), x)
        np.testing.assert_array_equal(Y.sum(axis=1), y.sum(0)[None])
        np.testing.assert_array_equal(Pm([2.0, 3.0]).sum(axis=1), [[2, 3]])


def test_weights_of_a_vector() -> None:
    """As in ``K @ b``, a bare array of weights belongs to the axis that is reduced."""
    w = np.linspace(1, 2, 5)
    with options(backend="numpy"):
        expected = K.sumsoftmaxweight(Vj(w[:, None]), axis=1)
        assert expected.shape == (4, 1)
        for weight in (w[:, None], w):
            np.testing.assert_array_equal(K.sumsoftmaxweight(weight, axis=1), expected)
        rows = K.T.logsumexp(axis=0, weight=w)
        np.testing.assert_array_equal(rows, K.logsumexp(axis=1, weight=Vj(w[:, None])))


# --- What is compiled again -------------------------------------------------------------------


def formula_of(z: LazyTensor, **task: Any) -> tuple[Expr, Any]:
    made, _ = build(z, "sum", "j", **task)
    return made.formula, made.dtype


def test_constants_are_parameters() -> None:
    assert (K / 10).expr is (K / 20).expr
    assert formula_of(K / 10) == formula_of(K / 20)
    assert formula_of(K * 2.5 + 3) == formula_of(K * -7 + 0.5)
    assert (K * 1).expr is not (K * 2).expr  # numbers that rules know are constants


def test_other_data_and_sizes_are_the_same_task() -> None:
    other = Vi(np.ones((9, 3))).sqdist(Vj(np.ones((2, 3))))
    batched = Vi(np.ones((2, 9, 3))).sqdist(Vj(np.ones((2, 3))))
    assert build(other, "sum", "j")[0] is build(K, "sum", "j")[0]
    assert build(batched, "sum", "j")[0] is build(K, "sum", "j")[0]
    assert build(K, "argKmin", "j", 3)[0] is build(K, "argKmin", "j", 7)[0]
    assert build(K, "sum", "i")[0] is not build(K, "sum", "j")[0]


def test_one_array_twice_is_one_slot() -> None:
    assert len((X * X + Vi(x)).slots) == 1
    assert len((Vi(x) - Vj(x)).slots) == 2
    assert (Vi(x) * Vi(x)).expr is (X * X).expr


@pytest.mark.compiler
@pytest.mark.compiles
def test_nothing_is_compiled_twice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GEOREDUCE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(_cache, "_loaded", {})
    openmp = get_backend("openmp")
    monkeypatch.setattr(openmp, "_loaded", {})
    make_task.cache_clear()

    def run(z: LazyTensor) -> int:
        before = _cache.compile_count()
        z.exp().sum(axis=len(z.batch) + 1, backend="openmp")
        return _cache.compile_count() - before

    assert run(-K / 10) == 1
    assert run(-K / 20) == 0
    assert run(-Vi(np.ones((9, 3))).sqdist(Vj(np.ones((70, 3)))) / 3) == 0
    assert run(-Vi(np.ones((2, 9, 3))).sqdist(Vj(np.ones((3, 1, 70, 3)))) / 3) == 0
    assert run(-Vi(np.ones((9, 4))).sqdist(Vj(np.ones((70, 4)))) / 3) == 1, "another dimension"
    monkeypatch.setattr(openmp, "_loaded", {})
    monkeypatch.setattr(_cache, "_loaded", {})
    assert run(-K / 10) == 0, "the next process finds it in the cache"


def test_source_runs_nothing(backend: str) -> None:
    text = K.source("sum", backend=backend)
    assert "sum" in text
    assert text == K.source("sum", backend=backend)
    assert text != K.source("sum", axis=0, backend=backend)
