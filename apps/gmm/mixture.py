r"""Gaussian mixtures by maximum likelihood.

The density :math:`\sum_k w_k N(x; m_k, \Sigma_k)` is fitted by EM: responsibilities of components
for samples, and moments under them, until the likelihood hardly changes.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.utils.validation import check_array

from .._methods import InformationCriteria
from ..common import FLOATS, NONE, POSITIVE_REAL, Array, Rule, check_parameters, to_host
from ._base import ARRAY, MixtureBase
from ._given import (
    given_factor,
    given_floats,
    given_mixture,
    given_weights,
    inverse,
)
from ._parts import InParts
from ._start import initial_moments
from ._state import State, normalisation
from ._steps import EPS, Moments, Steps


class GaussianMixture(InParts, InformationCriteria):
    r"""Gaussian mixture, fitted by expectation maximization.

    .. math:: p(x) = \sum_{k=1}^K w_k N(x; m_k, \Sigma_k)

    Parameters
    ----------
    n_components : int, default=1
        Number of components K.
    covariance_type : str, default="full"
        What covariances may be: "full" is any, "tied" the same one for all components, "diag"
        uncorrelated features, "spherical" one variance for all features, "tied_diag" and
        "tied_spherical" the last two with the same variances for all components.
    tol : float, default=1e-3
        An iteration that changes the lower bound by less is the last one.
    reg_covar : float, default=1e-6
        Added to the variances of all features.
    max_iter : int, default=100
        Iterations, at most.
    n_init : int, default=1
        Number of runs, of which the best is taken.
    init_params : {"kmeans", "k-means++", "random", "random_from_data"}, default="kmeans"
        What responsibilities a run starts with: clusters of `KMeans`, single samples chosen by
        its k-means++ or at random, or random numbers. From equal seeds, the last two are those
        of scikit-learn.
    weights_init : array-like of shape (n_components,), default=None
        Weights to start with.
    means_init : array-like of shape (n_components, n_features), default=None
        Means to start with.
    precisions_init : array-like, default=None
        Precisions to start with, in the shape of `covariances_`.
    random_state : int, RandomState instance or None, default=None
        Where random numbers come from.
    warm_start : bool, default=False
        Whether `fit` goes on from the parameters that it found before.
    collapsed : {"keep", "reseed"}, default="keep"
        What becomes of components without samples or variance: they are kept, at their floors, or
        start again at samples that the mixture explains least.
    verbose : int, default=0
        Whether to show progress: a bar if tqdm is installed, else lines.
    verbose_interval : int, default=10
        Iterations between two figures of the progress.
    n_jobs : int, default=None
        Threads: -1 is all processors, None what the options of the engine say.
    backend : str, default="auto"
        Name of a backend of the engine; "auto" is what the options of the engine say, and that is
        the fastest one unless they were changed.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        Weights of the components.
    means_ : ndarray of shape (n_components, n_features)
        Means.
    covariances_ : ndarray
        Covariances, of shape (n_components, n_features, n_features) if `covariance_type` is
        "full", (n_features, n_features) if "tied", (n_components, n_features) if "diag",
        (n_components,) if "spherical", (n_features,) if "tied_diag", () if "tied_spherical".
    precisions_ : ndarray
        Inverses of the covariances.
    precisions_cholesky_ : ndarray
        Upper triangles U with U U^T the precision; for other types than "full" and "tied" the
        inverse standard deviations.
    converged_ : bool
        Whether the best run converged.
    n_iter_ : int
        Iterations of the best run.
    lower_bound_ : float
        Mean log-likelihood of the samples in the last iteration of the best run.
    lower_bounds_ : list of shape (n_iter_,)
        The same for all its iterations.
    n_features_in_ : int
        Number of features seen by `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen by `fit`, where all of them are strings.

    Notes
    -----
    Steps are reductions: memory beyond the data is two numbers for each sample, and neither
    densities nor responsibilities are ever stored. float32 stays float32.

    Examples
    --------
    >>> import numpy as np
    >>> from georeduce.apps.gmm import GaussianMixture
    >>> X = np.array([[1, 2], [1, 4], [1, 0], [10, 2], [10, 4], [10, 0]])
    >>> model = GaussianMixture(n_components=2, random_state=0, backend="numpy").fit(X)
    >>> model.means_
    array([[10.,  2.],
           [ 1.,  2.]])
    >>> model.predict([[0, 0], [12, 3]])
    array([1, 0])
    """

    _rules: ClassVar[dict[str, Rule]] = {
        **MixtureBase._rules,
        "weights_init": ARRAY | NONE,
        "means_init": ARRAY | NONE,
        "precisions_init": ARRAY | POSITIVE_REAL | NONE,
    }

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: str = "kmeans",
        weights_init: Any = None,
        means_init: Any = None,
        precisions_init: Any = None,
        random_state: Any = None,
        warm_start: bool = False,
        collapsed: str = "keep",
        verbose: int = 0,
        verbose_interval: int = 10,
        n_jobs: int | None = None,
        backend: str = "auto",
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.collapsed = collapsed
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.n_jobs = n_jobs
        self.backend = backend

    # --- EM -----------------------------------------------------------------------------------

    def _prepare(self, steps: Steps) -> None:
        K, D = steps.K, steps.X.shape[1]
        self._given = (
            given_weights(self.weights_init, K),
            given_floats(self.means_init, (K, D), "means_init"),
            given_factor(self.precisions_init, self._kind, K, D),
        )

    def _first(self, steps: Steps, rng: Any, floor: float) -> State:
        weights, means, factor = self._given
        kind = steps.kind
        if weights is not None and means is not None and factor is not None:
            return self._state(weights, means - steps.centre, inverse(kind, factor), factor)
        moments = initial_moments(steps, self.init_params, rng)
        start = self._updated(moments, floor, steps.eps, None, steps.total)
        return self._state(
            start.masses if weights is None else weights,
            start.means if means is None else means - steps.centre,
            start.covariances if factor is None else inverse(kind, factor),
            start.factor if factor is None else factor,
        )

    def _state(
        self, weights: Array, means: Array, covariances: Array, factor: Array, singular: Any = False
    ) -> State:
        with np.errstate(divide="ignore"):  # a weight may be 0
            constants = np.log(weights) + normalisation(self._kind, factor, means.shape[1])
        return State(weights, means, covariances, factor, constants, np.atleast_1d(singular))

    def _updated(
        self,
        moments: Moments,
        floor: float,
        eps: float,
        before: State | None,
        total: float | None = None,
    ) -> State:
        """Return weights, means and covariances of the largest likelihood.

        A component without samples keeps its place. `total` divides masses instead of their sum:
        where most samples have no component yet, weights are small.
        """
        kind, D = self._kind, moments.means.shape[1]
        masses = moments.masses + 10 * EPS
        covariances = kind.pooled(moments.scatter, masses, D)
        covariances = kind.regularised(covariances, self.reg_covar)
        means = moments.means
        if before is not None:
            empty = moments.masses <= 10 * EPS
            means = np.where(empty[:, None], before.means, means)
            if not kind.tied and empty.any():
                covariances = covariances.copy()
                covariances[empty] = before.covariances[empty]
        factor, covariances, singular = kind.factor(covariances, floor, eps)
        masses = masses / (masses.sum() if total is None else total)
        return self._state(masses, means, covariances, factor, singular)

    def _bound(self, state: State, mean_log_density: float, entropy: float) -> float:
        return mean_log_density

    def _publish(self, state: State, centre: Array, dtype: Any) -> None:
        super()._publish(state, centre, dtype)
        self.weights_ = state.masses.astype(dtype)

    def _recall(self, centre: Array) -> State:
        weights, means, covariances, factor = (
            np.asarray(a, np.float64)
            for a in (self.weights_, self.means_, self.covariances_, self.precisions_cholesky_)
        )
        return self._state(weights, means - centre, covariances, factor)

    def _n_parameters(self) -> int:
        K, D = self.means_.shape
        return int(self._kind.count(K, D) + K * D + K - 1)

    # --- Without a fit ------------------------------------------------------------------------

    @classmethod
    def from_parameters(
        cls,
        weights: Any,
        means: Any,
        covariances: Any,
        covariance_type: str = "full",
        **params: Any,
    ) -> GaussianMixture:
        """Return a mixture with given parameters, as if it had been fitted.

        Parameters
        ----------
        weights : array-like of shape (n_components,)
            Weights of the components, which add up to 1.
        means : array-like of shape (n_components, n_features)
            Means.
        covariances : array-like
            Covariances, in the shape of `covariances_` for the type.
        covariance_type : str, default="full"
            One of the types.
        **params
            Other parameters of the estimator.

        Returns
        -------
        model : GaussianMixture
            The mixture: it predicts, scores and samples, and `warm_start` goes on from there.

        Examples
        --------
        >>> from georeduce.apps.gmm import GaussianMixture
        >>> model = GaussianMixture.from_parameters(
        ...     [0.5, 0.5], [[0.0], [4.0]], [1.0, 1.0], "spherical", backend="numpy"
        ... )
        >>> model.predict([[1.0], [3.0]])
        array([0, 1])
        """
        means = check_array(to_host(means), dtype=FLOATS)
        K, D = means.shape
        model = cls(n_components=K, covariance_type=covariance_type, **params)
        check_parameters(model, model._rules)
        shares, given, factor = given_mixture(weights, covariances, model._kind, K, D)
        state = model._state(shares, means.astype(np.float64), given, factor)
        return model._as_given(state, means.dtype)
