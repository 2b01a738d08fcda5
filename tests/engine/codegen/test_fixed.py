"""The bounds of fixed.h, on every vector width that this machine runs: not above any value.

What ``bound.py`` proves is held to exact numbers, step by step: points to the integers that they
are rounded to, integers to what tiles compute of them, and that to the least value it allows.
"""

from __future__ import annotations

import ctypes
import functools

import numpy as np
import pytest
from balls import Given, all_given, ball_of, round_away, ties_of_norms
from hard_points import Array, distances
from helpers import eps

from experiments import accuracy
from georeduce.engine.codegen.bound import RADIUS

pytestmark = [pytest.mark.compiler, pytest.mark.compiles]

DTYPES = ["float32", "float64"]
# What the norms share, and what dimensions do, is compiled for fewer of the others.
NATIVE = {
    "L2": [1, 2, 3, 16, 17, 130, 784, 4096],
    "L1": [1, 3, 16, 130, 4096],
    "LARGEST": [1, 2, 17, 784],
}
OTHERS = {"L2": [1, 3, 17, 130], "L1": [3, 130], "LARGEST": [2, 17]}


def compiled_for(build: str) -> list[tuple[str, int]]:
    dims = NATIVE if build == "native" else OTHERS
    return [(norm, D) for norm in dims for D in dims[norm]]


class Fixed:
    """The compiled harness, for points of D components and a norm."""

    def __init__(self, c: ctypes.CDLL, norm: str, D: int) -> None:
        self.c, self.norm, self.D = c, norm, D
        self.bias, self.never, self.always = c.bias(), c.never(), c.always()
        self.radius = RADIUS[norm]
        self.shift = getattr(c, f"shift_f32_{norm}_{D}")()

    def call(self, name: str, *arguments: Array | int) -> None:
        arrays = [a for a in arguments if isinstance(a, np.ndarray)]
        (size,) = {8 * a.itemsize for a in arrays if a.dtype.kind == "f"}
        words = [a.ctypes.data if isinstance(a, np.ndarray) else a for a in arguments]
        assert all(a.flags.c_contiguous for a in arrays)
        getattr(self.c, f"{name}_f{size}_{self.norm}_{self.D}")(*map(ctypes.c_int64, words))

    def given(self, dtype: str) -> dict[str, Given]:
        return all_given(self.norm, self.D, dtype)

    def integers(self, x: Array, ball: Array, rows: bool) -> Array:
        """Return the integers that points are rounded to, (n, D)."""
        p = np.empty(x.shape, np.int32)
        self.call("integers", x, len(x), ball, int(rows), p)
        return p.astype(np.int64)

    def tile(self, x: Array, y: Array, ball: Array) -> Array:
        """Return what a tile has for rows and columns, (M, N)."""
        v = np.empty((len(x), len(y)), np.int32)
        self.call("distances", x, len(x), y, len(y), ball, v)
        return v

    def least_values(self, v: Array, ball: Array) -> Array:
        """Return what values are not below, of the shape of v."""
        least = np.empty(v.shape)
        name = f"least_values_f{8 * ball.itemsize}_{self.norm}_{self.D}"
        words = (np.ascontiguousarray(v).ctypes.data, v.size, ball.ctypes.data, least.ctypes.data)
        getattr(self.c, name)(*map(ctypes.c_int64, words))
        return least

    def values(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Return values as they are computed, of components side by side and of others, (M, N)."""
        found = np.empty((2, len(x), len(y)), x.dtype)
        self.call("values", x, len(x), y, len(y), found[0], found[1])
        return found[0], found[1]

    def lost(self, dtype: str) -> float:
        """Return the docstring's e."""
        if self.norm == "L2":
            return self.D**0.5 + 2 * self.radius * (self.D + 16) * eps(dtype) / 2
        return (self.D if self.norm == "L1" else 1) * (1 + 16 * self.radius * eps(dtype) / 2)

    def norms(self, t: Array) -> Array:
        """Return norms of integers."""
        if self.norm == "L2":
            return np.sqrt(np.square(t.astype(np.float64)).sum(-1))
        return np.abs(t).sum(-1) if self.norm == "L1" else np.abs(t).max(-1)

    def between(self, x: Array, y: Array) -> Array:
        """Return exact distances, not squared ones."""
        exact = distances(x, y, self.norm)
        with np.errstate(invalid="ignore"):
            return np.sqrt(exact) if self.norm == "L2" else exact


@functools.cache
def compiled(build: str) -> ctypes.CDLL | str:
    """Return the library, or what the compiler says: it is asked once."""
    each = " ".join(f"f({norm}, {D})" for norm, D in compiled_for(build))
    flags = ["-ffp-contract=fast", "-Wno-unknown-pragmas", f"-DEACH(f)={each}"]
    try:
        return accuracy.compile_library("fixed_harness.cpp", *flags, *accuracy.BUILDS[build])
    except AssertionError as error:
        return str(error)


@pytest.fixture(
    params=[(build, *each) for build in accuracy.BUILDS for each in compiled_for(build)],
    ids=lambda param: "-".join(map(str, param)),
)
def fixed(request: pytest.FixtureRequest) -> Fixed:
    build, norm, D = request.param
    if not accuracy.compiler():
        pytest.skip("needs a C++ compiler")
    if build not in accuracy.builds():
        pytest.skip("needs another processor")
    library = compiled(build)
    if isinstance(library, str):
        pytest.fail(library)
    return Fixed(library, norm, D)


def offsets(x: Array, ball: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return x.astype(np.longdouble) - ball[:-2].astype(np.longdouble)


def largest(dtype: str) -> float:
    return float(np.finfo(dtype).max)


# --- The proof, step by step --------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_integers_are_near_their_points(fixed: Fixed, dtype: str) -> None:
    """Those of the nearest points in the ball."""
    for name, (ball, x, y) in fixed.given(dtype).items():
        for rows, z in ((True, x), (False, y), (False, x)):
            t = offsets(z, ball)
            with np.errstate(all="ignore"):
                norm = np.sqrt(np.square(t).sum(1, keepdims=True))
                if fixed.norm == "L2":
                    inside = np.minimum(1, np.sqrt(ball[-2].astype(np.longdouble)) / norm)
                    exact = t * ball[-1] * np.where(norm > 0, inside, 1)
                    known = (norm < 0.99 * largest(dtype) ** 0.5)[:, 0]
                    unknown = ~(norm < 1.01 * largest(dtype) ** 0.5)[:, 0]
                else:
                    exact = np.clip(t * ball[-1], -fixed.radius, fixed.radius)
                    known, unknown = ~np.isnan(norm[:, 0]), np.zeros(len(z), bool)
                known &= ball[-1] > 0
            p = fixed.integers(z, ball, rows)
            assert (np.abs(p) <= fixed.radius + 1).all(), name
            assert (fixed.norms(p - exact) <= fixed.lost(dtype) / 2)[known].all(), name
            assert not p[unknown].any(), name


@pytest.mark.parametrize("dtype", DTYPES)
def test_tiles_are_exact(fixed: Fixed, dtype: str) -> None:
    for name, (ball, x, y) in fixed.given(dtype).items():
        p, q = fixed.integers(x, ball, True), fixed.integers(y, ball, False)
        v = fixed.tile(x, y, ball).astype(np.int64)
        if fixed.norm == "L2":
            up = 2 * (v - fixed.bias) - np.square(p[:, None] - q).sum(-1)
            right = (up >= 0) & (up <= 2)
        else:
            right = v - fixed.bias == fixed.norms(p[:, None] - q) << fixed.shift
        t = offsets(y, ball)
        with np.errstate(invalid="ignore"):
            infinite = (np.abs(t) > (1 + eps(dtype) / 4) * largest(dtype)).any(1)
        nan = np.isnan(t).any(1) & ~infinite
        always = nan & (fixed.norm == "LARGEST")
        never = infinite | nan & ~always
        known = ~always & ~never
        assert right[:, known].all(), name
        assert ((v >= fixed.bias) & (v < fixed.never))[:, known].all(), name
        assert (v >= fixed.never)[:, never].all(), name
        assert (v < 0)[:, always].all(), name
        floats = v.astype(np.int32).view(np.float32)  # as lists have them, in the same order
        assert (np.abs(floats) >= np.finfo(np.float32).smallest_normal).all(), name
        assert np.isfinite(floats).all(), name


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_value_is_below_its_bound(fixed: Fixed, dtype: str) -> None:
    """Neither exact ones, less all that may be lost in computing them, nor computed ones."""
    D, L2 = fixed.D, fixed.norm == "L2"
    u = eps(dtype) / 2
    gamma = (D + 2) * u / (1 - (D + 2) * u)
    for name, (ball, x, y) in fixed.given(dtype).items():
        with np.errstate(all="ignore"):  # of rows that are too far away nothing is asked
            t = offsets(x, ball)
            some = (np.square(t).sum(1) if L2 else np.abs(t).sum(1)) < 1.01 * largest(dtype) / 16
        x = np.ascontiguousarray(x[some.astype(bool)])
        if not len(x):
            continue
        low = fixed.least_values(fixed.tile(x, y, ball), ball)
        exact = distances(x, y, fixed.norm)
        underflow = D * float(np.finfo(dtype).smallest_subnormal) if L2 else 0
        with np.errstate(all="ignore"):
            least = exact * (1 - gamma) - underflow
        for v in (least, *fixed.values(x, y)):
            assert ((low <= v) | np.isnan(v)).all(), name


@pytest.mark.parametrize("dtype", DTYPES)
def test_bounds_are_no_wider_than_needed(fixed: Fixed, dtype: str) -> None:
    """Inside of the ball distances are lost once for the rounding, and once for the proof."""
    e, D = fixed.lost(dtype), fixed.D
    for name in ("normal", "duplicates", "round_away", "beside_a_center", "large"):
        ball, x, y = fixed.given(dtype)[name]
        x, y = (
            np.ascontiguousarray(a[np.square(offsets(a, ball)).sum(1) < 0.99 * ball[-2]])
            for a in (x, y)
        )
        low = fixed.least_values(fixed.tile(x, y, ball), ball)
        distance = fixed.between(x, y) * ball[-1]
        found = np.maximum(low, 0)
        found = (np.sqrt(found) if fixed.norm == "L2" else found) * ball[-1]
        away = distance > 2 * e + 2
        # sqrt(a^2 - 2) is not below a - 2 / a, nor sqrt(1 - 2 a) much below 1 - a
        less = distance - found - (fixed.norm == "L2") - 2 * (D + 9) * eps(dtype) / 2 * distance
        assert (less <= 2 * e)[away].all(), name
        if name == "normal" and away.any():  # roundings cancel
            assert less[away].mean() < 1.25 * e + 0.5


@pytest.mark.parametrize("dtype", DTYPES)
def test_roundings_are_as_large_as_allowed_for(fixed: Fixed, dtype: str) -> None:
    """These adversaries find what is proved to be lost, but for hardly anything."""
    D, rng = fixed.D, np.random.default_rng(0)

    def gained(ball: Array, x: Array, y: Array) -> Array:
        p, q = fixed.integers(x, ball, True), fixed.integers(y, ball, False)
        return fixed.norms(p[:, None] - q) - fixed.between(x, y) * ball[-1]

    most = {"L2": D**0.5, "L1": D, "LARGEST": 1}[fixed.norm]
    assert gained(*round_away(rng, fixed.norm, D, dtype)).max() > 0.999 * most
    if dtype == "float32" and D > 2000 and fixed.norm == "L2":
        assert gained(*ties_of_norms(rng, "L2", D, dtype)).max() > most + 0.1


@pytest.mark.parametrize("dtype", DTYPES)
def test_least_values_rise(fixed: Fixed, dtype: str) -> None:
    v = np.unique(np.geomspace(1, 2**31 - 1 - fixed.bias, 500).astype(np.int32)) + fixed.bias
    v = np.concatenate([np.array([fixed.always, fixed.bias]), v]).astype(np.int32)
    for radius in (1e-6, 1, 1e6):
        least = fixed.least_values(v, ball_of(fixed.norm, 0, radius, fixed.D, dtype))
        assert (least[1:] >= least[:-1]).all()
        assert (least[:2] < 0).all(), "equal points, and those that have no distance"
        assert least[-1] > (radius**2 if fixed.norm == "L2" else radius)
    nothing = fixed.least_values(v, np.zeros(fixed.D + 2, dtype))
    assert (nothing < 0).all(), "there is no ball"
