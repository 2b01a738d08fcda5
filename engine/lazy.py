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

from .agree import broadcast_batches, common_home, same
from .arrays import (
    FLOATS,
    NUMPY,
    Home,
    check_array,
    check_numbers,
    kind_of,
    library_of,
    not_traced,
    scalar_value,
)
from .errors import ArgumentError, DTypeError, ShapeError, did_you_mean, expected
from .formula.expr import Expr, constant, swap_axes, to_string, variable
from .formula.ops import Op
from .operators import Operators
from .ranges import Ranges, common
from .slots import Slot, merge_slots, renumber

_OTHER = {"i": "j", "j": "i", "p": "p"}


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

    __slots__ = ("M", "N", "__weakref__", "_ranges", "batch", "dtype", "expr", "home", "slots")
    __array_ufunc__ = None  # so that array * LazyTensor comes to __rmul__
    __iter__ = None  # or Python would iterate by __getitem__

    expr: Expr
    slots: tuple[Slot, ...]
    batch: tuple[int, ...]
    M: int | None
    N: int | None
    dtype: np.dtype[Any] | None
    home: Home | None
    _ranges: Ranges | None

    @not_traced
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
        self.home, self._ranges = made.home, made._ranges

    @classmethod
    def _make(
        cls,
        expr: Expr,
        slots: tuple[Slot, ...],
        batch: tuple[int, ...],
        M: int | None,
        N: int | None,
        dtype: np.dtype[Any] | None,
        home: Home | None,
        ranges: Ranges | None = None,
    ) -> LazyTensor:
        new = object.__new__(cls)
        new.expr, new.slots, new.batch, new.M, new.N = expr, slots, batch, M, N
        new.dtype, new.home, new._ranges = dtype, home, ranges
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
    @not_traced
    def T(self) -> LazyTensor:
        """Transpose: rows and columns exchanged."""
        slots = tuple(Slot(s.array, _OTHER[s.axis], s.dtype_free) for s in self.slots)
        expr, ranges = _swapped(self.expr), None if self._ranges is None else self._ranges.T
        dtype, home = self.dtype, self.home
        return self._make(expr, slots, self.batch, self.N, self.M, dtype, home, ranges)

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
        if name.startswith("_"):  # Python's own questions are many, and want no sentence
            raise AttributeError(name)
        known = [n for n in dir(type(self)) if not n.startswith("_")]
        cure = did_you_mean(name, known)
        raise AttributeError(f"LazyTensor has no operation {name!r}. {cure}".rstrip())


_swapped = lru_cache(maxsize=4096)(swap_axes)


# --- Making LazyTensors of arrays --------------------------------------------------------------


@not_traced
def from_array(x: Any) -> LazyTensor:
    """Return the LazyTensor of an array, whose shape tells its axis; see `LazyTensor`."""
    library = "numpy" if type(x) is np.ndarray and x.ndim else library_of(x)
    if library in ("scalar", "sequence") or (library != "unknown" and x.ndim <= 1):
        return Pm(x)
    what = "an array of shape (..., M, 1, D) or (..., 1, N, D)"
    x = check_array(x, what)
    cure = "Write x[:, None, :] for rows, x[None, :, :] for columns, or use Vi(x) and Vj(x)."
    if x.ndim < 3 or (x.shape[-3] != 1 and x.shape[-2] != 1):
        raise ShapeError(expected(what, f"shape {tuple(x.shape)}", cure))
    if x.shape[-2] == 1 and x.shape[-3] != 1:
        return _points(x[..., 0, :], "i", what)
    if x.shape[-3] == 1 and x.shape[-2] != 1:
        return _points(x[..., 0, :, :], "j", what)
    return _points(x[..., 0, :], "p", what)


def _points(x: Any, axis: str, what: str) -> LazyTensor:
    *batch, n, D = x.shape
    if D == 0:
        raise ShapeError(expected(f"{what} with D at least 1", f"shape {tuple(x.shape)}"))
    M, N = n if axis == "i" else None, n if axis == "j" else None
    slots = (Slot(x, axis),)
    dtype, home = (x.dtype, NUMPY) if type(x) is np.ndarray else kind_of(x)
    return LazyTensor._make(_first_slot(axis, D), slots, tuple(batch), M, N, dtype, home)


@lru_cache(maxsize=1024)
def _first_slot(axis: str, D: int) -> Expr:
    return variable(axis, D, 0)


@not_traced
def Vi(x: Any, dim: int | None = None) -> LazyTensor:
    """Return points as rows: an array of shape (..., M, D), or ``Vi(ind, dim)`` for one, see `Var`.

    Examples
    --------
    >>> import numpy as np
    >>> Vi(np.zeros((5, 2))).shape
    (5, 1, 2)
    """
    return _named_points(x, "i", "(..., M, D)", dim)


@not_traced
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
        raise ShapeError(expected(what, f"shape {tuple(x.shape)}", cure))
    return _points(x, axis, what)


@not_traced
def Pm(x: Any, dim: int | None = None) -> LazyTensor:
    """Return parameters: a number, numbers, or a vector (D,); or ``Pm(ind, dim)`` for them.

    A torch tensor without axes is a number that gradients reach; it takes the dtype of the arrays
    that it meets, as all numbers do.

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
        return LazyTensor._make(variable("p", values.size, 0), (slot,), (), None, None, None, None)
    if library == "torch" and not x.ndim:
        return _number(x)
    x = check_array(x, "a parameter")
    if x.ndim != 1 or not len(x):
        raise ShapeError(expected("a parameter of shape (D,)", f"shape {tuple(x.shape)}"))
    return _points(x[None, :], "p", "a parameter")


def _number(x: Any) -> LazyTensor:
    """Return a torch tensor without axes as a parameter."""
    if x.dtype.is_complex:
        x = check_array(x, "a parameter")  # raises
    slot = Slot(x.reshape(1, 1), "p", dtype_free=True)
    return LazyTensor._make(_first_slot("p", 1), (slot,), (), None, None, None, kind_of(x)[1])


# --- Combining ---------------------------------------------------------------------------------

_IDENTITY = tuple(range(1000))
_CONSTANTS = {0.0, 1.0, -1.0}
"""Numbers that rules know; every other number is a parameter of the kernel."""


@not_traced
def promote(x: Any) -> LazyTensor:
    """Return an operand as a LazyTensor."""
    if isinstance(x, LazyTensor):
        return x
    if type(x) in (float, int) or library_of(x) == "scalar":
        value = scalar_value(x)
        if value in _CONSTANTS:
            return LazyTensor._make(constant(value), (), (), None, None, None, None)
        slot = Slot(np.array([[value]]), "p", dtype_free=True)
        return LazyTensor._make(_first_slot("p", 1), (slot,), (), None, None, None, None)
    if library_of(x) == "unknown":
        what = "an operand that is a LazyTensor, an array or a real number"
        raise DTypeError(expected(what, type(x).__name__))
    return from_array(x)


@not_traced
def join(tensors: Sequence[LazyTensor]) -> tuple[list[Expr], LazyTensor]:
    """Return the formulas of several in common slots, and a tensor that has their shape."""
    first = tensors[0]
    slots, batch, M, N, dtype = first.slots, first.batch, first.M, first.N, first.dtype
    home, ranges = first.home, first._ranges
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
                cure = "Convert one of them, with .astype, or .to of a tensor."
                raise DTypeError(expected("arrays of one dtype", got, cure))
            dtype = other.dtype
        if other.home is not home and other.home is not None:
            home = common_home(home, other.home)
        if other._ranges is not ranges:
            ranges = common(ranges, other._ranges)
    return exprs, LazyTensor._make(first.expr, slots, batch, M, N, dtype, home, ranges)


@lru_cache(maxsize=16384, typed=True)
def _formula(
    op: Op | Callable[..., Expr], exprs: tuple[Expr, ...], params: tuple[Any, ...]
) -> Expr:
    return op(*exprs, *params)


@not_traced
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
    M, N, dtype, home = shape.M, shape.N, shape.dtype, shape.home
    return LazyTensor._make(result, shape.slots, shape.batch, M, N, dtype, home, shape._ranges)


def check_dtype(x: LazyTensor) -> np.dtype[Any]:
    """Return the dtype in which to compute."""
    return FLOATS[1] if x.dtype is None else x.dtype


__all__ = ["LazyTensor", "Pm", "Vi", "Vj", "apply", "join", "promote"]
