r"""What is to be transported: two weighted point clouds, a cost, and how much regularisation.

.. math:: \min_{\pi \ge 0} \sum_{ij} \pi_{ij} C(x_i, y_j) + \varepsilon\, KL(\pi | a \otimes b)
          + \varphi_1(\pi 1 | a) + \varphi_2(\pi^T 1 | b)

with :math:`KL(\pi | \mu) = \sum \pi \log(\pi / \mu) - \pi + \mu` (Peyré & Cuturi 2019,
Computational Optimal Transport, equation 4.9; unbalanced: section 10.2). Its optimum is
:math:`\pi_{ij} = a_i b_j \exp((f_i + g_j - C_{ij}) / \varepsilon)` for two vectors, the potentials.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from georeduce.engine import DTypeError, LazyTensor, ShapeError, Vj
from georeduce.engine.arrays import check_array, kind_of
from georeduce.engine.errors import did_you_mean, expected

from .._arrays import native
from ..common import ParameterError, is_real, to_host
from . import costs
from ._arrays import SMALL, namespace, number
from ._penalties import PENALTIES, Balanced, Penalty

RELATIVE = 0.05
"""Of the mean cost: epsilon, unless it is given (as in OTT-JAX)."""
LEAST = 1e-250
"""The smallest epsilon: products of small parts of it are numbers."""
SAME_MASS = 1e-5
"""How far sums of weights may be from each other, relatively: float32 weights are normalised so."""


@dataclass(frozen=True, eq=False)
class Problem:
    r"""Entropic optimal transport of the weighted points x to the weighted points y.

    Parameters
    ----------
    x : array of shape (..., M, D)
        Source points, of NumPy, PyTorch or CuPy, float32 or float64. Leading axes are a batch of
        problems.
    y : array of shape (..., N, D)
        Target points, of the same library, device and dtype.
    a : array of shape (..., M), optional
        Weights of the source points, >= 0; 1 / M each by default.
    b : array of shape (..., N), optional
        Weights of the target points; 1 / N each by default. If both marginals are kept, the sums of
        a and of b must be equal.
    cost : str, Cost or callable, default "sqeuclidean"
        A name in `costs.COSTS`, a `Cost`, or a function of two LazyTensors, points as rows and as
        columns, that returns a LazyTensor of dimension 1.
    epsilon : float, optional
        Regularisation, > 0, in the units of the cost. By default 0.05 times the mean cost, of those
        that are finite.
    reach : float or pair of floats or None, optional
        None keeps the marginals. A number relaxes both, a pair one each, None in it being none: a
        distance beyond which mass is left behind rather than moved, :math:`\rho = reach^p` for a
        cost of degree p.
    penalty : {"kl", "tv"}, default "kl"
        What relaxed marginals cost: :math:`\rho` times the Kullback-Leibler divergence, or the
        total variation, from the weights.

    Raises
    ------
    ParameterError, ShapeError, DTypeError
        Where one of them is not what is said here.
    """

    x: Any
    y: Any
    a: Any = None
    b: Any = None
    cost: Any = "sqeuclidean"
    epsilon: Any = None
    reach: Any = None
    penalty: str = "kl"

    def __post_init__(self) -> None:
        for name, value in _checked(self).items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        sizes = f"{self.M} to {self.N} points"
        return f"Problem of {sizes}, cost {self.cost.name}, epsilon {self.epsilon:g}"

    @property
    def M(self) -> int:
        """Number of source points."""
        return int(self.x.shape[-2])

    @property
    def N(self) -> int:
        """Number of target points."""
        return int(self.y.shape[-2])

    @cached_property
    def penalties(self) -> tuple[Penalty, Penalty]:
        """What it costs that a marginal is not the weights, for a and for b."""
        kind = PENALTIES[self.penalty]
        rows, columns = (
            Balanced() if r is None else kind(self.cost.of_distance(r)) for r in self.reach
        )
        return rows, columns

    @cached_property
    def C(self) -> LazyTensor:
        """The costs of all pairs, symbolic, of shape (..., M, N)."""
        costs: LazyTensor = self.cost.between(self.x, self.y)
        return costs

    @cached_property
    def is_symmetric(self) -> bool:
        """Whether source and target are the same: then both potentials are."""
        pairs = ((native(self.x), native(self.y)), (self.a, self.b))
        return self.reach[0] == self.reach[1] and all(
            one is other or (one.shape == other.shape and bool((one == other).all()))
            for one, other in pairs
        )

    def with_epsilon(self, epsilon: float) -> Problem:
        """Return the same problem under another regularisation."""
        return replace(self, epsilon=epsilon)


def _checked(problem: Problem) -> dict[str, Any]:
    """Return the fields as they are meant, or raise the sentence of the first that is wrong."""
    x = points(problem.x, "x")
    y = points(problem.y, "y", like=(x, "x"))
    reach = _reach(problem.reach)
    a = weights_of(x, problem.a, "a")
    b = a if y is x and problem.b is problem.a else weights_of(y, problem.b, "b")
    if reach == (None, None):
        b = _balanced(a, b)
    cost = costs.resolve(problem.cost)
    if not isinstance(problem.penalty, str) or problem.penalty not in PENALTIES:
        guess = did_you_mean(str(problem.penalty), PENALTIES)
        what = f"penalty to be one of {sorted(PENALTIES)}"
        raise ParameterError(expected(what, repr(problem.penalty), guess))
    fields = {"x": x, "y": y, "a": a, "b": b, "cost": cost, "reach": reach}
    epsilon = number(problem.epsilon)
    if epsilon is None:
        epsilon = RELATIVE * _mean_cost(cost, x, y, a, b) or 1.0
    elif not (is_real(epsilon) and 0 < epsilon < math.inf):
        cure = ""
        if is_real(epsilon) and epsilon == 0:
            cure = "An exact plan needs no entropy: see the package POT, ot.emd."
        elif getattr(epsilon, "requires_grad", False):
            cure = "Pass epsilon.item(): there is no derivative by it."
        raise ParameterError(expected("epsilon > 0, one number", repr(epsilon), cure))
    if epsilon < LEAST:
        what = f"costs in units in which epsilon is at least {LEAST:g}"
        raise ParameterError(expected(what, f"{epsilon:.3g}", "Multiply the points by a number."))
    return fields | {"epsilon": float(epsilon)}


def points(x: Any, name: str, like: tuple[Any, str] | None = None) -> Any:
    """Return points (..., n, D), or raise the sentence of what is wrong with them.

    Parameters
    ----------
    x : array
        As the user gave it.
    name : str
        The user's word for it.
    like : array of shape (..., m, D) and str, optional
        Other points, and the user's word for these, which x is beside.
    """
    what = f"{name} of shape (..., points, features)"
    x = check_array(x, what, name)
    if x.ndim < 2:
        cure = f"Pass {name}[:, None] if it holds points of one feature."
        raise ShapeError(expected(what, f"shape {tuple(x.shape)}", cure))
    check_finite(x, name)
    if like is not None:
        _check_alike(x, name, *like)
    return x


def _check_alike(y: Any, name: str, x: Any, other: str) -> None:
    (x_dtype, x_home), (y_dtype, y_home) = kind_of(x), kind_of(y)
    if (x_dtype, x_home) != (y_dtype, y_home):
        what = f"{name} as {other}: {x_dtype} {x_home}"
        cure = "Convert one of them."
        raise ParameterError(expected(what, f"{y_dtype} {y_home}", cure))
    if x.shape[:-2] != y.shape[:-2]:
        what = f"{name} of batch shape {tuple(x.shape[:-2])}, as {other}"
        raise ShapeError(expected(what, f"shape {tuple(y.shape)}"))
    if x.shape[-1] != y.shape[-1]:
        what = f"{name} of {x.shape[-1]} features, as {other}"
        raise ShapeError(expected(what, f"{y.shape[-1]}"))


def check_finite(x: Any, name: str) -> None:
    """Raise if there is a number that is none."""
    values = native(x)
    xp = namespace(values)
    if not bool(xp.isfinite(values).all()):
        row = tuple(int(k[0]) for k in xp.nonzero(~xp.isfinite(values)))
        cure = "Drop these points, or fill in what is missing."
        raise ParameterError(expected(f"finite numbers in {name}", f"{values[row]} at {row}", cure))


def weights_of(x: Any, a: Any, name: str) -> Any:
    """Return the weights a of points x in float64, of NumPy or CuPy if x is."""
    shape = tuple(x.shape[:-1])
    home = kind_of(native(x))[1]
    xp = namespace(native(x))
    if a is None:
        return xp.full(shape, 1 / max(shape[-1], 1))
    a = check_array(a, f"{name} of shape {shape}, a weight for each point", name)
    if tuple(a.shape) != shape:
        what = f"{name} of shape {shape}, a weight for each point"
        raise ShapeError(expected(what, f"shape {tuple(a.shape)}"))
    if kind_of(a)[1] not in (kind_of(x)[1], home):
        what = f"{name} as the points: {kind_of(x)[1]}"
        raise ParameterError(expected(what, str(kind_of(a)[1])))
    check_finite(a, name)
    a = native(a).astype(np.float64)
    if a.size and float(a.min()) < 0:
        place = tuple(int(k[0]) for k in xp.nonzero(a == a.min()))
        cure = "A weight of 0 leaves a point out."
        raise ParameterError(expected(f"{name} >= 0", f"{float(a.min())} at {place}", cure))
    return a


def _balanced(a: Any, b: Any) -> Any:
    """Return b, of the same sum as a, or say that the two sums are not."""
    cure = "Divide each by its sum, or set reach, which lets mass be left behind."
    check_same_mass(a, b, "a and b of equal sums where all mass is moved", cure)
    masses, others = a.sum(-1), b.sum(-1)
    if b is a or not bool((others > 0).all()):
        return b
    return b * (masses / others)[..., None]


def check_same_mass(a: Any, b: Any, what: str, cure: str) -> None:
    """Raise the sentence if weights (..., M) and (..., N) have not the same sums."""
    masses, others = (np.ravel(to_host(weights.sum(-1))) for weights in (a, b))
    off = abs(masses - others)
    if (off > SAME_MASS * masses).any():
        worst = int(off.argmax())
        got = f"{masses[worst]:.6g} and {others[worst]:.6g}"
        raise ParameterError(expected(what, got, cure))


def _reach(reach: Any) -> tuple[float | None, float | None]:
    pair = tuple(reach) if isinstance(reach, tuple | list) else (reach, reach)
    pair = tuple(number(r) for r in pair)
    right = len(pair) == 2 and all(r is None or (is_real(r) and r > 0) for r in pair)
    if not right:
        what = "reach to be None, a positive number or a pair of these"
        raise ParameterError(expected(what, repr(reach)))
    first, second = (None if r is None or r == math.inf else float(r) for r in pair)
    return first, second


def _mean_cost(cost: costs.Cost, x: Any, y: Any, a: Any, b: Any) -> float:
    """Return the mean of the finite costs."""
    if not (a.size and b.size):
        return 0.0
    x, y = native(x), native(y)
    mean, is_whole = _mean_in(cost, x, y, a, b)
    # float32 may have no numbers for costs that float64 has some for
    if x.dtype == np.float32 and not (is_whole and mean > SMALL):
        with contextlib.suppress(DTypeError):  # of a cost with arrays of its own
            mean, _ = _mean_in(cost, x.astype(np.float64), y.astype(np.float64), a, b)
    return mean


def _mean_in(cost: costs.Cost, x: Any, y: Any, a: Any, b: Any) -> tuple[float, bool]:
    """Return the mean of the finite costs in the dtype of the points, and if these are all."""
    C, weights, axis = cost.between(x, y), Vj(b[..., None].astype(x.dtype)), x.ndim - 1
    costs = ((C * weights).sum(axis=axis)[..., 0] * a).sum(-1)
    masses = a.sum(-1) * b.sum(-1)
    is_whole = bool(namespace(x).isfinite(costs).all())
    if not is_whole:
        finite = C < math.inf
        costs, masses = (
            (finite.where(some, 0.0).sum(axis=axis)[..., 0] * a).sum(-1)
            for some in (C * weights, weights)
        )
    return float((costs / namespace(x).where(masses > 0, masses, 1)).mean()), is_whole
