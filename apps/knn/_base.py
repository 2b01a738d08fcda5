"""The search that all neighbour estimators share, as one mixin: fit, kneighbors, kneighbors_graph.

Knows no target and no vote.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from sklearn import get_config
from sklearn.base import BaseEstimator, MultiOutputMixin
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from georeduce.engine.errors import expected, warn

from .._arrays import at_home, put, together, validated
from ..common import (
    BACKEND,
    CALLABLE,
    DICT,
    N_JOBS,
    NONE,
    POSITIVE_INTEGER,
    POSITIVE_REAL,
    Array,
    ParameterError,
    Rule,
    check_parameters,
    is_integer,
    one_of,
    running,
    to_host,
)
from .metrics import exponent_of, finished, resolve, surrogate

_NO_TREES = "The search is exhaustive, so that there are no trees."


class NeighborsBase(MultiOutputMixin, BaseEstimator):  # type: ignore[misc]
    """Exhaustive k-nearest-neighbour search, from the parameters of a subclass.

    It should be the case that ``kneighbors`` gives, for each query, the k points of the database
    with the smallest distances in ascending order, where equal distances stand in order of index;
    that no array of queries times database is ever held; and that nothing but the database, the
    targets and the parameters is kept, so that a fitted estimator pickles.
    """

    n_neighbors: int
    metric: Any
    metric_params: dict[str, Any] | None
    p: float
    n_jobs: int | None
    backend: str

    _rules: ClassVar[dict[str, Rule]] = {
        "n_neighbors": POSITIVE_INTEGER,
        "algorithm": one_of("auto", "brute", cure=_NO_TREES),
        "leaf_size": POSITIVE_INTEGER,
        "p": POSITIVE_REAL | NONE,
        "metric": Rule("a name", lambda value: isinstance(value, str)) | CALLABLE,
        "metric_params": DICT | NONE,
        "n_jobs": N_JOBS | NONE,
        "backend": BACKEND,
    }

    def _fit_search(self, X: Any, y: Any = None) -> Any:
        """Check the parameters, keep the database, and return the validated targets, if any."""
        check_parameters(self, self._rules)
        metric, keywords = resolve(self.metric, self.p, self.metric_params)
        if self.metric == "minkowski" and "p" in (self.metric_params or {}) and self.p is not None:
            text = "metric_params has p, so that the parameter p is ignored."
            warn(f"{text} Pass p=None, or p without metric_params.", SyntaxWarning)
        if get_tags(self).target_tags.required:
            if sparse.issparse(y):
                cure = "Pass y.toarray()."
                raise ParameterError(expected("y as a dense array", "a sparse one", cure))
            X, y = validated(self, X, y, multi_output=True)
        else:
            X = validated(self, X)
        surrogate(metric, keywords, X[:1], X)  # a metric that is wrong is told here, not later
        self.effective_metric_ = metric
        self.effective_metric_params_ = keywords
        self.n_samples_fit_ = X.shape[0]
        self._fit_X = X
        self._fit_size = _size(X)
        return y

    @at_home
    def kneighbors(
        self, X: Any = None, n_neighbors: int | None = None, return_distance: bool = True
    ) -> Any:
        """Find the nearest points of the database, ties to the lowest index.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), default=None
            The queries. If not given, neighbors of each point of the database are returned, and a
            point is not considered its own neighbor.
        n_neighbors : int, default=None
            How many neighbors; by default the parameter of the estimator.
        return_distance : bool, default=True
            Whether to return the distances too.

        Returns
        -------
        neigh_dist : array of shape (n_queries, n_neighbors)
            Distances in ascending order, in the dtype of the data: float32 if the queries and the
            database are. Only present if `return_distance` is true.
        neigh_ind : array of shape (n_queries, n_neighbors)
            Indices of the neighbors in the database.

        Examples
        --------
        >>> from georeduce.apps.knn import NearestNeighbors
        >>> model = NearestNeighbors(n_neighbors=1, backend="numpy")
        >>> model = model.fit([[0., 0., 0.], [0., .5, 0.], [1., 1., .5]])
        >>> model.kneighbors([[1., 1., 1.]])
        (array([[0.5]]), array([[2]]))
        """
        check_is_fitted(self)
        k = self._check_k(self.n_neighbors if n_neighbors is None else n_neighbors)
        if X is None:
            queries = database = self._fit_X
        else:
            queries, database = together(validated(self, X, reset=False), self._fit_X)
        n_samples = self.n_samples_fit_
        if k + (X is None) > n_samples:
            rule = "n_neighbors < n_samples_fit" if X is None else "n_neighbors <= n_samples_fit"
            raise ParameterError(
                f"Expected {rule}, but n_neighbors = {k}, n_samples_fit = {n_samples}, "
                f"n_samples = {len(queries)}."  # the words of scikit-learn, which its checks read
            )
        if X is None:
            distances, indices = self._search(queries, database, k + 1, return_distance)
            distances, indices = _without_self(distances, indices)
        else:
            distances, indices = self._search(queries, database, k, return_distance)
        return (distances, indices) if return_distance else indices

    def _check_k(self, k: Any) -> int:
        if not is_integer(k):
            raise ParameterError(expected("n_neighbors to be a positive integer", repr(k)))
        if k < 1:
            raise ParameterError(expected("n_neighbors > 0", str(k)))
        return int(k)

    def _search(
        self, queries: Array, database: Array, k: int, return_distance: bool
    ) -> tuple[Array | None, Array]:
        """Return distances (None if not asked for) and indices, each (M, k)."""
        metric, keywords = self.effective_metric_, self.effective_metric_params_
        dtype = queries.dtype
        size = self._fit_size if queries is database else max(_size(queries), self._fit_size)
        exponent = exponent_of(metric, size, dtype)
        d: Any = surrogate(metric, keywords, queries, database, exponent)
        # with the values even where only indices are asked for: one kernel to compile, not two
        values, indices = d.Kmin_argKmin(k, axis=1, **running(self))
        if indices.size and indices.min() < 0:  # the engine's way to say that there are too few
            indices = to_host(indices)
            row = np.flatnonzero((indices < 0).any(axis=1))[0]
            got = f"NaN for all but {int((indices[row] >= 0).sum())} of them in query {row}"
            cure = "Change the function given as metric."
            raise ParameterError(expected(f"distances to at least {k} samples", got, cure))
        indices = indices.astype(np.intp, copy=False)
        if not return_distance:
            return None, indices
        with np.errstate(over="ignore"):  # a distance that float32 cannot hold is infinite
            return finished(metric, values, exponent).astype(dtype, copy=False), indices

    def kneighbors_graph(
        self, X: Any = None, n_neighbors: int | None = None, mode: str = "connectivity"
    ) -> Any:
        """Return the graph of the nearest neighbors.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), default=None
            The queries. If not given, the graph of the database with itself is returned, where a
            point is not considered its own neighbor.
        n_neighbors : int, default=None
            How many neighbors; by default the parameter of the estimator.
        mode : {"connectivity", "distance"}, default="connectivity"
            Whether edges are ones or distances.

        Returns
        -------
        A : sparse matrix of shape (n_queries, n_samples_fit)
            In CSR format, edges of a row in ascending order of distance: ``A[i, j]`` belongs to
            the edge from query i to sample j.

        Examples
        --------
        >>> from georeduce.apps.knn import NearestNeighbors
        >>> X = [[0.], [3.], [1.]]
        >>> model = NearestNeighbors(n_neighbors=2, backend="numpy").fit(X)
        >>> model.kneighbors_graph(X).toarray()
        array([[1., 0., 1.],
               [0., 1., 1.],
               [1., 0., 1.]])
        """
        check_is_fitted(self)
        one_of("connectivity", "distance").check("mode", mode)
        if mode == "distance":
            data, indices = self.kneighbors(X, n_neighbors)
        else:
            indices = self.kneighbors(X, n_neighbors, return_distance=False)
            data = np.ones(tuple(indices.shape))
        rows, k = indices.shape
        starts = np.arange(0, rows * k + 1, k)
        # matrices where scikit-learn returns matrices: arrays are the choice of its configuration
        arrays = get_config().get("sparse_interface") == "sparray"
        csr = sparse.csr_array if arrays else sparse.csr_matrix
        shape = (rows, self.n_samples_fit_)
        data, indices = to_host(data), to_host(indices)  # SciPy's matrices know no other arrays
        return csr((data.ravel(), indices.ravel(), starts), shape=shape)


def _size(X: Array) -> float:
    """Return the size of the largest coordinate."""
    return max(float(X.max()), -float(X.min()), 0.0)


def _without_self(distances: Array | None, indices: Array) -> tuple[Array | None, Array]:
    """Drop from k + 1 neighbours of each point of the database that point itself.

    Where it is not among them, which takes more than k duplicates of lower index (or a user's
    metric that puts others nearer), the last one goes: k nearest others remain.
    """
    others = indices != put(np.arange(len(indices))[:, None], indices)
    others[:, -1] &= ~others.all(axis=1)
    shape = (len(indices), indices.shape[1] - 1)
    kept = None if distances is None else distances[others].reshape(shape)
    return kept, indices[others].reshape(shape)
