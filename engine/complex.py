"""Complex LazyTensors: formulas of real and imaginary parts, and arrays that are viewed as such.

A `ComplexLazyTensor` holds a LazyTensor of 2 D components, the parts of D complex numbers in turn.
Its operations are those of `formula/complex.py`; what complex numbers do not have (an order, and so
minima) it does not have either.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from .complex_arrays import COMPLEX, as_complex, as_real, is_complex
from .errors import DTypeError, ShapeError, did_you_mean, expected
from .formula.ops import OPS
from .lazy import LazyTensor, Pm, Vj, apply
from .methods import reduce, reduction_axis


class ComplexLazyTensor:
    """A symbolic array of complex numbers, of shape (..., M, N, D), that is never stored.

    ``LazyTensor(z)``, ``Vi(z)``, ``Vj(z)`` and ``Pm(z)`` give one for complex arrays, and so do
    ``x.real2complex()``, ``x.imag2complex()`` and ``x.exp1j()`` for real LazyTensors.

    Parameters
    ----------
    x : array of complex numbers, complex number, or list of them
        As for `LazyTensor`.
    axis : {0, 1, 2}, optional
        As for `LazyTensor`.

    Notes
    -----
    Operators take complex and real operands. Sums along an axis and ``K @ b`` return complex
    arrays, of dtype complex64 or complex128.

    Examples
    --------
    >>> import numpy as np
    >>> from georeduce.engine import Vi, Vj
    >>> z, w = np.array([[1 + 1j], [2.0]]), np.array([[1j]])
    >>> (Vi(z) * Vj(w).conj()).sum(axis=1)
    array([[1.-1.j],
           [0.-2.j]])
    """

    __slots__ = ("__weakref__", "components")
    __array_ufunc__ = None  # so that array * ComplexLazyTensor comes to __rmul__
    __iter__ = None  # or Python would iterate by __getitem__

    components: LazyTensor

    def __init__(self, x: Any, axis: int | None = None) -> None:
        if isinstance(x, ComplexLazyTensor):
            self.components = x.components
        elif isinstance(x, complex | np.complexfloating | list | tuple):
            numbers = x if isinstance(x, list | tuple) else [x]
            parts = [part for z in map(complex, numbers) for part in (z.real, z.imag)]
            self.components = Pm(parts)
        elif is_complex(x):
            self.components = LazyTensor(as_real(x), axis)
        else:
            cure = "Write x.real2complex() for a LazyTensor x of real numbers."
            raise DTypeError(expected("complex numbers", type(x).__name__, cure))

    @classmethod
    def of(cls, components: LazyTensor) -> ComplexLazyTensor:
        """Return the complex numbers whose real and imaginary parts are components in turn."""
        new = object.__new__(cls)
        new.components = components
        return new

    # --- What it is --------------------------------------------------------------------------

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """complex64 or complex128; None for numbers alone."""
        real = self.components.dtype
        return None if real is None else COMPLEX[real.name]

    @property
    def batch(self) -> tuple[int, ...]:
        """Lengths of the batch axes."""
        return self.components.batch

    @property
    def D(self) -> int:
        """Length of the feature axis."""
        return self.components.D // 2

    @property
    def full_shape(self) -> tuple[int, ...]:
        """(..., M, N, D); an axis that the formula does not vary along has length 1."""
        return (*self.components.full_shape[:-1], self.D)

    @property
    def shape(self) -> tuple[int, ...]:
        """(..., M, N, D); (..., M, N) for a matrix, as of a real LazyTensor."""
        of = self.components
        matrix = self.D == 1 and of.M is not None and of.N is not None
        return self.full_shape[:-1] if matrix else self.full_shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def dim(self) -> int:
        """Return the number of axes."""
        return self.ndim

    @property
    def formula(self) -> str:
        """The formula of the parts as text."""
        return self.components.formula

    def __repr__(self) -> str:
        kind = "complex numbers" if self.dtype is None else str(self.dtype)
        return f"ComplexLazyTensor of shape {self.shape}, {kind}: {self.formula}"

    def __hash__(self) -> int:
        return id(self)

    def __len__(self) -> int:
        return self.shape[0]

    def __bool__(self) -> NoReturn:
        raise DTypeError(expected("a truth value", "a ComplexLazyTensor"))

    def __getattr__(self, name: str) -> NoReturn:
        if hasattr(LazyTensor, name) and not name.startswith("_"):
            cure = "Take .real, .imag, .abs() or .angle() first."
            text = f"ComplexLazyTensor has no {name!r}: it is of real numbers only. {cure}"
        else:
            known = did_you_mean(name, [n for n in dir(type(self)) if not n.startswith("_")])
            text = f"ComplexLazyTensor has no operation {name!r}. {known}".rstrip()
        raise AttributeError(text)

    # --- Parts -------------------------------------------------------------------------------

    @property
    def real(self) -> LazyTensor:
        """Real part."""
        return apply(OPS["complex_real"], (self.components,))

    @property
    def imag(self) -> LazyTensor:
        """Imaginary part."""
        return apply(OPS["complex_imag"], (self.components,))

    def abs(self) -> LazyTensor:
        """Return the absolute value."""
        return apply(OPS["complex_abs"], (self.components,))

    __abs__ = abs

    def angle(self) -> LazyTensor:
        """Return the angle, from -pi to pi."""
        return apply(OPS["complex_angle"], (self.components,))

    def conj(self) -> ComplexLazyTensor:
        """Return the conjugate."""
        return _complex("conj", self)

    def exp(self) -> ComplexLazyTensor:
        """Return the exponential."""
        return _complex("complex_exp", self)

    def __getitem__(self, key: Any) -> ComplexLazyTensor:
        return of_parts(self.real[key], self.imag[key])

    def concat(self, other: Any) -> ComplexLazyTensor:
        """Return the numbers of this, then those of the other."""
        parts = self.components, to_complex(other).components
        return ComplexLazyTensor.of(apply(OPS["concat"], parts))

    # --- Arithmetic --------------------------------------------------------------------------

    def __add__(self, other: Any) -> ComplexLazyTensor:
        return _complex("complex_add", self, other)

    def __sub__(self, other: Any) -> ComplexLazyTensor:
        return _complex("complex_subtract", self, other)

    def __rsub__(self, other: Any) -> ComplexLazyTensor:
        return _complex("complex_subtract", other, self)

    def __mul__(self, other: Any) -> ComplexLazyTensor:
        if is_number(other):
            return _complex("complex_mult", self, other)
        return ComplexLazyTensor.of(apply(OPS["complex_real_scal"], (other, self.components)))

    def __truediv__(self, other: Any) -> ComplexLazyTensor:
        if is_number(other):
            return _complex("complex_divide", self, other)
        inverse = apply(OPS["inv"], (other,))
        return ComplexLazyTensor.of(apply(OPS["complex_real_scal"], (inverse, self.components)))

    def __rtruediv__(self, other: Any) -> ComplexLazyTensor:
        return _complex("complex_divide", other, self)

    def __neg__(self) -> ComplexLazyTensor:
        return ComplexLazyTensor.of(-self.components)

    def __pos__(self) -> ComplexLazyTensor:
        return self

    def __eq__(self, other: Any) -> LazyTensor:  # type: ignore[override]
        z = to_complex(other)
        same: LazyTensor = (self.real == z.real) & (self.imag == z.imag)
        return same

    def __ne__(self, other: Any) -> LazyTensor:  # type: ignore[override]
        different: LazyTensor = ~(self == other)
        return different

    __radd__ = __add__
    __rmul__ = __mul__

    # --- Sums and products with vectors --------------------------------------------------------

    def sum(self, axis: int | None = None, dim: int | None = None, **how: Any) -> Any:
        """Return the sum over the features, or the array of sums along an axis.

        Parameters
        ----------
        axis, dim : int
            As of a real LazyTensor's sum: -1, the default, for the features.
        **how
            Options of the reduction.

        Returns
        -------
        ComplexLazyTensor, or array of shape (..., M, D)
        """
        axis = -1 if axis is None and dim is None else axis
        along = reduction_axis(self, axis, dim, "sum")  # type: ignore[arg-type]
        if along == "features":
            return _complex("complex_sum", self)
        return as_complex(reduce(self.components, "sum", along, **how))

    def sum_reduction(self, axis: int | None = None, dim: int | None = None, **how: Any) -> Any:
        """Return the array of sums along an axis, of shape (..., M, D)."""
        return self.sum(axis, dim, **how)

    @property
    def T(self) -> ComplexLazyTensor:
        """Transpose: rows and columns exchanged, nothing conjugated."""
        return ComplexLazyTensor.of(self.components.T)

    def t(self) -> ComplexLazyTensor:
        """Return the transpose."""
        return self.T

    def dense(self) -> Any:
        """Return the array of all values: for small cases and checks only."""
        return as_complex(self.components.dense()).reshape(self.shape)

    def __matmul__(self, b: Any, **how: Any) -> Any:
        """Return ``K @ b`` for real or complex b of shape (N,) or (..., N, E)."""
        N = self.full_shape[-2]
        vector = b.ndim == 1
        if b.ndim == 0 or b.shape[0 if vector else -2] != N:
            what = f"b of shape ({N},) or (..., {N}, E) for a matrix of {N} columns"
            raise ShapeError(expected(what, f"shape {tuple(b.shape)}"))
        columns = b[:, None] if vector else b
        product = self * (ComplexLazyTensor(columns, 1) if is_complex(b) else Vj(columns))
        result = as_complex(reduce(product.components, "sum", "j", **how))
        return result[..., 0] if vector else result

    def __rmatmul__(self, b: Any) -> Any:
        if b.ndim == 1:
            return self.T @ b
        return (self.T @ b.swapaxes(-1, -2)).swapaxes(-1, -2)

    def matvec(self, b: Any) -> Any:
        """Return ``K @ b``, as scipy's solvers ask of a linear operator."""
        return self @ of_precision(b, self.components.dtype)

    def rmatvec(self, b: Any) -> Any:
        """Return the product with the adjoint: conjugated and transposed."""
        return self.conj().T @ of_precision(b, self.components.dtype)

    matmat = matvec
    rmatmat = rmatvec


# --- Operands ----------------------------------------------------------------------------------


def of_parts(real: Any, imag: Any) -> ComplexLazyTensor:
    """Return the complex numbers of two LazyTensors, their real and their imaginary parts."""
    return ComplexLazyTensor.of(apply(OPS["interleave"], (real, imag)))


def is_number(x: Any) -> bool:
    """Return whether an operand is complex: an array, a number, a list or a LazyTensor."""
    listed = isinstance(x, list | tuple) and any(isinstance(z, complex) for z in x)
    return isinstance(x, complex) or listed or is_complex(x)


def to_complex(x: Any) -> ComplexLazyTensor:
    """Return an operand as complex numbers."""
    if isinstance(x, ComplexLazyTensor):
        return x
    return ComplexLazyTensor(x) if is_number(x) else from_real("real2complex", x)


def from_real(name: str, x: Any) -> ComplexLazyTensor:
    """Return the complex result of an operation on real numbers."""
    return ComplexLazyTensor.of(apply(OPS[name], (x,)))


def _complex(name: str, *operands: Any) -> ComplexLazyTensor:
    """Return the complex result of an operation, whose operands may be real."""
    parts = [to_complex(x).components for x in operands]
    return ComplexLazyTensor.of(apply(OPS[name], parts))


def of_precision(b: Any, dtype: np.dtype[Any] | None) -> Any:
    """Return a vector as NumPy's, in the precision of a matrix."""
    b = np.asarray(b)
    if dtype is None:
        return b
    return b.astype(COMPLEX[dtype.name] if b.dtype.kind == "c" else dtype, copy=False)
