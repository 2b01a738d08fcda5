"""How matrices with ranges are cut into blocks: each row once, with the intervals of its range."""

from __future__ import annotations

import numpy as np
import pytest

from georeduce.engine import Ranges
from georeduce.engine.backends._block_sparse import layout

MOST, STRIP = 12, 4


def ranges(rng: np.random.Generator, M: int, N: int, batches: int) -> Ranges:
    """Return random ranges of rows, each with two intervals of columns of its batch."""
    rows, columns = [], []
    for b in range(batches):
        cuts = np.sort(rng.choice(M + 1, 6, replace=False)) + b * M
        for first, last in cuts.reshape(-1, 2):
            rows.append([first, last])
            ends = np.sort(rng.choice(N + 1, 4, replace=False)) + b * N
            columns += ends.reshape(-1, 2).tolist()
    return Ranges((rows, 2 * np.arange(1, len(rows) + 1), columns, [], [], []))


@pytest.mark.parametrize(("M", "N", "batches"), [(7, 9, 1), (100, 40, 1), (30, 20, 4)])
def test_every_row_is_in_one_block(M: int, N: int, batches: int, rng: np.random.Generator) -> None:
    these = ranges(rng, M, N, batches).along_j
    made = layout(these, M, N, batches, MOST, STRIP)
    first, rows, begin, end = made.blocks.T
    every = np.concatenate([np.arange(a, a + n) for a, n in zip(first, rows, strict=True)])
    assert every.tolist() == list(range(M * batches))
    assert (rows <= MOST).all()
    assert (first // M == (first + rows - 1) // M).all(), "a block is of one batch"
    for a, n, low, high, pairs in zip(first, rows, begin, end, np.diff(made.pairs), strict=True):
        k = these.find(np.arange(a, a + n))
        assert (k == k[0]).all(), "a block is of one range"
        own = these.columns[these.offsets[k[0]] : these.offsets[k[0] + 1]] if k[0] >= 0 else []
        intervals = made.intervals[low:high]
        assert (intervals[:, :2] + a // M * N).tolist() == np.array(own).reshape(-1, 2).tolist()
        lengths = np.diff(intervals[:, :2])[:, 0]
        assert intervals[:, 2].tolist() == (np.cumsum(lengths) - lengths).tolist()
        assert pairs == -(-n // STRIP) * STRIP * lengths.sum()


def test_pieces_of_a_range_are_alike() -> None:
    """A range that is a little too long for a block is not cut into a long and a short one."""
    these = Ranges(([[3, 20]], [1], [[0, 5]], [], [], [])).along_j
    assert layout(these, 20, 5, 1, MOST, STRIP).blocks[:, :2].tolist() == [[0, 3], [3, 12], [15, 5]]
    assert layout(these, 20, 5, 1, 16, STRIP).blocks[:, :2].tolist() == [[0, 3], [3, 12], [15, 5]]


def test_a_layout_is_made_once(rng: np.random.Generator) -> None:
    these = ranges(rng, 30, 20, 2).along_j
    made = layout(these, 30, 20, 2, MOST, STRIP)
    assert layout(these, 30, 20, 2, MOST, STRIP) is made
    other = layout(these, 30, 20, 2, STRIP, STRIP)
    assert other.intervals is made.intervals
    assert len(other.blocks) > len(made.blocks)
