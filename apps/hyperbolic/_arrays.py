"""The same words for arrays and for LazyTensors, so that a formula is written once.

Arrays are NumPy's, PyTorch's or CuPy's, points along the last axis. Knows no geometry.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from georeduce.engine import LazyTensor
from georeduce.engine.arrays import check_array, library_of

from ..common import Array

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
_NAMES = {"asinh": "arcsinh"}


def module_of(v: Any) -> Any:
    """Return whose functions serve an array: PyTorch's, or NumPy's, to which CuPy answers."""
    return sys.modules["torch"] if library_of(v) == "torch" else np


def apply(name: str, v: Any) -> Any:
    """Return an elementwise function of an array or a LazyTensor, by its name there."""
    method = getattr(v, name, None)
    return method() if method else getattr(module_of(v), _NAMES.get(name, name))(v)


def total(v: Any) -> Any:
    """Return the sum of the components, an axis of length 1."""
    return v.sum(-1) if isinstance(v, LazyTensor) else v.sum(-1, keepdims=True)


def squares(v: Array) -> Array:
    """Return squared Euclidean norms, an axis of length 1, of NumPy's vectors."""
    found: Array = np.einsum("...d,...d->...", v, v)[..., None]
    return found


def join(a: Any, b: Any) -> Any:
    """Return the components of one, then those of the other."""
    if isinstance(a, LazyTensor):
        return a.concat(b)
    module = module_of(a)
    lead = np.broadcast_shapes(tuple(a.shape[:-1]), tuple(b.shape[:-1]))
    parts = [module.broadcast_to(v, (*lead, v.shape[-1])) for v in (a, b)]
    return module.concatenate(parts, axis=-1)


def pick(condition: Any, a: Any, b: Any) -> Any:
    """Return a where a condition holds, else b; of these one may be a number."""
    if isinstance(condition, LazyTensor):
        return condition.where(a, b)
    return module_of(condition).where(condition, a, b)


def root(v: Any) -> Any:
    """Return the square root, whose derivative at 0 is 0: PyTorch's would be infinite."""
    if isinstance(v, LazyTensor):
        return v.sqrt()
    some = v > 0
    return pick(some, apply("sqrt", pick(some, v, 1.0)), 0.0 * v)


def length(v: Any) -> Any:
    """Return the Euclidean norm, an axis of length 1, of vectors of any size.

    Its derivative at 0 is 0.
    """
    if isinstance(v, LazyTensor):
        return v.norm2()
    if isinstance(v, np.ndarray):  # in one pass, where no square is too large or too small
        square = squares(v)
        limits = np.finfo(v.dtype)
        if square.size and limits.tiny / limits.eps < square.min() and square.max() < limits.max:
            return np.sqrt(square)
    size = abs(v.detach() if library_of(v) == "torch" else v)
    largest = module_of(v).amax(size, axis=-1, keepdims=True)
    some = (largest > 0) & (largest < np.inf)
    scale = pick(some, largest, 1.0)
    square = total((v / scale) ** 2)
    return pick(some, scale * root(square), largest)


def unit(v: Any) -> Any:
    """Return vectors divided by their norms; 0 stays."""
    size = length(v)
    return v / pick(size > 0, size, 1.0)


def points(x: Any, name: str = "x") -> Any:
    """Return points as an array of floats: of lists of numbers, and of integers, NumPy's."""
    if library_of(x) in ("scalar", "sequence") or (
        isinstance(x, np.ndarray) and x.dtype.kind in "iub"
    ):
        x = np.asarray(x, np.float64)
    return check_array(x, f"{name} of shape (..., D)", name)
