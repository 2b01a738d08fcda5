r"""THE table of penalties on marginals: what it costs that a plan's marginal is not the weights.

With the penalty :math:`\varphi` the dual of unbalanced transport is :math:`-\sum_i a_i
\varphi^*(-f_i) - \dots`, and a Sinkhorn step is a balanced one followed by the proximal map of the
conjugate (Séjourné, Feydy, Vialard, Trouvé & Peyré 2019, Sinkhorn divergences for unbalanced
optimal transport, proposition 7).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._arrays import namespace

FAR = 40.0
"""In rho: a potential at which exp(-f / rho), the mass that is still sent, is below rounding."""
NEAR = -600.0
"""In rho: a potential at which the mass that is made up leaves float64."""


@dataclass(frozen=True)
class Penalty(ABC):
    r"""A penalty :math:`\rho \varphi` on one marginal.

    It should be the case that ``step(f, epsilon)`` maximises ``dual(h) - epsilon exp((h - f) /
    epsilon)`` over h, for each number by itself; that it is finite for an infinite f, a point from
    which no mass can go; and that ``within(f)`` is the nearest potential that `dual` is of.

    Attributes
    ----------
    rho : float
        In the units of the cost.
    """

    rho: float

    @abstractmethod
    def step(self, f: Any, epsilon: float) -> Any:
        """Return the potential under the penalty, from the one of balanced transport."""

    @abstractmethod
    def dual(self, f: Any, xp: Any) -> Any:
        r"""Return :math:`-\varphi^*(-f)`, what a unit of weight contributes to the value."""

    @abstractmethod
    def primal(self, marginal: Any, weights: Any, xp: Any) -> Any:
        """Return the penalty, point by point, of a marginal that is not the weights."""

    @abstractmethod
    def within(self, f: Any) -> Any:
        """Return the potential, moved to where `dual` is defined and its exponentials finite."""

    @property
    def falls(self) -> float:
        """How fast the logarithm of `slope` falls."""
        return 0.0

    def slope(self, f: Any) -> Any:
        """Return the derivative of `dual`: the mass that a unit of weight sends at best."""
        return namespace(f).full(f.shape, 1.0)

    def room(self, f: Any) -> tuple[Any, Any]:
        """Return how far down and up all of a potential, (..., M), may be moved."""
        return -np.inf, np.inf


class Balanced(Penalty):
    """None: the marginal is the weights."""

    def __init__(self) -> None:
        super().__init__(float("inf"))

    def step(self, f: Any, epsilon: float) -> Any:
        infinite = f == np.inf  # points without weight only: the others were refused
        return namespace(f).where(infinite, 0, f) if bool(infinite.any()) else f

    def dual(self, f: Any, xp: Any) -> Any:
        return f

    def primal(self, marginal: Any, weights: Any, xp: Any) -> Any:
        return xp.zeros_like(weights)

    def within(self, f: Any) -> Any:
        return f


class KullbackLeibler(Penalty):
    r""":math:`\rho \, KL(\pi 1 | a)`: mass that would cost more than some rho is left behind."""

    def step(self, f: Any, epsilon: float) -> Any:
        return self.within(f / (1 + epsilon / self.rho))

    def dual(self, f: Any, xp: Any) -> Any:
        return -self.rho * xp.expm1(-f / self.rho)

    def primal(self, marginal: Any, weights: Any, xp: Any) -> Any:
        some, more = marginal > 0, marginal - weights
        weights = xp.where(some, weights, 1)
        ratio, off = xp.where(some, marginal, 1) / weights, more / weights
        # of a marginal that nearly is the weights, what is left after a cancellation
        near = abs(off) < 0.5
        logs = xp.where(near, xp.log1p(xp.where(near, off, 0)), xp.log(ratio))
        return self.rho * (marginal * logs - more)

    @property
    def falls(self) -> float:
        return 1 / self.rho

    def slope(self, f: Any) -> Any:
        return namespace(f).exp(-f / self.rho)

    def within(self, f: Any) -> Any:
        return f.clip(NEAR * self.rho, FAR * self.rho)


class TotalVariation(Penalty):
    r""":math:`\rho \, |\pi 1 - a|_1`: mass is created and destroyed at the price rho."""

    def step(self, f: Any, epsilon: float) -> Any:
        return self.within(f)

    def dual(self, f: Any, xp: Any) -> Any:
        return f

    def primal(self, marginal: Any, weights: Any, xp: Any) -> Any:
        return self.rho * abs(marginal - weights)

    def within(self, f: Any) -> Any:
        return f.clip(-self.rho, self.rho)

    def room(self, f: Any) -> tuple[Any, Any]:
        return -self.rho - f.min(-1, keepdims=True), self.rho - f.max(-1, keepdims=True)


PENALTIES: dict[str, Callable[[float], Penalty]] = {
    "kl": KullbackLeibler,
    "tv": TotalVariation,
}
