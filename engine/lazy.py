"""LazyTensor: arrays and a formula of them; every operator checks shapes where it stands.

A LazyTensor is an immutable formula (`formula.expr`) whose variables are numbered slots, and one
`Slot` for each with its array. Combining two renumbers the slots of the second; formulas that are
built again from other arrays are therefore the same nodes, and nothing is compiled again.

The methods are attached from the tables of operations and reductions in `methods.py`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NoReturn

import numpy as np

from .agree import broadcast_batches, same
from .arrays import FLOATS, check_array, check_numbers, library_of, scalar_value
from .errors import ArgumentError, DTypeError, ShapeError, did_you_mean, expected
from .formula.expr import Expr, constant, substitute, swap_axes, to_string, variable, variables
from .formula.ops import Op
from .operators import Operators
from .ranges import Ranges, common

_OTHER = {"i": "j", "j": "i", "p": "p"}


class Slot:
    """The array behind a variable: shape (*batch, n, dim), or numbers without a dtype."""

    __slots__ = ("array", "axis", "dtype_free", "shape")

    def __init__(self, array: np.ndarray[Any, Any], axis: str, dtype_free: bool = False) -> None:
        self.array, self.axis, self.dtype_free = array, axis, dtype_free
        self.shape = array.shape

    def as_dtype(self, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        """Return the array; numbers without a dtype take the one they are given."""
        if self.array.dtype is dtype:
            return self.array
        with np.errstate(over="ignore"):  # 1e300 in float32 is infinite, as in NumPy's arithmetic
            return self.array.astype(dtype)


class LazyTensor(Operators):
    """A symbolic array of shape (..., M, N, D) that is never stored, only reduced.

    Parameters
    ----------
    x : array, number, list of numbers, or LazyTensor
        Points: an array of shape (..., M, 1, D) varies along i, the rows; one of shape
        (..., 1, N, D) along j, the columns. A number or a vector (D,) is a parameter. float32 or
        float64; leading axes are batch axes, and broadcast. Three integers are a `Var`.
    axis : {0, 1, 2}, optional
        For an array of shape (..., n, D): 0 if its points are rows, 1 if they are columns,
        2 if it is a vector of parameters.

    Notes
    -----
    Operators and methods combine formulas without computing anything. Reductions along an axis
    compute: ``K.sum(axis=1)``, ``d.argKmin(10, axis=1)``, ``K @ b``. Numbers are parameters given
    at launch: ``K / 10`` and ``K / 20`` share one compiled kernel. A number and a list of
    numbers take the dtype of the arrays that they meet.

    Examples
    --------
    >>> import numpy as np
    >>> from georeduce.engine import LazyTensor
    >>> x, y = np.random.rand(1000, 3), np.random.rand(2000, 3)
    >>> x_i, y_j = LazyTensor(x[:, None, :]), LazyTensor(y[None, :, :])
    >>> K = (-((x_i - y_j) ** 2).sum(-1)).exp()
    >>> K.shape
    (1000, 2000)
    >>> K.sum(axis=1).shape
    (1000, 1)
    """

    __slots__ = ("M", "N", "__weakref__", "_ranges", "batch", "dtype", "expr", "slots")
    __array_ufunc__ = None  # so that array * LazyTensor comes to __rmul__
    __iter__ = None  # or Python would iterate by __getitem__

    expr: Expr
    slots: tuple[Slot, ...]
    batch: tuple[int, ...]
    M: int | None
    N: int | None
    dtype: np.dtype[Any] | None
    _ranges: Ranges | None

    def __init__(self, x: Any, axis: int | None = None) -> None:
        if type(x) is tuple and len(x) == 3 and all(type(v) is int for v in x):
            made = importlib.import_module(".places", __package__).Var(*x)
        elif axis is None:
            made = x if isinstance(x, LazyTensor) else from_array(x)
        elif axis in (0, 1, 2):
            made = (Vi, Vj, Pm)[axis](x)
        else:
            raise ArgumentError(
                expected("axis=0 (rows), 1 (columns) or 2 (parameters)", f"{axis!r}")
            )
        self.expr, self.slots, self.batch = made.expr, made.slots, made.batch
        self.M, self.N, self.dtype = made.M, made.N, made.dtype
        self._ranges = made._ranges

    @classmethod
    def _make(
        cls,
        expr: Expr,
        slots: tuple[Slot, ...],
        batch: tuple[int, ...],
        M: int | None,
        N: int | None,
        dtype: np.dtype[Any] | None,
        ranges: Ranges | None = None,
    ) -> LazyTensor:
        new = object.__new__(cls)
        new.expr, new.slots, new.batch, new.M, new.N, new.dtype = expr, slots, batch, M, N, dtype
        new._ranges = ranges
        return new

    @property
    def D(self) -> int:
        """Length of the feature axis."""
        return self.expr.dim

    def dim(self) -> int:
        """Return the number of axes, as KeOps and PyTorch do; `D` is the length of the last."""
        return len(self.shape)

    @property
    def full_shape(self) -> tuple[int, ...]:
        """(..., M, N, D); an axis that the formula does not vary along has length 1."""
        M, N = (1 if n is None else n for n in (self.M, self.N))
        return (*self.batch, M, N, self.expr.dim)

    @property
    def shape(self) -> tuple[int, ...]:
        """(..., M, N, D); (..., M, N) for a matrix, a scalar formula of both rows and columns.

        A matrix has the shape of one, so that ``scipy.sparse.linalg.aslinearoperator`` takes it.
        """
        full = self.full_shape
        matrix = self.expr.dim == 1 and self.M is not None and self.N is not None
        return full[:-1] if matrix else full

    ndim = property(dim, doc="Number of axes.")

    @property
    def T(self) -> LazyTensor:
        """Transpose: rows and columns exchanged."""
        slots = tuple(Slot(s.array, _OTHER[s.axis], s.dtype_free) for s in self.slots)
        expr, ranges = _swapped(self.expr), None if self._ranges is None else self._ranges.T
        return self._make(expr, slots, self.batch, self.N, self.M, self.dtype, ranges)

    def t(self) -> LazyTensor:
        """Return the transpose."""
        return self.T

    @property
    def formula(self) -> str:
        """The formula as text: x are rows, y columns, p parameters, numbered by slot."""
        return to_string(self.expr)

    def __repr__(self) -> str:
        kind = "numbers" if self.dtype is None else str(self.dtype)
        return f"LazyTensor of shape {self.shape}, {kind}: {self.formula}"

    def __hash__(self) -> int:
        return id(self)

    def __bool__(self) -> NoReturn:
        cure = "Reduce it first, for example with .any(axis=1) or .all(axis=1)."
        raise ArgumentError(expected("a truth value", "a LazyTensor", cure))

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        cure = "Use .dense() for a small one, or reduce it."
        raise DTypeError(expected("a NumPy array", "a LazyTensor, which is never stored", cure))

    def __getattr__(self, name: str) -> Any:  # Any: type checkers do not see attached methods
        known = [n for n in dir(type(self)) if not n.startswith("_")]
        cure = did_you_mean(name, known)
        raise AttributeError(f"LazyTensor has no operation {name!r}. {cure}".rstrip())


_swapped = lru_cache(maxsize=4096)(swap_axes)


# --- Making LazyTensors of arrays --------------------------------------------------------------


def from_array(x: Any) -> LazyTensor:
    """Return the LazyTensor of an array, whose shape tells its axis; see `LazyTensor`."""
    library = "numpy" if type(x) is np.ndarray and x.ndim else library_of(x)
    if library in ("scalar", "sequence") or (library == "numpy" and x.ndim == 1):
        return Pm(x)
    what = "an array of shape (..., M, 1, D) or (..., 1, N, D)"
    x = check_array(x, what)
    cure = "Write x[:, None, :] for rows, x[None, :, :] for columns, or use Vi(x) and Vj(x)."
    if x.ndim < 3 or (x.shape[-3] != 1 and x.shape[-2] != 1):
        raise ShapeError(expected(what, f"shape {x.shape}", cure))
    if x.shape[-2] == 1 and x.shape[-3] != 1:
        return _points(x[..., 0, :], "i", what)
    if x.shape[-3] == 1 and x.shape[-2] != 1:
        return _points(x[..., 0, :, :], "j", what)
    return _points(x[..., 0, :], "p", what)


def _points(x: np.ndarray[Any, Any], axis: str, what: str) -> LazyTensor:
    D = x.shape[-1]
    if D == 0:
        raise ShapeError(expected(f"{what} with D at least 1", f"shape {x.shape}"))
    n = x.shape[-2]
    M, N = n if axis == "i" else None, n if axis == "j" else None
    slots = (Slot(x, axis),)
    return LazyTensor._make(_first_slot(axis, D), slots, x.shape[:-2], M, N, x.dtype)


@lru_cache(maxsize=1024)
def _first_slot(axis: str, D: int) -> Expr:
    return variable(axis, D, 0)


def Vi(x: Any, dim: int | None = None) -> LazyTensor:
    """Return points as rows: an array of shape (..., M, D), or ``Vi(ind, dim)`` for one, see `Var`.

    Examples
    --------
    >>> import numpy as np
    >>> Vi(np.zeros((5, 2))).shape
    (5, 1, 2)
    """
    return _named_points(x, "i", "(..., M, D)", dim)


def Vj(x: Any, dim: int | None = None) -> LazyTensor:
    """Return points as columns: an array of shape (..., N, D), or ``Vj(ind, dim)`` for one.

    Examples
    --------
    >>> import numpy as np
    >>> Vj(np.zeros((5, 2))).shape
    (1, 5, 2)
    """
    return _named_points(x, "j", "(..., N, D)", dim)


def _named_points(x: Any, axis: str, shape: str, dim: int | None) -> LazyTensor:
    if dim is not None:
        made = importlib.import_module(".places", __package__).placeholder(x, dim, axis)
        assert isinstance(made, LazyTensor)
        return made
    what = f"points as an array of shape {shape}"
    x = check_array(x, what)
    if x.ndim < 2:
        cure = "Write x[:, None] for points with one feature."
        raise ShapeError(expected(what, f"shape {x.shape}", cure))
    return _points(x, axis, what)


def Pm(x: Any, dim: int | None = None) -> LazyTensor:
    """Return parameters: a number, numbers, or a vector (D,); or ``Pm(ind, dim)`` for them.

    Examples
    --------
    >>> Pm([1.0, 2.0]).shape
    (1, 1, 2)
    """
    if dim is not None:
        return _named_points(x, "p", "(D,)", dim)
    library = library_of(x)
    if library == "scalar" or (library == "sequence" and all(library_of(v) == "scalar" for v in x)):
        values = check_numbers([x] if library == "scalar" else x, "a parameter")
        slot = Slot(values[None, :], "p", dtype_free=True)
        return LazyTensor._make(variable("p", values.size, 0), (slot,), (), None, None, None)
    x = check_array(x, "a parameter")
    if x.ndim != 1 or not x.size:
        raise ShapeError(expected("a parameter of shape (D,)", f"shape {x.shape}"))
    return _points(x[None, :], "p", "a parameter")


# --- Combining ---------------------------------------------------------------------------------

_IDENTITY = tuple(range(1000))
_CONSTANTS = {0.0, 1.0, -1.0}
"""Numbers that rules know; every other number is a parameter of the kernel."""


def promote(x: Any) -> LazyTensor:
    """Return an operand as a LazyTensor."""
    if isinstance(x, LazyTensor):
        return x
    if type(x) in (float, int) or library_of(x) == "scalar":
        value = scalar_value(x)
        if value in _CONSTANTS:
            return LazyTensor._make(constant(value), (), (), None, None, None)
        slot = Slot(np.array([[value]]), "p", dtype_free=True)
        return LazyTensor._make(variable("p", 1, 0), (slot,), (), None, None, None)
    if library_of(x) == "unknown":
        what = "an operand that is a LazyTensor, a NumPy array or a real number"
        raise DTypeError(expected(what, type(x).__name__))
    return from_array(x)


def merge_slots(
    a: tuple[Slot, ...], b: tuple[Slot, ...]
) -> tuple[tuple[Slot, ...], tuple[int, ...]]:
    """Return the slots of both, and where those of b stand among them."""
    merged, places = list(a), []
    for slot in b:
        array, axis = slot.array, slot.axis
        for place, known in enumerate(merged):
            if known is slot or (known.array is array and known.axis == axis):
                places.append(place)
                break
        else:
            places.append(len(merged))
            merged.append(slot)
    return tuple(merged), tuple(places)


@lru_cache(maxsize=8192)
def renumber(e: Expr, places: tuple[int, ...]) -> Expr:
    """Return a formula with slot n moved to ``places[n]``."""
    moved = {}
    for old in variables(e):
        axis, slot = old.params
        moved[old] = variable(axis, old.dim, places[slot], old.kind)
    return substitute(e, moved)


def join(tensors: Sequence[LazyTensor]) -> tuple[list[Expr], LazyTensor]:
    """Return the formulas of several in common slots, and a tensor that has their shape."""
    first = tensors[0]
    slots, batch, M, N, dtype = first.slots, first.batch, first.M, first.N, first.dtype
    ranges = first._ranges
    exprs = [first.expr]
    for other in tensors[1:]:
        e = other.expr
        if other.slots is not slots and other.slots:
            slots, places = merge_slots(slots, other.slots)
            if places != _IDENTITY[: len(places)]:
                e = renumber(e, places)
        exprs.append(e)
        if other.M is not None and other.M != M:
            M = same(M, other.M, "rows M")
        if other.N is not None and other.N != N:
            N = same(N, other.N, "columns N")
        if other.batch != batch:
            batch = broadcast_batches(batch, other.batch)
        if other.dtype is not dtype and other.dtype is not None:
            if dtype is not None and dtype != other.dtype:
                got = f"{dtype} and {other.dtype}"
                cure = "Convert one of them with .astype."
                raise DTypeError(expected("arrays of one dtype", got, cure))
            dtype = other.dtype
        if other._ranges is not ranges:
            ranges = common(ranges, other._ranges)
    return exprs, LazyTensor._make(first.expr, slots, batch, M, N, dtype, ranges)


@lru_cache(maxsize=16384, typed=True)
def _formula(
    op: Op | Callable[..., Expr], exprs: tuple[Expr, ...], params: tuple[Any, ...]
) -> Expr:
    return op(*exprs, *params)


def apply(
    op: Op | Callable[..., Expr], operands: Sequence[Any], params: tuple[Any, ...] = ()
) -> LazyTensor:
    """Return the LazyTensor of an operation on LazyTensors, arrays and numbers."""
    tensors = [x if isinstance(x, LazyTensor) else promote(x) for x in operands]
    if len(tensors) == 1:
        shape = tensors[0]
        exprs: Sequence[Expr] = (shape.expr,)
    else:
        exprs, shape = join(tensors)
    try:
        result = _formula(op, tuple(exprs), params)
    except TypeError:  # a parameter that cannot be hashed: the operation itself says what is wrong
        result = op(*exprs, *params)
    M, N, dtype = shape.M, shape.N, shape.dtype
    return LazyTensor._make(result, shape.slots, shape.batch, M, N, dtype, shape._ranges)


def check_dtype(x: LazyTensor) -> np.dtype[Any]:
    """Return the dtype in which to compute."""
    return FLOATS[1] if x.dtype is None else x.dtype


__all__ = ["LazyTensor", "Pm", "Vi", "Vj", "apply", "join", "promote"]
