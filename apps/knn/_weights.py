"""Weights of neighbours, and the votes and means that they give. Knows no metric and no search."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from georeduce.engine.errors import expected

from ..common import CALLABLE, NONE, Array, ParameterError, one_of, to_host

WEIGHTS = one_of("uniform", "distance") | CALLABLE | NONE


def neighbor_weights(weights: Any, distances: Array) -> Array:
    """Return the weights (M, k) of neighbours in float64, as scikit-learn defines them.

    Parameters
    ----------
    weights : "distance" or callable
        Parameter of the estimator; uniform weights have no array.
    distances : array of shape (M, k)
        Ascending.
    """
    if callable(weights):
        return _asked(weights, distances)
    with np.errstate(divide="ignore"):
        found = 1 / distances.astype(np.float64)
    # A neighbour at distance zero (or so close that the inverse overflows) counts alone.
    zero = np.isinf(found)
    rows = zero.any(axis=1)
    found[rows] = zero[rows]
    return found


def neighbors_and_weights(estimator: Any, X: Any) -> tuple[Array, Array | None]:
    """Return the indices (M, k) of neighbours, and their weights, None if these are uniform.

    Both are of NumPy, as the targets are, and votes.
    """
    WEIGHTS.check("weights", estimator.weights)  # set_params may have changed it since fit
    if estimator.weights is None or estimator.weights == "uniform":
        return to_host(estimator.kneighbors(X, return_distance=False)), None
    distances, indices = map(to_host, estimator.kneighbors(X))
    return indices, neighbor_weights(estimator.weights, distances)


def _asked(weights: Callable[[Array], Any], distances: Array) -> Array:
    found = np.asarray(weights(distances))
    what = f"weights to return an array of numbers of shape {distances.shape}"
    if found.shape != distances.shape:
        raise ParameterError(expected(what, f"shape {found.shape}"))
    if found.dtype.kind not in "fiub":
        raise ParameterError(expected(what, f"dtype {found.dtype}"))
    if np.isnan(found).any():
        raise ParameterError(expected(what, "NaN"))
    return found.astype(np.float64, copy=False)


def check_votes(weights: Array) -> None:
    """Raise if all neighbours of a sample have weight zero, so that nobody votes."""
    nobody = np.flatnonzero((weights == 0).all(axis=1))
    if nobody.size:
        what = "a neighbor of every sample to have a weight other than zero"
        got = f"zero weights only for sample {nobody[0]}"
        raise ParameterError(expected(what, got, "Change the function given as weights."))


def vote(labels: Array, weights: Array | None, n_classes: int) -> Array:
    """Return the winner of each row; ties go to the lowest label.

    Sums are taken over all k neighbours, with zeros for those of other labels, which is the order
    of addition of scikit-learn's ``weighted_mode``: the same ties come out as ties. Memory is
    O(M k) whatever the number of classes.

    Parameters
    ----------
    labels : array of shape (M, k)
        Codes of classes, from 0.
    weights : array of shape (M, k), or None
        None for ones.
    n_classes : int
        Number of classes.
    """
    ballot: Array = np.ones(labels.shape) if weights is None else weights
    best = np.zeros(len(labels))
    winner = np.zeros(len(labels), np.intp)
    candidates: Iterable[Any] = range(n_classes) if n_classes <= labels.shape[1] else labels.T
    for candidate in candidates:
        code = np.broadcast_to(candidate, len(labels))
        total = np.where(labels == code[:, None], ballot, 0.0).sum(axis=1)
        wins = (total > best) | ((total == best) & (code < winner) & (best > 0))
        best[wins], winner[wins] = total[wins], code[wins]
    return winner


def shares(labels: Array, weights: Array | None, n_classes: int) -> Array:
    """Return the share (M, n_classes) of the weight that each class has among the neighbours."""
    found = np.zeros((len(labels), n_classes))
    rows = np.arange(len(labels))
    for n, codes in enumerate(labels.T):
        found[rows, codes] += 1 if weights is None else weights[:, n]
    found /= found.sum(axis=1, keepdims=True)
    return found


def mean(targets: Array, weights: Array | None) -> Array:
    """Return the weighted mean (M, n_outputs) of the targets (M, k, n_outputs) of neighbours."""
    if weights is None:
        return np.asarray(targets.mean(axis=1))
    total = weights.sum(axis=1)
    columns = [(targets[..., n] * weights).sum(axis=1) / total for n in range(targets.shape[2])]
    return np.stack(columns, axis=1)
