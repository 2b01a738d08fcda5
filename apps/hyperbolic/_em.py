r"""EM for mixtures of Gaussians in hyperbolic space, each of its two steps one reduction.

With the log-densities :math:`l_{ij}` of sample i under component j, the E-step is
:math:`s_i = \log \sum_j \exp l_{ij}`. The M-step is one sum over samples whose formula holds the
responsibilities :math:`\exp(l_{ij} - s_i)`, and gives weights, sigmas, and a step to the Fréchet
means: each of these alone makes the likelihood larger, given the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from georeduce.engine import LazyTensor, Vi, Vj

from .._arrays import put, weighted_mean
from ..common import Array, to_host
from ._clusters import Samples, lloyd, start
from ._frechet import Sums, sums
from ._gaussian import radial, width
from ._model import Features
from ._space import HyperbolicSpace

NEVER = -1e300
"""Instead of the logarithm of a weight of zero: its exponential is 0."""
STARTS = ("kmeans", "k-means++", "random")


class State(NamedTuple):
    """Parameters in float64: weights (K,), means (K, ...) as points, sigmas (K,)."""

    weights: Array
    means: Array
    sigmas: Array


def log_densities(
    space: HyperbolicSpace,
    rows: Features,
    columns: Features,
    state: State,
    components: Callable[[Array], LazyTensor],
) -> LazyTensor:
    """Return the formula of the logarithms of weighted densities.

    `components` makes LazyTensors of arrays of NumPy, one row for each Gaussian: rows or columns.
    """
    R, D = space.radius, state.means.shape[1] - space.more
    log_zeta = radial(state.sigmas / R, D)[0] + D * np.log(R)
    with np.errstate(divide="ignore"):
        constants = np.maximum(np.log(state.weights), NEVER) - log_zeta
    d: LazyTensor = space._distance(rows, columns) * components(
        np.sqrt(0.5) / state.sigmas[:, None]
    )
    return components(constants[:, None]) - d * d


@dataclass(frozen=True)
class EM:
    """EM on some samples.

    It should be the case that the mean log-density never falls from one iteration to the next, but
    for `reg_covar`.

    Attributes
    ----------
    samples : Samples
        What the mixture is fitted to.
    K : int
        Number of Gaussians.
    reg_covar : float
        Added to the variance in each direction.
    tol : float
        The mean log-density grows by at least that much in an iteration, or it is the last one.
    max_iter : int
        The most iterations.
    tell : callable or None
        Gets a line for each of them.
    """

    samples: Samples
    K: int
    reg_covar: float
    tol: float
    max_iter: int
    tell: Callable[[str], object] | None

    def first(self, method: str, rng: Any) -> State:
        """Return the state of the clusters that a run starts from, by a name of `STARTS`."""
        samples, K = self.samples, self.K
        means = start(samples, K, "random" if method == "random" else "k-means++", rng, None)
        if method == "kmeans":
            means = lloyd(samples, means, 1e-4, 50).centers
        labels = to_host(samples.nearest(means)[1])
        found = sums(samples.seen(samples.members(labels, K))(means), samples.run)
        return self._updated(found, State(np.full(K, 1 / K), means, np.ones(K)), 0.0)

    def __call__(self, state: State) -> tuple[State, list[float], bool]:
        """Return the last state, the mean log-densities of all, and whether they converged."""
        samples, space, x = self.samples, self.samples.space, self.samples.points
        some = samples.masses > 0
        log_masses = np.where(some, np.log(np.where(some, samples.masses, 1)), NEVER)[:, None]
        log_masses = put(log_masses, x)
        bounds: list[float] = []
        for _ in range(self.max_iter):
            means = put(state.means, x)
            rows, columns = space.features(Vi(means)), space.features(Vj(means))
            pairs = log_densities(space, samples.rows, columns, state, lambda a: Vj(put(a, x)))
            log_sums = pairs.logsumexp(axis=1, **samples.run)
            bounds.append(weighted_mean(log_sums[:, 0], samples.masses))
            if self.tell:
                self.tell(f"iteration {len(bounds)}: mean log-density {bounds[-1]:.6g}")
            if len(bounds) > 1 and bounds[-1] - bounds[-2] < self.tol:
                return state, bounds, True
            logs = log_densities(space, rows, samples.columns, state, lambda a: Vi(put(a, x)))
            shares = (logs + Vj(log_masses - log_sums)).exp()
            found = sums(samples.seen(shares)(state.means), samples.run)
            state = self._updated(found, state, 1.0)
        return state, bounds, False

    def _updated(self, found: Sums, before: State, length: float) -> State:
        """Return the state after an M-step; a Gaussian without samples stays as it is."""
        space, D = self.samples.space, found.pull.shape[1]
        mass = found.mass[:, 0]
        some = mass > 0
        squares = found.squares[:, 0] / np.where(some, mass, 1)
        squares = squares + D * self.reg_covar / space.radius**2
        # samples at one point, and no reg_covar
        squares = np.maximum(squares, np.finfo(float).eps)
        sigmas = np.where(some, space.radius * width(squares, D), before.sigmas)
        x = space.features(before.means)
        moved = space._close(space._exp(x, space.radius * found.step(length)), np.dtype(float))
        return State(mass / mass.sum(), np.where(some[:, None], moved, before.means), sigmas)
