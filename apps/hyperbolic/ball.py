r"""The Poincaré ball: points :math:`|x| < R`, metric :math:`(2 |dx| / (1 - |x|^2 / R^2))^2`.

All formulas are of differences of points and of the *gaps* :math:`g_x = 1 - |x|^2 / R^2`, which are
computed for each point with twice the digits of float64: at the border a gap is all that is left of
a point's distance from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from georeduce.engine.arrays import cast, to_numpy

from ..exact import gaps, square_sum
from ._arrays import apply, length, pick, total
from ._model import Features, log_scale, refuse
from ._space import HyperbolicSpace


@dataclass(frozen=True)
class PoincareBall(HyperbolicSpace):
    r"""The Poincaré ball of curvature K < 0: the points with :math:`|x| < R = 1 / \sqrt{-K}`.

    .. math::
        d(x, y) = 2 R \,\mathrm{asinh} \frac{|x - y|}{R \sqrt{g_x g_y}}, \qquad
        g_x = 1 - |x|^2 / R^2

    Of exact points in float64 the distance is right to some roundings, up to the border. The radius
    follows the curvature, as in Ganea, Bécigneul and Hofmann (NeurIPS 2018), whose formulas these
    are, written without cancellation.

    Parameters
    ----------
    curvature : float, default=-1.0
        K.

    Examples
    --------
    >>> import numpy as np
    >>> from georeduce.apps.hyperbolic import PoincareBall
    >>> ball = PoincareBall()
    >>> x, y = np.array([0.5, 0.0]), np.array([[0.0, 0.5], [-0.5, 0.0]])
    >>> ball.distance(x, y).round(6)
    array([1.6807  , 2.197225])
    >>> ball.exp(x, ball.log(x, y)).round(6)
    array([[ 0. ,  0.5],
           [-0.5,  0. ]])

    A formula, of points that are rows and points that are columns:

    >>> from georeduce.engine import Vi, Vj
    >>> ball.distance(Vi(y), Vj(y)).max(axis=1, backend="numpy").round(6)
    array([[1.6807],
           [1.6807]])
    """

    def _features(self, x: Any) -> Features:
        gap = gaps(x, self.curvature)
        refuse(
            ~(gap > 0),
            f"points inside of the ball of radius {self.radius:.6g}",
            lambda at: f"a norm of {np.linalg.norm(to_numpy(x)[at]):.6g}",
            "Scale them, or move them inside by PoincareBall.project.",
        )
        return x, gap

    def _half_sinh(self, x: Features, y: Features) -> Any:
        (p, gp), (q, gq) = x, y
        s = length(p - q) * ((1 / apply("sqrt", gp)) * (1 / apply("sqrt", gq)))
        return s if self.curvature == -1 else s / self.radius

    def _log(self, x: Features, y: Features) -> Any:
        # of z = -p + q in the sense of Möbius, |z| = tanh(d / 2R) is known: only the direction is
        # taken from what is (g_p delta - |delta|^2 p / R^2) / (|delta|^2 / R^2 + g_p g_q)
        (p, gp), (q, gq) = x, y
        delta, far = q - p, length(p - q)
        square = far * far * -self.curvature
        scale = log_scale(self._half_sinh(x, y), 2.0)
        return (delta * gp - p * square) * (scale / (gp * gq))

    def _exp(self, x: Features, v: Any) -> Any:
        size = length(v)
        reach = size / (2 * self.radius)
        reach = pick(reach > 300, 300.0, reach)  # beyond, cosh overflows, and all is the border
        some = size > 0
        y = v * pick(some, self.radius * apply("tanh", reach) / pick(some, size, 1.0), 0.5)
        return self._add(x, (y, apply("cosh", reach) ** -2.0))

    def _add(self, x: Features, y: Features) -> Any:
        (p, gp), (q, gq) = x, y
        both = p + q
        square = total(both * both) * -self.curvature
        return (gp * both + square * p) / (square + gp * gq)

    def _to_frame(self, x: Features, v: Any) -> Any:
        return v * (2 / x[1])

    def _from_frame(self, x: Features, v: Any) -> Any:
        return v * (x[1] / 2)

    def _transport(self, x: Features, y: Features, v: Any) -> Any:
        # gyr[q, -p] v of Ganea et al., by the difference of the points
        (p, gp), (q, gq) = x, y
        c = -self.curvature
        delta = q - p
        square = c * total(delta * delta)
        a, b = c * total(p * v), c * total(delta * v)
        turned = (b * gp - a * square) * p - (b * (1 - gp) + a * (gq + square)) * delta
        return (gq / gp) * (v + 2 * turned / (square + gp * gq))

    def _geodesic(self, x: Features, y: Features, a: Any, b: Any) -> Any:
        # over half of 1 + time, without terms that cancel: between the points all are positive
        (p, gp), (q, gq) = x, y
        A, B = a / gp, b / gq
        return (A * p + B * q) / (A + B + (1 - a - b) / 2)

    def _project(self, x: Any, margin: float | None, dtype: Any) -> Any:
        with np.errstate(over="ignore", invalid="ignore"):
            norm = apply("sqrt", square_sum(x)[0])
        norm = pick(norm < np.inf, norm, length(x))  # of squares that overflow
        limit = self.radius * (1 - max(margin or 0, 4 * float(np.finfo(dtype).eps)))
        beyond = norm > limit
        return pick(beyond, x * (limit / pick(beyond, norm, 1.0)), x)

    def _to_ball(self, x: Features) -> Features:
        return x[0] / self.radius, x[1]

    def _from_ball(self, x: Features) -> Any:
        return x[0] * self.radius

    def origin(self, D: int) -> Any:
        """Return the centre, in float64.

        Parameters
        ----------
        D : int
            Dimension of the space.

        Returns
        -------
        ndarray of shape (D,)
            Zeros.
        """
        return np.zeros(D)

    def mobius_add(self, x: Any, y: Any) -> Any:
        r"""Return Möbius sums :math:`x \oplus y`, which move y by the translation of 0 to x.

        Parameters
        ----------
        x, y : arrays of shape (..., D)
            Points, which broadcast.

        Returns
        -------
        array of shape (..., D)
            Points.

        Examples
        --------
        >>> from georeduce.apps.hyperbolic import PoincareBall
        >>> PoincareBall().mobius_add([0.5, 0.0], [0.5, 0.0]).round(6)
        array([0.8, 0. ])
        """
        fx, fy, dtype = self._pair(x, y)
        return self._close(self._add(fx, fy), dtype)

    def conformal_factor(self, x: Any) -> Any:
        r"""Return :math:`\lambda_x = 2 / (1 - |x|^2 / R^2)`.

        Lengths of tangent vectors are their Euclidean ones times it, and a Riemannian gradient is
        the Euclidean one divided by its square.

        Parameters
        ----------
        x : array of shape (..., D)
            Points.

        Returns
        -------
        array of shape (...)
            Factors.
        """
        (x,), dtype = self._open(x)
        return cast(2 / self._features(x)[1][..., 0], dtype)
