"""How large the costs of a problem are, and how well a type of numbers resolves them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from georeduce.engine import DTypeError, ShapeError
from georeduce.engine.arrays import cast, to_numpy

from .._arrays import native
from ._arrays import SMALL, namespace
from .problem import Problem

SAMPLE = 64
"""Points of each side that are looked at, evenly spaced; in a batch fewer of each problem."""
FEWEST = 8
"""Points of each side of a problem of a batch."""
MARGIN = 4.0
"""What a marginal error must be above the rounding of exponents to be believed."""
SINGLE, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


class Sizes:
    """What a sample of the costs tells.

    Of a cost that holds arrays of its own, one row for each point and of the points' dtype, there
    is no sample: all pairs are looked at, and computed in no other dtype.

    Attributes
    ----------
    largest : float
        The largest finite one.
    off : float
        How far costs computed in float32 are from those in float64, at most.
    symmetric : bool
        Whether the problem and its costs are their own mirror image.
    only : dtype or None
        The only dtype that pairs can be computed in.
    """

    def __init__(self, problem: Problem) -> None:
        self.only = None
        try:
            self._sample(problem)
        except (ShapeError, DTypeError):
            self.only, self.symmetric = np.dtype(native(problem.x).dtype), False
            C = problem.cost.between(native(problem.x), native(problem.y))
            costs = C.max(axis=native(problem.x).ndim - 1)
            self.largest = float(costs[namespace(costs).isfinite(costs)].max(initial=0))
            self.off = float(np.finfo(np.float32).eps) * self.largest

    def _sample(self, problem: Problem) -> None:
        # of all problems together about as many pairs as of one
        count = max(FEWEST, SAMPLE / max(1, math.prod(problem.x.shape[:-2])) ** 0.5)
        x, y = (
            to_numpy(points[..., :: max(1, int(points.shape[-2] // count)), :])
            for points in (problem.x, problem.y)
        )
        with np.errstate(over="ignore", invalid="ignore"):
            exact, rough = (
                problem.cost.between(cast(x, dtype), cast(y, dtype)).dense()
                for dtype in (DOUBLE, SINGLE)
            )
            finite = np.isfinite(exact)
            self.largest = float(abs(exact[finite]).max(initial=0))
            off = abs(rough - np.where(finite, exact, 0))[finite].max(initial=0)
        self.off = float(off) if np.isfinite(off) else np.inf
        self.symmetric = problem.is_symmetric and np.allclose(exact, exact.swapaxes(-1, -2))

    def rounding(self, dtype: Any, epsilon: float) -> float:
        """Return the error of an exponent, C / epsilon and what is added to it, in a dtype.

        Also the other way round: a log-sum-exp that is multiplied by a large epsilon must still
        tell costs from each other.
        """
        if dtype == SINGLE and epsilon < SMALL:
            return np.inf
        size = self.largest / epsilon
        off = self.off / epsilon if dtype == SINGLE else 0.0
        return off + float(np.finfo(dtype).eps) * (size + (1 / size if size else 0))

    def dtype(self, epsilon: float, tol: float) -> Any:
        """Return the fastest type of numbers that resolves a marginal error."""
        if self.only is not None:
            return self.only
        return SINGLE if MARGIN * self.rounding(SINGLE, epsilon) <= tol else DOUBLE
