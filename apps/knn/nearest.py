r"""Nearest neighbours without a target.

For a database :math:`y_1, \dots, y_N` and a query :math:`x`, the k nearest neighbours are the k
smallest of :math:`d(x, y_1), \dots, d(x, y_N)` and where they stand.
"""

from __future__ import annotations

from typing import Any, ClassVar

from .._arrays import at_home
from ..common import POSITIVE_REAL, Rule
from ._base import NeighborsBase


class NearestNeighbors(NeighborsBase):
    r"""Exact nearest neighbors by exhaustive search.

    .. math:: \mathrm{argKmin}_{j = 1, \dots, N} \; d(x_i, y_j)

    Parameters
    ----------
    n_neighbors : int, default=5
        How many neighbors a search returns by default.
    radius : float, default=1.0
        Accepted for compatibility; searches within a radius are not offered yet.
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
    KNeighborsRegressor : Mean of the nearest neighbors.

    Notes
    -----
    Distances are computed from the differences ``x - y``, in the dtype of the data: float32 data
    stay float32 and give float32 distances, all other data become float64. (Scikit-learn's
    exhaustive search gives float64 distances of float32 data for most metrics.) There is no
    cancellation: the relative error of a distance is a few roundings per feature, also for points
    that are close to each other and far from the origin. Data whose
    squares would overflow or vanish are searched divided by a power of two, which is exact.
    Memory is O((M + N) D + M k) for M queries.

    The cosine distance of the origin to any point, itself included, is 1, as in scikit-learn.

    Examples
    --------
    >>> from georeduce.apps.knn import NearestNeighbors
    >>> samples = [[0, 0, 2], [1, 0, 0], [0, 0, 1]]
    >>> model = NearestNeighbors(n_neighbors=2, backend="numpy").fit(samples)
    >>> model.kneighbors([[0, 0, 1.3]], return_distance=False)
    array([[2, 0]])

    A metric of one's own is a function of two LazyTensors:

    >>> def canberra(x, y):
    ...     return ((x - y).abs() / (x.abs() + y.abs())).sum(-1)
    >>> model = NearestNeighbors(n_neighbors=1, metric=canberra, backend="numpy")
    >>> model.fit([[1., 2.], [3., 4.]]).kneighbors([[2., 4.]], return_distance=False)
    array([[1]])
    """

    _rules: ClassVar[dict[str, Rule]] = {**NeighborsBase._rules, "radius": POSITIVE_REAL}

    def __init__(
        self,
        *,
        n_neighbors: int = 5,
        radius: float = 1.0,
        algorithm: str = "auto",
        leaf_size: int = 30,
        metric: Any = "minkowski",
        p: float = 2,
        metric_params: dict[str, Any] | None = None,
        n_jobs: int | None = None,
        backend: str = "auto",
    ) -> None:
        self.n_neighbors = n_neighbors
        self.radius = radius
        self.algorithm = algorithm
        self.leaf_size = leaf_size
        self.metric = metric
        self.p = p
        self.metric_params = metric_params
        self.n_jobs = n_jobs
        self.backend = backend

    @at_home
    def fit(self, X: Any, y: Any = None) -> NearestNeighbors:
        """Keep the database.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The database.
        y : None
            Ignored.

        Returns
        -------
        self : NearestNeighbors
            The fitted estimator.
        """
        self._fit_search(X)
        return self
