"""Slopes by finite differences, and how far they may be off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
STEP = float(np.finfo(np.float64).eps) ** (1 / 3)


def slope(f: Callable[[float], Array]) -> Array:
    """Return the derivative at 0, in float64: two differences, extrapolated to step 0."""
    wide, narrow = ((f(h) - f(-h)) / (2 * h) for h in (2 * STEP, STEP))
    return (4 * narrow - wide) / 3


def assert_slope(result: Any, expected: Any, scale: float = 1.0) -> None:
    """Assert that a derivative is what finite differences say.

    What they are off by is the rounding of values, in ulps of the largest of them or of `scale`
    if that is larger, over the step, and a fourth power of the step.
    """
    expected = np.asarray(expected)
    size = max(scale, float(np.abs(expected).max(initial=0)))
    bound = 100 * size * (np.finfo(np.float64).eps / STEP)
    np.testing.assert_allclose(result, expected, rtol=0, atol=bound)
