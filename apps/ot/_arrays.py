"""Arrays of transport: the solver's are native, NumPy's or CuPy's; what comes back is not."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from georeduce.engine.arrays import kind_of, library_of

from .._arrays import returned
from ..common import POSITIVE_REAL, Rule

SMALL, LARGE = (
    float(np.finfo(np.float32).tiny / np.finfo(np.float32).eps),
    float(np.finfo(np.float32).max * np.finfo(np.float32).eps),
)
"""Between these numbers float32 also has those that are a ten-millionth of them, or as often."""
POSITIVE_NUMBER = Rule(POSITIVE_REAL.what, lambda value: POSITIVE_REAL.accepts(number(value)))


def number(value: Any) -> Any:
    """Return what an array without axes holds, of any library; anything else as it is.

    A tensor that wants a derivative stays one: it would get none.
    """
    is_number = getattr(value, "ndim", None) == 0 and not getattr(value, "requires_grad", False)
    return value.item() if is_number else value


def namespace(x: Any) -> Any:
    """Return the module of an array: NumPy, also of its numbers, PyTorch or CuPy."""
    return np if isinstance(x, np.generic) else sys.modules[library_of(x)]


def constant(x: Any) -> Any:
    """Return an array as one whose history PyTorch does not follow."""
    return x.detach() if library_of(x) == "torch" else x


def at_home(a: Any, x: Any) -> Any:
    """Return a native array in the library, and on the device, of another array."""
    return returned(a, kind_of(x)[1])
