"""How a matrix with ranges is cut into blocks of rows, each with its intervals of columns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..ranges import Blocks, Indices


class Layout(NamedTuple):
    """All rows of a call in blocks, as ``block_sparse.h`` has them.

    Attributes
    ----------
    blocks : array of shape (n, 4)
        First row, counted through all batches, number of rows, first interval and the one past the
        last.
    intervals : array of shape (k, 3)
        First column, the one past the last, and how many columns of the same rows come before.
    pairs : array of shape (n + 1,)
        Pairs that are computed before each block, and in the end.
    """

    blocks: Indices
    intervals: Indices
    pairs: Indices


def layout(these: Blocks, M: int, N: int, batches: int, most: int, strip: int) -> Layout:
    """Return the layout for matrices of M rows and N columns, made once for each.

    Parameters
    ----------
    these : Blocks
        The ranges.
    M, N, batches : int
        Sizes of the call.
    most : int
        Rows of a block.
    strip : int
        Rows that are computed together.
    """
    key = (M, N, batches, most, strip)
    known = these.layouts.get(key)
    if known is None:
        known = these.layouts[key] = _layout(these, M, N, batches, most, strip)
    return known


def _layout(these: Blocks, M: int, N: int, batches: int, most: int, strip: int) -> Layout:
    # rows with and without a range, cut where batches end
    borders = np.arange(batches + 1, dtype=np.int64) * M
    edges = np.unique(np.concatenate([these.rows.reshape(-1), borders]))
    first, length = edges[:-1], np.diff(edges)
    range_of = these.find(first)
    # into pieces of about the same size: whole strips, at most as many as there is room for
    pieces = -(-length // most)
    size = -(-length // (pieces * strip)) * strip
    pieces = -(-length // size)
    number = np.repeat(np.arange(len(first)), pieces)
    within = np.arange(len(number)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    start = first[number] + within * size[number]
    rows = np.minimum(size[number], first[number] + length[number] - start)
    owner = range_of[number]
    offsets = np.append(these.offsets, these.offsets[-1])  # of rows without a range, -1: none
    blocks = np.stack([start, rows, offsets[owner], offsets[owner + 1]], axis=1)
    blocks[owner < 0, 2:] = 0
    lengths = np.append(these.lengths, 0)
    pairs = np.concatenate([[0], np.cumsum(-(-rows // strip) * strip * lengths[owner])])
    shared = (M, N)
    if shared not in these.layouts:
        these.layouts[shared] = _intervals(these, M, N)
    return Layout(blocks, these.layouts[shared], pairs)


def _intervals(these: Blocks, M: int, N: int) -> Indices:
    counts = np.diff(these.offsets)
    before = np.concatenate([[0], np.cumsum(np.diff(these.columns)[:, 0])])
    place = before[:-1] - np.repeat(before[these.offsets[:-1]], counts)
    batch = np.repeat(these.rows[:, 0] // M, counts)
    return np.stack([*(these.columns - (batch * N)[:, None]).T, place], axis=1)
