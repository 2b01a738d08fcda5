r"""Problems on the way to the one that is meant, and what their potentials tell of the next.

Potentials are smooth functions of epsilon, so that the ones under three regularisations foretell
those under the next by a parabola. Stages are short: each begins so near its solution that a step
or two are enough. Without foretelling, a problem whose epsilon is 1e-4 of its largest cost takes
2.5 times as many reductions; a line instead of the parabola 1.2 times.

Under large regularisations potentials are those of a sample of the points, to within what sampling
them changes anyway: there all stages but the last are of such a sample, which saves half of the
reductions. Under small ones a sample misleads, and is not taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from georeduce.engine import ShapeError
from georeduce.engine.arrays import cast
from georeduce.engine.errors import expected

from .._arrays import native
from ._arrays import namespace
from ._sizes import DOUBLE, MARGIN, SINGLE, Sizes
from ._softmin import Softmin
from .problem import Problem

NEAR = 0.05
"""Marginal error at which a stage before the last is over."""
COARSE = 0.005
"""Of the largest cost: a problem under a larger regularisation is solved for a sample first."""
FEWEST = 1000
"""Points of a side in a sample at least."""
SHARE = 16
"""Points in a sample are 1 / SHARE of all, if these are more than FEWEST."""
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
    largest : float
        The largest finite cost, of a sample.
    is_part : bool
        Whether it is of a part of the points: that there is no plan tells nothing of all of them.
    """

    problem: Problem
    tol: float
    dtype: Any
    rounding: float
    symmetric: bool
    largest: float
    is_part: bool


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

    def stage(some: Problem, tol: float, dtype: Any) -> Stage:
        rounding, is_part = sizes.rounding(dtype, some.epsilon), some.M < problem.M
        return Stage(some, tol, dtype, rounding, sizes.symmetric, sizes.largest, is_part)

    smooth = problem.epsilon >= COARSE * sizes.largest
    sampled = smooth and sizes.only is None and min(problem.M, problem.N) > 2 * FEWEST
    some = sample(problem, np.random.default_rng(0)) if sampled and first else problem
    ratio = first * sizes.largest / problem.epsilon
    count = math.ceil(math.log(ratio) / -math.log(scaling)) if ratio > 1 else 0
    for k in range(count, -1 if some is not problem else 0, -1):
        epsilon = problem.epsilon * scaling**-k
        yield stage(some.with_epsilon(epsilon), NEAR, sizes.dtype(epsilon, NEAR))
    if sizes.only is not None:
        yield stage(problem, tol, sizes.only)
        return
    off = sizes.rounding(SINGLE, problem.epsilon)
    near = max(tol, MARGIN * off)
    if near == tol or near < NEAR:
        yield stage(problem, near - off, SINGLE)  # what rounding hides counts, too
    if near > tol:
        yield stage(problem, tol, DOUBLE)


def sample(problem: Problem, rng: Any) -> Problem:
    """Return the problem of a part of the points, with all of the mass."""
    sides: list[tuple[Any, Any]] = []
    for points, weights in ((problem.x, problem.a), (problem.y, problem.b)):
        if sides and problem.is_symmetric:
            sides *= 2
            break
        n = points.shape[-2]
        rows = rng.choice(n, max(FEWEST, n // SHARE), replace=False)
        some = weights[..., rows]
        mass, seen = weights.sum(-1, keepdims=True), some.sum(-1, keepdims=True)
        some = some * (mass / namespace(some).where(seen > 0, seen, 1))
        sides.append((native(points)[..., rows, :], some))
    (x, a), (y, b) = sides
    return replace(problem, x=x, y=y, a=a, b=b)


class Path:
    """Potentials under the regularisations so far."""

    def __init__(self) -> None:
        self._known: list[tuple[Problem, Any, Any]] = []

    def record(self, problem: Problem, f: Any, g: Any) -> None:
        """Remember the potentials at the end of a stage."""
        self._known = [*self._known[-ORDER:], (problem, f, g)]

    def forget(self) -> None:
        """Begin anew: potentials so far are not where they should be."""
        self._known = []

    def at(self, stage: Stage, how: dict[str, Any]) -> Any:
        """Return the potential to begin with; None if none is known."""
        if not self._known:
            return None
        before, f, g = self._known[-1]
        if (before.M, before.N) != (stage.problem.M, stage.problem.N):
            self.forget()
            return carried(before, f, g, stage.problem, stage.dtype, how)
        epsilon, known = stage.problem.epsilon, [p.epsilon for p, _, _ in self._known]
        return sum(
            math.prod((epsilon - e) / (p.epsilon - e) for e in known if e != p.epsilon) * g
            for p, _, g in self._known
        )


def carried(
    before: Problem, f: Any, g: Any, problem: Problem, dtype: Any, how: dict[str, Any]
) -> Any:
    """Return the potential of the points y of a problem, from those of another.

    At other points it is what a half step there gives.
    """
    x, y = native(before.x), native(problem.y)
    if y.shape[-1] != x.shape[-1] or y.shape[:-2] != x.shape[:-2]:
        what = f"start to be of points of shape {(*y.shape[:-2], '...', y.shape[-1])}"
        raise ShapeError(expected(what, f"shape {x.shape}"))
    if g.shape == y.shape[:-1] and (y is native(before.y) or bool((y == native(before.y)).all())):
        return g
    points = cast(x, dtype), cast(y, dtype)
    half = Softmin(problem.cost, *points, before.a, before.epsilon, "x", how)
    return problem.penalties[1].step(half(f), before.epsilon)
