r"""Fréchet means: the points m of least :math:`\sum_j w_j d(m, y_j)^2`, by sums of the engine.

As a function of the product :math:`t = -\langle m, y \rangle` on the hyperboloid, :math:`d^2` is
concave, so that its tangents bound it from above. The least sum of these is reached by going along

.. math::
    G = \sum_j w_j \log_m y_j, \qquad \tanh \frac{\theta}{R} = \frac{|G| / R}
        {\sum_j w_j \, (d_j / R) \coth(d_j / R)}

for the distance :math:`\theta`, which needs no step length, never increases the sum, and comes to
the mean from anywhere, as the sum is convex. (The steps of Lou et al., ICML 2020, are the same in
other words.) Where they are short they are lengthened, and taken back if the sum grew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from georeduce.engine import ArgumentError, ConvergenceWarning, LazyTensor, ShapeError, Vi, Vj
from georeduce.engine.arrays import library_of
from georeduce.engine.errors import expected, warn

from .._arrays import put
from ..common import NON_NEGATIVE_REAL, POSITIVE_INTEGER, Array, to_host
from ._arrays import apply
from ._model import Features, log_scale
from ._space import HyperbolicSpace

EPS = float(np.finfo(np.float64).eps)
LONGER = 1.5
"""What the length of a step grows by, from one to the next."""
NOISE = 8 * EPS
"""Relative change of a sum of squares that may be of roundings."""


class Sums(NamedTuple):
    """Sums over weighted samples y, seen from centers m; all in float64, R being 1.

    Attributes
    ----------
    pull : ndarray of shape (..., K, D)
        Of w log_m(y), in orthonormal frames at the centers.
    bend : ndarray of shape (..., K, 1)
        Of w d coth(d).
    squares : ndarray of shape (..., K, 1)
        Of w d^2.
    mass : ndarray of shape (..., K, 1)
        Of w.
    """

    pull: Array
    bend: Array
    squares: Array
    mass: Array

    @property
    def size(self) -> Array:
        """Lengths (..., K, 1) of the sums of w log_m(y)."""
        found: Array = np.linalg.norm(self.pull, axis=-1, keepdims=True)
        return found

    def step(self, length: Any = 1.0) -> Array:
        """Return the steps to the next centers, in the same frames, so many times as long."""
        size = self.size
        share = np.minimum(size / np.where(self.bend > 0, self.bend, 1), 1 - EPS)
        theta = length * np.arctanh(share)
        found: Array = self.pull * (theta / np.where(size > 0, size, 1))
        return found


def seen_from(
    space: HyperbolicSpace, rows: Features, columns: Features, weights: LazyTensor
) -> LazyTensor:
    """Return the formula whose sums over columns are `Sums`, for features of centers as rows."""
    s = space._half_sinh(rows, columns)
    pull = space._log(rows, columns) / space.radius
    theta = 2 * apply("asinh", s)
    bend = log_scale(s, 1.0) * (1 + 2 * s * s)
    parts = (pull, bend, theta * theta, 1 + 0 * theta)
    found: LazyTensor = parts[0] * weights
    for part in parts[1:]:
        found = found.concat(part * weights)
    return found


def sums(formula: LazyTensor, run: dict[str, Any]) -> Sums:
    """Return the sums of `seen_from`."""
    found = to_host(formula.sum(axis=len(formula.batch) + 1, **run))
    D = found.shape[-1] - 3
    return Sums(*(found[..., a:b] for a, b in ((0, D), (D, D + 1), (D + 1, D + 2), (D + 2, D + 3))))


class Found(NamedTuple):
    """Means (..., K, D) and the sums seen from them; whether the iteration has converged."""

    means: Array
    sums: Sums
    converged: bool


def descend(
    space: HyperbolicSpace,
    means: Array,
    seen: Callable[[Array], LazyTensor],
    run: dict[str, Any],
    tol: float,
    max_iter: int,
) -> Found:
    """Return Fréchet means, from centers to start with.

    Parameters
    ----------
    space : HyperbolicSpace
        Where the points are.
    means : ndarray of shape (..., K, D)
        First centers, in float64.
    seen : callable
        From centers to the formula of `seen_from`, of which they are rows.
    run : dict
        Keywords of reductions.
    tol : float
        Bound of the length of the mean of log maps, relative to the root of the mean of squared
        distances. A sum that steps no longer make smaller, in float64, ends the iteration too.
    max_iter : int
        The most steps.

    Returns
    -------
    Found
        Centers without samples stay.
    """
    lengths = np.ones((*means.shape[:-1], 1))
    here = sums(seen(means), run)
    size = here.size
    done = size <= tol * np.sqrt(here.squares * here.mass)
    for _ in range(max_iter):
        if done.all():
            break
        x = space.features(means)
        there = space._close(space._exp(x, space.radius * here.step(lengths)), means.dtype)
        moved = np.where(done, means, there)
        found = sums(seen(moved), run)
        # sums that are equal but for roundings are told apart by their derivatives
        change, noise = found.squares - here.squares, NOISE * here.squares
        better = ~done & ((change < -noise) | ((found.size < size) & (change <= noise)))
        done |= ~better & (lengths == 1)  # as far as float64 goes
        means = np.where(better, moved, means)
        here = Sums(*(np.where(better, a, b) for a, b in zip(found, here, strict=True)))
        size, lengths = here.size, np.where(better, lengths * LONGER, 1.0)
        done |= size <= tol * np.sqrt(here.squares * here.mass)
    return Found(means, here, bool(done.all()))


def mean_of(
    space: HyperbolicSpace, x: Any, weights: Any, tol: float, max_iter: int, run: dict[str, Any]
) -> tuple[Any, Any]:
    """Return the Fréchet means (..., D) and variances (...) of points (..., N, D)."""
    NON_NEGATIVE_REAL.check("tol", tol)
    POSITIVE_INTEGER.check("max_iter", max_iter)
    (y,), dtype = space._open(x)
    y = y.detach() if library_of(y) == "torch" else y
    if y.ndim < 2 or not y.shape[-2]:
        raise ShapeError(expected("points of shape (..., N, D)", f"shape {tuple(y.shape)}"))
    w = _weights(weights, tuple(y.shape[:-1]))
    columns, w_j = space.features(Vj(y)), Vj(put(w, y))
    origin = space.origin(y.shape[-1] - space.more)
    start = np.tile(origin, (*w.shape[:-2], 1, 1))

    def seen(means: Array) -> LazyTensor:
        return seen_from(space, space.features(Vi(put(means, y))), columns, w_j)

    found = descend(space, start, seen, run, tol, max_iter)
    if not found.converged:
        size = found.sums.size / found.sums.mass
        warn(
            f"The Fréchet mean was not reached in {max_iter} steps: the mean of log maps is still "
            f"{size.max() * space.radius:.3g} long. Pass a larger max_iter or tol.",
            ConvergenceWarning,
        )
    variance = space.radius**2 * (found.sums.squares / found.sums.mass)[..., 0, 0]
    results = (found.means[..., 0, :], np.asarray(variance))
    return tuple(put(a.astype(dtype), y) for a in results)


def _weights(weights: Any, shape: tuple[int, ...]) -> Array:
    """Return weights (..., N, 1) of points (..., N), in float64."""
    if weights is None:
        return np.ones((*shape, 1))
    if library_of(weights) == "unknown":
        what = f"weights as an array of shape {shape}, one for each point"
        raise ArgumentError(expected(what, repr(weights)))
    w = np.asarray(to_host(weights), np.float64)
    try:
        w = np.broadcast_to(w, np.broadcast_shapes(w.shape, shape))
    except ValueError:
        what = f"weights of shape {shape}, one for each point"
        raise ShapeError(expected(what, f"shape {w.shape}")) from None
    if not ((w >= 0).all() and np.isfinite(w).all() and w.any(axis=-1).all()):
        got = "negative ones, only zeros, or others that are not finite"
        raise ArgumentError(expected("weights >= 0 with a positive sum", got))
    return np.ascontiguousarray(w)[..., None]
