r"""Wasserstein barycenters with free support: points that are moved until no cloud pulls at them.

.. math:: \min_x \sum_k \lambda_k S_\varepsilon\bigl(\textstyle\sum_i a_i \delta_{x_i}, b_k\bigr)

Under the squared Euclidean cost a step along the gradient takes each point to the mean of its
targets (Cuturi & Doucet 2014, Fast computation of Wasserstein barycenters, algorithm 2). Means
under an entropic plan are drawn together; by as much as those of the plan from the points to
themselves, which a debiased barycenter takes off again (Luise et al. 2019, Sinkhorn barycenters
with free support via Frank-Wolfe; Janati, Cuturi & Gramfort 2020, Debiased Sinkhorn barycenters).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import check_random_state

from georeduce.engine import ConvergenceWarning, ShapeError
from georeduce.engine.arrays import to_numpy
from georeduce.engine.errors import expected, warn

from .._arrays import native
from ..common import BOOLEAN, POSITIVE_INTEGER, RANDOM_STATE, ParameterError
from ._arrays import POSITIVE_NUMBER, at_home, constant, namespace, number
from .divergence import check_keywords
from .problem import Problem, check_same_mass, points, weights_of
from .solver import solve


@dataclass(frozen=True, eq=False)
class Barycenter:
    """A measure in the middle of others.

    Attributes
    ----------
    x : array of shape (n_points, D)
        Its points, as those of the clouds.
    a : array of shape (n_points,)
        Their weights, in float64, NumPy's or CuPy's.
    epsilon : float
        The regularisation.
    changes : tuple of float
        How far points moved in each iteration, as a part of the extent of the clouds.
    converged : bool
        Whether the last one is small enough.
    """

    x: Any
    a: Any
    epsilon: float
    changes: tuple[float, ...]
    converged: bool

    def __repr__(self) -> str:
        seen = f"{len(self.changes)} moves, {'' if self.converged else 'not '}converged"
        return f"Barycenter of {len(self.a)} points, epsilon {self.epsilon:g}, {seen}"


def barycenter(
    clouds: Sequence[Any],
    masses: Sequence[Any] | None = None,
    weights: Any = None,
    *,
    n_points: int | None = None,
    start: Any = None,
    a: Any = None,
    epsilon: float | None = None,
    debiased: bool = True,
    tol: float = 1e-3,
    max_iter: int = 100,
    random_state: Any = None,
    **how: Any,
) -> Barycenter:
    r"""Return the Wasserstein barycenter of clouds, under the squared Euclidean cost.

    Parameters
    ----------
    clouds : sequence of arrays of shape (n_k, D)
        Points, of one library, device and dtype.
    masses : sequence of arrays of shape (n_k,), optional
        Weights >= 0 of the points of each cloud, an array or None for each, of equal sums; by
        default 1 / n_k.
    weights : array-like of shape (n_clouds,), optional
        Of the clouds, >= 0; they are divided by their sum. Equal by default.
    n_points : int, optional
        Number of points of the barycenter; by default the largest of the n_k.
    start : array of shape (n_points, D), optional
        Where they start; by default at points of the clouds, drawn by all weights.
    a : array of shape (n_points,), optional
        Their weights, which stay; 1 / n_points by default.
    epsilon : float, optional
        Regularisation, in squared units of the points; 0.05 times the mean cost by default.
    debiased : bool, default True
        False minimises the values of transport instead of divergences: the barycenter is smaller
        than the clouds, by about the root of epsilon / 2.
    tol : float, default 1e-3
        It is found when the points move by less, as a part of the extent of the clouds: roots of
        weighted mean squares.
    max_iter : int, default 100
        Moves.
    random_state : int, RandomState or None
        Draws the start.
    **how
        Keywords of `solve`, but for ``tol``, which problems share.

    Returns
    -------
    Barycenter
        Frozen. How it belongs to a cloud is in the plan of ``Problem(found.x, cloud, found.a)``.

    Raises
    ------
    ParameterError, ShapeError, DTypeError
        Where one of them is not what is said here.

    Warns
    -----
    ConvergenceWarning
        If points still move after `max_iter` iterations.

    Examples
    --------
    >>> import numpy as np
    >>> from georeduce.apps.ot import barycenter
    >>> x = np.random.default_rng(0).random((20, 2))
    >>> found = barycenter([x, x + 4.0], weights=[3, 1], random_state=0)
    >>> (found.x.mean(axis=0) - x.mean(axis=0)).round(2)
    array([1., 1.])
    """
    check_keywords(how, barycenter)
    POSITIVE_NUMBER.check("tol", tol)
    tol = float(number(tol))
    POSITIVE_INTEGER.check("max_iter", max_iter)
    BOOLEAN.check("debiased", debiased)
    shares = _shares(weights, len(clouds))
    given = [None] * len(clouds) if masses is None else list(masses)
    if len(given) != len(clouds):
        what = f"masses of {len(clouds)} clouds"
        raise ParameterError(expected(what, f"those of {len(given)}"))
    # a cloud of share 0 pulls at nothing
    some = [k for k, share in enumerate(shares) if share]
    first = f"clouds[{some[0]}]"
    pulls: list[_Pull] = []
    for k in some:
        y = _matrix(clouds[k], f"clouds[{k}]", (pulls[0].y, first) if pulls else None)
        pulls.append(_Pull(y, weights_of(y, given[k], f"masses[{k}]"), shares[k]))
    with np.errstate(over="ignore"):  # solve says what to do about that
        extent = sum(pull.share * _variance(pull) for pull in pulls) ** 0.5
    if start is None:
        n_points = max(len(pull.b) for pull in pulls) if n_points is None else n_points
        x = _drawn(pulls, n_points, random_state)
    else:
        x = _matrix(start, "start", (pulls[0].y, first))
        if n_points is not None and n_points != len(x):
            raise ParameterError(expected(f"n_points={len(x)}, as in start", repr(n_points)))
    a = weights_of(x, a, "a")
    for k, pull in zip(some, pulls, strict=True):
        cure = "Divide each by its sum; weights that are not given have the sum 1."
        check_same_mass(a, pull.b, f"a and masses[{k}] of equal sums", cure)
    if epsilon is None:
        epsilon = sum(p * Problem(x, y, a, b).epsilon for y, b, p in pulls)
    changes: list[float] = []
    # each problem begins where the last one of its kind ended, as points move little
    last: list[Any] = ["zero"] * (len(pulls) + 1)
    while not changes or (changes[-1] > tol and len(changes) < max_iter):
        moved: Any = 0
        for k, (y, b, share) in enumerate(pulls):
            problem = Problem(x, y, a, b, epsilon=epsilon)
            last[k] = solve(problem, tol=tol, start=last[k], **how)
            moved = moved + share * last[k].plan.conditional().mean()
        if debiased:
            itself = Problem(x, x, a, a, epsilon=epsilon)
            last[-1] = solve(itself, tol=tol, start=last[-1], **how)
            moved = moved + (x - last[-1].plan.conditional().mean())
        squares = ((native(moved) - native(x)) ** 2).sum(-1)
        changes.append(_root_mean(squares, a) / (extent or 1.0))
        x = moved
    converged = changes[-1] <= tol
    if not converged:
        warn(
            f"Points of the barycenter still move by {changes[-1]:.2g} of the extent of the clouds"
            f" after {max_iter} iterations, more than tol={tol:g}. Raise max_iter or epsilon.",
            ConvergenceWarning,
        )
    return Barycenter(x, a, problem.epsilon, tuple(changes), converged)


class _Pull(NamedTuple):
    """A cloud: points y (n, D), weights b (n,) of theirs, and its share of all clouds."""

    y: Any
    b: Any
    share: float


def _matrix(x: Any, name: str, like: tuple[Any, str] | None) -> Any:
    """Return the points of one cloud, beside those of another."""
    if getattr(x, "ndim", 2) != 2:
        what = f"{name} of shape (points, features)"
        raise ShapeError(expected(what, f"shape {tuple(x.shape)}"))
    return constant(points(x, name, like))


def _shares(weights: Any, n: int) -> list[float]:
    """Return the weights of clouds, of sum 1."""
    if n == 0:
        raise ParameterError(expected("at least one cloud", "none"))
    shares = np.ones(n) if weights is None else np.asarray(weights, np.float64)
    if shares.shape != (n,) or not (shares >= 0).all() or not 0 < shares.sum() < np.inf:
        what = f"weights of {n} clouds, >= 0 and not all 0"
        raise ParameterError(expected(what, repr(weights)))
    found: list[float] = (shares / shares.sum()).tolist()
    return found


def _variance(pull: _Pull) -> float:
    """Return the mean squared distance of a cloud's points from their mean."""
    y, b = native(pull.y).astype(np.float64), pull.b[:, None]
    mean = (y * b).sum(0) / b.sum()
    return float((((y - mean) ** 2) * b).sum() / b.sum())


def _root_mean(squares: Any, weights: Any) -> float:
    return float(((squares * weights).sum() / weights.sum()) ** 0.5)


def _drawn(pulls: list[_Pull], n_points: Any, random_state: Any) -> Any:
    """Return points of clouds, drawn by the weights of both."""
    POSITIVE_INTEGER.check("n_points", n_points)
    RANDOM_STATE.check("random_state", random_state)
    law = np.concatenate([share * to_numpy(b / b.sum()) for _, b, share in pulls])
    some = np.count_nonzero(law)
    if n_points > some:
        # two points at one place would stay together
        what = f"n_points to be at most {some}, the number of points of the clouds"
        raise ParameterError(expected(what, repr(n_points), "Pass a start."))
    random_state = check_random_state(random_state)
    rows = random_state.choice(len(law), n_points, replace=False, p=law / law.sum())
    clouds = [native(y) for y, *_ in pulls]
    xp = namespace(clouds[0])
    return at_home(xp.concatenate(clouds)[xp.asarray(np.sort(rows))], pulls[0].y)
