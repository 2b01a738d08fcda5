r"""The two steps of EM on one data set, each one reduction of formulas that are built once.

With :math:`l_{ij} = c_j - |U_j^T (y_i - m_j)|^2 / 2` for sample i and component j, the E-step is
:math:`s_i = \log \sum_j \exp l_{ij}`. The M-step sums :math:`r_{ij} (1, y_i, y_i y_i^T)` over
samples, and its formula holds the responsibilities :math:`r_{ij} = \exp(l_{ij} - s_i)`. No array of
samples times components exists.

Samples are taken relative to a centre, so that data far from the origin keeps its spread. Second
moments about that centre cancel where a component is much tighter than its distance from it; then
they are taken about the component's own mean, which costs one difference for each product.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from georeduce.engine import Pm, Vi, Vj

from .._arrays import fill, put, weighted_mean
from .._methods import CHUNK
from ..common import Array, to_host
from ._covariances import Covariance

NEVER = -1e30
"""Instead of the logarithm of a weight of zero: finite in float32, and its exponential is 0."""
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Moments:
    """What the M-step needs of the samples, in float64.

    Attributes
    ----------
    masses : ndarray of shape (K,)
        Sums of the responsibilities.
    means : ndarray of shape (K, D)
        Means under the responsibilities, relative to the centre.
    scatter : ndarray of shape (K, P)
        Sums of the second moments about these means; (1, P), for all components, if tied.
    entropy : float
        Minus the sum of r log r; 0 if it was not asked for.
    """

    masses: Array
    means: Array
    scatter: Array
    entropy: float = 0.0

    @staticmethod
    def about(
        kind: Covariance,
        origin: Array,
        masses: Array,
        first: Array,
        second: Array,
        entropy: float = 0.0,
    ) -> Moments:
        """Return them from the sums of 1, y - origin and its second moments.

        A row of `second` belongs to each component, or one to all of them.
        """
        shift = first / (masses + 10 * EPS)[:, None]
        within = masses[:, None] * kind.outer(shift)
        if len(second) < len(masses):
            within = within.sum(axis=0, keepdims=True)
        return Moments(masses, origin + shift, second - within, entropy)

    def scaled(self, factor: float) -> Moments:
        """Return the moments of samples that count `factor` times as much."""
        return replace(self, masses=self.masses * factor, scatter=self.scatter * factor)

    def blended(self, other: Moments, share: float, kind: Covariance) -> Moments:
        """Return the moments of both samples together, of which the other ones are a share."""
        a, b = self.scaled(1 - share), other.scaled(share)
        masses = a.masses + b.masses
        part = (b.masses / np.maximum(masses, EPS * EPS))[:, None]
        shift = other.means - self.means
        between = a.masses[:, None] * part * kind.outer(shift)
        if len(self.scatter) < len(masses):
            between = between.sum(axis=0, keepdims=True)
        return Moments(masses, self.means + part * shift, a.scatter + b.scatter + between)


class Steps:
    """The steps on samples X (n, D), in their dtype and where they are.

    Parameters and moments are of NumPy; what has a number for each sample is where the samples are.

    Parameters
    ----------
    X : array of shape (n, D)
        Samples, of NumPy or CuPy.
    centre : ndarray of shape (D,)
        What samples are relative to, in the dtype of X.
    kind : Covariance
        The covariance type.
    K : int
        Number of components.
    how : dict
        Keywords of the reductions.
    weights : ndarray of shape (n,), optional
        Weights of the samples.
    entropy : bool
        Whether the M-step finds the entropy of the responsibilities.
    """

    def __init__(
        self,
        X: Array,
        centre: Array,
        kind: Covariance,
        K: int,
        how: dict[str, Any],
        weights: Array | None = None,
        entropy: bool = False,
    ) -> None:
        n, D = X.shape
        self.X, self.centre, self.kind, self.K, self.how = X, centre, kind, K, how
        self.weights, self.entropy = weights, entropy
        self.dtype = centre.dtype
        self.eps = float(np.finfo(self.dtype).eps)
        self.total = float(n if weights is None else weights.sum(dtype=np.float64))
        width = kind.coefficients(np.ones(kind.shape(K, D))).shape[1]
        self.coefficients = self.zeros(1 if kind.tied else K, width)
        self.projected = self.zeros(K, D)
        self.means = self.zeros(K, D)
        self.constants = self.zeros(K, 1)
        self.log_sums = self.zeros(n, 1)
        self.near = True

    def zeros(self, *shape: int) -> Any:
        """Return zeros where the samples are."""
        return put(np.zeros(shape, self.dtype), self.X)

    def load(self, means: Array, U: Array, constants: Array) -> None:
        """Take the parameters of all components: means relative to the centre, U and c."""
        half = np.sqrt(0.5)
        projected = self.kind.project(means, U) * half
        fill(self.coefficients, self.kind.coefficients(U) * half)
        fill(self.projected, projected)
        fill(self.means, means)
        fill(self.constants, constants[:, None])
        # second moments about the centre lose a factor of |U^T m|^2 beside the covariance
        squares = np.square(projected).sum(axis=1)
        self.near = bool(2 * squares.max() <= 0.1 / np.sqrt(self.eps))

    @cached_property
    def origin(self) -> Any:
        """The centre as a parameter of formulas."""
        return Pm(put(self.centre, self.X))

    def log_density(self, samples: Any, components: Any) -> Any:
        """Return the formula of l, with points as rows or columns by Vi or Vj."""
        u = Pm(self.coefficients[0]) if self.kind.tied else components(self.coefficients)
        y = samples(self.X) - self.origin
        c, b = components(self.constants), components(self.projected)
        return c - self.kind.half_square(y, u, b)

    @cached_property
    def pairs(self) -> Any:
        """The formula of l with samples as rows."""
        return self.log_density(Vi, Vj)

    @cached_property
    def _near(self) -> Any:
        return self._moments(Vj(self.X) - self.origin, not self.kind.tied)

    @cached_property
    def _far(self) -> Any:
        return self._moments(Vj(self.X) - self.origin - Vi(self.means), True)

    def _moments(self, d: Any, second: bool) -> Any:
        relative = self.log_density(Vj, Vi) - Vj(self.log_sums)
        r = relative.exp()
        parts = [r, r * d]
        if second:
            parts += self.kind.terms(r, d)
        if self.entropy:
            parts.append(r * relative)
        values = parts[0]
        for part in parts[1:]:
            values = values.concat(part)
        return values

    @cached_property
    def scatter(self) -> Array:
        """Second moments of all samples about the centre, (1, P)."""
        total: Any = 0
        for at, y in self.chunks(self.X.shape[1] ** 2):
            ones = put(np.ones((len(y), 1)), y)
            total = total + to_host(self.weighed(at, ones).T @ self.kind.outer(y))
        return np.atleast_2d(total)

    def spread(self) -> tuple[Array, Array]:
        """Return the mean of all samples, (D,), and the second moments about it, (1, P)."""
        mean = np.zeros(self.X.shape[1])
        for at, y in self.chunks(self.X.shape[1]):
            mean += to_host(self.weighed(at, y).sum(axis=0))
        mean /= self.total
        return mean, self.scatter - self.total * self.kind.outer(mean[None])

    @cached_property
    def variance(self) -> float:
        """Mean variance of the features, infinite if it overflows."""
        with np.errstate(over="ignore", invalid="ignore"):
            return float(np.mean([float(x.var(dtype=np.float64)) for x in self.X.T]))

    def chunks(self, width: int) -> Iterator[tuple[slice, Array]]:
        """Yield slices of samples and these in float64, relative to the centre.

        `width` is how many numbers are made of each of them.
        """
        n, centre = len(self.X), put(self.centre, self.X)
        size = max(1, CHUNK // max(width, 1))
        for start in range(0, n, size):
            at = slice(start, min(n, start + size))
            yield at, self.X[at].astype(np.float64) - centre

    def weighed(self, at: slice, values: Any) -> Any:
        """Return values (m, P) of some of the samples in float64, times the weights of these."""
        values = values.astype(np.float64, copy=False)
        if self.weights is None:
            return values
        return values * put(self.weights[at, None].astype(np.float64), values)

    def expectation(self) -> Array:
        """Do the E-step: return s, the logarithms of the samples' densities, of shape (n,)."""
        sums: Array = self.pairs.logsumexp(axis=1, **self.how)
        # where the densities of all components vanish, responsibilities do, too
        lowest = np.finfo(self.dtype).min / 4
        np.maximum(sums, lowest, out=sums)
        self.log_sums[...] = sums
        return sums[:, 0]

    def mean(self, values: Array) -> float:
        """Return the mean of values of the samples under their weights."""
        return weighted_mean(values, self.weights)

    def maximization(self) -> Moments:
        """Do the M-step's sums, under the responsibilities of the last E-step."""
        if self.weights is not None:
            self.log_sums[:, 0] -= self._log_weights
        formula = self._near if self.near else self._far
        sums = to_host(formula.sum(axis=1, **self.how)).astype(np.float64)
        D = self.X.shape[1]
        masses, first, rest = sums[:, 0], sums[:, 1 : D + 1], sums[:, D + 1 :]
        entropy = 0.0
        if self.entropy:
            entropy = self._entropy(float(rest[:, -1].sum()))
            rest = rest[:, :-1]
        if self.near:
            second = self.scatter if self.kind.tied else rest
            return Moments.about(self.kind, np.zeros_like(first), masses, first, second, entropy)
        means = to_host(self.means).astype(np.float64)
        return Moments.about(self.kind, means, masses, first, rest, entropy)

    @cached_property
    def _log_weights(self) -> Any:
        assert self.weights is not None
        safe = np.where(self.weights > 0, self.weights, 1)
        logs = np.where(self.weights > 0, np.log(safe), NEVER).astype(self.dtype)
        return put(logs, self.X)

    def _entropy(self, summed: float) -> float:
        """Return minus the sum of w r log r, of the sum of w r log(w r)."""
        if self.weights is None:
            return -summed
        w = self.weights.astype(np.float64)
        return float(np.where(w > 0, w * np.log(np.where(w > 0, w, 1)), 0).sum()) - summed


def centre_of(X: Array) -> Array:
    """Return about the mean of samples, an array of NumPy in their dtype."""
    mean: Array = to_host(X.mean(axis=0, dtype=np.float64)).astype(X.dtype)
    return mean
