r"""Distances of pairs in the ball and their slopes, without an exponential or a logarithm.

With :math:`g_x = 1 - |x|^2` and :math:`q = |x - y|^2 / (g_x g_y) = \sinh^2(d / 2)`,

.. math::
    p = \sqrt{q (1 + q)} = \tfrac12 \sinh d, \qquad e^{-d} = \frac{1}{1 + 2 q + 2 p}, \qquad
    \frac{\partial d}{\partial q} = \frac1p,

none of which cancels. Gradients are in the *unit frame*: the coordinates in which a tangent vector
at x has its Riemannian length, :math:`2 / g_x` times those of the ball. There

.. math:: \nabla_x d = \frac1p \left(\frac{x - y}{g_y} + q\, x\right).

Every pair is computed in the formulas of a reduction; pairs that are listed, as the columns of a
sparse matrix, by NumPy. Knows no loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from georeduce.engine import LazyTensor, concatenate

from ..common import Array
from ._workers import ALONE, Workers

TINY = 1e-24
"""Added to p^2: the slope at a pair of equal points is 0, not NaN; other pairs do not see it."""
ITSELF = 1 / (1 + 2 * TINY**0.5)
"""What ``e^-d`` of a point with itself is therefore."""
RESOLVED = 12.5
"""Distances from the origin up to which float32 tells neighbours apart: differences of coordinates
near 1 are multiples of 2^-24, and 1 - |x| is 2^-17 there."""


@dataclass(frozen=True)
class Points:
    """Points of the ball as reductions need them.

    Attributes
    ----------
    x : array of shape (n, D)
        Coordinates, in the dtype of the reductions.
    h : array of shape (n, 1)
        ``1 / (1 - |x|^2)`` of the points before they were rounded, in the same dtype.
    """

    x: Array
    h: Array

    @cached_property
    def wide(self) -> Array:
        """The same coordinates in float64."""
        return self.x.astype(np.float64, copy=False)

    def __getitem__(self, rows: Any) -> Points:
        return Points(self.x[rows], self.h[rows])

    def __len__(self) -> int:
        return len(self.x)


def points_of(x: Array, gap: Array, dtype: Any = np.float64) -> Points:
    """Return points from coordinates (n, D) and ``1 - |x|^2`` (n,), both in float64."""
    return Points(x.astype(dtype, copy=False), (1 / gap)[:, None].astype(dtype, copy=False))


@dataclass(frozen=True)
class Pairs:
    """Formulas of all pairs of points x as rows and y as columns.

    Attributes
    ----------
    difference, q, p : LazyTensor
        ``x - y``, and see above.
    slope : LazyTensor
        ``e^-d / p``: minus the slope of ``e^-d`` by q.
    """

    difference: LazyTensor
    q: LazyTensor
    p: LazyTensor
    slope: LazyTensor


def pairs(x: LazyTensor, hx: LazyTensor, y: LazyTensor, hy: LazyTensor) -> Pairs:
    """Return the formulas of pairs, from LazyTensors of points and their ``h``."""
    difference = x - y
    q = (difference**2).sum(-1) * (hx * hy)
    p = (q * (q + 1) + TINY).sqrt()
    return Pairs(difference, q, p, 1 / (p * (1 + 2 * q + 2 * p)))


def pulls(weight: LazyTensor, of: Pairs, h: LazyTensor) -> LazyTensor:
    """Return weight times ``((x - y) h, q)``: what `gradient` needs the sums of."""
    return concatenate([weight * of.difference * h, weight * of.q], axis=-1)


def gradient(x: Array, sums: Array) -> Array:
    """Return gradients (n, D) in the unit frame at x from the sums (n, D + 1) of `pulls`."""
    found: Array = sums[:, :-1] + x * sums[:, -1:]
    return found


@dataclass(frozen=True)
class Listed:
    """Pairs of some points as rows with some points as columns.

    Attributes
    ----------
    starts : array of shape (n_rows + 1,)
        Where the columns of each row start.
    columns : array of shape (n_pairs,)
        Indices of points.
    """

    starts: Array
    columns: Array

    @property
    def n_rows(self) -> int:
        return len(self.starts) - 1

    @property
    def row(self) -> Array:
        """For each pair its row."""
        return np.repeat(np.arange(self.n_rows), np.diff(self.starts))

    def total(self, values: Array) -> Array:
        """Return sums (n_rows,) of values of the pairs."""
        return np.bincount(self.row, values, self.n_rows)

    def measure(
        self, rows: Points, columns: Points, workers: Workers = ALONE
    ) -> tuple[Array, Array]:
        """Return q and p of the pairs in float64, from differences in the dtype of the points."""
        row, q = self.row, np.empty(len(self.columns))

        def part(some: slice) -> None:
            i, j = row[some], self.columns[some]
            difference = rows.x.take(i, axis=0)
            difference -= columns.x.take(j, axis=0)
            square = np.einsum("nd,nd->n", difference, difference)
            q[some] = square * (rows.h[:, 0].take(i) * columns.h[:, 0].take(j))

        workers(part, len(q), rows.x.shape[1])
        return q, np.sqrt(q * (q + 1) + TINY)

    def pull(
        self,
        rows: Points,
        columns: Points,
        weights: Array,
        q: Array,
        workers: Workers = ALONE,
    ) -> tuple[Array, Array]:
        """Return the sums of ``weights ((x - y) h + q x)`` at the rows and at all the columns.

        They are products with sparse matrices, which make no array of pairs times components.

        Returns
        -------
        at_rows : array of shape (n_rows, D)
        at_columns : array of shape (n, D)
        """
        here = weights * rows.h[self.row, 0]
        there = weights * columns.h[self.columns, 0]
        shape, pulled = (self.n_rows, len(columns)), weights * q
        held = self.total(there + pulled)
        out = sparse.csr_array((there, self.columns, self.starts), shape=shape)
        at_rows = _apart(held, rows.wide, out, columns.wide, workers)
        held = np.bincount(self.columns, here + pulled, len(columns))
        back = sparse.csc_array((here, self.columns, self.starts), shape=shape[::-1]).tocsr()
        return at_rows, _apart(held, columns.wide, back, rows.wide, workers)


def _apart(held: Array, x: Array, matrix: Any, y: Array, workers: Workers) -> Array:
    """Return ``held x - matrix y``, in parts of the rows."""
    found = np.empty(x.shape)
    columns = matrix.shape[1]

    def part(rows: slice) -> None:
        starts = matrix.indptr[rows.start : rows.stop + 1]
        entries = slice(starts[0], starts[-1])
        some = (matrix.data[entries], matrix.indices[entries], starts - starts[0])
        there = sparse.csr_array(some, shape=(rows.stop - rows.start, columns)) @ y
        np.subtract(held[rows, None] * x[rows], there, out=found[rows])

    workers(part, len(found), y.shape[1])
    return found


def listed(relations: Any, rows: Array) -> tuple[Listed, Array]:
    """Return some rows of a CSR matrix as pairs, and their values."""
    starts, counts = relations.indptr[rows], np.diff(relations.indptr)[rows]
    ends = np.concatenate([[0], np.cumsum(counts)])
    entries = np.repeat(starts - ends[:-1], counts) + np.arange(ends[-1])
    return Listed(ends, relations.indices[entries]), relations.data[entries]
