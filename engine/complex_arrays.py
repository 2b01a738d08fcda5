"""Arrays of complex numbers as arrays of their parts, real and imaginary in turn, and back."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from .arrays import library_of
from .errors import DTypeError, expected

COMPLEX: dict[str, np.dtype[Any]] = {
    "float32": np.dtype(np.complex64),
    "float64": np.dtype(np.complex128),
}


def is_complex(x: Any) -> bool:
    """Return whether an array, a LazyTensor or a NumPy number is of complex numbers."""
    dtype = getattr(x, "dtype", None)
    return getattr(dtype, "kind", "") == "c" or getattr(dtype, "is_complex", False)


def as_real(z: Any) -> Any:
    """Return complex numbers of shape (..., D) as their parts, (..., 2 D)."""
    if library_of(z) == "torch":
        z = z if z.ndim else z.reshape(1)  # a number
        return sys.modules["torch"].view_as_real(z.resolve_conj()).flatten(-2)
    if str(z.dtype) not in ("complex64", "complex128"):
        raise DTypeError(expected("an array of dtype complex64 or complex128", str(z.dtype)))
    numpy = sys.modules[type(z).__module__.partition(".")[0]]  # or CuPy
    return numpy.ascontiguousarray(z).view(z.real.dtype)


def as_complex(x: Any) -> Any:
    """Return parts of shape (..., 2 D) as complex numbers, (..., D)."""
    if library_of(x) == "torch":
        return sys.modules["torch"].view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
    return x.view(COMPLEX[x.dtype.name])
