"""Samples as k-means sees them: less their mean, or on the sphere; their moments.

Knows no cluster.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.utils import check_array

from georeduce.engine import Vi, Vj
from georeduce.engine.errors import expected

from .._arrays import on_gpu, put, weighted_mean
from ..common import Array, ParameterError, to_host
from ..knn.metrics import METRICS

AT_ONCE = 1 << 24
"""Coordinates of pairs that are on a GPU at once where all distances are asked for."""

on_sphere = METRICS["cosine"].prepare
"""From points to points of norm 1, and a column that is 1 for those at the origin, else 0."""


def weighted_on_sphere(X: Array, weights: Array | None) -> tuple[Array, Array | None, float]:
    """Return samples of norm 1, weights that are 0 at the origin, and the inertia of those there.

    These have no direction, so that they belong to no cluster more than to another.
    """
    points, at_origin = on_sphere(X)
    alone = to_host(at_origin)[:, 0] > 0
    if not alone.any():
        return points, weights, 0.0
    if weights is None:
        weights = np.ones(len(X))
    kept = np.where(alone, 0, weights)
    if not kept.any():
        what = "a sample of positive weight other than the origin for metric='cosine'"
        raise ParameterError(expected(what, "none"))
    return points, kept, float(weights[alone].sum())


def mean_of(points: Array, weights: Array | None) -> Array:
    """Return the mean (D,) in float64, of NumPy, of points that may be elsewhere."""
    mean: Array
    if weights is None:
        mean = to_host(points.mean(axis=0, dtype=np.float64))
        return mean
    sums: Array = np.einsum("nd,n->d", points, put(weights, points), dtype=np.float64)
    mean = to_host(sums) / float(weights.sum())
    return mean


def variance_of(points: Array, weights: Array | None) -> float:
    """Return the mean variance of the features, of points whose mean is not far from the origin."""
    squares = np.einsum("nd,nd->n", points, points)
    mean = mean_of(points, weights)
    total = weighted_mean(squares, weights) - float(mean @ mean)
    return total / int(points.shape[1])


def distances_to(metric: Literal["euclidean", "sqeuclidean"], points: Any, centers: Array) -> Any:
    """Return the distances (n, K) of points, which may be on a GPU, to a few centers."""
    if not on_gpu(points):
        return cdist(points, centers, metric)
    n, K = len(points), len(centers)
    result = put(np.empty((n, K), points.dtype), points)
    columns = Vj(put(centers.astype(points.dtype), points))
    size = max(1, AT_ONCE // (K * points.shape[1]))
    for start in range(0, n, size):
        rows = Vi(points[start : start + size])
        result[start : start + size] = METRICS[metric].formula(rows, columns).dense()
    return result


def given_centers(centers: Any, shape: tuple[int, int], dtype: Any, metric: str) -> Array:
    """Return initial centers of a user, of any library, with norm 1 if they are on a sphere."""
    checked: Array = check_array(to_host(centers), dtype=dtype, order="C", input_name="init")
    if checked.shape != shape:
        what = f"initial centers of shape (n_clusters, n_features) = {shape}"
        raise ParameterError(expected(what, f"shape {checked.shape}"))
    if metric == "cosine":
        checked, at_origin = on_sphere(checked)
        if at_origin.any():
            row = int(at_origin.argmax())
            what = "initial centers other than the origin for metric='cosine'"
            raise ParameterError(expected(what, f"zeros in center {row}"))
    return checked
