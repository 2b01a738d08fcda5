"""Ranges as users meet them: given to reductions or set, checked once, and wrong in many ways."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import eps

from georeduce.engine import LazyTensor, Pm, Ranges, Vi, Vj
from georeduce.engine.cluster import from_matrix, swap_axes
from georeduce.engine.errors import ArgumentError, DTypeError, GeoreduceError, ShapeError

ROWS, COLUMNS = [[0, 3], [4, 6]], [[0, 2], [2, 5], [6, 8]]
KEEP = np.array([[True, False, True], [False, True, True]])
MASK = np.zeros((6, 8), bool)
MASK[:3, :2] = MASK[:3, 6:] = MASK[4:, 2:5] = MASK[4:, 6:] = True
ARRAYS = tuple(from_matrix(ROWS, COLUMNS, KEEP))


def matrix(batch: tuple[int, ...] = ()) -> tuple[LazyTensor, Any]:
    """Return a matrix whose entries are all different, exact in any order of additions."""
    x, y = 16.0 * np.arange(6)[:, None], np.arange(8.0)[:, None]
    return Vi(np.broadcast_to(x, (*batch, 6, 1))) + Vj(y), x + y.T


# --- Where ranges are given --------------------------------------------------------------------


def test_arrays_and_an_object_say_the_same() -> None:
    K, dense = matrix()
    expected = np.where(MASK, dense, 0).sum(1)
    for ranges in (ARRAYS, list(ARRAYS), [a.tolist() for a in ARRAYS], Ranges(ARRAYS)):
        assert (K.sum(axis=1, ranges=ranges)[:, 0] == expected).all()
    assert (K.sum(axis=0, ranges=ARRAYS)[:, 0] == np.where(MASK, dense, 0).sum(0)).all()
    assert (K.sum(dim=1, ranges=ARRAYS)[:, 0] == expected).all()


def test_a_tensor_keeps_its_ranges() -> None:
    K, dense = matrix()
    assert K.ranges is None
    K.ranges = ARRAYS
    kept = np.where(MASK, dense, 0)
    b = np.arange(8.0)
    assert isinstance(K.ranges, Ranges)
    assert (K @ b == kept @ b).all()
    assert (np.ones(6) @ K == kept.sum(0)).all()
    assert (K.T @ np.ones(6) == kept.sum(0)).all()
    assert ((2 * K).sum(axis=1)[:, 0] == 2 * kept.sum(1)).all()
    assert ((Vj(b[:, None]) - K).sum(axis=0)[:, 0] == (MASK * (b - dense)).sum(0)).all()
    assert ((K > 40).count(axis=1)[:, 0] == ((dense > 40) & MASK).sum(1)).all()
    assert (K.matvec(b) == kept @ b).all()
    assert (LazyTensor(K).ranges, K.dense().tolist()) == (K.ranges, dense.tolist())
    K.ranges = None
    assert (K @ b == dense @ b).all()


def test_ranges_of_the_reduction_come_first() -> None:
    K, dense = matrix()
    K.ranges = ARRAYS
    nothing = Ranges(([], [], [], [], [], []))
    assert (K.sum(axis=1, ranges=nothing) == 0).all()
    assert (K.__matmul__(np.ones(8), ranges=nothing) == 0).all()
    everything = from_matrix([[0, 6]], [[0, 8]], [[True]])
    assert (K.sum(axis=1, ranges=everything)[:, 0] == dense.sum(1)).all()


def test_tensors_with_the_same_ranges_combine() -> None:
    K, dense = matrix()
    other = K * K
    K.ranges, other.ranges = Ranges(ARRAYS), Ranges(ARRAYS)
    assert ((K + other).sum(axis=1)[:, 0] == np.where(MASK, dense + dense**2, 0).sum(1)).all()
    other.ranges = Ranges(ARRAYS).T
    with pytest.raises(ArgumentError, match="Expected tensors with the same ranges, but got"):
        K + other


def test_weights_go_along() -> None:
    K, dense = matrix()
    K.ranges = ARRAYS
    w = 1 + np.arange(8.0)
    e = np.where(MASK, np.exp(dense / 100), 0)
    result = (K / 100).logsumexp(axis=1, weight=w)
    with np.errstate(divide="ignore"):
        expected = np.log(e @ w)
    assert np.allclose(result[:, 0], expected, rtol=8 * eps(np.float64), atol=0)


def test_batches_are_counted_through() -> None:
    K, dense = matrix((2,))
    K.ranges = from_matrix([[0, 3], [8, 12]], [[2, 5], [8, 10], [15, 16]], [[1, 0, 0], [0, 1, 1]])
    result = K.sum(axis=2)[..., 0]
    assert (result[0] == [*dense[:3, 2:5].sum(1), 0, 0, 0]).all()
    assert (result[1] == [0, 0, *dense[2:, [0, 1, 7]].sum(1)]).all()
    assert K.argmax(axis=2)[1, 2:, 0].tolist() == [7] * 4


def test_derivatives_keep_to_the_blocks(rng: np.random.Generator) -> None:
    x_i, y_j = Vi(rng.random((6, 2))), Vj(rng.random((8, 2)))
    K = (-x_i.sqdist(y_j)).exp()
    terms = [np.where(MASK[..., None], K.grad(v).dense(), 0) for v in (x_i, y_j)]
    close = {"rtol": 64 * eps(np.float64), "atol": 0}
    result, gradients = K.vjp("sum", 1, [x_i, y_j], ranges=ARRAYS)
    assert np.allclose(result[:, 0], np.where(MASK, K.dense(), 0).sum(1), **close)
    for axis, gradient in enumerate(gradients):
        assert np.allclose(gradient, terms[axis].sum(1 - axis), **close)
    along_i = K.vjp("sum", 0, [x_i, y_j], ranges=ARRAYS)[1]
    K.ranges = ARRAYS
    of_tensor = K.vjp("sum", 1, [x_i, y_j])[1]
    for a, b, c in zip(gradients, along_i, of_tensor, strict=True):
        assert (a == c).all()
        assert np.allclose(a, b, **close)
    t = rng.random((8, 2))
    slope = K.jvp("sum", 1, [y_j], [t])[1]
    assert np.allclose(slope[:, 0], (terms[1] * t).sum((1, 2)), **close)


def test_derivatives_of_minima_keep_to_the_blocks(rng: np.random.Generator) -> None:
    """Those of rows without columns are 0."""
    x_i, y_j = Vi(rng.random((6, 2))), Vj(rng.random((8, 2)))
    d = x_i.sqdist(y_j)
    x_bar, y_bar = d.vjp("min", 1, [x_i, y_j], ranges=ARRAYS)[1]
    dense = np.where(MASK, d.dense(), np.inf)
    indices = np.where(MASK.any(1), dense.argmin(1), -1)
    x, y = x_i.slots[0].array, y_j.slots[0].array
    step = np.where(indices[:, None] < 0, 0, 2 * (x - y[indices]))
    assert np.allclose(x_bar, step, rtol=64 * eps(np.float64), atol=0)
    expected = np.zeros_like(y)
    np.add.at(expected, indices, -step)
    assert np.allclose(y_bar, expected, rtol=64 * eps(np.float64), atol=eps(np.float64))


# --- The object --------------------------------------------------------------------------------


def test_ranges_unpack_to_six_arrays() -> None:
    ranges = Ranges(ARRAYS)
    assert len(ranges) == 6
    assert [a.tolist() for a in ranges] == [a.tolist() for a in ARRAYS]
    assert [a.tolist() for a in swap_axes(ranges)] == [a.tolist() for a in swap_axes(ARRAYS)]
    assert ranges == ranges.T.T == Ranges(ranges) == pickle.loads(pickle.dumps(ranges))
    assert hash(ranges) == hash(Ranges(ARRAYS))
    assert ranges != ranges.T
    assert ranges != ARRAYS
    assert repr(ranges) == "Ranges of 2 blocks of rows and 3 of columns"


def test_ranges_do_not_change() -> None:
    rows = np.array(ROWS)
    ranges = Ranges((rows, *ARRAYS[1:]))
    rows[0] = 0
    assert ranges[0].tolist() == ROWS
    with pytest.raises(ValueError, match="read-only"):
        ranges[0][0] = 0


def test_intervals_are_joined() -> None:
    """What touches or overlaps becomes one interval, and what is empty none."""
    intervals = [[3, 5], [0, 1], [1, 2], [4, 4], [0, 3], [1, 2], [7, 9], [0, 1]]
    blocks = Ranges(([[5, 6], [0, 2], [3, 3]], [4, 7, 8], intervals, [], [], [])).along_j
    assert blocks.rows.tolist() == [[0, 2], [5, 6]]
    assert blocks.offsets.tolist() == [0, 2, 4]
    assert blocks.columns.tolist() == [[0, 3], [7, 9], [0, 2], [3, 5]]
    assert blocks.lengths.tolist() == [5, 4]


def test_ranges_of_one_more_batch_axis(rng: np.random.Generator) -> None:
    """The same blocks in every batch of the new axis, whatever is left over in the arrays."""
    rows, slices, *others = ARRAYS
    ranges = Ranges((rows, [*slices[:1].tolist(), 3], *others))
    x, y = rng.random((3, 6, 1)), rng.random((3, 8, 1))
    every = ranges.repeated(3, 6, 8)
    both = Vi(x) * Vj(y)
    for axis in (0, 1):
        result = both.sum(axis=axis + 1, ranges=every)
        for b in range(3):
            one = (Vi(x[b]) * Vj(y[b])).sum(axis=axis, ranges=ranges)
            assert np.allclose(result[b], one, rtol=16 * eps(np.float64), atol=0)


# --- Mistakes ----------------------------------------------------------------------------------

SIX = (
    "Expected ranges as six arrays of integers, (ranges_i, slices_i, redranges_j, ranges_j, "
    "slices_j, redranges_i), but got"
)


def changed(n: int, value: Any) -> Callable[[], Any]:
    """Return what makes ranges of which one array is another."""
    return lambda: Ranges((*ARRAYS[:n], value, *ARRAYS[n + 1 :]))


def used(K: LazyTensor, rows: Any, columns: Any, axis: int = 1) -> Callable[[], Any]:
    """Return what reduces a matrix, one block of it for each range."""
    n = len(rows)
    ranges = from_matrix(rows, columns, np.eye(n, dtype=bool))
    return lambda: K.sum(axis=axis, ranges=ranges)


BATCHES = "Rows and columns are counted through all 2 batches."
MISTAKES: list[tuple[Callable[[], Any], type[GeoreduceError], str]] = [
    (lambda: Ranges(3), ArgumentError, f"{SIX} int."),
    (lambda: Ranges(ARRAYS[:3]), ArgumentError, f"{SIX} 3."),
    (
        lambda: matrix()[0].sum(axis=1, ranges="all"),
        ArgumentError,
        f"{SIX} str.",
    ),
    (
        changed(0, [[0.0, 1.0], [2.0, 3.0]]),
        DTypeError,
        "Expected ranges_i as an array of integers, but got dtype float64.",
    ),
    (
        changed(2, [[0, 1], [2]]),
        DTypeError,
        "Expected redranges_j as an array of integers, but got [[0, 1], [2]].",
    ),
    (
        changed(1, [[2], [4]]),
        ShapeError,
        "Expected slices_i of shape (n,), but got shape (2, 1).",
    ),
    (
        changed(3, [[0, 1, 2]]),
        ShapeError,
        "Expected ranges_j of shape (n, 2), but got shape (1, 3).",
    ),
    (
        changed(0, [[-1, 3], [4, 6]]),
        ArgumentError,
        "Expected ranges_i without negative numbers, but got -1.",
    ),
    (
        changed(0, [[0, 3], [6, 4]]),
        ArgumentError,
        "Expected ranges_i as pairs of a start and an end, but got [6, 4].",
    ),
    (
        changed(1, [2]),
        ShapeError,
        "Expected slices_i of as many numbers as ranges_i has, but got 1 and 2.",
    ),
    (
        changed(1, [3, 2]),
        ArgumentError,
        "Expected slices_i in ascending order, but got [3, 2].",
    ),
    (
        changed(4, [1, 2, 5]),
        ArgumentError,
        "Expected slices_j that end at most at the length of redranges_i, but got 5 for 4.",
    ),
    (
        changed(0, [[0, 5], [4, 6]]),
        ArgumentError,
        "Expected ranges_i that do not overlap, but got [0, 5] and [4, 6]. Put all columns of a "
        "row into one range.",
    ),
    (
        used(matrix()[0], [[0, 7]], [[0, 8]]),
        ShapeError,
        "Expected ranges_i that end at 6 or before, but got an end of 7.",
    ),
    (
        used(matrix()[0], [[0, 6]], [[0, 9]]),
        ShapeError,
        "Expected redranges_j that end at 8 or before, but got an end of 9.",
    ),
    (
        used(matrix()[0], [[0, 7]], [[0, 8]], axis=0),
        ShapeError,
        "Expected redranges_i that end at 6 or before, but got an end of 7.",
    ),
    (
        used(matrix((2,))[0], [[4, 8]], [[0, 8]], axis=2),
        ShapeError,
        "Expected ranges_i within one batch, the same for rows and their columns, but got [4, 8]. "
        + BATCHES,
    ),
    (
        used(matrix((2,))[0], [[0, 2], [6, 8]], [[0, 2], [5, 8]], axis=2),
        ShapeError,
        "Expected redranges_j within one batch, the same for rows and their columns, but got "
        "[5, 8]. " + BATCHES,
    ),
    (
        lambda: Pm([1.0, 2.0]).sum(-1, ranges=ARRAYS),
        ArgumentError,
        "Expected ranges only where sum computes, over rows or columns, but got the feature axis.",
    ),
]


@pytest.mark.parametrize(("act", "kind", "message"), MISTAKES, ids=[m[2] for m in MISTAKES])
def test_mistake(act: Callable[[], Any], kind: type[GeoreduceError], message: str) -> None:
    with pytest.raises(kind) as caught:
        act()
    assert str(caught.value) == message
