r"""THE table of starts: potentials to begin with, found without a reduction.

Both are of costs :math:`|x - y|^2`, whose potential of the points y has the slope
:math:`2 (y - t(y))` where t(y) is what y comes from on average.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from georeduce.engine import ShapeError
from georeduce.engine.arrays import check_array, from_numpy, kind_of, to_numpy
from georeduce.engine.errors import expected

from .._arrays import native
from ..common import Array, ParameterError
from ._arrays import namespace
from ._sizes import DOUBLE
from ._stages import Stage, carried
from .problem import Problem
from .result import Transport


@dataclass(frozen=True)
class Start:
    """A way to begin, by NumPy: once, and in proportion to the points.

    Attributes
    ----------
    potential : callable or None
        Of x (..., M, D), a (..., M), y (..., N, D), b (..., N) and the first regularisation: the
        potential of the points y, (..., N). None is zero.
    first : float
        The first regularisation, relative to the largest cost.
    quadratic : bool
        Whether it is for the cost "sqeuclidean" only.
    """

    potential: Callable[[Array, Array, Array, Array, float], Array] | None
    first: float
    quadratic: bool = True


def gaussian(x: Array, a: Array, y: Array, b: Array, epsilon: float) -> Array:
    """Return the potential between Gaussians of the moments of both sides.

    Janati, Muzellec, Peyré & Cuturi 2020, Entropic optimal transport between unbalanced Gaussian
    measures has a closed form, theorem 1.
    """
    x_mean, _, x_cov = _moments(x, a)
    y_mean, y, y_cov = _moments(y, b)
    values, vectors = np.linalg.eigh(y_cov)
    # directions without extent have nothing to map
    values = np.sqrt(np.maximum(values, 1e-12 * values.max(-1, keepdims=True) + 1e-300))
    root, inverse = (
        (vectors * power[..., None, :]) @ vectors.swapaxes(-1, -2) for power in (values, 1 / values)
    )
    values, vectors = np.linalg.eigh(root @ x_cov @ root)
    values = np.sqrt(np.maximum(values, 0) + (epsilon / 4) ** 2) - epsilon / 4
    t = inverse @ (vectors * values[..., None, :]) @ vectors.swapaxes(-1, -2) @ inverse
    g: Array = ((y - y @ t) * y).sum(-1) + 2 * (y @ (y_mean - x_mean).swapaxes(-1, -2))[..., 0]
    return g


def sorted_(x: Array, a: Array, y: Array, b: Array, epsilon: float) -> Array:
    """Return the potential that sends quantiles to quantiles along the longest axis of y."""
    x_mean, x, _ = _moments(x, a)
    y_mean, y, y_cov = _moments(y, b)
    axis = np.linalg.eigh(y_cov)[1][..., -1:]
    u, v = (x @ axis)[..., 0], (y @ axis + (y_mean - x_mean) @ axis)[..., 0]
    g = np.zeros(v.shape)
    for at in np.ndindex(v.shape[:-1]):
        rows, columns = np.argsort(u[at]), np.argsort(v[at])
        sent, received = (np.cumsum(w) - w / 2 for w in (a[at][rows], b[at][columns]))
        places = v[at][columns]
        slope = 2 * (places - np.interp(received, sent, u[at][rows]))
        g[(*at, columns[1:])] = np.cumsum((slope[1:] + slope[:-1]) / 2 * np.diff(places))
    return g


def _moments(points: Array, weights: Array) -> tuple[Array, Array, Array]:
    """Return the mean, (..., 1, D), the points relative to it, and their covariance."""
    mass = weights.sum(-1, keepdims=True)
    shares = (weights / np.where(mass > 0, mass, 1))[..., None]
    mean = (shares * points).sum(-2, keepdims=True)
    points = points - mean
    return mean, points, (shares * points).swapaxes(-1, -2) @ points


STARTS: dict[str, Start] = {
    "zero": Start(None, 0.2, quadratic=False),
    "gaussian": Start(gaussian, 0.02),
    "sorted": Start(sorted_, 0.005),
}
r"""Reductions to a marginal error of 1e-2 and 1e-3 of 1000 points to 1000, where epsilon is 0.01 of
the largest cost, from zero, from Gaussians and from sorting: 24/38, 19/27 and 6/21 on an interval,
22/30, 19/23 and 15/25 in a cube, 26/38, 18/32 and 16/30 in 50 dimensions. Where epsilon is 0.0003
of it, only sorting on an interval is ahead (34/68, 119/149, 16/46).
"""


def check_start(start: Any, problem: Problem) -> float:
    """Return the first regularisation, relative to the largest cost, if a start is one for it."""
    if isinstance(start, Transport):
        return 0.0
    if not isinstance(start, str):
        for name, h, weights in zip("fg", start, (problem.a, problem.b), strict=True):
            what = f"start to hold a potential {name} of shape {tuple(weights.shape)}"
            if tuple(check_array(h, what, name).shape) != tuple(weights.shape):
                raise ShapeError(expected(what, f"shape {tuple(h.shape)}"))
        return 0.0
    entry = STARTS[start]
    if entry.quadratic and problem.cost.name != "sqeuclidean":
        what = f"the cost 'sqeuclidean' with start={start!r}"
        cure = "Any cost can begin with start='zero'."
        raise ParameterError(expected(what, repr(problem.cost.name), cure))
    return entry.first


def beginning(start: Any, stage: Stage, how: dict[str, Any]) -> Any:
    """Return the potential of the points y, (..., N), to begin a first stage with."""
    if isinstance(start, Transport):
        return carried(start.problem, start.f, start.g, stage.problem, DOUBLE, how)
    if isinstance(start, str):
        p = stage.problem
        potential = STARTS[start].potential
        if potential is None:
            return namespace(p.b).zeros(p.b.shape)
        x, a, y, b = (to_numpy(native(h)).astype(DOUBLE) for h in (p.x, p.a, p.y, p.b))
        # in units in which squares of squares are numbers
        unit = 2.0 ** (math.frexp(max(abs(x).max(), abs(y).max()))[1])
        found = potential(x / unit, a, y / unit, b, p.epsilon / unit / unit) * unit * unit
        return from_numpy(found, kind_of(p.b)[1])
    return native(start[1]).astype(np.float64)
