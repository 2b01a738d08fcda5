"""What can be asked of an embedding: neighbours, ranks, what is above and below.

Knows nothing of how it was found.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from georeduce.engine import Vi, Vj
from georeduce.engine.errors import did_you_mean, expected

from ..common import NON_NEGATIVE_REAL, POSITIVE_INTEGER, Array, ParameterError, running
from ._space import HyperbolicSpace
from .ball import PoincareBall
from .evaluation import Ranking, ranking, ranks


class Queries(ABC):
    """Questions to points with names."""

    embedding_: Array
    nodes_: Array
    _space_: HyperbolicSpace

    def _in_ball(self) -> Array:
        """Return the points in the Poincaré ball (n, D), in float64."""
        check_is_fitted(self)
        x = np.asarray(self.embedding_, np.float64)
        space = self._space_
        return x if isinstance(space, PoincareBall) else space.convert(x, PoincareBall())

    def _index(self, node: Any) -> int:
        """Return the row of a node's name."""
        return self._rows([node])[0]

    def _rows(self, nodes: list[Any]) -> list[int]:
        """Return the rows of nodes' names."""
        check_is_fitted(self)
        index = {name: k for k, name in enumerate(self.nodes_.tolist())}
        for node in nodes:
            if not isinstance(node, Hashable) or node not in index:
                raise ParameterError(
                    expected("the name of a node", repr(node), _guess(node, [*index]))
                )
        return [index[node] for node in nodes]

    def _ends(self, pairs: Any) -> Array:
        """Return the rows (n_pairs, 2) of pairs of names."""
        pairs = list(pairs.to_numpy() if hasattr(pairs, "to_numpy") else pairs)
        for pair in pairs:
            if isinstance(pair, str) or not hasattr(pair, "__len__") or len(pair) != 2:
                cure = "A single pair is [(u, v)]."
                raise ParameterError(expected("a list of pairs (u, v)", f"{pair!r} in it", cure))
        return np.array(self._rows([end for pair in pairs for end in pair]), np.intp).reshape(-1, 2)

    def _name(self, row: int) -> Any:
        return self.nodes_[row : row + 1].tolist()[0]

    # --- Of one or two nodes ------------------------------------------------------------------

    def distance(self, u: Any, v: Any) -> float:
        """Return the distance of two nodes.

        Parameters
        ----------
        u, v : str or int
            Names of nodes.

        Returns
        -------
        distance : float
            In the space of curvature -1.
        """
        x = self._in_ball()
        return float(PoincareBall().distance(x[self._index(u)], x[self._index(v)]))

    def depth(self, node: Any) -> float:
        """Return the distance of a node from the origin, which is small for general ones.

        Parameters
        ----------
        node : str or int
            Name of a node.

        Returns
        -------
        depth : float
            At least 0.
        """
        x = self._in_ball()[self._index(node)]
        return float(PoincareBall().distance(x, np.zeros_like(x)))

    def difference_in_hierarchy(self, u: Any, v: Any) -> float:
        """Return by how much v is further from the origin than u: positive where u is above v.

        Parameters
        ----------
        u, v : str or int
            Names of nodes.

        Returns
        -------
        difference : float
            Of their depths.
        """
        return self.depth(v) - self.depth(u)

    def nearest(self, node: Any, n_neighbors: int = 10) -> list[tuple[Any, float]]:
        """Return the nearest other nodes.

        Parameters
        ----------
        node : str or int
            Name of a node.
        n_neighbors : int, default=10
            How many.

        Returns
        -------
        neighbors : list of (name, distance)
            In order of distance.

        Examples
        --------
        >>> from georeduce.apps.hyperbolic import PoincareEmbedding
        >>> edges = [("dog", "canine"), ("wolf", "canine"), ("canine", "animal"), ("cat", "animal")]
        >>> model = PoincareEmbedding(closure=True, random_state=0, backend="numpy").fit(edges)
        >>> [name for name, distance in model.nearest("dog", 2)]
        ['canine', 'animal']
        """
        POSITIVE_INTEGER.check("n_neighbors", n_neighbors)
        return [*self._by_distance(self._index(node), n_neighbors)]

    def rank(self, u: Any, v: Any) -> int:
        """Return 1 plus the number of nodes other than u that are nearer to u than v is.

        Parameters
        ----------
        u, v : str or int
            Names of nodes.

        Returns
        -------
        rank : int
            At least 1.
        """
        i, j = self._index(u), self._index(v)
        if i == j:
            raise ParameterError(expected("two different nodes", repr(u)))
        n = len(self.nodes_)
        pair = sparse.csr_array(([1.0], ([i], [j])), shape=(n, n))
        found, _ = ranks(self._in_ball(), pair, **running(self))
        return int(found[0])

    # --- Up and down --------------------------------------------------------------------------

    def closest_parent(self, node: Any) -> Any:
        """Return the nearest node that is nearer to the origin, None if there is none.

        Parameters
        ----------
        node : str or int
            Name of a node.

        Returns
        -------
        parent : str, int or None
            Name of a node.
        """
        return self._step(node, -1)

    def closest_child(self, node: Any) -> Any:
        """Return the nearest node that is further from the origin, None if there is none.

        Parameters
        ----------
        node : str or int
            Name of a node.

        Returns
        -------
        child : str, int or None
            Name of a node.
        """
        return self._step(node, 1)

    def ancestors(self, node: Any) -> list[Any]:
        """Return the closest parent of a node, that one's closest parent, and so on.

        Parameters
        ----------
        node : str or int
            Name of a node.

        Returns
        -------
        ancestors : list of names
            Ever nearer to the origin.

        Examples
        --------
        >>> from georeduce.apps.hyperbolic import PoincareEmbedding
        >>> edges = [("dog", "canine"), ("wolf", "canine"), ("canine", "animal"), ("cat", "animal")]
        >>> model = PoincareEmbedding(closure=True, random_state=0, backend="numpy").fit(edges)
        >>> model.ancestors("dog")
        ['canine', 'animal']
        """
        return [*self._chain(node, -1, len(self.nodes_))]

    def descendants(self, node: Any, max_depth: int = 5) -> list[Any]:
        """Return the closest child of a node, that one's closest child, and so on.

        Parameters
        ----------
        node : str or int
            Name of a node.
        max_depth : int, default=5
            How many at most.

        Returns
        -------
        descendants : list of names
            Ever further from the origin.
        """
        POSITIVE_INTEGER.check("max_depth", max_depth)
        return [*self._chain(node, 1, max_depth)]

    def _chain(self, node: Any, sign: int, length: int) -> Iterator[Any]:
        for _ in range(length):
            node = self._step(node, sign)
            if node is None:
                return
            yield node

    def _step(self, node: Any, sign: int) -> Any:
        row = self._index(node)
        norms = np.linalg.norm(self._in_ball(), axis=1)
        beyond = np.flatnonzero(sign * (norms - norms[row]) > 0)
        return next((name for name, _ in self._by_distance(row, 1, beyond)), None)

    def _by_distance(
        self, row: int, count: int, among: Array | None = None
    ) -> Iterator[tuple[Any, float]]:
        """Yield names and distances of the nearest of some nodes, by default of all others."""
        x = self._in_ball()
        if among is None:
            among = np.flatnonzero(np.arange(len(x)) != row)
        count = min(count, len(among))
        if count:
            s = PoincareBall().half_sinh(Vi(x[row : row + 1]), Vj(x[among]))
            values, places = s.Kmin_argKmin(count, axis=1, **running(self))
            for value, place in zip(values[0], places[0], strict=True):
                yield self._name(int(among[place])), 2 * float(np.arcsinh(value))

    # --- Of many ------------------------------------------------------------------------------

    def entailment(self, pairs: Any, alpha: float = 1e3) -> Array:
        r"""Return how much each u is a kind of v.

        .. math:: -(1 + \alpha (|v| - |u|)) \, d(u, v)

        of Nickel and Kiela (2017, eq. 8): near pairs score high, and higher where v is nearer to
        the origin.

        Parameters
        ----------
        pairs : list of (u, v)
            Names of nodes.
        alpha : float, default=1000
            Weight of the difference of norms.

        Returns
        -------
        scores : ndarray of shape (n_pairs,)
            Any numbers; higher ones speak for "u is a v".

        Examples
        --------
        >>> from georeduce.apps.hyperbolic import PoincareEmbedding
        >>> edges = [("dog", "canine"), ("wolf", "canine"), ("canine", "animal"), ("cat", "animal")]
        >>> model = PoincareEmbedding(closure=True, random_state=0, backend="numpy").fit(edges)
        >>> up, down = model.entailment([("dog", "animal"), ("animal", "dog")])
        >>> bool(up > down)
        True
        """
        NON_NEGATIVE_REAL.check("alpha", alpha)
        u, v = self._in_ball()[self._ends(pairs).T]
        norms = np.linalg.norm(v, axis=1) - np.linalg.norm(u, axis=1)
        scores: Array = -(1 + alpha * norms) * PoincareBall().distance(u, v)
        return scores

    def evaluate(self, X: Any = None) -> Ranking:
        """Return the mean rank and MAP of relations, over all nodes.

        Parameters
        ----------
        X : edges, graph or sparse matrix, default=None
            Relations between known nodes that were held out, among which, and among those of the
            fit, nearer nodes do not count (link prediction). By default the relations of the fit
            (reconstruction).

        Returns
        -------
        Ranking
            ``mean_rank`` and ``mean_average_precision``.

        See Also
        --------
        georeduce.apps.hyperbolic.ranks : The rank of each relation.

        Examples
        --------
        >>> from georeduce.apps.hyperbolic import PoincareEmbedding
        >>> edges = [("dog", "canine"), ("wolf", "canine"), ("canine", "animal"), ("cat", "animal")]
        >>> model = PoincareEmbedding(random_state=0, backend="numpy").fit(edges)
        >>> model.evaluate()
        Ranking(mean_rank=1.0, mean_average_precision=1.0)
        >>> model.evaluate([("dog", "animal")])  # which it was not told
        Ranking(mean_rank=1.0, mean_average_precision=1.0)
        """
        x, trained = self._in_ball(), getattr(self, "relations_", None)
        if X is None:
            if trained is None:
                what = "relations to evaluate, as this embedding is not of relations"
                raise ParameterError(expected(what, "None"))
            return ranking(x, trained, **running(self))
        return ranking(x, self._relations(X), trained, **running(self))

    @abstractmethod
    def _relations(self, X: Any) -> Any:
        """Return relations between known nodes as a matrix; the estimator knows how to read."""


def _guess(node: Any, names: list[Any]) -> str:
    """Return which node may have been meant: one that reads the same, or nearly so."""
    alike = [name for name in names if str(name) == str(node)]
    if alike:
        return f"Did you mean {alike[0]!r}?"
    words = [name for name in names if isinstance(name, str)]
    return did_you_mean(node, words) if isinstance(node, str) else ""
