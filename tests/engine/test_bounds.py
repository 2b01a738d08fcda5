"""The K smallest of squared distances by lower bounds, see ``codegen/bound.py``: on hard data.

Two kernels stand for a task: the one with bounds, and the one that computes all values, which does
the rows that bounds decide nothing about. Both are held to exact differences.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hard_points import (
    EXACT,
    KINDS,
    Array,
    Points,
    assert_smallest,
    far,
    points,
    scaled,
    squared_distances,
)
from sanitize.guard import WORDS
from sklearn.datasets import load_digits, make_blobs

from georeduce.engine import LazyTensor, Vi, Vj
from georeduce.engine.backends import openmp
from georeduce.engine.backends._base import Data, Task
from georeduce.engine.codegen import bound as bounds
from georeduce.engine.config import options
from georeduce.engine.formula.evaluate import evaluate
from georeduce.engine.formula.expr import variables
from georeduce.engine.formula.reductions import REDUCTIONS
from georeduce.engine.methods import build

pytestmark = pytest.mark.compiler

MAX_UNPROVEN = 0.02

# Both dtypes for two dimensions, then in turn: the code is the same but for a vector's lanes.
KEEPING = [
    *((16, "float32"), (16, "float64"), (50, "float32"), (50, "float64")),
    *((17, "float32"), (130, "float64"), (784, "float32")),
]
NEAREST = [("min_argmin", 16, "float32"), ("argmin", 50, "float64"), ("min", 17, "float32")]


def tensor(x: Array, y: Array) -> LazyTensor:
    return Vi(x).sqdist(Vj(y))


def task_of(name: str, D: int, dtype: str, axis: str = "j") -> Task:
    return build(tensor(np.zeros((2, D), dtype), np.zeros((3, D), dtype)), name, axis, 1)[0]


def bounded_tasks() -> list[Task]:
    return [
        *(task_of("Kmin_argKmin", D, dtype) for D, dtype in KEEPING),
        *(task_of(name, D, dtype) for name, D, dtype in NEAREST),
        task_of("argKmin", 64, "float32"),
        task_of("Kmin_argKmin", 17, "float32", "i"),
    ]


BOUND_ITSELF = [(16, "float32"), (50, "float64")]


def tasks() -> list[list[Task]]:
    """Return what this module compiles."""
    return [bounded_tasks(), [task_of_bound(D, dtype) for D, dtype in BOUND_ITSELF]]


@functools.cache
def task_of_bound(D: int, dtype: str) -> Task:
    return Task(bound_of(D, dtype).formula, None, "Kmin_argKmin", np.dtype(dtype))


@pytest.fixture(scope="module", autouse=True)
def unbounded(compiled: None) -> None:
    """Compile the second kernel of each task."""
    if not openmp.BACKEND.missing():
        openmp.BACKEND._prepare([(task, False) for task in bounded_tasks()])


def bound_of(D: int, dtype: str) -> bounds.Bound:
    found = bounds.lower_bound(task_of("Kmin", D, dtype).formula, np.dtype(dtype))
    assert found is not None
    return found


# --- Results ----------------------------------------------------------------------------------

COUNTS = ((1, 48, 1), (2, 5, -1), (10, 97, 130), (50, 3, 300))
"""K, M, and by how much N is more than the columns that bounds keep for K."""


@pytest.mark.parametrize(("D", "dtype"), KEEPING)
@pytest.mark.parametrize("kind", KINDS)
def test_smallest(kind: str, D: int, dtype: str, rng: np.random.Generator) -> None:
    task = task_of("Kmin_argKmin", D, dtype)
    for K, M, more in COUNTS:
        N = bounds.with_spares(K) + more
        x, y = points(kind, rng, M, N, D, dtype)
        data = build(tensor(x, y), "Kmin_argKmin", "j", K)[1]
        for bounded in (True, False):
            values, indices = openmp.BACKEND._run(task, data, bounded)
            assert_smallest(values, indices, x, y, K)
            if kind in EXACT:
                exact = squared_distances(x, y)
                order = np.argsort(exact, 1, kind="stable")[:, :K]
                assert (indices[:, :N] == order).all()
                assert (values[:, :N] == np.take_along_axis(exact, order, 1)).all()


@pytest.mark.parametrize(("name", "D", "dtype"), NEAREST)
@pytest.mark.parametrize("kind", KINDS)
def test_least(kind: str, name: str, D: int, dtype: str, rng: np.random.Generator) -> None:
    for M, N in ((49, 300), (5, 1), (3, 7)):
        x, y = points(kind, rng, M, N, D, dtype)
        task, data = build(tensor(x, y), name, "j")
        for bounded in (True, False):
            results = dict(
                zip(REDUCTIONS[name].least, openmp.BACKEND._run(task, data, bounded), strict=True)
            )
            exact = squared_distances(x, y)
            none = np.isnan(exact)
            with np.errstate(all="ignore"):
                rounded = np.where(none, np.inf, exact).astype(dtype)
            # what one of the results does not say is filled in from exact differences
            order = np.lexsort((rounded, none), axis=1)[:, :1]
            first = np.where(np.take_along_axis(none, order, 1), -1, order)
            at = results.get("indices", first)
            there = np.take_along_axis(rounded, np.maximum(at, 0), 1)
            values = results.get("values", np.where(at < 0, np.inf, there).astype(dtype))
            assert_smallest(values, at, x, y, 1)


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
        for b in np.ndindex(batch_x):
            x[b] = points(kind, rng, M, N, D, dtype)[0]
        for b in np.ndindex(batch_y):
            y[b] = points(kind, rng, M, N, D, dtype)[1]
        x, y = LAYOUTS[layout](x), LAYOUTS[layout](y)
        z = tensor(x, y) if axis == "j" else tensor(y, x)
        task, data = build(z, "Kmin_argKmin", axis, K)
        values, indices = openmp.BACKEND.run(task, data)
        x, y = np.broadcast_to(x, (*batch, M, D)), np.broadcast_to(y, (*batch, N, D))
        for b in np.ndindex(batch):
            assert_smallest(values[b], indices[b], x[b], y[b], K)


@pytest.mark.parametrize("kind", ["normal", "binary", "tight clusters", "not numbers"])
@pytest.mark.parametrize(("M", "N"), [(5, 20_000), (3000, 60)], ids=["chunks", "blocks of rows"])
def test_threads_change_nothing(kind: str, M: int, N: int, rng: np.random.Generator) -> None:
    for name, D, dtype in (("Kmin_argKmin", 16, "float32"), NEAREST[1]):
        K = 10 if REDUCTIONS[name].keep else 0
        task, data = build(tensor(*points(kind, rng, M, N, D, dtype)), name, "j", K)
        found = []
        for n_threads in (1, 2, 3, 8, 8):
            with options(n_threads=n_threads):
                found.append([r.tobytes() for r in openmp.BACKEND.run(task, data)])
        assert all(each == found[0] for each in found)


def test_giving_up_depends_on_no_threads(rng: np.random.Generator) -> None:
    """The first rows, which say whether bounds help, are unlike the others."""
    x, y = points("normal", rng, 4000, 4000, 16, "float32")
    y[:100] = 7
    for undecided in (48, 96, 400, 1000):
        x[:undecided] = 7
        task, data = build(tensor(x, y), "Kmin_argKmin", "j", 10)
        found = []
        for n_threads in (1, 2, 8):
            with options(n_threads=n_threads):
                found.append([r.tobytes() for r in openmp.BACKEND.run(task, data)])
        assert all(each == found[0] for each in found)


# --- What bounds prove ------------------------------------------------------------------------


def bound_values(bound: bounds.Bound, x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Return L as compiled and as NumPy has it, and |x - c|^2 + |y - c|^2; shape (M, N)."""
    dtype, (M, N) = x.dtype, (len(x), len(y))
    data = openmp._with_center(build(tensor(x, y), "Kmin", "j", N)[1], bound)
    center = data.arrays[bound.center]
    values, at = openmp.BACKEND.run(task_of_bound(x.shape[1], str(dtype)), data)
    compiled = np.full((M, N + 1), np.nan, dtype)  # the last one stands for -1
    np.put_along_axis(compiled, at, values, 1)
    arrays = {"i": x[:, None], "j": y[None], "p": center}
    known = {e: arrays[e.params[0]] for e in variables(bound.formula)}
    interpreted = np.broadcast_to(evaluate(bound.formula, known, dtype), (M, N, 1))[..., 0]
    with np.errstate(all="ignore"):
        norm = np.square(x - center).sum(1, dtype=dtype)
        h = norm * dtype.type(1 - bound.kappa) - dtype.type(bound.tiny)
        h = np.where(norm < dtype.type(bound.most), h, np.nan).astype(dtype)[:, None]
        size = squared_distances(x, center) + squared_distances(center, y)
        return compiled[:, :N] + h, interpreted + h, size


@pytest.mark.parametrize(("D", "dtype"), BOUND_ITSELF)
@pytest.mark.parametrize("kind", KINDS)
def test_bounds_are_not_above_values(
    kind: str, D: int, dtype: str, rng: np.random.Generator
) -> None:
    """Values in any order of terms: compiled in two ways, NumPy's, and exact."""
    bound = bound_of(D, dtype)
    for M, N in ((40, 60), (60, 33)):
        x, y = points(kind, rng, M, N, D, dtype)
        if kind == "normal":  # and some whose distance is next to nothing
            x[:20] = np.nextafter(y[:20], x[:20])
        task, data = build(tensor(x, y), "Kmin_argKmin", "j", N)
        exact = squared_distances(x, y)
        with np.errstate(all="ignore"):
            found = [exact, np.square(x[:, None] - y).sum(-1, dtype=dtype)]
        for bounded in (True, False):
            values, at = openmp.BACKEND._run(task, data, bounded)
            of_all = np.full((M, N + 1), np.nan, dtype)
            np.put_along_axis(of_all, at, values, 1)
            found.append(of_all[:, :N])
        with np.errstate(invalid="ignore"):
            for low in bound_values(bound, x, y)[:2]:
                for values in found:
                    assert ((low <= values) | np.isnan(low)).all()
                assert np.isnan(low[np.isnan(exact)]).all(), "a bound of what has no distance"


def test_bounds_are_no_wider_than_needed(rng: np.random.Generator) -> None:
    """Not shrunk, what stands for the bound is above the value of about every second near pair."""
    x, y = points("duplicates", rng, 60, 60, 16, "float32")
    bound = bound_of(16, "float32")
    near = squared_distances(x, y) == 0
    for low in bound_values(bound, x, y)[:2]:
        size = bound_values(bound, x, y)[2]
        assert (low[near] <= 0).all()
        assert (low + bound.kappa * size > 0)[near].mean() > 0.2
        assert (low >= -1.1 * bound.kappa * size - bound.tiny)[near].all()


class Again:
    """Records the rows that are done again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.which: list[Array] = []
        self.plain = openmp._again
        monkeypatch.setattr(openmp, "_again", self)

    def __call__(self, task: Task, data: Data, results: Any, which: Array, run: Any) -> None:
        def counted(part: Data) -> Any:
            assert part.M > 0
            self.done += part.M
            return run(part)

        self.done = 0
        self.which.append(which.copy())
        self.plain(task, data, results, which, counted)
        assert self.done == which.sum(), "only these are done again, each once"

    def share(self, x: Array, y: Array, K: int, name: str = "Kmin_argKmin") -> float:
        self.which.clear()
        task, data = build(tensor(x, y), name, "j", K)
        openmp.BACKEND.run(task, data)
        return float(self.which[-1].mean())


@pytest.fixture
def again(monkeypatch: pytest.MonkeyPatch) -> Again:
    return Again(monkeypatch)


def blobs(rng: np.random.Generator, M: int, N: int, D: int) -> Points:
    z, _ = make_blobs(M + N, D, centers=10, random_state=0)
    return z[:M], z[M:]


USUAL: dict[str, Callable[..., Points]] = {
    "uniform": lambda rng, M, N, D: (rng.random((M, D)), rng.random((N, D))),
    "normal": scaled(1),
    "far": far(1e4),
    "blobs": blobs,
}


@pytest.mark.parametrize(("D", "dtype"), [(16, "float32"), (50, "float32"), (50, "float64")])
@pytest.mark.parametrize("kind", USUAL)
def test_few_rows_are_done_again(
    kind: str, D: int, dtype: str, again: Again, rng: np.random.Generator
) -> None:
    x, y = (a.astype(dtype) for a in USUAL[kind](rng, 400, 4000, D))
    for K in (1, 10, 50):
        assert again.share(x, y, K) < MAX_UNPROVEN


def test_few_digits_are_done_again(again: Again) -> None:
    z = load_digits().data.astype(np.float32)
    for K in (1, 10):
        assert again.share(z[:300], z[300:], K, "argKmin") < MAX_UNPROVEN


@pytest.mark.parametrize("kind", ["equal", "denormal", "tight clusters"])
def test_undecided_rows_are_done_again(kind: str, again: Again, rng: np.random.Generator) -> None:
    x, y = points(kind, rng, 100, 500, 16, "float32")
    assert again.share(x, y, 10) == 1
    assert again.share(x, y[: bounds.with_spares(10)], 10) == 0, "all values are computed"


def test_bounds_that_prove_nothing_are_given_up(
    again: Again, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """A few of the rows are tried; the work is then hardly more than without bounds."""
    task, data = build(
        tensor(*points("equal", rng, 5000, 40, 16, "float32")), "Kmin_argKmin", "j", 1
    )
    loaded = openmp.BACKEND._loaded[task, True]
    tried: list[int] = []

    def run(argument: bytes) -> None:
        words = dict(zip(WORDS, struct.unpack(f"{len(argument) // 8}q", argument), strict=False))
        tried.append((words["last"] - words["first"]) * loaded.row_block)
        loaded.run(argument)

    monkeypatch.setitem(openmp.BACKEND._loaded, (task, True), replace(loaded, run=run))
    values, indices = openmp.BACKEND.run(task, data)
    assert not values.any()
    assert not indices.any()
    assert again.which[-1].all()
    assert 0 < sum(tried) <= 0.1 * data.M


def test_only_undecided_rows_are_done_again(again: Again, rng: np.random.Generator) -> None:
    """A row that has many points at the distance of its K-th, among others that have not."""
    x, y = rng.random((60, 16), np.float32), rng.random((500, 16), np.float32)
    y[:100] = 7
    x[::5] = 7
    assert again.share(x, y, 10) == 0.2
    assert (again.which[-1] == (np.arange(60) % 5 == 0)).all()


def test_where_there_are_bounds() -> None:
    def bound(z: LazyTensor, dtype: str = "float32") -> bounds.Bound | None:
        return bounds.lower_bound(build(z, "min", "j")[0].formula, np.dtype(dtype))

    x, y = (np.zeros((3, bounds.MIN_DIM), np.float32) for _ in range(2))
    assert bound(tensor(x, y)) is not None
    assert bound(((Vi(x) - Vj(y)) ** 2).sum(-1)) is not None
    assert bound(tensor(x[:, 1:], y[:, 1:])) is None, "differences are as fast"
    assert bound(Vi(x).sqdist(Vi(x))) is None
    assert bound(-Vi(x).sqdist(Vj(y))) is None
    assert bound(Vi(x).sqdist(2 * Vj(y))) is None
    assert bound(Vi(x).sqdist(Vj(y[:, :1]))) is None
    long = np.zeros((1, 10**6), np.float32)
    assert bound(tensor(long, long)) is None, "roundings are as large as values"
