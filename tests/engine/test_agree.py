"""Every backend against float64 NumPy: reductions, dtypes, axes, batch axes, sizes, dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import ALONG_I, ALONG_J, FORMS, LONG, VECTORS, WEIGHTED, Case, groups

from georeduce.engine.backends import get_backend
from georeduce.engine.backends._base import Task
from georeduce.engine.codegen.gpu import LONGEST, THREADS
from georeduce.engine.formula.reductions import REDUCTIONS

SIZES = (0, 1, 15, 16, 17, 1000)


def tasks() -> list[list[Task]]:
    """Return what this module compiles."""
    return groups(ALONG_J, ALONG_I, LONG, VECTORS, WEIGHTED, FORMS)


def sizes(limit: int = 400_000) -> list[tuple[int, int]]:
    """Return pairs of sizes at the borders of tiles; the largest pairs would tell nothing new."""
    return [(M, N) for M in SIZES for N in SIZES if M * N <= limit]


@pytest.mark.parametrize("case", [*ALONG_J, *ALONG_I], ids=str)
def test_reduction_at_sizes(case: Case, backend: str, rng: np.random.Generator) -> None:
    for M, N in sizes():
        case.check(backend, *case.tensors(rng, M, N))


@pytest.mark.parametrize("case", LONG, ids=str)
def test_reduction_at_dimensions(case: Case, backend: str, rng: np.random.Generator) -> None:
    for M, N in ((17, 16), (3, 200), (65, 17), (1, 1)):
        case.check(backend, *case.tensors(rng, M, N))


@pytest.mark.parametrize("case", [*VECTORS, *WEIGHTED, *FORMS], ids=str)
def test_formula_at_sizes(case: Case, backend: str, rng: np.random.Generator) -> None:
    for M, N in ((17, 16), (1, 1000), (200, 33), (5, 1), (0, 3), (3, 0)):
        case.check(backend, *case.tensors(rng, M, N))


BATCHES = (
    ((2,), (2,)),
    ((2,), ()),
    ((), (3,)),
    ((2, 1), (1, 3)),
    ((2, 3), (3,)),
    ((1, 3), (2, 1)),
    ((2, 2, 1), (2, 1, 2)),
    ((0,), ()),
)


@pytest.mark.parametrize("batches", BATCHES, ids=str)
@pytest.mark.parametrize("case", [*ALONG_J, *ALONG_I[::2]], ids=str)
def test_batches(case: Case, batches: Any, backend: str, rng: np.random.Generator) -> None:
    for M, N in ((17, 5), (1, 40)):
        case.check(backend, *case.tensors(rng, M, N, batches))


@pytest.mark.parametrize("case", FORMS, ids=str)
def test_batches_of_hoisted_parts(case: Case, backend: str, rng: np.random.Generator) -> None:
    case.check(backend, *case.tensors(rng, 9, 21, ((2, 1), (3,))))


KEEPING = [c for c in [*ALONG_J, *ALONG_I] if REDUCTIONS[c.reduction].keep]


@pytest.mark.parametrize("K", [1, 2, 5, 10, 20, 100])
@pytest.mark.parametrize("case", KEEPING, ids=str)
def test_smallest(case: Case, K: int, backend: str, rng: np.random.Generator) -> None:
    for M, N in ((17, 16), (4, 1000), (3, 1), (2, 0), (1, 20)):
        case.check(backend, *case.tensors(rng, M, N), K=K)


# 64 chunks of at least 4 blocks of 64 vectors of 16 lanes: some columns are left over.
MANY = 64 * 64 * 16 + 77


# A product of so many factors leaves the range of any dtype.
@pytest.mark.parametrize("case", [c for c in ALONG_J if c.reduction != "prod"], ids=str)
def test_few_rows_and_many_columns(case: Case, backend: str, rng: np.random.Generator) -> None:
    case.check(backend, *case.tensors(rng, 2, MANY))


@pytest.mark.parametrize("case", ALONG_J, ids=str)
def test_many_rows_and_few_columns(case: Case, backend: str, rng: np.random.Generator) -> None:
    case.check(backend, *case.tensors(rng, MANY, 3))


@pytest.mark.parametrize("case", KEEPING, ids=str)
def test_a_thousand_smallest(case: Case, backend: str, rng: np.random.Generator) -> None:
    for M, N in ((3, 2500), (2, LONGEST - 1)):
        case.check(backend, *case.tensors(rng, M, N), K=LONGEST)


# --- On a GPU, tiles are larger -------------------------------------------------------------------


@pytest.mark.compiler
@pytest.mark.parametrize("case", [*ALONG_J, *LONG], ids=str)
def test_sizes_at_the_borders_of_gpu_tiles(case: Case, rng: np.random.Generator) -> None:
    """Rows of a thread and of a block of threads, columns of a tile: one less, and one more."""
    s = get_backend("emulator").kernel(case.task(), 3).schedule  # type: ignore[attr-defined]
    rows, columns = (s.rows, THREADS * s.rows), (s.columns, s.column_block, 2 * s.column_block)
    for M in (n + d for n in rows for d in (-1, 0, 1)):
        case.check("emulator", *case.tensors(rng, M, s.columns + 1))
    for N in (n + d for n in columns for d in (-1, 0, 1)):
        case.check("emulator", *case.tensors(rng, s.rows + 1, N))
