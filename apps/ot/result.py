"""What a solved problem is: potentials, and the plan that they stand for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from georeduce.engine import LazyTensor, Vi, Vj

from ._arrays import namespace, native
from .problem import Problem


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
    errors : tuple of float
        Marginal error of each iteration.
    converged : bool
        Whether the last one is small enough.
    """

    problem: Problem
    f: Any
    g: Any
    errors: tuple[Any, ...]
    converged: bool

    @cached_property
    def value(self) -> Any:
        """Value of the dual problem at the potentials."""
        p = self.problem
        xp = namespace(self.f)
        along_x, along_y = p.penalties
        dual = (p.a * along_x.dual(self.f, xp)).sum(-1) + (p.b * along_y.dual(self.g, xp)).sum(-1)
        return dual + p.epsilon * (p.a.sum(-1) * p.b.sum(-1) - self.mass)

    @cached_property
    def mass(self) -> Any:
        """Sum of the plan."""
        return self.plan.sum(axis=self.f.ndim)[..., 0].sum(-1)

    @cached_property
    def plan(self) -> LazyTensor:
        """The plan, symbolic, of shape (..., M, N)."""
        p = self.problem
        x = native(p.x)
        xp = namespace(x)
        u = (self.f / p.epsilon + xp.log(p.a))[..., None].astype(x.dtype)
        v = (self.g / p.epsilon + xp.log(p.b))[..., None].astype(x.dtype)
        costs = p.cost.between(x, native(p.y)) * (1 / p.epsilon)
        pi: LazyTensor = (Vi(u) + Vj(v) - costs).exp()
        return pi
