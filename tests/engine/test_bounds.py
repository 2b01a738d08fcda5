"""The K smallest of distances by lower bounds, see ``codegen/bound.py``: on hard data.

Two kernels stand for a task: the one with bounds, and the one that computes all values, which does
the rows that bounds do not prove. Both are held to exact differences. How many rows are unproven is
in `test_unproven`, and the bounds themselves are in ``codegen/test_fixed.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from bounded import Again, kept, run, task_of, tensor
from hard_points import EXACT, KINDS, Array, Points, assert_smallest, distances, points
from helpers import eps

from georeduce.engine import LazyTensor, Vi, Vj
from georeduce.engine.backends import openmp
from georeduce.engine.backends._base import Task
from georeduce.engine.codegen import bound as bounds
from georeduce.engine.config import options
from georeduce.engine.formula.reductions import REDUCTIONS
from georeduce.engine.methods import build

pytestmark = pytest.mark.compiler

# Dimensions and dtypes in turn: the code is the same but for pairs of components, and for packing.
KEEPING = [
    *(("L2", 2, "float32"), ("L2", 3, "float64"), ("L2", 16, "float32"), ("L2", 17, "float32")),
    *(("L2", 130, "float64"), ("L2", 784, "float32")),
    *(("L1", 5, "float32"), ("L1", 50, "float64"), ("LARGEST", 6, "float32")),
]
NEAREST = [
    *(("argmin", "L2", 3, "float32"), ("min_argmin", "L2", 16, "float32")),
    *(("min", "L2", 51, "float64"), ("min_argmin", "L1", 7, "float32")),
    ("argmin", "LARGEST", 2, "float64"),
]


def tasks() -> list[list[Task]]:
    """Return what this module compiles: of each task both kernels."""
    together = [
        *(task_of("Kmin_argKmin", D, dtype, norm) for norm, D, dtype in KEEPING),
        *(task_of(name, D, dtype, norm) for name, norm, D, dtype in NEAREST),
        task_of("Kmin_argKmin", 17, "float32", axis="i"),
    ]
    return [together[::2], together[1::2]]


# --- Results ----------------------------------------------------------------------------------

COUNTS = ((1, 48, 1), (2, 5, -1), (10, 97, 130), (50, 3, 300))
"""K, M, and by how much N is more than the columns that bounds keep for K."""


@pytest.mark.parametrize(("norm", "D", "dtype"), KEEPING)
@pytest.mark.parametrize("kind", KINDS)
def test_smallest(kind: str, norm: str, D: int, dtype: str, rng: np.random.Generator) -> None:
    for K, M, more in COUNTS:
        N = kept(K, D) + more
        x, y = points(kind, rng, M, N, D, dtype)
        for bounded in (True, False):
            values, indices = run(x, y, "Kmin_argKmin", K, norm, bounded).values()
            assert_smallest(values, indices, x, y, K, norm)
            if kind in EXACT:
                exact = distances(x, y, norm)
                order = np.argsort(exact, 1, kind="stable")[:, :K]
                assert (indices[:, :N] == order).all()
                assert (values[:, :N] == np.take_along_axis(exact, order, 1)).all()


@pytest.mark.parametrize(("name", "norm", "D", "dtype"), NEAREST)
@pytest.mark.parametrize("kind", KINDS)
def test_least(
    kind: str, name: str, norm: str, D: int, dtype: str, rng: np.random.Generator
) -> None:
    for M, N in ((49, 300), (5, 1), (3, 7), (2, 1100)):
        x, y = points(kind, rng, M, N, D, dtype)
        for bounded in (True, False):
            results = run(x, y, name, 0, norm, bounded)
            exact = distances(x, y, norm)
            none = np.isnan(exact)
            with np.errstate(all="ignore"):
                rounded = np.where(none, np.inf, exact).astype(dtype)
            # what one of the results does not say is filled in from exact differences
            order = np.lexsort((rounded, none), axis=1)[:, :1]
            first = np.where(np.take_along_axis(none, order, 1), -1, order)
            at = results.get("indices", first)
            there = np.take_along_axis(rounded, np.maximum(at, 0), 1)
            values = results.get("values", np.where(at < 0, np.inf, there).astype(dtype))
            assert_smallest(values, at, x, y, 1, norm)
            if kind in EXACT:
                assert (at == first).all()


@pytest.mark.parametrize(("M", "N"), [(0, 5), (5, 0), (0, 0), (1, 1)])
def test_empty(M: int, N: int) -> None:
    x, y = np.ones((M, 16), np.float32), np.ones((N, 16), np.float32)
    for name, K in (("Kmin_argKmin", 3), ("min_argmin", 0)):
        found, plain = (run(x, y, name, K, bounded=bounded) for bounded in (True, False))
        assert all((found[what] == plain[what]).all() for what in plain)


def test_a_column_that_is_too_far_away_to_be_known() -> None:
    """The square of its norm overflows; that of a row beside it does not."""
    root = float(np.finfo(np.float32).max) ** 0.5
    rng = np.random.default_rng(0)
    x, y = (0.03 * root * rng.normal(size=(n, 3)).astype(np.float32) for n in (60, 300))
    y[9:, 0] = -np.abs(y[9:, 0])
    x[0] = y[7] = y[8] = np.median(y, 0)
    x[0, 0] += 0.99 * root
    y[7:9, 0] += np.array([1.005, 0.97]) * root
    assert run(x, y, "argmin")["indices"][0] == 7


def test_each_batch_has_a_ball(rng: np.random.Generator) -> None:
    """Bounds of the second one are ten times as fine; few points of it are told apart anyway."""
    y = rng.normal(size=(2, 150, 17)) * rng.choice([1, 5e-4], (2, 150, 1), p=[0.3, 0.7])
    y[1] /= 10
    x, y = (5e-5 * rng.normal(size=(97, 17))).astype(np.float32), y.astype(np.float32)
    values, indices = openmp.BACKEND._run(*build(tensor(x, y), "Kmin_argKmin", "j", 3), True)
    for b in range(2):
        assert_smallest(values[b], indices[b], x, y[b], 3)


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "by column": lambda a: np.ascontiguousarray(a.swapaxes(-1, -2)).swapaxes(-1, -2),
    "backwards": lambda a: np.ascontiguousarray(a[..., ::-1, ::-1])[..., ::-1, ::-1],
    "every second": lambda a: np.repeat(a, 2, -1)[..., ::2],
    "every third row": lambda a: np.repeat(a, 3, -2)[..., ::3, :],
    "not aligned": lambda a: not_aligned(a),
}
BATCHES = [((), ()), ((3,), (3,)), ((3,), ()), ((), (3,)), ((2, 1), (1, 3))]


def not_aligned(a: Array) -> Array:
    moved = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    moved[...] = a
    return moved


@pytest.mark.parametrize("axis", ["j", "i"])
@pytest.mark.parametrize(("batch_x", "batch_y"), BATCHES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_and_batches(
    layout: str, batch_x: Any, batch_y: Any, axis: str, rng: np.random.Generator
) -> None:
    D, dtype, K = 17, "float32", 3
    batch = np.broadcast_shapes(batch_x, batch_y)
    for kind, M, N in (("normal", 97, 60), ("tight clusters", 20, 150), ("not numbers", 49, 40)):
        x, y = np.empty((*batch_x, M, D), dtype), np.empty((*batch_y, N, D), dtype)
        for b in np.ndindex(batch_x):  # of very different sizes, as balls are of their batch
            x[b] = 10.0 ** sum(b) * points(kind, rng, M, N, D, dtype)[0]
        for b in np.ndindex(batch_y):
            y[b] = 10.0 ** sum(b) * points(kind, rng, M, N, D, dtype)[1]
        x, y = LAYOUTS[layout](x), LAYOUTS[layout](y)
        z = tensor(x, y) if axis == "j" else tensor(y, x)
        values, indices = openmp.BACKEND._run(*build(z, "Kmin_argKmin", axis, K), True)
        x, y = np.broadcast_to(x, (*batch, M, D)), np.broadcast_to(y, (*batch, N, D))
        for b in np.ndindex(batch):
            assert_smallest(values[b], indices[b], x[b], y[b], K)


@pytest.mark.parametrize("kind", ["normal", "binary", "tight clusters", "not numbers"])
@pytest.mark.parametrize(("M", "N"), [(5, 20_000), (3000, 60)], ids=["chunks", "blocks of rows"])
def test_threads_change_nothing(kind: str, M: int, N: int, rng: np.random.Generator) -> None:
    for name, norm, D, dtype in (("Kmin_argKmin", *KEEPING[2]), NEAREST[2], NEAREST[4]):
        K = 10 if REDUCTIONS[name].keep else 0
        x, y = points(kind, rng, M, N, D, dtype)
        found = []
        for n_threads in (1, 2, 3, 8, 8):
            with options(n_threads=n_threads):
                found.append([r.tobytes() for r in run(x, y, name, K, norm).values()])
        assert all(each == found[0] for each in found)


# --- Many columns -----------------------------------------------------------------------------


@pytest.fixture
def again(monkeypatch: pytest.MonkeyPatch) -> Again:
    return Again(monkeypatch)


SHAPES = {
    "waves": (200, 1, 1),
    "one wave": (200, 1e9, 1),
    "chunks": (90, 1e9, 64),
    "chunks, packed once": (200, 1e9, 64),
    "chunks in waves": (200, 600_000, 64),
}
"""Rows, bytes of a wave, most chunks."""
MANY = [("argmin", "L2", 3, "float32"), ("Kmin_argKmin", "L2", 3, "float64"), NEAREST[4]]
each_of_many = pytest.mark.parametrize(("name", "norm", "D", "dtype"), MANY)


@pytest.fixture(params=SHAPES)
def rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Return how many rows there are, and lay out calls as the shape says."""
    M, wave_bytes, chunks = SHAPES[request.param]
    monkeypatch.setattr(openmp, "WAVE_BYTES", wave_bytes)
    monkeypatch.setattr(openmp, "MAX_CHUNKS", chunks)
    openmp._plan.cache_clear()
    loaded = openmp.BACKEND._loaded[task_of("argmin", 3, "float32"), True]
    plan = openmp._plan(loaded, M, 300_000, 0, 1, 1, 1)
    assert (plan.chunks > 1, plan.wave < plan.vectors) == (chunks > 1, wave_bytes < 1e9)
    yield M
    openmp._plan.cache_clear()


def epoch() -> int:
    """Return how many columns have different numbers, of twelve bits for each lane."""
    loaded = openmp.BACKEND._loaded[task_of("argmin", 3, "float32"), True]
    block = loaded.column_block // loaded.lanes
    return 4096 // block * block * loaded.lanes


def lattice(rng: np.random.Generator, M: int, N: int, D: int, dtype: str) -> Points:
    """Return some 200 points with whole coordinates, and columns half between such."""
    edge = 6 if D == 3 else 15
    x = np.stack(np.unravel_index(np.arange(M), (edge,) * D), 1).astype(dtype)
    return x, (rng.integers(0, edge, (N, D)) + 0.5).astype(dtype)


@each_of_many
def test_a_near_column_in_every_epoch(
    name: str, norm: str, D: int, dtype: str, rows: int, again: Again, rng: np.random.Generator
) -> None:
    E, K = epoch(), int(name == "Kmin_argKmin")
    N = 2 * E + 1234
    x, y = lattice(rng, rows, N, D, dtype)
    ends = [0, 1, E - 1, E, E + 1, 2 * E - 1, 2 * E, 2 * E + 1, N - 1]
    others = np.setdiff1d(rng.choice(N, 2 * rows, replace=False), ends)
    at = np.concatenate([ends, rng.permutation(others)[: rows - len(ends)]])
    y[at] = x + 1e-2 * rng.random((rows, D))
    assert (run(x, y, name, K, norm)["indices"][:, 0] == at).all()
    assert not again.which[0].any(), "bounds tell them from the others"


@each_of_many
def test_ties_across_epochs(
    name: str, norm: str, D: int, dtype: str, rows: int, again: Again, rng: np.random.Generator
) -> None:
    """Two near columns of each row are equal, or differ by less than bounds can tell."""
    E, K = epoch(), int(name == "Kmin_argKmin")
    N = 2 * E + 1234
    x, y = lattice(rng, rows, N, D, dtype)
    first = rng.permutation(E)[:rows] + rng.integers(0, 2, rows) * E
    second = rng.permutation(N - 2 * E)[:rows] + 2 * E
    y[first] = y[second] = x + 1e-2 * rng.random((rows, D))
    nearer = rng.choice([first, second])[::2]
    y[nearer] += np.sign(x[::2] - y[nearer]) * 4 * eps(dtype)
    far = [distances(x, y[at], norm).diagonal() for at in (first, second)]
    exact = np.where(far[1] < far[0], second, first)
    assert (run(x, y, name, K, norm)["indices"][:, 0] == exact).all()
    assert (again.which[0] == (K == 0)).all(), "a list has both, and their values"


def test_columns_without_a_number(rows: int, rng: np.random.Generator) -> None:
    """Of all the largest differences of none the first one counts, whatever its place in lanes."""
    for name, K, D, dtype in (("argmin", 0, 2, "float64"), ("Kmin_argKmin", 3, 6, "float32")):
        loaded = openmp.BACKEND._loaded[task_of(name, D, dtype, "LARGEST"), True]
        x, y = rng.random((rows, D)).astype(dtype), rng.random((3 * epoch(), D)).astype(dtype)
        y[1000] = y[:: loaded.column_block][1:] = np.nan
        found, plain = (run(x, y, name, K, "LARGEST", bounded) for bounded in (True, False))
        assert (plain["indices"][:, 0] == 1000).all()
        assert (found["indices"] == plain["indices"]).all()


@pytest.mark.parametrize("kind", ["normal", "duplicates", "lattice", "not numbers", "descending"])
@each_of_many
def test_many_columns(
    kind: str, name: str, norm: str, D: int, dtype: str, rows: int, rng: np.random.Generator
) -> None:
    for K in (1, 30) if REDUCTIONS[name].keep else (0,):
        x, y = points(kind, rng, rows, 30_011, D, dtype)
        found, plain = (run(x, y, name, K, norm, bounded) for bounded in (True, False))
        if kind == "lattice":  # distances are exact
            assert all((found[what] == plain[what]).all() for what in plain)
        some = slice(None, None, 1 + rows // 8)
        at, exact = found["indices"][some], distances(x[some], y, norm).astype(dtype)
        there = np.where(at < 0, np.inf, np.take_along_axis(exact, np.maximum(at, 0), 1))
        values = found["values"][some] if K else there.astype(dtype)
        assert_smallest(values, at, x[some], y, max(K, 1), norm)


# --- Where there are bounds -------------------------------------------------------------------


def test_where_there_are_bounds() -> None:
    def bound(z: LazyTensor, name: str = "min") -> bounds.Bound | None:
        weight = 1 if REDUCTIONS[name].weighted else None
        return bounds.lower_bound(build(z, name, "j", 1, weight)[0].formula, name)

    x, y = (np.zeros((3, 4), np.float32) for _ in range(2))
    for norm in ("L2", "L1", "LARGEST"):
        for name, entry in REDUCTIONS.items():
            found = bound(tensor(x, y, norm), name)
            assert (found is not None) == bool(entry.keep or entry.least)
            assert found is None or (found.norm, found.dim, found.ball) == (norm, 4, 2)
            assert found is None or found.results == (entry.keep or entry.least)
            assert found is None or found.listed == bool(entry.keep)
    assert bound(((Vi(x) - Vj(y)) ** 2).sum(-1)) is not None
    assert bound(tensor(x[:, :1], y[:, :1])) is None, "there is no sum"
    assert bound(Vi(x).sqdist(Vi(x))) is None
    assert bound(-Vi(x).sqdist(Vj(y))) is None
    assert bound(Vi(x).sqdist(2 * Vj(y))) is None
    assert bound(Vi(x).sqdist(Vj(y[:, :1]))) is None
    long = np.zeros((1, bounds.MAX_DIM + 1), np.float32)
    assert bound(tensor(long[:, 1:], long[:, 1:])) is not None
    assert bound(tensor(long, long)) is None, "integers are as small as roundings"


def test_where_bounds_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as columns and rows are enough; the results of both kernels agree anyway."""
    chosen: list[bool] = []
    plain = openmp.BACKEND._run

    def watched(task: Task, data: Any, bounded: bool) -> Any:
        chosen.append(bounded)
        return plain(task, data, bounded)

    monkeypatch.setattr(openmp.BACKEND, "_run", watched)

    def chooses(name: str, K: int, M: int, N: int) -> bool:
        chosen.clear()
        x, y = np.random.default_rng(0).random((2, max(M, N), 16), np.float32)
        openmp.BACKEND.run(*build(tensor(x[:M], y[:N]), name, "j", K))
        return chosen[0]

    for name, K in (("min_argmin", 0), ("Kmin_argKmin", 10)):
        assert chooses(name, K, 200, 4000)
        assert not chooses(name, K, bounds.FEW_ROWS, 4000)
        assert not chooses(name, K, 200, 50)
    assert not chooses("Kmin_argKmin", 1000, 200, 4000)
