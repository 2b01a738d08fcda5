r"""What is iterated, from one potential to the next, and what is known on the way.

The plan of ``(f, g)`` with ``f = step(T(g))`` has the right rows, and what ``step(T(f))`` would
change of its columns is its marginal error, so that the error costs no reduction. The value of the
dual problem is known half way already. A problem that is its own mirror image has one potential,
and averages it with its half step (Feydy et al. 2019, section 3.1): its plan has the same error
along both sides.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from georeduce.engine.errors import expected

from ..common import ParameterError
from ._arrays import namespace, native
from ._penalties import Balanced, Penalty
from ._softmin import Softmin
from .problem import Problem

LARGEST = 600.0
"""Exponents end here: errors stay finite, however far off a first guess is."""


class Alternating:
    """Half steps in turn, from a potential g of the points y, (..., N), to the next.

    Parameters
    ----------
    problem : Problem
    dtype : dtype
        In which pairs are computed.
    how : dict
        Keywords of the reductions.
    """

    def __init__(self, problem: Problem, dtype: Any, how: dict[str, Any]) -> None:
        self.problem, self.epsilon, self.weights = problem, problem.epsilon, problem.b
        x, y = (native(points).astype(dtype, copy=False) for points in (problem.x, problem.y))
        self.to_x = Softmin(problem.cost, x, y, problem.b, self.epsilon, "y", how)
        self.to_y = Softmin(problem.cost, x, y, problem.a, self.epsilon, "x", how)

    def value(self, g: Any) -> Any:
        """Return the value of the dual at g, (...), but for a constant."""
        p = self.problem
        along_x, along_y = p.penalties
        balanced = self.to_x(g)
        leave_out(balanced, p.a, along_x, "x", self.to_y)
        self.g, self.f = g, along_x.step(balanced, self.epsilon)
        mass = total(p.a, self.f, balanced, self.epsilon)
        values = dual(p.a, self.f, along_x) + dual(p.b, g, along_y)
        return values - self.epsilon * mass

    def step(self) -> tuple[Any, Any]:
        """Return the next potential, and the marginal error, (...), of the pair that is known."""
        p = self.problem
        balanced = self.to_y(self.f)
        leave_out(balanced, p.b, p.penalties[1], "y", self.to_x)
        new = p.penalties[1].step(balanced, self.epsilon)
        return new, marginal_error(p.b, self.g, balanced, new, self.epsilon)


class Symmetric:
    """The averaged step of a symmetric problem, from its potential g, (..., N), to the next."""

    def __init__(self, problem: Problem, dtype: Any, how: dict[str, Any]) -> None:
        self.problem, self.epsilon, self.weights = problem, problem.epsilon, problem.b
        y = native(problem.y).astype(dtype, copy=False)
        self.to_x = Softmin(problem.cost, y, y, problem.b, self.epsilon, "y", how)

    def value(self, g: Any) -> Any:
        """Return the value of the dual at g, (...), but for a constant."""
        p = self.problem
        self.balanced = self.to_x(g)
        leave_out(self.balanced, p.b, p.penalties[1], "y", self.to_x)
        self.f = self.g = g
        mass = total(p.b, g, self.balanced, self.epsilon)
        return 2 * dual(p.b, g, p.penalties[1]) - self.epsilon * mass

    def step(self) -> tuple[Any, Any]:
        """Return the next potential, and the marginal error, (...), of the one that is known."""
        p = self.problem
        new = p.penalties[1].step(self.balanced, self.epsilon)
        error = marginal_error(p.b, self.g, self.balanced, new, self.epsilon)
        return (self.g + new) / 2, error


def leave_out(balanced: Any, weights: Any, penalty: Penalty, side: str, back: Softmin) -> None:
    """Let points that no mass reaches send none; raise where their mass has to go somewhere."""
    lost = balanced == np.inf
    if not bool(lost.any()):
        return
    if isinstance(penalty, Balanced) and bool((lost & (weights > 0)).any()):
        row = tuple(int(k[0]) for k in namespace(lost).nonzero(lost & (weights > 0)))
        what = f"a finite cost for each point of {side} that has weight"
        place = row[0] if len(row) == 1 else row
        cure = "Set reach, which lets mass be left behind, or use other units if costs overflow."
        raise ParameterError(expected(what, f"infinite ones only for point {place}", cure))
    back.leave_out(lost)


def dual(weights: Any, h: Any, penalty: Penalty) -> Any:
    """Return what a potential contributes to the dual."""
    return (weights * penalty.dual(h, namespace(h))).sum(-1)


def total(weights: Any, h: Any, balanced: Any, epsilon: float) -> Any:
    """Return the mass of a plan with potential h along one side, whose half step is `balanced`."""
    return masses(weights, h, balanced, epsilon).sum(-1)


def masses(weights: Any, h: Any, balanced: Any, epsilon: float) -> Any:
    """Return the marginal of a plan with potential h, whose half step is `balanced`."""
    return weights * namespace(h).exp(((h - balanced) / epsilon).clip(max=LARGEST))


def marginal_error(weights: Any, h: Any, balanced: Any, new: Any, epsilon: float) -> Any:
    """Return how much of the mass a half step would move, relative to all of it.

    Of a plan with potential h along one side, (..., N), the half step T there and its proximal map
    `new`: without a penalty, the sum of differences of the marginal and the weights.
    """
    wanted = masses(weights, new, balanced, epsilon)
    off = abs(masses(weights, h, balanced, epsilon) - wanted).sum(-1)
    mass = wanted.sum(-1)
    return off / namespace(mass).where(mass > 0, mass, 1)
