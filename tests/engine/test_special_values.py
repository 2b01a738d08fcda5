"""NaN, infinities, empty axes, ties, denormals, and indices beyond what float32 can count."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from cases import ALONG_J, DTYPES, Case, groups
from helpers import EXPECT, Array, assert_close, check_indices, check_smallest

from georeduce.engine import LazyTensor, Pm, Vi, Vj
from georeduce.engine.backends._base import Task
from georeduce.engine.codegen.gpu import LONGEST
from georeduce.engine.formula.reductions import REDUCTIONS
from georeduce.engine.methods import build, reduce

N = 37  # more than two vectors of lanes, and not a whole number of them
K = 5
NAN, INF = np.nan, np.inf
WEIGHTED = [name for name, entry in REDUCTIONS.items() if entry.weighted]


def matrix(values: Array) -> LazyTensor:
    """Return any matrix with N columns as a formula: component y_j of x_i."""
    assert values.shape[1] == N
    columns = np.arange(N, dtype=values.dtype)
    chosen = Vj(columns[:, None]).eq(Pm(columns))
    return chosen.where(Vi(values), 0).sum(-1)


def weights(dtype: str) -> Array:
    return np.linspace(0.5, 2, N, dtype=dtype)[:, None]


def request(name: str, values: Array) -> tuple[Any, ...]:
    """Return the arguments of `reduce` but for the backend."""
    weight = Vj(weights(str(values.dtype))) if name in WEIGHTED else None
    return matrix(values), name, "j", K if REDUCTIONS[name].keep else 0, weight


MATRICES = [(name, dtype) for name in REDUCTIONS for dtype in DTYPES]


def tasks() -> list[list[Task]]:
    """Return what this module compiles."""
    matrices = [build(*request(name, np.zeros((2, N), dtype)))[0] for name, dtype in MATRICES]
    plain = [build(*columns(np.zeros(3, "float32"), name))[0] for name in PLAIN]
    return [matrices, plain, *groups(ALONG_J)]


def patterns() -> Array:
    """Return rows of special values, and random rows of them."""
    rows = [np.full(N, value) for value in (NAN, INF, -INF, 0.0, -0.0, 1.0)]
    alone = product((NAN, INF, -INF, 3.0), (NAN, INF, -INF, -3.0, 0.0), (0, 15, 16, 31, 32, N - 1))
    for background, value, place in alone:
        row = np.full(N, background)
        row[place] = value
        rows.append(row)
    rng = np.random.default_rng(0)
    for alphabet in (
        (NAN, INF),
        (NAN, -INF),
        (INF, -INF),
        (NAN, INF, -INF),
        (NAN, 1.0, 2.0),
        (INF, 1.0, -1.0),
        (-INF, 0.0, -0.0, 5.0),
        (0.0, 1.0),
        (NAN, INF, -INF, 0.0, 1.0, -1.0, 2.0),
    ):
        rows += list(rng.choice(alphabet, (8, N)))
    return np.array(rows)


@pytest.mark.parametrize(("name", "dtype"), MATRICES)
def test_special_values(name: str, dtype: str, backend: str) -> None:
    v = patterns().astype(dtype)
    if name == "prod":
        v = np.where(np.abs(v) == 5, 2, v)
    result = reduce(*request(name, v), backend=backend)
    results = result if isinstance(result, tuple) else (result,)
    # The sum of the features in `matrix` adds zeros to one value, which has no rounding.
    exact, error = v.astype(np.float64)[..., None], np.zeros((*v.shape, 1))
    w = np.broadcast_to(weights(dtype).astype(np.float64), exact.shape)
    if REDUCTIONS[name].of == "boolean":
        exact = exact != 0
    with np.errstate(all="ignore"):
        if REDUCTIONS[name].keep:
            named = dict(zip(REDUCTIONS[name].keep, results, strict=True))
            return check_smallest(named, exact[..., 0], error[..., 0], K)
        if name in EXPECT:
            ((expected, bound),) = EXPECT[name](exact, error, w, error, dtype)
            assert_close(results[0], expected, bound, unclear=0)
        if "arg" in name:
            sign = -1 if "max" in name else 1
            check_indices(results[-1], sign * exact[:, None, :, 0], error[:, None, :, 0])
    return None


# --- Empty axes -------------------------------------------------------------------------------

EMPTY: dict[str, tuple[Any, ...]] = {
    "sum": (0,),
    "sum_kahan": (0,),
    "prod": (1,),
    "min": (INF,),
    "max": (-INF,),
    "min_argmin": (INF, -1),
    "max_argmax": (-INF, -1),
    "argmin": (-1,),
    "argmax": (-1,),
    "logsumexp": (-INF,),
    "logsumexp_weight": (-INF,),
    "sumsoftmaxweight": (NAN,),
    "count": (0,),
    "any": (False,),
    "all": (True,),
    "Kmin": (INF,),
    "argKmin": (-1,),
    "Kmin_argKmin": (INF, -1),
}
"""What the module of the table of reductions promises."""


@pytest.mark.parametrize("case", ALONG_J, ids=str)
def test_empty_axis(case: Case, backend: str, rng: np.random.Generator) -> None:
    x, weight = case.tensors(rng, 4, 0)
    K = 3 if REDUCTIONS[case.reduction].keep else 0
    result = reduce(x, case.reduction, "j", K, weight, backend)
    results = result if isinstance(result, tuple) else (result,)
    for part, value in zip(results, EMPTY[case.reduction], strict=True):
        np.testing.assert_array_equal(part, np.full((4, K or 1), value))


@pytest.mark.parametrize("case", ALONG_J, ids=str)
def test_no_rows(case: Case, backend: str, rng: np.random.Generator) -> None:
    K = 3 if REDUCTIONS[case.reduction].keep else 0
    for N in (0, 20):
        x, weight = case.tensors(rng, 0, N)
        result = reduce(x, case.reduction, "j", K, weight, backend)
        results = result if isinstance(result, tuple) else (result,)
        assert [part.shape for part in results] == [(0, K or 1)] * len(results)


# --- Plain columns ----------------------------------------------------------------------------

PLAIN = ("argKmin", "Kmin_argKmin", "min_argmin", "max_argmax", "min", "max", "count", "sum")


def columns(values: Array, name: str) -> tuple[Any, ...]:
    """Return the arguments of `reduce` for values that are the same in every row."""
    y = Vj(values[:, None]) + Vi(np.zeros((1, 1), values.dtype))
    return y, name, "j", K if REDUCTIONS[name].keep else 0


@pytest.mark.parametrize("better", [-1, 1])
@pytest.mark.parametrize("n", [1, 16, 17, 1000, 70_000])
def test_ties_go_to_the_lowest_index(n: int, better: int, backend: str) -> None:
    name = "min_argmin" if better < 0 else "max_argmax"
    values = np.zeros(n, "float32")
    for first in {0, n // 3, n - 1}:
        values[:] = 0
        values[first:] = better
        best, index = reduce(*columns(values, name), backend=backend)
        assert (best[0, 0], index[0, 0]) == (better, first)


ORDERS: dict[str, Callable[[np.random.Generator, int], Array]] = {
    "ties": lambda rng, n: rng.integers(0, 20, n),
    "ties and none": lambda rng, n: rng.choice([NAN, INF, -INF, 0, 1, 2], n),
    "falling": lambda rng, n: -np.arange(n),
    "rising": lambda rng, n: np.arange(n),
    "equal": lambda rng, n: np.zeros(n),
    "none": lambda rng, n: np.full(n, NAN),
    "up and down": lambda rng, n: np.abs(np.arange(n) - n // 2),
}


# Small K are kept by insertion, large ones sorted when a buffer is full: the border is at 64.
@pytest.mark.parametrize("many", [1, 64, 65, 100, 300, 3000])
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_smallest_in_any_order(
    order: Callable[[np.random.Generator, int], Array],
    many: int,
    backend: str,
    rng: np.random.Generator,
) -> None:
    if many > LONGEST and backend in ("cuda", "emulator"):
        pytest.skip("longer lists than a GPU has; that they are refused is tested")
    for n in (70, 1000, 70_000):
        values = order(rng, n).astype("float32")
        y = columns(values, "Kmin_argKmin")[0]
        results = reduce(y, "Kmin_argKmin", "j", many, None, backend)
        exact = values.astype(np.float64)[None]
        named = dict(zip(("values", "indices"), results, strict=True))
        check_smallest(named, exact, np.zeros_like(exact), many)


@pytest.mark.parametrize("n", [3, 16, 17, 1000, 70_000])
def test_ties_among_the_smallest_stand_in_order(n: int, backend: str) -> None:
    values = np.ones(n, "float32")
    values[n // 2] = 0
    indices = reduce(*columns(values, "argKmin"), backend=backend)[0]
    order = np.argsort(values, kind="stable")[:K]
    np.testing.assert_array_equal(indices, np.pad(order, (0, K - order.size), constant_values=-1))


def test_signed_zeros_tie(backend: str) -> None:
    values = np.array([1, 0.0, -0.0, 0.0], "float32")
    assert reduce(*columns(values, "min_argmin"), backend=backend)[1] == 1
    assert reduce(*columns(-values, "max_argmax"), backend=backend)[1] == 1
    indices = reduce(*columns(values, "argKmin"), backend=backend)
    np.testing.assert_array_equal(indices, [[1, 2, 3, 0, -1]])


def test_denormals_are_numbers(backend: str) -> None:
    tiny = np.finfo("float32").smallest_subnormal
    values = tiny * np.array([5, 3, 7, 2, 9, 4], "float32")
    assert reduce(*columns(values, "sum"), backend=backend) == 30 * tiny
    best, index = reduce(*columns(values, "min_argmin"), backend=backend)
    assert (best[0, 0], index[0, 0]) == (2 * tiny, 3)
    np.testing.assert_array_equal(
        reduce(*columns(values, "argKmin"), backend=backend), [[3, 1, 5, 0, 2]]
    )
    assert reduce(*columns(values, "count"), backend=backend) == values.size


@pytest.mark.parametrize("value", [np.finfo("float32").max, np.finfo("float32").smallest_normal])
def test_extreme_numbers(value: float, backend: str) -> None:
    values = np.array([value, -value, value], "float32")
    assert reduce(*columns(values, "sum"), backend=backend) == np.float32(value)
    assert reduce(*columns(values, "min"), backend=backend) == np.float32(-value)
    assert reduce(*columns(values, "max"), backend=backend) == np.float32(value)


BEYOND = 2**24 + 100
"""More columns than float32 can count."""


@pytest.fixture(scope="module")
def many() -> Array:
    values = np.ones(BEYOND, "float32")
    values[[BEYOND - 7, BEYOND - 3]] = 0
    return values


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("min_argmin", (0, BEYOND - 7)),
        ("argKmin", ([BEYOND - 7, BEYOND - 3, 0, 1, 2],)),
        ("count", (BEYOND - 2,)),
        # 2^24 + 98 is even, so float32 has it
        ("sum", (BEYOND - 2,)),
    ],
)
def test_beyond_two_to_the_24(
    name: str, expected: tuple[Any, ...], backend: str, many: Array
) -> None:
    result = reduce(*columns(many, name), backend=backend)
    results = result if isinstance(result, tuple) else (result,)
    for part, value in zip(results, expected, strict=True):
        np.testing.assert_array_equal(part[0], value)


# --- Overflow inside of a row that is finite --------------------------------------------------

Make = Callable[[LazyTensor], Array]


@pytest.mark.parametrize("shift", [-1e4, 0.0, 1e4])
def test_logsumexp_does_not_overflow(shift: float, backend: str) -> None:
    v = (np.linspace(-30, 30, 2 * N, dtype="float32").reshape(2, N) + np.float32(shift)).astype(
        "f4"
    )
    exact, zero = v.astype(np.float64)[..., None], np.zeros((2, N, 1))
    for name in ("logsumexp", *WEIGHTED):
        w = np.broadcast_to(weights("float32").astype(np.float64), exact.shape)
        ((expected, bound),) = EXPECT[name](exact, zero, w, zero, "float32")
        assert_close(reduce(*request(name, v), backend=backend), expected, bound, unclear=0)
