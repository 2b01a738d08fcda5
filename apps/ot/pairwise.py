r"""Distances by transport between many clouds of points, and kernels of them for classifiers.

.. math:: S(\alpha, \beta) = OT(\alpha, \beta) - \tfrac12 OT(\alpha, \alpha)
          - \tfrac12 OT(\beta, \beta) + \tfrac\varepsilon2 (\alpha(1) - \beta(1))^2

the Sinkhorn divergence, which is 0 for equal clouds only (Séjourné, Feydy, Vialard, Trouvé & Peyré
2019, Sinkhorn divergences for unbalanced optimal transport, definition 5). Clouds of about the same
size are solved together, as batches; the transport of a cloud to itself is found once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from georeduce.engine.errors import expected

from .._arrays import at_home, validated
from .._progress import Progress
from ..common import (
    NONE,
    Array,
    ParameterError,
    Rule,
    check_parameters,
    one_of,
    running_as,
    to_host,
)
from ._arrays import POSITIVE_NUMBER, number
from ._clouds import Cloud, clouds_of, is_clouds, on_the_line, size, stacked
from .problem import Problem
from .solver import solve
from .transport import SinkhornTransport

BATCH = 1 << 21
"""Coordinates that are solved together, at most."""


@dataclass
class _Solver:
    """How all pairs of clouds are solved: keywords of `Problem`, of `solve`, and progress."""

    problem: dict[str, Any]
    solve: dict[str, Any]
    verbose: int
    iterations: int = 0
    """The most that any took."""

    def values(
        self, first: Sequence[Cloud], second: Sequence[Cloud], pairs: Sequence[tuple[int, int]]
    ) -> Array:
        """Return the value of each pair of clouds (i of the first, j of the second)."""
        found = np.empty(len(pairs))
        with Progress("Clouds", None, self.verbose, step="Batch") as progress:
            for places in _batches(first, second, pairs):
                i, j = zip(*(pairs[p] for p in places), strict=True)
                x, a = stacked([first[k] for k in i])
                y, b = (x, a) if first is second and i == j else stacked([second[k] for k in j])
                solved = solve(Problem(x, y, a, b, **self.problem), **self.solve)
                self.iterations = max(self.iterations, len(solved.errors))
                found[places] = solved.value
                progress.step(pairs=str(len(places)))
        return found

    def own(self, clouds: Sequence[Cloud]) -> Array:
        """Return the value of each cloud and itself."""
        return self.values(clouds, clouds, [(k, k) for k in range(len(clouds))])

    def debiased(
        self,
        first: Sequence[Cloud],
        second: Sequence[Cloud],
        own: tuple[Array, Array],
        pairs: Sequence[tuple[int, int]],
    ) -> Array:
        """Return the divergence of each pair, from the values `own` of clouds and themselves."""
        i, j = np.array(pairs, int).reshape(-1, 2).T
        masses, others = (np.array([w.sum() for _, w in clouds]) for clouds in (first, second))
        unequal = self.problem["epsilon"] / 2 * (masses[i] - others[j]) ** 2
        biased = self.values(first, second, pairs)
        debiased: Array = biased - (own[0][i] + own[1][j]) / 2 + unequal
        return debiased


def _batches(
    first: Sequence[Cloud], second: Sequence[Cloud], pairs: Sequence[tuple[int, int]]
) -> list[list[int]]:
    """Return places in `pairs` by the sizes of both clouds, in batches."""
    bysize: dict[tuple[int, int], list[int]] = {}
    for place, (i, j) in enumerate(pairs):
        bysize.setdefault((size(first[i]), size(second[j])), []).append(place)
    D = first[0][0].shape[1] if len(first) else 1
    batches = []
    for (M, N), places in bysize.items():
        step = max(1, BATCH // ((M + N) * D))
        batches += [places[k : k + step] for k in range(0, len(places), step)]
    return batches


def _usual_epsilon(clouds: Sequence[Cloud], **problem: Any) -> float:
    """Return the regularisation that all clouds together would have as one."""
    points, weights = (np.concatenate(parts) for parts in zip(*clouds, strict=True))
    weights = weights / len(clouds)
    return float(Problem(points, points, weights, weights, **problem).epsilon)


class TransportKernel(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    r"""Similarities of clouds of points by optimal transport, as a precomputed kernel.

    A sample is a cloud of weighted points; clouds may differ in size. The kernel of two is
    :math:`\exp(-\gamma S)` of their Sinkhorn divergence S.

    Parameters
    ----------
    gamma : float or None, default=None
        Factor of the divergence. By default 1 over the mean divergence of training clouds from
        others, each from the one half the list away.
    epsilon : float or None, default=None
        Regularisation, in the units of the cost. By default 0.05 times the mean cost of the points
        of all training clouds.
    cost : str, Cost or callable, default="sqeuclidean"
        What it costs to move mass, as in `SinkhornTransport`.
    reach : float, pair of floats or None, default=None
        A distance beyond which mass is left behind rather than moved. None moves all of it, and
        divides weights by their sum.
    penalty : {"kl", "tv"}, default="kl"
        What mass left behind costs, with `reach`.
    output : {"kernel", "divergence"}, default="kernel"
        What `transform` returns: the latter for neighbours with ``metric="precomputed"``. Those
        below 0, by rounding or by a cost that does not make a divergence, are 0.
    tol : float, default=1e-6
        Marginal error, relative to the mass, up to which each plan is found. Errors of divergences
        are of second order in it.
    max_iter : int, default=1000
        The most iterations.
    verbose : int, default=0
        Whether to show progress, a step for each batch of pairs.
    n_jobs : int or None, default=None
        Number of threads; -1 for all processors. None leaves it to the engine's options.
    backend : str, default="auto"
        Backend of the engine.

    Attributes
    ----------
    clouds_ : list of (points, weights)
        The training clouds.
    epsilon_ : float
        The regularisation.
    gamma_ : float
        The factor.
    own_ : ndarray of shape (n_clouds,)
        Value of the transport of each training cloud to itself.
    n_iter_ : int
        The most iterations that a plan of `fit` took.
    n_features_in_ : int
        Number of features of the points; of a matrix, the number of its columns.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, if `X` was a matrix with names that are strings.

    See Also
    --------
    SinkhornTransport : Carries samples along a plan.

    Notes
    -----
    Clouds are a list of arrays of shape (n_points, n_features), or of pairs of such an array and
    weights of shape (n_points,); or an array of shape (n_clouds, n_points, n_features). Of a matrix
    (n_clouds, n_points) each row is a cloud of points on the line. Work is done on the processor,
    wherever they are.

    For n clouds there are n (n - 1) / 2 divergences to find, in batches of clouds of about the same
    size. A kernel of divergences need not be positive definite, except on the line; support vector
    machines do with that.

    Examples
    --------
    Rings and discs, told apart by where their mass is:

    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.svm import SVC
    >>> from georeduce.apps.ot import TransportKernel
    >>> rng = np.random.default_rng(0)
    >>> def cloud(is_ring):
    ...     n = rng.integers(20, 40)
    ...     points = rng.normal(size=(n, 2))
    ...     radii = np.ones(n) if is_ring else np.sqrt(rng.random(n))
    ...     return radii[:, None] * points / np.linalg.norm(points, axis=1)[:, None]
    >>> labels = [0, 1] * 20
    >>> clouds = [cloud(label) for label in labels]
    >>> model = make_pipeline(TransportKernel(), SVC(kernel="precomputed"))
    >>> model.fit(clouds[:30], labels[:30]).score(clouds[30:], labels[30:])
    1.0
    """

    _rules: ClassVar[dict[str, Rule]] = {
        "gamma": POSITIVE_NUMBER | NONE,
        "output": one_of("kernel", "divergence"),
        **{
            name: SinkhornTransport._rules[name]
            for name in (
                "epsilon", "cost", "reach", "penalty", "tol", "max_iter", "verbose", "n_jobs",
                "backend",
            )
        },
    }  # fmt: skip

    def __init__(
        self,
        gamma: float | None = None,
        *,
        epsilon: float | None = None,
        cost: Any = "sqeuclidean",
        reach: Any = None,
        penalty: str = "kl",
        output: str = "kernel",
        tol: float = 1e-6,
        max_iter: int = 1000,
        verbose: int = 0,
        n_jobs: int | None = None,
        backend: str = "auto",
    ) -> None:
        self.gamma = gamma
        self.epsilon = epsilon
        self.cost = cost
        self.reach = reach
        self.penalty = penalty
        self.output = output
        self.tol = tol
        self.max_iter = max_iter
        self.verbose = verbose
        self.n_jobs = n_jobs
        self.backend = backend

    @at_home
    def fit(self, X: Any, y: Any = None) -> TransportKernel:
        """Keep the training clouds, and find the transport of each to itself.

        Parameters
        ----------
        X : clouds, as in the notes
            The training clouds.
        y : Ignored
            For pipelines.

        Returns
        -------
        self : TransportKernel
            The fitted estimator.
        """
        check_parameters(self, self._rules)
        self.clouds_ = self._checked(X, reset=True)
        n = len(self.clouds_)
        problem = {"cost": self.cost, "reach": self.reach, "penalty": self.penalty}
        with running_as(self):
            given = self.epsilon is not None
            usual = number(self.epsilon) if given else _usual_epsilon(self.clouds_, **problem)
            self.epsilon_ = float(usual)
            solver = self._solver()
            self.own_ = solver.own(self.clouds_)
            if self.gamma is not None:
                self.gamma_ = float(self.gamma)
            else:
                pairs = [(k, (k + n // 2) % n) for k in range(n)]
                usual = solver.debiased(self.clouds_, self.clouds_, (self.own_,) * 2, pairs).mean()
                self.gamma_ = float(1 / usual) if usual > 0 else 1.0
        self.n_iter_ = solver.iterations
        self._n_features_out = n
        return self

    @at_home
    def transform(self, X: Any) -> Array:
        """Return the kernel of clouds and the training clouds.

        Parameters
        ----------
        X : clouds, as in the notes
            Of any sizes.

        Returns
        -------
        ndarray of shape (n_clouds, n_training_clouds)
            In float64; divergences on demand.
        """
        check_is_fitted(self)
        clouds = self._checked(X, reset=False)
        pairs = [(i, j) for i in range(len(clouds)) for j in range(len(self.clouds_))]
        with running_as(self):
            solver = self._solver()
            own = solver.own(clouds), self.own_
            found = solver.debiased(clouds, self.clouds_, own, pairs)
        return self._put_out(found.reshape(len(clouds), len(self.clouds_)))

    @at_home
    def fit_transform(self, X: Any, y: Any = None) -> Array:
        """Fit, and return the kernel of the training clouds: each pair of them is solved once.

        Parameters
        ----------
        X : clouds, as in the notes
            The training clouds.
        y : Ignored
            For pipelines.

        Returns
        -------
        ndarray of shape (n_training_clouds, n_training_clouds)
            Symmetric, in float64; divergences on demand.
        """
        clouds = self.fit(X).clouds_
        n = len(clouds)
        found = np.zeros((n, n))
        i, j = np.triu_indices(n, 1)
        with running_as(self):
            pairs = list(zip(i.tolist(), j.tolist(), strict=True))
            found[i, j] = self._solver().debiased(clouds, clouds, (self.own_,) * 2, pairs)
        return self._put_out(found + found.T)

    # --- Inside -----------------------------------------------------------------------------------

    def _solver(self) -> _Solver:
        problem = {
            "cost": self.cost, "epsilon": self.epsilon_, "reach": self.reach,
            "penalty": self.penalty,
        }  # fmt: skip
        how = {"tol": self.tol, "max_iter": self.max_iter}
        return _Solver(problem, how, self.verbose)

    def _checked(self, X: Any, reset: bool) -> list[Cloud]:
        X = to_host(X)
        given = is_clouds(X)
        if given:
            clouds = clouds_of(X, self.reach is None)
        else:
            clouds = on_the_line(validated(self, X, reset=reset))
        D = clouds[0][0].shape[1]
        if not reset and D != self.clouds_[0][0].shape[1]:
            what = f"points of {self.clouds_[0][0].shape[1]} features, as in training"
            cure = "" if given else "Rows of a matrix are clouds on the line; one cloud is [cloud]."
            raise ParameterError(expected(what, str(D), cure))
        if reset and given:
            self.n_features_in_ = D
        return clouds

    def _put_out(self, found: Array) -> Array:
        found = np.maximum(found, 0)
        return found if self.output == "divergence" else np.exp(-self.gamma_ * found)
