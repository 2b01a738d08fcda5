"""The bounds of fixed.h, on every vector width that this machine runs: not above any value.

What ``bound.py`` proves is held to exact numbers, step by step: points to the integers that they are
rounded to, integers to the half squared distance `w`, and `w` to the least value that it allows.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hard_points import KINDS, Array, points, squared_distances
from helpers import eps

from experiments import accuracy
from georeduce.engine.codegen import bound as bounds

pytestmark = [pytest.mark.compiler, pytest.mark.compiles]

DTYPES = ["float32", "float64"]
DIMS = {"native": [1, 2, 3, 16, 17, 130, 784, 4096], "other": [1, 3, 17, 130]}
BUILDS = [(build, D) for build in accuracy.BUILDS for D in DIMS.get(build, DIMS["other"])]
RADIUS = bounds.RADIUS["L2"]
Given = tuple[Array, Array, Array]
"""A ball, rows and columns."""


class Fixed:
    """The compiled harness, for points of D components."""

    def __init__(self, c: ctypes.CDLL, D: int) -> None:
        self.c, self.D = c, D

    def call(self, name: str, *arguments: Array | int) -> None:
        dtype = next(
            a.dtype for a in arguments if isinstance(a, np.ndarray) and a.dtype.kind == "f"
        )
        words = []
        for a in arguments:
            assert isinstance(a, int) or a.flags.c_contiguous
            words.append(
                ctypes.c_int64(a) if isinstance(a, int) else ctypes.c_void_p(a.ctypes.data)
            )
        getattr(self.c, f"{name}_f{8 * dtype.itemsize}_{self.D}")(*words)

    def integers(self, x: Array, ball: Array, rows: bool) -> Array:
        """Return the integers that points are rounded to, (n, D)."""
        p = np.empty(x.shape, np.int32)
        self.call("integers", x, len(x), ball, int(rows), p)
        return p

    def halves(self, x: Array, y: Array, ball: Array) -> Array:
        """Return w, (M, N)."""
        w = np.empty((len(x), len(y)), np.int32)
        self.call("halves", x, len(x), y, len(y), ball, w)
        return w

    def least_values(self, w: Array, ball: Array) -> Array:
        """Return what values are not below, of the shape of w."""
        least = np.empty(w.shape)
        self.call("least_values", np.ascontiguousarray(w), w.size, ball, least)
        return least

    def values(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Return values as they are computed, of components side by side and of others, (M, N)."""
        found = np.empty((2, len(x), len(y)), x.dtype)
        self.call("values", x, len(x), y, len(y), found[0], found[1])
        return found[0], found[1]


@functools.cache
def compiled(build: str) -> ctypes.CDLL:
    each = " ".join(f"f({D})" for D in DIMS.get(build, DIMS["other"]))
    flags = ["-ffp-contract=fast", "-Wno-unknown-pragmas", f"-DEACH(f)={each}"]
    library = accuracy.compile_library("fixed_harness.cpp", *flags, *accuracy.BUILDS[build])
    library.most_f32.restype = library.most_f64.restype = ctypes.c_double
    return library


@pytest.fixture(params=BUILDS, ids=lambda p: f"{p[0]}-D{p[1]}")
def fixed(request: pytest.FixtureRequest) -> Fixed:
    build, D = request.param
    if not accuracy.compiler():
        pytest.skip("needs a C++ compiler")
    if build not in accuracy.builds():
        pytest.skip("needs another processor")
    return Fixed(compiled(build), D)


# --- Points -------------------------------------------------------------------------------------


def ball_of(center: Any, radius: float, D: int, dtype: str) -> Array:
    """Return a ball, as `bounds.ball` does for points."""
    ball = np.empty(D + 2, dtype)
    ball[:D], ball[D], ball[D + 1] = center, float(radius) ** 2, RADIUS / radius
    return ball


def directions(rng: np.random.Generator, n: int, D: int) -> Array:
    u = rng.normal(size=(n, D))
    return u / np.sqrt(np.square(u).sum(1, keepdims=True))


def round_away(rng: np.random.Generator, D: int, dtype: str) -> Given:
    """Components beside half integers: those of rows go up, those of columns go down."""
    M, N = sizes(D)
    top = int(0.4 * RADIUS / D**0.5)
    a, b = rng.integers(0, top + 1, (M, D)), -rng.integers(0, top + 1, (N, D))
    a[: M // 2] = 0
    b[: N // 2] = 0

    def beside(integers: Array, way: int) -> Array:
        off = 4 * eps(dtype) * np.maximum(np.abs(integers), 1)
        return ((integers + 0.5 + way * off) / RADIUS).astype(dtype)

    return ball_of(0, 1, D, dtype), beside(a, 1), beside(b, -1)


def ties_of_norms(rng: np.random.Generator, D: int, dtype: str) -> Given:
    """Outside of the ball: squares of rows that all round up, of columns that all round down.

    Other components come to 4.5 after projection, but to 4 in rows and to 5 in columns.
    """
    half_ulp = 2.0**-24 if dtype == "float32" else 2.0**-52  # in [1, 2); in [2, 4)
    small = half_ulp**0.5
    first = ((RADIUS * small / 4.5) ** 2 - D * half_ulp) ** 0.5 if dtype == "float32" else 1.5
    x, y = (np.full((n, D), small * (1 + s * eps(dtype))) for n, s in zip(sizes(D), (1, -1)))
    x[:, 0] = y[:, 0] = first
    return ball_of(0, 0.9, D, dtype), x.astype(dtype), y.astype(dtype)


def on_rays(rng: np.random.Generator, D: int, dtype: str) -> Given:
    """Points on few lines through the center, inside, beside the sphere, and far outside."""
    M, N = sizes(D)
    u = directions(rng, 3, D)
    u[2] = -u[1]
    near = [1 + n * eps(dtype) for n in (-3, -1, 0, 1, 3)]
    lengths = np.array([0, 1e-4, 0.5, *near, 1.5, 2, 10, 1e3, 1e8])
    x, y = (u[np.arange(n) % 3] * rng.choice(lengths, n)[:, None] for n in (M, N))
    return ball_of(0, 1, D, dtype), x.astype(dtype), y.astype(dtype)


def next_outside(rng: np.random.Generator, D: int, dtype: str) -> Given:
    """Points outside of the ball and others that are next to them."""
    M, N = sizes(D)
    x = (10 * directions(rng, M, D) * rng.choice([1, 3, 1e6], (M, 1))).astype(dtype)
    y = np.resize(x, (N, D))
    y = np.nextafter(y, rng.choice([-np.inf, np.inf], y.shape).astype(dtype))
    return ball_of(0, 1, D, dtype), x, y


def far_from_a_small_ball(rng: np.random.Generator, D: int, dtype: str) -> Given:
    """The square of the radius is less than the least number times squares of norms."""
    M, N = sizes(D)
    root = np.sqrt(float(np.finfo(dtype).max))
    radius = (8 * D) ** 0.5 / (root * eps(dtype) ** 0.5)
    lengths = 10 ** rng.uniform(np.log10(radius), np.log10(root), (M, 1))
    lengths[::2] = radius / float(np.finfo(dtype).smallest_subnormal) ** 0.5  # steps of 1 there
    lengths[::2] *= rng.uniform(0.3, 1.5, lengths[::2].shape)
    x = (lengths * directions(rng, M, D)).astype(dtype)
    y = np.resize(x, (N, D))
    y[1::2, 0] = np.nextafter(y[1::2, 0], y.dtype.type(0))
    y[::3, -1] += y.dtype.type(radius / 10)
    return ball_of(0, radius, D, dtype), x, y


def beside_a_center(rng: np.random.Generator, D: int, dtype: str) -> Given:
    """The center is far from 0, so that components are lost in the points themselves."""
    M, N = sizes(D)
    center = (1e3 * rng.normal(size=D)).astype(dtype)
    x, y = ((center + rng.normal(size=(n, D))).astype(dtype) for n in (M, N))
    return ball_of(center, 1.5 * D**0.5, D, dtype), x, y


def overflowing(rng: np.random.Generator, D: int, dtype: str) -> Given:
    """Squares of components, or their sum, or a difference, are beyond the range."""
    M, N = sizes(D)
    root = float(np.finfo(dtype).max) ** 0.5
    scales = np.array([1e-3, 0.1, 0.9 / D**0.5, 1, 3, 0.7 * root])
    x, y = (root * directions(rng, n, D) * rng.choice(scales, (n, 1)) for n in (M, N))
    return ball_of(0, root / 10, D, dtype), x.astype(dtype), y.astype(dtype)


def denormal(rng: np.random.Generator, D: int, dtype: str) -> Given:
    least = float(np.finfo(dtype).smallest_subnormal)
    x, y = (rng.integers(-5, 6, (n, D)) * least for n in sizes(D))
    return ball_of(0, 1, D, dtype), x.astype(dtype), y.astype(dtype)


def no_ball(rng: np.random.Generator, D: int, dtype: str) -> Given:
    x, y = (rng.normal(size=(n, D)).astype(dtype) for n in sizes(D))
    return np.zeros(D + 2, dtype), x, y


ADVERSARIES: list[Callable[..., Given]] = [
    round_away,
    ties_of_norms,
    on_rays,
    next_outside,
    far_from_a_small_ball,
    beside_a_center,
    overflowing,
    denormal,
    no_ball,
]


def sizes(D: int) -> tuple[int, int]:
    return (22, 37) if D <= 130 else (7, 19)


def all_given(D: int, dtype: str) -> dict[str, Given]:
    """Return points of all kinds, each with a ball."""
    rng = np.random.default_rng(D)
    with np.errstate(all="ignore"):
        given = {make.__name__: make(rng, D, dtype) for make in ADVERSARIES}
        for kind in KINDS:
            x, y = points(kind, rng, *sizes(D), D, dtype)
            given[kind] = bounds.ball(x, y)[0], x, y
    return given


# --- What is exact ------------------------------------------------------------------------------


def offsets(x: Array, ball: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return x.astype(np.longdouble) - ball[:-2].astype(np.longdouble)


def lost(D: int, dtype: str) -> float:
    """Return the docstring's e."""
    return D**0.5 + 2 * RADIUS * (D + 16) * eps(dtype) / 2


@pytest.mark.parametrize("dtype", DTYPES)
def test_integers_are_near_their_points(fixed: Fixed, dtype: str) -> None:
    """Those of the nearest points in the ball."""
    for name, (ball, x, y) in all_given(fixed.D, dtype).items():
        for rows, z in ((True, x), (False, y), (False, x)):
            t = offsets(z, ball)
            with np.errstate(all="ignore"):
                norm = np.sqrt(np.square(t).sum(1, keepdims=True))
                radius, factor = np.sqrt(ball[-2].astype(np.longdouble)), ball[-1]
                exact = t * factor * np.where(norm > radius, radius / norm, 1)
                known = (norm < 0.99 * float(np.finfo(dtype).max) ** 0.5)[:, 0]
                unknown = ~(norm < 1.01 * float(np.finfo(dtype).max) ** 0.5)[:, 0]
            p = fixed.integers(z, ball, rows)
            off = np.sqrt(np.square(p - exact).sum(1))
            assert (off <= lost(fixed.D, dtype) / 2)[known].all(), name
            assert not p[unknown].any(), name


@pytest.mark.parametrize("dtype", DTYPES)
def test_half_squared_distances_are_exact(fixed: Fixed, dtype: str) -> None:
    never = fixed.c.never()
    for name, (ball, x, y) in all_given(fixed.D, dtype).items():
        p, q = fixed.integers(x, ball, True), fixed.integers(y, ball, False)
        w = fixed.halves(x, y, ball)
        up = 2 * w.astype(np.int64) - np.square(p.astype(np.int64)[:, None] - q).sum(-1)
        t = offsets(y, ball)
        with np.errstate(invalid="ignore"):
            none = np.isnan(t).any(1) | (np.abs(t) > float(np.finfo(dtype).max)).any(1)
        assert ((up >= 0) & (up <= 2))[:, ~none].all(), name
        assert (w[:, ~none] < never).all(), name
        assert (w[:, none] >= never).all(), name
        assert (w >= 0).all(), name


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_value_is_below_its_bound(fixed: Fixed, dtype: str) -> None:
    """Neither exact ones, less all that may be lost in computing them, nor computed ones."""
    D, info = fixed.D, np.finfo(dtype)
    most = {"float32": fixed.c.most_f32, "float64": fixed.c.most_f64}[dtype]()
    gamma = (D + 2) * eps(dtype) / 2 / (1 - (D + 2) * eps(dtype) / 2)
    for name, (ball, x, y) in all_given(D, dtype).items():
        with np.errstate(all="ignore"):
            # of the others nothing is asked
            some = (np.square(offsets(x, ball)).sum(1) < 1.01 * most).astype(bool)
        x = np.ascontiguousarray(x[some])
        if not len(x):
            continue
        low = fixed.least_values(fixed.halves(x, y, ball), ball)
        exact = squared_distances(x, y)
        least = D * float(info.smallest_subnormal)
        with np.errstate(all="ignore"):
            found = [exact * (1 - gamma) - least, np.square(x[:, None] - y).sum(-1, dtype=dtype)]
        for v in (*found, *fixed.values(x, y)):
            assert ((low <= v) | np.isnan(v)).all(), name


@pytest.mark.parametrize("dtype", DTYPES)
def test_bounds_are_no_wider_than_needed(fixed: Fixed, dtype: str) -> None:
    """Inside of the ball distances are lost once for the rounding, and once for the proof."""
    e = lost(fixed.D, dtype)
    for name in ("normal", "duplicates", "round_away", "beside_a_center", "large"):
        ball, x, y = all_given(fixed.D, dtype)[name]
        x, y = (
            np.ascontiguousarray(a[np.square(offsets(a, ball)).sum(1) < 0.99 * ball[-2]])
            for a in (x, y)
        )
        low = fixed.least_values(fixed.halves(x, y, ball), ball)
        distance = np.sqrt(squared_distances(x, y)) * ball[-1]
        found = np.sqrt(np.maximum(low, 0)) * ball[-1]
        away = distance > 2 * e + 2
        assert away.any() or name == "duplicates" or fixed.D == 1 or not ball[-1]
        # sqrt(a^2 - 2) is not below a - 2 / a, nor sqrt(1 - 2 a) much below 1 - a
        less = distance - found - 1 - (fixed.D + 9) * eps(dtype) / 2 * distance
        assert (less <= 2 * e)[away].all(), name
        if name == "normal" and away.any():  # roundings cancel
            assert less[away].mean() < e


@pytest.mark.parametrize("dtype", DTYPES)
def test_roundings_are_as_large_as_allowed_for(fixed: Fixed, dtype: str) -> None:
    """These adversaries find what is proved to be lost, but for hardly anything."""
    D = fixed.D
    ball, x, y = round_away(np.random.default_rng(0), D, dtype)
    p, q = fixed.integers(x, ball, True), fixed.integers(y, ball, False)
    between = np.sqrt(np.square(p.astype(np.float64)[:, None] - q).sum(-1))
    far = between - np.sqrt(squared_distances(x, y)) * ball[-1]
    assert far.max() > 0.999 * D**0.5
    if dtype == "float32" and D > 2000:
        ball, x, y = ties_of_norms(np.random.default_rng(0), D, dtype)
        between = fixed.integers(x, ball, True)[0] - fixed.integers(y, ball, False)[0]
        assert np.sqrt(np.square(between).sum()) > D**0.5 + 0.1
        assert squared_distances(x, y).max() * ball[-1] ** 2 < 1e-6


def test_least_values_rise(fixed: Fixed) -> None:
    for dtype in DTYPES:
        for radius in (1e-6, 1, 1e6):
            w = np.unique(np.geomspace(1, 2**31 - 1, 500).astype(np.int32))
            w = np.concatenate([np.array([0], np.int32), w])
            least = fixed.least_values(w, ball_of(0, radius, fixed.D, dtype))
            assert (np.diff(least) >= 0).all()
            assert least[0] < 0, "equal points"
            assert least[-1] > radius**2
        nothing = fixed.least_values(w, np.zeros(fixed.D + 2, dtype))
        assert (nothing < 0).all(), "there is no ball"
