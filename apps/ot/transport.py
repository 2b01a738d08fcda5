r"""Domain adaptation: samples carried along by the plan from a source to a target.

Under a plan :math:`\pi` a source point goes to the mean of where its mass goes, the barycentric map

.. math:: T(x) = \frac{\sum_j e^{v_j - C(x, y_j) / \varepsilon} \, y_j}
                      {\sum_j e^{v_j - C(x, y_j) / \varepsilon}},
          \qquad v_j = \log b_j + g_j / \varepsilon

(Pooladian & Niles-Weed 2021, Entropic estimation of optimal transport maps, equation 3). That holds
for any point x, as the potential of the sources is not in it.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import check_array
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from georeduce.engine.arrays import cast
from georeduce.engine.errors import expected

from .._arrays import at_home, native, put, together, validated
from ..common import (
    BACKEND,
    CALLABLE,
    N_JOBS,
    NONE,
    POSITIVE_INTEGER,
    VERBOSE,
    Array,
    ParameterError,
    Rule,
    check_parameters,
    checked_weights,
    one_of,
    running_as,
    to_host,
)
from ._arrays import POSITIVE_NUMBER
from ._labels import UNKNOWN, codes_of, labelled, told_of, with_label
from ._penalties import PENALTIES
from ._pots_names import called_as_pots
from .costs import COSTS, Cost, resolve
from .plan import Plan
from .problem import Problem
from .solver import solve

_COST = one_of(*COSTS) | Rule("a Cost", lambda value: isinstance(value, Cost)) | CALLABLE
_REACH = POSITIVE_NUMBER | Rule(
    "a pair of these", lambda value: isinstance(value, tuple | list) and len(value) == 2
)


@called_as_pots
class SinkhornTransport(
    OneToOneFeatureMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    r"""Carries samples of a source over to a target, along an entropic transport plan.

    With the interface of ``ot.da.SinkhornTransport``, whose names of arguments (`Xs`, `ys`) are
    understood beside those of scikit-learn (`X`, `y`), and for numbers of samples whose coupling
    POT could not hold.

    Parameters
    ----------
    epsilon : float or None, default=None
        Regularisation, in the units of the cost (POT: `reg_e`). By default 0.05 times the mean
        cost, of those that are finite.
    cost : str, Cost or callable, default="sqeuclidean"
        What it costs to move mass (POT: `metric`): a name in `georeduce.apps.ot.costs`, a `Cost`,
        or a function of two LazyTensors, points as rows and as columns, that returns a LazyTensor
        of dimension 1.
    reach : float, pair of floats or None, default=None
        A distance beyond which mass is left behind rather than moved, for the source and the
        target. None moves all of it.
    penalty : {"kl", "tv"}, default="kl"
        What mass left behind costs, with `reach`.
    limit_max : float, default=np.inf
        With labels of both, the cost between two that are of different known labels is raised to
        this many times the largest cost. Infinite: they exchange no mass at all. For that there
        must be enough mass of each label, or without one, in the other. Else there is no plan,
        which an error or a warning tells.
    distribution_estimation : callable or None, default=None
        From samples (n_samples, n_features) to their weights (n_samples,), which are normalised
        unless there is a `reach`. By default all weigh the same.
    tol : float, default=1e-3
        Marginal error, relative to the mass, up to which the plan is found.
    max_iter : int, default=1000
        The most iterations.
    verbose : int, default=0
        Whether to show progress: a bar if tqdm is installed, else lines.
    n_jobs : int or None, default=None
        Number of threads; -1 for all processors. None leaves it to the engine's options.
    backend : str, default="auto"
        Backend of the engine.

    Attributes
    ----------
    mu_s_, mu_t_ : ndarray of shape (n_source_samples,), (n_target_samples,)
        Their weights.
    coupling_ : Plan
        The plan, of shape (n_source_samples, n_target_samples), which is not stored.
    f_, g_ : ndarray of shape (n_source_samples,), (n_target_samples,)
        Potentials, in float64.
    epsilon_ : float
        The regularisation.
    value_ : float
        Value of the transport problem, in the units of the cost.
    errors_ : ndarray of shape (n_iter_,)
        Marginal error of each iteration.
    n_iter_ : int
        Number of iterations.
    converged_ : bool
        Whether the last error is at most `tol`.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if `X` had names that are strings.

    See Also
    --------
    georeduce.apps.ot.solve : The solver.
    TransportKernel : Distances between many clouds.

    Notes
    -----
    In a pipeline, ``make_pipeline(SinkhornTransport(), classifier).fit(Xs, ys,
    sinkhorntransport__Xt=Xt)`` trains the classifier on source samples that were moved to the
    target. ``predict`` moves what it gets too, so that it is for more samples of the source; those
    of the target go to the last step, ``pipeline[-1].predict(Xt)``, as they are there already.
    scikit-learn's cross-validation splits an `Xt` that happens to have as many rows as X, as it
    does with weights.

    Without `Xt` the target is the source: what comes out is a smoothed X, by the symmetric kernel
    whose rows and columns sum up to 1.

    New samples are moved by the potentials, the one way that POT calls "continuous". POT's
    "ferradans", the shift of the nearest training sample, is not offered: it jumps from one cell to
    the next. Unlike POT's, the map of training samples has their labels in it.

    Memory is O((M + N) D); nothing of the size of the coupling is held.

    Examples
    --------
    >>> import numpy as np
    >>> from georeduce.apps.ot import SinkhornTransport
    >>> rng = np.random.default_rng(0)
    >>> Xs, Xt = rng.normal(size=(200, 2)), rng.normal(size=(300, 2)) + [10.0, 0.0]
    >>> model = SinkhornTransport(epsilon=0.1).fit(Xs=Xs, Xt=Xt)
    >>> moved = model.transform(Xs)
    >>> bool(abs(moved.mean(axis=0) - Xt.mean(axis=0)).max() < 0.01)
    True
    >>> model.coupling_
    Plan of shape (200, 300)
    >>> bool(abs(model.transform([[0.5, -1.0]]) - [[10.5, -1.0]]).max() < 0.5)
    True
    """

    _rules: ClassVar[dict[str, Rule]] = {
        "epsilon": POSITIVE_NUMBER | NONE,
        "cost": _COST,
        "reach": _REACH | NONE,
        "penalty": one_of(*PENALTIES),
        "limit_max": POSITIVE_NUMBER,
        "distribution_estimation": CALLABLE | NONE,
        "tol": POSITIVE_NUMBER,
        "max_iter": POSITIVE_INTEGER,
        "verbose": VERBOSE,
        "n_jobs": N_JOBS | NONE,
        "backend": BACKEND,
    }
    # scikit-learn takes these names for those of what is transformed back
    __metadata_request__fit: ClassVar[dict[str, None]] = {"Xt": None, "yt": None}

    def __init__(
        self,
        epsilon: float | None = None,
        *,
        cost: Any = "sqeuclidean",
        reach: Any = None,
        penalty: str = "kl",
        limit_max: float = np.inf,
        distribution_estimation: Any = None,
        tol: float = 1e-3,
        max_iter: int = 1000,
        verbose: int = 0,
        n_jobs: int | None = None,
        backend: str = "auto",
    ) -> None:
        self.epsilon = epsilon
        self.cost = cost
        self.reach = reach
        self.penalty = penalty
        self.limit_max = limit_max
        self.distribution_estimation = distribution_estimation
        self.tol = tol
        self.max_iter = max_iter
        self.verbose = verbose
        self.n_jobs = n_jobs
        self.backend = backend

    @at_home
    def fit(self, X: Any, y: Any = None, Xt: Any = None, yt: Any = None) -> SinkhornTransport:
        """Find the plan from a source to a target.

        Parameters
        ----------
        X : array-like of shape (n_source_samples, n_features)
            Source samples. POT's name for it, `Xs`, is understood too.
        y : array-like of shape (n_source_samples,), optional
            Their labels (`ys`), used if those of the target are given too; -1 where unknown.
        Xt : array-like of shape (n_target_samples, n_features), optional
            Target samples; by default those of the source.
        yt : array-like of shape (n_target_samples,), optional
            Their labels, -1 where unknown.

        Returns
        -------
        self : SinkhornTransport
            The fitted estimator.
        """
        check_parameters(self, self._rules)
        X = validated(self, X)
        if Xt is None:
            Xt = X
        else:
            X, Xt = together(X, validated(self, native(Xt), reset=False))
        self._fit_X, self._fit_Xt = X, Xt
        # potentials are of these, whatever the parameters are set to afterwards
        self._given = resolve(self.cost), self.reach, self.penalty
        self.mu_s_ = self._weights_of(X)
        self.mu_t_ = self.mu_s_ if Xt is X else self._weights_of(Xt)
        self._codes = codes_of((y, yt), (X, Xt))
        with running_as(self):
            self._limit = self._largest_allowed()
            problem = self._problem(self.epsilon)
            with told_of(self._codes):
                solved = solve(problem, tol=self.tol, max_iter=self.max_iter, verbose=self.verbose)
            self.value_ = float(solved.value)
        self.f_, self.g_ = to_host(solved.f), to_host(solved.g)
        self.epsilon_ = problem.epsilon
        self.errors_ = np.array([float(error) for error in solved.errors])
        self.n_iter_, self.converged_ = len(self.errors_), solved.converged
        return self

    @at_home
    def transform(self, X: Any) -> Any:
        """Carry source samples over to the target.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples of the source (POT's `Xs`), not only those that were fitted.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Means of where their mass goes.
        """
        return self._moved(X, inverse=False)

    def fit_transform(self, X: Any, y: Any = None, Xt: Any = None, yt: Any = None) -> Any:
        """Find the plan, and carry the source samples over to the target.

        Parameters
        ----------
        X, y, Xt, yt : array-like
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_source_samples, n_features)
            Means of where their mass goes.
        """
        return self.fit(X, y, Xt, yt).transform(X)

    @at_home
    def inverse_transform(self, X: Any) -> Any:
        """Carry target samples over to the source.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples of the target (POT's `Xt`), not only those that were fitted.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Means of where their mass comes from.
        """
        return self._moved(X, inverse=True)

    @at_home
    def transform_labels(self, ys: Any) -> Any:
        """Carry labels of the source over to the target.

        Parameters
        ----------
        ys : array-like of shape (n_source_samples,)
            Labels of the source samples.

        Returns
        -------
        ndarray of shape (n_target_samples, n_classes)
            What share of each target sample's mass comes from each label, labels in the order of
            ``np.unique(ys)``.
        """
        check_is_fitted(self)
        return self._shares(ys, self._fit_X, "ys", inverse=True)

    @at_home
    def inverse_transform_labels(self, yt: Any) -> Any:
        """Carry labels of the target over to the source.

        Parameters
        ----------
        yt : array-like of shape (n_target_samples,)
            Labels of the target samples.

        Returns
        -------
        ndarray of shape (n_source_samples, n_classes)
            What share of each source sample's mass goes to each label, labels in the order of
            ``np.unique(yt)``.
        """
        check_is_fitted(self)
        return self._shares(yt, self._fit_Xt, "yt", inverse=False)

    @property
    def coupling_(self) -> Plan:
        """The plan (n_source_samples, n_target_samples), which is not stored: see `Plan`."""
        check_is_fitted(self)
        f, g = (put(h, self._fit_X) for h in (self.f_, self.g_))
        return Plan(self._problem(self.epsilon_), f, g)

    # --- Inside -----------------------------------------------------------------------------------

    def _weights_of(self, X: Array) -> Array:
        if self.distribution_estimation is None:
            return np.full(len(X), 1 / len(X))
        weights = self.distribution_estimation(X)
        weights = checked_weights(to_host(weights), len(X), "distribution_estimation")
        if weights is None:
            what = "distribution_estimation to return a weight for each sample"
            raise ParameterError(expected(what, "None"))
        return weights / weights.sum() if self.reach is None else weights

    def _largest_allowed(self) -> float:
        """Return the cost between different labels."""
        if self._codes is None or np.isinf(self.limit_max):
            return np.inf
        largest = resolve(self.cost).between(self._fit_X, self._fit_Xt).max(axis=1).max()
        return float(self.limit_max * largest)

    def _problem(self, epsilon: float | None) -> Problem:
        """Return the problem, whose points have their labels as a last feature if these count."""
        x, y, (cost, reach, penalty) = self._fit_X, self._fit_Xt, self._given
        a, b = put(self.mu_s_, x), put(self.mu_t_, x)
        if self._codes is not None:
            x, y = (with_label(*pair) for pair in zip((x, y), self._codes, strict=True))
            cost = labelled(cost, self._limit)
        return Problem(x, y, a, a if y is x else b, cost, epsilon, reach, penalty)

    def _moved(self, X: Any, inverse: bool) -> Any:
        check_is_fitted(self)
        rows, columns = self._fit_X, self._fit_Xt
        rows, columns = (columns, rows) if inverse else (rows, columns)
        X = validated(self, X, reset=False)
        points: Any = cast(put(X, rows) if isinstance(X, np.ndarray) else X, rows.dtype)
        plan = self.coupling_.T if inverse else self.coupling_
        if self._codes is not None:
            is_own = points.shape == rows.shape and bool((points == rows).all())
            # the plan's own rows have their labels
            points = None if is_own else with_label(points, np.full(len(points), UNKNOWN))
        with running_as(self):
            moved = plan.conditional(points).mean(columns)
        return cast(moved, X.dtype)

    def _shares(self, labels: Any, samples: Array, name: str, inverse: bool) -> Any:
        labels = check_array(to_host(labels), ensure_2d=False, dtype=None, input_name=name)
        check_consistent_length(labels, samples)
        classes, at = np.unique(labels, return_inverse=True)
        plan = self.coupling_.T if inverse else self.coupling_
        with running_as(self):
            return plan.conditional().mean(
                put(np.eye(len(classes), dtype=samples.dtype)[at], samples)
            )
