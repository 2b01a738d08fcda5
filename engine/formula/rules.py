"""THE table of simplifications: pairs of formulas, the left one is replaced by the right one.

The algebra is the comment. Both sides of a rule agree, up to rounding, wherever the values on the
way to the left side are finite; no rule may turn a NaN of the arguments into a number (so ``0 * x``
stays). `rewrite.py` applies the table; the tests check every rule numerically.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import ops as o
from .complex import complex_imag, complex_real, interleave
from .expr import Expr, constant, variable

x = variable("s", 1, 100)
y = variable("s", 1, 101)
z = variable("s", 1, 102)
b = variable("s", 1, 103, "boolean")
c = variable("s", 1, 104, "boolean")
WILDCARDS = (x, y, z, b, c)
"""Stand for any formula of their kind, of any dimension."""


@dataclass(frozen=True, eq=False)
class Rule:
    """``left`` becomes ``right``, if ``when`` holds for what the wildcards stand for."""

    left: Expr
    right: Expr
    when: Callable[[dict[Expr, Expr]], bool] = lambda found: True


def _scalar(e: Expr) -> Callable[[dict[Expr, Expr]], bool]:
    return lambda found: found[e].dim == 1


def _scalar_weight(found: dict[Expr, Expr]) -> bool:
    return found[y].dim == 1 and found[x].dim > 1


_0, _1, _m1 = constant(0), constant(1), constant(-1)
_true, _false = constant(1, 1, "boolean"), constant(0, 1, "boolean")

RULES: list[Rule] = [
    Rule(left, right)
    for left, right in (
        (x + _0, x),
        (_0 + x, x),
        (x - _0, x),
        (_0 - x, -x),
        (x * _1, x),
        (_1 * x, x),
        (x * _m1, -x),
        (_m1 * x, -x),
        (x / _1, x),
        (x / _m1, -x),
        (o.neg(o.neg(x)), x),
        (x + (-y), x - y),
        ((-x) + y, y - x),
        (x - (-y), x + y),
        ((-x) - y, -(x + y)),
        ((-x) * (-y), x * y),
        (x * (-y), -(x * y)),
        ((-x) * y, -(x * y)),
        ((-x) / y, -(x / y)),
        (x / (-y), -(x / y)),
        (_1 / x, o.inv(x)),
        (o.inv(o.sqrt(x)), o.rsqrt(x)),
        (_1 / o.sqrt(x), o.rsqrt(x)),
        (x * x, o.square(x)),
        (o.square(-x), o.square(x)),
        (o.square(o.abs_(x)), o.square(x)),
        (o.abs_(-x), o.abs_(x)),
        (o.abs_(o.abs_(x)), o.abs_(x)),
        (o.abs_(o.square(x)), o.square(x)),
        (o.sqrt(o.square(x)), o.abs_(x)),
        (o.log(o.exp(x)), x),
        (o.cos(-x), o.cos(x)),
        (o.sin(-x), -o.sin(x)),
        (o.tanh(-x), -o.tanh(x)),
        (x * o.log(x), o.xlogx(x)),
        (o.minimum(x, x), x),
        (o.maximum(x, x), x),
        (o.sum_(-x), -o.sum_(x)),
        (o.logical_not(o.logical_not(b)), b),
        (b & b, b),
        (b | b, b),
        (b & _true, b),
        (b | _false, b),
        (complex_real(interleave(x, y)), x),
        (complex_imag(interleave(x, y)), y),
        (o.where(b, x, x), x),
        (o.where(o.logical_not(b), x, y), o.where(b, y, x)),
    )
]

RULES += [
    # a scalar leaves the loop over the features (and may overflow where each product did not)
    Rule(o.sum_(x * y), y * o.sum_(x), _scalar_weight),
    Rule(o.sum_(y * x), y * o.sum_(x), _scalar_weight),
    Rule(o.sum_(x / y), o.sum_(x) / y, _scalar_weight),
    # a fold over one component is that component
    Rule(o.sum_(x), x, _scalar(x)),
    Rule(o.prod(x), x, _scalar(x)),
]

__all__ = ["RULES", "WILDCARDS", "Rule"]
