r"""THE table of costs: one `Cost` each, from which the solver, gradients and the tests follow.

A cost is a formula of two points; with p the power of the distance that it is:

================  ====  ================================================================
"sqeuclidean"     2     :math:`|x - y|^2`
"euclidean"       1     :math:`|x - y|`, also "l2"
"manhattan"       1     :math:`\sum_d |x_d - y_d|`, also "l1" and "cityblock"
"cosine"          1     :math:`1 - \cos(x, y)`, as half a squared distance on the sphere
"sphere"          1     the angle between x and y, also "angle": a geodesic distance
"poincare"        1     hyperbolic distance in the unit ball, `hyperbolic.PoincareBall`'s
``power(p)``      p     :math:`|x - y|^p`
================  ====  ================================================================

What it is to move mass by a cost is not known here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from georeduce.engine import DTypeError, LazyTensor, ShapeError, Vi, Vj
from georeduce.engine.arrays import to_numpy
from georeduce.engine.errors import did_you_mean, expected

from ..common import ParameterError
from ..hyperbolic import PoincareBall
from ..hyperbolic._arrays import total, unit
from ._arrays import POSITIVE_NUMBER, number

Formula = Callable[[LazyTensor, LazyTensor], LazyTensor]


def _as_they_are(points: Any) -> Any:
    return points


@dataclass(frozen=True)
class Cost:
    """What it costs to move a unit of mass from one point to another.

    It should be the case that ``between(x, y)`` is >= 0, 0 for a point and itself, and the same
    both ways. A cost that is not works; it is symmetric problems and divergences that need it.

    Parameters
    ----------
    name : str
        Value of the parameter ``cost``.
    formula : callable
        Of two LazyTensors, points as rows and as columns. What it holds besides, as an array that
        has a row for each point, belongs to these points: a cost that is to hold for other points
        too takes such things as features of the points.
    degree : float
        A distance ``r`` is the cost ``r ** degree``: what ``reach`` is measured by.
    scales : bool
        Whether points that are ``s`` times as large cost ``s ** degree`` times as much.
    prepare : callable
        From an array of points (..., n, D), of any library, to what the formula is of, computed
        once for each point. Raises for points that the cost has no meaning for. PyTorch's
        derivatives pass through it.
    aliases : tuple of str
        Other names.

    Examples
    --------
    >>> import numpy as np
    >>> from georeduce.apps.ot import Cost
    >>> cost = Cost("fourth", lambda x, y: x.sqdist(y).square(), degree=4)
    >>> cost.between(np.zeros((2, 3)), np.ones((1, 3))).dense()
    array([[9.],
           [9.]])
    """

    name: str
    formula: Formula
    degree: float = 1.0
    scales: bool = False
    prepare: Callable[[Any], Any] = _as_they_are
    aliases: tuple[str, ...] = ()

    def __reduce__(self) -> Any:
        """Let costs of the table be found there, as their formulas cannot be pickled."""
        if COSTS.get(self.name) is self:
            return resolve, (self.name,)
        return super().__reduce__()

    def of_distance(self, r: float) -> float:
        """Return the cost of a distance."""
        return float(r**self.degree)

    def between(self, x: Any, y: Any) -> LazyTensor:
        """Return the costs of all pairs of points, symbolic.

        Parameters
        ----------
        x : array of shape (..., M, D)
            Points, as rows.
        y : array of shape (..., N, D)
            Points, as columns, of the same library, device and dtype.

        Returns
        -------
        LazyTensor of shape (..., M, N)
            Nothing is computed yet.

        Raises
        ------
        ParameterError, ShapeError
            If the formula returns anything else, or the cost has no meaning for one of the points.
        """
        rows, columns = Vi(self.prepare(x)), Vj(self.prepare(y))
        try:
            C = self.formula(rows, columns)
        except (ShapeError, DTypeError) as error:
            error.add_note(
                f"In the cost {self.name}, of {x.shape[-2]} and {y.shape[-2]} points. What it holds"
                " besides is of other ones: make it features of the points."
            )
            raise
        what = f"the cost {self.name} to return a LazyTensor of dimension 1, a cost for each pair"
        cure = "Reduce the features, for example with .sum(-1)."
        if not isinstance(C, LazyTensor):
            raise ParameterError(expected(what, type(C).__name__, cure))
        if C.D != 1:
            raise ShapeError(expected(what, f"dimension {C.D}", cure))
        if (C.M, C.N) != (x.shape[-2], y.shape[-2]):
            cure = "Use both arguments, and no other points but of the same numbers."
            raise ShapeError(expected(what, f"shape {C.full_shape}", cure))
        return C


# --- Formulas ---------------------------------------------------------------------------------


def _distance(x: LazyTensor, y: LazyTensor) -> Any:
    return x.sqdist(y).sqrt()


def _power(p: float, x: LazyTensor, y: LazyTensor) -> Any:
    return _distance(x, y) ** p  # the slope of the root at 0 is finite


def _angle(u: LazyTensor, v: LazyTensor) -> Any:
    """Return the angle of unit vectors, which has all its digits near 0 and near pi.

    Kahan 2006, How futile are mindless assessments of roundoff, section 12. The arc cosine of a
    scalar product has half of them.
    """
    return 2 * _distance(u, v).atan2((u + v).norm2())


def _directions(cost: str) -> Callable[[Any], Any]:
    def directions(points: Any) -> Any:
        u = unit(points)
        nowhere = to_numpy(total(u * u))[..., 0] == 0
        if nowhere.any():
            at = ", ".join(str(int(k[0])) for k in nowhere.nonzero())
            cure = "Drop these points: the origin has no direction."
            what = f"points other than the origin for the cost {cost!r}"
            raise ParameterError(expected(what, f"the origin at {at}", cure))
        return u

    return directions


COSTS: dict[str, Cost] = {}

for _cost in (
    Cost("sqeuclidean", lambda x, y: x.sqdist(y), 2.0, True),
    Cost("euclidean", _distance, 1.0, True, aliases=("l2",)),
    Cost("manhattan", lambda x, y: (x - y).abs().sum(-1), 1.0, True, aliases=("l1", "cityblock")),
    Cost("cosine", lambda u, v: u.sqdist(v) * 0.5, prepare=_directions("cosine")),
    Cost("sphere", _angle, prepare=_directions("sphere"), aliases=("angle",)),
    Cost("poincare", PoincareBall().distance),
):
    for _name in (_cost.name, *_cost.aliases):
        COSTS[_name] = _cost


def power(p: float) -> Cost:
    r"""Return the cost :math:`|x - y|^p` of the Euclidean distance.

    Parameters
    ----------
    p : float
        > 0.

    Returns
    -------
    Cost
        Of degree p.

    Examples
    --------
    >>> import numpy as np
    >>> from georeduce.apps.ot import Problem, power
    >>> Problem(np.zeros((1, 2)), np.full((1, 2), 2.0), cost=power(4)).C.dense()
    array([[64.]])
    """
    POSITIVE_NUMBER.check("p", p)
    p = float(number(p))
    for cost in (COSTS["euclidean"], COSTS["sqeuclidean"]):
        if p == cost.degree:
            return cost
    return Cost(f"power({p:g})", partial(_power, p), p, True)


def resolve(cost: Any) -> Cost:
    """Return the cost that the user means: a name, a `Cost`, or a function of two LazyTensors."""
    if isinstance(cost, Cost):
        return cost
    if callable(cost):
        return Cost(getattr(cost, "__name__", repr(cost)), cost)
    if not isinstance(cost, str) or cost not in COSTS:
        what = f"cost to be one of {sorted(COSTS)}, a Cost or a function of two LazyTensors"
        if isinstance(cost, str):
            raise ParameterError(expected(what, repr(cost), did_you_mean(cost, COSTS)))
        cure = "Costs are not given as a matrix: a function makes them of the points."
        raise ParameterError(expected(what, type(cost).__name__, cure))
    return COSTS[cost]
