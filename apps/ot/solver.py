r"""Sinkhorn's algorithm in the log domain, on a sequence of problems that hand on their potentials.

With half steps T (`_softmin.py`) and the penalties' proximal maps (`_penalties.py`) an iteration is
``f = step(T(g)); g' = step(T(f))``. The plan of ``(f, g)`` has the right rows, and what g' would
change of its columns is its marginal error, so that the error costs no reduction. A problem that
is its own mirror image has one potential, and averages it with its half step (Feydy et al. 2019,
section 3.1).

Stages are problems to be solved one after the other, each from the potentials of the last: here
under ever smaller regularisations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from georeduce.engine import ConvergenceWarning
from georeduce.engine.errors import warn

from ._arrays import namespace, native
from ._softmin import Softmin
from .problem import Problem
from .result import Transport


@dataclass(frozen=True)
class Stage:
    """A problem on the way, and when to leave it.

    Attributes
    ----------
    problem : Problem
        With its regularisation.
    tol : float
        Marginal error at which it is over.
    max_iter : int
        Iterations after which it is over at the latest.
    dtype : dtype
        In which pairs are computed.
    """

    problem: Problem
    tol: float
    max_iter: int
    dtype: Any


def solve(
    problem: Problem,
    *,
    tol: float = 1e-3,
    max_iter: int = 1000,
    scaling: float = 0.5,
    backend: str | None = None,
    n_threads: int | None = None,
) -> Transport:
    """Return the solution of a problem."""
    how = {"backend": backend, "n_threads": n_threads}
    xp = namespace(native(problem.x))
    f, g = xp.zeros(problem.a.shape), xp.zeros(problem.b.shape)
    errors: list[Any] = []
    for stage in stages(problem, tol, max_iter, scaling):
        f, g, seen = iterate(stage, f, g, how)
        errors += seen
    converged = bool((errors[-1] <= tol).all())
    if not converged:
        warn(
            f"The marginal error is {float(errors[-1].max()):.2g} after {len(errors)} iterations, "
            f"above tol={tol:g}. Raise max_iter or epsilon, or pass a larger tol.",
            ConvergenceWarning,
        )
    return Transport(problem, f, g, tuple(errors), converged)


def stages(problem: Problem, tol: float, max_iter: int, scaling: float) -> Iterator[Stage]:
    """Yield the problem under regularisations from the size of its costs to its own."""
    dtype = native(problem.x).dtype
    epsilon = _largest_cost(problem)
    while epsilon * scaling > problem.epsilon:
        epsilon *= scaling
        yield Stage(problem.with_epsilon(epsilon), 0.1, 2, dtype)
    yield Stage(problem, tol, max_iter, dtype)


def _largest_cost(problem: Problem) -> float:
    """Return about the largest cost, from a sample of the points."""
    x, y = (
        native(points)[..., :: max(1, points.shape[-2] // 64), :]
        for points in (problem.x, problem.y)
    )
    if not (x.shape[-2] and y.shape[-2]):
        return 0.0
    found = problem.cost.between(x, y).max(axis=x.ndim - 1, backend="numpy")
    return float(found[np.isfinite(found)].max(initial=0))


def iterate(stage: Stage, f: Any, g: Any, how: dict[str, Any]) -> tuple[Any, Any, list[Any]]:
    """Return the potentials at the end of a stage, and the marginal errors of its iterations."""
    problem, epsilon = stage.problem, stage.problem.epsilon
    half = Softmin(problem, stage.dtype, how)
    along_x, along_y = problem.penalties
    errors = []
    for _ in range(stage.max_iter):
        f = along_x.step(half.along_x(g), epsilon)
        balanced = half.along_y(f)
        new = along_y.step(balanced, epsilon)
        errors.append(marginal_error(problem.b, g, balanced, new, epsilon))
        if (errors[-1] <= stage.tol).all():
            break
        g = new
    return f, g, errors


def marginal_error(b: Any, g: Any, balanced: Any, new: Any, epsilon: float) -> Any:
    """Return how much of the mass a half step would move, relative to all of it.

    Of a plan with potential g along one side, (..., N), the half step T there and its proximal map
    `new`: without a penalty, the sum of differences of the marginal and the weights b.
    """
    xp = namespace(b)
    masses = b * xp.exp((g - balanced) / epsilon)
    others = b * xp.exp((new - balanced) / epsilon)
    return abs(masses - others).sum(-1) / others.sum(-1)
