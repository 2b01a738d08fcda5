"""K-means: the estimator. The iteration is in ``_lloyd.py``, the seeds are drawn in `_seeding.py`.

Distances are differences ``x - c``, of samples less their mean, so that data far from the origin
loses nothing. On the sphere, for cosine distances, ``|x - c|^2`` is twice the distance.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from georeduce.engine.backends._threads import thread_count
from georeduce.engine.errors import expected, warn

from .._arrays import at_home, put, validated
from .._methods import Clusters, checked
from ..common import (
    BACKEND,
    BOOLEAN,
    CALLABLE,
    N_JOBS,
    NON_NEGATIVE_REAL,
    NONE,
    POSITIVE_INTEGER,
    RANDOM_STATE,
    VERBOSE,
    Array,
    ParameterError,
    Rule,
    check_parameters,
    checked_weights,
    is_array_like,
    one_of,
    running,
    to_host,
)
from ._lloyd import PART, Clustering, Lloyd, nearest, to_mean, to_sphere
from ._points import (
    distances_to,
    given_centers,
    mean_of,
    on_sphere,
    variance_of,
    weighted_on_sphere,
)
from ._seeding import number_of_runs, order_of, plus_plus, uniform

_CENTERS = Rule("an array of shape (n_clusters, n_features)", is_array_like)


class KMeans(
    Clusters,
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    ClusterMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """K-means clustering by Lloyd's iteration.

    With the parameters, attributes and conventions of scikit-learn's class, for dense data. From
    the same initial centers both find the same clusters.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters, and of centers.
    init : {"k-means++", "random"}, callable or array-like of shape (n_clusters, n_features), \
            default="k-means++"
        Where centers start. "k-means++" draws samples far from each other, the best of a few
        candidates at a time; "random" draws them uniformly. Both respect weights. A function is
        called as ``init(X, n_clusters, random_state=random_state)`` and returns centers.
    n_init : "auto" or int, default="auto"
        Number of runs, of which the one with the least inertia is kept. "auto" is 1 for
        "k-means++" and given centers, else 10.
    max_iter : int, default=300
        The most iterations of a run.
    tol : float, default=1e-4
        Sum of squared movements of the centers, relative to the mean variance of the features, up
        to which a run has converged. With 0 it goes on until labels stay.
    verbose : int, default=0
        Whether to print how far each run is.
    random_state : int, RandomState or None, default=None
        Draws the seeds. With an int they depend on nothing but the samples and their weights: not
        on their order, nor on the number of threads.
    copy_x : bool, default=True
        If false, X itself is centered in the meantime, where it is C-contiguous floats, instead of
        a copy of it; rounding may change it.
    algorithm : {"lloyd", "elkan"}, default="lloyd"
        Both give the same result, here by the same iteration.
    metric : {"euclidean", "cosine"}, default="euclidean"
        "cosine" is spherical k-means: samples count by their direction, centers have norm 1, and
        the inertia is a sum of cosine distances. A sample at the origin has a distance of 1 to all.
    n_jobs : int or None, default=None
        Number of threads; -1 for all processors. None leaves it to the engine's options.
    backend : str, default="auto"
        Backend of the engine.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (n_clusters, n_features)
        Centers, in the dtype of the data.
    labels_ : ndarray of shape (n_samples,)
        Index of the nearest center of each sample, int32.
    inertia_ : float
        Weighted sum of the squared distances (or of the cosine distances) to them.
    n_iter_ : int
        Iterations of the run that was kept.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if `X` had names that are strings.

    See Also
    --------
    georeduce.apps.knn.NearestNeighbors : The nearest of given points.

    Notes
    -----
    If a run ends at `max_iter` or by `tol`, `labels_` are of the centers as they are, which need
    not be the means of their samples. An empty cluster gets the sample farthest from its center.

    Examples
    --------
    >>> import numpy as np
    >>> from georeduce.apps.gmm import KMeans
    >>> X = np.array([[1., 2.], [1., 4.], [1., 0.], [10., 2.], [10., 4.], [10., 0.]])
    >>> model = KMeans(n_clusters=2, init=X[[0, 3]], backend="numpy").fit(X)
    >>> model.labels_
    array([0, 0, 0, 1, 1, 1], dtype=int32)
    >>> model.cluster_centers_
    array([[ 1.,  2.],
           [10.,  2.]])
    >>> model.predict([[0., 0.], [12., 3.]])
    array([0, 1], dtype=int32)
    """

    _rules: ClassVar[dict[str, Rule]] = {
        "n_clusters": POSITIVE_INTEGER,
        "init": one_of("k-means++", "random") | CALLABLE | _CENTERS,
        "n_init": one_of("auto") | POSITIVE_INTEGER,
        "max_iter": POSITIVE_INTEGER,
        "tol": NON_NEGATIVE_REAL,
        "verbose": VERBOSE,
        "random_state": RANDOM_STATE,
        "copy_x": BOOLEAN,
        "algorithm": one_of("lloyd", "elkan"),
        "metric": one_of("euclidean", "cosine"),
        "n_jobs": N_JOBS | NONE,
        "backend": BACKEND,
    }

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: Any = "k-means++",
        n_init: Any = "auto",
        max_iter: int = 300,
        tol: float = 1e-4,
        verbose: int = 0,
        random_state: Any = None,
        copy_x: bool = True,
        algorithm: str = "lloyd",
        metric: str = "euclidean",
        n_jobs: int | None = None,
        backend: str = "auto",
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose
        self.random_state = random_state
        self.copy_x = copy_x
        self.algorithm = algorithm
        self.metric = metric
        self.n_jobs = n_jobs
        self.backend = backend

    @at_home
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> KMeans:
        """Find the centers.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.
        y : Ignored
            For pipelines.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights >= 0. A sample of weight 2 counts as two, one of weight 0 as none.

        Returns
        -------
        self : KMeans
            The fitted estimator.
        """
        check_parameters(self, self._rules)
        X = validated(self, X)
        weights = checked_weights(sample_weight, len(X))
        if len(X) < self.n_clusters:
            what = f"n_samples >= n_clusters = {self.n_clusters}"
            raise ParameterError(expected(what, f"n_samples = {len(X)}"))
        given = self._centers(self.init, X) if is_array_like(self.init) else None
        drawn = isinstance(self.init, str) and self.init == "k-means++"
        order = order_of(X) if drawn else None
        if self.metric == "cosine":
            points, weights, alone = weighted_on_sphere(X, weights)
            found = self._best_of_runs(points, weights, given, order)
            self.cluster_centers_ = found.centers
            self.inertia_ = found.inertia / 2 + alone
        else:
            mean = mean_of(X, weights).astype(X.dtype)
            shift = put(mean, X)
            points = np.subtract(X, shift, out=None if self.copy_x else X)
            given = None if given is None else given - mean
            try:
                found = self._best_of_runs(points, weights, given, order)
            finally:
                if not self.copy_x:
                    X += shift
            self.cluster_centers_ = found.centers + mean
            self.inertia_ = found.inertia
        self._n_features_out = self.n_clusters
        self.labels_ = to_host(found.labels)
        self.n_iter_ = found.n_iter
        distinct = len(np.unique(self.labels_))
        if distinct < self.n_clusters:
            warn(
                f"Number of distinct clusters ({distinct}) found smaller than n_clusters "
                f"({self.n_clusters}). Possibly due to duplicate points in X.",
                ConvergenceWarning,
            )
        return self

    def _best_of_runs(
        self, points: Array, weights: Array | None, given: Array | None, order: Array | None
    ) -> Clustering:
        """Return the clustering of least inertia, of points as the iteration sees them."""
        random_state = check_random_state(self.random_state)
        run = running(self)
        runs = number_of_runs(self.n_init, self.init)
        threads = min(thread_count(self.n_jobs), -(-len(points) // PART))
        with ThreadPoolExecutor(threads) if threads > 1 else contextlib.nullcontext() as pool:
            lloyd = Lloyd(
                points,
                None if weights is None else put(weights, points),
                to_sphere if self.metric == "cosine" else to_mean,
                self.tol and self.tol * variance_of(points, weights),
                self.max_iter,
                run,
                pool,
                self._tell if self.verbose else None,
            )
            best = None
            for n in range(runs):
                if self.verbose:
                    self._tell(f"run {n + 1} of {runs}")
                if given is not None:
                    start = given
                elif callable(self.init):
                    start = self.init(points, self.n_clusters, random_state=random_state)
                    start = self._centers(start, points)
                else:
                    if order is None:
                        drawn = uniform(points, self.n_clusters, weights, random_state)
                    else:
                        drawn = plus_plus(
                            points, self.n_clusters, weights, order, random_state, run
                        )
                    start = to_host(points[put(drawn, points)])
                found = lloyd(start)
                if best is None or found.inertia < best.inertia:
                    best = found
        assert best is not None, "n_init is positive"
        return best

    def _centers(self, centers: Any, X: Array) -> Array:
        shape = self.n_clusters, X.shape[1]
        return given_centers(centers, shape, X.dtype, self.metric)

    @staticmethod
    def _tell(line: str) -> None:
        print(f"KMeans: {line}")

    @at_home
    def transform(self, X: Any) -> Array:
        """Return the distances of samples to all centers.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        distances : ndarray of shape (n_samples, n_clusters)
            Euclidean or cosine distances, in the dtype of the samples.
        """
        X = checked(self, X)
        if self.metric == "cosine":
            points, at_origin = on_sphere(X)
            squares = distances_to("sqeuclidean", points, self.cluster_centers_)
            return np.where(at_origin, 1, squares / 2).astype(X.dtype)
        distances: Array = distances_to("euclidean", X, self.cluster_centers_)
        return distances.astype(X.dtype, copy=False)

    def _nearest(self, X: Array) -> tuple[Array, Array]:
        """Return squared (or cosine) distances to the nearest centers, and their indices."""
        centers = self.cluster_centers_.astype(X.dtype, copy=False)
        if self.metric != "cosine":
            return nearest(X, centers, running(self))
        points, at_origin = on_sphere(X)
        squares, labels = nearest(points, centers, running(self))
        return np.where(at_origin[:, 0], 1, squares / 2), labels
