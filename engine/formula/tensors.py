"""Operations on tensors of components, splines and sequences; all but `permute` are derived.

A tensor's components are counted row by row, the last axis fastest, as NumPy's ``ravel`` does.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any

from ..errors import ArgumentError, ShapeError, expected
from . import ops as o
from .expr import Expr, constant
from .op import Dims, Op, Params


def _integers(values: Any, what: str) -> tuple[int, ...]:
    try:
        listed = values if isinstance(values, Iterable) else (values,)
        return tuple(operator.index(n) for n in listed)
    except TypeError:
        raise ArgumentError(expected(f"{what} as integers", repr(values))) from None


# --- The transpose ----------------------------------------------------------------------------


def _permute_dim(dims: Dims, params: Params) -> int:
    shape, order = params
    if math.prod(shape) != dims[0] or sorted(order) != list(range(len(shape))):
        got = f"shape {shape} and order {order}"
        raise ShapeError(expected(f"a shape of {dims[0]} components, an order of its axes", got))
    return dims[0]


def _permuted_index(k: Any, params: Params, dim: int) -> Any:
    """Return which component of the tensor is the k-th of its transpose."""
    shape, order = params
    found: Any = 0
    for place, axis in enumerate(order):
        if shape[axis] > 1:
            below = math.prod(shape[a] for a in order[place + 1 :])
            found = found + k // below % shape[axis] * math.prod(shape[axis + 1 :])
    return found


def _permute_back(g: Expr, e: Expr, x: Expr, shape: Any, order: Any) -> tuple[Expr]:
    turned = tuple(shape[n] for n in order)
    back = tuple(order.index(n) for n in range(len(order)))
    return (g if g.dim == 1 else permute(g, turned, back),)


permute: Op = Op(
    "permute",
    "Axis order[n] of the tensor of x is axis n of the result.",
    ("any",),
    "same",
    numpy=lambda x, shape, order: (
        x.reshape(*x.shape[:-1], *shape)
        .transpose(*range(x.ndim - 1), *(x.ndim - 1 + n for n in order))
        .reshape(x.shape)
    ),
    dim=_permute_dim,
    params=("shape", "order"),
    index=_permuted_index,
    vjp=_permute_back,
    steady=True,
    internal=True,
)


def _transposed(x: Expr, shape: tuple[int, ...], order: tuple[int, ...]) -> Expr:
    moved = [n for n in order if shape[n] > 1]
    return x if moved == sorted(moved) else permute(x, shape, order)


# --- Products of tensors ----------------------------------------------------------------------


def _check_axes(axes: tuple[int, ...], shape: tuple[int, ...], name: str) -> None:
    if len({*axes}) < len(axes) or any(not 0 <= n < len(shape) for n in axes):
        raise ArgumentError(expected(f"{name} as axes of {shape}, each once", f"{axes}"))


def _check_size(x: Expr, shape: tuple[int, ...], name: str) -> None:
    if math.prod(shape) != x.dim or min(shape, default=1) < 1:
        raise ShapeError(expected(f"{name} of product {x.dim}", f"{shape}"))


def _tensordot(
    x: Expr, y: Expr, dimfa: Any, dimfb: Any, contfa: Any, contfb: Any, permute: Any
) -> Expr:
    a, b = _integers(dimfa, "dimfa"), _integers(dimfb, "dimfb")
    summed_a, summed_b = _integers(contfa, "contfa"), _integers(contfb, "contfb")
    _check_size(x, a, "dimfa")
    _check_size(y, b, "dimfb")
    _check_axes(summed_a, a, "contfa")
    _check_axes(summed_b, b, "contfb")
    inner = tuple(a[n] for n in summed_a)
    if inner != tuple(b[n] for n in summed_b):
        got = f"{inner} and {tuple(b[n] for n in summed_b)}"
        raise ShapeError(expected("contracted axes of equal lengths", got))
    kept_a = tuple(n for n in range(len(a)) if n not in summed_a)
    kept_b = tuple(n for n in range(len(b)) if n not in summed_b)
    outer = (*(a[n] for n in kept_a), *(b[n] for n in kept_b))
    places = tuple(range(len(outer))) if permute is None else _integers(permute, "permute")
    if sorted(places) != list(range(len(outer))):
        got = f"{places}"
        raise ArgumentError(expected(f"permute as an order of {len(outer)} axes", got))

    left = _transposed(x, a, kept_a + summed_a)  # rows A, columns C
    right = _transposed(y, b, kept_b + summed_b)  # rows B, columns C
    C = math.prod(inner)
    A, B = x.dim // C, y.dim // C
    left = _transposed(o.tile(left, B), (B, A, C), (1, 0, 2)) if B > 1 else left
    right = o.tile(right, A) if A > 1 else right
    products = o.mul(left, right)
    result = products if C == 1 else o.contract(products, C, C, 1)
    return _transposed(result, outer, tuple(places.index(n) for n in range(len(outer))))


keops_tensordot = Op(
    "keops_tensordot",
    "Tensor product, summed over axes contfa of x and contfb of y; the n-th axis left becomes "
    "axis permute[n].",
    ("real", "real"),
    params=("dimfa", "dimfb", "contfa", "contfb", "permute"),
    defaults=(None,),
    expand=_tensordot,
    aliases=("tensordot",),
)


def _kron(x: Expr, y: Expr, dimfself: Any, dimfother: Any) -> Expr:
    a, b = _integers(dimfself, "dimfself"), _integers(dimfother, "dimfother")
    if len(a) != len(b):
        got = f"{len(a)} and {len(b)}"
        raise ShapeError(expected("dimfself and dimfother of as many axes", got))
    order = (*range(0, 2 * len(a), 2), *range(1, 2 * len(a), 2))
    return keops_tensordot(x, y, a, b, (), (), order)


keops_kron = Op(
    "keops_kron",
    "Kronecker product of tensors of as many axes, as numpy.kron.",
    ("real", "real"),
    params=("dimfself", "dimfother"),
    expand=_kron,
    aliases=("kron",),
)

# --- The adjoints of elem, extract and sum ----------------------------------------------------


def _extract_t(x: Expr, start: Any, dim: Any) -> Expr:
    (first,), (n,) = _integers(start, "start"), _integers(dim, "dim")
    if not 0 <= first <= n - x.dim:
        got = f"{first} to {first + x.dim - 1}"
        raise ShapeError(expected(f"places from 0 to {n - 1} for {x.dim} components", got))
    return o.put(x, first, 1, n)


def _elem_t(x: Expr, n: Any, m: Any) -> Expr:
    _check_scalar(x, "x")
    return _extract_t(x, m, n)


def _sum_t(x: Expr, dim: Any) -> Expr:
    _check_scalar(x, "x")
    (n,) = _integers(dim, "dim")
    if n < 1:
        raise ArgumentError(expected("a positive dim", str(n)))
    return o.repeat(x, n)


def _check_scalar(x: Expr, name: str) -> None:
    if x.dim != 1:
        raise ShapeError(expected(f"{name} of dimension 1", str(x.dim)))


elem_t = Op("elem_t", "Vector of n zeros, but x at place m.", params=("n", "m"),
            expand=_elem_t, aliases=("elemT",))  # fmt: skip
extract_t = Op("extract_t", "Vector of dim zeros, but x from place start on.",
               params=("start", "dim"), expand=_extract_t, aliases=("extractT",))  # fmt: skip
sum_t = Op("sum_t", "Vector of dim times x.", params=("dim",), expand=_sum_t,
           aliases=("sumT",))  # fmt: skip

# --- Splines ----------------------------------------------------------------------------------


def _bspline(t: Expr, x: Expr, k: Any) -> Expr:
    _check_scalar(x, "x")
    (degree,) = _integers(k, "k")
    n = t.dim
    if not 0 <= degree <= n - 2:
        got = f"k={degree} with {n} knots"
        raise ArgumentError(expected("k from 0 to the number of knots - 2", got))

    def part(e: Expr, start: int, count: int) -> Expr:
        return o.take(e, start, 1, count)

    inside = o.logical_and(o.le(part(t, 0, n - 1), x), o.lt(x, part(t, 1, n - 1)))
    basis = o.cast(inside, "real")
    for width in range(1, degree + 1):
        count = n - width
        first, last = part(t, 0, count), part(t, width, count)
        grows = o.lt(first, last)
        # where knots coincide the quotient is neither used nor may it spoil derivatives
        length = o.where(grows, o.sub(last, first), constant(1))
        share = o.where(grows, o.div(o.sub(x, first), length), constant(0))
        up = o.mul(part(share, 0, count - 1), part(basis, 0, count - 1))
        rest = o.sub(constant(1), part(share, 1, count - 1))
        basis = o.add(up, o.mul(rest, part(basis, 1, count - 1)))
    return basis


bspline = Op("bspline", "All B-splines of degree k for the knots x, at y.", ("real", "real"),
             params=("k",), defaults=(0,), expand=_bspline)  # fmt: skip

# --- Sequences --------------------------------------------------------------------------------

LONGEST_WARP = 4096
"""Pairs of terms of two sequences: more would compile for minutes."""


def _soft_minimum(values: list[Expr], gamma: Expr) -> Expr:
    least = values[0]
    for value in values[1:]:
        least = o.minimum(least, value)
    total: Expr | None = None
    for value in values:
        term = o.exp(o.div(o.sub(least, value), gamma))
        total = term if total is None else o.add(total, term)
    assert total is not None
    return o.sub(least, o.mul(gamma, o.log(total)))


def _softdtw_sqdist(x: Expr, y: Expr, gamma: Expr) -> Expr:
    _check_scalar(gamma, "gamma")
    if x.dim * y.dim > LONGEST_WARP:
        what = f"sequences whose lengths' product is at most {LONGEST_WARP}"
        raise ShapeError(expected(what, f"{x.dim} and {y.dim}"))
    column: list[Expr] = []
    for n in range(y.dim):
        before, column = column, []
        for m in range(x.dim):
            step = o.square(o.sub(o.take(x, m, 1, 1), o.take(y, n, 1, 1)))
            if before and column:
                ways = _soft_minimum([before[m - 1], column[m - 1], before[m]], gamma)
                step = o.add(step, ways)
            elif before or column:
                step = o.add(step, before[0] if before else column[-1])
            column.append(step)
    return column[-1]


softdtw_sqdist = Op(
    "softdtw_sqdist",
    "Soft dynamic time warping of sequences, of squared differences, smoothed by gamma.",
    ("real", "real", "real"),
    operands=("y", "gamma"),
    domain=(0.2, 2.0),
    expand=_softdtw_sqdist,
)

# --- Hints, which change nothing: equal parts of a formula are computed once -------------------

factorize = Op("factorize", "x: what occurs in it several times is computed once anyway.",
               ("any", "any"), "same", expand=lambda x, y: x)  # fmt: skip
auto_factorize = Op("auto_factorize", "x, as for `factorize`.", ("any",), "same",
                    expand=lambda x: x)  # fmt: skip
