"""How large the costs of a problem are, and how well a type of numbers resolves them."""

from __future__ import annotations

from typing import Any

import numpy as np

from georeduce.engine.arrays import to_numpy

from .problem import Problem

SAMPLE = 64
"""Points of each side that are looked at, evenly spaced."""
MARGIN = 4.0
"""What a marginal error must be above the rounding of exponents to be believed."""


class Sizes:
    """What a sample of the costs tells.

    Attributes
    ----------
    largest : float
        The largest finite one.
    off : dict of dtype to float
        How far costs computed in a dtype are from those in float64, at most.
    """

    def __init__(self, problem: Problem) -> None:
        x, y = (
            np.ascontiguousarray(to_numpy(points[..., :: max(1, points.shape[-2] // SAMPLE), :]))
            for points in (problem.x, problem.y)
        )
        with np.errstate(over="ignore"):
            exact, rough = (
                problem.cost.between(x.astype(dtype), y.astype(dtype)).dense()
                for dtype in (np.float64, np.float32)
            )
        finite = np.isfinite(exact)
        self.largest = float(abs(exact[finite]).max(initial=0))
        off = np.where(finite, abs(rough - np.where(finite, exact, 0)), 0).max(initial=0)
        self.off = {np.dtype(np.float32): float(off), np.dtype(np.float64): 0.0}

    def rounding(self, dtype: Any, epsilon: float) -> float:
        """Return the error of an exponent, C / epsilon and what is added to it, in a dtype.

        Also the other way round: a log-sum-exp that is multiplied by a large epsilon must still
        tell costs from each other.
        """
        eps = float(np.finfo(dtype).eps)
        own = self.off[np.dtype(dtype)] / epsilon
        return own + eps * (
            self.largest / epsilon + (epsilon / self.largest if self.largest else 0)
        )

    def dtype(self, epsilon: float, tol: float) -> Any:
        """Return the fastest type of numbers that resolves a marginal error."""
        single = np.dtype(np.float32)
        good = MARGIN * self.rounding(single, epsilon) <= tol
        return single if good else np.dtype(np.float64)
