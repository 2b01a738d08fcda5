"""K-means in hyperbolic space: the estimator. The iteration is in `_clusters.py`."""

from __future__ import annotations

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

from georeduce.engine import Vi, Vj
from georeduce.engine.errors import expected, warn

from .._arrays import at_home, put, validated
from .._methods import CHUNK, Clusters, checked
from ..common import (
    BACKEND,
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
)
from ..gmm._points import given_centers
from ..gmm._seeding import number_of_runs, order_of
from ._clusters import Samples, lloyd, start
from ._coordinates import RULES, points_of, samples_of, tell_of_points

_CENTERS = Rule("an array of shape (n_clusters, n_features)", is_array_like)


class HyperbolicKMeans(
    Clusters,
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    ClusterMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    r"""K-means clustering by hyperbolic distances.

    .. math:: \min_{m_1, \dots, m_K} \sum_i w_i \min_k d(x_i, m_k)^2

    Centers are the Fréchet means of their clusters.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters, and of centers.
    init : {"k-means++", "random"}, callable or array-like of shape (n_clusters, n_features), \
            default="k-means++"
        Where centers start. "k-means++" draws samples far from each other by hyperbolic distances,
        "random" draws them uniformly; both respect weights. A function is called as
        ``init(X, n_clusters, random_state=random_state)`` and returns centers, in the coordinates
        of `X`.
    n_init : "auto" or int, default="auto"
        Number of runs, of which the one with the least inertia is kept. "auto" is 1 for
        "k-means++" and given centers, else 10.
    max_iter : int, default=300
        The most iterations of a run.
    tol : float, default=1e-6
        Sum of squared movements of the centers, relative to the mean squared distance of samples to
        them, up to which a run has converged. With 0 it goes on until labels and centers stay.
    coordinates : {"tangent", "ball", "hyperboloid", "half-space"}, default="tangent"
        What the features are. Points of the Poincaré ball, such as an embedding's, are "ball". By
        default samples are tangent vectors at the centre of the ball, taken to points by the
        exponential map, so that any numbers are samples: `log` at the centre takes points there.
    curvature : float, default=-1.0
        Curvature of the space; points of the ball have norms below ``1 / sqrt(-curvature)``.
    verbose : int, default=0
        Whether to print how far each run is.
    random_state : int, RandomState or None, default=None
        Draws the seeds. With an int they depend on nothing but the samples and their weights.
    n_jobs : int or None, default=None
        Number of threads; -1 for all processors. None leaves it to the engine's options.
    backend : str, default="auto"
        Backend of the engine.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (n_clusters, n_features)
        Centers, in the coordinates and the dtype of the data.
    labels_ : ndarray of shape (n_samples,)
        Index of the nearest center of each sample, int32.
    inertia_ : float
        Weighted sum of the squared distances to them.
    n_iter_ : int
        Iterations of the run that was kept.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if `X` had names that are strings.

    See Also
    --------
    RiemannianGaussianMixture : Clusters of different weights and widths.
    georeduce.apps.knn.KNeighborsClassifier : With ``metric="poincare"``, neighbors in the ball.

    Notes
    -----
    Everything is computed in float64, as float32 cannot hold points far from the centre: a tangent
    vector of length 8 is a point of the ball that float32 rounds to the border.

    Examples
    --------
    >>> import numpy as np
    >>> from georeduce.apps.hyperbolic import HyperbolicKMeans
    >>> X = np.array([[0.9, 0.1], [0.9, -0.1], [-0.8, 0.5], [-0.8, 0.45]])
    >>> model = HyperbolicKMeans(2, init=X[[0, 2]], coordinates="ball", backend="numpy").fit(X)
    >>> model.labels_
    array([0, 0, 1, 1], dtype=int32)
    >>> model.cluster_centers_.round(3)
    array([[ 0.862,  0.   ],
           [-0.796,  0.477]])
    """

    _rules: ClassVar[dict[str, Rule]] = {
        "n_clusters": POSITIVE_INTEGER,
        "init": one_of("k-means++", "random") | CALLABLE | _CENTERS,
        "n_init": one_of("auto") | POSITIVE_INTEGER,
        "max_iter": POSITIVE_INTEGER,
        "tol": NON_NEGATIVE_REAL,
        **RULES,
        "verbose": VERBOSE,
        "random_state": RANDOM_STATE,
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
        tol: float = 1e-6,
        coordinates: str = "tangent",
        curvature: float = -1.0,
        verbose: int = 0,
        random_state: Any = None,
        n_jobs: int | None = None,
        backend: str = "auto",
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.coordinates = coordinates
        self.curvature = curvature
        self.verbose = verbose
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.backend = backend

    @at_home
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> HyperbolicKMeans:
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
        self : HyperbolicKMeans
            The fitted estimator.
        """
        check_parameters(self, self._rules)
        X = validated(self, X)
        weights = checked_weights(sample_weight, len(X))
        if len(X) < self.n_clusters:
            what = f"n_samples >= n_clusters = {self.n_clusters}"
            raise ParameterError(expected(what, f"n_samples = {len(X)}"))
        tell_of_points(self, X)
        samples = Samples(*points_of(self, X), weights, running(self))
        rng = check_random_state(self.random_state)
        runs, best = number_of_runs(self.n_init, self.init), None
        drawn = isinstance(self.init, str) and self.init == "k-means++"
        order = order_of(X) if drawn else None
        for n in range(runs):
            if self.verbose:
                self._tell(f"run {n + 1} of {runs}")
            if callable(self.init):
                given = self.init(X, self.n_clusters, random_state=rng)
                first = self._centers(given, X)
            elif isinstance(self.init, str):
                first = start(samples, self.n_clusters, self.init, rng, order)
            else:
                first = self._centers(self.init, X)
            tell = self._tell if self.verbose else None
            found = lloyd(samples, first, self.tol, self.max_iter, tell)
            if best is None or found.inertia < best.inertia:
                best = found
        assert best is not None, "n_init is positive"
        self.cluster_centers_ = samples_of(self, best.centers, X.dtype)
        self.inertia_, self.n_iter_, self.labels_ = best.inertia, best.n_iter, best.labels
        self._n_features_out = self.n_clusters
        distinct = len(np.unique(best.labels))
        if distinct < self.n_clusters:
            warn(
                f"Number of distinct clusters ({distinct}) found smaller than n_clusters "
                f"({self.n_clusters}). Possibly due to duplicate points in X.",
                ConvergenceWarning,
            )
        return self

    def _centers(self, centers: Any, X: Array) -> Array:
        """Return initial centers of a user as points."""
        shape = self.n_clusters, X.shape[1]
        return points_of(self, given_centers(centers, shape, X.dtype, "euclidean"))[1]

    @staticmethod
    def _tell(line: str) -> None:
        print(f"HyperbolicKMeans: {line}")

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
            Hyperbolic distances, in the dtype of the samples.
        """
        X = checked(self, X)
        space, points = points_of(self, X)
        centers = space.features(Vj(put(points_of(self, self.cluster_centers_)[1], points)))
        step = max(1, CHUNK // self.n_clusters)
        parts = []
        for n in range(0, len(X), step):
            rows = space.features(Vi(points[n : n + step]))
            parts.append(space._distance(rows, centers).dense().astype(X.dtype))
        return np.concatenate(parts)

    def _nearest(self, X: Array) -> tuple[Array, Array]:
        """Return squared distances to the nearest centers, and their indices."""
        samples = Samples(*points_of(self, X), None, running(self))
        distances, labels = samples.nearest(points_of(self, self.cluster_centers_)[1])
        return distances**2, labels
