"""The coordinates that estimators take samples in, by name; each belongs to a model.

scikit-learn's contract is that any numbers are samples. Points of the ball are not any numbers, and
which of two things numbers of a ball are must be said, not guessed: hence a parameter, whose
default, tangent vectors at the centre, is the one for which all numbers mean something.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from georeduce.engine import GeoreduceWarning
from georeduce.engine.arrays import cast
from georeduce.engine.errors import expected, warn

from ..common import Array, Rule, is_real, one_of
from ._arrays import FLOAT64, apply, join, length, unit
from ._model import refuse
from ._space import HyperbolicSpace
from .ball import PoincareBall
from .half_space import HalfSpace
from .hyperboloid import Hyperboloid

NEAR = 0.9
"""Share of the ball's radius beyond which some of an embedding's points are, but few samples'."""
FAR = 300.0
"""Distance from the centre, in units of the radius, up to which formulas hold in float64."""


def _as_they_are(space: HyperbolicSpace, x: Any) -> Any:
    return x


def _inside(space: HyperbolicSpace, x: Any, dtype: Any) -> Any:
    return space._close(x, dtype)


def _along(space: HyperbolicSpace, v: Any) -> Any:
    """Return points of the hyperboloid, of tangent vectors at the centre of the ball."""
    theta = length(v) * (2 / space.radius)  # the ball's metric at the centre is twice Euclid's
    refuse(
        ~(theta <= FAR),
        f"tangent vectors no longer than {FAR / 2 * space.radius:.4g}, as points farther from the "
        "centre have no distances in float64",
        lambda at: f"one of length {float(theta[at][0]) / 2 * space.radius:.6g}",
        "Scale the features.",
    )
    return space.project(join(0 * theta, unit(v) * (space.radius * apply("sinh", theta))))


def _back(space: HyperbolicSpace, x: Any, dtype: Any) -> Any:
    """Return the tangent vectors of points of the hyperboloid."""
    v = x[..., 1:]
    v = unit(v) * (space.radius / 2 * apply("asinh", length(v) / space.radius))
    return cast(v, dtype)


@dataclass(frozen=True)
class Coordinates:
    """How samples say where they are.

    It should be the case that ``outward`` is the inverse of ``inward``.

    Attributes
    ----------
    model : class
        The model whose formulas serve.
    inward : callable
        From a space and samples in float64 to its points.
    outward : callable
        From a space, its points in float64, and a dtype to samples.
    """

    model: type[HyperbolicSpace]
    inward: Callable[[HyperbolicSpace, Any], Any] = _as_they_are
    outward: Callable[[HyperbolicSpace, Any, Any], Any] = _inside


COORDINATES = {
    "tangent": Coordinates(Hyperboloid, _along, _back),
    "ball": Coordinates(PoincareBall),
    "hyperboloid": Coordinates(Hyperboloid),
    "half-space": Coordinates(HalfSpace),
}
"""Values of the parameter ``coordinates``."""
RULES = {
    "coordinates": one_of(*COORDINATES),
    "curvature": Rule("a negative number", lambda value: is_real(value) and -np.inf < value < 0),
}
"""Of the parameters that say what samples are."""


def points_of(estimator: Any, X: Array) -> tuple[HyperbolicSpace, Array]:
    """Return the space of an estimator, and its points of samples, in float64."""
    coordinates = COORDINATES[estimator.coordinates]
    space = coordinates.model(estimator.curvature)
    return space, coordinates.inward(space, cast(X, FLOAT64))


def tell_of_points(estimator: Any, X: Array) -> None:
    """Warn where tangent vectors look like points of the ball: all inside, some near its border."""
    if estimator.coordinates != "tangent":
        return
    R = PoincareBall(estimator.curvature).radius
    largest = float(length(cast(X, FLOAT64)).max())
    if NEAR * R < largest < R:
        what = "tangent vectors at the centre, as coordinates is 'tangent'"
        got = f"samples of norms up to {largest:.6g} that lie inside of the ball of radius {R:.4g}"
        cure = "Points of it, such as an embedding's, are coordinates='ball'."
        warn(expected(what, got, cure), GeoreduceWarning)


def samples_of(estimator: Any, points: Array, dtype: Any) -> Array:
    """Return points in the coordinates of an estimator's samples."""
    coordinates = COORDINATES[estimator.coordinates]
    space = coordinates.model(estimator.curvature)
    found: Array = coordinates.outward(space, points, dtype)
    return found
