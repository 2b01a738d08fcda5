r"""THE table of penalties on marginals: what it costs that a plan's marginal is not the weights.

With the penalty :math:`\varphi` the dual of unbalanced transport is :math:`-\sum_i a_i
\varphi^*(-f_i) - \dots`, and a Sinkhorn step is a balanced one followed by the proximal map of the
conjugate (Séjourné, Feydy, Vialard, Trouvé & Peyré 2019, Sinkhorn divergences for unbalanced optimal
transport, proposition 7).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Penalty(ABC):
    r"""A penalty :math:`\rho \varphi` on one marginal.

    It should be the case that ``step(f, epsilon)`` maximises ``dual(h) - epsilon exp((h - f) /
    epsilon)`` over h, for each number by itself.

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


class Balanced(Penalty):
    """None: the marginal is the weights."""

    def __init__(self) -> None:
        super().__init__(float("inf"))

    def step(self, f: Any, epsilon: float) -> Any:
        return f

    def dual(self, f: Any, xp: Any) -> Any:
        return f


class KullbackLeibler(Penalty):
    r""":math:`\rho \, KL(\pi 1 | a)`: mass that would cost more than some rho is left behind."""

    def step(self, f: Any, epsilon: float) -> Any:
        return f / (1 + epsilon / self.rho)

    def dual(self, f: Any, xp: Any) -> Any:
        return -self.rho * xp.expm1(-f / self.rho)


class TotalVariation(Penalty):
    r""":math:`\rho \, |\pi 1 - a|_1`: mass is created and destroyed at the price rho."""

    def step(self, f: Any, epsilon: float) -> Any:
        return f.clip(-self.rho, self.rho)

    def dual(self, f: Any, xp: Any) -> Any:
        return f


PENALTIES: dict[str, Callable[[float], Penalty]] = {
    "kl": KullbackLeibler,
    "tv": TotalVariation,
}
