"""Sums whose roundings are not lost: a state is a sum, and what rounding took from it.

The rounding of a + b is found exactly by six additions (Knuth's two-sum), in the order of sizes or
not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import ops as o
from .expr import Expr, constant


def lost(a: Expr, b: Expr) -> Expr:
    """Return what the rounding of a + b takes from it."""
    part = o.sub(o.add(a, b), a)
    return o.add(o.sub(a, o.sub(o.add(a, b), part)), o.sub(b, part))


def whole(total: Expr, rest: Expr) -> Expr:
    """Return a sum and what was lost of it together; of infinite sums, what was lost is NaN."""
    return o.where(o.lt(o.abs_(rest), constant(float("inf"))), o.add(total, rest), total)


def meaning(v: Any, w: Any, j0: int) -> tuple[Any, Any]:
    """Return sums of many values, and what was lost: added two by two, so log2(n) times."""
    rest = np.zeros((*v.shape[:-2], v.shape[-1]), v.dtype)
    if v.shape[-2] == 0:
        return rest, rest
    while v.shape[-2] > 1:
        half = v.shape[-2] // 2
        a, b, odd = v[..., :half, :], v[..., half : 2 * half, :], v[..., 2 * half :, :]
        total = a + b
        part = total - a
        rest = rest + ((a - (total - part)) + (b - part)).sum(-2)
        v = np.concatenate([total, odd], axis=-2)
    return v[..., 0, :], rest
