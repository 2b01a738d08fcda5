r"""Regression by the mean of the nearest neighbours.

With the weights :math:`w_j` of the k neighbours :math:`N(x)` of a query :math:`x`, the prediction
is :math:`\sum_{j \in N(x)} w_j t_j / \sum_{j \in N(x)} w_j` for targets :math:`t`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted

from georeduce.engine.errors import expected

from .._arrays import at_home
from ..common import Array, ParameterError, Rule, to_host
from ._base import NeighborsBase
from ._weights import WEIGHTS, mean, neighbors_and_weights


class KNeighborsRegressor(RegressorMixin, NeighborsBase):  # type: ignore[misc]
    r"""Regressor by the mean of the nearest neighbors.

    .. math:: \frac{\sum_{j \in N(x)} w_j t_j}{\sum_{j \in N(x)} w_j}

    Parameters
    ----------
    n_neighbors : int, default=5
        How many neighbors are averaged.
    weights : {"uniform", "distance"}, callable or None, default="uniform"
        Weight of each neighbor: one ("uniform" or None); the inverse of the distance, where
        neighbors at distance zero, if there are any, count alone; or a function from an array of
        distances to an array of weights of the same shape.
    algorithm : {"auto", "brute"}, default="auto"
        Accepted for compatibility: the search is always exact and exhaustive. Trees are refused.
    leaf_size : int, default=30
        Accepted for compatibility and ignored: there is no tree.
    p : float, default=2
        Exponent of `metric="minkowski"`: 1 or 2.
    metric : str or callable, default="minkowski"
        One of "minkowski", "euclidean" ("l2"), "sqeuclidean", "manhattan" ("l1", "cityblock"),
        "cosine" and "poincare"; or a function of two LazyTensors, the queries as rows and the
        database as columns, that returns a LazyTensor of dimension 1. It is compiled like any
        other metric; with `n_jobs` in a grid search it must be importable by name, so no lambda.
    metric_params : dict, default=None
        Keywords of the function given as `metric`.
    n_jobs : int, default=None
        Threads of a search: -1 is all processors, None what the options of the engine say.
    backend : str, default="auto"
        Name of a backend of the engine; "auto" is what the options of the engine say, and that is
        the fastest one unless they were changed.

    Attributes
    ----------
    effective_metric_ : str or callable
        The metric used: "minkowski" is replaced by what it stands for.
    effective_metric_params_ : dict
        Keywords of the metric.
    n_features_in_ : int
        Number of features seen by `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen by `fit`, where all of them are strings.
    n_samples_fit_ : int
        Number of samples in the database.

    See Also
    --------
    KNeighborsClassifier : Vote of the nearest neighbors.
    NearestNeighbors : The search alone, with notes on its precision.

    Notes
    -----
    Neighbors at equal distances are taken in order of index. Where all neighbors of a query have
    weight zero, the prediction is NaN, as in scikit-learn.

    Examples
    --------
    >>> from georeduce.apps.knn import KNeighborsRegressor
    >>> X, y = [[0], [1], [2], [3]], [0, 0, 1, 1]
    >>> model = KNeighborsRegressor(n_neighbors=2, backend="numpy").fit(X, y)
    >>> model.predict([[1.5]])
    array([0.5])
    """

    _rules: ClassVar[dict[str, Rule]] = {**NeighborsBase._rules, "weights": WEIGHTS}

    def __init__(
        self,
        n_neighbors: int = 5,
        *,
        weights: Any = "uniform",
        algorithm: str = "auto",
        leaf_size: int = 30,
        p: float = 2,
        metric: Any = "minkowski",
        metric_params: dict[str, Any] | None = None,
        n_jobs: int | None = None,
        backend: str = "auto",
    ) -> None:
        self.n_neighbors = n_neighbors
        self.weights = weights
        self.algorithm = algorithm
        self.leaf_size = leaf_size
        self.p = p
        self.metric = metric
        self.metric_params = metric_params
        self.n_jobs = n_jobs
        self.backend = backend

    @at_home
    def fit(self, X: Any, y: Any) -> KNeighborsRegressor:
        """Keep the database and the targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The database.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.

        Returns
        -------
        self : KNeighborsRegressor
            The fitted regressor.
        """
        y = self._fit_search(X, y)
        if y.dtype.kind not in "fiub":
            try:
                y = y.astype(np.float64)  # objects that are numbers
            except (TypeError, ValueError) as error:
                raise ParameterError(expected("y to be real numbers", str(error))) from None
        self._y = y
        return self

    @at_home
    def predict(self, X: Any) -> Array:
        """Return the mean of the neighbors' targets.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), or None
            Queries. If None, the samples of the database, none being its own neighbor.

        Returns
        -------
        y : ndarray of shape (n_queries,) or (n_queries, n_outputs)
            Predictions.
        """
        check_is_fitted(self)
        indices, weights = neighbors_and_weights(self, X)
        found = mean(self._y.reshape(len(self._y), -1)[indices], weights)
        return found[:, 0] if self._y.ndim == 1 else found

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the coefficient of determination of the predictions.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), or None
            Queries. If None, the samples of the database, none being its own neighbor.
        y : array-like of shape (n_queries,) or (n_queries, n_outputs)
            True targets.
        sample_weight : array-like of shape (n_queries,), default=None
            Weights of the queries.

        Returns
        -------
        score : float
            One minus the mean squared error over the variance of y; its mean over the outputs.
        """
        found = to_host(self.predict(X))
        return float(r2_score(to_host(y), found, sample_weight=to_host(sample_weight)))
