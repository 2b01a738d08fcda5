r"""Gaussian mixtures by variational inference, with priors on weights, means and covariances.

Weights have a Dirichlet prior or are those of a Dirichlet process, broken off a stick; the mean and
the covariance of a component have a Gaussian-Wishart prior. Both steps of EM are those of maximum
likelihood with other constants: expectations under the posterior.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import digamma, gammaln

from georeduce.engine.errors import expected

from ..common import NONE, POSITIVE_REAL, Array, ParameterError, Rule, is_real, one_of
from ._base import ARRAY, MixtureBase
from ._given import given_covariances, given_floats
from ._start import initial_moments
from ._state import State, normalisation
from ._steps import EPS, Moments, Steps
from ._weights import WEIGHT_PRIORS, WeightPrior


@dataclass(frozen=True)
class BayesianState(State):
    """Parameters of the posterior; masses are those of the samples.

    Attributes
    ----------
    concentration : tuple of ndarray, or ndarray
        Of the weights.
    mean_precision : ndarray of shape (K,)
        How many samples the means are worth.
    degrees : ndarray of shape (K,) or ()
        Degrees of freedom of the Wishart distributions.
    """

    concentration: Any
    mean_precision: Array
    degrees: Array


class BayesianGaussianMixture(MixtureBase):
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

    def _state(
        self,
        masses: Array,
        means: Array,
        covariances: Array,
        factor: Array,
        singular: Array,
        concentration: Any,
        beta: Array,
        degrees: Array,
    ) -> BayesianState:
        """Return a state with the expected log-densities' constants."""
        D = means.shape[1]
        halves = (np.expand_dims(degrees, -1) - np.arange(D)) / 2
        log_lambda = D * np.log(2) + digamma(halves).sum(axis=-1)
        constants = (
            self._weight_prior.log_mean(concentration)
            + normalisation(self._kind, factor, D)
            - D / 2 * np.log(degrees)
            + (log_lambda - D / beta) / 2
        )
        return BayesianState(
            masses,
            means,
            covariances,
            factor,
            constants,
            singular,
            concentration,
            beta,
            np.asarray(degrees),
        )

    def _bound(self, state: State, mean_log_density: float, entropy: float) -> float:
        assert isinstance(state, BayesianState)
        kind, (K, D) = self._kind, state.means.shape
        degrees = state.degrees
        log_det = kind.log_det(state.factor, D) - D / 2 * np.log(degrees)
        halves = (np.expand_dims(degrees, -1) - np.arange(D)) / 2
        log_wishart = -(
            degrees * log_det + degrees * D / 2 * np.log(2) + gammaln(halves).sum(axis=-1)
        )
        total = log_wishart.sum() * (K if kind.tied else 1)
        weights = self._weight_prior.log_norm(state.concentration)
        return float(entropy - total - weights - D / 2 * np.log(state.mean_precision).sum())

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
