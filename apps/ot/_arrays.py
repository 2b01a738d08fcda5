"""Arrays of transport: the solver's are native, NumPy's or CuPy's; what comes back is not."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from georeduce.engine.arrays import kind_of, library_of

from .._arrays import returned


def namespace(x: Any) -> Any:
    """Return the module of an array: NumPy, also of its numbers, PyTorch or CuPy."""
    return np if isinstance(x, np.generic) else sys.modules[library_of(x)]


def constant(x: Any) -> Any:
    """Return an array as one whose history PyTorch does not follow."""
    return x.detach() if library_of(x) == "torch" else x


def at_home(a: Any, x: Any) -> Any:
    """Return a native array in the library, and on the device, of another array."""
    return returned(a, kind_of(x)[1])
