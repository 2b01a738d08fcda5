"""What must agree where tensors meet, and what is said if it does not."""

from __future__ import annotations

import numpy as np

from .arrays import Home
from .errors import DTypeError, ShapeError, expected


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


def common_home(a: Home | None, b: Home) -> Home:
    """Return where the arrays of two tensors live, of which the first may be of numbers only."""
    if a is not None and a != b:
        cure = "Convert one of them: torch.from_numpy(x), x.numpy(force=True) or cupy.asnumpy(x)."
        if a.library == b.library:
            cure = "Move one of them: x.to(y.device)."
            if a.library == "cupy":
                cure = "Move one of them: with y.device: x = cupy.array(x)."
        raise DTypeError(expected("arrays of one library on one device", f"{a} and {b}", cure))
    return b
