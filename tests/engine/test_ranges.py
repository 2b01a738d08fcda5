"""Block-sparse reductions against float64 NumPy on the columns that each row is confined to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from cases import ALONG_I, ALONG_J, FORMS, VECTORS, WEIGHTED, Case
from helpers import Array, check_results, tensor_values
from hypothesis import given, settings
from hypothesis import strategies as st

from georeduce.engine import LazyTensor, Ranges, Vi, Vj
from georeduce.engine.backends import get_backend, openmp
from georeduce.engine.cluster import from_matrix, swap_axes
from georeduce.engine.formula.reductions import REDUCTIONS
from georeduce.engine.methods import reduce

# dtypes in turn: the two differ in lanes, not in loops
EACH = [case for n, case in enumerate(ALONG_J) if (n // 2 + n) % 2 == 0]
SOME = [
    *(c for n, c in enumerate(ALONG_I) if n % 5 == 0),
    *VECTORS[::4],
    *WEIGHTED[::4],
    *(c for c in FORMS if c.name in ("gaussian", "hoisted", "cosine", "slices", "parameter")),
]
CASES = [*EACH, *SOME]
GROUP = 12


@pytest.fixture(scope="module", autouse=True)
def compiled_with_ranges(compiled: None) -> None:
    """Compile what this module runs, together."""
    openmp, emulator = get_backend("openmp"), get_backend("emulator")
    if not openmp.missing():
        for n in range(0, len(CASES), GROUP):
            together = [case.task() for case in CASES[n : n + GROUP]]
            openmp.prepare_sparse(together)  # type: ignore[attr-defined]
            emulator.prepare(together, sparse=True)  # type: ignore[call-arg]


# --- Patterns of blocks ------------------------------------------------------------------------


@dataclass(frozen=True)
class Pattern:
    """Ranges of rows and of columns, and which of them meet."""

    name: str
    M: int
    N: int
    rows: Sequence[Sequence[int]]
    columns: Sequence[Sequence[int]]
    keep: Array

    def __str__(self) -> str:
        return self.name

    def mask(self) -> Array:
        """Return which pairs are reduced, of shape (M, N)."""
        mask = np.zeros((self.M, self.N), bool)
        for k, (a, b) in enumerate(self.rows):
            for n, (c, d) in enumerate(self.columns):
                if self.keep[k, n]:
                    mask[a:b, c:d] = True
        return mask


def starts(*lengths: int, gap: int = 0, first: int = 0) -> list[list[int]]:
    """Return ranges of some lengths, one after the other, with gaps between them."""
    ends = first + np.cumsum(np.array(lengths) + gap) - gap
    return [[int(e - n), int(e)] for e, n in zip(ends, lengths, strict=True)]


def chess(m: int, n: int) -> Array:
    return (np.arange(m)[:, None] + np.arange(n)) % 2 == 0


LONG = starts(15, 16, 17, 3000, 1000, 1, gap=2)
PATTERNS = [
    Pattern("nothing", 7, 9, [], [], np.zeros((0, 0), bool)),
    Pattern("only rows", 5, 6, [[1, 3]], [], np.zeros((1, 0), bool)),
    Pattern("everything", 33, 70, [[0, 33]], [[0, 70]], chess(1, 1)),
    Pattern("gaps", 30, 40, starts(3, 9, 2, gap=4, first=1), starts(5, 1, 17, gap=3), chess(3, 3)),
    Pattern("no columns", 12, 8, starts(4, 4, 4), starts(3, 5), chess(3, 2) & [[1], [0], [1]]),
    Pattern("touching", 20, 60, starts(10, 10), starts(7, 8, 9, 10), np.ones((2, 4), bool)),
    Pattern("single", 11, 19, starts(*[1] * 11), starts(*[1] * 19), chess(11, 19)),
    Pattern("empty", 9, 9, [[0, 0], [2, 5], [5, 5]], [[4, 4], [0, 3]], np.ones((3, 2), bool)),
    Pattern("many rows", 333, 20, starts(300, 2, gap=9), starts(7, 3, 2, gap=4), chess(2, 3)),
    Pattern("many columns", 9, 4100, starts(4, 5), LONG, chess(2, 6)),
]
TOUCHING = PATTERNS[5]


def check_ranges(
    case: Case, backend: str, patterns: Sequence[Pattern], x: LazyTensor, weight: Any, K: int = 3
) -> None:
    """Assert that a reduction of a case, its batches confined to patterns, is right."""
    name = case.reduction
    K = K if REDUCTIONS[name].keep else 0
    ranges = together(patterns)
    given = swap_axes(ranges) if case.axis == "i" else ranges
    result = reduce(x, name, case.axis, K, weight, backend, ranges=given)
    results = result if isinstance(result, tuple) else (result,)
    found, data = tensor_values(x, name, case.axis, weight, K)
    lead = (len(patterns), data.M)
    values = [tuple(a.reshape(*lead, data.N, -1) for a in pair) for pair in found]
    parts = [r.reshape(*lead, r.shape[-1]) for r in results]
    for b, pattern in enumerate(patterns):
        columns_of, which = np.unique(pattern.mask(), axis=0, return_inverse=True)
        for k, kept in enumerate(columns_of):
            rows, columns = np.flatnonzero(which.reshape(-1) == k), np.flatnonzero(kept)
            own = [tuple(a[b, rows][:, columns] for a in pair) for pair in values]
            mine = [
                among(r[b, rows], columns) if held else r[b, rows]
                for r, held in zip(parts, REDUCTIONS[name].holds_indices(), strict=True)
            ]
            check_results(name, mine, own, K, np.dtype(case.dtype))  # type: ignore[arg-type]


def among(indices: Array, columns: Array) -> Array:
    """Return the places of indices among some columns, of which they must be; -1 stays."""
    place = np.searchsorted(columns, indices)
    inside = np.append(columns, -1)[place] == indices
    assert (inside | (indices == -1)).all(), "an index of no column of the row"
    return np.where(indices < 0, -1, place)


def together(patterns: Sequence[Pattern]) -> Ranges:
    """Return the ranges of matrices, one for each batch."""
    rows = [[b * p.M + i for i in r] for b, p in enumerate(patterns) for r in p.rows]
    columns = [[b * p.N + j for j in c] for b, p in enumerate(patterns) for c in p.columns]
    keep = np.zeros((len(rows), len(columns)), bool)
    m = n = 0
    for p in patterns:
        keep[m : m + len(p.rows), n : n + len(p.columns)] = p.keep
        m, n = m + len(p.rows), n + len(p.columns)
    return from_matrix(rows, columns, keep)


# --- Results -----------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_reduction(case: Case, pattern: Pattern, backend: str, rng: np.random.Generator) -> None:
    if case.reduction == "prod" and pattern.N > 1000:
        return  # leaves the range of any dtype
    check_ranges(case, backend, [pattern], *case.tensors(rng, pattern.M, pattern.N))


BATCHES = (((2,), (2,)), ((2,), ()), ((), (3,)), ((2, 1), (1, 3)))


@pytest.mark.parametrize("batches", BATCHES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_batches(case: Case, batches: Any, backend: str, rng: np.random.Generator) -> None:
    rows, columns = starts(3, 8, 1, gap=2), starts(4, 20, 3, gap=1)
    number = int(np.prod(np.broadcast_shapes(*batches)))
    patterns = [Pattern("", 20, 30, rows, columns, rng.random((3, 3)) < 0.5) for _ in range(number)]
    check_ranges(case, backend, patterns, *case.tensors(rng, 20, 30, batches))


@pytest.mark.parametrize("K", [1, 10, 100])
@pytest.mark.parametrize("case", [c for c in CASES if REDUCTIONS[c.reduction].keep], ids=str)
def test_smallest(case: Case, K: int, backend: str, rng: np.random.Generator) -> None:
    for pattern in PATTERNS:
        x, weight = case.tensors(rng, pattern.M, pattern.N)
        check_ranges(case, backend, [pattern], x, weight, K)


@st.composite
def patterns(draw: Any) -> Pattern:
    sides = []
    for most in (40, 90):
        n = draw(st.integers(1, most))
        ends = sorted(draw(st.lists(st.integers(0, n), max_size=12)))
        ends = ends[: len(ends) // 2 * 2]
        sides.append((n, [ends[k : k + 2] for k in range(0, len(ends), 2)]))
    (M, rows), (N, columns) = sides
    bits = draw(st.integers(0, 2 ** (len(rows) * len(columns)) - 1))
    shape = len(rows), len(columns)
    keep = np.array([bits >> k & 1 for k in range(shape[0] * shape[1])], bool).reshape(shape)
    return Pattern("random", M, N, rows, columns, keep)


RANDOM = [c for c in EACH if c.reduction in ("sum", "max_argmax", "logsumexp", "Kmin_argKmin")]


@pytest.mark.parametrize("case", [*RANDOM, *SOME[:2]], ids=str)
@given(pattern=patterns(), seed=st.integers(0, 9))
@settings(max_examples=30)
def test_random_ranges(case: Case, pattern: Pattern, seed: int) -> None:
    for name in ("numpy", "openmp"):
        if not get_backend(name).missing():
            points = case.tensors(np.random.default_rng(seed), pattern.M, pattern.N)
            check_ranges(case, name, [pattern], *points)


def line(n: int) -> LazyTensor:
    return Vj(np.arange(float(n))[:, None])


def ranges_of(rows: Any, slices: Any, columns: Any) -> Ranges:
    """Return ranges for reductions over columns, with nothing for those over rows."""
    return Ranges((rows, slices, columns, [], [], []))


def test_ranges_in_any_order(backend: str) -> None:
    """Rows and intervals need not be sorted, and the union of intervals counts."""
    ranges = ranges_of([[4, 6], [0, 2]], [3, 4], [[8, 9], [2, 5], [3, 6], [0, 1]])
    x = Vi(np.zeros((7, 1))) + line(10)
    assert x.sum(axis=1, ranges=ranges, backend=backend)[:, 0].tolist() == [0, 0, 0, 0, 22, 22, 0]
    smallest = (0 * x).argKmin(9, axis=1, ranges=ranges, backend=backend)
    assert smallest[4].tolist() == [2, 3, 4, 5, 8, -1, -1, -1, -1]
    assert smallest[0].tolist() == [0, *[-1] * 8]
    assert (0 * x).argmax(axis=1, ranges=ranges, backend=backend)[:, 0].tolist() == [
        *(0, 0, -1, -1, 2, 2, -1)
    ]


def test_infinities_and_nan(backend: str) -> None:
    """A row that holds infinities only has the index of its first one; one of NaN has none."""
    y = np.zeros((40, 1))
    y[10:20], y[20:30], y[15] = np.inf, np.nan, -np.inf
    intervals = [[11, 14], [21, 24], [22, 25], [12, 13], [13, 18]]
    ranges = ranges_of(starts(1, 1, 1, 1, 1), [1, 2, 4, 4, 5], intervals)
    x = Vi(np.zeros((6, 1))) + Vj(y)
    for n, d in enumerate((x, -x)):
        name = ("min_argmin", "max_argmax")[n]
        values, indices = getattr(d, name)(axis=1, ranges=ranges, backend=backend)
        sign = (1, -1)[n]
        assert (sign * values[:, 0]).tolist() == [np.inf, np.inf, np.inf, np.inf, -np.inf, np.inf]
        assert indices[:, 0].tolist() == [11, -1, 12, -1, 15, -1]


def test_batches_are_repaired_apart(backend: str) -> None:
    y = np.full((3, 8, 1), np.inf)
    ranges = ranges_of([[1, 2], [2, 3], [5, 6]], [1, 2, 3], [[2, 3], [9, 12], [20, 24]])
    x = Vi(np.zeros((2, 1))) + Vj(y)
    indices = x.argmin(axis=2, ranges=ranges, backend=backend)[..., 0]
    assert indices.tolist() == [[-1, 2], [1, -1], [-1, 4]]


@pytest.mark.compiler
@pytest.mark.parametrize("case", EACH[::2], ids=str)
def test_threads_change_nothing(case: Case, rng: np.random.Generator) -> None:
    M, N = 1000, 700
    ranges = together([Pattern("", M, N, starts(*[50] * 20), starts(*[7] * 100), chess(20, 100))])
    x, weight = case.tensors(rng, M, N)
    K = 7 if REDUCTIONS[case.reduction].keep else 0

    def bits(n_threads: int) -> list[bytes]:
        how: dict[str, Any] = {"ranges": ranges, "n_threads": n_threads}
        result = reduce(x, case.reduction, "j", K, weight, "openmp", **how)
        return [part.tobytes() for part in (result if isinstance(result, tuple) else (result,))]

    alone = bits(1)
    assert all(bits(n) == alone for n in (2, 3, 8))


@pytest.mark.compiler
def test_long_calls_come_in_parts(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    case = EACH[0]
    pattern = Pattern("", 900, 500, starts(*[9] * 100), starts(*[50] * 10), chess(100, 10))
    backend: Any = get_backend("openmp")
    calls: list[int] = []
    loaded = backend._sparse[case.task()]
    run = loaded.run
    monkeypatch.setattr(openmp, "PART", 3e3)
    monkeypatch.setitem(
        backend._sparse,
        case.task(),
        replace(loaded, run=lambda *words: (calls.append(1), run(*words))),
    )
    check_ranges(case, "openmp", [pattern], *case.tensors(rng, pattern.M, pattern.N))
    assert 5 < len(calls) < 100


@pytest.mark.compiler
def test_gpu_kernels_keep_to_the_rules(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """Barriers, bounds, alignment and shared memory are as a GPU wants them."""
    emulator: Any = get_backend("emulator")
    monkeypatch.setattr(emulator, "checked", True)
    cases = [c for c in EACH if c.reduction in ("sum", "argmin", "logsumexp", "Kmin_argKmin")]
    cases += SOME[-7:]
    emulator.prepare([case.task() for case in cases], K=(3, 40), sparse=True)
    for case in cases:
        for pattern in PATTERNS:
            x, weight = case.tensors(rng, pattern.M, pattern.N)
            check_ranges(case, "emulator", [pattern], x, weight)
        check_ranges(case, "emulator", [TOUCHING], *case.tensors(rng, 20, 60), 40)
        batches = ((2, 1), (3,))
        check_ranges(case, "emulator", [TOUCHING] * 6, *case.tensors(rng, 20, 60, batches))
