"""Columns in waves, in chunks, and packed by those who use them: the same results, in less memory.

Blocks of columns are the same in any number of waves, and a row's blocks come in the same order, so
that results are equal bit by bit.
"""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cases import Case, case_of, distance, groups, vector_weight
from hard_points import assert_smallest
from sanitize.guard import WORDS

from georeduce.engine import Vi, Vj
from georeduce.engine.backends import openmp
from georeduce.engine.backends._base import Data, Task
from georeduce.engine.backends.numpy import BACKEND as SPECIFICATION
from georeduce.engine.codegen.bound import SAMPLE
from georeduce.engine.config import options
from georeduce.engine.formula.reductions import REDUCTIONS
from georeduce.engine.methods import build

pytestmark = pytest.mark.compiler

BOUNDED = [
    case_of("Kmin_argKmin", 20, "float32"),
    case_of("Kmin_argKmin", 3, "float64"),
    case_of("argmin", 20, "float64"),
]
CASES = [
    case_of("sum", 3, "float32"),
    case_of("logsumexp", 3, "float32"),
    case_of("min_argmin", 3, "float32"),
    case_of("Kmin_argKmin", 3, "float64"),
    case_of("sum", 3, "float64", vectors=True),
    Case("vector_weight", distance, "sumsoftmaxweight", 3, "float32", "j", vector_weight),
    case_of("Kmin_argKmin", 20, "float32"),
]
WAYS = [*((case, False) for case in CASES), *((case, True) for case in BOUNDED)]
"""Cases, and whether by bounds."""
NEIGHBOURS = case_of("Kmin_argKmin", 10, "float32")
K = 5


def tasks() -> list[list[Task]]:
    """Return what this module compiles."""
    return groups([*CASES, *BOUNDED, NEIGHBOURS])


def name_of(value: Any) -> str:
    return "bounds" if value is True else "plain" if value is False else str(value)


each_way = pytest.mark.parametrize(("case", "bounded"), WAYS, ids=name_of)


class Calls:
    """Changes how large waves are, and records the calls of compiled functions."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.patch = monkeypatch
        self.words: list[dict[str, int]] = []
        for kind, loaded in list(openmp.BACKEND._loaded.items()):
            monkeypatch.setitem(openmp.BACKEND._loaded, kind, self.recorded(loaded))

    def recorded(self, loaded: openmp.Loaded) -> openmp.Loaded:
        def run(argument: bytes) -> None:
            words = struct.unpack(f"{len(argument) // 8}q", argument)
            named = dict(zip(WORDS, words, strict=False))
            self.words.append({**named, "bounded": loaded.bound is not None})
            loaded.run(argument)

        return replace(loaded, run=run)

    def limit(self, **limits: float) -> None:
        openmp._plan.cache_clear()
        for name, value in limits.items():
            self.patch.setattr(openmp, name, value)

    def run(self, task: Task, data: Data, bounded: bool, n_threads: int = 2) -> list[bytes]:
        """Return the bytes of the results; the words are those of the kernel asked for."""
        self.words.clear()
        with options(n_threads=n_threads):
            results = [part.tobytes() for part in openmp.BACKEND._run(task, data, bounded)]
        assert self.words[0]["bounded"] == bounded
        self.words[:] = [w for w in self.words if w["bounded"] == bounded]
        return results


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    yield Calls(monkeypatch)
    openmp._plan.cache_clear()  # of what was planned with other limits


def made(case: Case, rng: np.random.Generator, M: int, N: int, *batches: Any) -> tuple[Task, Data]:
    x, weight = case.tensors(rng, M, N, batches or ((), ()))
    return build(x, case.reduction, "j", K if REDUCTIONS[case.reduction].keep else 0, weight)


def waves(words: list[dict[str, int]]) -> list[tuple[int, int]]:
    return [(w["from"], w["to"]) for w in words]


@each_way
@pytest.mark.parametrize("batches", [(), ((2,), (2,)), ((), (2,)), ((2,), ())], ids=str)
def test_waves_change_nothing(
    case: Case, bounded: bool, batches: Any, calls: Calls, rng: np.random.Generator
) -> None:
    loaded = openmp.BACKEND._loaded[case.task(), bounded]
    block = loaded.column_block
    for M, N in ((2 * loaded.row_block + 3, 6 * block + 5), (loaded.row_block + 1, 7 * block)):
        task, data = made(case, rng, M, N, *batches)
        calls.limit(WAVE_BYTES=1e9)
        alone = calls.run(task, data, bounded)
        vectors = -(-N // loaded.lanes)
        assert set(waves(calls.words)) == {(0, vectors)}
        # of a block each, and of some
        packed = loaded.scalar_bytes * loaded.n_columns * block
        for blocks in (1, 3):
            calls.limit(WAVE_BYTES=blocks * packed * calls.words[0]["column_batches"] + 1)
            for n_threads in (1, 2, 5):
                assert calls.run(task, data, bounded, n_threads) == alone
                starts = list(range(0, vectors, blocks * block // loaded.lanes))
                assert waves(calls.words) == list(
                    zip(starts, [*starts[1:], vectors], strict=True)
                ), "each wave once"


@each_way
def test_parts_change_nothing(
    case: Case, bounded: bool, calls: Calls, rng: np.random.Generator
) -> None:
    """Parts of the rows, so that states of few are kept and Ctrl-C acts, with and without waves."""
    loaded = openmp.BACKEND._loaded[case.task(), bounded]
    M, N = 130 * loaded.row_block + 7, 2 * loaded.column_block + 1
    for batches, m in (((), M), (((3,), (3,)), M // 3), (((3,), ()), M // 3)):
        task, data = made(case, rng, m, N, *batches)
        calls.limit(WAVE_BYTES=1e9, STATES_BYTES=1e9, PART=1e18)
        alone = calls.run(task, data, bounded)
        for limits in (
            {"STATES_BYTES": 1, "WAVE_BYTES": 1},
            {"STATES_BYTES": 1, "WAVE_BYTES": 1, "TRIAL": 1},  # no trial of more than are kept
            {"PART": 1},
            {"PART": 1e5, "WAVE_BYTES": 1},
        ):
            usual = {"WAVE_BYTES": 1e9, "STATES_BYTES": 1e9, "PART": 1e18, "TRIAL": 50}
            calls.limit(**{**usual, **limits})
            for n_threads in (1, 3):
                assert calls.run(task, data, bounded, n_threads) == alone
                assert calls.words[-1]["first"] > 0, "in parts"
                if "STATES_BYTES" in limits:
                    assert max(w["last"] - w["first"] for w in calls.words) <= 64
                assert ("WAVE_BYTES" in limits) == (calls.words[-1]["from"] > 0)


@each_way
def test_blocks_packed_by_those_who_use_them(
    case: Case, bounded: bool, calls: Calls, rng: np.random.Generator
) -> None:
    """Around the number of rows that are one block, and in chunks."""
    loaded = openmp.BACKEND._loaded[case.task(), bounded]
    N = 9 * loaded.column_block + 3
    for M in (1, loaded.row_block - 1, loaded.row_block, loaded.row_block + 1):
        task, data = made(case, rng, M, N)
        results = calls.run(task, data, bounded, 1)
        assert calls.words[0]["chunks"] > 1
        # columns in integers are not packed anew for each block of rows
        blockwise = M <= loaded.row_block or not bounded
        assert calls.words[0]["blockwise"] == blockwise
        assert (calls.words[0]["scratch"] == calls.words[0]["columns"]) == blockwise
        for n_threads in (2, 7):
            assert calls.run(task, data, bounded, n_threads) == results
    case.check("openmp", *case.tensors(rng, 3, N))


@each_way
@pytest.mark.parametrize("blockwise", [False, True], ids=["packed for all", "blockwise"])
def test_chunks_in_waves(
    case: Case, bounded: bool, blockwise: bool, calls: Calls, rng: np.random.Generator
) -> None:
    """Each wave is split, and its chunks are merged with the states of the waves before."""
    loaded = openmp.BACKEND._loaded[case.task(), bounded]
    block = loaded.column_block
    M, N = 35 if blockwise else 7, 21 * block + 3
    batches = () if blockwise else ((2,), ())  # columns that batches share are not packed for each
    task, data = made(case, rng, M, N, *batches)
    calls.limit(WAVE_BYTES=1e9, PART=1e18)
    alone = calls.run(task, data, bounded)
    if blockwise:
        calls.limit(PART=1, MAX_CHUNKS=2)
    else:
        packed = loaded.scalar_bytes * loaded.n_columns * block
        calls.limit(WAVE_BYTES=8 * packed + 1)
    results = calls.run(task, data, bounded, 1)
    words = calls.words[0]
    assert words["blockwise"] == blockwise
    assert words["chunks"] == 2
    vectors = block // loaded.lanes
    assert waves(calls.words) == [
        (0, 8 * vectors),
        (8 * vectors, 16 * vectors),
        (16 * vectors, -(-N // loaded.lanes)),
    ]
    for n_threads in (2, 5):
        assert calls.run(task, data, bounded, n_threads) == results
    if REDUCTIONS[case.reduction].keep or "min" in case.reduction:
        assert results == alone
    x, weight = case.tensors(rng, M, N, batches or ((), ()))
    case.check("openmp", x, weight, K)


@pytest.mark.parametrize(
    ("case", "bounded"), [way for way in WAYS if REDUCTIONS[way[0].reduction].keep], ids=name_of
)
def test_lists_of_chunks_know_the_limit_of_columns_before(
    case: Case, bounded: bool, calls: Calls, rng: np.random.Generator
) -> None:
    """Ties go to the lowest column, also where equal values are in many chunks and waves."""
    loaded = openmp.BACKEND._loaded[case.task(), bounded]
    M, N = 40, 40 * loaded.column_block
    x, weight = case.tensors(rng, M, N)
    task, data = build(x, case.reduction, "j", 9, weight)
    arrays = [a.copy() for a in data.arrays]
    for slot, axis, _ in loaded.slots:
        if axis == "j" and slot < len(arrays):
            arrays[slot][:] = arrays[slot][: N // 8].repeat(8, 0)[rng.permutation(N)]
    data = data._replace(arrays=arrays)
    expected = [part.tobytes() for part in SPECIFICATION.run(task, data)][-1:]
    for limits in ({"PART": 1e18}, {"PART": 1, "MAX_CHUNKS": 4}):
        calls.limit(**limits)
        for n_threads in (1, 2, 5):
            assert calls.run(task, data, bounded, n_threads)[-1:] == expected
            assert calls.words[0]["chunks"] > 1


@pytest.mark.parametrize("bounded", [False, True], ids=name_of)
@pytest.mark.parametrize("K", [40, 1500])
def test_long_lists_are_kept_for_fewer_rows(
    K: int, bounded: bool, calls: Calls, rng: np.random.Generator
) -> None:
    loaded = openmp.BACKEND._loaded[NEIGHBOURS.task(), bounded]
    M, N = 205, 4000
    x, y = rng.random((M, 10), np.float32), rng.random((N, 10), np.float32)
    task, data = build(Vi(x).sqdist(Vj(y)), NEIGHBOURS.reduction, "j", K)
    calls.limit(LISTS_BYTES=1e9)
    expected = calls.run(task, data, bounded)
    assert calls.words[0]["block"] == loaded.row_block
    state = loaded.row_bytes(calls.words[0]["kept"])
    for size, block in ((1, 2 * loaded.strip), (5 * loaded.strip * state, None)):
        calls.limit(LISTS_BYTES=size)
        assert calls.run(task, data, bounded) == expected
        assert calls.words[0]["block"] == (block or 5 * loaded.strip)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_batches_of_few_rows(case: Case, calls: Calls, rng: np.random.Generator) -> None:
    """Each batch is what it is alone, whether columns are packed for it or for all."""
    N = 300
    for batches in (((3,), (3,)), ((), (3,)), ((3,), ()), ((2, 1), (1, 3))):
        for M in (2, 70):
            x, weight = case.tensors(rng, M, N, batches)
            case.check("openmp", x, weight, K)


# --- Memory -----------------------------------------------------------------------------------

MANY = 1_000_000
PYTHON = 64 * 1024
"""Bytes of small objects of a call, those of `sanitize.guard` included."""


def allocated(task: Task, data: Data, bounded: bool = False) -> int:
    """Return the most bytes that a call allocates besides its results; NumPy reports each array."""
    tracemalloc.start()
    try:
        results = openmp.BACKEND._run(task, data, bounded)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return peak - sum(part.nbytes for part in results)


@pytest.mark.parametrize(("M", "D"), [(8, 10), (8, 20)])
def test_few_rows_hold_no_copy_of_the_columns(M: int, D: int, rng: np.random.Generator) -> None:
    case = NEIGHBOURS if D == 10 else BOUNDED[0]
    x, y = rng.random((M, D), np.float32), rng.random((MANY, D), np.float32)
    task, data = build(Vi(x).sqdist(Vj(y)), case.reduction, "j", 10)
    assert task is case.task()
    with options(n_threads=2):
        assert allocated(task, data) < y.nbytes / 16
        values, indices = openmp.BACKEND.run(task, data)
    assert_smallest(values[:2], indices[:2], x[:2], y, 10)


def held(M: int, N: int, K: int, bounded: bool, threads: int = 2) -> int:
    """Return the bytes of the buffers of a call."""
    loaded = openmp.BACKEND._loaded[NEIGHBOURS.task(), bounded]
    plan = openmp._plan(loaded, M, N, K, 1, 1, 1)
    return sum(plan.buffers) + plan.scratch * threads


@pytest.mark.parametrize("bounded", [False, True], ids=name_of)
@pytest.mark.parametrize("M", [1, 100, 2000, 10_000, MANY, 10 * MANY])
def test_memory_stays_flat(M: int, bounded: bool) -> None:
    """What is held has a limit, whatever the sizes."""
    rows = openmp.STATES_BYTES + 2 * openmp.ALIGNMENT
    for N in (1000, 100_000, MANY, 30 * MANY):
        assert held(M, N, 10, bounded) < openmp.WAVE_BYTES + rows + 4 * 2**20


def test_memory_is_what_is_planned(rng: np.random.Generator) -> None:
    M, N = 7000, 300_000
    task, data = made(NEIGHBOURS, rng, M, N)
    samples = 2 * SAMPLE * NEIGHBOURS.D * 8  # of rows or of columns, and their norms
    for bounded in (False, True):
        with options(n_threads=2):
            most = held(M, N, K, bounded) + bounded * (M + samples)
            assert allocated(task, data, bounded) < most + PYTHON
