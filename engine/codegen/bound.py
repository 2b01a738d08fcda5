r"""Lower bounds that cost less than the values, and how few values are computed with their help.

Who looks for the K smallest of N squared distances :math:`v = \sum_d (x_d - y_d)^2` needs the
values of few pairs. For the others it is enough to know that they are not less than the K-th, and
a lower bound shows it at the cost of one product for each component, as a matrix product has it:

.. math:: L = h(x') + h(y') - 2 x' \cdot y' \le v, \quad x' = x - c, \quad y' = y - c, \quad
          h(z) = (1 - \kappa) |z|^2 - t

The tile computes :math:`L - h(x')`, which orders the columns of a row alike. A list is kept of
somewhat more than K columns with the least bounds. In the end their values are
computed, as differences. All other columns have values that are not below the largest bound in
the list: if the K-th value is less, the K smallest are found, to the bit of what differences give.
If it is not (many points as near as the K-th, as far as the bounds can tell), the row is *unproven*
and is done again by differences. Where that happens to many of the first rows, all others are done
so from the start.

With :math:`u` the unit roundoff and :math:`A = |x'|^2, B = |y'|^2`,

* `x'` and `y'` are rounded: :math:`|x - y|^2 \ge |x' - y'|^2 - 4 u (A + B)`;
* `v` is computed from differences: :math:`v \ge |x - y|^2 - 2 \gamma_{D+2} (A + B)`;
* the norms, the product and the sums of `L` are off by at most
  :math:`(\gamma_{D+3} + \gamma_D + 3 u) (A + B)`

(Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1), so that
:math:`\kappa = 1.05 (4 D + 32) u` is enough; `t` stands for what underflows. Where a norm may
overflow in the sums, a column has the bound -inf, which makes it a candidate for every row, and a
row is unproven. The center `c` keeps `A` and `B` small
where the data is far from the origin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..formula import ops as o
from ..formula.expr import Expr, constant, variable, variables
from ..formula.reductions import Reduction, State, j, state_a, state_b, v

MIN_DIM, MAX_DIM = 16, 4096
"""Components from which on a bound pays, and up to which a point is put on the stack."""


@dataclass(frozen=True)
class Bound:
    """A lower bound of a squared distance between two variables.

    Attributes
    ----------
    formula : Expr
        The bound, less h of the row.
    row, column : int
        Slots of the points.
    dim : int
        D, their components.
    center : int
        Slot of the center, a parameter of dimension D: any finite values are right.
    kappa, tiny, most : float
        Of h: what norms are shrunk by, what is subtracted, and what norms must be below.
    """

    formula: Expr
    row: int
    column: int
    dim: int
    center: int
    kappa: float
    tiny: float
    most: float


def lower_bound(formula: Expr, dtype: np.dtype[np.floating]) -> Bound | None:
    """Return a bound of a formula, None if it has none that pays."""
    if formula.op is not o.sum_ or formula.args[0].op is not o.square:
        return None
    difference = formula.args[0].args[0]
    if difference.op is not o.sub or not all(a.is_variable for a in difference.args):
        return None
    points = {a.params[0]: a for a in difference.args}
    dim = difference.dim
    kappa = 1.05 * (4 * dim + 32) * float(np.finfo(dtype).eps) / 2
    if set(points) != {"i", "j"} or not MIN_DIM <= dim <= MAX_DIM or kappa > 0.1:
        return None
    x, y = points["i"], points["j"]
    if x.dim != dim or y.dim != dim:
        return None
    slot = 1 + max(e.params[1] for e in variables(formula))
    c = variable("p", dim, slot)
    row, column = o.sub(x, c), o.sub(y, c)
    limits = np.finfo(dtype)
    tiny, most = (4 * dim + 32) * float(limits.smallest_normal), float(limits.max) / 8
    norm = o.sum_(o.square(column))
    safe = o.lt(norm, constant(most))
    factor = o.where(safe, o.mul(constant(-2), column), constant(0))
    shrunk = o.sub(o.mul(norm, constant(1 - kappa)), constant(tiny))
    # a NaN is the norm of what has no distance: it stays, and never becomes a candidate
    otherwise = o.where(o.eq(norm, norm), constant(float("-inf")), norm)
    bound = o.add(o.sum_(o.mul(row, factor)), o.where(safe, shrunk, otherwise))
    return Bound(bound, x.params[1], y.params[1], dim, slot, kappa, tiny, most)


def with_spares(K: int) -> int:
    """Return how many columns with the least bounds are kept for the K smallest values."""
    return K + max(6, K // 8)


def _two_least() -> Reduction:
    """Return the reduction of bounds for a smallest value: the least, its index, the second."""
    a0, b0, a2, b2 = state_a(0), state_b(0), state_a(2), state_b(2)
    ka, kb = state_a(1, "index"), state_b(1, "index")
    inf = constant(float("inf"))
    known = o.eq(v, v)
    single = (
        State("real", float("inf"), o.where(known, v, inf)),
        State("index", -1, o.where(known, j, constant(-1, 1, "index"))),
        State("real", float("inf"), inf),
    )

    def merged(b0: Expr, kb: Expr, b2: Expr) -> tuple[Expr, ...]:
        less = o.lt(b0, a0)
        second = a2 if b2 is inf else o.lesser(b2, a2)
        return (
            o.lesser(b0, a0),
            o.where(less, kb, ka),
            o.lesser(o.greater(a0, b0), second),
        )

    return Reduction(
        "two_least",
        "Least bound, its index, and the second least bound.",
        single,
        merge=merged(b0, kb, b2),
        update=merged(v, j, inf),
        listed=False,
    )


TWO_LEAST = _two_least()
