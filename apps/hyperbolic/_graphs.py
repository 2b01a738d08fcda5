"""What `PoincareEmbedding` may be given, read into one of two forms: relations or dissimilarities.

Knows no loss and no points of the ball.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import check_array

from georeduce.engine import GeoreduceWarning
from georeduce.engine.errors import expected, warn

from ..common import Array, ParameterError

Rows = sparse.csr_array
KINDS = ("edges", "adjacency", "graph", "distances", "points")
"""What ``input`` may name, besides "auto"."""


@dataclass(frozen=True)
class Graph:
    """Relations of named nodes.

    It should be the case that no node is related to itself, that no relation stands twice, and that
    columns of a row ascend.

    Attributes
    ----------
    nodes : array of shape (n_nodes,)
        Names: integers, or objects.
    relations : csr_array of shape (n_nodes, n_nodes)
        Positive weights, in float64: row u, column v for the edge from u to v.
    """

    nodes: Array
    relations: Rows


def kind_of(X: Any, told: str) -> str:
    """Return which of `KINDS` the input is, if the user did not tell."""
    if told != "auto":
        return told
    if _is_graph(X):
        return "graph"
    if sparse.issparse(X):
        return "adjacency"
    if X is None or isinstance(X, str | bytes | PathLike):
        what = "edges, a graph, a matrix or samples"
        cure = "" if X is None else "Read the file first, such as by pandas.read_csv."
        raise ParameterError(expected(what, repr(X), cure))
    if _is_frame(X):
        named = all(column.dtype.kind in "iuUSO" for column in _columns(X)[:2])
        return "edges" if named and X.shape[1] in (2, 3) else "points"
    if isinstance(X, np.ndarray):
        few = X.ndim == 2 and X.shape[1] in (2, 3)
        return "edges" if few and X.dtype.kind in "iuUSO" else "points"
    if isinstance(X, Iterable) and not isinstance(X, Sequence) and not hasattr(X, "__array__"):
        return "edges"  # such as sets, iterators and networkx's views
    if isinstance(X, Sequence):
        first = X[0] if len(X) else ""
        words = first if isinstance(first, tuple | list) else [first]
        if any(isinstance(word, str) for word in words):  # no samples, whatever else it is
            return "edges"
        if isinstance(first, tuple | list) and len(first) in (2, 3):
            named = all(isinstance(end, str | int | np.integer) for end in first[:2])
            return "edges" if named else "points"
    return "points"


def _is_graph(X: Any) -> bool:
    """Return whether it is a graph of networkx, which need not be installed."""
    return all(hasattr(X, word) for word in ("is_directed", "edges", "nodes", "number_of_nodes"))


def _is_frame(X: Any) -> bool:
    """Return whether it is a data frame of pandas or polars, which need not be installed."""
    return all(hasattr(X, word) for word in ("columns", "shape", "to_numpy"))


def _columns(X: Any) -> list[Array]:
    """Return the columns of a data frame, whose integers stay integers beside weights."""
    numbers = range(X.shape[1])
    some = (X.iloc[:, k] for k in numbers) if hasattr(X, "iloc") else (X[:, k] for k in numbers)
    return [column.to_numpy() for column in some]


def read_graph(X: Any, kind: str, closure: bool) -> Graph:
    """Read edges, an adjacency or a graph.

    Parameters
    ----------
    X : edges, sparse or dense matrix, or graph of networkx
        As the user passed it.
    kind : {"edges", "adjacency", "graph"}
        Which of them.
    closure : bool
        Whether what is reached by several edges is related too.

    Raises
    ------
    ParameterError
        If there is no edge, fewer than two nodes, or a weight that is no positive number.
    """
    return graph_of(*read_ends(X, kind), closure)


def read_ends(X: Any, kind: str) -> tuple[Array, Array, Array | None]:
    """Return names of nodes, the ends (n, 2) of edges as their indices, and weights if any."""
    return {"edges": _edges, "adjacency": _adjacency, "graph": _networkx}[kind](X)


def graph_of(nodes: Array, ends: Array, weights: Array | None, closure: bool) -> Graph:
    """Return the graph of edges (n, 2) between nodes, and tell what of them is left out.

    Duplicates of an edge count once without weights; with them their weights add up.
    """
    n = len(nodes)
    if n < 2:
        got = f"only {nodes.tolist()[0]!r}" if n else "none"
        raise ParameterError(expected("at least two nodes", got))
    loops = ends[:, 0] == ends[:, 1]
    if loops.any():
        name = nodes.tolist()[ends[loops][0, 0]]
        warn(f"Expected edges between different nodes: left out {loops.sum()} from a node to "
             f"itself, such as {name!r}.", GeoreduceWarning)  # fmt: skip
        ends = ends[~loops]
        weights = None if weights is None else weights[~loops]
    if not len(ends):
        raise ParameterError(expected("at least one edge between two nodes", "none"))
    check_weights(weights, ends, nodes)
    values = np.ones(len(ends)) if weights is None else weights
    relations = sparse.coo_array((values, (ends[:, 0], ends[:, 1])), shape=(n, n)).tocsr()
    relations.sum_duplicates()
    if weights is None and relations.nnz < len(ends):
        repeated = len(ends) - relations.nnz
        warn(f"Expected every edge once: left out {repeated} that came again.", GeoreduceWarning)
        relations.data[:] = 1
    if closure:
        if weights is not None and (weights != 1).any():
            cure = "Leave the weights out, or pass the closure with weights of its own."
            raise ParameterError(expected("edges without weights for closure=True", "some", cure))
        relations = closed(relations)
    return Graph(nodes, relations)


def check_weights(weights: Array | None, ends: Array, nodes: Array) -> None:
    """Raise for the first edge whose weight, if they have some, is no positive number."""
    if weights is None:
        return
    wrong = ~(np.isfinite(weights) & (weights > 0))
    if wrong.any():
        k = int(wrong.argmax())
        u, v = (nodes[end : end + 1].tolist()[0] for end in ends[k])
        got = f"{weights[k]} from {u!r} to {v!r}"
        raise ParameterError(expected("positive and finite weights of edges", got))


def closed(relations: Rows) -> Rows:
    """Return the transitive closure: ones wherever a path leads, without loops.

    The relation of paths up to 2^k edges is squared until nothing is added.
    """
    reach = relations.copy()
    while True:
        further = (reach + reach @ reach).tocsr()
        further.data[:] = 1
        if further.nnz == reach.nnz:
            break
        reach = further
    entries = reach.tocoo()
    apart = entries.row != entries.col
    ends = (entries.row[apart], entries.col[apart])
    return sparse.coo_array((entries.data[apart], ends), shape=reach.shape).tocsr()


def _edges(X: Any) -> tuple[Array, Array, Array | None]:
    """Return names, ends and weights of pairs (u, v) or triples (u, v, weight)."""
    if _is_frame(X):
        columns = _columns(X)
        if all(map(_has_integers, columns)):
            X = np.stack(columns, axis=1)
        else:
            X = zip(*(column.tolist() for column in columns), strict=True)
    if isinstance(X, np.ndarray) and _has_integers(X) and X.ndim == 2 and X.shape[1] == 2:
        names, first, ends = np.unique(X, return_index=True, return_inverse=True)
        order = np.argsort(first)  # of appearance, as below
        places = np.argsort(order)
        return names[order].astype(np.intp), places[ends].reshape(X.shape), None
    what = "edges as pairs (u, v) or triples (u, v, weight)"
    if isinstance(X, Mapping) and not isinstance(X, Set):  # networkx's edges are both
        cure = "[(u, v) for u in X for v in X[u]] makes pairs of lists of them."
        raise ParameterError(expected(what, f"a {type(X).__name__}", cure))
    rows = X.tolist() if isinstance(X, np.ndarray) else list(X)
    for row in rows:
        if isinstance(row, str) or not hasattr(row, "__len__"):
            raise ParameterError(expected(what, f"{row!r} among them"))
    rows = [tuple(row) for row in rows]
    lengths = {len(row) for row in rows}
    if not rows or lengths not in ({2}, {3}):
        got = "no edges" if not rows else f"rows of lengths {sorted(lengths)}"
        raise ParameterError(expected(what, got))
    for row in rows:
        for end in row[:2]:
            if not _is_name(end):
                raise ParameterError(expected("names of nodes", f"{end!r} in the edge {row!r}"))
    weights = np.array([_weight(row) for row in rows]) if lengths == {3} else None
    index: dict[Any, int] = {}
    ends = np.array([[index.setdefault(end, len(index)) for end in row[:2]] for row in rows])
    return names_of(index), ends, weights


def _has_integers(X: Array) -> bool:
    """Return whether an array has integers that nodes are numbered by, of at most 64 bits."""
    return X.dtype.kind in "iu" and np.can_cast(X.dtype, np.intp)


def _is_name(end: Any) -> bool:
    """Return whether nodes may be called so: it can be looked up, and is itself."""
    try:
        return end is not None and end == end and isinstance(hash(end), int)
    except (TypeError, ValueError):  # of pandas.NA, lists and arrays
        return False


def _weight(row: tuple[Any, ...]) -> float:
    try:
        return float(row[2])
    except (TypeError, ValueError):
        what = "a number as the weight of an edge"
        raise ParameterError(expected(what, f"{row[2]!r} in the edge {row!r}")) from None


def names_of(names: Iterable[Any]) -> Array:
    """Return names as an array: of integers, if all are and have 64 bits, else of objects.

    NumPy's strings and numbers become Python's, which are found by the same names.
    """
    scalars = np.str_ | np.integer | np.floating
    listed = [name.item() if isinstance(name, scalars) else name for name in names]
    if all(isinstance(name, int) and not isinstance(name, bool) for name in listed):
        with suppress(OverflowError):
            return np.array(listed, dtype=np.intp)
    found = np.empty(len(listed), dtype=object)
    found[:] = listed
    return found


def _adjacency(X: Any) -> tuple[Array, Array, Array | None]:
    shape, ends, weights = read_entries(X)
    if shape[0] != shape[1]:
        what = "a square adjacency, sparse or dense, of shape (n_nodes, n_nodes)"
        got = f"a {'sparse' if sparse.issparse(X) else 'dense'} matrix of shape {shape}"
        raise ParameterError(expected(what, got))
    return np.arange(shape[0]), ends, None if (weights == 1).all() else weights


def read_entries(X: Any) -> tuple[tuple[int, int], Array, Array]:
    """Return the shape of a matrix, rows and columns (n, 2) of what is not 0, and its values."""
    matrix: Any = check_array(
        X,
        dtype=np.float64,
        accept_sparse="coo",
        ensure_all_finite=False,  # weights have a sentence of their own
        input_name="X",
    )
    entries: Any = sparse.coo_array(matrix).tocsr().tocoo()  # what stands twice is a sum
    entries.eliminate_zeros()
    ends = np.stack([entries.row, entries.col], axis=1).astype(np.intp)
    return matrix.shape, ends, entries.data.astype(np.float64)


def _networkx(X: Any) -> tuple[Array, Array, Array | None]:
    """Return a graph of networkx: edges as they are directed, else in both directions."""
    if not _is_graph(X):
        raise ParameterError(expected("a graph of networkx", type(X).__name__))
    index = {node: number for number, node in enumerate(X.nodes)}
    triples = list(X.edges(data="weight"))
    pairs = ((index[u], index[v]) for u, v, _ in triples)
    ends = np.array(list(pairs), dtype=np.intp).reshape(-1, 2)
    weighted = any(weight is not None for *_, weight in triples)
    weights = np.array([1.0 if edge[2] is None else _weight(edge) for edge in triples])
    if not X.is_directed():
        there = ends[:, 0] != ends[:, 1]
        ends = np.concatenate([ends, ends[there, ::-1]])
        weights = np.concatenate([weights, weights[there]])
    return names_of(index), ends, weights if weighted else None


APART = (
    "Nodes that no path joins have none: embed the parts of a graph by themselves, or put a "
    "distance in, such as twice the largest one."
)


def check_distances(X: Array) -> None:
    """Raise for the first of distances (m, n) that is not finite, or negative."""
    _refuse(X, np.isnan(X), "distances that are numbers")
    _refuse(X, np.isinf(X), "finite distances", APART)
    _refuse(X, X < 0, "distances >= 0")


def read_distances(X: Array) -> Array:
    """Return a matrix of distances (n, n), checked: symmetric, >= 0, 0 on the diagonal."""
    if X.shape[0] != X.shape[1]:
        raise ParameterError(expected("a square matrix of distances", f"shape {X.shape}"))
    check_distances(X)
    _refuse(X, np.diag(np.diag(X) != 0), "distances of 0 on the diagonal")
    _refuse(X, ~np.isclose(X, X.T), "a symmetric matrix of distances")
    return X


def _refuse(X: Array, wrong: Array, what: str, cure: str = "") -> None:
    if wrong.any():
        i, j = np.argwhere(wrong)[0]
        raise ParameterError(expected(what, f"{X[i, j]} in row {i}, column {j}", cure))
