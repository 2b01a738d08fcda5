r"""Lower bounds that cost less than the values, and how few values are computed with their help.

Who looks for the K smallest of N squared distances :math:`v = \sum_d (x_d - y_d)^2` needs the
values of few pairs. For the others it is enough to know that they are not less than the K-th, and
a bound that is hardly below them shows it at a fraction of the cost. ``fixed.h`` computes it in
fixed point: points less a center `c` are multiplied by a factor :math:`\sigma` and rounded to integers
`p`, `q`, and

.. math:: w = \lceil |p|^2 / 2 \rceil + \lceil |q|^2 / 2 \rceil - p \cdot q
            \in \tfrac12 |p - q|^2 + \{0, \tfrac12, 1\}

is an integer that has no rounding at all; processors multiply and add two 16-bit components in the
time of one float. The factor makes 23,000 of the radius of a ball around `c`, so that components
are of 16 bits and `w` is of 31, whatever D is. The ball holds most points, as far as a sample shows.
Points outside go to the nearest point of the ball, which makes no distance larger.

A list is kept of somewhat more than K columns with the least `w`. In the end their values are
computed, as differences. Any other column has :math:`w \ge w_{last}`, the largest in the list, hence

.. math:: |x - y| \ge (\sqrt{2 (w_{last} - 1)} - e) / \sigma, \quad
          e = \sqrt D + 2 \cdot 23000\, (D + 16)\, u,

since each point is at most :math:`\sqrt D / 2` from where it was rounded to, and what precedes, in
the dtype of unit roundoff `u`, moves it by less than :math:`(D + 16) u` of the radius. As
differences are computed, :math:`v \ge |x - y|^2 (1 - \gamma_{D+2})`, less what
underflows (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1). If the
K-th value in the list is less than all that, the K smallest are found, to the bit of what
differences give. If it is not (many points as near as the K-th, as far as the bounds can tell; or
clusters much tighter than the whole, whose inside integers do not resolve), the row is *unproven*
and is done again by differences. Where that happens to many of the first rows, all others are done
so from the start. The smallest value is found likewise by the least `w` and the second least.

Bounds are the same work for both dtypes. They do not pay where rows are so few that packing columns
is most of the work, nor where columns are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ..formula import ops as o
from ..formula.expr import Expr, variables
from ..formula.reductions import REDUCTIONS

RADIUS = 23_000
"""What the radius of the ball becomes, as in ``fixed.h``."""
SAMPLE = 256
"""Points that the ball is made for."""
MAX_DIM = 4096
"""Components up to which the error of rounding is small beside 23,000, and stacks hold a point."""
FEW_ROWS = 48
LIST_WORK, LEAST_WORK = 256, 2048
"""Products of columns and components from which on a bound pays, for each in the list and for the least."""


@dataclass(frozen=True)
class Bound:
    """The bounds of a squared distance between two variables.

    Attributes
    ----------
    row, column : int
        Slots of the points.
    dim : int
        D, their components.
    ball : int
        Slot of the ball, a parameter of dimension D + 2: see `ball`.
    results : tuple of str
        What is wanted of the smallest, out of "values" and "indices".
    listed : bool
        Whether the K smallest are wanted, or the smallest.
    """

    row: int
    column: int
    dim: int
    ball: int
    results: tuple[str, ...]
    listed: bool

    def pays(self, M: int, N: int, K: int) -> bool:
        """Return whether there is enough work for bounds to be worth their packing and finish."""
        work = LIST_WORK * with_spares(K) if self.listed else LEAST_WORK
        return M > FEW_ROWS and N * self.dim >= work


@lru_cache(maxsize=1024)
def lower_bound(formula: Expr, reduction: str) -> Bound | None:
    """Return the bounds for a reduction of a formula, None if it has none."""
    entry = REDUCTIONS[reduction]
    results = entry.keep or entry.least
    if not results or formula.op is not o.sum_ or formula.args[0].op is not o.square:
        return None
    difference = formula.args[0].args[0]
    if difference.op is not o.sub or not all(a.is_variable for a in difference.args):
        return None
    points = {a.params[0]: a for a in difference.args}
    dim = difference.dim
    if set(points) != {"i", "j"} or dim > MAX_DIM or {a.dim for a in points.values()} != {dim}:
        return None
    x, y = points["i"], points["j"]
    slot = 1 + max(e.params[1] for e in variables(formula))
    return Bound(x.params[1], y.params[1], dim, slot, results, bool(entry.keep))


def with_spares(K: int) -> int:
    """Return how many columns with the least bounds are kept for the K smallest values."""
    return K + max(6, K // 8)


def ball(rows: npt.NDArray[np.floating], columns: npt.NDArray[np.floating]) -> npt.NDArray[Any]:
    """Return a ball that has most of the points: a center, its squared radius and the factor.

    Parameters
    ----------
    rows : array of shape (..., M, D)
        Points x_i. All batches share what they ask for.
    columns : array of shape (..., N, D)
        Points y_j.

    Returns
    -------
    array of shape (..., 1, D + 2)
        The median of some columns, which outliers do not move; one and a half times the distance
        that nine in ten of some points are within, squared; and 23,000 over its root. The factor
        is 0 where there is no such ball, or where its square is too small for a square of the dtype.
    """
    limits = np.finfo(columns.dtype)
    D = columns.shape[-1]
    if not columns.shape[-2]:
        return np.zeros((*columns.shape[:-2], 1, D + 2), columns.dtype)
    some = np.sort(columns[..., :: -(-columns.shape[-2] // SAMPLE), :], axis=-2)
    center = some[..., some.shape[-2] // 2, None, :]
    center = np.where(np.isfinite(center), center, columns.dtype.type(0))
    with np.errstate(all="ignore"):  # NaN and infinities are in no ball
        near = _within(columns[..., :: -(-columns.shape[-2] // SAMPLE), :], center)
        far = _within(rows[..., :: -(-rows.shape[-2] // SAMPLE), :], center).max(initial=0)
        square = np.maximum(near, far) ** 2
        least = 4 * D * float(limits.smallest_normal) / float(limits.eps)
        known = (square > least) & (square < float(limits.max) / 16)
        factor = np.where(known, RADIUS / np.sqrt(square), 0)
    result = np.empty((*center.shape[:-1], D + 2), columns.dtype)
    result[..., :D] = center
    result[..., D] = np.where(known, square, 0)
    result[..., D + 1] = factor
    return result


def _within(points: npt.NDArray[Any], center: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return half more than what nine in ten of the finite points are from a center."""
    norms = np.sqrt(np.square(points - center, dtype=np.float64).sum(-1))
    norms = np.sort(np.where(np.isfinite(norms), norms, 0), axis=-1)
    at = norms[..., norms.shape[-1] * 9 // 10, None]
    return 1.5 * np.where(at > 0, at, norms[..., -1:])
