"""Samples as k-means sees them: less their mean, or on the sphere; their moments.

Knows no cluster.
"""

from __future__ import annotations

import numpy as np

from georeduce.engine.errors import expected

from ..common import Array, ParameterError
from ..knn.metrics import METRICS

on_sphere = METRICS["cosine"].prepare
"""From points to points of norm 1, and a column that is 1 for those at the origin, else 0."""


def weighted_on_sphere(X: Array, weights: Array | None) -> tuple[Array, Array | None, float]:
    """Return samples of norm 1, weights that are 0 at the origin, and the inertia of those there.

    These have no direction, so that they belong to no cluster more than to another.
    """
    points, at_origin = on_sphere(X)
    alone = at_origin[:, 0] > 0
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
    """Return the mean (D,) in float64."""
    if weights is None:
        mean: Array = points.mean(axis=0, dtype=np.float64)
        return mean
    sums: Array = np.einsum("nd,n->d", points, weights, dtype=np.float64)
    return sums / float(weights.sum())


def variance_of(points: Array, weights: Array | None) -> float:
    """Return the mean variance of the features, of points whose mean is not far from the origin."""
    squares = np.einsum("nd,nd->n", points, points)
    mean = mean_of(points, weights)
    total = float(np.average(squares, weights=weights)) - float(mean @ mean)
    return total / int(points.shape[1])
