r"""The hyperboloid (Lorentz model): :math:`-x_0^2 + |x_{1..D}|^2 = -R^2` with :math:`x_0 > 0`.

Lorentz products of far points cancel, so that formulas are of polar coordinates about
:math:`(R, 0)`: the direction n, and :math:`a = e^{r / R}` of the distance r from there. Both have
twice the digits of float64, as a number and the rest of it, so that differences of near points are
as good as the points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from georeduce.engine.arrays import cast, to_numpy

from ..exact import square_sum, two_product, two_sum
from ._arrays import FLOAT32, FLOAT64, apply, join, length, pick, root, total, unit
from ._model import Features, exp_scale, log_scale, refuse
from ._space import HyperbolicSpace

OFF = 1e-3
"""How far from the hyperboloid, relative to x_0, points may be: some thousand float32 roundings."""


@dataclass(frozen=True)
class Hyperboloid(HyperbolicSpace):
    r"""The hyperboloid of curvature K < 0, in D + 1 coordinates with time first.

    .. math::
        \sinh^2 \frac{d}{2 R} = \sinh^2 \frac{r_x - r_y}{2 R}
            + \sinh \frac{r_x}{R} \sinh \frac{r_y}{R} \frac{|n_x - n_y|^2}{4}

    for points at distances r from (R, 0) in directions n: the law of cosines as a sum of positive
    terms. The time coordinate follows from the others, and is only checked. Points may be as far as
    some 300 R from (R, 0). PyTorch's derivatives at (R, 0) itself are 0, where n has none.

    Parameters
    ----------
    curvature : float, default=-1.0
        K.

    Examples
    --------
    >>> from georeduce.apps.hyperbolic import Hyperboloid
    >>> space = Hyperboloid()
    >>> x = space.project([0.0, 3.0, 4.0])
    >>> x.round(6)
    array([5.09902, 3.     , 4.     ])
    >>> float(space.distance(space.origin(2), x).round(6))
    2.312438
    """

    more: ClassVar[int] = 1

    def _features(self, x: Any) -> Features:
        time, space = x[..., :1], x[..., 1:]
        rho = length(space) / self.radius
        exact = self.radius * apply("sqrt", 1 + rho * rho)
        refuse(
            ~(abs(time - exact) <= OFF * exact),
            f"points of the hyperboloid -x_0^2 + |x|^2 = {-(self.radius**2):.6g} with x_0 > 0",
            lambda at: f"x_0 = {to_numpy(time)[at][0]:.6g} for {to_numpy(exact)[at][0]:.6g}",
            "Let Hyperboloid.project find x_0.",
        )
        size, low = _two_root(*square_sum(space))
        safe = pick(size > 0, size, 1.0)
        n = space / safe
        p, lost = two_product(n, safe)
        n_low = ((space - p) - lost - n * low) / safe
        rho = size / self.radius  # not of coordinates: their roundings would move far points
        p, lost = two_product(rho, self.radius)
        low = ((size - p) - lost + low) / self.radius
        square, lost = two_product(rho, rho)
        one, more = two_sum(square, 1.0)
        cosh, cosh_low = _two_root(one, more + lost + 2 * rho * low)
        a, lost = two_sum(rho, cosh)
        return n, n_low, a, lost + low + cosh_low, rho

    def _in_float32(self, x: Features) -> Features:
        n, n_low, a, a_low, rho = x
        (n, n_low), (a, a_low) = (
            (high, low + (x - cast(high, FLOAT64)))
            for x, low in ((n, n_low), (a, a_low))
            for high in [cast(x, FLOAT32)]
        )
        return n, cast(n_low, FLOAT32), a, cast(a_low, FLOAT32), cast(rho, FLOAT32)

    def _parts(self, x: Features, y: Features) -> tuple[Any, Any, Any]:
        """Return n_y - n_x, sinh((r_y - r_x) / 2 R) and sinh(d / 2 R)."""
        (nx, mx, ax, bx, px), (ny, my, ay, by, py) = x, y
        turned = (ny - nx) + (my - mx)
        risen = ((ay - ax) + (by - bx)) * ((0.5 / apply("sqrt", ax)) * (1 / apply("sqrt", ay)))
        across = length(turned) * ((0.5 * root(px)) * root(py))
        return turned, risen, root(risen * risen + across * across)

    def _half_sinh(self, x: Features, y: Features) -> Any:
        return self._parts(x, y)[2]

    def _log(self, x: Features, y: Features) -> Any:
        turned, risen, s = self._parts(x, y)
        n, _, a, _, rho = x
        h = total(turned * turned) / 2
        # sinh((r_y - r_x) / R) along n; of the rest cosh(r_x / R) - 1 remains, as `turned` is not
        # orthogonal to n
        along = 2 * risen * apply("sqrt", 1 + risen * risen) - y[4] * h * _versed(a, rho)
        return (n * along + turned * y[4]) * log_scale(s, self.radius)

    def _exp(self, x: Features, v: Any) -> Any:
        n, _, a, _, rho = x
        theta = length(v) / self.radius
        u, w = unit(v), v * (exp_scale(theta) / self.radius)
        aside = u - total(u * n) * n
        up = total(w * n)
        cosh = (a + 1 / a) / 2
        # sinh(r) cosh(theta) + cosh(r) up, which cancels where the geodesic comes to the centre
        rest = cosh * apply("sinh", theta) * total(aside * aside) / (1 + abs(total(u * n)))
        nearer = apply("sinh", apply("asinh", rho) - theta) + rest
        along = pick(up < 0, nearer, rho * apply("cosh", theta) + cosh * up)
        space = self.radius * (n * along + (w - up * n))
        return join(0 * along, space)

    def _to_frame(self, x: Features, v: Any) -> Any:
        n, a = x[0], x[2]
        space = v[..., 1:]
        along = total(n * space)
        return space + n * along * (2 / (a + 1 / a) - 1)

    def _from_frame(self, x: Features, v: Any) -> Any:
        n, _, a, _, rho = x
        along = total(n * v)
        return join(along * rho, v + n * (along * _versed(a, rho)))

    def _transport(self, x: Features, y: Features, v: Any) -> Any:
        # frames are transported from the centre, so that vectors turn by the angle that is missing
        # from the triangle of the three points, in the plane of the directions
        turned = self._parts(x, y)[0]
        (n, _, a, _, rho), (_, _, b, _, sigma) = x, y
        tx, ty = (s / (1 + (e + 1 / e) / 2) for s, e in ((rho, a), (sigma, b)))  # tanh(r / 2)
        h = total(turned * turned) / 2
        tan = tx * ty / (2 / (a + 1) + tx * (2 / (b + 1)) + tx * ty * h)  # of half of it, over sin

        def plane(u: Any) -> Any:
            return total(turned * u) * n - total(n * u) * turned

        u = self._to_frame(x, v)
        once = tan * plane(u)
        u = u + (once + tan * plane(once)) * (2 / (1 + tan * tan * h * (2 - h)))
        return self._from_frame(y, u)

    def _geodesic(self, x: Features, y: Features, a: Any, b: Any) -> Any:
        space = a * x[4] * x[0] + b * y[4] * y[0]
        return join(0 * a, self.radius * space)

    def _project(self, x: Any, margin: float | None, dtype: Any) -> Any:
        space = x[..., 1:]
        size = length(space) / self.radius
        return join(self.radius * apply("sqrt", 1 + size * size), space)

    def _to_ball(self, x: Features) -> Features:
        n, _, a, _, rho = x
        more = 1 + (a + 1 / a) / 2
        return n * (rho / more), 2 / more

    def _from_ball(self, x: Features) -> Any:
        p, gap = x
        return join(0 * gap, self.radius * 2 * p / gap)

    def origin(self, D: int) -> Any:
        """Return (R, 0, ..., 0), in float64.

        Parameters
        ----------
        D : int
            Dimension of the space.

        Returns
        -------
        ndarray of shape (D + 1,)
            The apex.
        """
        return self.radius * np.eye(1, D + 1)[0]


def _two_root(high: Any, low: Any) -> tuple[Any, Any]:
    """Return the root of a number in two parts, in two parts."""
    found = root(high)
    square, lost = two_product(found, found)
    some = found > 0
    return found, pick(some, ((high - square) - lost + low) / (2 * pick(some, found, 1.0)), 0.0)


def _versed(a: Any, rho: Any) -> Any:
    """Return ``cosh(r) - 1``, of ``a = exp(r)`` and ``rho = sinh(r)``."""
    return rho * rho / (1 + (a + 1 / a) / 2)
