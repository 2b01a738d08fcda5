"""Real LazyTensors beside complex numbers: how they are made, operators, products with vectors.

`Vi`, `Vj`, `Pm` and `LazyTensor` are those of `lazy.py`, but of complex arrays they make
ComplexLazyTensors.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from . import lazy
from .complex import ComplexLazyTensor, from_real, is_number, of_precision, to_complex
from .complex_arrays import as_complex, as_real, is_complex
from .lazy import LazyTensor
from .matrix import _matmul


def _points(plain: Callable[..., LazyTensor], axis: int) -> Callable[..., Any]:
    @wraps(plain)
    def points(x: Any, *args: Any, **named: Any) -> Any:
        return ComplexLazyTensor(x, axis) if is_number(x) else plain(x, *args, **named)

    return points


Vi, Vj, Pm = _points(lazy.Vi, 0), _points(lazy.Vj, 1), _points(lazy.Pm, 2)


def _new(cls: type[LazyTensor], x: Any = None, axis: int | None = None) -> Any:
    return ComplexLazyTensor(x, axis) if is_number(x) else object.__new__(cls)


def _real2complex(self: LazyTensor) -> ComplexLazyTensor:
    """Real numbers as complex ones."""
    return from_real("real2complex", self)


def _imag2complex(self: LazyTensor) -> ComplexLazyTensor:
    """1j times real numbers."""
    return from_real("imag2complex", self)


def _exp1j(self: LazyTensor) -> ComplexLazyTensor:
    """Return exp(1j x)."""
    return from_real("complex_exp1j", self)


def _or_complex(name: str, reflected: str) -> Callable[..., Any]:
    """Return a method of LazyTensor that leaves complex operands to ComplexLazyTensor."""
    plain = getattr(LazyTensor, name)

    def method(self: LazyTensor, other: Any) -> Any:
        if type(other) is LazyTensor or not is_number(other):
            return plain(self, other)
        return getattr(to_complex(other), reflected)(self)

    method.__name__, method.__doc__ = name, plain.__doc__
    return method


def _matmul_or_complex(self: LazyTensor, b: Any, **how: Any) -> Any:
    """Return ``K @ b``; of a complex b, the products of both parts by one reduction."""
    if not is_complex(b) or b.ndim == 0:
        return _matmul(self, b, **how)
    vector = b.ndim == 1
    result = as_complex(_matmul(self, as_real(b[:, None] if vector else b), **how))
    return result[..., 0] if vector else result


_matmul_or_complex.__doc__ = _matmul.__doc__


def _with_complex_vectors(name: str, of: Callable[[LazyTensor], LazyTensor]) -> Any:
    """Return a method of scipy's linear operators that takes complex vectors too."""
    plain = getattr(LazyTensor, name)

    def method(self: LazyTensor, b: Any) -> Any:
        if np.asarray(b).dtype.kind != "c":
            return plain(self, b)
        result = _matmul_or_complex(of(self), of_precision(b, self.dtype))
        return result.astype(np.result_type(result.dtype, b.dtype), copy=False)

    method.__name__, method.__doc__ = name, plain.__doc__
    return method


def _attach() -> None:
    setattr(LazyTensor, "__new__", _new)
    setattr(LazyTensor, "real2complex", _real2complex)
    setattr(LazyTensor, "imag2complex", _imag2complex)
    setattr(LazyTensor, "exp1j", _exp1j)
    for op in ("add", "sub", "mul", "truediv"):
        there, back = _or_complex(f"__{op}__", f"__r{op}__"), _or_complex(f"__r{op}__", f"__{op}__")
        setattr(LazyTensor, f"__{op}__", there)
        setattr(LazyTensor, f"__r{op}__", back)
    for op in ("eq", "ne"):
        setattr(LazyTensor, f"__{op}__", _or_complex(f"__{op}__", f"__{op}__"))
    setattr(LazyTensor, "__matmul__", _matmul_or_complex)
    for name in ("matvec", "matmat"):
        setattr(LazyTensor, name, _with_complex_vectors(name, lambda K: K))
    for name in ("rmatvec", "rmatmat"):
        setattr(LazyTensor, name, _with_complex_vectors(name, lambda K: K.T))


_attach()
