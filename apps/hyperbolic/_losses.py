r"""What an embedding minimises: one class for each ``loss``, its rows told.

Relations are from u to v, with weights :math:`w_{uv}`; N(u) are all nodes but u itself and those
that u is related to, in this direction, as in the paper.

It should be the case that ``loss(points, rows, random)`` returns the sum of the terms of some rows
u, and its gradient by all points in the unit frame; and that ``loss.attach(rows, points)`` returns
the same for rows that are not among the points, and the gradient by the rows only.

Knows no optimizer, and not how points are kept.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from georeduce.engine import Pm, Vi, Vj, concatenate

from ..common import Array
from ._graphs import Rows
from ._pairs import ITSELF, Listed, Pairs, Points, gradient, listed, pairs, pulls
from ._workers import ALONE, Workers

FLOOR = 2.0**-23
"""The least part of a sum over all nodes that is taken for what its rounding left of N(u)."""
TRIES = 8
"""How often a negative is drawn anew where it is related."""


class Terms(NamedTuple):
    """A loss and what its gradient is made of: at rows (m, D), at columns (n, D)."""

    loss: float
    at_rows: Array
    at_columns: Array


@cache
def _forward(D: int) -> Any:
    """Return the reduction over n of ``e^-d`` and what its gradient by u needs, of points."""
    hy = Vj(3, 1)
    at = pairs(Vi(0, D), Vi(1, 1), Vj(2, D), hy)
    return concatenate([at.slope * at.p, pulls(at.slope, at, hy)], axis=-1).sum(axis=1)


@cache
def _backward(D: int) -> Any:
    """Return the reduction over u of what the gradient of ``c_u e^-d`` by n needs."""
    hx = Vi(1, 1)
    at = pairs(Vi(0, D), hx, Vj(2, D), Vj(3, 1))
    return pulls(Vi(4, 1) * at.slope, at, hx).sum(axis=0)


def _weighted(weights: Array, values: Array) -> float:
    """Return the weighted sum of values."""
    # not weights @ values: the threads of BLAS would go on spinning, on the cores of the workers
    return float(np.sum(weights * values))


def _joined(terms: Terms, rows: Array) -> tuple[float, Array]:
    found = terms.at_columns
    found[rows] += terms.at_rows
    return terms.loss, found


class Softmax:
    r"""The loss of Nickel and Kiela (2017, eq. 5) with all of N(u) instead of a sample of it.

    .. math:: -\sum_{uv} w_{uv} \log \frac{e^{-d(u,v)}}{e^{-d(u,v)} + Z_u}, \qquad
        Z_u = \sum_{n \in N(u)} e^{-d(u,n)}

    :math:`Z_u` is a reduction over all nodes, less the related ones, which are computed again from
    the same rounded points in float64, so that what is left is as precise as the reduction. With
    :math:`c_u = \sum_v w_{uv} / (e^{-d(u,v)} + Z_u)` the gradient is that of
    :math:`\sum_{un} c_u e^{-d(u,n)}` over all n with c as constants, which is two reductions, and
    that of the listed pairs.

    Parameters
    ----------
    relations : csr_array of shape (n_rows, n_nodes)
        Weights.
    run : dict
        Keywords of reductions.
    workers : Workers
        For the listed pairs.
    """

    def __init__(self, relations: Rows, run: dict[str, Any], workers: Workers = ALONE) -> None:
        self.relations, self.run, self.workers = relations, run, workers

    def __call__(self, points: Points, rows: Array, random: Any) -> tuple[float, Array]:
        chosen = points[rows]
        terms, c = self._attract(chosen, points, rows, itself=ITSELF)
        C = c[:, None].astype(points.x.dtype)
        sums = self._reduced(_backward, chosen, points, C)
        sums[:, :-1] *= -1  # x - y, where columns are what the gradient is taken by
        terms.at_columns[:] -= gradient(points.x, sums)
        return _joined(terms, rows)

    def attach(self, rows: Points, points: Points, random: Any) -> tuple[float, Array]:
        terms, _ = self._attract(rows, points, np.arange(len(rows)), itself=0.0)
        return terms.loss, terms.at_rows

    def _reduced(self, formula: Any, rows: Points, points: Points, *more: Array) -> Array:
        reduction = formula(rows.x.shape[1])
        found = reduction(rows.x, rows.h, points.x, points.h, *more, **self.run)
        return np.asarray(found, np.float64)

    def _attract(
        self, chosen: Points, points: Points, rows: Array, itself: float
    ) -> tuple[Terms, Array]:
        """Return all terms but the gradient of the sums over n by n, and c."""
        related, weights = listed(self.relations, rows)
        sums = self._reduced(_forward, chosen, points)
        q, p = related.measure(chosen, points, self.workers)
        e = 1 / (1 + 2 * q + 2 * p)
        everything = np.maximum(sums[:, 0] - itself, np.finfo(np.float64).tiny)
        Z = np.maximum(everything - related.total(e), FLOOR * everything)[related.row]
        share = weights / (e + Z)
        c = related.total(share)
        weight = (share * Z + c[related.row] * e) / p
        at_rows, at_columns = related.pull(chosen, points, weight, q, self.workers)
        at_rows -= c[:, None] * gradient(chosen.x, sums[:, 1:])
        return Terms(_weighted(weights, np.log1p(Z / e)), at_rows, at_columns), c


class NegativeSampling:
    r"""The loss of Nickel and Kiela (2017, eq. 5): of N(u) some nodes are drawn.

    Uniformly and with repetition, anew for each u whenever its terms are called for; they serve all
    relations of u, which leaves the mean of each term what it is, and a fifth of the pairs. Where
    N(u) is empty, or so small that some draws in turn miss it, there are fewer of them.

    Parameters
    ----------
    relations : csr_array of shape (n_rows, n_nodes)
        Weights.
    n_negatives : int
        How many are drawn.
    workers : Workers
        For the listed pairs.
    """

    def __init__(self, relations: Rows, n_negatives: int, workers: Workers = ALONE) -> None:
        self.relations, self.n_negatives, self.workers = relations, n_negatives, workers
        n_rows, n = relations.shape
        row = np.repeat(np.arange(n_rows, dtype=np.int64), np.diff(relations.indptr))
        self.keys = row * n + relations.indices  # ascending, as columns of a row do

    def __call__(self, points: Points, rows: Array, random: Any) -> tuple[float, Array]:
        return _joined(self._terms(points[rows], points, rows, rows, random), rows)

    def attach(self, rows: Points, points: Points, random: Any) -> tuple[float, Array]:
        nobody = np.full(len(rows), -1)
        terms = self._terms(rows, points, np.arange(len(rows)), nobody, random)
        return terms.loss, terms.at_rows

    def _terms(
        self, chosen: Points, points: Points, rows: Array, itself: Array, random: Any
    ) -> Terms:
        related, weights = listed(self.relations, rows)
        drawn, missing = self._draw(rows, itself, len(points), random)
        starts = related.starts + self.n_negatives * np.arange(len(rows) + 1)
        is_drawn = np.zeros(starts[-1], bool)  # a row's relations first, then what it has drawn
        is_drawn[starts[1:, None] - np.arange(1, self.n_negatives + 1)] = True
        columns = np.empty(len(is_drawn), np.intp)
        columns[~is_drawn], columns[is_drawn] = related.columns, drawn.ravel()
        some = Listed(starts, columns)
        q, p = some.measure(chosen, points, self.workers)
        e = 1 / (1 + 2 * q + 2 * p)
        far = e[is_drawn].reshape(drawn.shape)
        far[missing] = 0
        row, near = related.row, e[~is_drawn]
        Z = far.sum(axis=1)[row]
        share = weights / (near + Z)
        weight = np.empty(len(e))
        weight[~is_drawn] = share * Z
        weight[is_drawn] = (-far * related.total(share)[:, None]).ravel()
        at_rows, at_columns = some.pull(chosen, points, weight / p, q, self.workers)
        return Terms(_weighted(weights, np.log1p(Z / near)), at_rows, at_columns)

    def _draw(self, rows: Array, itself: Array, n: int, random: Any) -> tuple[Array, Array]:
        """Return nodes (n_rows, n_negatives) drawn for rows, and which of them are none."""
        drawn = random.randint(0, n, (len(rows), self.n_negatives))
        wrong = self._related(rows[:, None], itself[:, None], drawn, n)
        for _ in range(TRIES):
            place, k = np.nonzero(wrong)
            if not len(place):
                break
            again = random.randint(0, n, len(place))
            drawn[place, k] = again
            wrong[place, k] = self._related(rows[place], itself[place], again, n)
        return drawn, wrong

    def _related(self, rows: Array, itself: Array, columns: Array, n: int) -> Array:
        keys = rows * np.int64(n) + columns
        places = np.searchsorted(self.keys, keys)
        found = self.keys[np.minimum(places, len(self.keys) - 1)] == keys
        related: Array = found | (columns == itself)
        return related


class Stress:
    r"""Squared differences of distances in the ball and those that were asked for.

    .. math:: \sum_{u \ne n} (d(u, n) - \delta_{un})^2

    Each pair counts twice, so that the gradient by a row is twice that of the row's own terms. Only
    the points of the rows of a batch move.

    Parameters
    ----------
    targets : array of shape (n_rows, n)
        Distances, or
    targets : tuple of arrays of shapes (n_rows, F) and (n, F)
        Points whose Euclidean distances they are.
    scale : float
        By which distances are multiplied.
    run : dict
        Keywords of reductions.
    """

    def __init__(self, targets: Any, scale: float, run: dict[str, Any]) -> None:
        self.targets, self.scale, self.run = targets, scale, run

    def __call__(self, points: Points, rows: Array, random: Any) -> tuple[float, Array]:
        found = np.zeros(points.x.shape)
        loss, at_rows = self._terms(points[rows], points, rows)
        found[rows] = 2 * at_rows
        return loss, found

    def attach(self, rows: Points, points: Points, random: Any) -> tuple[float, Array]:
        return self._terms(rows, points, np.arange(len(rows)))

    def squares(self, rows: Points, points: Points) -> tuple[float, float]:
        """Return the sum of the squares for all rows, and that of what was asked for."""
        at, _, off = self._off(rows, points, np.arange(len(rows)))
        wanted = (2 * at.q + 2 * at.p).log1p() - off
        sums = concatenate([off**2, wanted**2], axis=-1).sum(axis=-2, **self.run)
        total, asked = sums.reshape(-1, 2).sum(axis=0, dtype=np.float64)
        return float(total), float(asked)

    def _terms(self, chosen: Points, points: Points, rows: Array) -> tuple[float, Array]:
        at, hy, off = self._off(chosen, points, rows)
        formula = concatenate([off**2, pulls(off / at.p, at, hy)], axis=-1)
        sums = formula.sum(axis=-2, **self.run).astype(np.float64, copy=False)
        sums = sums.reshape(len(rows), -1)
        return float(sums[:, 0].sum()), 2 * gradient(chosen.x, sums[:, 1:])

    def _off(self, chosen: Points, points: Points, rows: Array) -> tuple[Pairs, Any, Any]:
        """Return the formulas of pairs, ``h`` of the columns, and by how much distances are off."""
        dtype = points.x.dtype
        scale = Pm(np.array([self.scale], dtype))
        if isinstance(self.targets, tuple):
            X, Y = (a.astype(dtype, copy=False) for a in self.targets)
            wanted = Vi(X[rows]).sqdist(Vj(Y)).sqrt() * scale
            x, hx, y, hy = Vi(chosen.x), Vi(chosen.h), Vj(points.x), Vj(points.h)
        else:  # a row of the matrix is a variable of the columns, in a batch of rows
            targets = self.targets[rows, :, None].astype(dtype, copy=False)
            wanted = Vj(np.ascontiguousarray(targets)) * scale
            x, hx = Vi(chosen.x[:, None]), Vi(chosen.h[:, None])
            y, hy = Vj(points.x[None]), Vj(points.h[None])
        at = pairs(x, hx, y, hy)
        return at, hy, (2 * at.q + 2 * at.p).log1p() - wanted
