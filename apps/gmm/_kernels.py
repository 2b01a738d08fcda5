r"""THE tables of density kernels and of the norms that they are functions of.

A kernel is a function :math:`k(u)` of a distance in bandwidths, :math:`u = d(x, y) / h`, with
:math:`k(0) = 1`. In D dimensions its integral is that over the radius times the surface,

.. math:: \int k(|x| / h)\, dx = h^D\, D\, V_D \int_0^\infty k(r)\, r^{D - 1}\, dr,

where :math:`V_D` is the volume of the unit ball: so a kernel states its moment, the integral over
r, and a norm its volume. A kernel that reaches to infinity is given by its logarithm, so that
densities far from all samples do not underflow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.polynomial.polynomial import polyval
from scipy.special import betaincinv, betaln, gammainc, gammaincinv, gammaln

from georeduce.engine import LazyTensor

from ..common import Array

NEWTON = 30
"""Steps of Newton's method, which near p = 1 halve the error."""


@dataclass(frozen=True)
class Kernel:
    """One kernel.

    It should be the case that ``quantile(p, D)`` is the radius of the ball that holds a share p of
    the mass of the kernel in D dimensions, and ``log_moment(D)`` the logarithm of the integral of
    ``k(r) r^(D - 1)`` over r.

    Attributes
    ----------
    name : str
        Value of the parameter ``kernel``.
    formula : callable
        From distances and the bandwidth, two LazyTensors, to the kernel or its logarithm.
    logarithmic : bool
        Whether it is the logarithm.
    log_moment : callable
        Of D.
    quantile : callable
        Of p, an array, and D.
    squared : bool
        Whether the formula takes the square of the distance, where the norm is a root.
    """

    name: str
    formula: Callable[[LazyTensor, LazyTensor], LazyTensor]
    logarithmic: bool
    log_moment: Callable[[int], float]
    quantile: Callable[[Array, int], Array]
    squared: bool = False


@dataclass(frozen=True)
class Norm:
    """A norm whose unit ball has a known volume.

    Attributes
    ----------
    log_volume : callable
        Logarithm of the volume of the unit ball, of D.
    draw : callable
        From a RandomState and a shape (n, D) to vectors whose norm does not depend on their
        direction.
    norm : callable
        Of the rows of an array.
    share : callable
        From norms and D, what share of the vectors drawn is shorter.
    """

    log_volume: Callable[[int], float]
    draw: Callable[[np.random.RandomState, tuple[int, int]], Array]
    norm: Callable[[Array], Array]
    share: Callable[[Array, int], Array]


NORMS = {
    "euclidean": Norm(
        lambda D: D / 2 * math.log(math.pi) - float(gammaln(D / 2 + 1)),
        lambda random_state, shape: random_state.normal(size=shape),
        lambda x: np.linalg.norm(x, axis=1),
        lambda r, D: gammainc(D / 2, r**2 / 2),
    ),
    "manhattan": Norm(
        lambda D: D * math.log(2) - float(gammaln(D + 1)),
        lambda random_state, shape: random_state.laplace(size=shape),
        lambda x: np.abs(x).sum(axis=1),
        lambda r, D: gammainc(D, r),
    ),
}
"""By the metric's name in the table of `georeduce.apps.knn`."""


def _cosine_series(D: int) -> Array:
    """Return coefficients a_k of the mass D sum_k a_k r^(D + 2 k) of the cosine within radius r."""
    k = np.arange(20)
    log_terms = 2 * k * math.log(math.pi / 2) - gammaln(2 * k + 1)
    terms: Array = (-1.0) ** k * np.exp(log_terms) / (D + 2 * k)
    return terms


def _cosine_quantile(p: Array, D: int) -> Array:
    """Return radii, by Newton's method for r^D, of which the mass is a concave function.

    So steps from below stay below.
    """
    series = D * _cosine_series(D)
    target = p * math.fsum(series)
    t = target
    for _ in range(NEWTON):
        r = t ** (1 / D)
        t = t + (target - t * polyval(r * r, series)) / np.cos(math.pi / 2 * r)
        t = np.minimum(t, 1)
    found: Array = t ** (1 / D)
    return found


KERNELS = {
    kernel.name: kernel
    for kernel in (
        Kernel(
            "gaussian",
            lambda d2, h: -d2 / (2 * h * h),
            True,
            lambda D: (D / 2 - 1) * math.log(2) + float(gammaln(D / 2)),
            lambda p, D: np.sqrt(2 * gammaincinv(D / 2, p)),
            squared=True,
        ),
        Kernel(
            "tophat",
            lambda d, h: (d < h).where(1.0, 0.0),
            False,
            lambda D: -math.log(D),
            lambda p, D: p ** (1 / D),
        ),
        Kernel(
            "epanechnikov",
            lambda d, h: (1 - (d / h).square()).relu(),
            False,
            lambda D: math.log(2 / (D * (D + 2))),
            lambda p, D: np.sqrt(betaincinv(D / 2, 2, p)),
        ),
        Kernel(
            "exponential",
            lambda d, h: -d / h,
            True,
            lambda D: float(gammaln(D)),
            lambda p, D: gammaincinv(D, p),
        ),
        Kernel(
            "linear",
            lambda d, h: (1 - d / h).relu(),
            False,
            lambda D: float(betaln(D, 2)),
            lambda p, D: betaincinv(D, 2, p),
        ),
        Kernel(
            "cosine",
            lambda d, h: (d < h).where((math.pi / (2 * h) * d).cos(), 0.0),
            False,
            lambda D: math.log(math.fsum(_cosine_series(D))),
            _cosine_quantile,
        ),
    )
}


def log_norm(kernel: Kernel, metric: str, h: float, D: int) -> float:
    """Return the logarithm of the integral of a kernel of bandwidth h over the space."""
    return D * math.log(h) + math.log(D) + NORMS[metric].log_volume(D) + kernel.log_moment(D)


def offsets(
    kernel: Kernel, metric: str, n: int, D: int, random_state: np.random.RandomState
) -> Array:
    """Return n points (n, D) drawn from a kernel of bandwidth 1 at the origin."""
    norm = NORMS[metric]
    x = norm.draw(random_state, (n, D))
    if kernel.name == "gaussian" and metric == "euclidean":
        return x
    r = norm.norm(x)
    return x * (kernel.quantile(norm.share(r, D), D) / r)[:, None]
