"""The specification: formulas interpreted with NumPy, tile by tile, in bounded memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..config import get_options
from ..formula.evaluate import evaluate
from ..formula.expr import PAIR, Expr, postorder, to_string, variables
from ..ranges import Blocks
from ._base import Array, Backend, Data, Task, empty_results


class NumpyBackend(Backend):
    """Interprets the tree; what the other backends must agree with."""

    name = "numpy"

    def source(self, task: Task) -> str:
        """Return the formula: it is the program."""
        weight = "" if task.weight is None else f", weight={to_string(task.weight)}"
        return f"{task.reduction}_j({to_string(task.formula)}{weight})  # {task.dtype}\n"

    def run(self, task: Task, data: Data) -> tuple[Array, ...]:
        """Return the results, see `Backend.run`."""
        results = empty_results(task, data)
        if data.ranges is None:
            _run(task, data, results)
        elif data.M and 0 not in data.batch:
            with np.errstate(all="ignore"):
                _run_blocks(task, data, data.ranges.along_j, results)
        return results


def _run(task: Task, data: Data, results: tuple[Array, ...]) -> None:
    points = _points_per_tile(task)
    batch = math.prod(data.batch)
    if data.batch and batch * data.M * data.N > points:
        for b in range(data.batch[0]):
            arrays = [a[b if a.shape[0] > 1 else 0] for a in data.arrays]
            part = data._replace(arrays=arrays, batch=data.batch[1:])
            _run(task, part, tuple(r[b] for r in results))
        return
    points = max(1, points // max(1, batch))
    n = max(1, min(data.N, max(math.isqrt(points), points // max(1, data.M))))
    m = max(1, min(data.M, points // n))
    for i in range(0, data.M, m):
        rows = slice(i, min(i + m, data.M))
        with np.errstate(all="ignore"):  # overflow to infinity on the way to float32 is the result
            parts = _reduce_rows(task, data, rows, _tiles(0, data.N, n))
            for result, part_of in zip(results, parts, strict=True):
                result[..., rows, :] = part_of


def _run_blocks(task: Task, data: Data, blocks: Blocks, results: tuple[Array, ...]) -> None:
    """Reduce the rows of each range over its columns, all others over none."""
    points = _points_per_tile(task)
    for number, b in enumerate(np.ndindex(data.batch)):
        arrays = [
            a[tuple(k if length > 1 else 0 for k, length in zip(b, a.shape, strict=False))]
            for a in data.arrays
        ]
        one = data._replace(arrays=arrays, batch=())
        own = blocks.of_batch(number, data.M, data.N)
        for result, part in zip(results, _reduce_rows(task, one, slice(0, 1), []), strict=True):
            result[b] = part
        for k, (first, last) in enumerate(own.rows.tolist()):
            columns = own.columns[own.offsets[k] : own.offsets[k + 1]].tolist()
            most = max((end - start for start, end in columns), default=1)
            n = max(1, min(most, max(math.isqrt(points), points // (last - first))))
            m = max(1, points // n)
            for i in range(first, last, m):
                rows = slice(i, min(i + m, last))
                tiles = [tile for start, end in columns for tile in _tiles(start, end, n)]
                parts = _reduce_rows(task, one, rows, tiles)
                for result, part in zip(results, parts, strict=True):
                    result[b][rows] = part


def _tiles(start: int, end: int, n: int) -> list[slice]:
    return [slice(j, min(j + n, end)) for j in range(start, end, n)]


def _points_per_tile(task: Task) -> int:
    roots = (task.formula,) if task.weight is None else (task.formula, task.weight)
    width = sum(e.dim for e in postorder(*roots) if e.axes == PAIR or e in roots)
    return max(1, get_options().tile_bytes // (task.dtype.itemsize * (width + 2)))


def _reduce_rows(task: Task, data: Data, rows: slice, tiles: list[slice]) -> tuple[Array, ...]:
    """Return the results of some rows, from tiles of columns merged in order."""
    entry = task.entry
    wide = np.dtype(np.float64)
    state: Any = None
    for columns in tiles or [slice(0, 0)]:
        j = columns.start
        v, w = values(task, data, rows, columns)
        if entry.keep:
            part = _smallest(v[..., 0], j, data.K)
            state = part if state is None else _merge_smallest(state, part, data.K)
        else:
            assert entry.numpy is not None
            part = tuple(s.astype(wide) if s.dtype.kind == "f" else s for s in entry.numpy(v, w, j))
            state = part if state is None else entry.merged(state, part, wide)
    if entry.keep:
        both = {"values": state[0], "indices": state[1]}
        return tuple(both[k] for k in entry.keep)
    with np.errstate(all="ignore"):
        return entry.finished(state, wide)


def values(task: Task, data: Data, rows: slice, columns: slice) -> tuple[Array, Any]:
    """Return the formula and the weight on a tile, each of shape (*batch, m, n, dim)."""
    roots = (task.formula,) if task.weight is None else (task.formula, task.weight)
    known: dict[Expr, Array] = {}
    for e in variables(*roots):
        axis, slot = e.params
        a = data.arrays[slot]
        if axis == "i":
            known[e] = a[..., rows, None, :]
        elif axis == "j":
            known[e] = a[..., None, columns, :]
        else:
            known[e] = a[..., None, :]
    lead = (*data.batch, rows.stop - rows.start, columns.stop - columns.start)
    done: dict[Expr, Array] = {}
    out = []
    for root in roots:
        a = evaluate(root, known, task.dtype, done)
        out.append(np.broadcast_to(a, (*lead, root.dim)))
    return out[0], out[1] if len(out) > 1 else None


def _smallest(v: Array, j: int, K: int) -> tuple[Array, Array]:
    """Return the K smallest of each row and their indices from j, ties to the lowest index."""
    indices = np.broadcast_to(np.arange(j, j + v.shape[-1]), v.shape)
    return _select(v, indices, K)


def _merge_smallest(a: Any, b: Any, K: int) -> tuple[Array, Array]:
    v = np.concatenate([a[0], b[0]], axis=-1)
    indices = np.concatenate([a[1], b[1]], axis=-1)
    return _select(np.where(indices < 0, np.nan, v), indices, K)


def _select(v: Array, indices: Array, K: int) -> tuple[Array, Array]:
    """Return the K smallest along the last axis, where equal values stand in order of index."""
    n = v.shape[-1]
    missing = max(0, K - n)
    if n > K > 0:
        best = np.argpartition(v, K - 1, axis=-1)[..., :K]
        limit = np.take_along_axis(v, best, -1).max(-1, keepdims=True)
        # NaN sorts last; rows with more than K candidates have a tie (or NaN) at the limit
        unclear = ~((v <= limit).sum(-1) == K)
        if unclear.any():
            best[unclear] = np.argsort(v[unclear], axis=-1, kind="stable")[..., :K]
        best.sort(axis=-1)
        v, indices = np.take_along_axis(v, best, -1), np.take_along_axis(indices, best, -1)
    order = np.argsort(v, axis=-1, kind="stable")[..., :K]
    v, indices = np.take_along_axis(v, order, -1), np.take_along_axis(indices, order, -1)
    nan = np.isnan(v)
    v, indices = np.where(nan, np.inf, v), np.where(nan, -1, indices)
    pad = [(0, 0)] * (v.ndim - 1) + [(0, missing)]
    return np.pad(v, pad, constant_values=np.inf), np.pad(indices, pad, constant_values=-1)


BACKEND = NumpyBackend()
