r"""The half-space: points whose last coordinate, the height, is positive; metric R |dp| / height.

The one model in which coordinates have as many digits at the border as anywhere: all formulas are
of differences of points and of heights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from georeduce.engine.arrays import to_numpy

from ._arrays import apply, join, length, pick, total, unit
from ._model import Features, exp_scale, log_scale, refuse
from ._space import HyperbolicSpace


@dataclass(frozen=True)
class HalfSpace(HyperbolicSpace):
    r"""The Poincaré half-space of curvature K < 0: the points p with a height :math:`p_D > 0`.

    .. math:: d(p, q) = 2 R \,\mathrm{asinh} \frac{|p - q|}{2 \sqrt{p_D q_D}}

    The ball's centre is at height 1, and its point (0, ..., 0, R) at infinity.

    Parameters
    ----------
    curvature : float, default=-1.0
        K.

    Examples
    --------
    >>> import numpy as np
    >>> from georeduce.apps.hyperbolic import HalfSpace
    >>> space = HalfSpace()
    >>> float(space.distance([0.0, 1.0], [0.0, np.e]).round(6))
    1.0
    >>> space.geodesic([-1.0, 1.0], [1.0, 1.0], 0.5).round(6)
    array([0.      , 1.414214])
    """

    def _features(self, p: Any) -> Features:
        height = p[..., -1:]
        low, size = ~(height > 0), length(p)
        refuse(
            low,
            "points of positive height, the last coordinate",
            lambda at: f"{to_numpy(height)[at][0]:.6g}",
            "Move them inside by HalfSpace.project.",
        )
        refuse(~(size < np.inf), "finite points", lambda at: str(to_numpy(p)[at]), "")
        return p, height

    def _half_sinh(self, x: Features, y: Features) -> Any:
        (p, hp), (q, hq) = x, y
        return length(p - q) * ((0.5 / apply("sqrt", hp)) * (1 / apply("sqrt", hq)))

    def _log(self, x: Features, y: Features) -> Any:
        (p, hp), (q, hq) = x, y
        delta = q - p
        D = p.shape[-1]
        up = (hq - hp) * (hq + hp)
        if D > 1:
            across = delta[..., : D - 1]
            v = join(across / hq, (total(across * across) + up) / (2 * hp * hq))
        else:
            v = up / (2 * hp * hq)
        return v * log_scale(self._half_sinh(x, y), self.radius)

    def _exp(self, x: Features, v: Any) -> Any:
        p, height = x
        theta = length(v) / self.radius
        u = unit(v)
        w = v * (exp_scale(theta) / self.radius)
        up = w[..., -1:]
        # cosh - up, which cancels where the geodesic rises
        rising = total(w[..., :-1] * u[..., :-1]) / (1 + abs(u[..., -1:])) + apply("exp", -theta)
        below = pick(up > 0, rising, apply("cosh", theta) - up)
        return join(p[..., :-1] + height * w[..., :-1] / below, height / below)

    def _to_frame(self, x: Features, v: Any) -> Any:
        return v * (self.radius / x[1])

    def _from_frame(self, x: Features, v: Any) -> Any:
        return v * (x[1] / self.radius)

    def _transport(self, x: Features, y: Features, v: Any) -> Any:
        # geodesics are half circles, along which vectors turn by the angle at the circle's centre:
        # two reflections, the mirrors of which are half of that apart
        (p, hp), (q, hq) = x, y
        mirror = unit(join((q - p)[..., :-1], hp + hq))
        flipped = join(v[..., :-1], -v[..., -1:])
        return (hq / hp) * (flipped - 2 * total(mirror * flipped) * mirror)

    def _geodesic(self, x: Features, y: Features, a: Any, b: Any) -> Any:
        # 1 / height and the other coordinates over it are linear in the hyperboloid's vector
        (p, hp), (q, hq) = x, y
        height = 1 / (a / hp + b / hq)
        return join(height * (a * p[..., :-1] / hp + b * q[..., :-1] / hq), height)

    def _project(self, p: Any, margin: float | None, dtype: Any) -> Any:
        height = p[..., -1:]
        least = margin or float(np.finfo(dtype).tiny)
        return join(p[..., :-1], pick(height < least, least, height))

    def _to_ball(self, x: Features) -> Features:
        p, height = x
        across = p[..., :-1]
        square = total(across * across)
        size = square + (1 + height) ** 2
        up = (square + (height - 1) * (height + 1)) / size
        return join(2 * across / size, up), 4 * height / size

    def _from_ball(self, x: Features) -> Any:
        p, gap = x
        across = p[..., :-1]
        size = total(across * across) + (1 - p[..., -1:]) ** 2
        return join(2 * across / size, gap / size)

    def origin(self, D: int) -> Any:
        """Return the point of height 1 above 0, in float64.

        Parameters
        ----------
        D : int
            Dimension of the space.

        Returns
        -------
        ndarray of shape (D,)
            Zeros and a 1.
        """
        return np.eye(1, D, D - 1)[0]
