"""Parts of the derivatives in the tables of operations and reductions.

A cotangent that has one component stands for all components of its node, if these are equal:
`full` writes them out. `grad.py` and `backward.py` put all together.
"""

from __future__ import annotations

import math
from functools import reduce
from typing import Any

from . import ops as o
from .expr import Expr, constant


def full(g: Expr, dim: int) -> Expr:
    """Return `g` with `dim` components, if it has one that stands for all."""
    return g if g.dim == dim else o.repeat(g, dim)


def flat(g: Expr, e: Expr, *args: Any) -> tuple[None, ...]:
    """Cotangents of an operation that is constant but for its jumps."""
    return (None,) * len(e.args)


def half(g: Expr) -> Expr:
    """Return g / 2."""
    return constant(0.5) * g


def twice(g: Expr) -> Expr:
    """Return 2 g."""
    return constant(2) * g


def chosen(b: Expr, g: Expr) -> tuple[Expr, Expr]:
    """Return the cotangents of two of which one is chosen: no product, or 0 * inf would be NaN."""
    return o.where(b, g, constant(0)), o.where(b, constant(0), g)


def nonzero(x: Expr) -> Expr:
    """Return `x`, or 1 where it is 0: what is 0 anyway may be divided by it, to any order."""
    return o.where(o.eq(x, constant(0)), constant(1), x)


def powers(g: Expr, e: Expr, x: Expr, y: Expr) -> tuple[Expr, Expr]:
    """Return the cotangents of x ** y: of x where y is 0, and of y where x is 0, they are 0."""
    base = o.where(o.eq(y, constant(0)), constant(1), x)
    return g * y * o.pow_(base, y - 1), g * e * o.log(nonzero(x))


def angle(g: Expr, y: Expr, x: Expr) -> tuple[Expr, Expr]:
    """Return the cotangents of ``atan2(y, x)``, 0 at the origin."""
    scaled = g / nonzero(o.square(x) + o.square(y))
    return scaled * x, -(scaled * y)


def bell(x: Expr) -> Expr:
    """Return the derivative of the error function."""
    return constant(2 / math.sqrt(math.pi)) * o.exp(-o.square(x))


def sinc_slope(e: Expr, x: Expr) -> Expr:
    """Return ``(cos x - sinc x) / x``, by its series where that cancels: off by 3e-15 at most."""
    x2 = o.square(x)
    series = constant(0)
    for n in range(5, 0, -1):
        series = constant((-1) ** n * 2 * n / math.factorial(2 * n + 1)) + x2 * series
    small = o.lt(o.abs_(x), constant(0.3))
    return o.where(small, x * series, (o.cos(x) - e) / o.where(small, constant(1), x))


def others(x: Expr) -> Expr:
    """Return the products of all components but one, without dividing by it: it may be 0."""
    each = [o.take(x, k, 1, 1) for k in range(x.dim)]
    before, after = [constant(1)], [constant(1)]
    for a, b in zip(each, reversed(each), strict=True):
        before.append(before[-1] * a)
        after.append(after[-1] * b)
    return reduce(o.concat, [before[k] * after[x.dim - 1 - k] for k in range(x.dim)])


def spread(g: Expr, e: Expr, x: Expr, n: int, outer: int, inner: int) -> tuple[Expr]:
    """Return the cotangent of sums of consecutive components, or of every e.dim-th."""
    if inner == 1 and outer == n:
        return (o.repeat(full(g, e.dim), n),)
    assert outer == 1
    assert inner == e.dim, "no other layout of sums is made"
    return (o.tile(full(g, e.dim), n),)


# --- Of reductions, by a value v and a weight w: r is the result -------------------------------


def prod_slopes(v: Expr, w: Any, r: Expr, others: tuple[Expr, Expr]) -> tuple[Expr, None]:
    """Return the product of all other values: of the nonzero ones, if no other is zero."""
    rest, zeros = others
    _0 = constant(0)
    at_zero = o.where(o.gt(zeros, constant(1)), _0, rest)
    return o.where(o.eq(v, _0), at_zero, o.where(o.gt(zeros, _0), _0, rest / nonzero(v))), None


def prod_others(v: Expr, w: Any) -> tuple[tuple[str, Expr], ...]:
    """Return the product of the nonzero values, and the number of zeros."""
    zero = o.eq(v, constant(0))
    return ("prod", o.where(zero, constant(1), v)), ("sum", o.cast(zero, "real"))


def finite_pivot(m: Expr) -> Expr:
    """Return a pivot for exponentials: 0 instead of an infinity, or inf - inf would give NaN."""
    return o.where(o.lt(o.abs_(m), constant(float("inf"))), m, constant(0))


def share(v: Expr, total: Expr) -> Expr:
    """Return what a value has of a sum of exponentials, whose logarithm is known."""
    return o.exp(v - finite_pivot(total))


def weighted_slopes(v: Expr, w: Expr, r: Expr, others: Any) -> tuple[Expr, Expr]:
    """Return the slopes of the logarithm of a weighted sum of exponentials."""
    return w * share(v, r), share(v, r)


def mean_slopes(v: Expr, w: Expr, r: Expr, others: tuple[Expr]) -> tuple[Expr, Expr]:
    """Return the slopes of a mean under a softmax."""
    return (w - r) * share(v, *others), share(v, *others)
