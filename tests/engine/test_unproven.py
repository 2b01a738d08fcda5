"""Rows that bounds do not prove: few of usual data, done again where they are; and the ball.

Results are right whatever is unproven, see `test_bounds`; what is held here is how much is done
twice. The figures are those of the data, with room for other random numbers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from bounded import Again, kept, run, task_of, tensor
from hard_points import Array, Points, far, points, scaled
from sanitize.guard import WORDS
from sklearn.datasets import load_digits, make_blobs

from georeduce.engine.backends import openmp
from georeduce.engine.backends._base import Task
from georeduce.engine.codegen import bound as bounds
from georeduce.engine.config import options
from georeduce.engine.methods import build

SHARED = [(3, "float32"), (16, "float32"), (50, "float32"), (16, "float64")]


def tasks() -> list[list[Task]]:
    """Return what this module compiles."""
    return [
        [task_of(name, D, dtype) for D, dtype in SHARED for name in ("Kmin_argKmin", "argmin")],
        [
            *(task_of("Kmin_argKmin", 16, "float32", norm) for norm in ("L1", "LARGEST")),
            *(task_of(name, 64, "float32") for name in ("Kmin_argKmin", "argmin")),
        ],
    ]


@pytest.fixture
def again(monkeypatch: pytest.MonkeyPatch) -> Again:
    return Again(monkeypatch)


# --- Usual data -------------------------------------------------------------------------------


def blobs(rng: np.random.Generator, M: int, N: int, D: int) -> Points:
    z, _ = make_blobs(M + N, D, centers=10, random_state=0)
    return z[:M], z[M:]


def heavy(freedom: float) -> Callable[..., Points]:
    def make(rng: np.random.Generator, M: int, N: int, D: int) -> Points:
        return rng.standard_t(freedom, (M, D)), rng.standard_t(freedom, (N, D))

    return make


def with_an_outlier(rng: np.random.Generator, M: int, N: int, D: int) -> Points:
    x, y = scaled(1)(rng, M, N, D)
    x[M // 3], y[0], y[N // 2] = -1e6, 1e6, 1e6  # the first one is in the sample
    return x, y


USUAL: dict[str, tuple[Callable[..., Points], float, float]] = {
    "uniform": (lambda rng, M, N, D: (rng.random((M, D)), rng.random((N, D))), 0.02, 0.04),
    "normal": (scaled(1), 0.02, 0.04),
    "far": (far(1e4), 0.02, 0.04),
    "blobs": (blobs, 0.05, 0.15),
    "lognormal": (lambda *sizes: tuple(map(np.exp, scaled(1)(*sizes))), 0.1, 0.2),
    "Student's t": (heavy(3), 0.1, 0.1),
    "Cauchy": (heavy(1), 0.6, 0.3),
    "with an outlier": (with_an_outlier, 0.02, 0.04),
}
"""Points, and how many rows may be unproven for the K smallest, and for the smallest."""


@pytest.mark.compiler
@pytest.mark.parametrize(("D", "dtype"), SHARED)
@pytest.mark.parametrize("kind", USUAL)
def test_few_rows_are_done_again(
    kind: str, D: int, dtype: str, again: Again, rng: np.random.Generator
) -> None:
    make, of_lists, of_least = USUAL[kind]
    x, y = (a.astype(dtype) for a in make(rng, 400, 4000, D))
    for K in (1, 10, 50):
        assert again.share(x, y, "Kmin_argKmin", K) <= of_lists
    assert again.share(x, y, "argmin") <= of_least


@pytest.mark.compiler
@pytest.mark.parametrize("norm", ["L1", "LARGEST"])
def test_few_rows_are_done_again_in_other_norms(
    norm: str, again: Again, rng: np.random.Generator
) -> None:
    for kind in ("uniform", "normal", "with an outlier"):
        make, of_lists, _ = USUAL[kind]
        x, y = (a.astype(np.float32) for a in make(rng, 400, 4000, 16))
        for K in (1, 10, 50):
            assert again.share(x, y, "Kmin_argKmin", K, norm) <= of_lists, (kind, K)


@pytest.mark.compiler
def test_few_digits_are_done_again(again: Again) -> None:
    z = load_digits().data.astype(np.float32)
    for K in (1, 10, 50):
        assert again.share(z[:300], z[300:], "Kmin_argKmin", K) <= 0.01
    assert again.share(z[:300], z[300:], "argmin") <= 0.05


# --- Rows that are done again -------------------------------------------------------------------


@pytest.mark.compiler
@pytest.mark.parametrize("kind", ["equal", "denormal", "tight clusters"])
def test_undecided_rows_are_done_again(kind: str, again: Again, rng: np.random.Generator) -> None:
    x, y = points(kind, rng, 100, 500, 16, "float32")
    assert again.share(x, y, "Kmin_argKmin", 10) == 1
    few = y[: kept(10, 16)]
    assert again.share(x, few, "Kmin_argKmin", 10) == 0, "all values are computed"


@pytest.mark.compiler
def test_only_undecided_rows_are_done_again(again: Again, rng: np.random.Generator) -> None:
    """A row that has many points at the distance of its K-th, among others that have not."""
    x, y = rng.random((60, 16), np.float32), rng.random((500, 16), np.float32)
    y[:100] = 7
    x[::5] = 7
    assert again.share(x, y, "Kmin_argKmin", 10) == 0.2
    assert (again.which[0] == (np.arange(60) % 5 == 0)).all()


@pytest.mark.compiler
def test_rows_that_are_far_away_or_no_numbers_are_done_again(
    again: Again, rng: np.random.Generator
) -> None:
    x, y = rng.random((60, 16), np.float32), rng.random((500, 16), np.float32)
    x[5, 3], x[6, 4], x[7, 5], x[8, 6], x[9, 7] = np.nan, np.inf, -np.inf, 1e19, -1e25
    y[3::50, 3], y[4::50, 4], y[5, 5] = np.nan, np.inf, -1e25
    for name, K in (("Kmin_argKmin", 10), ("argmin", 0)):
        again.share(x, y, name, K)
        assert (again.which[0][5:10]).all()
        assert again.which[0].mean() < 0.2, "columns of that kind make no row so"


@pytest.mark.compiler
def test_bounds_that_prove_nothing_are_given_up(
    again: Again, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """A few of the rows are tried; the work is then hardly more than without bounds."""
    x, y = points("equal", rng, 5000, 40, 16, "float32")
    task, data = build(tensor(x, y), "Kmin_argKmin", "j", 1)
    loaded = openmp.BACKEND._loaded[task, True]
    tried: list[int] = []

    def watched(argument: bytes) -> None:
        words = dict(zip(WORDS, struct.unpack(f"{len(argument) // 8}q", argument), strict=False))
        tried.append((words["last"] - words["first"]) * words["block"])
        loaded.run(argument)

    monkeypatch.setitem(openmp.BACKEND._loaded, (task, True), replace(loaded, run=watched))
    values, indices = openmp.BACKEND._run(task, data, True)
    assert not values.any()
    assert not indices.any()
    assert again.which[0].all()
    assert 0 < sum(tried) <= 0.1 * data.M


@pytest.mark.compiler
def test_giving_up_depends_on_no_threads(rng: np.random.Generator) -> None:
    """The first rows, which say whether bounds help, are unlike the others."""
    x, y = points("normal", rng, 4000, 4000, 16, "float32")
    y[:100] = 7
    for undecided in (48, 96, 400, 1000):
        x[:undecided] = 7
        found = []
        for n_threads in (1, 2, 8):
            with options(n_threads=n_threads):
                found.append([r.tobytes() for r in run(x, y, "Kmin_argKmin", 10).values()])
        assert all(each == found[0] for each in found)


# --- The ball -----------------------------------------------------------------------------------


def ball(x: Array, y: Array, norm: str = "L2") -> tuple[Array, float, float]:
    """Return the center of the ball of points, its radius and the factor, 0 if there is none."""
    bound = bounds.Bound(norm, 0, 1, y.shape[-1], 2, (), True)
    found = bounds.ball(bound, x, y)
    assert found.dtype == y.dtype
    assert found.shape == (*y.shape[:-2], 1, y.shape[-1] + 2)
    assert np.isfinite(found).all()
    center, square, factor = found[0, :-2], float(found[0, -2]), float(found[0, -1])
    assert (square > 0) == (factor > 0)
    if factor:
        eps = 4 * float(np.finfo(y.dtype).eps)
        assert factor * square**0.5 == pytest.approx(bounds.RADIUS[norm], rel=eps)
    return center, square**0.5, factor


def inside(z: Array, center: Array, radius: float, norm: str) -> float:
    t = np.abs(z - center)
    distance = np.sqrt(np.square(t).sum(-1)) if norm == "L2" else t.max(-1)
    return float((distance <= radius).mean())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("norm", bounds.RADIUS)
@pytest.mark.parametrize("D", [1, 3, 100])
def test_the_ball_has_most_points(norm: str, D: int, dtype: str, rng: np.random.Generator) -> None:
    for at in (0, 1e3):
        for size in (1e-2, 1, 1e6):
            x, y = (at + size * rng.normal(size=(n, D)) for n in (70, 3000))
            x, y = x.astype(dtype), y.astype(dtype)
            y[0] = 1e12 * size
            center, radius, factor = ball(x, y, norm)
            assert factor > 0
            assert inside(x, center, radius, norm) > 0.85
            assert inside(y, center, radius, norm) > 0.85
            largest = np.abs(y[1:] - center).max() * (D**0.5 if norm == "L2" else 1)
            assert radius < 4 * largest, "but is hardly larger"


@pytest.mark.parametrize("norm", bounds.RADIUS)
def test_the_ball_has_rows_that_are_elsewhere(norm: str, rng: np.random.Generator) -> None:
    x, y = 100 + rng.normal(size=(50, 5)), rng.normal(size=(1000, 5))
    center, radius, _ = ball(x, y, norm)
    assert inside(x, center, radius, norm) == 1
    assert np.abs(center).max() < 1, "the center is that of columns"


def test_points_that_have_no_ball(rng: np.random.Generator) -> None:
    some = rng.normal(size=(20, 3)).astype(np.float32)
    nothing = np.zeros((0, 3), np.float32)
    assert ball(some, nothing)[2] == 0
    assert ball(some[:1], some[:1])[2] == 0, "a single point"
    assert ball(np.ones_like(some), np.ones_like(some))[2] == 0, "all are equal"
    for value in (np.nan, np.inf, -np.inf, 3e38):
        all_bad = np.full_like(some, value)
        all_bad[::2] = -all_bad[::2]
        assert ball(all_bad, all_bad)[2] == 0
    assert ball(1e-30 * some, 1e-30 * some)[2] == 0, "squares underflow"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_points_of_the_sample_that_are_no_numbers(value: float, rng: np.random.Generator) -> None:
    for share in (0.02, 0.3):
        x, y = rng.normal(size=(2, 1000, 3)).astype(np.float32)
        for z in (x, y):
            bad = rng.random(len(z)) < share
            z[bad] = value
            z[np.flatnonzero(bad)[::2], 0] = 0
        center, radius, factor = ball(x, y)
        if share < 0.1 or not np.isfinite(value):
            assert 1 < radius < 20
            assert factor > 0
        assert np.isfinite(center).all()


def test_few_points_make_a_ball(rng: np.random.Generator) -> None:
    for M, N in ((1, 2), (2, 1), (1, 1), (3, 300)):
        x, y = rng.normal(size=(M, 4)), rng.normal(size=(N, 4))
        center, radius, _ = ball(x, y)
        assert inside(x, center, radius, "L2") == 1


def test_each_batch_of_columns_has_a_ball(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(1, 50, 3)), rng.normal(size=(2, 60, 3))
    y[1] *= 1000
    bound = bounds.Bound("L2", 0, 1, 3, 2, (), True)
    small, large = bounds.ball(bound, x, y)
    assert large[0, 3] > 100 * small[0, 3]
    for found, z in ((small, y[0]), (large, y[1])):
        assert inside(z, found[0, :3], float(found[0, 3]) ** 0.5, "L2") > 0.85
