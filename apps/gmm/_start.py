"""Where EM starts: labels or random responsibilities of the samples, and the moments under them.

Random numbers are drawn in scikit-learn's order, so that equal seeds give equal starts. Its k-means
knows no GPU, where ours is taken, with seeds of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import cluster

from .._arrays import on_gpu, put
from ..common import Array, to_host
from ._seeding import order_of, plus_plus
from ._steps import Moments, Steps
from .kmeans import KMeans


def _clusters(steps: Steps, rng: Any) -> Array:
    """Return the labels (n,) of a k-means clustering."""
    if on_gpu(steps.X):
        backend, n_jobs = steps.how["backend"] or "auto", steps.how["n_threads"]
        model = KMeans(steps.K, n_init=1, random_state=rng, backend=backend, n_jobs=n_jobs)
    else:
        model = cluster.KMeans(steps.K, n_init=1, random_state=rng)
    found: Array = model.fit(steps.X, sample_weight=steps.weights).labels_
    return found


def _seeds(steps: Steps, rng: Any) -> Array:
    X, K, weights = steps.X, steps.K, steps.weights
    if on_gpu(X):
        return _alone(len(X), plus_plus(X, K, weights, order_of(X), rng, steps.how))
    found = cluster.kmeans_plusplus(X, K, sample_weight=weights, random_state=rng)
    return _alone(len(X), found[1])


def _drawn(steps: Steps, rng: Any) -> Array:
    n, K, weights = len(steps.X), steps.K, steps.weights
    if weights is None:
        return _alone(n, rng.choice(n, size=K, replace=False))
    known = np.flatnonzero(weights)
    replace = len(known) < K
    return _alone(n, known[rng.choice(len(known), size=K, replace=replace)])


def _alone(n: int, indices: Array) -> Array:
    """Return labels for which each component has one sample, and most samples have none (-1)."""
    labels = np.full(n, -1)
    labels[indices] = np.arange(len(indices))
    return labels


LABELS: dict[str, Callable[[Steps, Any], Array]] = {
    "kmeans": _clusters,
    "k-means++": _seeds,
    "random_from_data": _drawn,
}
"""By ``init_params``; "random" has no labels."""
STARTS = (*LABELS, "random")


def initial_moments(steps: Steps, method: str, rng: Any) -> Moments:
    """Return the moments under the first responsibilities of a run."""
    if method == "random":
        return _under_random(steps, rng)
    return under_labels(steps, LABELS[method](steps, rng))


def under_labels(steps: Steps, labels: Array) -> Moments:
    """Return the moments of components that have the samples with their label.

    Second moments are taken about the means in a second pass. For tied types samples without a
    label count too, about the centre.
    """
    K, kind, D = steps.K, steps.kind, steps.X.shape[1]
    masses, means = np.zeros(K), np.zeros((K, D))
    for at, y in steps.chunks(D + K):
        members = _members(steps, at, labels[at])
        masses += to_host(members.sum(axis=0))
        means += to_host(members.T @ y)
    means /= np.maximum(masses, np.finfo(np.float64).tiny)[:, None]
    scatter: Any = 0.0
    for at, y in steps.chunks(D * D + K):
        label = labels[at]
        own = put(means, y)[put(np.maximum(label, 0), y)]
        d = y - own * put(label[:, None] >= 0, y)
        if kind.tied:
            members = steps.weighed(at, put(np.ones((len(y), 1)), y))
        else:
            members = _members(steps, at, label)
        scatter = scatter + to_host(members.T @ kind.outer(d))
    return Moments(masses, means, scatter)


def _under_random(steps: Steps, rng: Any) -> Moments:
    """Return the moments under responsibilities drawn at random: all means are near the centre."""
    K, kind, D = steps.K, steps.kind, steps.X.shape[1]
    masses, first = np.zeros(K), np.zeros((K, D))
    second: Any = 0.0
    for at, y in steps.chunks(D * D + K):
        r = rng.uniform(size=(len(y), K)).astype(steps.X.dtype)
        r /= r.sum(axis=1, keepdims=True)
        r = steps.weighed(at, put(r, y))
        masses += to_host(r.sum(axis=0))
        first += to_host(r.T @ y)
        second = second + to_host(r.T @ kind.outer(y))
    if kind.tied:
        second = np.sum(second, axis=0, keepdims=True)
    return Moments.about(kind, np.zeros((K, D)), masses, first, np.asarray(second))


def _members(steps: Steps, at: slice, labels: Array) -> Any:
    """Return the weights (m, K) of some samples in the components of their labels."""
    return steps.weighed(at, put(labels[:, None] == np.arange(steps.K), steps.X))
