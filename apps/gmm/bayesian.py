r"""Gaussian mixtures by variational inference, with priors on weights, means and covariances.

Weights have a Dirichlet prior or are those of a Dirichlet process, broken off a stick; the mean and
the covariance of a component have a Gaussian-Wishart prior. Both steps of EM are those of maximum
likelihood with other constants: expectations under the posterior.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.utils.validation import check_array

from georeduce.engine.errors import expected

from ..common import (
    FLOATS,
    NONE,
    POSITIVE_REAL,
    Array,
    ParameterError,
    Rule,
    check_parameters,
    is_real,
    one_of,
    to_host,
)
from ._base import ARRAY, MixtureBase
from ._given import given_above, given_covariances, given_floats, given_mixture
from ._parts import InParts
from ._posterior import BayesianState, evidence, posterior
from ._start import initial_moments
from ._state import State
from ._steps import EPS, Moments, Steps
from ._weights import WEIGHT_PRIORS, WeightPrior


class BayesianGaussianMixture(InParts):
    r"""Gaussian mixture with priors, fitted by variational inference.

    Components that the data does not need end with weights near zero, so that `n_components` is an
    upper bound.

    Parameters
    ----------
    n_components : int, default=1
        Number of components, of which some may stay without samples.
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
    weight_concentration_prior_type : str, default="dirichlet_process"
        Prior of the weights: that, or "dirichlet_distribution".
    weight_concentration_prior : float, default=None
        Concentration of that prior: the smaller, the fewer components have weight. None is
        1 / n_components.
    mean_precision_prior : float, default=None
        How many samples the prior of a mean is worth; None is 1.
    mean_prior : array-like of shape (n_features,), default=None
        Mean of the prior of means; None is the mean of the data.
    degrees_of_freedom_prior : float, default=None
        Degrees of freedom of the prior of covariances, more than n_features - 1; None is
        n_features.
    covariance_prior : float or array-like, default=None
        Covariance of that prior, one of the type's; None is the covariance of the data.
    random_state : int, RandomState instance or None, default=None
        Where random numbers come from.
    warm_start : bool, default=False
        Whether `fit` goes on from the parameters that it found before.
    collapsed : {"keep", "reseed"}, default="keep"
        What becomes of components that stand on a single point: they are kept, or start again at
        samples that the mixture explains least. Components without samples stay as they are.
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
        Expected weights of the components.
    means_ : ndarray of shape (n_components, n_features)
        Expected means.
    covariances_ : ndarray
        Covariances, in the shapes of `GaussianMixture`.
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
        Lower bound of the evidence in the last iteration of the best run, up to a constant.
    lower_bounds_ : list of shape (n_iter_,)
        The same for all its iterations.
    weight_concentration_prior_ : float
        Concentration of the prior of weights.
    weight_concentration_ : tuple of ndarray, or ndarray of shape (n_components,)
        That of the posterior: both parameters of beta distributions for a Dirichlet process.
    mean_precision_prior_ : float
        How many samples the prior of a mean is worth.
    mean_precision_ : ndarray of shape (n_components,)
        How many samples the means are worth.
    mean_prior_ : ndarray of shape (n_features,)
        Mean of the prior of means.
    degrees_of_freedom_prior_ : float
        Degrees of freedom of the prior of covariances.
    degrees_of_freedom_ : ndarray of shape (n_components,), or float
        Those of the posterior, one number for tied types.
    covariance_prior_ : float or ndarray
        Covariance of the prior.
    n_features_in_ : int
        Number of features seen by `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen by `fit`, where all of them are strings.

    See Also
    --------
    GaussianMixture : The same by maximum likelihood, with notes on memory.

    Examples
    --------
    >>> import numpy as np
    >>> from georeduce.apps.gmm import BayesianGaussianMixture
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> X[:50] += 10  # two clusters
    >>> model = BayesianGaussianMixture(n_components=5, random_state=0, backend="numpy").fit(X)
    >>> int((model.weights_ > 0.1).sum())
    2
    """

    _rules: ClassVar[dict[str, Rule]] = {
        **MixtureBase._rules,
        "weight_concentration_prior_type": one_of(*WEIGHT_PRIORS),
        "weight_concentration_prior": POSITIVE_REAL | NONE,
        "mean_precision_prior": POSITIVE_REAL | NONE,
        "mean_prior": ARRAY | NONE,
        "degrees_of_freedom_prior": POSITIVE_REAL | NONE,
        "covariance_prior": POSITIVE_REAL | ARRAY | NONE,
    }
    _entropy = True
    _needs_all = False

    def __init__(
        self,
        *,
        n_components: int = 1,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: str = "kmeans",
        weight_concentration_prior_type: str = "dirichlet_process",
        weight_concentration_prior: float | None = None,
        mean_precision_prior: float | None = None,
        mean_prior: Any = None,
        degrees_of_freedom_prior: float | None = None,
        covariance_prior: Any = None,
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
        self.weight_concentration_prior_type = weight_concentration_prior_type
        self.weight_concentration_prior = weight_concentration_prior
        self.mean_precision_prior = mean_precision_prior
        self.mean_prior = mean_prior
        self.degrees_of_freedom_prior = degrees_of_freedom_prior
        self.covariance_prior = covariance_prior
        self.random_state = random_state
        self.warm_start = warm_start
        self.collapsed = collapsed
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.n_jobs = n_jobs
        self.backend = backend

    @property
    def _weight_prior(self) -> WeightPrior:
        return WEIGHT_PRIORS[self.weight_concentration_prior_type]

    # --- Priors -------------------------------------------------------------------------------

    def _prepare(self, steps: Steps) -> None:
        D = steps.X.shape[1]
        mean, scatter = steps.spread()
        prior = self.weight_concentration_prior
        self.weight_concentration_prior_ = 1 / self.n_components if prior is None else prior
        prior = self.mean_precision_prior
        self.mean_precision_prior_ = 1.0 if prior is None else prior
        given = given_floats(self.mean_prior, (D,), "mean_prior")
        self.mean_prior_ = mean + steps.centre if given is None else given
        degrees = self.degrees_of_freedom_prior
        if degrees is not None and degrees <= D - 1:
            rule = f"degrees_of_freedom_prior greater than {D - 1}"
            raise ParameterError(expected(rule, f"{degrees:.3f}"))
        self.degrees_of_freedom_prior_ = D if degrees is None else degrees
        self.covariance_prior_ = self._covariance_prior(scatter, steps.total, D)
        self._relative_prior = self.mean_prior_ - steps.centre

    def _covariance_prior(self, scatter: Array, total: float, D: int) -> Any:
        kind, prior = self._kind, self.covariance_prior
        shape = kind.one(D)
        if prior is None:
            found = kind.assemble(scatter / max(total - 1, 1), D)[0]
            return np.asarray(found)[()]
        if not shape:
            if not is_real(prior):
                raise ParameterError(expected("covariance_prior as a number", repr(prior)))
            return prior
        given = given_covariances(prior, kind, shape, "covariance_prior")
        assert given is not None
        if kind.factor(given if kind.tied else given[None], 1.0, 0.0)[2].any():
            raise ParameterError(expected("a positive definite covariance_prior", "another one"))
        return given

    # --- EM -----------------------------------------------------------------------------------

    def _first(self, steps: Steps, rng: Any, floor: float) -> State:
        moments = initial_moments(steps, self.init_params, rng)
        return self._updated(moments, floor, steps.eps, None)

    def _updated(self, moments: Moments, floor: float, eps: float, before: State | None) -> State:
        """Return the posterior under the moments of the samples."""
        kind, (K, D) = self._kind, moments.means.shape
        n = moments.masses + 10 * EPS
        beta = self.mean_precision_prior_ + n
        means = (
            self.mean_precision_prior_ * self._relative_prior + n[:, None] * moments.means
        ) / beta[:, None]
        # scatter about the prior's mean is shrunk, as much as the posterior's mean is
        shift = moments.means - self._relative_prior
        between = (n * self.mean_precision_prior_ / beta)[:, None] * kind.outer(shift)
        degrees = self.degrees_of_freedom_prior_ + (n.sum() / K if kind.tied else n)
        within = kind.pooled(moments.scatter, n, D)
        within = kind.regularised(within, self.reg_covar)
        if kind.tied:
            extra = kind.assemble(between.sum(axis=0, keepdims=True) / K, D)[0]
            covariances = self.covariance_prior_ + within * (n.sum() / K) + extra
            covariances = covariances / degrees
        else:
            extra = kind.assemble(between, D)
            lift = (K, *(1,) * len(kind.one(D)))
            covariances = self.covariance_prior_ + within * n.reshape(lift) + extra
            covariances = covariances / np.reshape(degrees, lift)
        factor, covariances, singular = kind.factor(covariances, floor, eps)
        concentration = self._weight_prior.concentration(n, self.weight_concentration_prior_)
        return self._state(
            moments.masses, means, covariances, factor, singular, concentration, beta, degrees
        )

    def _state(self, *of: Any) -> BayesianState:
        return posterior(self._kind, self._weight_prior, *of)

    def _bound(self, state: State, mean_log_density: float, entropy: float) -> float:
        assert isinstance(state, BayesianState)
        return evidence(self._kind, self._weight_prior, state, entropy)

    def _publish(self, state: State, centre: Array, dtype: Any) -> None:
        assert isinstance(state, BayesianState)
        super()._publish(state, centre, dtype)
        self.weights_ = self._weight_prior.mean(state.concentration).astype(dtype)
        self.weight_concentration_ = state.concentration
        self.mean_precision_ = state.mean_precision
        self.degrees_of_freedom_ = state.degrees[()]

    def _recall(self, centre: Array) -> State:
        means, covariances, factor = (
            np.asarray(a, np.float64)
            for a in (self.means_, self.covariances_, self.precisions_cholesky_)
        )
        return self._state(
            np.asarray(self.weights_, np.float64),
            means - centre,
            covariances,
            factor,
            np.zeros(1, bool),
            self.weight_concentration_,
            self.mean_precision_,
            np.asarray(self.degrees_of_freedom_),
        )

    def _resume(self, steps: Steps) -> None:
        if not hasattr(self, "mean_prior_"):
            self._prepare(steps)
        self._relative_prior = self.mean_prior_ - steps.centre

    # --- Without a fit ------------------------------------------------------------------------

    @classmethod
    def from_parameters(
        cls,
        weight_concentration: Any,
        means: Any,
        mean_precision: Any,
        covariances: Any,
        degrees_of_freedom: Any,
        covariance_type: str = "full",
        **params: Any,
    ) -> BayesianGaussianMixture:
        """Return a mixture with a given posterior, as if it had been fitted.

        Parameters
        ----------
        weight_concentration : tuple of array-likes, or array-like, of shape (n_components,)
            `weight_concentration_`: two arrays for a Dirichlet process, one for a Dirichlet
            distribution; positive.
        means : array-like of shape (n_components, n_features)
            Expected means.
        mean_precision : array-like of shape (n_components,)
            How many samples the means are worth; positive.
        covariances : array-like
            Covariances, in the shape of `covariances_` for the type.
        degrees_of_freedom : array-like of shape (n_components,), or float
            Of the Wishart distributions, one number for tied types; more than n_features - 1.
        covariance_type : str, default="full"
            One of the types.
        **params
            Other parameters of the estimator.

        Returns
        -------
        model : BayesianGaussianMixture
            The mixture: it predicts, scores and samples; `warm_start` and `partial_fit` go on from
            there.

        Examples
        --------
        >>> from georeduce.apps.gmm import BayesianGaussianMixture
        >>> model = BayesianGaussianMixture.from_parameters(
        ...     ([9.0, 9.0], [9.0, 1.0]), [[0.0], [4.0]], [8.0, 8.0], [1.0, 1.0], [8.0, 8.0],
        ...     "spherical", backend="numpy",
        ... )
        >>> model.predict([[1.0], [3.0]])
        array([0, 1])
        """
        means = check_array(to_host(means), dtype=FLOATS)
        K, D = means.shape
        model = cls(n_components=K, covariance_type=covariance_type, **params)
        check_parameters(model, model._rules)
        prior = model._weight_prior
        shape = np.shape(prior.concentration(np.zeros(K), 1.0))
        concentration = given_above(weight_concentration, shape, 0, "weight_concentration")
        precision = given_above(mean_precision, (K,), 0, "mean_precision")
        sizes = () if model._kind.tied else (K,)
        degrees = given_above(degrees_of_freedom, sizes, D - 1, "degrees_of_freedom")
        of_weights = tuple(concentration) if len(shape) == 2 else concentration
        shares = prior.mean(of_weights)
        _, given, factor = given_mixture(shares, covariances, model._kind, K, D)
        state = model._state(
            shares, means.astype(np.float64), given, factor, np.zeros(1, bool), of_weights,
            precision, degrees,
        )  # fmt: skip
        return model._as_given(state, means.dtype)
