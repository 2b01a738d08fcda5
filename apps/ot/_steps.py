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

from georeduce.engine.arrays import cast
from georeduce.engine.errors import expected

from .._arrays import native
from ..common import ParameterError
from ._arrays import namespace
from ._penalties import Balanced, Penalty
from ._softmin import Softmin
from .problem import SAME_MASS, Problem

LARGEST = 600.0
"""Exponents end here: errors stay finite, however far off a first guess is."""
UNEQUAL = "Set reach, which lets mass be left behind, or give the groups equal masses."


class NoPlanError(ParameterError):
    """A problem without a plan of finite cost."""

    def __init__(self, sentence: str = "") -> None:
        what = "a plan that keeps both marginals"
        got = "infinite costs between groups of points of unequal masses"
        super().__init__(sentence or expected(what, got, UNEQUAL))


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
        x, y = (cast(native(points), dtype) for points in (problem.x, problem.y))
        self.to_x = Softmin(problem.cost, x, y, problem.b, self.epsilon, "y", how)
        self.to_y = Softmin(problem.cost, x, y, problem.a, self.epsilon, "x", how)

    def value(self, g: Any) -> Any:
        """Return the value of the dual at g, (...), but for a constant."""
        p = self.problem
        along_x, along_y = p.penalties
        balanced = self.to_x(g)
        self.to_y.leave_out(unreached(balanced, p, "x"))
        self.g, self.f = g, along_x.step(balanced, self.epsilon)
        mass = marginal(p.a, self.f, balanced, self.epsilon).sum(-1)
        values = dual(p.a, self.f, along_x) + dual(p.b, g, along_y)
        return values - self.epsilon * mass

    def step(self) -> tuple[Any, Any]:
        """Return the next potential, and the marginal error, (...), of the pair that is known."""
        p = self.problem
        balanced = self.to_y(self.f)
        self.to_x.leave_out(unreached(balanced, p, "y"))
        new = p.penalties[1].step(balanced, self.epsilon)
        error = marginal_error(p.b, self.g, balanced, new, self.epsilon)
        return new - translation(p, self.f, new), error


class Symmetric:
    """The averaged step of a symmetric problem, from its potential g, (..., N), to the next."""

    def __init__(self, problem: Problem, dtype: Any, how: dict[str, Any]) -> None:
        self.problem, self.epsilon, self.weights = problem, problem.epsilon, problem.b
        y = cast(native(problem.y), dtype)
        self.to_x = Softmin(problem.cost, y, y, problem.b, self.epsilon, "y", how)

    def value(self, g: Any) -> Any:
        """Return the value of the dual at g, (...), but for a constant."""
        p = self.problem
        self.balanced = self.to_x(g)
        self.to_x.leave_out(unreached(self.balanced, p, "y"))
        self.f = self.g = g
        mass = marginal(p.b, g, self.balanced, self.epsilon).sum(-1)
        return 2 * dual(p.b, g, p.penalties[1]) - self.epsilon * mass

    def step(self) -> tuple[Any, Any]:
        """Return the next potential, and the marginal error, (...), of the one that is known."""
        p = self.problem
        new = p.penalties[1].step(self.balanced, self.epsilon)
        error = marginal_error(p.b, self.g, self.balanced, new, self.epsilon)
        return (self.g + new) / 2, error


def translation(problem: Problem, f: Any, g: Any) -> Any:
    """Return the constant, (..., 1), for which the dual at (f + c, g - c) is largest.

    Half steps find it slowly where penalties are weak (Séjourné, Vialard & Peyré 2022, Faster
    unbalanced optimal transport, section 3). There the mass that f sends, ``exp(-c / rho)`` times
    as much for a constant, is the mass that g receives. With total variation it is the largest.
    """
    along_x, along_y = problem.penalties
    if isinstance(along_x, Balanced) and isinstance(along_y, Balanced):
        return 0.0
    xp = namespace(f)
    sent = (problem.a * along_x.slope(f)).sum(-1, keepdims=True)
    received = (problem.b * along_y.slope(g)).sum(-1, keepdims=True)
    falls = along_x.falls + along_y.falls
    if falls:
        some = (sent > 0) & (received > 0)
        return xp.log(xp.where(some, sent, 1) / xp.where(some, received, 1)) / falls
    (low, high), (less, more) = along_x.room(f), along_y.room(g)
    unequal = abs(sent - received) > SAME_MASS * sent
    best = xp.where(sent > received, xp.minimum(high, -less), xp.maximum(low, -more))
    return xp.where(unequal & xp.isfinite(best), best, 0)


def unreached(balanced: Any, problem: Problem, side: str) -> Any:
    """Return which points no mass reaches, from their half step; raise if theirs has to move."""
    lost = balanced == np.inf
    if not bool(lost.any()):
        return lost
    weights = problem.a if side == "x" else problem.b
    must = lost & (weights > 0)
    if isinstance(problem.penalties["xy".index(side)], Balanced) and bool(must.any()):
        costs = native(problem.C.min(axis=must.ndim - (side == "y")))[..., 0]
        if bool(namespace(must).isfinite(costs[must]).any()):
            raise NoPlanError
        places = ", ".join(str(int(k[0])) for k in namespace(must).nonzero(must))
        what = f"a finite cost for each point of {side} that has weight"
        cure = "Set reach, which lets mass be left behind, or use other units if costs overflow."
        raise NoPlanError(expected(what, f"none for the point at {places}", cure))
    return lost


def dual(weights: Any, h: Any, penalty: Penalty) -> Any:
    """Return what a potential contributes to the dual."""
    return (weights * penalty.dual(h, namespace(h))).sum(-1)


def marginal(weights: Any, h: Any, balanced: Any, epsilon: float) -> Any:
    """Return the marginal of a plan with potential h, whose half step is `balanced`."""
    if h is balanced:
        return weights
    return weights * namespace(h).exp(((h - balanced) / epsilon).clip(max=LARGEST))


def marginal_error(weights: Any, h: Any, balanced: Any, new: Any, epsilon: float) -> Any:
    """Return how much of the mass a half step would move, relative to all of it.

    Of a plan with potential h along one side, (..., N), the half step T there and its proximal map
    `new`: without a penalty, the sum of differences of the marginal and the weights.
    """
    wanted = marginal(weights, new, balanced, epsilon)
    off = abs(marginal(weights, h, balanced, epsilon) - wanted).sum(-1)
    mass = wanted.sum(-1)
    return off / namespace(mass).where(mass > 0, mass, 1)
