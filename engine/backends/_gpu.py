"""How a task is launched on a GPU, or on what stands in for one.

Sizes of grids, buffers and the words of ``gr::Call`` are worked out here; a `Machine` allocates,
copies and starts kernels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..codegen.gpu import LONGEST, THREADS, WARP, GpuKernel, capacity, gpu_kernel, preamble
from ..errors import BackendError, expected
from ..ranges import Blocks
from ._base import Array, Backend, Data, Task
from ._block_sparse import layout

MANY_BLOCKS = 1024
"""Blocks that fill any device; with fewer rows than for a quarter of them, columns are split."""
STATES_BYTES = 2**30
"""States of rows that are kept between two kernels: of more, rows are done in parts."""
MAX_GRID = 2**31 - 1
MAX_COLUMNS = 2**30
"""Columns that are counted in 32 bits."""
SIZES = 14
"""Words of ``gr::Sizes``."""


class Machine(Protocol):
    """What starts kernels: arrays are its own, and stay alive while kernels may use them."""

    def allocate(self, size: int) -> Any:
        """Return an array of bytes that begins at a multiple of 16."""

    def upload(self, words: Array, to: Any) -> None:
        """Copy words to the start of an array, before what is launched next."""

    def pointer(self, a: Any) -> int:
        """Return where an array begins."""

    def launch(self, name: str, grid: int, block: tuple[int, int], call: int, step: int) -> None:
        """Start a kernel on arguments that lie at `call`."""


class Plan(NamedTuple):
    """How a call of some size is laid out."""

    block: tuple[int, int]  # threads along rows and along columns
    tasks: int  # blocks of rows, of all batches
    chunks: int
    chunk_blocks: int  # tiles of columns of a chunk
    parts: int  # states of a row
    buffers: tuple[int, int, int]  # bytes of parameters, rows and columns
    at_once: int  # blocks of rows
    state: int  # bytes for each part of a row


@lru_cache(maxsize=1024)
def plan(k: GpuKernel, M: int, N: int, K: int, batches: int, hoisted: tuple[int, int, int]) -> Plan:
    """Return the layout for some sizes, with which results do not change.

    Parameters
    ----------
    k : GpuKernel
        What is launched.
    M, N, K, batches : int
        Sizes of the call.
    hoisted : tuple of int
        Batches of the parameters, the rows and the columns.
    """
    s = k.schedule
    along_i = min(THREADS, _power(-(-M // s.rows)))
    along_j = min(
        THREADS // along_i, s.column_block // s.columns, _power(-(-max(N, 1) // s.columns))
    )
    # A list lets all pass until it is full, so that parts are to be much longer.
    most = max(1, N // (16 * K)) if K else MAX_GRID
    while along_j > most:
        along_j //= 2
    row_blocks = -(-M // (along_i * s.rows))
    tasks = batches * row_blocks
    column_blocks = -(-N // s.column_block)
    chunks = 1
    if tasks < MANY_BLOCKS // 4:
        chunks = max(1, min(MANY_BLOCKS // tasks, column_blocks // 4, most // along_j))
    chunks = max(chunks, -(-N // MAX_COLUMNS))  # columns are counted in 32 bits within a chunk
    chunk_blocks = max(1, -(-column_blocks // chunks))
    parts = chunks * along_j
    state = k.states.bytes_of(K) if parts > 1 or k.listed == LONGEST else 0
    rows = along_i * s.rows
    at_once = max(1, STATES_BYTES // (state * parts * rows)) if state else tasks
    at_once = min(at_once, MAX_GRID // chunks, tasks)
    buffers = packed_bytes(k, M, N, hoisted)
    return Plan((along_i, along_j), tasks, chunks, chunk_blocks, parts, buffers, at_once, state)


def packed_bytes(
    k: GpuKernel, M: int, N: int, hoisted: tuple[int, int, int]
) -> tuple[int, int, int]:
    """Return the bytes of the hoisted parameters, rows and columns."""
    s, p = k.schedule, k.program
    size = 4 if k.scalar == "float" else 8
    return (
        size * p.n_parameters * hoisted[0],
        size * p.n_rows * hoisted[1] * -(-M // s.row_block) * s.row_block,
        size * p.n_columns * hoisted[2] * -(-N // s.column_block) * s.column_block,
    )


def _power(n: int) -> int:
    """Return the least power of two that is not below n."""
    return 1 << (n - 1).bit_length()


def launch(k: GpuKernel, data: Data, results: Sequence[Any], machine: Machine) -> None:
    """Start all kernels of a call: packing, the reduction, merging, repair."""
    if data.ranges is not None:
        _launch_sparse(k, data, data.ranges.along_j, results, machine)
        return
    batches = math.prod(data.batch)
    slots, offsets, hoisted, alive = _slots(k, data, machine)
    plan_ = plan(k, data.M, data.N, data.K, batches, hoisted)
    buffers = [machine.allocate(n) for n in plan_.buffers]
    row_blocks = plan_.tasks // batches
    rows = plan_.block[0] * k.schedule.rows
    states = machine.allocate(plan_.state * plan_.parts * plan_.at_once * rows)
    head = SIZES + 4 + len(results) + len(slots) * 4
    call = machine.allocate(8 * (head + offsets.size))
    start = machine.pointer(call)
    tail = [machine.pointer(b) for b in (*buffers, states)]
    tail += [machine.pointer(r) for r in results]
    for data_at, stride, step, offset in slots:
        tail += [data_at, stride, step, start + 8 * (head + offset)]

    def run(what: str, grid: int, block: tuple[int, int], step: int = 0) -> None:
        machine.launch(f"{what}_{k.name}", grid, block, start, step)

    def points(what: str, n: int) -> None:
        if n:
            run(what, -(-n // THREADS), (THREADS, 1))

    for first in range(0, plan_.tasks, plan_.at_once):
        last = min(first + plan_.at_once, plan_.tasks)
        origin, end = (
            min(n // row_blocks * data.M + n % row_blocks * rows, batches * data.M)
            for n in (first, last)
        )
        words = [data.M, data.N, batches, data.K, plan_.chunks, plan_.parts]
        words += [hoisted[1], hoisted[2], hoisted[0], first, origin, end - origin]
        words += [row_blocks, plan_.chunk_blocks, *tail]
        machine.upload(np.concatenate([np.array(words, np.int64), offsets]), call)
        if first == 0:
            for what, n in _points_to_pack(k, data, hoisted):
                points(f"pack_{what}", n)
        run("run", (last - first) * plan_.chunks, plan_.block)
        step = 1
        while step < plan_.parts:
            groups = -(-plan_.parts // (step * 16))
            run("merge", -(-(end - origin) * groups // THREADS), (THREADS, 1), step)
            step *= 16
        if k.entry.repair and data.N:
            points("repair", end - origin)
    del alive, states


def _points_to_pack(
    k: GpuKernel, data: Data, hoisted: tuple[int, int, int]
) -> Iterator[tuple[str, int]]:
    """Yield what is packed, and how many points of it, those that fill up blocks included."""
    s, p = k.schedule, k.program
    yield "parameters", hoisted[0] if p.n_parameters else 0
    for what, n, block, batches in (
        ("rows", data.M if p.n_rows else 0, s.row_block, hoisted[1]),
        ("columns", data.N if p.n_columns else 0, s.column_block, hoisted[2]),
    ):
        yield what, batches * -(-n // block) * block


def _launch_sparse(
    k: GpuKernel, data: Data, blocks: Blocks, results: Sequence[Any], machine: Machine
) -> None:
    """Start all kernels of a call with ranges: packing, the reduction, repair."""
    M, N, batches = data.M, data.N, math.prod(data.batch)
    if N > MAX_COLUMNS:
        cure = 'Use backend="openmp".'
        raise BackendError(expected(f"at most {MAX_COLUMNS} columns with ranges", f"{N}", cure))
    slots, offsets, hoisted, alive = _slots(k, data, machine)
    R = k.schedule.rows
    longest = int(np.diff(blocks.rows).max(initial=1))
    # a block may begin within the rows of a thread
    threads = min(THREADS, max(WARP, _power(-(-longest // R) + (R > 1))))
    these = layout(blocks, M, N, batches, (threads * R - R + 1) // R * R, R)
    listed = np.concatenate([these.blocks.reshape(-1), these.intervals[:, :2].reshape(-1)])
    there = machine.allocate(listed.nbytes)
    machine.upload(listed, there)
    state = k.states.bytes_of(data.K) if k.listed == LONGEST else 0
    rows = np.append(these.blocks[:, 0], M * batches)
    most = min(STATES_BYTES // state, M * batches) if state else M * batches
    most = max(most, threads * R)
    buffers = [machine.allocate(n) for n in (*packed_bytes(k, M, N, hoisted), state * most)]
    head = SIZES + 4 + len(results) + len(slots) * 4
    call = machine.allocate(8 * (head + offsets.size))
    start = machine.pointer(call)
    tail = [machine.pointer(a) for a in (*buffers, *results)]
    for data_at, stride, step, offset in slots:
        tail += [data_at, stride, step, start + 8 * (head + offset)]
    first, number = 0, len(these.blocks)
    while first < number:
        last = min(int(np.searchsorted(rows, rows[first] + most, "right")) - 1, first + MAX_GRID)
        words = [M, N, batches, data.K, 1, 1, hoisted[1], hoisted[2], hoisted[0], first]
        words += [int(rows[first]), most, number, 0, *tail]
        machine.upload(np.concatenate([np.array(words, np.int64), offsets]), call)
        if first == 0:
            for what, n in _points_to_pack(k, data, hoisted):
                if n:
                    grid = -(-n // THREADS)
                    machine.launch(f"pack_{what}_{k.name}", grid, (THREADS, 1), start, 0)
        for what in ("run", "repair") if k.entry.repair else ("run",):
            at = machine.pointer(there)
            machine.launch(f"{what}_{k.name}", last - first, (threads, 1), start, at)
        first = last
    del alive


def _slots(
    k: GpuKernel, data: Data, machine: Machine
) -> tuple[list[tuple[int, int, int, int]], Array, tuple[int, int, int], list[Any]]:
    """Return the arguments, the offsets of batches, hoisted batches, and what is to live on."""
    slots = []
    alive: list[Any] = []
    batches = math.prod(data.batch)
    offsets = [np.zeros(batches, np.int64)]
    varying = ""
    for slot, axis, _ in k.program.slots:
        a = data.arrays[slot]
        if any(n % a.itemsize for n in (*a.strides, machine.pointer(a))):
            a = a.copy()  # in order, and aligned
        alive.append(a)
        at = 0
        if math.prod(a.shape[:-2]) > 1:
            varying += axis
            at = batches * len(offsets)
            offsets.append(batch_offsets(a, data.batch))
        stride, step = (n // a.itemsize for n in a.strides[-2:])
        slots.append((machine.pointer(a), stride, step, at))
    own = [batches if axis in varying or "p" in varying else 1 for axis in "pij"]
    return slots, np.concatenate(offsets), (own[0], own[1], own[2]), alive


def batch_offsets(a: Any, batch: tuple[int, ...]) -> Array:
    """Return where each batch of an array starts, in elements."""
    offsets = np.zeros((), np.int64)
    for axis, length in enumerate(batch):
        step = 0 if a.shape[axis] == 1 else a.strides[axis] // a.itemsize
        offsets = offsets[..., None] + np.arange(length, dtype=np.int64) * step
    return np.ascontiguousarray(offsets).reshape(-1)


class GpuBackend(Backend):
    """What backends have in common that run the CUDA kernels of a task."""

    def source(self, task: Task) -> str:
        """Return the CUDA of a task, complete; for lists, that of 10 numbers."""
        return preamble() + self.kernel(task, 10).source

    @staticmethod
    def kernel(task: Task, K: int, sparse: bool = False) -> GpuKernel:
        """Return the kernels of a task for lists of K numbers, or those for ranges."""
        if task.entry.keep and K > LONGEST:
            cure = 'Use backend="openmp".'
            raise BackendError(expected(f"K at most {LONGEST} on a GPU", str(K), cure))
        listed = capacity(task.entry, K)
        return gpu_kernel(task.formula, task.weight, task.reduction, task.dtype, listed, sparse)
