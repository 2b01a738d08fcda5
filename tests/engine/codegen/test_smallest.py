"""The list of the K smallest, against a sort, on every vector width that this machine runs."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence

import numpy as np
import pytest

from experiments import accuracy

pytestmark = [pytest.mark.compiler, pytest.mark.compiles]

Real = np.ndarray
WAYS = ["tiles", "vectors", "merged"]
"""How values come to a list: see ``Way`` in the harness."""
DTYPES = ["float32", "float64"]
SOME = [1, 2, 3, 7, 8, 9, 16, 17, 50, 64, 65, 100, 127, 500, 1000, 2000]
COUNTS = [0, 1, 15, 16, 17, 63, 64, 65, 129, 1000, 5003]
LEAP = 2**28 - 64
"""Columns left out after every 64, so that a row has more of them than 32 bits can count."""


class Library:
    """The compiled harness: ``library(way, v, K)`` are the K smallest of a row."""

    def __init__(self, build: str) -> None:
        self.c = accuracy.compile_library("smallest_harness.cpp", *accuracy.BUILDS[build])
        names = ["smallest_f32", "smallest_f64", "bytes_f32", "bytes_f64", "ways"]
        for name in names:
            getattr(self.c, name).restype = ctypes.c_int64

    def __call__(self, way: str, v: Real, K: int, leap: int = 0) -> tuple[Real, Real, Real]:
        """Return values and columns; before the end, the limit and the largest that passes."""
        padded = np.append(v, np.full(64, -np.inf, v.dtype))  # past the end stands what would win
        values, before = np.empty(K, v.dtype), np.empty(2, v.dtype)
        columns = np.empty(K, np.int64)
        count = getattr(self.c, f"smallest_f{8 * v.itemsize}")(
            ctypes.c_int64(WAYS.index(way)),
            ctypes.c_void_p(padded.ctypes.data),
            *map(ctypes.c_int64, (v.size, K, leap)),
            *(ctypes.c_void_p(a.ctypes.data) for a in (values, columns, before)),
        )
        assert count >= 0, {-1: "written outside", -2: "more than K"}[count]
        return values[:count], columns[:count], before


@functools.cache
def compiled(build: str) -> Library:
    return Library(build)


@pytest.fixture(params=accuracy.BUILDS)
def library(request: pytest.FixtureRequest) -> Library:
    if not accuracy.compiler():
        pytest.skip("needs a C++ compiler")
    if request.param not in accuracy.builds():
        pytest.skip("needs another processor")
    return compiled(request.param)


# ---- rows, and what is expected of them ----------------------------------------------------------


@functools.cache
def rows(n: int, dtype: str) -> dict[str, Real]:
    """Return rows of n values, each hard in its own way."""
    rng = np.random.default_rng(n + 1)
    info = np.finfo(dtype)
    normal = rng.normal(size=n)
    least, most = float(info.smallest_subnormal), float(info.max)
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, most, -most, least])
    mostly = np.where(rng.random(n) < 0.9, normal, rng.choice(special, n))
    bits = rng.integers(0, 256, n * info.dtype.itemsize, np.uint8).view(dtype)
    made = {
        "random": normal,
        "ascending": np.sort(normal),
        "descending": np.sort(normal)[::-1],
        "equal": np.ones(n),
        "tied": rng.integers(0, 5, n) - 2,
        "stairs": -(np.arange(n) // 70),
        "steep": np.exp(rng.uniform(-80, 80, n)),
        "zeros": np.where(rng.random(n) < 0.5, 0.0, -0.0),
        "zeros and less": np.where(rng.random(n) < 0.02, -least, np.copysign(0, normal)),
        "subnormal": rng.integers(-3, 4, n) * least,
        "special": rng.choice(special, n),
        "mostly finite": mostly,
        "infinite": np.full(n, np.inf),
        "least": np.where(rng.random(n) < 0.5, -np.inf, np.inf),
        "nan": np.full(n, np.nan),
        "nan first": np.append(np.full(n // 2, np.nan), normal[n // 2 :]),
        "any bits": bits,
        "late": np.append(np.full(n - n // 10, 5.0), np.full(n // 10, 3.0)),
    }
    with np.errstate(over="ignore", invalid="ignore"):
        return {name: np.ascontiguousarray(v).astype(dtype) for name, v in made.items()}


def expected(v: Real, leap: int = 0) -> tuple[Real, Real]:
    """Return all values but NaN in order, ties by column, and their columns."""
    j = np.arange(v.size)
    columns = j + j // 64 * leap
    order = np.lexsort((columns, v))
    order = order[~np.isnan(v[order])]
    return v[order], columns[order]


def check(library: Library, way: str, v: Real, Ks: Sequence[int], leap: int = 0) -> None:
    sorted_values, sorted_columns = expected(v, leap)
    for K in Ks:
        values, columns, (limit, _) = library(way, v, K, leap)
        same = np.array_equal(columns, sorted_columns[:K])
        assert same, f"columns of K = {K}: {columns} and not {sorted_columns[:K]}"
        assert np.array_equal(values, sorted_values[:K]), f"values of K = {K}"
        signs = np.array_equal(np.signbit(values), np.signbit(sorted_values[:K]))
        assert signs, f"zeros of K = {K}"
        if not np.isnan(limit):  # what is not below it can be left out
            assert (sorted_values <= limit).sum() >= K, f"limit of K = {K}"


# ---- tests ---------------------------------------------------------------------------------------


def test_ways_are_those_of_the_harness(library: Library) -> None:
    assert library.c.ways() == len(WAYS)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("way", WAYS)
def test_against_a_sort(library: Library, way: str, dtype: str) -> None:
    for n in COUNTS:
        for name, v in rows(n, dtype).items():
            try:
                check(library, way, v, SOME)
            except AssertionError as error:
                raise AssertionError(f"{name}, N = {n}: {error}") from error


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_K(library: Library, dtype: str) -> None:
    made = rows(2500, dtype)
    check(library, "tiles", made["mostly finite"], range(1, 2001))
    check(library, "tiles", made["tied"], range(1, 2001))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("way", WAYS)
def test_columns_that_need_more_than_32_bits(library: Library, way: str, dtype: str) -> None:
    made = rows(5003, dtype)
    assert LEAP * (5003 // 64) > 2**34
    for name in ("random", "descending", "tied", "mostly finite"):
        check(library, way, made[name], (1, 10, 1000, 2000), LEAP)


@pytest.mark.parametrize("dtype", DTYPES)
def test_limit_comes_down(library: Library, dtype: str) -> None:
    # Random values: at the end the limit is the value of a rank of at most about 2 K, the ranks of
    # the values that came since the last time that it was set included
    v = rows(5003, dtype)["random"]
    for K in (1, 10, 100):
        rank = (v <= library("tiles", v, K)[2][0]).sum()
        assert K <= rank <= 3 * K + 16


@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_values_are_left_out_once_there_are_K(library: Library, dtype: str) -> None:
    for name in ("equal", "zeros", "infinite", "least"):
        for K in (1, 10, 100):
            for way in WAYS:
                limit, top = library(way, rows(5003, dtype)[name], K)[2]
                assert not top >= limit, f"{name}, K = {K}, {way}: {top}, {limit}"


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_limit_before_there_are_K(library: Library, dtype: str) -> None:
    v = rows(1000, dtype)["nan first"]
    for way in WAYS:
        assert np.isnan(library(way, v, 501)[2][0])


@pytest.mark.parametrize("name", ["bytes_f32", "bytes_f64"])
def test_memory(library: Library, name: str) -> None:
    entry = 8 + int(name[-2:]) // 8
    for K in (1, 10, 100, 1000, 2000, 10**6):
        size = getattr(library.c, name)(ctypes.c_int64(K))
        # Twice K, what a tile may add, and the head; lines of the cache in an odd number
        assert size <= entry * (2 * K + 128) + 256
        assert size % 128 == 64
