"""Where k-means starts: samples drawn as k-means++ does, or uniformly.

Knows no iteration.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from georeduce.engine import LazyTensor, Vi, Vj
from georeduce.engine.errors import expected, warn

from .._arrays import put
from ..common import Array, ParameterError, is_array_like, to_host

HASHED = 2**16
"""Rows that are hashed at a time, so that memory does not grow with their number."""
FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, with irregular bits: 2^64 over the golden ratio


def number_of_runs(n_init: Any, init: Any) -> int:
    """Return how many runs there are, for parameters of users."""
    if is_array_like(init):
        if n_init not in ("auto", 1):
            text = "Explicit initial centers were passed: there is one run, not n_init="
            warn(f"{text}{n_init}.", RuntimeWarning)
        return 1
    if n_init == "auto":
        return 1 if isinstance(init, str) and init == "k-means++" else 10
    return int(n_init)


def order_of(X: Array) -> Array:
    """Return an order of samples (n,) that depends on the samples only, not on where they stand.

    Equal samples are neighbours in it. What is drawn along it is therefore the same for a sample of
    weight 2 and for two equal samples, and for samples in any order.
    """
    keys = put(np.empty(len(X), np.uint64), X)
    factors = put(np.cumprod(np.full(X.shape[1], FACTOR)), X)
    unsigned = np.dtype(f"u{X.itemsize}")
    for start in range(0, len(X), HASHED):
        part = X[start : start + HASHED] + X.dtype.type(0)  # -0 becomes 0
        bits = part.view(unsigned).astype(np.uint64) * FACTOR
        bits ^= bits >> np.uint64(32)
        keys[start : start + HASHED] = (bits * FACTOR * factors).sum(axis=1)
    return np.argsort(keys, kind="stable")


def _euclidean(rows: Array, columns: Array) -> LazyTensor:
    found: LazyTensor = Vi(rows).sqdist(Vj(columns))
    return found


def plus_plus(
    X: Array,
    n_clusters: int,
    weights: Array | None,
    order: Array,
    random_state: np.random.RandomState,
    run: dict[str, Any],
    squares: Callable[[Array, Array], LazyTensor] = _euclidean,
) -> Array:
    """Draw seeds by greedy k-means++ (Arthur and Vassilvitskii, SODA 2007).

    The next seed is drawn with a probability proportional to the weight times the squared distance
    to the nearest seed so far. Of a few such candidates the one is kept that leaves least of the
    sum of these.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        Samples.
    n_clusters : int
        How many seeds.
    weights : array of shape (n_samples,) or None
        Of samples.
    order : array of shape (n_samples,)
        In which samples are drawn.
    random_state : RandomState
        What draws.
    run : dict
        Keywords of reductions.
    squares : callable
        The squared distances of samples as rows and others as columns.

    Returns
    -------
    array of shape (n_clusters,)
        Indices of samples.
    """
    mass: Any = put(np.ones(len(X)) if weights is None else weights, X)
    trials = 2 + int(math.log(n_clusters))
    seeds = _draw(mass, order, random_state.uniform(size=1))
    closest = squares(X, X[put(seeds, X)]).min(axis=1, **run)[:, 0]
    mass_j = Vj(mass[:, None].astype(X.dtype))
    for _ in range(1, n_clusters):
        shares = mass * closest
        candidates = _draw(shares, order, random_state.uniform(size=trials))
        left = squares(X[put(candidates, X)], X).minimum(Vj(closest[:, None])) * mass_j
        seed = int(candidates[int(left.sum(axis=1, **run)[:, 0].argmin())])
        seeds = np.append(seeds, seed)
        nearer = squares(X, X[seed : seed + 1]).min(axis=1, **run)
        closest = np.minimum(closest, nearer[:, 0])
    return seeds


def _draw(shares: Array, order: Array, uniform: Array) -> Array:
    """Return samples drawn in proportion to their shares, for uniform numbers below 1."""
    upto = np.cumsum(shares[order])
    last = np.searchsorted(upto, upto[-1:])  # what stands behind it has no share
    found = np.searchsorted(upto, put(uniform, upto) * upto[-1:], side="right")
    drawn: Array = to_host(order[np.minimum(found, last)])
    return drawn


def uniform(
    X: Array, n_clusters: int, weights: Array | None, random_state: np.random.RandomState
) -> Array:
    """Draw the indices (n_clusters,) of distinct samples, in proportion to their weights."""
    n = len(X)
    drawn: Array
    if weights is None:
        drawn = random_state.choice(n, n_clusters, replace=False)
        return drawn
    some = int(np.count_nonzero(weights))
    if some < n_clusters:
        what = f"at least {n_clusters} samples of positive weight, of which 'random' draws as many"
        raise ParameterError(expected(what, f"{some}", "Pass 'k-means++' instead."))
    share = weights / weights.sum()
    drawn = random_state.choice(n, n_clusters, replace=False, p=share)
    return drawn
