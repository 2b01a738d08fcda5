"""Points whose distances are hard to compute or to compare, and what the K smallest are.

Distances are held to exact ones, as far as roundings of differences let them be known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from helpers import eps

Array = np.ndarray[Any, Any]
Points = tuple[Array, Array]

# --- Data -------------------------------------------------------------------------------------


def far(offset: float) -> Callable[..., Points]:
    def make(rng: np.random.Generator, M: int, N: int, D: int) -> Points:
        return offset + rng.normal(size=(M, D)), offset + rng.normal(size=(N, D))

    return make


def with_outlier(size: float) -> Callable[..., Points]:
    def make(rng: np.random.Generator, M: int, N: int, D: int) -> Points:
        x, y = rng.normal(size=(M, D)), rng.normal(size=(N, D))
        y[N // 2, D // 3] = size
        x[M // 2] = -size
        return x, y

    return make


def scaled(size: float) -> Callable[..., Points]:
    def make(rng: np.random.Generator, M: int, N: int, D: int) -> Points:
        return size * rng.normal(size=(M, D)), size * rng.normal(size=(N, D))

    return make


def integers(low: int, high: int) -> Callable[..., Points]:
    def make(rng: np.random.Generator, M: int, N: int, D: int) -> Points:
        x = np.zeros((M, D))
        y = np.zeros((N, D))
        # few components differ, or no two distances would be equal
        d = min(4, D)
        x[:, :d], y[:, :d] = (rng.integers(low, high, (n, d)) for n in (M, N))
        return x, y

    return make


def tight_clusters(rng: np.random.Generator, M: int, N: int, D: int) -> Points:
    centers = 1e5 * rng.normal(size=(7, D))
    x = centers[rng.integers(0, 7, M)] + 0.1 * rng.normal(size=(M, D))
    return x, centers[rng.integers(0, 7, N)] + 0.1 * rng.normal(size=(N, D))


def duplicates(rng: np.random.Generator, M: int, N: int, D: int) -> Points:
    some = rng.normal(size=(max(1, N // 5), D))
    y = some[rng.integers(0, len(some), N)]
    return y[rng.integers(0, N, M)] if N else rng.normal(size=(M, D)), y


def descending(rng: np.random.Generator, M: int, N: int, D: int) -> Points:
    x = 1e-3 * rng.normal(size=(M, D))
    return x, np.linspace(100, 1, N)[:, None] * np.ones(D)


def not_numbers(rng: np.random.Generator, M: int, N: int, D: int) -> Points:
    x, y = rng.normal(size=(M, D)), rng.normal(size=(N, D))
    for n, bad in enumerate((np.nan, np.inf, -np.inf)):
        x[n::9, n % D] = bad
        y[3 + n :: 11, -1 - n % D] = bad
    return x, y


def bad_sample(rng: np.random.Generator, M: int, N: int, D: int) -> Points:
    """The columns that the center is made of are of no use."""
    x, y = rng.normal(size=(M, D)), rng.normal(size=(N, D))
    step = max(1, N // 32)
    y[::step] = rng.choice([np.nan, np.inf, 3e38, -3e38, 1e25], (len(y[::step]), D))
    return x, y


def half_huge(rng: np.random.Generator, M: int, N: int, D: int) -> Points:
    x, y = rng.normal(size=(M, D)), rng.normal(size=(N, D))
    y[1::2] *= 1e25
    x[1::5] *= 1e25
    return x, y


def one_long_axis(rng: np.random.Generator, M: int, N: int, D: int) -> Points:
    x, y = rng.normal(size=(M, D)), rng.normal(size=(N, D))
    x[:, -1], y[:, -1] = 1e6 * rng.integers(0, 3, M), 1e6 * rng.integers(0, 3, N)
    return x, y


def equal(rng: np.random.Generator, M: int, N: int, D: int) -> Points:
    point = rng.normal(size=D)
    return np.tile(point, (M, 1)), np.tile(point, (N, 1))


EXACT: dict[str, Callable[..., Points]] = {
    # Distances are integers that both dtypes have, so that ties are ties
    "equal": equal,
    "lattice": integers(-3, 4),
    "binary": integers(0, 2),
    "far lattice": integers(10**6, 10**6 + 4),
}
KINDS: dict[str, Callable[..., Points]] = {
    **EXACT,
    "normal": scaled(1),
    "far": far(1e4),
    "very far": far(1e6),
    "tight clusters": tight_clusters,
    "duplicates": duplicates,
    "descending": descending,
    "outlier of 1e18": with_outlier(1e18),
    "outlier of 1e25": with_outlier(1e25),
    "outlier of 3e38": with_outlier(3e38),
    "large": scaled(1e17),
    "small": scaled(1e-18),
    "tiny": scaled(1e-30),
    "denormal": scaled(3e-44),
    "not numbers": not_numbers,
    "bad sample": bad_sample,
    "half huge": half_huge,
    "one long axis": one_long_axis,
}


def points(kind: str, rng: np.random.Generator, M: int, N: int, D: int, dtype: str) -> Points:
    with np.errstate(over="ignore", under="ignore"):
        x, y = (a.astype(dtype) for a in KINDS[kind](rng, M, N, D))
    return x, y


# --- What is right ----------------------------------------------------------------------------


def distances(x: Array, y: Array, norm: str = "L2") -> Array:
    """Return distances in a wider type than that of the points, of shape (M, N).

    "L2" squared Euclidean ones, "L1" sums of absolute differences, "LARGEST" largest ones of
    those that are numbers.
    """
    wide = np.float64 if x.dtype == np.float32 else np.longdouble
    folds = {"L2": np.add, "L1": np.add, "LARGEST": np.fmax}
    initial = -np.inf if norm == "LARGEST" else 0
    rows = []
    with np.errstate(all="ignore"):
        for row in x.astype(wide):
            terms = np.square(row - y) if norm == "L2" else np.abs(row - y)
            rows.append(folds[norm].reduce(terms, axis=-1, initial=initial))
    return np.array(rows, wide).reshape(len(x), len(y))


def rounding(D: int, dtype: Any, norm: str = "L2") -> float:
    """Return how far a distance of D components may be off, relative to it.

    A difference, its square and D - 1 sums are rounded, here and in the wider type.
    """
    roundings = {"L2": D + 3, "L1": D + 2, "LARGEST": 1}[norm]
    return roundings * (eps(dtype) / 2 + eps(np.float64) / 2 * (np.dtype(dtype) == np.float32))


def assert_smallest(
    values: Array, indices: Array, x: Array, y: Array, K: int, norm: str = "L2"
) -> None:
    """Assert that these are the K smallest, as far as roundings of differences let it be known."""
    D, dtype, N = x.shape[-1], x.dtype, len(y)
    info = np.finfo(dtype)
    v = distances(x, y, norm)
    off = rounding(D, dtype, norm)
    least = D * float(info.smallest_subnormal)
    missing = np.full((len(x), max(0, K - N)), np.nan)
    v = np.concatenate([v, missing], 1)
    none = np.isnan(v)
    with np.errstate(over="ignore", invalid="ignore"):
        v = np.where(v > float(info.max), np.inf, v)
    order = np.lexsort(
        (np.arange(v.shape[1])[None].repeat(len(x), 0), np.where(none, np.inf, v), none)
    )
    exact = np.take_along_axis(np.where(none, np.inf, v), order, 1)
    exact_at = np.where(np.take_along_axis(none, order, 1), -1, order)
    with np.errstate(invalid="ignore"):
        bound = np.where(np.isfinite(exact), off * exact + least, 0)
        gap = np.diff(np.concatenate([exact, np.full((len(x), 1), np.inf)], 1), axis=1) > 2 * bound
    tied = ~gap | ~np.concatenate([np.ones((len(x), 1), bool), gap[:, :-1]], 1)
    exact, exact_at, bound, tied = (a[:, :K] for a in (exact, exact_at, bound, tied))
    assert values.dtype == dtype
    assert indices.shape == values.shape == exact.shape
    assert (np.isinf(values) == np.isinf(exact)).all()
    finite = np.isfinite(exact)
    assert (np.abs(values[finite] - exact[finite]) <= bound[finite]).all()
    assert ((indices < 0) == (exact_at < 0)).all()
    assert (indices == exact_at)[~tied & finite].all()
    # among those that cannot be told apart: each stands once, in its place, and in order
    ranked = np.sort(np.where(indices < 0, -1 - np.arange(K), indices), 1)
    assert (np.diff(ranked, axis=1) > 0).all()
    there = np.take_along_axis(np.where(none, np.inf, v), np.maximum(indices, 0), 1)
    there = np.where(indices < 0, np.inf, there)
    assert (np.isinf(there) == np.isinf(values)).all()
    assert (np.abs(values[finite] - there[finite]) <= bound[finite]).all()
    later, same = indices[:, 1:] > indices[:, :-1], values[:, 1:] == values[:, :-1]
    assert (values[:, 1:] >= values[:, :-1]).all()
    assert (later | ~same | (indices[:, 1:] < 0)).all()
