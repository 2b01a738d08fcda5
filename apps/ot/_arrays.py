"""The vectors that the solver works on: NumPy's or CuPy's, whichever library the points are of."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from georeduce.engine.arrays import library_of


def native(x: Any) -> Any:
    """Return an array of any library as NumPy's or CuPy's on its device, without a copy."""
    if library_of(x) != "torch":
        return x
    x = x.detach()
    if x.device.type == "cpu":
        return x.numpy()
    import cupy

    return cupy.from_dlpack(x)


def namespace(x: Any) -> Any:
    """Return the module, NumPy or CuPy, of a native array."""
    return np if isinstance(x, np.ndarray | np.generic) else sys.modules["cupy"]
