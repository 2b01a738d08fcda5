"""Lloyd's iteration: samples go to the nearest center, centers to the mean of their samples.

Knows no parameters of users; where it starts is told.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from georeduce.engine import Vi, Vj

from .._arrays import on_gpu, put
from ..common import Array, to_host

PART = 2**16
"""Samples that are summed in their dtype, before sums are added in float64."""


class Clustering(NamedTuple):
    """What a run found.

    Attributes
    ----------
    centers : ndarray of shape (n_clusters, n_features)
        In the geometry's coordinates.
    labels : array of shape (n_samples,)
        Of the nearest centers, int32, where the samples are.
    inertia : float
        Weighted sum of the squared distances to them.
    n_iter : int
        Iterations that were run.
    """

    centers: Array
    labels: Array
    inertia: float
    n_iter: int


def nearest(X: Array, centers: Array, run: dict[str, Any]) -> tuple[Array, Array]:
    """Return squared distances (n,) to the nearest of the centers (K, D), and labels (n,)."""
    values, labels = Vi(X).sqdist(Vj(put(centers, X))).min_argmin(axis=1, **run)
    return values[:, 0], labels[:, 0].astype(np.int32)


def to_mean(sums: Array, sizes: Array) -> Array:
    """Return the means of clusters: the centers for Euclidean distances."""
    means: Array = sums / sizes[:, None]
    return means


def to_sphere(sums: Array, sizes: Array) -> Array:
    """Return the directions of sums: the centers for cosine distances."""
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    directions: Array = sums / np.where(norms > 0, norms, 1)
    return directions


@dataclass(frozen=True)
class Lloyd:
    """The iteration on some samples.

    It should be the case that a step never increases the inertia but where it fills empty clusters,
    and that what is found does not depend on the number of threads.

    Attributes
    ----------
    X : array of shape (n_samples, n_features)
        Samples, of NumPy or CuPy.
    weights : array of shape (n_samples,) or None
        Of samples, where these are; None if all of them are 1.
    center : callable
        From the weighted sums and the weights of clusters to centers.
    tol : float
        Squared length by which centers may move in the last step.
    max_iter : int
        The most steps.
    run : dict
        Keywords of reductions.
    pool : Executor or None
        Of threads that sum clusters.
    tell : callable or None
        Takes lines that say how far it is.
    """

    X: Array
    weights: Array | None
    center: Callable[[Array, Array], Array]
    tol: float
    max_iter: int
    run: dict[str, Any]
    pool: Executor | None
    tell: Callable[[str], object] | None

    def __call__(self, centers: Array) -> Clustering:
        """Run from some centers until labels stay, centers hardly move, or for `max_iter` steps."""
        before = None
        for n_iter in range(1, self.max_iter + 1):
            distances, labels = nearest(self.X, centers, self.run)
            moved = self.step(centers, distances, labels)
            shift = float(np.square(moved - centers, dtype=np.float64).sum())
            if self.tell:
                total = self.inertia(distances)
                self.tell(f"iteration {n_iter}: squared distances sum up to {total:.6g}")
            same = before is not None and bool((labels == before).all())
            still = shift == 0
            centers, before = moved, labels
            if same or shift <= self.tol:
                if self.tell:
                    why = "labels stay" if same else f"centers moved by {shift:.3g}, squared"
                    self.tell(f"converged after {n_iter} iterations: {why}")
                break
        if not still:
            distances, labels = nearest(self.X, centers, self.run)
        return Clustering(centers, labels, self.inertia(distances), n_iter)

    def inertia(self, distances: Array) -> float:
        """Return the weighted sum of distances."""
        if self.weights is None:
            return float(distances.sum(dtype=np.float64))
        return float((distances * self.weights).sum())

    def step(self, centers: Array, distances: Array, labels: Array) -> Array:
        """Return the new centers, where the samples farthest from theirs fill empty clusters."""
        K = len(centers)
        sums, sizes = self.sums(labels, K)
        empty = np.flatnonzero(sizes == 0)
        if empty.size:
            far = distances if self.weights is None else np.where(self.weights, distances, 0)
            far = to_host(far)
            if far.any():  # else there are fewer distinct samples than clusters
                labels = labels.copy()
                farthest = np.argpartition(far, -empty.size)[-empty.size :][::-1]
                labels[put(farthest, labels)] = put(empty.astype(labels.dtype), labels)
                sums, sizes = self.sums(labels, K)
        largest = sizes.argmax()
        sums[sizes == 0], sizes[sizes == 0] = sums[largest], sizes[largest]
        moved: Array = self.center(sums, sizes).astype(self.X.dtype)
        if self.center is to_sphere:  # a sum of 0 has no direction: such a center stays
            moved = np.where(sums.any(axis=1, keepdims=True), moved, centers)
        return moved

    def sums(self, labels: Array, K: int) -> tuple[Array, Array]:
        """Return the weighted sums of the samples of each cluster, (K, D), and the weights, (K,).

        In float64, as products with a sparse matrix that has a row for each cluster, part by part:
        the parts do not depend on the threads that do them. On a GPU, which has no order for
        additions to a few places, sums are a reduction of all pairs.
        """
        if on_gpu(self.X):
            number = put(np.arange(K, dtype=self.X.dtype)[:, None], self.X)
            own = Vi(number) == Vj(labels[:, None].astype(self.X.dtype))
            values = Vj(self.X)
            if self.weights is not None:
                values = values * Vj(self.weights[:, None].astype(self.X.dtype))
            sums = to_host(own.where(values, 0.0).sum(axis=1, **self.run))
            return np.asarray(sums, np.float64), to_host(np.bincount(labels, self.weights, K))

        def part(start: int) -> tuple[Array, Array]:
            X = self.X[start : start + PART]
            n = len(X)
            weights = self._ones[:n] if self.weights is None else self.weights[start : start + n]
            entries = (
                weights.astype(X.dtype, copy=False),
                labels[start : start + n],
                _STEPS[: n + 1],
            )
            matrix = sparse.csc_array(entries, shape=(K, n))
            return matrix @ X, matrix @ self._ones[:n]

        sums, sizes = np.zeros((K, self.X.shape[1])), np.zeros(K)
        for more, count in (self.pool.map if self.pool else map)(part, range(0, len(self.X), PART)):
            sums += more
            sizes += count
        return sums, sizes

    @cached_property
    def _ones(self) -> Array:
        return np.ones(PART, self.X.dtype)


_STEPS = np.arange(PART + 1, dtype=np.int32)
