"""What is embedded: relations of nodes, or distances; one class for each, with what depends on it.

It should be the case that a problem knows its losses, where new nodes start and how well points
solve it, and knows neither parameters of users nor how a loss is minimised.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from georeduce.engine import Vi, Vj
from georeduce.engine.errors import expected

from ..common import Array, ParameterError
from ._graphs import Graph, check_weights, graph_of, read_ends, read_entries, read_graph
from ._losses import NegativeSampling, Softmax, Stress
from ._pairs import Points
from ._workers import ALONE, Workers
from .evaluation import ranking, ranks

SAMPLE = 500
"""Rows of which ranks are told while a fit runs."""
JOINED = "an edge from each new node to a known one"


class Newcomers(NamedTuple):
    """New nodes, to be attached to known ones: their loss, and where they start (n_new, D).

    `same` is which known node each of them is, or -1; rows of a matrix and samples have no `names`.
    """

    loss: Any
    start: Array
    same: Array
    names: Array | None


class Relations:
    """Relations of named nodes.

    Parameters
    ----------
    graph : Graph
        Nodes and relations.
    loss : {"softmax", "negative_sampling"}
        Which loss.
    n_negatives : int
        For the second.
    run : dict
        Keywords of reductions.
    """

    def __init__(self, graph: Graph, loss: str, n_negatives: int, run: dict[str, Any]) -> None:
        self.graph, self.run = graph, run
        self.how = (loss, n_negatives)
        self.nodes = graph.nodes
        self.rows = np.flatnonzero(np.diff(graph.relations.indptr))
        self.terms = float(graph.relations.data.sum())
        self.arrays = [graph.nodes, *_parts(graph.relations)]

    def loss(self, relations: Any = None, workers: Workers = ALONE) -> Any:
        relations = self.graph.relations if relations is None else relations
        name, n_negatives = self.how
        if name == "softmax":
            return Softmax(relations, self.run, workers)
        return NegativeSampling(relations, n_negatives, workers)

    def figures(self, points: Any) -> dict[str, float]:
        """Return the mean rank of the relations of a sample of nodes, the same in each epoch."""
        rows = self.rows[:: -(-len(self.rows) // SAMPLE)]
        found, _ = ranks(points.seen.x, self.graph.relations, rows=rows, **self.run)
        return {"rank": float(found.mean())}

    def attached(self, X: Any, kind: str, x: Array) -> Newcomers:
        names = None
        if kind == "adjacency":
            shape, ends, weights = read_entries(X)
            if shape[1] != len(x):
                what = f"relations to {len(x)} known nodes, of shape (n_new, {len(x)})"
                raise ParameterError(expected(what, f"a matrix of shape {shape}"))
            check_weights(weights, ends, np.arange(max(shape)))
            relations = sparse.coo_array((weights, tuple(ends.T)), shape=shape).tocsr()
            same = np.full(shape[0], -1)
            lonely = np.diff(relations.indptr) == 0
            if lonely.any():
                raise ParameterError(expected(JOINED, f"none from row {int(lonely.argmax())}"))
        else:
            relations, same, names = self._new(X, kind)
        weights = relations.sum(axis=1)
        start = (relations @ x) / np.where(weights > 0, weights, 1)[:, None]
        return Newcomers(self.loss(relations), start, same, names)

    def _new(self, X: Any, kind: str) -> tuple[Any, Array, Array]:
        names, ends, weights = read_ends(X, kind)
        check_weights(weights, ends, names)
        index = {name: k for k, name in enumerate(self.nodes.tolist())}
        known = np.array([index.get(name, -1) for name in names.tolist()])
        if kind == "graph" and not X.is_directed():  # of both directions the one that leads here
            there = (known[ends[:, 0]] < 0) | (known[ends[:, 1]] >= 0)
            ends, weights = ends[there], None if weights is None else weights[there]
        for target in np.unique(ends[:, 1]):
            if known[target] < 0:
                cure = "Fit with it, or turn the edge around."
                got = f"one to the new node {names[target]!r}"
                raise ParameterError(expected("edges from new nodes to known ones", got, cure))
        lonely = known < 0
        lonely[ends[:, 0]] = False
        if lonely.any():
            got = f"none from {names[lonely].tolist()[0]!r}"
            raise ParameterError(expected(JOINED, got))
        sources, first, row = np.unique(ends[:, 0], return_index=True, return_inverse=True)
        place = np.empty(len(sources), np.intp)
        place[np.argsort(first)] = np.arange(len(sources))
        values = np.ones(len(ends)) if weights is None else weights
        shape = (len(sources), len(self.nodes))
        relations = sparse.coo_array((values, (place[row], known[ends[:, 1]])), shape=shape).tocsr()
        relations.sum_duplicates()
        if weights is None:
            relations.data[:] = 1
        sources = sources[np.argsort(first)]
        return relations, known[sources], names[sources]

    def score(self, X: Any, kind: str, closure: bool, x: Array) -> float:
        """Return the mean average precision of relations between known nodes."""
        return ranking(x, self.known(X, kind, closure), **self.run).mean_average_precision

    def known(self, X: Any, kind: str, closure: bool) -> Any:
        """Return relations between known nodes as a matrix of them all."""
        if kind == "adjacency":
            graph = read_graph(X, kind, closure)
            if len(graph.nodes) != len(self.nodes):
                got = f"{len(graph.nodes)} nodes"
                raise ParameterError(expected(f"the {len(self.nodes)} nodes of the fit", got))
            return graph.relations
        names, ends, weights = read_ends(X, kind)
        index = {name: k for k, name in enumerate(self.nodes.tolist())}
        for name in names.tolist():
            if name not in index:
                cure = "Leave its edges out, or fit with them: transform has places for new nodes."
                raise ParameterError(expected("edges between known nodes", repr(name), cure))
        places = np.array([index[name] for name in names.tolist()])
        return graph_of(self.nodes, places[ends], weights, closure).relations


class Distances:
    """Distances between samples: Euclidean ones of points, or a matrix.

    Parameters
    ----------
    X : array of shape (n_samples, n_features) or (n_samples, n_samples)
        Points, or the matrix.
    precomputed : bool
        Whether it is the matrix.
    scale : float or "auto"
        By which distances are multiplied.
    radius : float
        The largest distance from the origin.
    run : dict
        Keywords of reductions.
    """

    def __init__(
        self, X: Array, precomputed: bool, scale: Any, radius: float, run: dict[str, Any]
    ) -> None:
        self.X, self.precomputed, self.run = X, precomputed, run
        n = len(X)
        if n < 2:
            raise ParameterError(expected("at least two samples", f"n_samples = {n}"))
        self.nodes = np.arange(n)
        self.rows = self.nodes
        if precomputed:
            largest, squares = float(X.max()), np.sum(np.square(X, dtype=np.float64), axis=1)
        else:
            d = Vi(X).sqdist(Vj(X))
            largest = float(np.sqrt(d.max(axis=1, **run).max()))
            squares = d.sum(axis=1, **run).astype(np.float64)
        if scale == "auto":  # as they are, or made to fit
            scale = min(1.0, radius / largest) if largest else 1.0
        if scale * largest > 2 * radius:
            what = f"distances up to 2 max_radius = {2 * radius:.4g}, times scale"
            cure = "Lower scale, or raise max_radius."
            raise ParameterError(expected(what, f"{scale * largest:.4g}", cure))
        self.scale = float(scale)
        self.terms = float(squares.sum()) * self.scale**2 or 1.0
        self.arrays = [X]

    def loss(self, targets: Any = None, workers: Workers = ALONE) -> Stress:
        if targets is None:
            targets = self.X if self.precomputed else (self.X, self.X)
        return Stress(targets, self.scale, self.run)

    def figures(self, points: Any) -> dict[str, float]:
        return {}

    def attached(self, X: Array, kind: str, x: Array) -> Newcomers:
        if self.precomputed:
            nearest = X.argmin(axis=1)
            least = np.take_along_axis(X, nearest[:, None], axis=1)[:, 0]
            targets: Any = X
        else:
            X = X.astype(self.X.dtype, copy=False)
            least, nearest = (a[:, 0] for a in Vi(X).sqdist(Vj(self.X)).min_argmin(1, **self.run))
            targets = (X, self.X)
        return Newcomers(self.loss(targets), x[nearest], np.where(least == 0, nearest, -1), None)

    def score(self, X: Array, placed: Points, points: Points) -> float:
        """Return minus Kruskal's stress of samples at points, to those of the fit."""
        loss = self.loss(X if self.precomputed else (X.astype(self.X.dtype, copy=False), self.X))
        total, asked = loss.squares(placed, points)
        return -float(np.sqrt(total / asked)) if asked else 0.0


def _parts(matrix: Any) -> tuple[Array, Array, Array]:
    return matrix.indptr, matrix.indices, matrix.data
