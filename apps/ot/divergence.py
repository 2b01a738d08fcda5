r"""Losses between measures by transport: its value, and the divergence made of three values.

PyTorch's tensors get derivatives, see `_gradients.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from georeduce.engine.arrays import library_of
from georeduce.engine.errors import did_you_mean, expected

from .._arrays import untraced
from ..common import ParameterError
from ._arrays import at_home
from .problem import Problem
from .result import Transport
from .solver import solve


class Term(NamedTuple):
    """A solved problem, as a part of a loss of two measures.

    Attributes
    ----------
    factor : float
        Of its value.
    transport : Transport
        What was solved.
    sides : pair of int
        Which of the two measures are its source and its target.
    mass : bool
        Whether the loss has the part of the value that is epsilon times the product of the masses.
    """

    factor: float
    transport: Transport
    sides: tuple[int, int] = (0, 1)
    mass: bool = True


Solve = Callable[..., tuple[Any, list[Term]]]
"""From x, y, a, b to the value of a loss, native, and what its derivatives are those of."""


@untraced
def transport_value(
    x: Any,
    y: Any,
    a: Any = None,
    b: Any = None,
    *,
    cost: Any = "sqeuclidean",
    epsilon: Any = None,
    reach: Any = None,
    penalty: str = "kl",
    **how: Any,
) -> Any:
    r"""Return the value of entropic optimal transport, differentiable in PyTorch.

    .. math:: OT_\varepsilon(a, b) = \min_\pi \sum_{ij} \pi_{ij} C(x_i, y_j)
              + \varepsilon\, KL(\pi | a \otimes b) + \varphi_1(\pi 1 | a) + \varphi_2(\pi^T 1 | b)

    Parameters
    ----------
    x, y, a, b, cost, epsilon, reach, penalty
        See `Problem`.
    **how
        Keywords of `solve`: ``tol``, ``max_iter``, ... A gradient is as accurate as marginals are.

    Returns
    -------
    array of shape (...)
        In float64, NumPy's or CuPy's; of tensors, a tensor in the dtype of the points, with first
        derivatives by points and weights. The default epsilon counts as a constant. Where marginals
        are kept, derivatives by weights are those in directions that keep both masses equal.

    Raises
    ------
    ArgumentError
        For second derivatives; see also `Problem`.

    Examples
    --------
    >>> import numpy as np
    >>> from georeduce.apps.ot import transport_value
    >>> x, y = np.array([[0.0], [1.0]]), np.array([[2.0], [4.0]])
    >>> print(f"{transport_value(x, y, epsilon=1e-3, tol=1e-6):.3f}")  # 6.5 and epsilon log(2)
    6.501
    """
    check_keywords(how, transport_value)
    given = {"cost": cost, "epsilon": epsilon, "reach": reach, "penalty": penalty}
    return _loss(partial(_value, given, how), x, y, a, b)


@untraced
def sinkhorn_divergence(
    x: Any,
    y: Any,
    a: Any = None,
    b: Any = None,
    *,
    cost: Any = "sqeuclidean",
    epsilon: Any = None,
    reach: Any = None,
    penalty: str = "kl",
    **how: Any,
) -> Any:
    r"""Return the debiased Sinkhorn divergence of two measures, differentiable in PyTorch.

    .. math:: S_\varepsilon(a, b) = OT_\varepsilon(a, b) - \tfrac12 OT_\varepsilon(a, a)
              - \tfrac12 OT_\varepsilon(b, b) + \tfrac\varepsilon2 (m(a) - m(b))^2

    with the masses m (Feydy, Séjourné, Vialard, Amari, Trouvé & Peyré 2019, Interpolating between
    optimal transport and MMD using Sinkhorn divergences, equation 3; unbalanced: Séjourné, Feydy,
    Vialard, Trouvé & Peyré 2019, Sinkhorn divergences for unbalanced optimal transport, definition
    5). It is 0 for equal measures, and positive else for the costs "sqeuclidean" and "euclidean".

    Parameters
    ----------
    x, y, a, b, cost, epsilon, reach, penalty
        See `Problem`. The cost is to be symmetric, and both marginals kept or relaxed alike. By
        default epsilon is 0.05 times the mean cost between the two.
    **how
        Keywords of `solve`: ``tol``, ``max_iter``, ...

    Returns
    -------
    array of shape (...)
        As of `transport_value`.

    Raises
    ------
    ArgumentError
        For second derivatives; see also `Problem`.

    Notes
    -----
    GeomLoss's ``SamplesLoss("sinkhorn", p=2, blur=s)`` has half of our cost: it is half of this
    with ``epsilon=2 * s**2``, and ``reach=math.sqrt(2) * r`` for its ``reach=r``. With ``p=1`` the
    two are equal for ``cost="euclidean", epsilon=s, reach=r``.

    Examples
    --------
    >>> import numpy as np
    >>> from georeduce.apps.ot import sinkhorn_divergence
    >>> x = np.random.default_rng(0).random((50, 2))
    >>> print(f"{sinkhorn_divergence(x, x + 1):.4f}")  # of a translation, the squared distance
    2.0000
    """
    check_keywords(how, sinkhorn_divergence)
    given = {"cost": cost, "epsilon": epsilon, "reach": reach, "penalty": penalty}
    return _loss(partial(_divergence, given, how), x, y, a, b)


KEYWORDS = tuple(inspect.signature(solve).parameters)[1:]
GEOMLOSS = {
    "blur": "For the cost |x - y|^2 GeomLoss's blur is epsilon=2 * blur**2; see the notes.",
    "p": "GeomLoss's p=2 is cost='sqeuclidean', halved, and p=1 is cost='euclidean'.",
}


def check_keywords(how: dict[str, Any], function: Callable[..., Any]) -> None:
    """Raise if what is meant for `solve` is no keyword of it.

    Parameters
    ----------
    how : dict
        Keywords that a function does not know.
    function : callable
        For those that it knows.
    """
    for name in how:
        if name not in KEYWORDS:
            kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
            own = inspect.signature(function).parameters.items()
            known = [key for key, given in own if given.kind in kinds]
            known += [key for key in KEYWORDS if key not in known]
            cure = GEOMLOSS.get(name) or did_you_mean(name, known)
            raise ParameterError(expected(f"keywords among {known}", repr(name), cure))


def _loss(of: Any, x: Any, y: Any, a: Any, b: Any) -> Any:
    if library_of(x) != "torch":
        return of(x, y, a, b)[0]
    from ._gradients import differentiable

    # weights of NumPy may be beside tensors, but PyTorch keeps tensors only
    a, b = (at_home(w, x) if library_of(w) == "numpy" else w for w in (a, b))
    return differentiable(of, x, y, a, b)


def _value(
    given: dict[str, Any], how: dict[str, Any], x: Any, y: Any, a: Any, b: Any
) -> tuple[Any, list[Term]]:
    transport = solve(Problem(x, y, a, b, **given), **how)
    return transport.value, [Term(1.0, transport)]


def _divergence(
    given: dict[str, Any], how: dict[str, Any], x: Any, y: Any, a: Any, b: Any
) -> tuple[Any, list[Term]]:
    problem = Problem(x, y, a, b, **given)
    if problem.reach[0] != problem.reach[1]:
        what = "one reach for both measures of a divergence"
        cure = "transport_value takes two."
        raise ParameterError(expected(what, repr(problem.reach), cure))
    own = [
        replace(problem, x=points, y=points, a=weights, b=weights)
        for points, weights in ((problem.x, problem.a), (problem.y, problem.b))
    ]
    cross, first, second = (solve(p, **how) for p in (problem, *own))
    # what the masses add to the three values is the last term: its derivative is theirs, negated
    excess = problem.a.sum(-1) - problem.b.sum(-1)
    value = cross.value - 0.5 * (first.value + second.value) + 0.5 * problem.epsilon * excess**2
    return value, [
        Term(1.0, cross, mass=False),
        Term(-0.5, first, (0, 0), mass=False),
        Term(-0.5, second, (1, 1), mass=False),
    ]
