r"""Sinkhorn's algorithm in the log domain, accelerated, on a sequence of problems.

Stages (`_stages.py`) are problems to be solved one after the other, each from the potentials of
those before: here under ever smaller regularisations. Within a stage the map of `_steps.py`, from
a potential to the next by half steps (`_softmin.py`) and proximal maps of the penalties
(`_penalties.py`), is accelerated (`_acceleration.py`). It ascends the dual, whose value is known
half way through an iteration, and an accelerated potential where the dual is lower is taken back.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from georeduce.engine import ConvergenceWarning, LazyTensor
from georeduce.engine.arrays import cast
from georeduce.engine.errors import expected, warn

from .._arrays import native
from .._progress import Progress
from ..common import (
    POSITIVE_INTEGER,
    VERBOSE,
    ParameterError,
    Rule,
    is_real,
    one_of,
)
from ._acceleration import Acceleration
from ._arrays import POSITIVE_NUMBER, namespace, number
from ._sizes import Sizes
from ._stages import PATIENCE, Path, Stage, stages
from ._start import STARTS, beginning, check_start
from ._steps import UNEQUAL, Alternating, NoPlanError, Symmetric, unreached
from .problem import Problem
from .result import Transport

ENTROPY = 745.0
"""Of a unit of mass, over epsilon, at most: logarithms of weights in float64 go so far."""
ROOM = 2.0
"""For the rounding of values, and the masses that a plan on the way is off by."""
POTENTIALS = Rule(
    "a Transport or a pair of potentials (f, g)",
    lambda value: (
        isinstance(value, Transport) or (isinstance(value, tuple | list) and len(value) == 2)
    ),
)
RULES = {
    "tol": POSITIVE_NUMBER,
    "max_iter": POSITIVE_INTEGER,
    "scaling": Rule("a number between 0 and 1", lambda value: is_real(value) and 0 < value < 1),
    "start": one_of(*STARTS) | POTENTIALS,
    "verbose": VERBOSE,
}


def solve(
    problem: Problem,
    *,
    tol: float = 1e-3,
    max_iter: int = 1000,
    scaling: float = 0.6,
    start: Any = "zero",
    backend: str | None = None,
    n_threads: int | None = None,
    verbose: bool | int = False,
) -> Transport:
    r"""Solve a problem of entropic optimal transport.

    A step is a log-sum-exp over all pairs, and nothing of their number is stored. Potentials are
    always in float64; pairs are computed in float32 as long as that resolves the marginal error
    that is asked for, and in float64 from there, whatever the points are in.

    Parameters
    ----------
    problem : Problem
        What is to be solved.
    tol : float, default 1e-3
        Marginal error at which it is solved: the mass by which a marginal of the plan is off, the
        sum of differences, relative to all of it. Of each problem of a batch.
    max_iter : int, default 1000
        Iterations, of two reductions each, under the problem's own regularisation.
    scaling : float, default 0.6
        Ratio of successive regularisations on the way, from a fifth of the largest cost.
    start : {"zero", "gaussian", "sorted"} or Transport or pair of arrays, default "zero"
        Potentials to begin with. For the cost "sqeuclidean": "gaussian" are those of Gaussians of
        the same moments, which saves a third of the reductions where epsilon is large; "sorted" are
        those of the order along an axis, which saves three quarters of them where points lie on a
        line, and some where clusters do. From potentials (f, g) of shapes (..., M) and (..., N) the
        problem is solved without stages; so it is from a Transport, which may be under another
        regularisation and of other points.
    backend : str, optional
        Of the reductions, as everywhere.
    n_threads : int, optional
        Of the reductions, as everywhere.
    verbose : bool or int, default False
        Whether to show progress: a bar if tqdm is installed, else lines.

    Returns
    -------
    Transport
        With `errors`, the marginal error of each iteration under the regularisation of its stage,
        the last one that of the potentials returned.

    Raises
    ------
    ParameterError
        Where a parameter is not what is said here, or a point of weight has infinite costs only and
        its mass has to be moved, or groups of points of unequal masses are found to have infinite
        costs between them.

    Warns
    -----
    ConvergenceWarning
        If the marginal error is above `tol` in the end, with what it is.

    Examples
    --------
    >>> import numpy as np
    >>> from georeduce.apps.ot import Problem, solve
    >>> x = np.array([[0.0], [1.0]])
    >>> solved = solve(Problem(x, x + 2, epsilon=0.1), tol=1e-6)
    >>> bool(solved.converged), round(float(solved.value), 2)
    (True, 4.07)
    """
    if not isinstance(problem, Problem):
        raise ParameterError(expected("problem to be a Problem", type(problem).__name__))
    given = {"tol": tol, "max_iter": max_iter, "scaling": scaling, "start": start}
    for name, value in (given | {"verbose": verbose}).items():
        RULES[name].check(name, value)
    tol = float(number(tol))
    if not (problem.a.size and problem.b.size):
        return nothing(problem)
    how = {"backend": backend, "n_threads": n_threads}
    sizes = Sizes(problem)
    path, errors, own, misleading = Path(), [], 0, False
    with Progress("Transport", None, verbose) as progress:
        for stage in stages(problem, sizes, tol, scaling, check_start(start, problem)):
            last = stage.problem is problem
            if own == max_iter:
                break
            limit = max_iter - own if last else PATIENCE
            if stage.is_part and misleading:
                continue
            g = path.at(stage, how)
            g = beginning(start, stage, how) if g is None else g
            try:
                f, g, onwards, seen = iterate(stage, g, limit, how, progress)
            except NoPlanError:
                if not stage.is_part:
                    raise
                misleading = True
                path.forget()
                continue
            errors += seen
            own += last * len(seen)
            if not (seen[-1] <= stage.tol).all():
                path.forget()
            path.record(stage.problem, f, onwards)
    converged = bool((errors[-1] <= tol).all())
    if not converged:
        warn(
            f"The marginal error is {float(errors[-1].max()):.2g} after {own} iterations, above "
            f"tol={tol:g}. {cure(stage, how)}",
            ConvergenceWarning,
        )
    return Transport(problem, f, g, tuple(errors), converged)


def has_infinite_costs(stage: Stage, how: dict[str, Any]) -> bool:
    """Return whether some are, in the dtype of a stage."""
    return bool((_costs(stage).max(axis=stage.problem.a.ndim, **how) == np.inf).any())


def _costs(stage: Stage) -> LazyTensor:
    x, y = (cast(native(points), stage.dtype) for points in (stage.problem.x, stage.problem.y))
    C: LazyTensor = stage.problem.cost.between(x, y)
    return C


def cure(stage: Stage, how: dict[str, Any]) -> str:
    """Return what helps where marginals are off at the end of the last stage."""
    if stage.problem.reach == (None, None) and has_infinite_costs(stage, how):
        return (
            "Some costs are infinite: if groups of points that these keep apart have unequal "
            f"masses, no plan keeps both marginals. {UNEQUAL} If there is a plan, raise "
            "max_iter or epsilon."
        )
    return (
        "Raise max_iter, or begin with this result (start=...); where it does not fall any more, "
        "raise tol or epsilon."
    )


class Ceiling:
    """What the dual's value of a balanced problem is at most, if there is a plan.

    The value of a plan, whose entropy is that of sending each point's mass to one point, at most.
    Where infinite costs keep groups of unequal masses apart, the dual has no bound: potentials part
    for ever, until rounding hides that marginals are off.
    """

    def __init__(self, stage: Stage, how: dict[str, Any]) -> None:
        self._stage, self._how = stage, how
        self._is_exact = False
        self._most = self._bound(stage.largest)

    def check(self, value: Any) -> None:
        """Raise if a value, (...), of the dual is above."""
        if not bool((value > self._most).any()):
            return
        if not self._is_exact:  # of all costs, where a sample has missed the largest
            axis, C = self._stage.problem.a.ndim, _costs(self._stage)
            largest = (C < np.inf).where(C, 0.0).max(axis=axis, **self._how)
            self._most, self._is_exact = self._bound(float(largest.max())), True
            self.check(value)
            return
        raise NoPlanError

    def _bound(self, largest: float) -> Any:
        problem = self._stage.problem
        return ROOM * (largest + ENTROPY * problem.epsilon) * problem.a.sum(-1)


def nothing(problem: Problem) -> Transport:
    """Return the solution where one side has no points: nothing is moved."""
    xp = namespace(problem.a)
    potentials = []
    for side, weights, penalty in zip("xy", (problem.a, problem.b), problem.penalties, strict=True):
        balanced = xp.full(weights.shape, xp.inf)
        unreached(balanced, problem, side)
        potentials.append(penalty.step(balanced, problem.epsilon))
    f, g = potentials
    return Transport(problem, f, g, (xp.zeros(weights.shape[:-1]),), True)


def iterate(
    stage: Stage, g: Any, limit: int, how: dict[str, Any], progress: Progress
) -> tuple[Any, Any, Any, list[Any]]:
    """Solve a stage.

    Returns
    -------
    f, g : arrays of shape (..., M), (..., N)
        Potentials whose marginal error is the last one.
    onwards : array of shape (..., N)
        The potential that would have been next.
    errors : list of arrays of shape (...)
        Marginal errors by iteration.
    """
    problem = stage.problem
    steps = (Symmetric if stage.symmetric else Alternating)(problem, stage.dtype, how)
    along_x, along_y = problem.penalties
    free = math.isinf(along_x.rho) and math.isinf(along_y.rho) and not stage.symmetric
    acceleration = Acceleration(steps.weights, up_to_constants=free, size=problem.epsilon)
    slack = problem.epsilon * stage.rounding * problem.b.sum(-1)
    errors: list[Any] = []
    highest = Ceiling(stage, how) if free else None
    value = steps.value(along_y.within(g))
    while True:
        onwards, error = steps.step()
        errors.append(error)
        progress.step(epsilon=f"{problem.epsilon:.2e}", error=f"{float(error.max()):.1e}")
        if bool((error <= stage.tol).all()) or len(errors) >= limit:
            return steps.f, steps.g, onwards, errors
        if highest is not None:
            highest.check(value)
        least = value - slack
        value = steps.value(along_y.within(acceleration.onwards(steps.g, onwards)))
        while (other := acceleration.retreat(value < least)) is not None:
            value = steps.value(along_y.within(other))
