r"""Problems on the way to the one that is meant, and what their potentials tell of the next.

Potentials are smooth functions of epsilon, so that the ones under three regularisations foretell
those under the next by a parabola. Stages are short: each begins so near its solution that a step
or two are enough.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ._sizes import DOUBLE, MARGIN, SINGLE, Sizes
from .problem import Problem

NEAR = 0.05
"""Marginal error at which a stage before the last is over."""
PATIENCE = 10
"""Iterations after which it is over at the latest."""
ORDER = 2
"""Of the polynomial by which potentials are foretold."""


@dataclass(frozen=True)
class Stage:
    """A problem on the way, and when to leave it.

    Attributes
    ----------
    problem : Problem
        With its regularisation.
    tol : float
        Marginal error at which it is over.
    dtype : dtype
        In which pairs are computed.
    rounding : float
        Error of an exponent in this dtype.
    symmetric : bool
        Whether it is its own mirror image.
    """

    problem: Problem
    tol: float
    dtype: Any
    rounding: float
    symmetric: bool


def stages(
    problem: Problem, sizes: Sizes, tol: float, scaling: float, first: float
) -> Iterator[Stage]:
    """Yield the problem under regularisations from the size of its costs to its own.

    Pairs are in float32 as far as this resolves what is asked of a stage, in float64 from there.

    Parameters
    ----------
    first : float
        The first regularisation, relative to the largest cost; 0 for the problem's own.
    """

    def stage(epsilon: float, tol: float, dtype: Any) -> Stage:
        smoother = problem if epsilon == problem.epsilon else problem.with_epsilon(epsilon)
        return Stage(smoother, tol, dtype, sizes.rounding(dtype, epsilon), sizes.symmetric)

    ratio = first * sizes.largest / problem.epsilon
    count = math.ceil(math.log(ratio) / -math.log(scaling)) if ratio > 1 else 0
    for k in range(count, 0, -1):
        epsilon = problem.epsilon * scaling**-k
        yield stage(epsilon, NEAR, sizes.dtype(epsilon, NEAR))
    if sizes.only is not None:
        yield stage(problem.epsilon, tol, sizes.only)
        return
    off = sizes.rounding(SINGLE, problem.epsilon)
    near = max(tol, MARGIN * off)
    if near == tol or near < NEAR:
        yield stage(problem.epsilon, near - off, SINGLE)  # what rounding hides counts, too
    if near > tol:
        yield stage(problem.epsilon, tol, DOUBLE)


class Path:
    """Potentials under the regularisations so far."""

    def __init__(self) -> None:
        self._known: list[tuple[float, Any]] = []

    def record(self, epsilon: float, g: Any) -> None:
        """Remember the potential at the end of a stage."""
        self._known = [*self._known[-ORDER:], (epsilon, g)]

    def forget(self) -> None:
        """Begin anew: potentials so far are not where they should be, or of other points."""
        self._known = []

    def at(self, epsilon: float) -> Any:
        """Return the potential to begin with; None if none is known."""
        if not self._known:
            return None
        return sum(
            math.prod((epsilon - e) / (mine - e) for e, _ in self._known if e != mine) * g
            for mine, g in self._known
        )
