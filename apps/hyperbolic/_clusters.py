"""Samples in a hyperbolic space, their nearest centers, and Lloyd's iteration among them.

Knows no parameters of users. A center moves by a few steps to the Fréchet mean of its samples,
all of which never increase the inertia, rather than all the way: labels change in between.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from georeduce.engine import LazyTensor, Vi, Vj

from .._arrays import put
from ..common import Array, to_host
from ..gmm._seeding import order_of, plus_plus, uniform
from ._frechet import Found, descend, seen_from
from ._model import Features
from ._space import HyperbolicSpace

STEPS = 3
"""Steps of the centers between two assignments."""
TOL = 1e-8
"""When a center is the Fréchet mean of its samples, see `descend`."""


@dataclass(frozen=True)
class Samples:
    """Points of a space in float64, with weights, and what formulas need of them, once.

    Points are NumPy's or CuPy's; weights and centers are NumPy's.

    Attributes
    ----------
    space : HyperbolicSpace
        Where they are.
    points : ndarray of shape (n, D)
        Points.
    weights : ndarray of shape (n,) or None
        None for ones.
    run : dict
        Keywords of reductions.
    """

    space: HyperbolicSpace
    points: Array
    weights: Array | None
    run: dict[str, Any]

    @cached_property
    def features(self) -> Features:
        """Of all points, as arrays."""
        return self.space.features(self.points)

    @cached_property
    def rows(self) -> Features:
        """Features as rows."""
        return tuple(map(Vi, self.features))

    @cached_property
    def columns(self) -> Features:
        """Features as columns."""
        return tuple(map(Vj, self.features))

    @cached_property
    def masses(self) -> Array:
        """Weights (n,), ones if there are none."""
        return np.ones(len(self.points)) if self.weights is None else self.weights

    def nearest(self, centers: Array) -> tuple[Array, Array]:
        """Return the distances (n,) to the nearest of the centers (K, D), and labels (n,).

        Where the samples are.
        """
        columns = self.space.features(Vj(put(centers, self.points)))
        s, labels = self.space._half_sinh(self.rows, columns).min_argmin(axis=1, **self.run)
        distances = 2 * self.space.radius * np.arcsinh(s[:, 0])
        return distances, labels[:, 0].astype(np.int32)

    def squares(self, a: Array, b: Array) -> LazyTensor:
        """Return the squared distances of points as rows and others as columns."""
        rows = self.rows if a is self.points else self.space.features(Vi(a))
        columns = self.columns if b is self.points else self.space.features(Vj(b))
        d: LazyTensor = self.space._distance(rows, columns)
        return d * d

    def seen(self, weights: LazyTensor) -> Callable[[Array], LazyTensor]:
        """Return from centers to the formula of sums over samples under weights (K, n)."""

        def formula(centers: Array) -> LazyTensor:
            rows = self.space.features(Vi(put(centers, self.points)))
            return seen_from(self.space, rows, self.columns, weights)

        return formula

    def members(self, labels: Array, K: int) -> LazyTensor:
        """Return the weights of samples in clusters, as a formula of shape (K, n)."""
        numbers = (np.arange(K), labels, self.masses)
        k, label, mass = (put(a.astype(float)[:, None], self.points) for a in numbers)
        same: Any = Vi(k) == Vj(label)
        found: LazyTensor = same.where(Vj(mass), 0)
        return found


class Clustering(NamedTuple):
    """What a run found.

    Attributes
    ----------
    centers : ndarray of shape (K, D)
        Points.
    labels : ndarray of shape (n,)
        Of the nearest centers, int32.
    inertia : float
        Weighted sum of the squared distances to them.
    n_iter : int
        Iterations that were run.
    """

    centers: Array
    labels: Array
    inertia: float
    n_iter: int


def start(samples: Samples, K: int, method: str, rng: Any, order: Array | None) -> Array:
    """Return samples to start from, by "k-means++" or "random"."""
    x, weights = samples.points, samples.weights
    if method == "random":
        drawn = uniform(x, K, weights, rng)
    else:
        order = order_of(x) if order is None else order
        drawn = plus_plus(x, K, weights, order, rng, samples.run, samples.squares)
    centers: Array = to_host(x[put(drawn, x)])
    return centers


def lloyd(
    samples: Samples,
    centers: Array,
    tol: float,
    max_iter: int,
    tell: Callable[[str], object] | None = None,
) -> Clustering:
    """Run from some centers until labels and centers stay, or centers hardly move.

    Parameters
    ----------
    samples : Samples
        What is clustered.
    centers : ndarray of shape (K, D)
        Where centers start.
    tol : float
        Sum of squared movements of the centers, relative to the mean squared distance of samples to
        their centers, up to which the iteration goes on.
    max_iter : int
        The most iterations.
    tell : callable, optional
        Gets a line for each of them.
    """
    before = None
    for n_iter in range(1, max_iter + 1):
        distances, labels = map(to_host, samples.nearest(centers))
        inertia = _inertia(samples, distances)
        if tell:
            tell(f"iteration {n_iter}: squared distances sum up to {inertia:.6g}")
        found = _moved(samples, centers, distances, labels)
        shift = float((samples.space.distance(centers, found.means) ** 2).sum())
        same = before is not None and np.array_equal(labels, before)
        centers, before = found.means, labels
        if (same and found.converged) or shift <= tol * inertia / samples.masses.sum():
            break
    if shift > 0:
        distances, labels = map(to_host, samples.nearest(centers))
        inertia = _inertia(samples, distances)
    return Clustering(centers, labels, inertia, n_iter)


def _inertia(samples: Samples, distances: Array) -> float:
    """Return the weighted sum of squared distances."""
    # not masses @ squares: the threads of BLAS would go on spinning while the next reduction runs
    return float(np.sum(samples.masses * distances**2))


def _moved(samples: Samples, centers: Array, distances: Array, labels: Array) -> Found:
    """Return centers nearer to the means; the samples farthest from theirs fill empty clusters."""
    K = len(centers)
    empty = np.flatnonzero(np.bincount(labels, samples.masses, K) == 0)
    far = np.where(samples.masses > 0, distances, 0)
    empty = empty[: np.count_nonzero(far)]  # else there are fewer distinct samples than clusters
    if empty.size:
        chosen = np.argpartition(far, -empty.size)[-empty.size :][::-1]
        labels, centers = labels.copy(), centers.copy()
        labels[chosen] = empty
        centers[empty] = to_host(samples.points[put(chosen, samples.points)])
    seen = samples.seen(samples.members(labels, K))
    return descend(samples.space, centers, seen, samples.run, TOL, STEPS)
