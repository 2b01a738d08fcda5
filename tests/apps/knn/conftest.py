"""Data, and the comparison of neighbours that tolerates ties exactly as far as rounding may."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn import datasets
from sklearn.preprocessing import StandardScaler

LOADERS = {
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "cancer": datasets.load_breast_cancer,
    "digits": datasets.load_digits,
}


@dataclass(frozen=True)
class Problem:
    """Queries, a database and its labels: every fifth sample is a query, at most 100 of them."""

    name: str
    queries: Any
    database: Any
    labels: Any
    targets: Any


def make_problem(name: str, dtype: Any) -> Problem:
    X, y = LOADERS[name](return_X_y=True)
    if name in ("wine", "cancer"):
        X = StandardScaler().fit_transform(X)
    X = X.astype(dtype)
    held_out = np.arange(len(X)) % 5 == 0
    return Problem(name, X[held_out][:100], X[~held_out], y[~held_out], y[held_out][:100])


@pytest.fixture(scope="session")
def truth() -> Any:
    """The functions of this file, for the tests."""
    return sys.modules[__name__]


@pytest.fixture(params=LOADERS)
def problem(request: pytest.FixtureRequest, dtype: Any) -> Problem:
    return make_problem(request.param, dtype)


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> Any:
    return request.param


# --- Distances in float64, by the definitions -------------------------------------------------


def _rows_of_norm_one(X: Any) -> Any:
    norms = np.linalg.norm(X, axis=1, keepdims=True)
    return X / np.where(norms == 0, 1, norms)


def true_cosine(X: Any, Y: Any) -> Any:
    x0, y0 = (~Z.any(axis=1) for Z in (X, Y))
    half = cdist(_rows_of_norm_one(X), _rows_of_norm_one(Y), "sqeuclidean") / 2
    return np.where(x0[:, None] | y0, 1, half)


def true_poincare(X: Any, Y: Any) -> Any:
    gaps = (1 - (X**2).sum(1))[:, None] * (1 - (Y**2).sum(1))
    # acosh(1 + 2 s) without its cancellation; test_metrics compares it with the definition
    return 2 * np.arcsinh(np.sqrt(cdist(X, Y, "sqeuclidean") / gaps))


TRUE: dict[str, Callable[[Any, Any], Any]] = {
    "euclidean": cdist,
    "sqeuclidean": lambda X, Y: cdist(X, Y, "sqeuclidean"),
    "manhattan": lambda X, Y: cdist(X, Y, "cityblock"),
    "cosine": true_cosine,
    "poincare": true_poincare,
}


def true_distances(metric: str, queries: Any, database: Any) -> Any:
    return TRUE[metric](queries.astype(np.float64), database.astype(np.float64))


def rounding(metric: str, d: Any, queries: Any, database: Any, dtype: Any) -> Any:
    """Return how far a distance may be off, computed by differences in `dtype`.

    A difference is off by a relative eps, its square by 3 eps, a sum of D of these positive terms
    by (D + 2) eps, and one more for the root or the absolute value. The reference, in float64,
    may be off by as much: hence twice that.

    Points are divided by their norms for the cosine distance c, which moves each of the two by
    h = (D / 2 + 4) eps, the relative rounding of a norm and two divisions. The squared distance 2 c
    moves by 2 sqrt(2 c) 2 h + (2 h)^2, and c by half of it.

    For the Poincaré distance 2 asinh(sqrt(s)), where s has a relative error, that of the distance
    is half of it at most. s gets the D + 3 of above, 4 for two quotients and their rounding, and,
    as 1 - |x|^2 is a sum of D + 1 terms below 1, (D + 1) / gap for each point; asinh, 2 more.
    """
    D, eps = queries.shape[1], float(np.finfo(dtype).eps)
    relative = 2 * (D + 3) * eps
    if metric == "cosine":
        h = 2 * (D / 2 + 4) * eps  # both searches
        return relative * d + 2 * np.sqrt(2 * d) * h + 2 * h * h
    if metric == "poincare":
        gap = min(float(1 - (Z.astype(np.float64) ** 2).sum(1).max()) for Z in (queries, database))
        return 2 * (D + 9 + 2 * (D + 1) / gap) * eps * d
    return relative * d


def their_rounding(metric: str, queries: Any, database: Any, d: Any) -> Any:
    """Return how far scikit-learn's distances may be off, which it computes in float64.

    Its Euclidean form |x|^2 + |y|^2 - 2 x.y loses (D + 3) eps (|x| + |y|)^2 of the squared
    distance, and of a distance the root of that or its share; 1 - x.y loses (D + 3) eps for the
    cosine, whose dtype is the data's. Sums of absolute differences are as ours.
    """
    D = queries.shape[1]
    eps = float(np.finfo(queries.dtype if metric == "cosine" else np.float64).eps)
    reach = sum(float(np.linalg.norm(Z, axis=1).max()) for Z in (queries, database)) ** 2
    if metric in ("sqeuclidean", "euclidean"):
        lost = (D + 3) * eps * reach
        if metric == "sqeuclidean":
            return np.full_like(d, lost)
        return np.minimum(np.sqrt(lost), lost / np.maximum(d, np.sqrt(lost)))
    return np.full_like(d, 2 * (D + 3) * eps) if metric == "cosine" else 2 * (D + 3) * eps * d


def check_neighbors(
    metric: str, queries: Any, database: Any, distances: Any, indices: Any, off: Any = None
) -> None:
    """Check neighbours against all true distances.

    If each distance is off by at most t, the n-th neighbour found is truly within 2 t of the truly
    n-th distance, and its own distance within t of the truth: no more and no less is asked.
    `off` is t, for all pairs; by default that of our arithmetic.
    """
    true = true_distances(metric, queries, database)
    t = rounding(metric, true, queries, database, distances.dtype) if off is None else off
    k = indices.shape[1]
    assert distances.shape == indices.shape == (len(queries), k)
    assert indices.min() >= 0
    assert indices.max() < len(database)
    assert (np.diff(np.sort(indices, axis=1), axis=1) > 0).all()  # distinct
    assert (np.diff(distances, axis=1) >= 0).all()
    found, off_found = (np.take_along_axis(a, indices, 1) for a in (true, t))
    assert (np.abs(distances - found) <= off_found).all()
    best = np.argsort(true, axis=1, kind="stable")[:, :k]
    nearest, off_nearest = (np.take_along_axis(a, best, 1) for a in (true, t))
    assert (np.abs(found - nearest) <= off_found + off_nearest).all()


def clear_positions(true: Any, t: Any, k: int) -> Any:
    """Return which of the k first positions of each row belong to one sample beyond rounding."""
    order = np.argsort(true, axis=1, kind="stable")[:, : k + 1]
    d, off = np.take_along_axis(true, order, 1), np.take_along_axis(t, order, 1)
    gap = np.diff(d, axis=1) > 2 * (off[:, 1:] + off[:, :-1])
    after = gap if gap.shape[1] == k else np.pad(gap, [(0, 0), (0, 1)], constant_values=True)
    before = np.pad(after[:, :-1], [(0, 0), (1, 0)], constant_values=True)
    return after & before
