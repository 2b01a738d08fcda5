"""Lengths that must agree where tensors meet, and what is said if they do not."""

from __future__ import annotations

import numpy as np

from .errors import ShapeError, expected


def same(a: int | None, b: int, what: str) -> int:
    """Return the length of an axis that one tensor has, or none before."""
    if a is not None:
        raise ShapeError(expected(f"the same number of {what}", f"{a} and {b}"))
    return b


def broadcast_batches(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """Return the batch axes of two tensors together."""
    try:
        return np.broadcast_shapes(a, b)
    except ValueError:
        raise ShapeError(expected("batch axes that broadcast", f"{a} and {b}")) from None
