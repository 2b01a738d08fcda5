"""Sums of squares with twice the digits of float64, for NumPy, PyTorch and CuPy arrays.

Near the border of the Poincaré ball ``1 - |x|^2`` has few digits left of those of ``|x|^2``, and
distances have no others. A sum and a product of two numbers are each two numbers exactly (Dekker,
Numerische Mathematik 18, 1971; Ogita, Rump and Oishi, SIAM J. Sci. Comput. 26, 2005): that costs
some thirty operations for each component of a point, and nothing for a pair of points.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from georeduce.engine.arrays import cast

BLOCK = 1 << 15
"""Numbers worked on at a time, so that temporary arrays stay in the cache."""
_SPLIT = 2.0**27 + 1  # of 53 bits, 26 go to either half
_FLOAT64 = np.dtype(np.float64)


def two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """Return the rounded sum of two arrays, and what rounding took from it."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def _halves(a: Any) -> tuple[Any, Any]:
    t = a * _SPLIT
    high = t - (t - a)
    return high, a - high


def two_product(a: Any, b: Any) -> tuple[Any, Any]:
    """Return the rounded product of two arrays or numbers, and what rounding took from it."""
    p = a * b
    (a1, a2), (b1, b2) = _halves(a), _halves(b)
    return p, ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2


def square_sum(x: Any) -> tuple[Any, Any]:
    """Return ``|x|^2`` for float64 points, as a rounded sum and the rest of it.

    Parameters
    ----------
    x : array of shape (..., D), float64
        Points.

    Returns
    -------
    high, low : arrays of shape (..., 1)
        Whose sum is off by about ``D^2 eps^2``, relative to it.
    """
    p, low = two_product(x, x)
    low = low.sum(-1, keepdims=True)
    odd: Any = 0.0
    while (D := p.shape[-1]) > 1:
        if D % 2:
            odd, lost = two_sum(p[..., -1:], odd)
            low = low + lost
        half = D // 2
        p, lost = two_sum(p[..., :half], p[..., half : 2 * half])
        low = low + lost.sum(-1, keepdims=True)
    p, lost = two_sum(p, odd)
    return two_sum(p, low + lost)


def gaps(x: Any, curvature: float = -1.0) -> Any:
    r"""Return :math:`1 + K |x|^2`, right to a rounding in the dtype of the points.

    Relative errors are below eps and some ``D^2 eps^2 / gap``, where eps and the gap of float64
    points are at least 1e-16.

    Parameters
    ----------
    x : array of shape (..., D)
        Points: NumPy, PyTorch or CuPy, float32 or float64. PyTorch's derivatives pass through.
    curvature : float
        K, a negative number.

    Returns
    -------
    array of shape (..., 1)
        In float64 whatever the dtype of the points; positive inside of the ball.
    """
    if isinstance(x, np.ndarray) and x.ndim > 1:
        rows = x.reshape(-1, x.shape[-1])
        return _of_rows(rows, curvature).reshape(*x.shape[:-1], 1)
    return _compensated(x, curvature)


def _of_rows(x: Any, curvature: float) -> Any:
    """Return the gaps of NumPy points (n, D), by blocks, and in plain float64 where that does.

    It does for float32 points whose gap is well above the roundings of D squares, which are exact.
    """
    D = x.shape[1]
    gap = 1 + curvature * np.einsum("nd,nd->n", x, x, dtype=np.float64)[:, None]
    enough = 2 * (D + 1) * np.finfo(np.float64).eps / np.finfo(x.dtype).eps
    near = np.flatnonzero(~(gap[:, 0] > enough))
    step = max(1, BLOCK // D)
    for start in range(0, len(near), step):
        at = near[start : start + step]
        gap[at] = _compensated(x[at], curvature)
    return gap


def _compensated(x: Any, curvature: float) -> Any:
    """Return the gaps of points (..., D) by sums and products with nothing lost."""
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is outside, and NaN
        high, low = square_sum(cast(x, _FLOAT64))
        if curvature == -1:
            high, low = -high, -low
        else:
            high, lost = two_product(high, curvature)
            low = lost + low * curvature
        s, lost = two_sum(high, 1.0)
        return s + (lost + low)
