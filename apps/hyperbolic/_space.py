"""What all models of hyperbolic space share: distances, maps and geodesics, from a few formulas.

Knows no coordinates: a model says what formulas need of each point, and has the formulas.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from georeduce.engine import ArgumentError, LazyTensor, ShapeError
from georeduce.engine.arrays import cast, kind_of, to_numpy
from georeduce.engine.errors import expected

from ..common import ParameterError, is_real
from ._arrays import FLOAT64, apply, length, module_of, pick, points, total

Features = tuple[Any, ...]


@dataclass(frozen=True)
class HyperbolicSpace(ABC):
    r"""A model of the hyperbolic space of constant curvature K < 0, whose radius is
    :math:`R = 1 / \sqrt{-K}`.

    It should be the case that ``exp(x, log(x, y))`` is y; that ``log(x, y)`` is as long, by
    ``norm``, as ``distance(x, y)``; that ``transport`` keeps inner products; and that conversions
    between models keep distances.

    Parameters
    ----------
    curvature : float, default=-1.0
        K.
    """

    curvature: float = -1.0

    def __post_init__(self) -> None:
        K = self.curvature
        if not (is_real(K) and -np.inf < K < 0):
            raise ParameterError(expected("curvature to be a negative number", repr(K)))

    @property
    def radius(self) -> float:
        """R, the unit of length."""
        return float(1 / np.sqrt(-self.curvature))

    # --- What a model says --------------------------------------------------------------------

    @abstractmethod
    def _features(self, x: Any) -> Features:
        """Return what formulas need of points, arrays of shape (..., n); raise for no points.

        From points in float64, or, with the precision that formulas have, from a LazyTensor.
        """

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
    def _geodesic(self, x: Features, y: Features, a: Any, b: Any, d: Any) -> Any:
        """Return ``a x + b y`` of the hyperboloid's vectors; d is the distance in units of R."""

    @abstractmethod
    def _project(self, x: Any, margin: float) -> Any:
        """Return points of the model near any points, which are further inside than a margin."""

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

    # --- Points in and out --------------------------------------------------------------------

    def features(self, x: Any) -> Features:
        """Return what the formulas of this model need of each point, computed once for each.

        Parameters
        ----------
        x : array of shape (..., D) or LazyTensor of points
            Points. Of the LazyTensor of an array the features are made of the array, with more
            precision than its dtype has; of any other formula they are formulas.

        Returns
        -------
        tuple of arrays of shape (..., n), in float64, or of LazyTensors in the dtype of x
            The points themselves come first on the ball and in the half-space.

        Raises
        ------
        ArgumentError
            For what is no point of the model.
        """
        if not isinstance(x, LazyTensor):
            return self._features(cast(points(x), FLOAT64))
        if not x.expr.is_variable or x.slots[0].dtype_free:
            return self._features(x)
        slot = x.slots[0]
        wide = cast(slot.array, FLOAT64)
        return tuple(
            x if a is wide else _on_axis(cast(a, x.dtype), slot.axis) for a in self._features(wide)
        )

    def _open(self, *arrays: Any) -> tuple[list[Any], Any]:
        """Return arrays of points and vectors in float64, and the dtype for the result."""
        given = [points(a) for a in arrays]
        wide = any(kind_of(a)[0] == FLOAT64 for a in given)
        return [cast(a, FLOAT64) for a in given], FLOAT64 if wide else np.dtype(np.float32)

    def _close(self, x: Any, dtype: Any) -> Any:
        """Return points in float64 as points of the model in a dtype."""
        return cast(self._project(x, 4 * float(np.finfo(dtype).eps)), dtype)

    def _pair(self, x: Any, y: Any) -> tuple[Features, Features, Any]:
        """Return the features of two, and the dtype of the result; None for LazyTensors."""
        if isinstance(x, LazyTensor) != isinstance(y, LazyTensor):
            cure = "Make a LazyTensor of the other, by Vi or Vj, too."
            raise ArgumentError(expected("two LazyTensors or two arrays", "one of each", cure))
        if isinstance(x, LazyTensor):
            return self.features(x), self.features(y), None
        (x, y), dtype = self._open(x, y)
        if x.shape[-1] != y.shape[-1]:
            got = f"shapes {tuple(x.shape)} and {tuple(y.shape)}"
            raise ShapeError(expected("points of as many coordinates", got))
        return self._features(x), self._features(y), dtype

    # --- Distances ----------------------------------------------------------------------------

    def half_sinh(self, x: Any, y: Any) -> Any:
        r"""Return :math:`s = \sinh(d / 2 R)` of the distance d, from which all else follows.

        :math:`d = 2 R \,\mathrm{asinh}(s)`, :math:`\cosh(d / R) = 1 + 2 s^2`,
        :math:`e^{-d / R} = (s + \sqrt{1 + s^2})^{-2}`, none of which cancels. Arguments and result
        are those of `distance`.
        """
        fx, fy, dtype = self._pair(x, y)
        s = self._half_sinh(fx, fy)
        return s if dtype is None else cast(s[..., 0], dtype)

    def distance(self, x: Any, y: Any) -> Any:
        r"""Return the distance of points: an array, or a formula of two LazyTensors.

        .. math:: d(x, y) = 2 R \, \mathrm{asinh}(\sinh(d / 2 R))

        where the argument is made of differences, and of what was computed for each point alone
        with twice the digits: float32 points at the border keep their distances.

        Parameters
        ----------
        x, y : arrays of shape (..., D), or LazyTensors of points
            Points, in arrays of NumPy, PyTorch or CuPy, which broadcast; or LazyTensors, such as
            ``Vi(x)`` and ``Vj(y)``.

        Returns
        -------
        array of shape (...), or LazyTensor of shape (M, N)
            In float64 if one of the arrays is, else in float32.

        Raises
        ------
        ArgumentError
            For what is no point of the model.

        Notes
        -----
        A LazyTensor's own derivatives (``K.grad``, ``K.vjp``) see two variables for each point, of
        which one follows from the other. PyTorch's derivatives are whole; so is `log`, minus which
        over the distance is the gradient.
        """
        fx, fy, dtype = self._pair(x, y)
        d = self._distance(fx, fy)
        return d if dtype is None else cast(d[..., 0], dtype)

    def _distance(self, x: Features, y: Features) -> Any:
        d = 2 * apply("asinh", self._half_sinh(x, y))
        return d if self.curvature == -1 else self.radius * d

    # --- Maps ---------------------------------------------------------------------------------

    def log(self, x: Any, y: Any) -> Any:
        """Return the tangent vector at x of the geodesic that reaches y at time 1.

        Parameters
        ----------
        x, y : arrays of shape (..., D), or LazyTensors of points
            Points, which broadcast.

        Returns
        -------
        array of shape (..., D), or LazyTensor of dimension D
            In the coordinates of the model.
        """
        fx, fy, dtype = self._pair(x, y)
        v = self._from_frame(fx, self._log(fx, fy))
        return v if dtype is None else cast(v, dtype)

    def exp(self, x: Any, v: Any) -> Any:
        """Return the point that the geodesic from x with velocity v reaches at time 1.

        Parameters
        ----------
        x, v : arrays of shape (..., D)
            Points and tangent vectors, which broadcast.

        Returns
        -------
        array of shape (..., D)
            Points.
        """
        (x, v), dtype = self._open(x, v)
        fx = self._features(x)
        return self._close(self._exp(fx, self._to_frame(fx, v)), dtype)

    def norm(self, x: Any, v: Any) -> Any:
        """Return the Riemannian length of tangent vectors.

        Parameters
        ----------
        x, v : arrays of shape (..., D)
            Points and tangent vectors, which broadcast.

        Returns
        -------
        array of shape (...)
            Lengths.
        """
        (x, v), dtype = self._open(x, v)
        return cast(length(self._to_frame(self._features(x), v))[..., 0], dtype)

    def inner(self, x: Any, u: Any, v: Any) -> Any:
        """Return the Riemannian inner product of tangent vectors.

        Parameters
        ----------
        x, u, v : arrays of shape (..., D)
            Points and tangent vectors, which broadcast.

        Returns
        -------
        array of shape (...)
            Products.
        """
        (x, u, v), dtype = self._open(x, u, v)
        fx = self._features(x)
        return cast(total(self._to_frame(fx, u) * self._to_frame(fx, v))[..., 0], dtype)

    def transport(self, x: Any, y: Any, v: Any) -> Any:
        """Return tangent vectors at x, transported in parallel along the geodesic to y.

        Parameters
        ----------
        x, y, v : arrays of shape (..., D)
            Points, and tangent vectors at x, which broadcast.

        Returns
        -------
        array of shape (..., D)
            Tangent vectors at y.
        """
        (x, y, v), dtype = self._open(x, y, v)
        return cast(self._transport(self._features(x), self._features(y), v), dtype)

    def geodesic(self, x: Any, y: Any, t: Any) -> Any:
        """Return points of the geodesic that is at x at time 0 and at y at time 1.

        Parameters
        ----------
        x, y : arrays of shape (..., D)
            Points.
        t : number or array of shape (...)
            Times, which broadcast with the points' other axes.

        Returns
        -------
        array of shape (..., D)
            Points.
        """
        (x, y), dtype = self._open(x, y)
        fx, fy = self._features(x), self._features(y)
        theta = 2 * apply("asinh", self._half_sinh(fx, fy))
        t = module_of(x).asarray(t, dtype=x.dtype)[..., None]
        a, b = (_sinh_ratio(s, theta) for s in (1 - t, t))
        return self._close(self._geodesic(fx, fy, a, b, theta), dtype)

    def project(self, x: Any, margin: float | None = None) -> Any:
        """Return points of the model that are near any points; those well inside stay.

        Parameters
        ----------
        x : array of shape (..., D)
            Points of the space around the model.
        margin : float, optional
            How far from the border, as a part of the radius, points are at least; by default some
            roundings in their dtype.

        Returns
        -------
        array of shape (..., D)
            Points.
        """
        (x,), dtype = self._open(x)
        least = 4 * float(np.finfo(dtype).eps)
        if margin is not None and not (is_real(margin) and least <= margin < 1):
            raise ParameterError(expected(f"margin from {least:.3g} to 1", repr(margin)))
        return cast(self._project(x, least if margin is None else margin), dtype)

    # --- Between models -----------------------------------------------------------------------

    def convert(self, x: Any, to: HyperbolicSpace) -> Any:
        """Return the same points in another model.

        Parameters
        ----------
        x : array of shape (..., D)
            Points of this model.
        to : HyperbolicSpace
            Another model, of the same curvature.

        Returns
        -------
        array of shape (..., D)
            Points of the other one.
        """
        if to.curvature != self.curvature:
            what = f"a model of curvature {self.curvature}"
            cure = "Spaces of two curvatures are not isometric."
            raise ParameterError(expected(what, f"{to.curvature}", cure))
        (x,), dtype = self._open(x)
        return to._close(to._from_ball(self._to_ball(self._features(x))), dtype)


def _on_axis(a: Any, axis: str) -> LazyTensor:
    """Return the LazyTensor of an array (..., n, D) of a slot."""
    return LazyTensor(a[..., None, :]) if axis == "p" else LazyTensor(a, "ij".index(axis))


def _sinh_ratio(t: Any, theta: Any) -> Any:
    """Return ``sinh(t theta) / sinh(theta)``, which is t at 0, where neither may overflow."""
    some = theta > 0
    safe = pick(some, theta, 1.0)
    ratio = apply("exp", (abs(t) - 1) * safe) * (
        apply("expm1", -2 * abs(t) * safe) / apply("expm1", -2 * safe)
    )
    sign = apply("sign", t)
    return pick(some, sign * ratio, t + 0 * theta)


def refuse(wrong: Any, what: str, got: Any, cure: str) -> None:
    """Raise if some entries (..., 1) of an array are true, and tell of the first of them."""
    flags = to_numpy(wrong)[..., 0]
    if flags.any():
        at = tuple(int(n) for n in np.argwhere(flags)[0])
        where = "" if not at else f" in row {at[0]}" if len(at) == 1 else f" at {at}"
        raise ArgumentError(expected(what, f"{got(at)}{where}", cure))


__all__ = ["Features", "HyperbolicSpace", "refuse"]
