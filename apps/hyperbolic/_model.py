"""What a model of hyperbolic space says: its points, and the few formulas that all else is made of.

Knows neither arrays of users nor derivations; `_space.py` makes of these what users call.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from georeduce.engine import ArgumentError, ShapeError
from georeduce.engine.arrays import cast, to_numpy
from georeduce.engine.errors import expected

from ..common import ParameterError, Rule, is_real
from ._arrays import FLOAT32, apply, pick

Features = tuple[Any, ...]


@dataclass(frozen=True)
class Model(ABC):
    r"""Formulas of a model of the hyperbolic space of curvature K < 0.

    *Features* are arrays of shape (..., n), what formulas need of each point and is computed once;
    formulas take them as arrays in float64, or as LazyTensors. Vectors are in an orthonormal frame
    at the point where they are tangent, so that formulas about lengths know no metric.

    Attributes
    ----------
    curvature : float
        K.
    """

    curvature: float = -1.0

    more: ClassVar[int] = 0
    """How many coordinates a point has beyond the dimension of the space."""

    def __post_init__(self) -> None:
        K = self.curvature
        if not (is_real(K) and -np.inf < K < 0):
            raise ParameterError(expected("curvature to be a negative number", repr(K)))

    @property
    def radius(self) -> float:
        """R, the unit of length."""
        return float(1 / np.sqrt(-self.curvature))

    def _agree(self, *shapes: tuple[int, ...]) -> None:
        """Raise for shapes of points and vectors that do not belong together.

        Lengths of 1 would broadcast, but coordinates are no axis that does.
        """
        got = " and ".join([f"shape{'s' if len(shapes) > 1 else ''} {shapes[0]}",
                            *map(str, shapes[1:])])  # fmt: skip
        if any(not shape or shape[-1] <= self.more for shape in shapes):
            what = f"points whose last axis has a length of at least {self.more + 1}"
            raise ShapeError(expected(what, got))
        if len({shape[-1] for shape in shapes}) > 1:
            raise ShapeError(expected("points, and vectors, of as many coordinates", got))
        try:
            np.broadcast_shapes(*(shape[:-1] for shape in shapes))
        except ValueError:
            cure = "All pairs are those of x[:, None] and y."
            raise ShapeError(expected("axes of points that broadcast", got, cure)) from None

    @abstractmethod
    def _features(self, x: Any) -> Features:
        """Return what formulas need of points in float64: arrays (..., n); raise for no points."""

    def _in_float32(self, x: Features) -> Features:
        """Return features in float32."""
        return tuple(cast(a, FLOAT32) for a in x)

    @abstractmethod
    def _half_sinh(self, x: Features, y: Features) -> Any:
        """Return ``sinh(d / 2R)`` of features: arrays, or LazyTensors as rows and columns."""

    @abstractmethod
    def _log(self, x: Features, y: Features) -> Any:
        """Return the log map in an orthonormal frame at x, of dimension D, of the same."""

    @abstractmethod
    def _exp(self, x: Features, v: Any) -> Any:
        """Return the exponential map of vectors in that frame, not yet projected."""

    @abstractmethod
    def _to_frame(self, x: Features, v: Any) -> Any:
        """Return tangent vectors at x in that frame."""

    @abstractmethod
    def _from_frame(self, x: Features, v: Any) -> Any:
        """Return vectors in that frame as tangent vectors at x."""

    @abstractmethod
    def _transport(self, x: Features, y: Features, v: Any) -> Any:
        """Return tangent vectors at x, transported to y."""

    @abstractmethod
    def _geodesic(self, x: Features, y: Features, a: Any, b: Any) -> Any:
        """Return the point whose vector on the hyperboloid is ``a x + b y``."""

    @abstractmethod
    def _project(self, x: Any, margin: float | None, dtype: Any) -> Any:
        """Return points of the model near any points, further inside than a margin."""

    @abstractmethod
    def _to_ball(self, x: Features) -> Features:
        """Return the features of points in the unit ball."""

    @abstractmethod
    def _from_ball(self, x: Features) -> Any:
        """Return points of the model from features in the unit ball."""

    @abstractmethod
    def origin(self, D: int) -> Any:
        """Return the point that conversions take to the centre of the ball.

        Parameters
        ----------
        D : int
            Dimension of the space.

        Returns
        -------
        ndarray of shape (D,), or (D + 1,) on the hyperboloid
            In float64.
        """


MODEL = Rule(
    "a model of hyperbolic space, such as PoincareBall()", lambda value: isinstance(value, Model)
)


def log_scale(s: Any, R: float) -> Any:
    """Return ``R theta / sinh(theta)``, of ``s = sinh(theta / 2)``."""
    size = s * apply("sqrt", 1 + s * s)
    some = size > 0
    return pick(some, apply("asinh", s) / pick(some, size, 1.0), 1.0) * R


def exp_scale(theta: Any) -> Any:
    """Return ``sinh(theta) / theta``, whose product with a vector has a derivative at 0."""
    some = theta > 0
    return pick(some, apply("sinh", theta) / pick(some, theta, 1.0), 1.0)


def refuse(wrong: Any, what: str, got: Any, cure: str) -> None:
    """Raise if some entries (..., 1) of an array are true, and tell of the first of them."""
    if bool(wrong.any()):
        at = tuple(int(n) for n in np.argwhere(to_numpy(wrong)[..., 0])[0])
        where = "" if not at else f" in row {at[0]}" if len(at) == 1 else f" at {at}"
        raise ArgumentError(expected(what, f"{got(at)}{where}", cure))
