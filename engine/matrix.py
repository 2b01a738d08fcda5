"""LazyTensors as matrices: products with vectors, the transpose's, all values, and the program."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import check_array
from .backends import choose_backend, get_backend
from .backends._scaling import at_scale
from .errors import ArgumentError, DTypeError, ShapeError, expected
from .formula.ops import OPS
from .formula.reductions import REDUCTIONS
from .lazy import LazyTensor, Vj, apply
from .methods import build, pair_axis, reduce
from .ranges import Ranges, as_ranges


def _matmul(self: LazyTensor, b: Any, **how: Any) -> Any:
    """Return ``K @ b``, the sum over j of ``K[i, j] * b[j]``.

    Parameters
    ----------
    b : array of shape (N,) or (..., N, E)
        What the matrix is applied to.

    Returns
    -------
    array of shape (M,) or (..., M, E)
    """
    N = 1 if self.N is None else self.N
    what = f"b of shape ({N},) or (..., {N}, E) for a matrix of {N} columns"
    if isinstance(b, LazyTensor):
        cure = "Use (K * b).sum(axis=1) for a formula b of the columns."
        raise DTypeError(expected(f"{what} as a NumPy array", "a LazyTensor", cure))
    b = check_array(b, what, "b")
    vector = b.ndim == 1
    if b.ndim == 0 or b.shape[0 if vector else -2] != N:
        raise ShapeError(expected(what, f"shape {b.shape}"))
    result = reduce(apply(OPS["mul"], (self, Vj(b[:, None] if vector else b))), "sum", "j", **how)
    return result[..., 0] if vector else result


def _rmatmul(self: LazyTensor, b: Any) -> Any:
    b = check_array(b, "b", "b")
    return (
        _matmul(self.T, b)
        if b.ndim == 1
        else np.swapaxes(_matmul(self.T, np.ascontiguousarray(np.swapaxes(b, -1, -2))), -1, -2)
    )


def _dense(self: LazyTensor) -> Any:
    """Return the array of all values: for small cases and checks only, it is of size M N D."""
    from .backends.numpy import values

    task, data = at_scale(*build(self, "sum", "j"))
    v, _ = values(task, data, slice(0, data.M), slice(0, data.N))
    return np.array(v).reshape(self.shape)


def _source(
    self: LazyTensor,
    reduction: str = "sum",
    axis: int = 1,
    weight: Any = None,
    backend: str | None = None,
) -> str:
    """Return the program that a backend would run for a reduction, without running it."""
    if reduction not in REDUCTIONS:
        raise ArgumentError(expected(f"one of {sorted(REDUCTIONS)}", repr(reduction)))
    along = pair_axis(self, axis, None, reduction)
    task, _ = build(self, reduction, along, 1, weight)
    chosen = choose_backend(None) if backend in (None, "auto") else get_backend(backend)
    return chosen.source(task)


def _apply_to(A: LazyTensor, b: Any) -> Any:
    """Return ``A @ b`` for any real vector, as scipy's solvers ask of a linear operator."""
    b = np.asarray(b)
    if A.dtype is None or b.dtype == A.dtype or b.dtype.kind not in "biuf":
        return _matmul(A, b)
    return _matmul(A, b.astype(A.dtype)).astype(np.result_type(A.dtype, b.dtype))


def _ranges(self: LazyTensor) -> Ranges | None:
    """Blocks to which reductions of this, and of what is made from it, are confined.

    It can be set, to a `Ranges`, six arrays or None. `dense` gives all values nevertheless.
    """
    return self._ranges


def _set_ranges(self: LazyTensor, ranges: Any) -> None:
    self._ranges = as_ranges(ranges)


for _name, _method in {
    "ranges": property(_ranges, _set_ranges),
    "__matmul__": _matmul,
    "__rmatmul__": _rmatmul,
    "matvec": _apply_to,
    "matmat": _apply_to,
    "rmatvec": lambda self, b: _apply_to(self.T, b),
    "rmatmat": lambda self, b: _apply_to(self.T, b),
    "dense": _dense,
    "source": _source,
}.items():
    setattr(LazyTensor, _name, _method)
