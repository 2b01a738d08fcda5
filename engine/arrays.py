"""Which arrays come in: the library they are from, and what is wrong with them.

A library is never imported to find out: an array of a library that is not in ``sys.modules``
cannot exist.
"""

from __future__ import annotations

import numbers
import sys
from typing import Any

import numpy as np

from .errors import DTypeError, ShapeError, expected

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def library_of(x: Any) -> str:
    """Return "numpy", "torch", "cupy", "scalar", "sequence" or "unknown"."""
    if isinstance(x, np.ndarray):
        return "numpy" if x.ndim else "scalar"
    if isinstance(x, numbers.Real | np.bool_):
        return "scalar"
    for name, kind in (("torch", "Tensor"), ("cupy", "ndarray")):
        module = sys.modules.get(name)
        if module is not None and isinstance(x, getattr(module, kind, ())):
            return name
    if isinstance(x, list | tuple):
        return "sequence"
    return "unknown"


def check_array(x: Any, what: str, name: str = "x") -> np.ndarray[Any, Any]:
    """Return a NumPy array of floating point numbers, or raise with the cure.

    Parameters
    ----------
    x : array
        What the user gave.
    what : str
        What it is to be, for the message: "x", "an array of shape (M, 1, D)".
    name : str
        The user's word for it, for the cure.
    """
    if type(x) is np.ndarray and x.dtype in FLOATS:
        return x
    library = library_of(x)
    if library == "cupy" and x.dtype in FLOATS:
        return x  # type: ignore[no-any-return]
    if library == "torch":
        cure = f"Pass {name}.detach().cpu().numpy(), or cupy.from_dlpack({name}.detach()) on a GPU."
        got = f"a {type(x).__module__.split('.')[0]} {type(x).__name__}"
        raise DTypeError(expected(f"{what} as a NumPy or CuPy array", got, cure))
    if library not in ("numpy", "cupy"):
        got = f"{type(x).__name__}"
        cure = f"Pass numpy.asarray({name}, dtype=float)." if library == "sequence" else ""
        raise DTypeError(expected(f"{what} as a NumPy array", got, cure))
    if isinstance(x, np.ma.MaskedArray):
        cure = "Fill or drop the masked values first."
        raise DTypeError(expected(f"{what} as a plain array", "a masked array", cure))
    if x.dtype not in FLOATS:
        cure = f"Pass {name}.astype(numpy.float32) or {name}.astype(numpy.float64)."
        if x.dtype.kind == "O":
            cure = f"Pass numpy.asarray({name}, dtype=float), if its entries are numbers."
        elif x.dtype.kind == "c":
            cure = f"Pass {name}.real and {name}.imag: formulas are of real numbers."
        raise DTypeError(expected(f"{what} of dtype float32 or float64", str(x.dtype), cure))
    return np.asarray(x)


def check_numbers(x: Any, what: str) -> np.ndarray[Any, Any]:
    """Return a number or a list of numbers as a vector, which has no dtype of its own.

    Raises
    ------
    DTypeError
        If it is not made of real numbers.
    ShapeError
        If it is not a vector.
    """
    try:
        values = np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError):
        got = f"{type(x).__name__}"
        raise DTypeError(expected(f"{what} as a number, or a list of numbers", got)) from None
    if values.ndim != 1 or not values.size:
        raise ShapeError(expected(f"{what} as a vector of numbers", f"shape {values.shape}"))
    return values


def scalar_value(x: Any) -> float:
    """Return a number as a Python float."""
    try:
        return float(x)
    except OverflowError:
        raise DTypeError(expected("a number that fits in float64", "a larger one")) from None
