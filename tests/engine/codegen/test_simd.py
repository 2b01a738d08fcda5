"""The vector math header on every vector width that this machine runs: exactness, lanes, masks.

How large errors are is measured in `test_accuracy`; here a function is held to the error that its
header documents where vectors, scalars and their neighbours might make a difference.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import mpmath
import numpy as np
import pytest
import scipy.special

from experiments import accuracy

pytestmark = [pytest.mark.compiler, pytest.mark.compiles]

Real = np.ndarray
ONE = ["exp", "expm1", "log", "log1p", "xlogx", "sqrt", "rsqrt", "tanh", "sigmoid", "softplus"]
ONE += ["sin", "cos", "tan", "sinc", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh"]
ONE += ["atanh", "erf", "erfc"]
ERRORS = accuracy.documented()


class Library:
    """The compiled harness: ``library("exp", x)`` applies a function to an array."""

    def __init__(self, c: ctypes.CDLL) -> None:
        self.c = c

    def __call__(self, name: str, *arguments: Real, scalar: bool = False) -> Real:
        (dtype,) = {a.dtype for a in arguments}
        suffix = {"float32": "f32", "float64": "f64"}[dtype.name] + "_scalar" * scalar
        n = arguments[0].size
        padded = [np.pad(a, (0, -n % 16)) for a in arguments]
        result = np.empty_like(padded[0])
        pointers = [ctypes.c_void_p(a.ctypes.data) for a in (*padded, result)]
        getattr(self.c, f"{name}_{suffix}")(*pointers, ctypes.c_int64(result.size))
        return result[:n]


@pytest.fixture(scope="module", params=accuracy.BUILDS)
def library(request: pytest.FixtureRequest) -> Library:
    if not accuracy.compiler():
        pytest.skip("needs a C++ compiler")
    if request.param not in accuracy.builds():
        pytest.skip("needs another processor")
    return Library(accuracy.compile_build(request.param))


# ---- samples and references ----------------------------------------------------------------------


def samples(dtype: type, count: int) -> Real:
    """Return numbers of every exponent and sign, the usual ranges densely, and all specials."""
    rng = np.random.default_rng(20260)
    unsigned = {np.float32: np.uint32, np.float64: np.uint64}[dtype]
    info, limits = np.finfo(dtype), np.iinfo(unsigned)
    everything = rng.integers(0, limits.max, count // 2, unsigned, endpoint=True).view(dtype)
    ranges = [rng.uniform(-s, s, count // 16) for s in (0.5, 1, 2, 10, 30, 100, 800)]
    near_one = 1 + rng.normal(size=count // 16) * 2.0 ** rng.integers(-info.nmant, 0, count // 16)
    # the quarter turns are where sin, cos and tan lose their digits
    turns = rng.integers(0, 60000, count // 16) * (np.pi / 4)
    ends = [np.log(float(info.max)), np.log(float(info.smallest_subnormal))]
    ends = np.repeat(ends, 64) * (1 + rng.normal(size=128) * 1e-3)
    special = [0.0, 1.0, 0.5, 0.75, 1.5, np.inf, info.max, info.tiny, info.smallest_subnormal]
    special = np.array([*special, info.tiny / 3, np.nan], dtype)
    parts = [everything, *ranges, near_one, turns, ends, special, -special]
    x: Real = np.concatenate([np.asarray(p, dtype) for p in parts])
    return x


def wide(name: str) -> Callable[..., Real]:
    """Return a function of float64 or longdouble arrays that is exact enough as a reference."""

    def softplus(x: Real) -> Real:
        return np.maximum(x, 0) + np.log1p(np.exp(-abs(x)))

    def sigmoid(x: Real) -> Real:
        e = np.exp(-abs(x))
        return np.where(x < 0, e, 1) / (1 + e)

    def xlogx(x: Real) -> Real:
        return np.where(x == 0, 0, x * np.log(x))

    own = {
        "rsqrt": lambda x: 1 / np.sqrt(x),
        "sinc": lambda x: np.where(x == 0, 1, np.sin(x) / x),
        "asin": np.arcsin,
        "acos": np.arccos,
        "atan": np.arctan,
        "asinh": np.arcsinh,
        "acosh": np.arccosh,
        "atanh": np.arctanh,
        "atan2": np.arctan2,
        "pow": np.power,
        "erf": scipy.special.erf,
        "erfc": scipy.special.erfc,
        "softplus": softplus,
        "sigmoid": sigmoid,
        "xlogx": xlogx,
    }
    return own[name] if name in own else getattr(np, name)


def reference(name: str, *arguments: Real) -> Real:
    """Return the exact values, rounded to some digits more than the arguments have."""
    if arguments[0].dtype == np.float32:
        return wide(name)(*(a.astype(np.float64) for a in arguments))
    if name in ("erf", "erfc"):
        return np.array([by_mpmath(name, x) for x in arguments[0]])
    return wide(name)(*(a.astype(np.longdouble) for a in arguments))


def by_mpmath(name: str, x: float) -> np.longdouble:
    if np.isnan(x) or (x == 0 and name == "erf"):
        return np.longdouble(x)  # mpmath knows one zero
    with mpmath.workprec(90):
        # beyond 100 nothing changes any more but mpmath's own range
        value = getattr(mpmath, name)(mpmath.mpf(min(max(float(x), -100.0), 100.0)))
        head = np.longdouble(float(value))
        if not np.isfinite(head) or abs(head) < np.finfo(np.float64).tiny:
            # denormal: scaled up, as float() would round to few digits
            value = mpmath.ldexp(value, 200) if mpmath.isfinite(value) else value
            return np.ldexp(np.longdouble(float(value)), -200)
        return head + np.longdouble(float(value - mpmath.mpf(float(value))))


def ulps(got: Real, exact: Real) -> Real:
    """Return |got - exact| in units in the last place of ``exact``, 0 where both are NaN.

    Infinity counts as the next number after the largest; a NaN where there should be none, or none
    where there should be one, as infinitely wrong.
    """
    info = np.finfo(got.dtype)
    end = np.exp2(exact.dtype.type(info.maxexp))
    a, b = (np.where(np.isinf(v), np.copysign(end, v), v) for v in (got.astype(exact.dtype), exact))
    b = np.clip(b, -end, end)
    exponent = np.clip(np.frexp(b)[1], info.minexp + 1, info.maxexp)
    unit = np.ldexp(exact.dtype.type(1), exponent - info.nmant - 1)
    error = abs(a - b) / unit
    error = np.where(np.isnan(got) & np.isnan(exact), 0, error)
    return np.where(np.isnan(error), np.inf, error)


def check(name: str, got: Real, exact: Real, *arguments: Real) -> None:
    single, double, _ = ERRORS[name]
    bound = single if got.dtype == np.float32 else double
    error = ulps(got, exact)
    worst = int(error.argmax())
    at = ", ".join(float(a[worst]).hex() for a in arguments)
    assert error[worst] <= bound, f"{name}({at}) = {got[worst]!r}, off by {error[worst]:.2f} ulp"
    zero = (exact == 0) & (got == 0)
    assert (np.signbit(exact[zero]) == np.signbit(got[zero])).all(), f"the sign of zero of {name}"


# ---- tests ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_exact_functions(library: Library, dtype: type) -> None:
    x = samples(dtype, 20_000)
    y = np.random.default_rng(6).permutation(x)
    one = dtype(1)
    expected = {
        "abs": np.abs(x),
        "sign": np.sign(x),
        "step": np.where(x < 0, 0 * one, one),
        "relu": np.where(x < 0, 0 * one, x),
        "floor": np.floor(x),
        "ceil": np.ceil(x),
        "round": np.rint(x),
        "square": x * x,
        "inv": one / x,
        "sqrt": np.sqrt(x),
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(library(name, x), values, err_msg=name)
        assert library(name, x).dtype == dtype
    for name in ("floor", "ceil", "round", "inv"):
        got, values = library(name, x), expected[name]
        ordered = ~np.isnan(values)
        assert (np.signbit(got) == np.signbit(values))[ordered].all(), name
    for name, values in {"plus": x + y, "minus": x - y}.items():
        got, ordered = library(name, x, y), ~np.isnan(values)
        np.testing.assert_array_equal(got, values, err_msg=name)
        assert (np.signbit(got) == np.signbit(values))[ordered].all(), name
    for name in ("minimum", "maximum", "copysign"):
        values = getattr(np, name)(x, y)
        if name == "copysign":
            x, y, values = (a[~np.isnan(x)] for a in (x, y, values))
        np.testing.assert_array_equal(library(name, x, y), values, err_msg=name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_lanes_are_independent(library: Library, dtype: type) -> None:
    # the same bits whatever the other lanes hold, huge arguments and NaN among them
    x = samples(dtype, 1_000)
    order = np.random.default_rng(7).permutation(x.size)
    for name in ONE:
        expected = library(name, x)[order]
        np.testing.assert_array_equal(library(name, x[order]), expected, err_msg=name)
        check(name, library(name, x, scalar=True), reference(name, x), x)
    y = np.random.default_rng(8).permutation(x)
    for name in ("pow", "atan2", "minimum", "maximum"):
        expected = library(name, x, y)[order]
        np.testing.assert_array_equal(library(name, x[order], y[order]), expected, err_msg=name)
        if name in ERRORS:
            check(name, library(name, x, y, scalar=True), reference(name, x, y), x, y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_masks_and_horizontals(library: Library, dtype: type) -> None:
    n = library.c.vector_bytes() // np.dtype(dtype).itemsize
    real = {np.float32: ctypes.c_float, np.float64: ctypes.c_double}[dtype]
    flags = ["count", "bits_less", "bits", "any_less", "any", "all"]
    arrays = ["selected", "three", "fused", "integer"]

    class Structure(ctypes.Structure):
        _fields_ = [
            *((f, ctypes.c_int64) for f in flags),
            *((f, real) for f in ("hsum", "hmax", "hmin")),
            *((f, real * 16) for f in arrays),
            ("iota", ctypes.c_int64 * 16),
        ]

    call = library.c["structure_f32" if dtype is np.float32 else "structure_f64"]
    rng = np.random.default_rng(8)
    eps = np.finfo(dtype).eps
    x = (rng.normal(size=(50, n)) * 100).astype(dtype)
    y = (rng.normal(size=(50, n)) * 100).astype(dtype)
    y[0], y[1], x[2, 3 % n], y[3, 1] = np.inf, -np.inf, np.nan, np.nan
    y[5, ::2] = x[5, ::2]
    x[4], y[4] = 1 + eps, 1 - eps  # the product less 1 is -eps^2 if rounded once
    for a, b in zip(x, y, strict=True):
        s = Structure()
        call(*(ctypes.c_void_p(v.ctypes.data) for v in (a, b)), ctypes.byref(s))
        less = a < b
        bits = sum(1 << k for k in range(n) if less[k])
        assert (s.count, s.bits, s.bits_less) == (n, bits, bits)
        assert (s.any, s.any_less, s.all) == (less.any(), less.any(), less.all())
        assert list(s.iota)[:n] == list(range(n))
        assert list(s.three)[:n] == [3] * n
        np.testing.assert_array_equal(np.array(s.selected)[:n], np.where(less, a, b))
        np.testing.assert_array_equal([s.hmax, s.hmin], [a.max(), a.min()])
        total = a
        while total.size > 1:
            total = total[: total.size // 2] + total[total.size // 2 :]
        np.testing.assert_array_equal(s.hsum, total[0])
        if not np.isnan(a).any():
            np.testing.assert_array_equal(np.array(s.integer)[:n], np.trunc(a))
    s = Structure()
    call(*(ctypes.c_void_p(v.ctypes.data) for v in (x[4], y[4])), ctypes.byref(s))
    np.testing.assert_array_equal(np.array(s.fused)[:n], -(float(eps) ** 2))


def test_widen_and_narrow(library: Library) -> None:
    n = library.c.vector_bytes() // 4
    x = np.random.default_rng(9).normal(size=n).astype(np.float32)
    doubles, back = np.empty(n, np.float64), np.empty(n, np.float32)
    library.c.widen_narrow(*(ctypes.c_void_p(v.ctypes.data) for v in (x, doubles, back)))
    np.testing.assert_array_equal(doubles, x.astype(np.float64))
    np.testing.assert_array_equal(back, x)


SUMS = """#include "simd.h"
gr::vf sum(gr::vf a, gr::vf b) {
    const gr::vf unit = gr::hidden_one<gr::vf>();
    return gr::add_as_product(a, gr::sub_as_product(b, a, unit), unit);
}
"""


@pytest.mark.parametrize("build", ["native", "generic"])
def test_sums_by_multipliers_are_products_where_that_costs_nothing(
    build: str, tmp_path: Path
) -> None:
    """A compiler that saw through the 1 would make additions of them again."""
    command = [*accuracy.compiler(), *accuracy.FLAGS, *accuracy.BUILDS[build]]
    if not command[0]:
        pytest.skip("needs a C++ compiler")
    (tmp_path / "sums.cpp").write_text(SUMS)
    options = ["-Wno-psabi", "-ffp-contract=fast", f"-I{accuracy.HEADERS}", "-S", "-o", "-"]
    done = subprocess.run(
        [*command, *options, str(tmp_path / "sums.cpp")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    macros = subprocess.run(
        [*command, "-dM", "-E", "-x", "c++", os.devnull], capture_output=True, text=True, check=True
    ).stdout
    fused = "__AVX512F__" in macros or "__aarch64__" in macros
    products = re.findall(r"^\s(vfn?m|fml|fnm|mulp|fmul)", done.stdout, re.MULTILINE)
    assert len(products) == (2 if fused else 0), done.stdout


def test_header_is_light() -> None:
    # <cmath> and <immintrin.h> would cost every kernel tenths of a second of compile time
    text = "".join(path.read_text() for path in sorted(accuracy.HEADERS.glob("simd*.h")))
    assert set(re.findall(r"#include <(.*)>", text)) == {"stddef.h", "stdint.h"}
