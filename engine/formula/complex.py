"""Operations on complex numbers, whose real and imaginary parts are components in turn.

A vector of D complex numbers has 2 D components. Two primitive index maps take the parts out and
`interleave` puts them together; the rest is derived. Knows nothing of complex arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ShapeError, expected
from . import ops as o
from .expr import Expr, constant
from .op import Dims, Op, Params, broadcast
from .slopes import full


def _half(dims: Dims, params: Params) -> int:
    if dims[0] % 2:
        got = f"{dims[0]} components"
        raise ShapeError(expected("real and imaginary parts in turn", got))
    return dims[0] // 2


def _interleave_numpy(x: Any, y: Any) -> Any:
    both = np.stack(np.broadcast_arrays(x, y), -1)
    return both.reshape(*both.shape[:-2], 2 * both.shape[-2])  # no -1: there may be no points


def _interleave_places(dims: Dims, params: Params) -> tuple[range, ...]:
    D = broadcast(dims, params)
    return range(0, 2 * D, 2), range(1, 2 * D, 2)


def _interleave_back(g: Expr, e: Expr, x: Expr, y: Expr) -> tuple[Expr, ...]:
    parts = complex_real(full(g, e.dim)), complex_imag(full(g, e.dim))
    return tuple(
        part if part.dim == a.dim else o.sum_(part) for part, a in zip(parts, (x, y), strict=True)
    )


complex_real: Op = Op(
    "complex_real", "Real parts: components 0, 2, ....", numpy=lambda x: x[..., 0::2],
    dim=_half, index=lambda k, params, dim: k * 2, steady=True, internal=True,
    vjp=lambda g, e, x: (o.put(full(g, e.dim), 0, 2, x.dim),))  # fmt: skip
complex_imag: Op = Op(
    "complex_imag", "Imaginary parts: components 1, 3, ....", numpy=lambda x: x[..., 1::2],
    dim=_half, index=lambda k, params, dim: k * 2 + 1, steady=True, internal=True,
    vjp=lambda g, e, x: (o.put(full(g, e.dim), 1, 2, x.dim),))  # fmt: skip
interleave = Op(
    "interleave", "Complex numbers of their real and imaginary parts.", ("real", "real"),
    numpy=_interleave_numpy, dim=lambda dims, params: 2 * broadcast(dims, params),
    parts=_interleave_places, steady=True, internal=True, vjp=_interleave_back)  # fmt: skip


# --- Arithmetic -------------------------------------------------------------------------------


def _alike(x: Expr, y: Expr) -> tuple[Expr, Expr]:
    """Return both with as many complex numbers, if one of them has one."""
    _half((x.dim,), ())
    _half((y.dim,), ())
    if x.dim == 2:
        x = o.tile(x, y.dim // 2) if y.dim > 2 else x
    elif y.dim == 2:
        y = o.tile(y, x.dim // 2)
    return x, y


def _mult(x: Expr, y: Expr) -> Expr:
    a, b, c, d = complex_real(x), complex_imag(x), complex_real(y), complex_imag(y)
    return interleave(a * c - b * d, a * d + b * c)


def _divide(x: Expr, y: Expr) -> Expr:
    a, b, c, d = complex_real(x), complex_imag(x), complex_real(y), complex_imag(y)
    # squares of the divisor would overflow and vanish where it does not
    size = o.maximum(o.abs_(c), o.abs_(d))
    c, d = c / size, d / size
    length = (o.square(c) + o.square(d)) * size
    return interleave((a * c + b * d) / length, (b * c - a * d) / length)


def _real_scal(x: Expr, z: Expr) -> Expr:
    if x.dim == 1:
        return o.mul(x, z)
    return o.mul(*_alike(o.repeat(x, 2), z))


def _sum_t(z: Expr, dim: int) -> Expr:
    if z.dim != 2 or dim % 2 or dim < 2:
        got = f"{z.dim} components, and dim={dim}"
        raise ShapeError(expected("one complex number, and an even dim", got))
    return o.tile(z, dim // 2)


def _exp(z: Expr) -> Expr:
    size, angle = o.exp(complex_real(z)), complex_imag(z)
    return interleave(size * o.cos(angle), size * o.sin(angle))


_C, _C2 = ("real",), ("real", "real")
complex_add = Op("complex_add", "Sum.", _C2, internal=True,
                 expand=lambda x, y: o.add(*_alike(x, y)))  # fmt: skip
complex_subtract = Op("complex_subtract", "Difference.", _C2, internal=True,
                      expand=lambda x, y: o.sub(*_alike(x, y)))  # fmt: skip
complex_mult = Op("complex_mult", "Product.", _C2, internal=True, expand=_mult)
complex_divide = Op("complex_divide", "Quotient.", _C2, internal=True, expand=_divide)
complex_real_scal = Op("complex_real_scal", "Product of real numbers x and complex ones y.", _C2,
                       internal=True, expand=_real_scal)  # fmt: skip
conj = Op("conj", "Conjugate.", _C, internal=True,
          expand=lambda z: interleave(complex_real(z), -complex_imag(z)))  # fmt: skip
complex_sum = Op("complex_sum", "Sum of the complex numbers.", _C, internal=True,
                 expand=lambda z: interleave(o.sum_(complex_real(z)),
                                             o.sum_(complex_imag(z))))  # fmt: skip

complex_sum_t = Op("complex_sum_t", "Vector of dim components: one complex number, repeated.", _C,
                   params=("dim",), internal=True, expand=_sum_t)  # fmt: skip

# --- Functions --------------------------------------------------------------------------------

complex_square_abs = Op("complex_square_abs", "Squared absolute value.", _C, internal=True,
                        expand=lambda z: o.square(complex_real(z))
                        + o.square(complex_imag(z)))  # fmt: skip
complex_abs = Op("complex_abs", "Absolute value.", _C, internal=True,
                 expand=lambda z: o.sqrt(complex_square_abs(z)))  # fmt: skip
complex_angle = Op("complex_angle", "Angle, from -pi to pi.", _C, internal=True,
                   expand=lambda z: o.atan2(complex_imag(z), complex_real(z)))  # fmt: skip
complex_exp = Op("complex_exp", "Exponential.", _C, internal=True, expand=_exp)
complex_exp1j = Op("complex_exp1j", "exp(1j x) of real numbers x.", _C, internal=True,
                   expand=lambda x: interleave(o.cos(x), o.sin(x)))  # fmt: skip
real2complex = Op("real2complex", "Real numbers as complex ones.", _C, internal=True,
                  expand=lambda x: interleave(x, constant(0)))  # fmt: skip
imag2complex = Op("imag2complex", "1j times real numbers.", _C, internal=True,
                  expand=lambda x: interleave(constant(0), x))  # fmt: skip

OPERATIONS = frozenset(op for op in o.OPS.values() if op.name.startswith("complex_")) | {
    conj,
    real2complex,
    imag2complex,
}
"""What KeOps has names for in formulas that are strings."""
