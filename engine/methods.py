"""The methods of LazyTensor, attached from the tables of operations and reductions."""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .arrays import Home, check_array, leave_to_python, library_of, not_traced
from .backends import run
from .backends._base import Data, Task, make_task
from .calls import check_options, reduce_as_told, signature
from .config import options
from .documents import operation_doc, reduction_doc
from .errors import ArgumentError, ShapeError, expected
from .formula.expr import Expr
from .formula.ops import OPS, Op
from .formula.reductions import REDUCTIONS
from .lazy import LazyTensor, Vi, Vj, apply, check_dtype, join, promote
from .places import Deferred, MissingArraysError
from .ranges import as_ranges

# --- Reductions --------------------------------------------------------------------------------


def reduction_axis(x: LazyTensor, axis: int | None, dim: int | None, name: str) -> str:
    """Return "i", "j" or "features" for the axis that the user wrote."""
    if axis is not None and dim is not None and axis != dim:
        raise ArgumentError(expected("axis or dim, which are one", f"axis={axis} and dim={dim}"))
    axis = dim if axis is None else axis
    nb = len(x.batch)
    if axis is None:
        what = f"{name}(axis={nb}) over rows or {name}(axis={nb + 1}) over columns"
        raise ArgumentError(expected(what, "no axis"))
    names = {nb: "i", nb + 1: "j", nb + 2: "features", -1: "features", -2: "j", -3: "i"}
    if x.shape != x.full_shape:
        names = {nb: "i", nb + 1: "j", nb + 2: "features", -1: "features"}
    try:
        return names[operator.index(axis)]
    except (KeyError, TypeError):
        what = f"axis={nb} (rows), {nb + 1} (columns) or -1 (features)"
        cure = "Batch axes are not reduced: reduce the result." if axis in range(nb) else ""
        raise ArgumentError(expected(what, f"axis={axis!r}", cure)) from None


def build(
    x: LazyTensor, name: str, axis: str, K: int = 0, weight: Any = None, ranges: Any = None
) -> tuple[Task, Data]:
    """Return the task and the data of a reduction, axes exchanged so that j is reduced."""
    return build_at_home(x, name, axis, K, weight, ranges)[:2]


def build_at_home(
    x: LazyTensor, name: str, axis: str, K: int = 0, weight: Any = None, ranges: Any = None
) -> tuple[Task, Data, Home | None]:
    """Return what `build` does, and where the arrays live."""
    if x.expr.dim != 1 and REDUCTIONS[name].scalar:
        cure = "Reduce its feature axis first, for example with .sum(-1)."
        word = name.removesuffix("_weight")
        raise ShapeError(expected(f"a formula of dimension 1 for {word}", f"{x.D}", cure))
    if REDUCTIONS[name].weighted and weight is None:
        raise ArgumentError(expected(f"a weight for {name}", "None", "Use logsumexp without one."))
    if weight is not None and not REDUCTIONS[name].weighted:
        if f"{name}_weight" not in REDUCTIONS:
            raise ArgumentError(expected(f"no weight for {name}", "one", "Use (x * w) instead."))
        return build_at_home(x, f"{name}_weight", axis, K, weight, ranges)
    if weight is None:
        shape, other = x, None
    else:
        (_, other), shape = join([x, _as_weight(weight, x, axis)])
    dtype = check_dtype(shape)
    task = make_task(x.expr, other, name, axis, dtype)
    arrays = [slot.as_dtype(dtype) for slot in shape.slots]
    nb = len(shape.batch)
    if nb:
        rank = nb + 2
        arrays = [
            a if a.ndim == rank else a.reshape((1,) * (rank - a.ndim) + a.shape) for a in arrays
        ]
    M, N = (1 if n is None else n for n in (shape.M, shape.N))
    if axis == "i":
        M, N = N, M
    blocks = shape._ranges if ranges is None else as_ranges(ranges)
    if blocks is not None:
        blocks = blocks.T if axis == "i" else blocks
        blocks.along_j.check(M, N, math.prod(shape.batch))
    return task, Data(arrays, shape.batch, M, N, K, blocks), shape.home


def _as_weight(weight: Any, x: LazyTensor, axis: str) -> LazyTensor:
    """Return a weight as a LazyTensor; bare arrays belong to the reduced axis, as in K @ b."""
    if isinstance(weight, LazyTensor) or library_of(weight) == "scalar":
        return promote(weight)
    n = x.N if axis == "j" else x.M
    n = 1 if n is None else n
    what = f"weight as a LazyTensor, or an array of shape ({n},) or (..., {n}, E)"
    w = check_array(weight, what)
    if w.shape[0 if w.ndim == 1 else -2] != n:
        raise ShapeError(expected(what, f"shape {tuple(w.shape)}"))
    return (Vj if axis == "j" else Vi)(w[:, None] if w.ndim == 1 else w)


@not_traced
def reduce(
    x: LazyTensor,
    name: str,
    axis: str,
    K: int = 0,
    weight: Any = None,
    backend: str | None = None,
    n_threads: int | None = None,
    ranges: Any = None,
    **how: Any,
) -> Any:
    """Return the result of a reduction: an array (..., M, E), or a tuple of them.

    The last four are the options of `calls.OPTIONS`. Of a formula with placeholders, return what
    reduces it once it is given their arrays.
    """
    if how:
        weight = None if weight is None else _as_weight(weight, x, axis)
        how = {"backend": backend, "n_threads": n_threads, "ranges": ranges, **how}
        return reduce_as_told(reduce, x, name, axis, K, weight, how)
    try:
        task, data, home = build_at_home(x, name, axis, K, weight, ranges)
    except MissingArraysError:
        how = {"backend": backend, "n_threads": n_threads, "ranges": ranges}
        weight = None if weight is None else _as_weight(weight, x, axis)
        return Deferred(reduce, x, name, axis, K, weight, how)
    results = run_at_home(task, data, home, backend, n_threads)
    return results[0] if len(results) == 1 else results


def run_at_home(
    task: Task,
    data: Data,
    home: Home | None,
    backend: str | None = None,
    n_threads: int | None = None,
) -> tuple[Any, ...]:
    """Return the results of a task in the library, and on the device, of its arrays."""
    if home is not None and home.library == "torch":
        leave_to_python()
        from .autograd import reduce_tensors

        return reduce_tensors(task, data, backend, n_threads)
    if n_threads is None:
        return run(task, data, backend)
    with options(n_threads=n_threads):
        return run(task, data, backend)


def check_count(K: Any, name: str, option: str = "K") -> int:
    """Return K, a number of values to keep."""
    try:
        value = -1 if isinstance(K, bool) else operator.index(K)
    except TypeError:
        value = -1
    if value < 1:
        what = f"{name}({option}) with a positive integer {option}"
        raise ArgumentError(expected(what, f"{option}={K!r}"))
    return value


def _reduction_method(name: str) -> Callable[..., Any]:
    entry = REDUCTIONS[name]
    over_features = OPS.get(name)
    method: Callable[..., Any]

    if entry.keep:

        def method(self, K, axis=None, dim=None, **how):  # type: ignore[no-untyped-def]
            along = pair_axis(self, axis, dim, name)
            return reduce(self, name, along, check_count(K, name), **how)

    elif entry.weighted:

        def method(self, weight, axis=None, dim=None, **how):  # type: ignore[no-untyped-def]
            return reduce(self, name, pair_axis(self, axis, dim, name), 0, weight, **how)

    elif f"{name}_weight" in REDUCTIONS:

        def method(self, axis=None, dim=None, weight=None, **how):  # type: ignore[no-untyped-def]
            return reduce(self, name, pair_axis(self, axis, dim, name), 0, weight, **how)

    elif over_features is None:

        def method(self, axis=None, dim=None, **how):  # type: ignore[no-untyped-def]
            return reduce(self, name, pair_axis(self, axis, dim, name), **how)

    else:

        def method(self, axis=None, dim=None, **how):  # type: ignore[no-untyped-def]
            if axis is None and dim is None:
                axis = -1
            along = reduction_axis(self, axis, dim, name)
            if along != "features":
                return reduce(self, name, along, **how)
            if how:
                check_options(how, name)
                what = f"{' and '.join(how)} only where {name} computes, over rows or columns"
                raise ArgumentError(expected(what, "the feature axis"))
            return apply(over_features, (self,))

    leading = list(inspect.signature(method).parameters.values())[:-1]
    setattr(method, "__signature__", signature(*leading))
    _describe(method, name, reduction_doc(entry))
    return method


def _describe(method: Any, name: str, doc: str) -> None:
    method.__name__, method.__qualname__, method.__doc__ = name, f"LazyTensor.{name}", doc


def _no_features(x: LazyTensor, name: str) -> ArgumentError:
    nb = len(x.batch)
    what = f"axis={nb} (rows) or {nb + 1} (columns) for {name}"
    return ArgumentError(expected(what, "the feature axis"))


def pair_axis(x: LazyTensor, axis: int | None, dim: int | None, name: str) -> str:
    """Return "i" or "j" for the axis that the user wrote."""
    along = reduction_axis(x, axis, dim, name)
    if along == "features":
        raise _no_features(x, name)
    return along


# --- Operations --------------------------------------------------------------------------------


def _operation_method(op: Op) -> Callable[..., Any]:
    n = len(op.args)

    whole = n + len(op.params)

    def method(*operands: Any, **named: Any) -> LazyTensor:
        if named or len(operands) != whole:
            operands = op.bind(operands, named)
        return apply(op, operands[:n], operands[n:])

    names = ("self", *op.operands[: n - 1], *op.params)
    defaults = dict(zip(reversed(names), reversed(op.defaults), strict=False))
    either = inspect.Parameter.POSITIONAL_OR_KEYWORD
    method.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(p, either, default=defaults.get(p, inspect.Parameter.empty))
            for p in names
        ]
    )
    _describe(method, op.name, operation_doc(op))
    return method


def _power(self: LazyTensor, n: Any) -> LazyTensor:
    """Power: products for integers, roots for halves, `pow` for other exponents and LazyTensors."""
    if library_of(n) == "scalar" and float(n) * 2 == int(float(n) * 2 if abs(n) < 1e9 else 0):
        return apply(OPS["power"], (self,), (float(n),))
    return apply(OPS["pow"], (self, n))


def _or(self: LazyTensor, other: Any) -> LazyTensor:
    """Scalar product ``(x | y)``; of two formulas of truth values, logical or."""
    if self.expr.kind == "boolean" and getattr(other, "expr", self.expr).kind == "boolean":
        return apply(OPS["logical_or"], (self, other))
    return apply(OPS["dot"], (self, other))


def _getitem(self: LazyTensor, key: Any) -> LazyTensor:
    """Return components of the feature axis: ``x[2]``, ``x[-1]``, ``x[..., 1:5:2]``."""
    if isinstance(key, tuple) and key and key[-1] is not Ellipsis:
        if not all(k is Ellipsis or k == slice(None) for k in key[:-1]):
            cure = "Index the arrays before they become LazyTensors."
            raise ArgumentError(expected("an index of the last axis only", f"{key!r}", cure))
        key = key[-1]
    if isinstance(key, slice):
        parts = (key.start, key.stop, key.step)
        if any(not (p is None or _is_integer(p)) for p in parts) or key.step == 0:
            raise ArgumentError(expected("a slice of integers, its step not 0", f"x[{key}]"))
        return apply(_slice, (self,), (key.start, key.stop, key.step))
    if not _is_integer(key):
        cure = "Use .concat to put components together in another order."
        raise ArgumentError(expected("an integer index or a slice", repr(key), cure))
    if not -self.D <= key < self.D:
        what = f"an index from {-self.D} to {self.D - 1}, of {self.D} components"
        raise ShapeError(expected(what, f"x[{key}]"))
    return apply(OPS["elem"], (self,), (int(key),))


def _is_integer(x: Any) -> bool:
    try:
        operator.index(x)
    except TypeError:
        return False
    return not isinstance(x, bool | np.ndarray)


def _slice(e: Expr, start: Any, stop: Any, step: Any) -> Expr:
    span = range(*slice(start, stop, step).indices(e.dim))
    if not span:
        got = f"{start}:{stop}:{step}"
        raise ShapeError(expected(f"a slice that keeps some of {e.dim} components", got))
    return OPS["take"](e, span.start, span.step, len(span))


def _attach_operations() -> None:
    for op in OPS.values():
        if op.internal:
            continue
        method = _operation_method(op)
        for name in (op.name, *op.aliases):
            setattr(LazyTensor, name, method)
        if op.dunder and len(op.args) == 1:
            setattr(LazyTensor, f"__{op.dunder}__", lambda self, op=op: apply(op, (self,)))
        elif op.dunder:
            both: Any = lambda self, other, op=op: apply(op, (self, other))  # noqa: E731
            setattr(LazyTensor, f"__{op.dunder}__", both)
        if op.dunder in ("add", "sub", "mul", "truediv", "or", "and"):

            def reflected(self: LazyTensor, other: Any, op: Op = op) -> LazyTensor:
                return apply(op, (other, self))

            setattr(LazyTensor, f"__r{op.dunder}__", reflected)
    for name in REDUCTIONS:
        if not name.endswith("_weight"):  # those are the methods' without it, given a weight
            method = _reduction_method(name)
            setattr(LazyTensor, name, method)
            setattr(LazyTensor, f"{name}_reduction", method)
    setattr(LazyTensor, "__getitem__", _getitem)
    setattr(LazyTensor, "norm", _norm)
    setattr(LazyTensor, "concatenate", staticmethod(concatenate))
    setattr(LazyTensor, "cat", staticmethod(lambda tensors, dim=-1: concatenate(tensors, dim)))
    setattr(LazyTensor, "__or__", _or)
    setattr(LazyTensor, "__pow__", _power)
    setattr(LazyTensor, "power", _power)
    setattr(LazyTensor, "__mod__", lambda self, m: apply(OPS["mod"], (self, m, 0)))
    setattr(LazyTensor, "__rmod__", lambda self, x: apply(OPS["mod"], (x, self, 0)))
    setattr(LazyTensor, "__floordiv__", lambda self, y: apply(OPS["floor"], (self / y,)))
    setattr(LazyTensor, "__round__", lambda self, n=0: apply(OPS["round"], (self,), (n,)))
    setattr(LazyTensor, "__pos__", lambda self: self)
    setattr(LazyTensor, "__rpow__", lambda self, x: apply(OPS["pow"], (x, self)))


def _norm(self: LazyTensor, p: float = 2, dim: int = -1) -> LazyTensor:
    """Euclidean norm (p=2), sum of absolute values (1) or largest absolute value (inf).

    ``norm(-1)`` is Euclidean too: KeOps's argument is the axis.
    """
    if dim not in (-1, len(self.full_shape) - 1):
        raise ArgumentError(expected("dim=-1, the feature axis", f"dim={dim}"))
    if p in (2, -1):
        return apply(OPS["norm2"], (self,))
    if p == 1:
        return apply(OPS["sum"], (apply(OPS["abs"], (self,)),))
    if p == float("inf"):
        return apply(OPS["max"], (apply(OPS["abs"], (self,)),))
    raise ArgumentError(expected("norm(p) with p = 1, 2 or inf", f"p={p!r}"))


def concatenate(tensors: Sequence[Any], axis: int = -1) -> LazyTensor:
    """Return the concatenation of LazyTensors along their feature axis.

    Parameters
    ----------
    tensors : sequence of LazyTensor
        At least one.
    axis : int
        -1, the only axis along which LazyTensors are concatenated.
    """
    if axis != -1 and any(axis != len(t.full_shape) - 1 for t in tensors):
        raise ArgumentError(expected("axis=-1, the feature axis", f"axis={axis}"))
    if not tensors:
        raise ArgumentError(expected("at least one LazyTensor", "none"))
    result = promote(tensors[0])
    for t in tensors[1:]:
        result = apply(OPS["concat"], (result, t))
    return result


_attach_operations()
