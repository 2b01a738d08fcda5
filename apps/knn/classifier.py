r"""Classification by the vote of the nearest neighbours.

With the weights :math:`w_j` of the k neighbours :math:`N(x)` of a query :math:`x`, the share of a
class :math:`c` is :math:`\sum_{j \in N(x), c_j = c} w_j / \sum_{j \in N(x)} w_j`. The largest wins.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import accuracy_score
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from georeduce.engine.errors import warn

from .._arrays import at_home
from ..common import Array, Rule, to_host
from ._base import NeighborsBase
from ._weights import WEIGHTS, check_votes, neighbors_and_weights, shares, vote


class KNeighborsClassifier(ClassifierMixin, NeighborsBase):  # type: ignore[misc]
    r"""Classifier by the vote of the nearest neighbors.

    .. math:: \mathrm{argmax}_c \sum_{j \in N(x)} w_j \, [c_j = c]

    Parameters
    ----------
    n_neighbors : int, default=5
        How many neighbors vote.
    weights : {"uniform", "distance"}, callable or None, default="uniform"
        Weight of each vote: one ("uniform" or None); the inverse of the distance, where neighbors
        at distance zero, if there are any, count alone; or a function from an array of distances
        to an array of weights of the same shape.
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
    classes_ : ndarray of shape (n_classes,), or list of them
        Labels, sorted; a list of one array for each output if there are several.
    outputs_2d_ : bool
        Whether the targets had several columns.
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
    KNeighborsRegressor : Mean of the nearest neighbors.
    NearestNeighbors : The search alone, with notes on its precision.

    Notes
    -----
    Neighbors at equal distances are taken in order of index, and of classes with equal votes the
    first in `classes_` wins, as in scikit-learn. The votes are counted without an array of the
    size of queries times samples.

    Examples
    --------
    >>> from georeduce.apps.knn import KNeighborsClassifier
    >>> X, y = [[0], [1], [2], [3]], [0, 0, 1, 1]
    >>> model = KNeighborsClassifier(n_neighbors=3, backend="numpy").fit(X, y)
    >>> model.predict([[1.1]])
    array([0])
    >>> model.predict_proba([[0.9]]).round(3)
    array([[0.667, 0.333]])
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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    @at_home
    def fit(self, X: Any, y: Any) -> KNeighborsClassifier:
        """Keep the database and the labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The database.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Labels.

        Returns
        -------
        self : KNeighborsClassifier
            The fitted classifier.
        """
        y = self._fit_search(X, y)
        check_classification_targets(y)
        if y.ndim == 2 and y.shape[1] == 1:
            text = "A column-vector y was passed when a 1d array was expected. Pass y.ravel()."
            warn(text, DataConversionWarning)
            y = y[:, 0]
        self.outputs_2d_ = y.ndim == 2
        found = [np.unique(column, return_inverse=True) for column in y.reshape(len(y), -1).T]
        classes = [labels for labels, _ in found]
        self.classes_ = classes if self.outputs_2d_ else classes[0]
        self._codes = np.stack([codes for _, codes in found], axis=1)
        return self

    @at_home
    def predict(self, X: Any) -> Array:
        """Return the winning label of each query.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), or None
            Queries. If None, the samples of the database, none being its own neighbor.

        Returns
        -------
        y : ndarray of shape (n_queries,) or (n_queries, n_outputs)
            Labels.
        """
        labels, weights = self._ballots(X)
        classes = self.classes_ if self.outputs_2d_ else [self.classes_]
        won = [c[vote(labels[..., n], weights, len(c))] for n, c in enumerate(classes)]
        return np.stack(won, axis=1) if self.outputs_2d_ else won[0]

    @at_home
    def predict_proba(self, X: Any) -> Any:
        """Return the share of each class in the votes.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), or None
            Queries. If None, the samples of the database, none being its own neighbor.

        Returns
        -------
        p : ndarray of shape (n_queries, n_classes), or list of them
            Shares, columns in the order of `classes_`; a list of one array for each output if
            there are several.
        """
        labels, weights = self._ballots(X)
        classes = self.classes_ if self.outputs_2d_ else [self.classes_]
        found = [shares(labels[..., n], weights, len(c)) for n, c in enumerate(classes)]
        return found if self.outputs_2d_ else found[0]

    def _ballots(self, X: Any) -> tuple[Array, Array | None]:
        """Return the codes (M, k, n_outputs) of the neighbours' labels, and their weights."""
        check_is_fitted(self)
        indices, weights = neighbors_and_weights(self, X)
        if weights is not None:
            check_votes(weights)
        return self._codes[indices], weights

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy of the predictions.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), or None
            Queries. If None, the samples of the database, none being its own neighbor: that is a
            leave-one-out cross-validation.
        y : array-like of shape (n_queries,) or (n_queries, n_outputs)
            True labels.
        sample_weight : array-like of shape (n_queries,), default=None
            Weights of the queries.

        Returns
        -------
        score : float
            Share of queries all of whose labels are right.
        """
        won = to_host(self.predict(X))
        return float(accuracy_score(to_host(y), won, sample_weight=to_host(sample_weight)))
