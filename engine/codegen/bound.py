r"""Lower bounds that cost less than the values, and how few values are computed with their help.

Who looks for the K smallest of N distances needs the values of few pairs. For the others it is
enough to know that they are not less than the K-th, and a bound that is hardly below them shows it
at a fraction of the cost. ``fixed.h`` computes it in fixed point: points less a center `c` are
multiplied by a factor :math:`\sigma` and rounded to integers `p` and `q` of 16 bits. Processors do
two components of these in the time of one float, and in integers nothing is rounded. For a squared
Euclidean distance

.. math:: w = \lceil |p|^2 / 2 \rceil + \lceil |q|^2 / 2 \rceil - p \cdot q
            \in \tfrac12 |p - q|^2 + \{0, \tfrac12, 1\}

is computed; for a sum of absolute differences, or the largest one, :math:`w = \|p - q\|`.

The factor makes 23,000 of the radius of a ball around `c` (16,300 of half the edge of a cube), so
that `w` has 30 bits at most, whatever D is. The ball holds most points, as far as a sample shows.
Points outside go to the nearest point of the ball or of the cube, which makes no distance larger,
and so need no care.

A list is kept of somewhat more than K columns with the least `w`. In the end their values are
computed, as differences. Any other column has :math:`w \ge w_{last}`, the largest there, hence

.. math:: \|x - y\| \ge (\sqrt{2 (w_{last} - 1)} - e) / \sigma, \quad
          e = \sqrt D + 2 \cdot 23000\, (D + 16)\, u

for the Euclidean norm, since each point is at most :math:`\sqrt D / 2` from where it was rounded
to, and what precedes, in a dtype of unit roundoff `u`, moves it by less than :math:`(D + 16) u`
of the radius; and :math:`\|x - y\| \ge (w_{last} - e) / \sigma` for the others, with
:math:`e = D (1 + 16 \cdot 16300 u)`, or that without D. As differences are computed, values are not
below that (squared), times :math:`1 - (2 D + 16) u`, less what underflows (Higham, Accuracy
and Stability of Numerical Algorithms, 2nd ed., section 3.1). If the K-th value in the list is less
than all that, the K smallest are found, as differences in the order of ``exact.h`` give them; the
generated kernel adds in another order, so that values may differ in the last bits. If it is not
(many points as near as the K-th, as far as the bounds can tell; or clusters much tighter than the
whole, whose inside integers do not resolve), the row is *unproven* and is done again by
differences. Where that happens to many of the first rows, all others are done so from the start.
The smallest value is found likewise by the least `w` and the second least.

Columns with an infinite component, or a NaN, are in no list: their distance is infinite or none
(but for the largest difference, which skips NaN: these are in all lists). Rows with a NaN, or
whose norm may overflow, are unproven, and all rows are where there is no ball. A finite column
whose squared norm overflows goes to the center: it is further from any other row than that row's
own norm.

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

RADIUS = {"L2": 23_000, "L1": 16_300, "LARGEST": 16_300}
"""What the radius of the ball or the cube becomes, as in ``fixed.h``."""
SAMPLE = 256
"""Points that the ball is made for."""
MAX_DIM = 4096
"""Components up to which the error of rounding is small beside 23,000, and stacks hold a point."""
FEW_ROWS = 48
"""Up to which packing columns is most of the work."""
LIST_WORK, LEAST_WORK = 256, 2048
"""Columns times components from which on bounds pay: for each one in the list, for the least."""


@dataclass(frozen=True)
class Bound:
    """The bounds of a distance between two variables.

    Attributes
    ----------
    norm : str
        "L2" of a squared Euclidean distance, "L1" of a sum of absolute differences, "LARGEST" of
        the largest absolute difference.
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

    norm: str
    row: int
    column: int
    dim: int
    ball: int
    results: tuple[str, ...]
    listed: bool

    def pays(self, M: int, N: int, K: int) -> bool:
        """Return whether there is enough work for bounds to be worth their packing and finish."""
        work = LIST_WORK * with_spares(K, self.dim) if self.listed else LEAST_WORK
        return M > FEW_ROWS and N * self.dim >= work


NORMS = {(o.sum_, o.square): "L2", (o.sum_, o.abs_): "L1", (o.max_, o.abs_): "LARGEST"}
"""What differences are folded by, as ``exact.h`` names it."""


@lru_cache(maxsize=1024)
def lower_bound(formula: Expr, reduction: str) -> Bound | None:
    """Return the bounds for a reduction of a formula, None if it has none."""
    entry = REDUCTIONS[reduction]
    results = entry.keep or entry.least
    if not results or formula.op is None or not formula.args or formula.args[0].op is None:
        return None
    norm = NORMS.get((formula.op, formula.args[0].op))
    if norm is None:
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
    return Bound(norm, x.params[1], y.params[1], dim, slot, results, bool(entry.keep))


def with_spares(K: int, dim: int) -> int:
    """Return how many columns with the least bounds are kept for the K smallest values.

    Distances differ by less where points have many components.
    """
    return K + max(6 + dim // 64, K // 8)


def ball(
    bound: Bound, rows: npt.NDArray[np.floating], columns: npt.NDArray[np.floating]
) -> npt.NDArray[Any]:
    """Return a ball that has most of the points: a center, its squared radius and the factor.

    Parameters
    ----------
    bound : Bound
        What it is for; the ball of L1 and LARGEST is a cube.
    rows : array of shape (..., M, D)
        Points x_i. All batches share what they ask for.
    columns : array of shape (..., N, D)
        Points y_j.

    Returns
    -------
    array of shape (..., 1, D + 2)
        The median of some columns, which outliers do not move; a squared radius, and 23,000, or
        16,300 for a cube, over its root. The factor is 0 where there is no such ball, or where its
        square is too small for a square of the dtype.
    """
    limits = np.finfo(columns.dtype)
    D = bound.dim
    if not columns.shape[-2]:
        return np.zeros((*columns.shape[:-2], 1, D + 2), columns.dtype)
    some = columns[..., :: -(-columns.shape[-2] // SAMPLE), :]
    center = np.sort(some, axis=-2)[..., some.shape[-2] // 2, None, :]
    center = np.where(np.isfinite(center), center, columns.dtype.type(0))
    with np.errstate(all="ignore"):  # NaN and infinities are in no ball
        near = _radius(bound, some - center)
        far = _radius(bound, rows[..., :: -(-rows.shape[-2] // SAMPLE), :] - center)
        square = np.maximum(near, far.max(initial=0)) ** 2
        least = 4 * D * float(limits.smallest_normal) / float(limits.eps)
        known = (square > least) & (square < float(limits.max) / 16)
        factor = np.where(known, RADIUS[bound.norm] / np.sqrt(square), 0)
    result = np.empty((*center.shape[:-1], D + 2), columns.dtype)
    result[..., :D] = center
    result[..., D] = np.where(known, square, 0)
    result[..., D + 1] = factor
    return result


def _radius(bound: Bound, differences: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a radius that has nine in ten points, and what is as far again as from the median."""
    if bound.norm == "L2":
        norms = np.sqrt(np.square(differences, dtype=np.float64).sum(-1))
    else:
        norms = np.abs(differences, dtype=np.float64).max(-1)
    norms = np.sort(np.where(np.isfinite(norms), norms, 0), axis=-1)
    half, most = (norms[..., norms.shape[-1] * n // 10, None] for n in (5, 9))
    return 1.01 * np.where(most > 0, most + 2 * (most - half), norms[..., -1:])
