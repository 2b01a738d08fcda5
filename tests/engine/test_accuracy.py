"""How exact results are: functions of simd.h, long sums, log-sum-exp, very large and small data.

The functions are judged by ``experiments.accuracy`` on a million arguments each, of every exponent
and around every breakpoint, on all vector widths that this machine runs; `make nightly` goes
through all 2^32 floats.
"""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from helpers import eps

from experiments import accuracy
from georeduce.apps.knn import NearestNeighbors
from georeduce.engine import Vi, Vj

Array = np.ndarray[Any, Any]
DTYPES = ["float32", "float64"]
FUNCTIONS = list(accuracy.documented())
FALLS = {"softplus": 2.0, "xlogx": 2.0, "sinc": 2.0}
"""Largest steps against the direction, in ulp, where more than 1: where a function is nearly
constant beside its own rounding (softplus), or turns round (the others are not monotone)."""

# --- Functions --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def judge() -> accuracy.Judge:
    if not accuracy.compiler():
        pytest.skip("needs a C++ compiler")
    return accuracy.Judge()


@pytest.fixture(scope="module", params=DTYPES)
def arguments(request: pytest.FixtureRequest) -> tuple[Array, tuple[Array, Array]]:
    dtype = np.dtype(request.param)
    if dtype == np.float64 and np.finfo(np.longdouble).nmant < 63:
        pytest.skip("needs a long double of more digits than double")
    return accuracy.samples(dtype), accuracy.pairs(dtype)


@pytest.mark.compiler
@pytest.mark.compiles
@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(judge: accuracy.Judge, name: str, arguments: Any) -> None:
    x, pairs = arguments
    single, double, fall = accuracy.documented()[name]
    verdicts = judge(name, *pairs) if name in accuracy.TWO else judge(name, x)
    for build, v in verdicts.items():
        where = f"{name} ({build})"
        at = f"{v.at.hex()}" + (f", {v.at_y.hex()}" if name in accuracy.TWO else "")
        limit = single if x.dtype == np.float32 else double
        assert v.error <= limit, f"{where} is off by {v.error:.3f} ulp at {at}"
        assert v.wrong == 0, f"{where} at {v.wrong_at.hex()}, {v.wrong_y.hex()}: not as in C"
        assert v.fall <= fall, f"{where} falls by {v.fall} ulp at {v.fall_at.hex()}"


def test_all_functions_are_documented() -> None:
    source = (accuracy.SOURCES / "simd_judge.cpp").read_text()
    assert all(f"    F({name}, " in source for name in FUNCTIONS)
    assert source.count("\n    F(") == len(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_documented_errors_keep_the_contract(name: str) -> None:
    single, double, fall = accuracy.documented()[name]
    assert max(single, double) <= 2
    assert fall <= FALLS.get(name, 1.0)


@pytest.mark.compiler
@pytest.mark.compiles
@pytest.mark.parametrize("name", ["exp", "log1p", "tanh", "tan", "atan", "acosh", "erf", "erfc"])
def test_judge_agrees_with_mpmath(judge: accuracy.Judge, name: str) -> None:
    # the judge rests on the C library, whose long double functions are within 2 of their own ulps
    rng = np.random.default_rng(3)
    x = np.sort(rng.uniform(1, 26, 400) if name in ("acosh", "erfc") else rng.uniform(-0.9, 3, 400))
    (verdict,) = (v for build, v in judge(name, x).items() if build == "native")
    got = np.empty_like(x)
    function = getattr(judge.builds["native"], f"{name}_f64")
    function(*(accuracy.ctypes.c_void_p(a.ctypes.data) for a in (x, got)), x.size)
    errors = []
    with mpmath.workprec(160):
        for a, b in zip(x, got, strict=True):
            exact = getattr(mpmath, name)(mpmath.mpf(float(a)))
            unit = mpmath.ldexp(1, mpmath.frexp(exact)[1] - 53)
            errors.append(float(abs(exact - mpmath.mpf(float(b))) / unit))
    places = float(np.finfo(np.longdouble).eps / np.finfo(np.float64).eps)
    assert max(errors) == pytest.approx(verdict.error, abs=2 * places)


@pytest.mark.compiler
@pytest.mark.compiles
def test_judge_sweeps_by_bits(judge: accuracy.Judge) -> None:
    first = int(np.float32(2).view(np.uint32))
    x = np.arange(first, first + 9000, dtype=np.uint32).view(np.float32)
    for fast in (False, True):
        swept = judge.sweep("log", first, x.size, fast)
        for build, v in judge("log", x).items():
            # the float64 functions have errors of 2^-29 ulps of float32
            assert swept[build].error == pytest.approx(v.error, abs=4 * 2.0**-29)
            assert (swept[build].at, swept[build].falls) == (v.at, v.falls)


@pytest.mark.compiler
@pytest.mark.compiles
def test_judge_sees_what_is_wrong(judge: accuracy.Judge) -> None:
    # a function in another's place: the judge's own defects would pass everything
    x = accuracy.samples(np.float32)
    judge.builds["wrong"] = judge.builds["native"]
    pointer = judge._pointer
    try:
        for name, other, finds in [
            ("exp", "expm1", ("error",)),
            ("ceil", "floor", ("error",)),
            ("rsqrt", "sqrt", ("error", "fall")),
            ("relu", "abs", ("error", "fall")),
            ("sin", "tan", ("error",)),
            ("log1p", "log", ("error", "wrong")),
        ]:
            judge._pointer = lambda build, _, other=other: pointer(build, f"{other}_f32")  # type: ignore[method-assign]
            verdict = judge(name, x)["wrong"]
            assert all(getattr(verdict, what) > 0 for what in finds), (name, other)
    finally:
        del judge._pointer, judge.builds["wrong"]


def test_table_is_up_to_date() -> None:
    readme = accuracy.README.read_text(encoding="utf-8")
    assert accuracy.BEGIN in readme
    assert accuracy.updated(readme) == readme, "run: python -m experiments accuracy --table"


def test_what_is_good() -> None:
    made = {"value": 1.5, "limit": 1.4, "fall": 0.0, "fall_limit": 0.0, "unlike_c": 0}
    assert not accuracy.good(made)
    assert accuracy.good(made | {"limit": 1.5})
    assert not accuracy.good(made | {"limit": 1.5, "fall": 1.0})
    assert not accuracy.good(made | {"limit": 1.5, "unlike_c": 1})


# --- Sums -------------------------------------------------------------------------------------

TERMS = 10_000_000
SUM_ERROR = 1e-6
"""Of a sum of positive float32 terms, relative to float64: promised, whatever their number."""


def terms(kind: str) -> Array:
    rng = np.random.default_rng(11)
    if kind == "even":
        return rng.random(TERMS, dtype=np.float32)
    sizes = (10.0 ** rng.uniform(-6, 6, TERMS)).astype(np.float32)
    return np.sort(sizes)[:: -1 if kind == "falling" else 1].copy() if kind != "mixed" else sizes


@pytest.mark.slow
@pytest.mark.compiler
@pytest.mark.parametrize("kind", ["even", "mixed", "rising", "falling"])
def test_sums_of_very_many_terms(kind: str) -> None:
    y = terms(kind)
    exact = y.sum(dtype=np.float64)
    for rows in (1, 3):
        x = np.arange(1, rows + 1, dtype=np.float32)
        for axis, formula in [(1, Vi(x[:, None]) * Vj(y[:, None])),
                              (0, Vi(y[:, None]) * Vj(x[:, None]))]:  # fmt: skip
            got = formula.sum(axis=axis, backend="openmp")
            assert got.dtype == np.float32
            np.testing.assert_allclose(got[:, 0], exact * x, rtol=SUM_ERROR)


@pytest.mark.slow
@pytest.mark.compiler
def test_sums_of_very_many_kernels() -> None:
    # terms with roundings of their own: a Gaussian at 10^7 points, each good to some ulps
    rng = np.random.default_rng(12)
    x, y = rng.random((1, 3)), rng.random((TERMS, 3), dtype=np.float32)
    x = x.astype(np.float32)
    got = (-Vi(x).sqdist(Vj(y))).exp().sum(axis=1, backend="openmp")
    exact = np.exp(-((x.astype(np.float64) - y) ** 2).sum(1)).sum()
    np.testing.assert_allclose(got[0, 0], exact, rtol=SUM_ERROR)


# --- Log-sum-exp ------------------------------------------------------------------------------


def logsumexp(values: Array) -> Array:
    """Return the log-sum-exp of columns given one by one, over j, as the engine computes it."""
    one = np.ones((1, 1), values.dtype)
    return (Vi(one) * Vj(values[:, None])).logsumexp(axis=1)[:, 0]


@pytest.mark.compiler
@pytest.mark.parametrize("dtype", DTYPES)
def test_logsumexp_never_overflows(dtype: str) -> None:
    rng = np.random.default_rng(13)
    end = np.finfo(dtype).max * 0.9
    n = 1_000_000
    cases: dict[str, tuple[Array, float]] = {
        "large": (end * rng.uniform(-1, 1, n), 0.0),
        "equal": (np.full(n, end), end),  # log(n) is below the last place
        "lowest": (np.full(n, -end), -end),
        "minus infinity": (np.full(n, -np.inf), -np.inf),
        "one number": (np.where(np.arange(n) == n // 2, -end, -np.inf), -end),
        "infinity": (np.where(np.arange(n) == n // 3, np.inf, rng.uniform(-80, 80, n)), np.inf),
        "both": (np.where(np.arange(n) % 2, np.inf, -np.inf), np.inf),
        "zeros": (np.zeros(n), float(np.log(n))),
        "rising": (end * np.linspace(-1, 1, n), end),
    }
    cases["large"] = (cases["large"][0], float(cases["large"][0].astype(dtype).max()))
    for name, (values, exact) in cases.items():
        got = logsumexp(values.astype(dtype))
        np.testing.assert_allclose(got, [exact], rtol=4 * eps(dtype), err_msg=name)
    assert np.isnan(logsumexp(np.array([1, np.nan, 2], dtype))).all()


@pytest.mark.compiler
@pytest.mark.parametrize("dtype", DTYPES)
def test_logsumexp_of_an_infinity_after_large_values(dtype: str) -> None:
    for place in 64 * 2 ** np.arange(9):  # at the beginning of a block of columns among others
        values = np.full(20_000, 1000, dtype)
        values[place] = np.inf
        np.testing.assert_array_equal(logsumexp(values), np.inf)


# --- Very large and very small vectors --------------------------------------------------------

SCALES = {"float32": [1e-42, 1e-30, 1e-18, 1e18, 1e30, 3e37],
          "float64": [1e-310, 1e-300, 1e-150, 1e150, 1e300, 1e307]}  # fmt: skip
EVERYWHERE = [(dtype, scale) for dtype in DTYPES for scale in SCALES[dtype]]


def points(dtype: str, scale: float, dim: int = 5) -> tuple[Array, Array]:
    rng = np.random.default_rng(14)
    x, y = (rng.uniform(-1, 1, (n, dim)) * scale for n in (40, 300))
    return x.astype(dtype), y.astype(dtype)


def exact_norms(x: Array) -> Array:
    """Return norms as they are, in long double, whose exponents do not end here."""
    norms: Array = np.sqrt((x.astype(np.longdouble) ** 2).sum(-1))
    return norms


def rounding(dtype: str, dim: int, scale: float) -> dict[str, float]:
    """Return the tolerance of a norm: a rounding of each term and of each sum, and denormals."""
    return {
        "rtol": (2 * dim + 4) * eps(dtype),
        "atol": 2 * float(np.finfo(dtype).smallest_subnormal),
    }


@pytest.mark.parametrize(("dtype", "scale"), EVERYWHERE)
def test_norms(dtype: str, scale: float, backend: str) -> None:
    x, y = points(dtype, scale)
    tolerance = rounding(dtype, x.shape[1], scale)
    with np.errstate(all="ignore"):
        of_rows = (Vi(x).norm2() * Vj(np.ones((1, 1), dtype))).max(1, backend=backend)[:, 0]
        of_pairs = (Vi(x) - Vj(y)).norm2().max(1, backend=backend)[:, 0]
        cosines = (Vi(x).normalize() | Vj(y).normalize()).max(1, backend=backend)[:, 0]
    assert_near(of_rows, exact_norms(x), **tolerance)
    assert_near(of_pairs, distances("euclidean", x, y).max(1), **tolerance)
    u, v = (a / exact_norms(a)[:, None] for a in (x, y))
    assert_near(cosines, (u @ v.T).max(1), **tolerance)


def assert_near(got: Array, exact: Array, rtol: float, atol: float) -> None:
    """Compare in long double: NumPy's helper would take the exact values to float64."""
    error = abs(got.astype(np.longdouble) - exact)
    assert (error <= rtol * abs(exact) + atol).all(), float((error / abs(exact)).max())


def distances(metric: str, x: Array, y: Array) -> Array:
    """Return distances as they are, in long double."""
    x, y = x.astype(np.longdouble), y.astype(np.longdouble)
    difference = x[:, None] - y
    if metric == "manhattan":
        return abs(difference).sum(-1)  # type: ignore[no-any-return]
    if metric == "cosine":
        u, v = (a / exact_norms(a)[:, None] for a in (x, y))
        return ((u[:, None] - v) ** 2).sum(-1) / 2  # type: ignore[no-any-return]
    d = exact_norms(difference)
    if metric == "poincare":
        gaps = np.sqrt(1 - exact_norms(x) ** 2)[:, None] * np.sqrt(1 - exact_norms(y) ** 2)
        return 2 * np.arcsinh(d / gaps)
    return d**2 if metric == "sqeuclidean" else d


# where squared distances are in range, but points are scaled; and in a ball
SOME = [("sqeuclidean", "float32", scale) for scale in (1e-14, 1e17)]
SOME += [("sqeuclidean", "float64", scale) for scale in (1e-145, 1e153)]
SOME += [("poincare", dtype, scale) for dtype, scale in EVERYWHERE if scale < 1]
SOME += [("poincare", dtype, 1.0) for dtype in DTYPES]
METRICS = [(m, *where) for m in ("euclidean", "manhattan", "cosine") for where in EVERYWHERE]


@pytest.mark.parametrize(("metric", "dtype", "scale"), [*METRICS, *SOME])
def test_neighbours(metric: str, dtype: str, scale: float, backend: str) -> None:
    x, y = points(dtype, scale * 0.1)  # distances are within the type's range
    exact = distances(metric, x, y)
    with np.errstate(all="ignore"):
        model = NearestNeighbors(n_neighbors=3, metric=metric, backend=backend).fit(y)
        got, indices = model.kneighbors(x)
    tolerance = rounding(dtype, x.shape[1], scale)
    if metric in ("sqeuclidean", "poincare"):
        tolerance["rtol"] *= 2  # of a square, or in products with what is left to the rim
    assert_near(got, np.sort(exact, axis=1)[:, :3], **tolerance)
    assert_near(got, np.take_along_axis(exact, indices, axis=1), **tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
def test_neighbours_among_points_that_are_far_larger(dtype: str, backend: str) -> None:
    x, y = points(dtype, 1.0)
    size = np.finfo(dtype).maxexp - 4
    y = np.concatenate([np.ldexp(y, size), np.ldexp(y, size // 4)])  # by 2^-93, or 2^-765
    x = np.ldexp(x, size // 4)
    got, indices = NearestNeighbors(n_neighbors=3, backend=backend).fit(y).kneighbors(x)
    assert (indices >= len(y) // 2).all()
    assert_near(got, np.sort(distances("euclidean", x, y))[:, :3], **rounding(dtype, 5, 1.0))


@pytest.mark.parametrize("dtype", DTYPES)
def test_neighbours_where_one_side_is_huge(dtype: str, backend: str) -> None:
    x, y = points(dtype, 1.0)
    huge = np.finfo(dtype).maxexp - 4
    for a, b in ((np.ldexp(x, huge), y), (x, np.ldexp(y, huge))):
        got, _ = NearestNeighbors(n_neighbors=3, backend=backend).fit(b).kneighbors(a)
        exact = np.sort(distances("euclidean", a, b))[:, :3]
        assert_near(got, exact, **rounding(dtype, 5, 1.0))
