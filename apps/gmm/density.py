"""Kernel density estimates. The kernels stand in `_kernels.py`.

Knows no tree: sums are over all samples, and exact.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted

from georeduce.engine import LazyTensor, Pm, Vi, Vj
from georeduce.engine.arrays import cast, kind_of
from georeduce.engine.errors import expected

from .._arrays import at_home, differentiable, log, put, together, validated
from ..common import (
    BACKEND,
    BOOLEAN,
    CALLABLE,
    DICT,
    N_JOBS,
    NON_NEGATIVE_REAL,
    NONE,
    POSITIVE_INTEGER,
    POSITIVE_REAL,
    RANDOM_STATE,
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
from ..knn.metrics import METRICS, resolve
from ._kernels import KERNELS, NORMS, log_norm, offsets

OCTAVES, STEPS = 3, 25
"""The default grid: so many bandwidths, from 1/8 to 8 times Scott's for the spread of the data."""


class KernelDensity(BaseEstimator):  # type: ignore[misc]
    r"""Kernel density estimate.

    With the parameters and conventions of scikit-learn's class, evaluated exactly:

    .. math:: f(x) = \frac{1}{c\, \sum_j w_j} \sum_j w_j\, k(d(x, y_j) / h),

    where `c` is the integral of the kernel, so that f is a density.

    Parameters
    ----------
    bandwidth : float or {"scott", "silverman", "cv"}, default=1.0
        The bandwidth h. "scott" and "silverman" are the rules of scikit-learn, for data of unit
        variance; "cv" takes from a grid the one with the greatest likelihood of all samples, each
        under the density of the others.
    algorithm : {"auto", "kd_tree", "ball_tree"}, default="auto"
        Taken for compatibility: all samples are visited.
    kernel : {"gaussian", "tophat", "epanechnikov", "exponential", "linear", "cosine"}, \
            default="gaussian"
        The kernel k: with u = d / h, exp(-u^2 / 2), 1, 1 - u^2, exp(-u), 1 - u and cos(pi u / 2);
        all but "gaussian" and "exponential" are 0 for u >= 1.
    metric : str, default="euclidean"
        The distance d, one of those in the table of `georeduce.apps.knn` whose unit balls have a
        known volume: "euclidean", "manhattan", their other names, and "minkowski".
    atol : float, default=0
        Taken for compatibility: results are as exact as their dtype.
    rtol : float, default=0
        Taken for compatibility.
    breadth_first : bool, default=True
        Taken for compatibility.
    leaf_size : int, default=40
        Taken for compatibility.
    metric_params : dict, default=None
        The exponent "p" of "minkowski", 1 or 2 (the default).
    bandwidth_grid : array-like of shape (n_bandwidths,), default=None
        What "cv" chooses from; by default 25 bandwidths around Scott's rule for the spread of the
        data.
    n_jobs : int or None, default=None
        Number of threads; -1 for all processors. None leaves it to the engine's options.
    backend : str, default="auto"
        Backend of the engine.

    Attributes
    ----------
    bandwidth_ : float
        The bandwidth.
    bandwidth_grid_ : ndarray of shape (n_bandwidths,)
        What "cv" chose from; only then.
    cv_scores_ : ndarray of shape (n_bandwidths,)
        Their log-likelihoods; only for "cv".
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if `X` had names that are strings.

    Notes
    -----
    Log-densities under the Gaussian and the exponential kernel are log-sum-exps: far from all
    samples they do not underflow. Under a kernel of compact support they are -inf there. All
    samples are visited: where such a kernel is narrow, a tree, which skips those out of reach, may
    be faster.

    Examples
    --------
    >>> import numpy as np
    >>> from georeduce.apps.gmm import KernelDensity
    >>> model = KernelDensity(bandwidth=0.5, backend="numpy").fit([[0.0], [1.0]])
    >>> np.exp(model.score_samples([[0.0], [0.5], [100.0]])).round(3)
    array([0.453, 0.484, 0.   ])
    """

    _rules: ClassVar[dict[str, Rule]] = {
        "bandwidth": POSITIVE_REAL | one_of("scott", "silverman", "cv"),
        "algorithm": one_of("auto", "kd_tree", "ball_tree"),
        "kernel": one_of(*KERNELS),
        "metric": Rule("a name", lambda value: isinstance(value, str)) | CALLABLE,
        "atol": NON_NEGATIVE_REAL,
        "rtol": NON_NEGATIVE_REAL,
        "breadth_first": BOOLEAN,
        "leaf_size": POSITIVE_INTEGER,
        "metric_params": DICT | NONE,
        "bandwidth_grid": NONE | Rule("an array of bandwidths", is_array_like),
        "n_jobs": N_JOBS | NONE,
        "backend": BACKEND,
    }

    def __init__(
        self,
        *,
        bandwidth: Any = 1.0,
        algorithm: str = "auto",
        kernel: str = "gaussian",
        metric: Any = "euclidean",
        atol: float = 0,
        rtol: float = 0,
        breadth_first: bool = True,
        leaf_size: int = 40,
        metric_params: dict[str, Any] | None = None,
        bandwidth_grid: Any = None,
        n_jobs: int | None = None,
        backend: str = "auto",
    ) -> None:
        self.bandwidth = bandwidth
        self.algorithm = algorithm
        self.kernel = kernel
        self.metric = metric
        self.atol = atol
        self.rtol = rtol
        self.breadth_first = breadth_first
        self.leaf_size = leaf_size
        self.metric_params = metric_params
        self.bandwidth_grid = bandwidth_grid
        self.n_jobs = n_jobs
        self.backend = backend

    @at_home
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> KernelDensity:
        """Keep the samples, and choose the bandwidth.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.
        y : Ignored
            For pipelines.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights >= 0.

        Returns
        -------
        self : KernelDensity
            The fitted estimator.
        """
        check_parameters(self, self._rules)
        metric, _ = resolve(self.metric, 2, self.metric_params)
        name = METRICS[metric].name if isinstance(metric, str) else None
        if name not in NORMS:
            what = f"metric to be one whose unit ball has a known volume, {' or '.join(NORMS)}"
            raise ParameterError(expected(what, repr(self.metric)))
        X = validated(self, X)
        weights = checked_weights(sample_weight, len(X))
        self._metric = name
        self._fit_X = X
        self._weights = weights
        n, D = X.shape
        if self.bandwidth == "scott":
            self.bandwidth_ = n ** (-1 / (D + 4))
        elif self.bandwidth == "silverman":
            self.bandwidth_ = (n * (D + 2) / 4) ** (-1 / (D + 4))
        elif self.bandwidth == "cv":
            self._cross_validate()
        else:
            self.bandwidth_ = float(self.bandwidth)
        return self

    @differentiable
    def score_samples(self, X: Any) -> Array:
        """Return the logarithm of the density at points.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Points.

        Returns
        -------
        density : ndarray of shape (n_queries,)
            Log-densities, in float32 if the points and the samples are, else in float64. They have
            gradients if X is a tensor that wants them.
        """
        check_is_fitted(self)
        queries, samples = together(validated(self, X, reset=False), self._fit_X)
        total = len(samples) if self._weights is None else self._weights.sum()
        kernels = self._kernels(Vi(queries), Vj(samples), self.bandwidth_)
        found = self._log_sums(kernels, self.bandwidth_, samples) - math.log(total)
        logs: Array = cast(found, kind_of(samples)[0])
        return logs

    @at_home
    def score(self, X: Any, y: Any = None) -> float:
        """Return the log-likelihood of points.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Points.
        y : Ignored
            For pipelines.

        Returns
        -------
        logprob : float
            The sum of their log-densities.
        """
        return float(self.score_samples(X).sum(dtype=np.float64))

    @at_home
    def sample(self, n_samples: int = 1, random_state: Any = None) -> Array:
        """Draw points from the density, under any of the kernels.

        Parameters
        ----------
        n_samples : int, default=1
            How many.
        random_state : int, RandomState or None, default=None
            Draws them. For the kernels that scikit-learn draws from, the points are the same.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Points, in the dtype of the samples.
        """
        check_is_fitted(self)
        POSITIVE_INTEGER.check("n_samples", n_samples)
        RANDOM_STATE.check("random_state", random_state)
        random_state = check_random_state(random_state)
        n, D = self._fit_X.shape
        u = random_state.uniform(0, 1, size=n_samples)
        if self._weights is None:
            rows = (u * n).astype(np.intp)
        else:
            upto = np.cumsum(self._weights)
            last = np.searchsorted(upto, upto[-1])  # what stands behind it has no weight
            rows = np.minimum(np.searchsorted(upto, u * upto[-1], side="right"), last)
        moved = offsets(KERNELS[self.kernel], self._metric, n_samples, D, random_state)
        samples = to_host(self._fit_X[put(rows, self._fit_X)])
        points: Array = samples + moved * self.bandwidth_
        return points.astype(samples.dtype, copy=False)

    def _kernels(self, x: LazyTensor, y: LazyTensor, h: float) -> LazyTensor:
        """Return the kernel of two points, or its logarithm."""
        kernel = KERNELS[self.kernel]
        squared_norm = kernel.squared and self._metric == "euclidean"
        d = METRICS["sqeuclidean" if squared_norm else self._metric].formula(x, y)
        # a parameter of the compiled kernel, for h = 1 too
        return kernel.formula(d.square() if kernel.squared and not squared_norm else d, Pm(h))

    def _log_sums(self, kernels: LazyTensor, h: float, samples: Array) -> Array:
        """Return the logarithms (M,) of weighted sums over samples, of kernels of integral 1."""
        kernel = KERNELS[self.kernel]
        weights, dtype = self._weights, kind_of(samples)[0]
        with np.errstate(divide="ignore"):  # the logarithm of 0 is -inf
            if kernel.logarithmic:
                if weights is not None:
                    kernels = kernels + Vj(put(np.log(weights)[:, None].astype(dtype), samples))
                found = kernels.logsumexp(axis=1, **running(self))
            else:
                if weights is not None:
                    kernels = kernels * Vj(put(weights[:, None].astype(dtype), samples))
                found = log(kernels.sum(axis=1, **running(self)))
        D = self._fit_X.shape[1]
        logs: Array = cast(found[:, 0], np.dtype(np.float64))
        return logs - log_norm(kernel, self._metric, h, D)

    def _cross_validate(self) -> None:
        """Choose the bandwidth under which samples are likeliest, each given the others."""
        X = self._fit_X
        weights = np.ones(len(X)) if self._weights is None else self._weights
        some = weights > 0
        if np.count_nonzero(some) < 2:
            what = "at least 2 samples of positive weight for bandwidth='cv'"
            raise ParameterError(expected(what, str(np.count_nonzero(some))))
        self.bandwidth_grid_ = self._grid(weights)
        # every row leaves out the column of the same number: exact in float32 up to 2^24 of them
        number = put(np.arange(len(X), dtype=X.dtype)[:, None], X)
        same = Vi(number) == Vj(number)
        nothing = -math.inf if KERNELS[self.kernel].logarithmic else 0.0
        self.cv_scores_ = np.empty(len(self.bandwidth_grid_))
        for n, h in enumerate(self.bandwidth_grid_.tolist()):
            kernels = same.where(nothing, self._kernels(Vi(X), Vj(X), h))
            logs = to_host(self._log_sums(kernels, h, X))[some]
            self.cv_scores_[n] = weights[some] @ (logs - np.log(weights.sum() - weights[some]))
        if np.isneginf(self.cv_scores_).all():
            got = f"some with none within {self.bandwidth_grid_.max():.3g} under all of them"
            cure = "Pass larger ones as bandwidth_grid, or kernel='gaussian'."
            raise ParameterError(expected("bandwidths that reach other samples", got, cure))
        self.bandwidth_ = float(self.bandwidth_grid_[self.cv_scores_.argmax()])

    def _grid(self, weights: Array) -> Array:
        """Return the bandwidths to choose from."""
        if self.bandwidth_grid is not None:
            grid: Array = check_array(
                to_host(self.bandwidth_grid),
                dtype=np.float64,
                ensure_2d=False,
                input_name="bandwidth_grid",
            )
            if grid.ndim != 1 or not (grid > 0).all():
                what = "bandwidth_grid to be positive numbers, of shape (n_bandwidths,)"
                raise ParameterError(expected(what, repr(self.bandwidth_grid)))
            return grid
        X = self._fit_X.astype(np.float64, copy=False)
        there = put(weights, X)
        mean = np.average(X, axis=0, weights=there)
        variance = float(np.average(np.square(X - mean), axis=0, weights=there).mean())
        if not variance > 0:
            what = "samples that differ, for bandwidth='cv'"
            raise ParameterError(expected(what, "equal ones", "Pass a bandwidth."))
        effective = weights.sum() ** 2 / np.square(weights).sum()
        scott = math.sqrt(variance) * effective ** (-1 / (X.shape[1] + 4))
        found: Array = scott * 2 ** np.linspace(-OCTAVES, OCTAVES, STEPS)
        return found
