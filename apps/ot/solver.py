r"""Sinkhorn's algorithm in the log domain, accelerated, on a sequence of problems.

Stages (`_stages.py`) are problems to be solved one after the other, each from the potentials of
those before: here under ever smaller regularisations. Within a stage the map of `_steps.py`, from a
potential to the next by half steps (`_softmin.py`) and proximal maps of the penalties
(`_penalties.py`), is accelerated (`_acceleration.py`). It ascends the dual, whose value is known half
way through an iteration, and an accelerated potential where the dual is lower is taken back.
"""

from __future__ import annotations

import math
from typing import Any

from georeduce.engine import ConvergenceWarning
from georeduce.engine.errors import warn

from ._acceleration import Acceleration
from ._arrays import namespace, native
from ._stages import FIRST, NEAR, Path, Stage, stages
from ._steps import Alternating, Symmetric
from .problem import Problem
from .result import Transport


def solve(
    problem: Problem,
    *,
    tol: float = 1e-3,
    max_iter: int = 1000,
    scaling: float = 0.6,
    backend: str | None = None,
    n_threads: int | None = None,
) -> Transport:
    """Return the solution of a problem."""
    how = {"backend": backend, "n_threads": n_threads}
    xp = namespace(native(problem.x))
    g = xp.zeros(problem.b.shape)
    path = Path()
    errors: list[Any] = []
    for stage in stages(problem, tol, max_iter, scaling, FIRST):
        foretold = path.at(stage.problem.epsilon)
        g = g if foretold is None else foretold
        f, g, onwards, seen = iterate(stage, g, how)
        errors += seen
        if not (seen[-1] <= stage.tol).all():
            path.forget()
        path.record(stage.problem.epsilon, onwards)
    converged = bool((errors[-1] <= tol).all())
    if not converged:
        warn(
            f"The marginal error is {float(errors[-1].max()):.2g} after {len(errors)} iterations, "
            f"above tol={tol:g}. Raise max_iter or epsilon, or pass a larger tol.",
            ConvergenceWarning,
        )
    return Transport(problem, f, g, tuple(errors), converged)


def iterate(stage: Stage, g: Any, how: dict[str, Any]) -> tuple[Any, Any, Any, list[Any]]:
    """Return the potentials at the end of a stage, the next one, and the marginal errors of its iterations."""
    problem = stage.problem
    steps = (Symmetric if problem.is_symmetric else Alternating)(problem, stage.dtype, how)
    along_x, along_y = problem.penalties
    up_to_constants = math.isinf(along_x.rho) and math.isinf(along_y.rho)
    acceleration = Acceleration(steps.weights, up_to_constants and not problem.is_symmetric)
    slack = problem.epsilon * stage.rounding * problem.b.sum(-1)
    errors: list[Any] = []
    value = steps.value(along_y.within(g))
    while True:
        new, error = steps.step()
        errors.append(error)
        if bool((error <= stage.tol).all()) or len(errors) >= stage.max_iter:
            return steps.f, steps.g, new, errors
        least = value - slack
        value = steps.value(along_y.within(acceleration.onwards(steps.g, new)))
        while (other := acceleration.retreat(value < least)) is not None:
            value = steps.value(along_y.within(other))
