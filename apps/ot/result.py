"""What a solved problem is: potentials, and the plan that they stand for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from ._arrays import namespace
from .plan import DIGITS, Plan
from .problem import Problem


class Parts(NamedTuple):
    """What the plan of a solution costs.

    Attributes
    ----------
    cost : array of shape (...)
        Of moving mass.
    regularisation : array of shape (...)
        epsilon times the Kullback-Leibler divergence from the product of the weights.
    source, target : arrays of shape (...)
        Penalties of the marginals; 0 where these are kept.
    """

    cost: Any
    regularisation: Any
    source: Any
    target: Any


@dataclass(frozen=True, eq=False)
class Transport:
    """The solution of a `Problem`.

    Attributes
    ----------
    problem : Problem
        What was solved.
    f : array of shape (..., M)
        Potential of the source points, in float64.
    g : array of shape (..., N)
        Potential of the target points.
    errors : tuple of arrays of shape (...)
        Marginal error of each iteration.
    converged : bool
        Whether the last one is small enough.
    """

    problem: Problem
    f: Any
    g: Any
    errors: tuple[Any, ...]
    converged: bool

    def __repr__(self) -> str:
        seen = f"{len(self.errors)} iterations, {'' if self.converged else 'not '}converged"
        return f"Transport of a {self.problem}, {seen}"

    @cached_property
    def value(self) -> Any:
        """Value of the dual problem at the potentials: (...), float64, NumPy or CuPy.

        It is a lower bound, whose error is of second order in the marginal error.
        """
        p = self.problem
        xp = namespace(self.f)
        along_x, along_y = p.penalties
        dual = (p.a * along_x.dual(self.f, xp)).sum(-1) + (p.b * along_y.dual(self.g, xp)).sum(-1)
        return dual + p.epsilon * (p.a.sum(-1) * p.b.sum(-1) - self.plan.sum())

    @cached_property
    def parts(self) -> Parts:
        r"""What the plan costs: (...) each, float64, NumPy or CuPy; their sum is the primal value.

        At the solution that is `value`. They are of the plan as it is, which is not quite the
        solution's: with penalties it pays for its marginal error, about :math:`\rho` times the
        error under total variation, and :math:`\rho / 2` times its square, or more, under a
        divergence. A large `reach` wants a small ``tol``, where parts and not the `value` are
        wanted.
        """
        p, plan = self.problem, self.plan
        xp = namespace(self.f)
        source, target = (
            penalty.primal(side.marginal, weights, xp).sum(-1)
            for penalty, side, weights in zip(p.penalties, (plan, plan.T), (p.a, p.b), strict=True)
        )
        return Parts(plan.cost, p.epsilon * plan.divergence, source, target)

    @cached_property
    def plan(self) -> Plan:
        """The plan, of shape (..., M, N), which is not stored: as accurate as its marginals."""
        accuracy = DIGITS
        if self.errors and self.errors[-1].size:  # there may be no problem in a batch
            accuracy = min(accuracy, float(self.errors[-1].max()))
        return Plan(self.problem, self.f, self.g, accuracy=accuracy)
