"""What all models of hyperbolic space share: distances, maps and geodesics, from a few formulas.

Knows no coordinates: a model says what formulas need of each point, and has the formulas.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from georeduce.engine import ArgumentError, LazyTensor
from georeduce.engine.agree import common_home
from georeduce.engine.arrays import NUMPY, cast, from_numpy, kind_of, library_of
from georeduce.engine.errors import expected

from ..common import ParameterError, is_real
from ._arrays import FLOAT32, FLOAT64, apply, length, pick, points, total
from ._model import MODEL, Features, Model


@dataclass(frozen=True)
class HyperbolicSpace(Model):
    r"""A model of the hyperbolic space of constant curvature K < 0.

    Its unit of length is the radius :math:`R = 1 / \sqrt{-K}`. It should be the case that
    ``exp(x, log(x, y))`` is y; that ``log(x, y)`` is as long, by ``norm``, as ``distance(x, y)``;
    that ``transport`` keeps inner products; and that conversions between models keep distances.

    Parameters
    ----------
    curvature : float, default=-1.0
        K.
    """

    # --- Points in and out --------------------------------------------------------------------

    def features(self, x: Any) -> Features:
        """Return what the formulas of this model need of each point, computed once for each.

        Parameters
        ----------
        x : array of shape (..., D) or LazyTensor of points
            Points.

        Returns
        -------
        tuple of arrays of shape (..., n), in float64, or of LazyTensors in the dtype of x
            The points themselves come first on the ball and in the half-space.

        Raises
        ------
        ArgumentError
            For what is no point of the model, and for LazyTensors that are formulas.
        """
        if not isinstance(x, LazyTensor):
            x = points(x)
            self._agree(tuple(x.shape))
            return self._features(cast(x, FLOAT64))
        self._agree((x.D,))
        if not x.expr.is_variable or x.slots[0].dtype_free:
            cure = "Compute the points first: what is needed of each is made of its coordinates."
            got = f"the formula {x.formula}"
            raise ArgumentError(expected("the LazyTensor of an array of points", got, cure))
        slot = x.slots[0]
        wide = cast(slot.array, FLOAT64)
        made = self._features(wide)
        lower = made if x.dtype == FLOAT64 else self._in_float32(made)
        return tuple(
            x if a is wide else _on_axis(b, slot.axis) for a, b in zip(made, lower, strict=True)
        )

    def _open(self, *arrays: Any) -> tuple[list[Any], Any]:
        """Return arrays of points and vectors in float64, and the dtype for the result.

        Lists and integers take the library and the dtype of the others.
        """
        made = [points(a) for a in arrays]
        self._agree(*(tuple(a.shape) for a in made))
        kinds = [kind_of(a) for a, given in zip(made, arrays, strict=True) if a is given]
        homes = [home for _, home in kinds] or [NUMPY]
        for other in homes[1:]:
            common_home(homes[0], other)
        narrow = kinds and all(dtype == FLOAT32 for dtype, _ in kinds)
        wide = [
            cast(a if a is given else from_numpy(a, homes[0]), FLOAT64)
            for a, given in zip(made, arrays, strict=True)
        ]
        return wide, FLOAT32 if narrow else FLOAT64

    def _close(self, x: Any, dtype: Any) -> Any:
        """Return points in float64 as points of the model in a dtype."""
        return cast(self._project(x, None, dtype), dtype)

    def _pair(self, x: Any, y: Any) -> tuple[Features, Features, Any]:
        """Return the features of two, and the dtype of the result; None for LazyTensors."""
        if isinstance(x, LazyTensor) != isinstance(y, LazyTensor):
            cure = "Make a LazyTensor of the other, by Vi or Vj, too."
            raise ArgumentError(expected("two LazyTensors or two arrays", "one of each", cure))
        if isinstance(x, LazyTensor):
            self._agree((x.D,), (y.D,))
            return self.features(x), self.features(y), None
        (x, y), dtype = self._open(x, y)
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
        ShapeError
            For numbers of coordinates that differ, and axes that do not broadcast.

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

        Examples
        --------
        >>> from georeduce.apps.hyperbolic import HalfSpace
        >>> HalfSpace().transport([-1.0, 1.0], [1.0, 1.0], [1.0, 1.0]).round(6)
        array([ 1., -1.])
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
        if library_of(t) in ("scalar", "sequence", "numpy"):
            t = from_numpy(np.asarray(t, FLOAT64), kind_of(x)[1])
        t = cast(t, FLOAT64)[..., None]
        a, b = (_sinh_ratio(s, theta) for s in (1 - t, t))
        return self._close(self._geodesic(fx, fy, a, b), dtype)

    def project(self, x: Any, margin: float | None = None) -> Any:
        """Return points of the model that are near any points; those well inside stay.

        Parameters
        ----------
        x : array of shape (..., D)
            Points of the space around the model.
        margin : float, optional
            How far from the border points are at least: on the ball as a part of its radius, by
            default four roundings; in the half-space the least height, by default the smallest
            number. The hyperboloid has no border.

        Returns
        -------
        array of shape (..., D)
            Points.
        """
        if margin is not None and not (is_real(margin) and 0 < margin < 1):
            raise ParameterError(expected("margin between 0 and 1", repr(margin)))
        (x,), dtype = self._open(x)
        return cast(self._project(x, margin, dtype), dtype)

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

        Examples
        --------
        >>> from georeduce.apps.hyperbolic import Hyperboloid, PoincareBall
        >>> PoincareBall().convert([0.5, 0.0], Hyperboloid()).round(6)
        array([1.666667, 1.333333, 0.      ])
        """
        MODEL.check("to", to)
        if to.curvature != self.curvature:
            what = f"a model of curvature {self.curvature}"
            cure = "Spaces of two curvatures are not isometric."
            raise ParameterError(expected(what, f"{to.curvature}", cure))
        (x,), dtype = self._open(x)
        return to._close(to._from_ball(self._to_ball(self._features(x))), dtype)

    # --- Means --------------------------------------------------------------------------------

    def frechet_mean(
        self, x: Any, weights: Any = None, tol: float = 1e-10, max_iter: int = 200, **run: Any
    ) -> Any:
        """Return the Fréchet mean of points, of least weighted sum of squared distances.

        Parameters
        ----------
        x : array of shape (..., N, D)
            Points; leading axes are batch axes, each with a mean of its own.
        weights : array of shape (..., N), optional
            Weights >= 0 that broadcast with the points' axes; not all of them 0.
        tol : float, default=1e-10
            When to stop: bound of the length of the mean of log maps, relative to the root of the
            mean of squared distances.
        max_iter : int, default=200
            The most steps, beyond which a warning says how far they came.
        **run
            Options of reductions: ``backend``, ``n_threads``.

        Returns
        -------
        array of shape (..., D)
            Means.

        Examples
        --------
        >>> import numpy as np
        >>> from georeduce.apps.hyperbolic import PoincareBall
        >>> x = np.array([[0.9, 0.0], [0.0, 0.0]])
        >>> PoincareBall().frechet_mean(x, backend="numpy").round(4)
        array([0.6268, 0.    ])
        """
        from ._frechet import mean_of

        return mean_of(self, x, weights, tol, max_iter, run)[0]

    def frechet_variance(
        self, x: Any, weights: Any = None, tol: float = 1e-10, max_iter: int = 200, **run: Any
    ) -> Any:
        """Return the Fréchet variance: the weighted mean of squared distances to the Fréchet mean.

        Parameters
        ----------
        x, weights, tol, max_iter, **run
            As those of `frechet_mean`.

        Returns
        -------
        array of shape (...)
            Variances.
        """
        from ._frechet import mean_of

        return mean_of(self, x, weights, tol, max_iter, run)[1]


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
