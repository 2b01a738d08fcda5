"""Compiled C++ kernels on the processor's vector units and cores, loaded through ctypes."""

from __future__ import annotations

import ctypes
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..codegen.bound import Bound, ball, lower_bound, with_spares
from ..codegen.cpu import CpuKernel
from ..codegen.kernels import (
    BOUND_PREAMBLE,
    PREAMBLE,
    SPARSE_PREAMBLE,
    BoundKernel,
    cpu_kernel,
    sparse_kernel,
)
from ..ranges import Blocks
from ._base import Array, Backend, Data, Task, empty_results
from ._block_sparse import layout
from ._burst import Burst
from ._cache import load
from ._compiler import find_compiler, why_no_compiler
from ._repair import again as _again
from ._slots import slots_of
from ._threads import mark_used, thread_count
from .numpy import BACKEND as SPECIFICATION

HEADERS = tuple(
    Path(__file__).parent.parent / "codegen" / name
    for name in (
        "kernel.h",
        "block_sparse.h",
        "pack.h",
        "exact.h",
        "fixed.h",
        "select.h",
        "smallest.h",
        "order.h",
        "simd.h",
        "simd_math.h",
        "simd_special.h",
    )
)
ALIGNMENT = 64
MAX_CHUNKS = 64
ROW_COST = 16
"""Vector instructions for a row besides its pairs: its state is begun, folded and finished."""
WAVE_BYTES = 8 * 2**20
"""Packed columns that stay in the last-level cache while all rows pass over them."""
REPACKED = 32
"""Rows of a block from which on columns may be packed anew for each block, if there are chunks."""
LISTS_BYTES = 256 * 2**10
"""States of a block of rows that stay in the second-level cache, beside a block of columns."""
STATES_BYTES = 32 * 2**20
"""States of rows that are kept between two waves."""
TRIAL, GIVEN_UP = 50, 0.3
"""One in so many rows tries bounds, the first ones, at least four blocks of 16 or more; if more
than this share is unproven, the others do without. There is no trial where there are chunks."""
PART = 2e9
"""Vector instructions after which a call returns for a moment, so that Ctrl-C acts: about 1 s."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """A compiled kernel: its function, its layout, and what one pair costs."""

    run: Any
    row_bytes: Callable[[int], int]
    scratch_bytes: Callable[[bytes], int]
    slots: tuple[tuple[int, str, int], ...]
    pair_cost: int
    bound: Bound | None
    indices: int  # a bit for each result that holds them
    lanes: int
    strip: int
    row_block: int
    column_block: int
    n_parameters: int
    n_rows: int
    n_columns: int
    scalar_bytes: int


class OpenMPBackend(Backend):
    """Compiles a task with the C++ compiler found, once, and launches it."""

    name = "openmp"

    def __init__(self) -> None:
        self._loaded: dict[tuple[Task, bool], Loaded] = {}
        self._sparse: dict[Task, Loaded] = {}

    def missing(self) -> str:
        """Return why there is no compiler, "" if there is one."""
        return "" if self._loaded or find_compiler() is not None else why_no_compiler()

    def source(self, task: Task, bounded: bool = False) -> str:
        """Return the C++ of a task, which includes ``kernel.h``, or ``fixed.h`` if by bounds.

        Where there are bounds, the other one is for rows or columns too few for them, and for what
        they do not prove.
        """
        kernel = self._kernel(task, bounded)
        assert kernel is not None, "there are bounds"
        return (BOUND_PREAMBLE if bounded else PREAMBLE) + kernel.source

    def prepare(self, tasks: Sequence[Task]) -> None:
        """Compile many tasks as one translation unit, which is faster than one by one."""
        both = [(task, bounded) for task in tasks for bounded in (False, True)]
        self._prepare([kind for kind in both if self._kernel(*kind)])

    def _prepare(self, kinds: Sequence[tuple[Task, bool]]) -> None:
        new = {kind: self._kernel(*kind) for kind in kinds if kind not in self._loaded}
        if not new:
            return
        sources = dict.fromkeys(kernel.source for kernel in new.values() if kernel)
        bounds = any(bounded for _, bounded in new)
        library = load((BOUND_PREAMBLE if bounds else PREAMBLE) + "\n".join(sources), HEADERS)
        for kind, kernel in new.items():
            assert kernel is not None, "there are bounds"
            self._loaded[kind] = _open(library, kernel)

    def prepare_sparse(self, tasks: Sequence[Task]) -> None:
        """Compile what these tasks need where they are given ranges, together."""
        kernels = {
            task: sparse_kernel(task.formula, task.weight, task.reduction, task.dtype)
            for task in tasks
            if task not in self._sparse
        }
        if kernels:
            sources = dict.fromkeys(kernel.source for kernel in kernels.values())
            library = load(SPARSE_PREAMBLE + "\n".join(sources), HEADERS)
            self._sparse.update({task: _open(library, k) for task, k in kernels.items()})

    def run(self, task: Task, data: Data) -> tuple[Array, ...]:
        """Return the results, see `Backend.run`."""
        if data.ranges is not None:
            return self._run_sparse(task, data, data.ranges.along_j)
        bound = lower_bound(task.formula, task.reduction)
        return self._run(task, data, bound is not None and bound.pays(data.M, data.N, data.K))

    def _run(self, task: Task, data: Data, bounded: bool) -> tuple[Array, ...]:
        loaded = self._loaded.get((task, bounded))
        if loaded is None:
            self._prepare([(task, bounded)])
            loaded = self._loaded[task, bounded]
        results = empty_results(task, data)
        if not data.M or 0 in data.batch:
            return results
        if loaded.bound is not None:
            unproven = np.empty((*data.batch, data.M), np.bool_)
            _launch(loaded, _with_ball(data, loaded.bound), results, unproven)
            _again(task, data, results, unproven, lambda part: self._run(task, part, False))
        else:
            _launch(loaded, data, results)
            if task.entry.repair and data.N:
                # rows without an index hold infinities or NaN only
                again = np.asarray((results[-1] < 0).any(-1))
                _again(task, data, results, again, lambda part: SPECIFICATION.run(task, part))
        return results

    def _run_sparse(self, task: Task, data: Data, blocks: Blocks) -> tuple[Array, ...]:
        self.prepare_sparse([task])
        results = empty_results(task, data)
        if not data.M or 0 in data.batch:
            return results
        _launch_sparse(self._sparse[task], data, blocks, results)
        if task.entry.repair:
            again = np.asarray((results[-1] < 0).any(-1))
            rows = np.flatnonzero(again)
            again.reshape(-1)[rows] = blocks.has_columns(rows)
            _again(task, data, results, again, lambda part: SPECIFICATION.run(task, part))
        return results

    @staticmethod
    def _kernel(task: Task, bounded: bool) -> CpuKernel | BoundKernel | None:
        return cpu_kernel(task.formula, task.weight, task.reduction, task.dtype, bounded)


def _open(library: ctypes.CDLL, kernel: CpuKernel | BoundKernel) -> Loaded:
    layout = (ctypes.c_int64 * 8)()
    getattr(library, f"layout_{kernel.name}")(layout)
    run = getattr(library, f"run_{kernel.name}")
    run.argtypes, run.restype = [ctypes.c_char_p] * (1 + kernel.sparse), None
    row_bytes: Callable[[int], int] = getattr(library, f"row_bytes_{kernel.name}")
    row_bytes.argtypes, row_bytes.restype = [ctypes.c_int64], ctypes.c_int64  # type: ignore[attr-defined]
    scratch_bytes: Callable[[bytes], int] = getattr(library, f"scratch_bytes_{kernel.name}")
    scratch_bytes.argtypes, scratch_bytes.restype = [ctypes.c_char_p], ctypes.c_int64  # type: ignore[attr-defined]
    if not kernel.entry.keep:
        size = row_bytes(0)
        row_bytes = lambda K: size  # noqa: E731  (a call less)
    sizes = tuple(int(n) for n in layout)
    cost, bound = kernel.pair_cost, kernel.bound
    indices = sum(held << n for n, held in enumerate(kernel.entry.holds_indices()))
    return Loaded(run, row_bytes, scratch_bytes, kernel.slots, cost, bound, indices, *sizes)


class Plan(NamedTuple):
    """How a call of some size is laid out: what does not depend on the data."""

    sizes: tuple[int, ...]  # the first words of gr::Call, but for the threads and the part
    block: int  # rows
    row_blocks: int  # of all batches
    chunks: int
    work: int
    buffers: tuple[int, ...]  # bytes of parameters, columns and states
    scratch: int  # bytes for each thread
    wave: int  # vectors of columns that rows pass over together
    part: int  # blocks of rows whose states are kept between waves
    vectors: int


@lru_cache(maxsize=1024)
def _plan(k: Loaded, M: int, N: int, K: int, batches: int, columns: int, parameters: int) -> Plan:
    kept = min(with_spares(K, k.bound.dim), N) if k.bound and K else min(K, max(N, 1))
    state = k.row_bytes(kept)
    block = rows_at_once(k, state)
    row_blocks = batches * -(-M // block)
    unit = k.column_block // k.lanes
    vectors = -(-N // k.lanes)
    packed = k.scalar_bytes * k.n_columns * k.lanes

    def chunks_of(wave: int) -> int:
        longest = min(N, wave * k.lanes) // (64 * K) if K else MAX_CHUNKS
        return _chunks(row_blocks, -(-wave // unit), longest)

    # those who use columns pack them: each column is needed once, or seldom beside what is computed
    chunks, wave = chunks_of(vectors), vectors
    repacked = chunks > 1 and min(M, block) >= REPACKED and not k.bound  # integers are dearer
    blockwise = row_blocks == columns or repacked
    most = float(vectors)
    if not blockwise and packed * vectors * columns > WAVE_BYTES:
        most = WAVE_BYTES // (packed * columns)
    if chunks > 1:  # rows come all at once: between two waves a call returns for a moment
        most = min(most, max(PART / (batches * M * k.pair_cost), 4 * MAX_CHUNKS * unit))
    if most < vectors:
        wave = max(1, int(most) // unit) * unit
        chunks = chunks_of(wave)
    part = row_blocks
    if chunks > 1:
        rows_kept = batches * M * (chunks + (wave < vectors))
    else:
        if wave < vectors:
            part = min(part, max(64, STATES_BYTES // (state * block)))
        rows_kept = part * block * (wave < vectors)
    buffers = (
        k.scalar_bytes * k.n_parameters * parameters,
        0 if blockwise else packed * min(wave, vectors) * columns,
        state * rows_kept,
    )
    sizes = (M, N, batches, K, kept, chunks, columns, parameters, block, int(blockwise))
    scratch = k.scratch_bytes(struct.pack("16q", *sizes, *[0] * 6))
    return Plan(
        sizes,
        block,
        row_blocks,
        chunks,
        1 + batches * M * k.lanes * (vectors * k.pair_cost + ROW_COST),
        tuple(_rounded(size, ALIGNMENT) for size in buffers),
        _rounded(scratch, 4096),
        max(wave, 1),
        part,
        vectors,
    )


def rows_at_once(k: Loaded, state: int) -> int:
    """Return the rows of a block, of states of so many bytes."""
    return min(k.row_block, max(2, LISTS_BYTES // (state * k.strip)) * k.strip)


def _with_ball(data: Data, bound: Bound) -> Data:
    inside = ball(bound, data.arrays[bound.row], data.arrays[bound.column])
    return data._replace(arrays=[*data.arrays[: bound.ball], inside])


def _rounded(size: int, unit: int) -> int:
    return (size + unit - 1) // unit * unit


_burst = Burst()


def _launch(
    k: Loaded, data: Data, results: tuple[Array, ...], unproven: Array | None = None
) -> None:
    """Lay out the call as ``gr::Call`` has it, with the buffers that it works in, and run it."""
    (slots, alive), columns, parameters = slots_of(k, data)
    batches = math.prod(data.batch)
    plan = _plan(k, data.M, data.N, data.K, batches, columns, parameters)
    threads = 1
    if _burst.wants_threads(plan.work / k.lanes):
        threads = max(1, min(thread_count(None), plan.row_blocks * plan.chunks))
        mark_used(threads)
    parameter_bytes, column_bytes, state_bytes = plan.buffers
    total = parameter_bytes + column_bytes + state_bytes + plan.scratch * threads
    buffer = np.empty(total + ALIGNMENT, np.uint8)
    start: int = buffer.__array_interface__["data"][0]
    start += -start % ALIGNMENT
    scratch = start + parameter_bytes + column_bytes
    head = (start, start + parameter_bytes, scratch, scratch + plan.scratch * threads, plan.scratch)
    flagged = 0 if unproven is None else unproven.__array_interface__["data"][0]
    tail = [*head, flagged, *(r.__array_interface__["data"][0] for r in results), *slots]
    waves = range(0, max(plan.vectors, 1), plan.wave)
    # Chunks are merged at the end of a call: their rows come all at once, in waves
    blocks = part = plan.row_blocks
    first = last = 0
    while last < blocks:
        if plan.chunks == 1:
            part = int(PART * threads * k.lanes * len(waves) / plan.work * blocks) + 1
            part = min(max(threads, part), plan.part)
            if unproven is not None and first == last == 0 and blocks >= 16:
                # results are not to depend on the threads; states are kept for `plan.part`
                part = min(max(4, blocks // TRIAL), plan.part)
        first, last = last, min(last + part, blocks)
        for wave in waves:
            upto = min(wave + plan.wave, plan.vectors)
            pack = 2 if first == wave == 0 else int(first == 0 or len(waves) > 1)
            words = (*plan.sizes, threads, first, last, wave, upto, pack, *tail)
            # ctypes releases the GIL; the buffer, the results and the arguments live in this frame
            k.run(struct.pack(f"{len(words)}q", *words))
        if unproven is not None and first == 0 and last < blocks:
            every = -(-data.M // plan.block)
            done = last // every * data.M + last % every * plan.block
            flags = unproven.reshape(-1)
            if flags[:done].mean() > GIVEN_UP:
                flags[done:] = True
                break
    _burst.pause()
    del alive


def _launch_sparse(k: Loaded, data: Data, blocks: Blocks, results: tuple[Array, ...]) -> None:
    """Lay out a call with ranges as ``block_sparse.h`` has it, and run it in parts."""
    (slots, alive), _, parameters = slots_of(k, data)
    M, N, K, batches = data.M, data.N, data.K, math.prod(data.batch)
    kept = min(K, max(N, 1))
    # few rows are cut finer, so that there are blocks for many threads, but not so fine that
    # packing columns anew for each would take long beside what is computed
    finer = max(REPACKED, -(-M * batches // MAX_CHUNKS))
    rows = min(rows_at_once(k, k.row_bytes(kept)), -(-finer // k.strip) * k.strip)
    these = layout(blocks, M, N, batches, rows, k.strip)
    sizes = (M, N, batches, K, kept, 1, 1, parameters, rows, 1)
    one = k.scalar_bytes * k.n_columns * k.lanes
    room = _rounded(k.scratch_bytes(struct.pack("16q", *sizes, *[0] * 6)) + one, 4096)
    parameter_bytes = _rounded(k.scalar_bytes * k.n_parameters * parameters, ALIGNMENT)
    threads, work = 1, k.pair_cost / k.lanes
    if _burst.wants_threads(these.pairs[-1] * work):
        threads = max(1, min(thread_count(None), len(these.blocks)))
        mark_used(threads)
    buffer = np.empty(parameter_bytes + room * threads + ALIGNMENT, np.uint8)
    start: int = buffer.__array_interface__["data"][0]
    start += -start % ALIGNMENT
    scratch = start + parameter_bytes  # there are no other columns, and no states between waves
    tail = [start, scratch, scratch, scratch + room * threads, room, 0]
    tail += [*(r.__array_interface__["data"][0] for r in results), *slots]
    width = results[0].shape[-1]
    addresses = (a.__array_interface__["data"][0] for a in (these.blocks, these.intervals))
    given = struct.pack("4q", *addresses, k.indices, width)
    first = 0
    while first < len(these.blocks):
        # blocks differ in size: a part has about as many pairs as take a second
        most = these.pairs[first] + PART * threads / work
        last = max(first + 1, int(np.searchsorted(these.pairs, most)))
        last = min(last, len(these.blocks))
        words = (*sizes, threads, first, last, 0, -(-N // k.lanes), 2, *tail)
        k.run(struct.pack(f"{len(words)}q", *words), given)
        first = last
    _burst.pause()
    del alive


def _chunks(tasks: int, column_blocks: int, most: int) -> int:
    """Return into how many chunks the columns are split: by sizes only, never by threads.

    A list of the K smallest lets all pass until it is full, so that chunks are to be much longer.
    """
    if tasks >= MAX_CHUNKS or column_blocks < 8:
        return 1
    return max(1, min(MAX_CHUNKS // tasks, column_blocks // 4, most))


BACKEND = OpenMPBackend()
