"""How large the costs of a problem are, and how well a type of numbers resolves them."""

from __future__ import annotations

from typing import Any

import numpy as np

from georeduce.engine.arrays import cast, to_numpy

from .problem import Problem

SAMPLE = 64
"""Points of each side that are looked at, evenly spaced."""
MARGIN = 4.0
"""What a marginal error must be above the rounding of exponents to be believed."""
SINGLE, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


class Sizes:
    """What a sample of the costs tells.

    Attributes
    ----------
    largest : float
        The largest finite one.
    off : float
        How far costs computed in float32 are from those in float64, at most.
    """

    def __init__(self, problem: Problem) -> None:
        x, y = (
            to_numpy(points[..., :: max(1, points.shape[-2] // SAMPLE), :])
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

    def rounding(self, dtype: Any, epsilon: float) -> float:
        """Return the error of an exponent, C / epsilon and what is added to it, in a dtype.

        Also the other way round: a log-sum-exp that is multiplied by a large epsilon must still
        tell costs from each other.
        """
        size = self.largest / epsilon
        off = self.off / epsilon if dtype == SINGLE else 0.0
        return off + float(np.finfo(dtype).eps) * (size + (1 / size if size else 0))

    def dtype(self, epsilon: float, tol: float) -> Any:
        """Return the fastest type of numbers that resolves a marginal error."""
        return SINGLE if MARGIN * self.rounding(SINGLE, epsilon) <= tol else DOUBLE
