"""THE table of costs: one `Cost` each, from which the solver, gradients and the tests follow.

A cost is a formula of two points. What it is to move mass by it is not known here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from georeduce.engine import LazyTensor, ShapeError, Vi, Vj
from georeduce.engine.errors import did_you_mean, expected

from ..common import ParameterError

Formula = Callable[[LazyTensor, LazyTensor], LazyTensor]


@dataclass(frozen=True)
class Cost:
    """What it costs to move a unit of mass from one point to another.

    It should be the case that ``formula(x, y) >= 0``, that it is 0 of a point and itself, the
    same both ways, and ``s ** degree`` times as much for points ``s`` times as large, if `degree`
    is not None.

    Attributes
    ----------
    name : str
        Value of the parameter ``cost``.
    formula : callable
        Of two LazyTensors, points as rows and as columns.
    degree : float or None
        Of homogeneity: a distance ``r`` corresponds to the cost ``r ** degree``. None where points
        cannot be scaled, so that a distance is a cost as it is.
    aliases : tuple of str
        Other names.
    """

    name: str
    formula: Formula
    degree: float | None = None
    aliases: tuple[str, ...] = ()

    def of_distance(self, r: float) -> float:
        """Return the cost of a distance."""
        return float(r ** (1.0 if self.degree is None else self.degree))

    def between(self, x: Any, y: Any) -> LazyTensor:
        """Return the costs of points x (..., M, D), as rows, and y (..., N, D)."""
        C = self.formula(Vi(x), Vj(y))
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


COSTS: dict[str, Cost] = {}

for _cost in (
    Cost("sqeuclidean", lambda x, y: x.sqdist(y), 2.0),
    Cost("euclidean", lambda x, y: x.sqdist(y).sqrt(), 1.0, ("l2",)),
    Cost("manhattan", lambda x, y: (x - y).abs().sum(-1), 1.0, ("l1", "cityblock")),
):
    for _name in (_cost.name, *_cost.aliases):
        COSTS[_name] = _cost


def power(p: float) -> Cost:
    r"""Return the cost :math:`|x - y|^p` of the Euclidean distance."""
    return Cost(f"power({p:g})", lambda x, y: x.sqdist(y) ** (p / 2), float(p))


def resolve(cost: Any) -> Cost:
    """Return the cost that the user means: a name, a `Cost`, or a function of two LazyTensors."""
    if isinstance(cost, Cost):
        return cost
    if callable(cost):
        return Cost(getattr(cost, "__name__", repr(cost)), cost)
    if not isinstance(cost, str) or cost not in COSTS:
        what = f"cost to be one of {sorted(COSTS)}, a Cost or a function of two LazyTensors"
        guess = did_you_mean(cost, COSTS) if isinstance(cost, str) else ""
        raise ParameterError(expected(what, repr(cost), guess))
    return COSTS[cost]
