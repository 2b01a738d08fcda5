"""The vectors that the solver works on: NumPy's or CuPy's, whichever library the points are of."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np

from georeduce.engine.arrays import kind_of, library_of

from .._arrays import returned


def native(x: Any) -> Any:
    """Return an array of any library as NumPy's or CuPy's on its device, without a copy."""
    if library_of(x) != "torch":
        return x
    x = x.detach()
    if x.device.type == "cpu":
        return x.numpy()
    return importlib.import_module("cupy").from_dlpack(x)


def namespace(x: Any) -> Any:
    """Return the module, NumPy or CuPy, of a native array."""
    return np if isinstance(x, np.ndarray | np.generic) else sys.modules["cupy"]


def constant(x: Any) -> Any:
    """Return an array as one whose history PyTorch does not follow."""
    return x.detach() if library_of(x) == "torch" else x


def at_home(a: Any, x: Any) -> Any:
    """Return a native array in the library, and on the device, of another array."""
    return returned(a, kind_of(x)[1])


def library(x: Any) -> Any:
    """Return the module of an array: NumPy, PyTorch or CuPy."""
    return sys.modules[library_of(x)]
