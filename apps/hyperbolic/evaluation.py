r"""How well distances tell relations: ranks over all nodes, and what is made of them.

The rank of a relation (u, v) is 1 plus the number of nodes w that are nearer to u than v is, where
u itself and all that u is related to do not count. The mean rank is over relations; the average
precision of u is the mean of ``k / (rank_k - 1 + k)`` over its relations in order of distance, and
MAP its mean over all u with relations, as in Nickel and Kiela (2017). (gensim's evaluation counts u
itself, which adds one to each rank.)

All ranks are one reduction, a count: rows are nodes u with eight of their distances
:math:`\sinh^2(d(u, v) / 2)` at a time, so that a distance :math:`d(u, w)` is computed once for
eight comparisons. It is in float64, and nearer means nearer by more than rounding.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils import check_array

from georeduce.engine import Vi, Vj
from georeduce.engine.errors import expected

from ..common import Array, ParameterError
from ._graphs import Rows
from ._pairs import listed, points_of
from .ball import PoincareBall

TOGETHER = 8
"""Comparisons for a distance: as many as most nouns of WordNet have ancestors."""
NEARER = 1 - 2.0**-40
"""What is below this much of a value is less than it, whatever rounding did to both."""


class Ranking(NamedTuple):
    """How well distances tell relations.

    Attributes
    ----------
    mean_rank : float
        At least 1, which is the best.
    mean_average_precision : float
        MAP, at most 1.
    """

    mean_rank: float
    mean_average_precision: float


def ranks(
    x: Any, relations: Any, known: Any = None, *, rows: Any = None, **run: Any
) -> tuple[Array, Array]:
    """Return the rank of each relation among all nodes, and average precisions.

    Parameters
    ----------
    x : array of shape (n_nodes, D)
        Points in the unit ball.
    relations : sparse or dense matrix of shape (n_nodes, n_nodes)
        Whose ranks are asked for: row u, column v.
    known : sparse or dense matrix of shape (n_nodes, n_nodes), optional
        Other relations that do not count as nearer nodes: those of training, where `relations`
        were held out.
    rows : array of int, optional
        Nodes u whose relations are ranked; by default all with relations.
    **run
        Keywords of reductions: ``backend``, ``n_threads``.

    Returns
    -------
    ranks : array of shape (n_relations,)
        In the order of the relations of the rows, by column.
    precisions : array of shape (n_rows,)
        Of the rows.

    Raises
    ------
    ParameterError
        If a point is outside of the ball, or relations are not of as many nodes as there are
        points, or of a node to itself.

    Examples
    --------
    >>> import numpy as np
    >>> from georeduce.apps.hyperbolic import ranks
    >>> x = np.array([[0., 0.], [.5, 0.], [.6, .1], [-.5, 0.]])
    >>> found, precisions = ranks(x, [[0, 1, 0, 0], [0] * 4, [0, 1, 0, 1], [0] * 4])
    >>> found, precisions
    (array([1, 1, 2]), array([1.        , 0.83333333]))
    """
    x = check_array(x, dtype=np.float64, ensure_all_finite=False, input_name="x")
    PoincareBall().features(x)  # raises for points outside, and for NaN
    relations = _matrix(relations, len(x))
    if rows is None:
        rows = np.flatnonzero(np.diff(relations.indptr))
    points = points_of(x, 1 - np.einsum("nd,nd->n", x, x))
    pairs, _ = listed(relations, rows)
    row, n_pairs = pairs.row, np.diff(pairs.starts)
    q, _ = pairs.measure(points[rows], points)
    least = q * NEARER

    groups = -(-n_pairs // TOGETHER)
    group = np.concatenate([[0], np.cumsum(groups)])
    place = np.arange(len(row)) - pairs.starts[row]
    cell = group[row] + place // TOGETHER, place % TOGETHER
    limits = np.zeros((group[-1], TOGETHER))
    limits[cell] = least / points.h[rows[row], 0]
    repeated = points[np.repeat(rows, groups)]
    values = Vi(repeated.x).sqdist(Vj(points.x)) * Vj(points.h)
    nearer = (values < Vi(limits)).count(axis=1, **run)[cell]
    nearer -= least > 0  # u itself

    both = relations if known is None else (relations + _matrix(known, len(x))).tocsr()
    others, _ = listed(both, rows)
    distances, _ = others.measure(points[rows], points)
    nearer -= _below(least, row, distances, others.row)
    found = nearer + 1

    order = np.lexsort((found, row))
    precision = (place + 1) / (found[order] + place)
    return found, pairs.total(precision) / n_pairs


def _matrix(relations: Any, n: int) -> Rows:
    """Return relations of n nodes such that each stands once, in the order of columns."""
    found = sparse.csr_array(relations)
    if found.shape != (n, n):
        what = f"relations of shape (n_nodes, n_nodes) = {(n, n)}"
        raise ParameterError(expected(what, f"shape {found.shape}"))
    if not found.has_canonical_format or not found.data.all():
        found = found.copy()  # of the caller's arrays
        found.sum_duplicates()
        found.eliminate_zeros()
    loops = np.flatnonzero(found.diagonal())
    if len(loops):
        cure = "setdiag(0) takes such relations off."
        got = f"one from node {loops[0]} to itself"
        raise ParameterError(expected("relations between different nodes", got, cure))
    return found


def _below(limits: Array, row: Array, values: Array, value_row: Array) -> Array:
    """Return for each limit how many values of the same row are less."""
    is_value = np.repeat([False, True], [len(limits), len(values)])
    rows = np.concatenate([row, value_row])
    order = np.lexsort((is_value, np.concatenate([limits, values]), rows))
    before = np.cumsum(is_value[order])
    found = np.empty(len(rows), np.intp)
    found[order] = before
    starts = np.searchsorted(np.sort(value_row), np.arange(rows.max(initial=0) + 1))
    below: Array = found[: len(limits)] - starts[row]
    return below


def ranking(x: Any, relations: Any, known: Any = None, **how: Any) -> Ranking:
    """Return the mean rank and MAP of relations; see `ranks` for the parameters.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> from georeduce.apps.hyperbolic import ranking
    >>> x = np.array([[0., 0.], [.5, 0.], [.6, .1], [-.5, 0.]])
    >>> relations = sparse.csr_array(np.array([[0, 1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0] * 4]))
    >>> ranking(x, relations, backend="numpy")
    Ranking(mean_rank=1.0, mean_average_precision=1.0)
    """
    found, precisions = ranks(x, relations, known, **how)
    if not len(found):
        raise ParameterError(expected("at least one relation to rank", "none"))
    return Ranking(float(found.mean()), float(precisions.mean()))
