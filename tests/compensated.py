"""What a compensated sum is, and how far it may be off."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def exact_sum(
    v: Array, error: Array, w: Array, w_error: Array, dtype: Any
) -> list[tuple[Array, Array]]:
    """Return exact sums, and the bound of `helpers.EXPECT`.

    It is one rounding of each of the two parts, and of order eps ** 2 for each term.
    """
    size, n, eps = np.abs(v).sum(-2), v.shape[-2], float(np.finfo(dtype).eps)
    rows = np.moveaxis(v, -2, -1).reshape(size.size, n)
    sums = [math.fsum(a) if np.isfinite(a).all() else a.sum() for a in rows]
    exact = np.reshape(sums, size.shape)
    return [(exact, error.sum(-2) + 2 * eps * np.abs(exact) + (n * eps) ** 2 * size)]
