"""What all mixtures share: the EM loop, and what a fitted mixture says about samples.

Knows no prior: a subclass says how the M-step's moments become parameters.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, TypeVar

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from georeduce.engine.arrays import kind_of
from georeduce.engine.errors import warn

from .._arrays import at_home, differentiable, validated
from .._methods import Mixture, checked
from .._progress import Progress
from ..common import (
    BACKEND,
    BOOLEAN,
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
    is_integer,
    one_of,
    running,
)
from ._covariances import COVARIANCES, Covariance
from ._given import check_range
from ._start import STARTS
from ._state import EMPTY, State, collapsed, reseeded
from ._steps import Moments, Steps, centre_of

ARRAY = Rule("an array", is_array_like)
NON_NEGATIVE_INTEGER = Rule("an integer >= 0", lambda value: is_integer(value) and value >= 0)
RESEEDS = 5
"""How often, at most, components of one run are seeded again."""
_CURE = (
    "Try other init_params or more n_init, collapsed='reseed', fewer components, a larger "
    "reg_covar, more max_iter or a larger tol"
)

Self = TypeVar("Self", bound="MixtureBase")


class CollapseWarning(ConvergenceWarning):  # type: ignore[misc]
    """Components of a fitted mixture stand on nothing, or on a single point."""


class MixtureBase(Mixture, DensityMixin, BaseEstimator):  # type: ignore[misc]
    """A mixture of Gaussians fitted by EM, from the parameters of a subclass.

    It should be the case that memory beyond the data is that of a few numbers for each sample, and
    that of a few arrays as large as the parameters; and that finite data gives no NaN.
    """

    n_components: int
    covariance_type: str
    random_state: Any
    reg_covar: float
    lower_bound_: float

    _rules: ClassVar[dict[str, Rule]] = {
        "n_components": POSITIVE_INTEGER,
        "covariance_type": one_of(*COVARIANCES),
        "tol": NON_NEGATIVE_REAL,
        "reg_covar": NON_NEGATIVE_REAL,
        "max_iter": NON_NEGATIVE_INTEGER,
        "n_init": POSITIVE_INTEGER,
        "init_params": one_of(*STARTS),
        "random_state": RANDOM_STATE,
        "warm_start": BOOLEAN,
        "collapsed": one_of("keep", "reseed"),
        "verbose": VERBOSE,
        "verbose_interval": POSITIVE_INTEGER,
        "n_jobs": N_JOBS | NONE,
        "backend": BACKEND,
    }
    _entropy: ClassVar[bool] = False  # whether the bound wants that of the responsibilities
    _needs_all: ClassVar[bool] = True  # whether components without samples are a failure

    @property
    def _kind(self) -> Covariance:
        return COVARIANCES[self.covariance_type]

    # --- What a subclass says -----------------------------------------------------------------

    @abstractmethod
    def _prepare(self, steps: Steps) -> None:
        """Check parameters that depend on the data, and set priors."""

    @abstractmethod
    def _first(self, steps: Steps, rng: Any, floor: float) -> State:
        """Return the state in which EM starts."""

    @abstractmethod
    def _updated(self, moments: Moments, floor: float, eps: float, before: State | None) -> State:
        """Return the state after the M-step."""

    @abstractmethod
    def _bound(self, state: State, mean_log_density: float, entropy: float) -> float:
        """Return the lower bound of the log-likelihood after an iteration."""

    @abstractmethod
    def _recall(self, centre: Array) -> State:
        """Return the state that the attributes stand for, relative to a centre."""

    def _publish(self, state: State, centre: Array, dtype: Any) -> None:
        """Set the attributes of a fitted mixture."""
        self.means_ = (state.means + centre).astype(dtype)
        self.covariances_ = np.asarray(state.covariances, dtype)[()]
        self.precisions_cholesky_ = np.asarray(state.factor, dtype)[()]
        self.precisions_ = self._kind.precisions(self.precisions_cholesky_)

    # --- Fitting ------------------------------------------------------------------------------

    @at_home
    def fit(self: Self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Estimate the parameters by EM.

        The best of `n_init` runs is taken, each of at most `max_iter` iterations, until the lower
        bound changes by less than `tol`. With `warm_start`, later calls go on from the last ones.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.
        y : Ignored
            For scikit-learn's interface.
        sample_weight : array-like of shape (n_samples,), default=None
            How often each sample counts.

        Returns
        -------
        self : MixtureBase
            The fitted mixture.
        """
        check_parameters(self, self._rules)
        X = validated(self, X, ensure_min_samples=2)
        weights = self._check_size(X, sample_weight)
        centre = centre_of(X)
        steps = self._steps(X, centre, weights)
        check_range(X, steps.total, steps.variance, self.reg_covar)
        self._prepare(steps)
        warm = self.warm_start and hasattr(self, "converged_")
        rng = check_random_state(self.random_state)
        floor = self._floor(steps)
        best: Any = None
        for run in range(1 if warm else self.n_init):
            first = self._recall(centre) if warm else self._first(steps, rng, floor)
            last: float = self.lower_bound_ if warm else -np.inf
            title = f"Initialization {run}"
            with Progress(title, self.max_iter, self.verbose, self.verbose_interval) as progress:
                result = self._run(steps, first, last, floor, rng, progress)
            if best is None or result[1] > best[1]:
                best = result
        state, bound, bounds, converged = best
        self.converged_ = converged
        self.n_iter_ = len(bounds)
        self.lower_bound_ = bound
        self.lower_bounds_ = bounds
        self._publish(state, centre, X.dtype)
        self._complain(state, steps)
        return self

    def _check_size(self, X: Array, sample_weight: Any) -> Array | None:
        n, K = len(X), self.n_components
        if n < K:
            raise ParameterError(
                f"Expected n_samples >= n_components but got n_components = {K}, n_samples = {n}."
            )
        return self._weights_of(X, sample_weight)

    def _weights_of(self, X: Array, sample_weight: Any) -> Array | None:
        weights = checked_weights(sample_weight, len(X))
        return None if weights is None else weights.astype(X.dtype, copy=False)

    def _steps(self, X: Array, centre: Array, weights: Array | None = None) -> Steps:
        how = running(self)
        return Steps(X, centre, self._kind, self.n_components, how, weights, self._entropy)

    def _floor(self, steps: Steps) -> float:
        """Return the least variance of a singular component, a small part of the data's."""
        least: float = np.sqrt(steps.eps) * (steps.variance or 1.0)
        return max(float(self.reg_covar), float(least))

    def _lost(self, state: State, steps: Steps) -> dict[int, str]:
        """Return which components have collapsed, and what became of them."""
        found = collapsed(state, self._kind, steps.variance, self.reg_covar)
        return {k: why for k, why in found.items() if self._needs_all or why != EMPTY}

    def _run(
        self,
        steps: Steps,
        state: State,
        bound: float,
        floor: float,
        rng: Any,
        progress: Progress,
    ) -> tuple[State, float, list[float], bool]:
        """Iterate; return the last state, its bound, all bounds, and whether they converged."""
        bounds: list[float] = []
        seeds = RESEEDS if self.collapsed == "reseed" else 0
        for _ in range(self.max_iter):
            steps.load(state.means, state.factor, state.constants)
            sums = steps.expectation()
            moments = steps.maximization()
            state = self._updated(moments, floor, steps.eps, state)
            before, bound = bound, self._bound(state, steps.mean(sums), moments.entropy)
            bounds.append(bound)
            progress.step(bound=f"{bound:.5f}", change=f"{bound - before:.1e}")
            lost = self._lost(state, steps)
            if seeds and lost and len(bounds) < self.max_iter:
                seeds -= 1
                moments = reseeded(moments, self._kind, lost, steps, sums, rng)
                state = self._updated(moments, floor, steps.eps, state)
                bound = -np.inf  # which may fall, once
                continue
            if abs(bound - before) < self.tol:
                return state, bound, bounds, True
        return state, bound if bounds else -np.inf, bounds, False

    def _complain(self, state: State, steps: Steps) -> None:
        """Warn of what is wrong with the mixture that was found."""
        if not self.converged_ and self.max_iter > 0:
            text = "The best run did not converge; data may be degenerate."
            warn(f"{text} {_CURE}.", ConvergenceWarning)
        lost = self._lost(state, steps)
        if lost and self.max_iter > 0:
            named = "; ".join(f"component {k} {why}" for k, why in list(lost.items())[:10])
            more = f"; and {len(lost) - 10} others" if len(lost) > 10 else ""
            warn(f"Collapsed: {named}{more}. {_CURE}.", CollapseWarning)

    # --- What a fitted mixture says -----------------------------------------------------------

    def _pairs(self, X: Array) -> Any:
        """Return the formula of the log-density of samples, relative to the centre of the means."""
        centre = np.mean(self.means_, axis=0, dtype=np.float64).astype(kind_of(X)[0])
        state = self._recall(centre)
        steps = self._steps(X, centre)
        steps.load(state.means, state.factor, state.constants)
        return steps.pairs

    @differentiable
    def score_samples(self, X: Any) -> Array:
        """Return the log-density of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        log_prob : ndarray of shape (n_samples,)
            Logarithms of densities. They have gradients if X is a tensor that wants them.
        """
        sums: Array = self._pairs(checked(self, X)).logsumexp(axis=1, **running(self))[:, 0]
        return sums

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
            Samples, in order of component.
        y : ndarray of shape (n_samples,)
            Their components.
        """
        check_is_fitted(self)
        if not is_integer(n_samples) or n_samples < 1:
            raise ParameterError(
                f"Invalid value for 'n_samples': {n_samples}. Expected at least one sample."
            )
        rng = check_random_state(self.random_state)
        counts = rng.multinomial(n_samples, self.weights_)
        kind, covariances = self._kind, self.covariances_
        drawn = [
            kind.draw(kind.of(covariances, k), self.means_[k], int(n), rng)
            for k, n in enumerate(counts)
        ]
        return np.vstack(drawn), np.repeat(np.arange(len(counts)), counts)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "means_")
