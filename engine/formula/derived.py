"""The derived operations of the table: each a formula made of the primitive ones.

Knows no code: what is written here has a NumPy meaning, a gradient and a spelling on every backend
because its parts have.
"""

from __future__ import annotations

import math
import operator
from typing import Any

from ..errors import ArgumentError, ShapeError, expected
from . import ops as o
from .expr import Expr, constant
from .ops import Op


def _integer(value: Any, what: str) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise ArgumentError(expected(f"an integer {what}", repr(value))) from None


# --- Powers, rounding, bounds -----------------------------------------------------------------


def _power(x: Expr, n: float) -> Expr:
    if n < 0:
        return o.inv(_power(x, -n))
    if n != int(n):
        if (2 * n) % 1:
            return o.pow_(x, constant(n))
        whole = int(n)
        return o.sqrt(x) if whole == 0 else o.mul(_power(x, whole), o.sqrt(x))
    n = int(n)
    if n > 64:  # a chain of that length rounds worse than one pow
        return o.pow_(x, constant(n))
    if n == 0:
        return constant(1, x.dim)
    result: Expr | None = None
    while True:
        if n & 1:
            result = x if result is None else o.mul(result, x)
        n >>= 1
        if not n:
            assert result is not None
            return result
        x = o.square(x)


power = Op("power", "Power with a fixed exponent: products for integers, roots for halves.",
           params=("n",), expand=_power, domain=(0.3, 2.0))  # fmt: skip


def _round(x: Expr, digits: int) -> Expr:
    digits = _integer(digits, "number of digits")
    if digits == 0:
        return o.rint(x)
    scale = constant(10.0 ** abs(digits))
    if digits < 0:
        return o.mul(o.rint(o.div(x, scale)), scale)
    return o.div(o.rint(o.mul(x, scale)), scale)


round_ = Op("round", "Nearest number of so many decimals, halves to even.", params=("digits",),
            defaults=(0,), expand=_round)  # fmt: skip


def _mod(x: Expr, modulus: Expr, offset: Expr) -> Expr:
    t = o.sub(x, offset)
    rest = o.sub(t, o.mul(modulus, o.floor(o.div(t, modulus))))
    # the quotient is rounded, so that the rest can miss the interval by one modulus
    wrong_sign = o.lt(o.mul(rest, o.sign(modulus)), constant(0))
    rest = o.where(wrong_sign, o.add(rest, modulus), rest)
    too_large = o.ge(o.abs_(rest), o.abs_(modulus))
    rest = o.where(too_large, o.sub(rest, modulus), rest)
    return o.add(rest, offset)


mod = Op("mod", "Rest of x - offset by a modulus, with the modulus's sign, plus the offset.",
         ("real", "real", "real"), operands=("modulus", "offset"), defaults=(0,),
         expand=_mod, domain=(0.5, 5.0))  # fmt: skip
relu = Op("relu", "Positive part.", expand=lambda x: o.maximum(x, constant(0)))
clamp = Op("clamp", "x, but not below a nor above b.", ("real", "real", "real"),
           operands=("a", "b"),
           expand=lambda x, a, b: o.minimum(o.maximum(x, a), b))  # fmt: skip
ifelse = Op("ifelse", "a where x >= 0, else b.", ("real", "same", "same"), operands=("a", "b"),
            expand=lambda x, a, b: o.where(o.ge(x, constant(0)), a, b))  # fmt: skip

sinc = Op("sinc", "sin(pi x) / (pi x), 1 at 0, as numpy.sinc.",
          expand=lambda x: o.sinxdivx(o.mul(x, constant(math.pi))))  # fmt: skip

# --- Norms and scalar products ----------------------------------------------------------------
# Roots of sums of squares, and what is made with them, are right for huge and tiny components
# too: see `scaling.py`. Squares themselves overflow and vanish where the type ends.

_R2 = ("real", "real")
sqnorm2 = Op("sqnorm2", "Squared Euclidean norm.", expand=lambda x: o.sum_(o.square(x)))
norm2 = Op("norm2", "Euclidean norm.", expand=lambda x: o.sqrt(sqnorm2(x)))
normalize = Op("normalize", "x divided by its Euclidean norm.",
               expand=lambda x: o.mul(x, o.rsqrt(sqnorm2(x))))  # fmt: skip
sqdist = Op("sqdist", "Squared Euclidean distance.", _R2,
            expand=lambda x, y: o.sum_(o.square(o.sub(x, y))))  # fmt: skip
dot = Op("dot", "Scalar product, also spelled (x | y).", _R2, dunder="or",
         expand=lambda x, y: o.sum_(o.mul(x, y)))  # fmt: skip


def _weightedsqnorm(x: Expr, s: Expr) -> Expr:
    D = x.dim
    if s.dim == 1:
        return o.mul(s, sqnorm2(x))
    if s.dim == D:
        return o.sum_(o.mul(s, o.square(x)))
    if s.dim == D * D:
        return dot(x, matvecmult(s, x))
    raise ShapeError(
        expected(f"weights of 1, {D} (diagonal) or {D * D} (full) components", str(s.dim))
    )


weightedsqnorm = Op("weightedsqnorm", "Squared norm with scalar, diagonal or full weights.", _R2,
                    operands=("s",), expand=_weightedsqnorm, domain=(0.1, 2.0))  # fmt: skip
weightedsqdist = Op("weightedsqdist", "Squared distance with scalar, diagonal or full weights.",
                    ("real", "real", "real"), operands=("y", "s"), domain=(0.1, 2.0),
                    expand=lambda x, y, s: _weightedsqnorm(o.sub(x, y), s))  # fmt: skip


# --- Vectors and matrices ---------------------------------------------------------------------


def _elem(x: Expr, i: int) -> Expr:
    i = _integer(i, "index")
    if not -x.dim <= i < x.dim:
        raise ShapeError(expected(f"an index from {-x.dim} to {x.dim - 1}", str(i)))
    return o.take(x, i % x.dim, 1, 1)


def _extract(x: Expr, i: int, d: int) -> Expr:
    i, d = _integer(i, "start"), _integer(d, "length")
    start = i + x.dim if i < 0 else i
    if not (0 <= start and d >= 1 and start + d <= x.dim):
        got = f"start {i} and length {d}"
        raise ShapeError(expected(f"a range inside of {x.dim} components", got))
    return o.take(x, start, 1, d)


elem = Op("elem", "Component i; negative indices count from the end.", ("any",), "same",
          params=("i",), expand=_elem)  # fmt: skip
extract = Op("extract", "Components i to i + d - 1.", ("any",), "same", params=("i", "d"),
             expand=_extract)  # fmt: skip


def _matvecmult(a: Expr, x: Expr) -> Expr:
    if a.dim % x.dim:
        raise ShapeError(expected(f"a matrix of a multiple of {x.dim} components", str(a.dim)))
    rows = a.dim // x.dim
    return o.contract(o.mul(a, o.tile(x, rows)), x.dim, x.dim, 1)


def _vecmatmult(x: Expr, a: Expr) -> Expr:
    if a.dim % x.dim:
        raise ShapeError(expected(f"a matrix of a multiple of {x.dim} components", str(a.dim)))
    columns = a.dim // x.dim
    return o.contract(o.mul(o.repeat(x, columns), a), x.dim, 1, columns)


matvecmult = Op("matvecmult", "Matrix (row by row) times vector.", _R2, expand=_matvecmult)
vecmatmult = Op("vecmatmult", "Vector times matrix (row by row).", _R2, expand=_vecmatmult)
tensorprod = Op("tensorprod", "All products x[a] * y[b], a slowest.", _R2,
                expand=lambda x, y: o.mul(o.repeat(x, y.dim), o.tile(y, x.dim)))  # fmt: skip


# --- Python's operators on formulas, for the tables of reductions and rules -------------------


def _attach() -> None:
    for op in o.OPS.values():
        if not op.dunder:
            continue
        if op.dunder in ("eq", "ne"):  # formulas are compared by identity; use ops.eq
            continue
        setattr(Expr, f"__{op.dunder}__", lambda *args, op=op: op(*args))
        if len(op.args) == 2 and op.dunder in ("add", "sub", "mul", "truediv", "or"):
            setattr(Expr, f"__r{op.dunder}__", lambda x, y, op=op: op(y, x))
    # on formulas of truth values | is "or"; the scalar product is for LazyTensors
    setattr(Expr, "__or__", lambda x, y: o.logical_or(x, y))


_attach()
