"""Clouds of weighted points, as users give them and as batches of problems want them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.utils import check_array

from georeduce.engine import ShapeError
from georeduce.engine.errors import expected

from ..common import FLOATS, Array, ParameterError, checked_weights

Cloud = tuple[Array, Array]
"""Points (n_points, D), and their weights."""
CLOUD = "clouds as arrays of shape (n_points, n_features), or tuples of such a one and weights"
STEP = 16
"""Clouds are filled up, by points without weight, to a multiple of so many points."""


def size(cloud: Cloud) -> int:
    return -(-len(cloud[0]) // STEP) * STEP


def stacked(clouds: Sequence[Cloud]) -> tuple[Array, Array]:
    """Return points (B, M, D) and weights (B, M) of clouds of about a size."""
    M = max(size(cloud) for cloud in clouds)
    x = np.empty((len(clouds), M, clouds[0][0].shape[1]), clouds[0][0].dtype)
    a = np.zeros((len(clouds), M))
    for k, (points, weights) in enumerate(clouds):
        x[k, : len(points)], a[k, : len(points)] = points, weights
        x[k, len(points) :] = points[0]  # a point for which every cost has a meaning
    return x, a


def is_clouds(X: Any) -> bool:
    """Return whether it is clouds, not a matrix: arrays of points, or pairs with their weights."""
    if isinstance(X, np.ndarray) and X.dtype != object and X.ndim != 3:
        return False
    if isinstance(X, Iterator):
        raise ParameterError(expected("clouds as a list", type(X).__name__, "Pass list(clouds)."))
    if not isinstance(X, list | tuple | np.ndarray):
        return False
    if not len(X):
        raise ParameterError(expected("at least one cloud", "none"))
    if isinstance(X[0], tuple) or _ndim(X[0]) == 2:
        return True
    if np.ndim(X[0]) == 1 and len({np.size(row) for row in X}) > 1:
        cure = "Pass [cloud[:, None] for cloud in clouds] if they hold points of one feature."
        what = "clouds of shape (n_points, n_features), or rows of equal length"
        raise ShapeError(expected(what, "rows of several lengths", cure))
    return False


def _ndim(X: Any) -> int:
    """Return the number of axes of a cloud."""
    try:
        return np.ndim(X)
    except ValueError:  # NumPy's of a list of arrays that do not make one
        raise ParameterError(expected(CLOUD, "a list whose parts are of several shapes")) from None


def _cloud(given: Any, k: int, is_balanced: bool) -> Cloud:
    if isinstance(given, tuple) and len(given) != 2:
        raise ParameterError(expected(CLOUD, f"a tuple of {len(given)} for cloud {k}"))
    points, weights = given if isinstance(given, tuple) else (given, None)
    if np.shape(points)[:1] == (0,):
        raise ParameterError(expected("a point in each cloud", f"none in cloud {k}"))
    points = check_array(points, dtype=FLOATS, order="C", input_name=f"cloud {k}")
    weights = checked_weights(weights, len(points), f"weight in cloud {k}")
    if weights is None:
        return points, np.full(len(points), 1 / len(points))
    return points, weights / weights.sum() if is_balanced else weights


def clouds_of(X: Any, is_balanced: bool) -> list[Cloud]:
    """Return clouds as the user gives them, all in one dtype."""
    found = [_cloud(given, k, is_balanced) for k, given in enumerate(X)]
    dtype = np.result_type(*(points for points, _ in found))
    D = found[0][0].shape[1]
    for k, (points, _) in enumerate(found):
        if points.shape[1] != D:
            what = f"points of {D} features in all clouds, as in the first"
            raise ShapeError(expected(what, f"{points.shape[1]} in cloud {k}"))
    return [(points.astype(dtype, copy=False), weights) for points, weights in found]


def on_the_line(X: Array) -> list[Cloud]:
    weights = np.full(X.shape[1], 1 / X.shape[1])
    return [(row[:, None], weights) for row in X]
