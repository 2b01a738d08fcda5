"""Mixtures of Gaussians in hyperbolic space, fitted by EM."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from georeduce.engine import LazyTensor, Vi, Vj
from georeduce.engine.arrays import cast, kind_of
from georeduce.engine.errors import expected, warn

from .._arrays import at_home, differentiable, put, validated
from .._methods import InformationCriteria, checked
from ..common import (
    BACKEND,
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
    is_integer,
    one_of,
    running,
)
from ._clusters import Samples
from ._coordinates import RULES, points_of, samples_of, tell_of_points
from ._em import EM, STARTS, State, log_densities
from ._gaussian import drawn


class RiemannianGaussianMixture(
    InformationCriteria,
    DensityMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    r"""Mixture of isotropic Gaussians in hyperbolic space.

    .. math:: p(x) = \sum_k w_k \, \frac{\exp(-d(x, m_k)^2 / 2 \sigma_k^2)}{\zeta_D(\sigma_k)}

    of the hyperbolic distance d, as a density by the Riemannian volume: Said, Hajri, Bombrun and
    Vemuri, *Gaussian distributions on Riemannian symmetric spaces*, IEEE Trans. Inf. Theory 64,
    2018. The mean of a Gaussian is its Fréchet mean, and maximises the likelihood.

    Parameters
    ----------
    n_components : int, default=1
        Number of Gaussians.
    tol : float, default=1e-5
        EM stops where the mean log-density grows by less.
    reg_covar : float, default=1e-6
        Added to the variance in each direction, so that no Gaussian shrinks to a point.
    max_iter : int, default=200
        The most iterations of a run.
    n_init : int, default=1
        Number of runs, of which the one with the largest likelihood is kept.
    init_params : {"kmeans", "k-means++", "random"}, default="kmeans"
        Where EM starts: clusters of hyperbolic k-means, or those nearest to samples that are drawn
        far from each other, or uniformly.
    coordinates : {"tangent", "ball", "hyperboloid", "half-space"}, default="tangent"
        What the features are. Points of the Poincaré ball, such as an embedding's, are "ball". By
        default samples are tangent vectors at the centre of the ball, taken to points by the
        exponential map, so that any numbers are samples: `log` at the centre takes points there.
    curvature : float, default=-1.0
        Curvature of the space; points of the ball have norms below ``1 / sqrt(-curvature)``.
    verbose : int, default=0
        Whether to print how far each run is.
    random_state : int, RandomState or None, default=None
        Draws starts and samples.
    n_jobs : int or None, default=None
        Number of threads; -1 for all processors. None leaves it to the engine's options.
    backend : str, default="auto"
        Backend of the engine.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        Weights of the Gaussians, which add up to 1.
    means_ : ndarray of shape (n_components, n_features)
        Means, in the coordinates of the data.
    sigmas_ : ndarray of shape (n_components,)
        The parameters sigma, of which the mean squared distance to the mean is a function.
    converged_ : bool
        Whether the run that was kept has converged.
    n_iter_ : int
        Iterations of that run.
    lower_bound_ : float
        Mean log-density of the samples in its last iteration.
    lower_bounds_ : list of float
        The same for all its iterations; none is less than the one before, but for what
        `reg_covar` adds.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if `X` had names that are strings.

    See Also
    --------
    HyperbolicKMeans : Clusters without densities.
    georeduce.apps.gmm.GaussianMixture : Mixtures in flat space.

    Notes
    -----
    An iteration is two reductions: a log-sum-exp for each sample, and for each Gaussian one sum
    over the samples, whose formula holds the responsibilities, so that none is stored. From it come
    weights, sigmas and a step to the Fréchet means, rather than these themselves: the likelihood
    grows all the same. Everything is computed in float64.

    Examples
    --------
    >>> import numpy as np
    >>> from georeduce.apps.hyperbolic import RiemannianGaussianMixture
    >>> X = np.array([[0.9, 0.1], [0.9, -0.1], [0.85, 0.], [-0.8, 0.5], [-0.8, 0.45], [-0.7, 0.5]])
    >>> model = RiemannianGaussianMixture(2, coordinates="ball", random_state=0, backend="numpy")
    >>> labels = model.fit_predict(X)
    >>> (labels == labels[0]).tolist()
    [True, True, True, False, False, False]
    >>> model.weights_.round(3)
    array([0.5, 0.5])
    """

    _rules: ClassVar[dict[str, Rule]] = {
        "n_components": POSITIVE_INTEGER,
        "tol": NON_NEGATIVE_REAL,
        "reg_covar": NON_NEGATIVE_REAL,
        "max_iter": POSITIVE_INTEGER,
        "n_init": POSITIVE_INTEGER,
        "init_params": one_of(*STARTS),
        **RULES,
        "verbose": VERBOSE,
        "random_state": RANDOM_STATE,
        "n_jobs": N_JOBS | NONE,
        "backend": BACKEND,
    }

    def __init__(
        self,
        n_components: int = 1,
        *,
        tol: float = 1e-5,
        reg_covar: float = 1e-6,
        max_iter: int = 200,
        n_init: int = 1,
        init_params: str = "kmeans",
        coordinates: str = "tangent",
        curvature: float = -1.0,
        verbose: int = 0,
        random_state: Any = None,
        n_jobs: int | None = None,
        backend: str = "auto",
    ) -> None:
        self.n_components = n_components
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.coordinates = coordinates
        self.curvature = curvature
        self.verbose = verbose
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.backend = backend

    # --- Fitting ------------------------------------------------------------------------------

    @at_home
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> RiemannianGaussianMixture:
        """Estimate the parameters by EM.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.
        y : Ignored
            For pipelines.
        sample_weight : array-like of shape (n_samples,), default=None
            How often each sample counts.

        Returns
        -------
        self : RiemannianGaussianMixture
            The fitted mixture.
        """
        check_parameters(self, self._rules)
        X = validated(self, X, ensure_min_samples=2)
        weights = checked_weights(sample_weight, len(X))
        if len(X) < self.n_components:
            what = f"n_samples >= n_components = {self.n_components}"
            raise ParameterError(expected(what, f"n_samples = {len(X)}"))
        tell_of_points(self, X)
        samples = Samples(*points_of(self, X), weights, running(self))
        tell = self._tell if self.verbose else None
        em = EM(samples, self.n_components, self.reg_covar, self.tol, self.max_iter, tell)
        rng = check_random_state(self.random_state)
        best: Any = None
        for run in range(self.n_init):
            if self.verbose:
                self._tell(f"run {run + 1} of {self.n_init}")
            found = em(em.first(self.init_params, rng))
            if best is None or found[1][-1] > best[1][-1]:
                best = found
        state, bounds, self.converged_ = best
        self.n_iter_, self.lower_bounds_, self.lower_bound_ = len(bounds), bounds, bounds[-1]
        self.weights_, self.sigmas_ = (a.astype(X.dtype) for a in (state.weights, state.sigmas))
        self.means_ = samples_of(self, state.means, X.dtype)
        if not self.converged_:
            text = f"EM did not converge in {self.max_iter} iterations."
            warn(f"{text} Pass a larger max_iter or tol, or other init_params.", ConvergenceWarning)
        return self

    @staticmethod
    def _tell(line: str) -> None:
        print(f"RiemannianGaussianMixture: {line}")

    # --- What a fitted mixture says -----------------------------------------------------------

    def _pairs(self, X: Any) -> LazyTensor:
        """Return the formula of log-densities, with samples that are checked as rows."""
        space, points = points_of(self, X)
        means = points_of(self, self.means_)[1]
        state = State(self.weights_.astype(float), means, self.sigmas_.astype(float))
        rows, columns = space.features(Vi(points)), space.features(Vj(put(means, points)))
        return log_densities(space, rows, columns, state, lambda a: Vj(put(a, points)))

    @differentiable
    def score_samples(self, X: Any) -> Array:
        """Return the log-density of each sample, by the Riemannian volume.

        Derivatives of tensors are 0 at the very centre, but for points of the ball and of the
        half-space: see `Hyperboloid`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        log_prob : ndarray of shape (n_samples,)
            Logarithms of densities.
        """
        X = checked(self, X)
        scores = self._pairs(X).logsumexp(axis=1, **running(self))[:, 0]
        found: Array = cast(scores, kind_of(X)[0])
        return found

    @at_home
    def sample(self, n_samples: int = 1) -> tuple[Array, Array]:
        """Draw samples from the mixture.

        Parameters
        ----------
        n_samples : int, default=1
            How many.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Samples, in order of component, in the coordinates of the data.
        y : ndarray of shape (n_samples,)
            Their components.
        """
        check_is_fitted(self)
        if not is_integer(n_samples) or n_samples < 1:
            raise ParameterError(expected("n_samples to be a positive integer", repr(n_samples)))
        rng = check_random_state(self.random_state)
        space, means = points_of(self, self.means_)
        D = means.shape[1] - space.more
        counts = rng.multinomial(n_samples, self.weights_.astype(float) / self.weights_.sum())
        labels = np.repeat(np.arange(len(counts)), counts)
        sigmas = self.sigmas_.astype(float) / space.radius
        steps = [drawn(s, D, int(n), rng) for s, n in zip(sigmas, counts, strict=True)]
        points = space._exp(space.features(means[labels]), space.radius * np.concatenate(steps))
        return samples_of(self, points, self.means_.dtype), labels

    # --- Criteria -----------------------------------------------------------------------------

    def _n_parameters(self) -> int:
        space, means = points_of(self, self.means_)
        K, D = len(means), means.shape[1] - space.more
        return int(K * D + K + K - 1)
