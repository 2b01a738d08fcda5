"""LazyTensors as matrices: products with vectors, the transpose's, all values, and the program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .arrays import (
    check_array,
    from_numpy,
    leave_to_python,
    library_of,
    not_traced,
    to_numpy,
)
from .backends import choose_backend, get_backend, run
from .backends._base import Data, Task, make_task
from .backends._scaling import at_scale
from .errors import ArgumentError, DTypeError, ShapeError, expected
from .formula.expr import substitute, variable, variables
from .formula.ops import OPS
from .formula.reductions import REDUCTIONS
from .lazy import LazyTensor, Vj, apply
from .methods import build, build_at_home, pair_axis, reduce
from .ranges import Ranges, as_ranges


@not_traced
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
        raise DTypeError(expected(f"{what} as an array", "a LazyTensor", cure))
    b = check_array(b, what, "b")
    vector = b.ndim == 1
    if b.ndim == 0 or b.shape[0 if vector else -2] != N:
        raise ShapeError(expected(what, f"shape {tuple(b.shape)}"))
    result = reduce(apply(OPS["mul"], (self, Vj(b[:, None] if vector else b))), "sum", "j", **how)
    return result[..., 0] if vector else result


@not_traced
def _rmatmul(self: LazyTensor, b: Any) -> Any:
    b = check_array(b, "b", "b")
    if b.ndim < 2:
        return _matmul(self.T, b)
    return _matmul(self.T, b.swapaxes(-1, -2)).swapaxes(-1, -2)


@not_traced
def _dense(self: LazyTensor) -> Any:
    """Return the array of all values: for small cases and checks only, it is of size M N D."""
    from .backends.numpy import values

    leave_to_python()
    task, data, home = build_at_home(self, "sum", "j")
    if home is not None and home.library == "torch":
        from .autograd import dense

        return dense(task, data).reshape(self.shape)
    if home is not None and home.library == "cupy":  # nothing of a GPU's goes to the host
        every, pairs = every_pair(task, data, np.broadcast_to)
        return run(every, pairs, "cuda")[0].reshape(self.shape)
    data = data._replace(arrays=[to_numpy(a) for a in data.arrays])
    task, data = at_scale(task, data)
    v, _ = values(task, data, slice(0, data.M), slice(0, data.N))
    return from_numpy(np.array(v).reshape(self.shape), home)


def every_pair(
    task: Task, data: Data, expand: Callable[[Any, tuple[int, ...]], Any]
) -> tuple[Task, Data]:
    """Return the task of a sum over one column whose rows are all pairs, and its data.

    Parameters
    ----------
    task, data : Task, Data
        The formula of all pairs, and its arrays, of shape (*batch, n, dim).
    expand : callable
        Repeats an array along axes of length 1, for a shape.
    """
    axes = {v.params[1]: v.params[0] for v in variables(task.formula)}
    arrays: list[Any] = []
    a: Any
    for slot, a in enumerate(data.arrays):
        axis = axes.get(slot, "p")
        if axis != "p":
            a = a[..., :, None, :] if axis == "i" else a[..., None, :, :]
            lead, dim = a.shape[:-3], a.shape[-1]
            a = expand(a, (*lead, data.M, data.N, dim)).reshape(*lead, data.M * data.N, dim)
        arrays.append(a)
    rows = {v: variable("i", v.dim, v.params[1]) for v in variables(task.formula) if v.axes == 2}
    every = make_task(substitute(task.formula, rows), None, "sum", "j", task.dtype)
    return every, Data(arrays, data.batch, data.M * data.N, 1)


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
    """Return ``A @ b`` for any real vector, as scipy's solvers ask of a linear operator.

    SciPy's vectors are NumPy arrays, wherever those of A live: they go there, and the product
    comes back.
    """
    if library_of(b) in ("torch", "cupy"):
        return _matmul(A, b)
    b = np.asarray(b)
    if b.dtype.kind not in "biuf":
        return _matmul(A, b)
    dtype = b.dtype if A.dtype is None else A.dtype
    result = to_numpy(_matmul(A, from_numpy(b.astype(dtype, copy=False), A.home)))
    return result.astype(np.result_type(dtype, b.dtype), copy=False)


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
