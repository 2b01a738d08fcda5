r"""The Gaussian of hyperbolic space: its normalisation, its variance, and samples of it.

Of density :math:`\exp(-d(x, m)^2 / 2 \sigma^2) / \zeta_D(\sigma)` by the Riemannian volume (Said,
Hajri, Bombrun and Vemuri, IEEE Trans. Inf. Theory 64, 2018). In units of the radius,

.. math::
    \zeta_D(\sigma) = \frac{2 \pi^{D / 2}}{\Gamma(D / 2)}
        \int_0^\infty e^{-r^2 / 2 \sigma^2} \sinh^{D - 1}(r) \, dr
    = \frac{2 \pi^{D / 2}}{\Gamma(D / 2)} \sqrt{\frac{\pi}{2}} \frac{\sigma}{2^{D - 1}}
        \sum_{k = 0}^{D - 1} (-1)^k \binom{D - 1}{k} e^{p_k^2 / 2}
        \left(1 + \mathrm{erf} \frac{p_k}{\sqrt 2}\right), \quad p_k = (D - 1 - 2 k) \sigma .

The sum's terms are of order 1 while it is of order :math:`\sigma^{D - 1}`, so that it has no digits
where sigma is small or D is large. The integrand is positive and smooth: a Gauss-Legendre rule has
all of them everywhere, and gives the mean of :math:`r^2` besides.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import gammaln, logsumexp

from ..common import Array

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(128)
_REACH = 10.0
"""How many sigmas from the mode the integrand is looked at: it falls faster than a Gaussian."""


def _log_density(r: Array, sigma: Array, D: int) -> Array:
    """Return the logarithm of the integrand, at r > 0."""
    log_sinh = r + np.log(-np.expm1(-2 * r)) - np.log(2)
    found: Array = (D - 1) * log_sinh - (r / sigma) ** 2 / 2
    return found


def mode(sigma: Array, D: int) -> Array:
    """Return where the integrand is largest: ``r tanh(r) = (D - 1) sigma^2``, by Newton's method.

    Parameters
    ----------
    sigma : ndarray of shape (K,)
        Widths.
    D : int
        Dimension.

    Returns
    -------
    ndarray of shape (K,)
        Radii.
    """
    if D == 1:
        return np.zeros_like(sigma)
    a = (D - 1) * sigma**2
    r = np.maximum((a + np.sqrt(a * a + 4 * a)) / 2, np.finfo(float).tiny)
    for _ in range(20):  # of a concave function, from the right: one step to the left, then up
        small = np.minimum(r, 300)
        r = r - (r - a / np.tanh(r)) / (1 + a / np.sinh(small) ** 2)
    found: Array = r
    return found


def radial(sigma: Array, D: int) -> tuple[Array, Array, Array]:
    """Return the logarithm of zeta, and the mean and variance of r^2, in units of the radius.

    Parameters
    ----------
    sigma : ndarray of shape (K,)
        Widths.
    D : int
        Dimension.

    Returns
    -------
    log_zeta, mean_square, variance : ndarrays of shape (K,)
        Right to some 1e-13, or some roundings where that is more.
    """
    sigma = np.asarray(sigma, float)
    middle = mode(sigma, D)
    low, high = np.maximum(middle - _REACH * sigma, 0), middle + _REACH * sigma
    r = low[:, None] + (high - low)[:, None] * (_NODES + 1) / 2
    values = _log_density(r, sigma[:, None], D) + np.log(_WEIGHTS * (high - low)[:, None] / 2)
    total = logsumexp(values, axis=1)
    shares, squares = np.exp(values - total[:, None]), r * r
    mean_square = (shares * squares).sum(axis=1)
    variance = (shares * (squares - mean_square[:, None]) ** 2).sum(axis=1)
    sphere = np.log(2) + D / 2 * np.log(np.pi) - gammaln(D / 2)
    return total + sphere, mean_square, variance


def width(mean_square: Array, D: int) -> Array:
    """Return the sigma whose mean of r^2 is given: the maximum of the likelihood.

    Parameters
    ----------
    mean_square : ndarray of shape (K,)
        Positive.
    D : int
        Dimension.

    Returns
    -------
    ndarray of shape (K,)
        Widths: at most that of flat space, ``sqrt(mean_square / D)``.
    """
    sigma: Array = np.sqrt(mean_square / D)
    for _ in range(50):  # Newton's method in logarithms, where slopes are from 2 to 4
        _, found, variance = radial(sigma, D)
        step = np.log(found / mean_square) * found * sigma**2 / variance
        sigma = sigma * np.exp(-step)
        if (abs(step) <= 1e-12).all():
            break
    return sigma


def drawn(sigma: float, D: int, n: int, rng: Any) -> Array:
    """Return tangent vectors (n, D) whose exponentials are samples, in units of the radius.

    Radii are drawn by rejection from the Gaussian at the mode, which bounds the density, as its
    logarithm is as curved everywhere, and more: some six of ten are taken at least.
    """
    if n == 0:
        return np.empty((0, D))
    top = float(mode(np.array([sigma]), D)[0])
    peak = _log_density(np.array(max(top, 1e-300)), np.array(sigma), D) if D > 1 else 0.0
    radii = np.empty(0)
    while len(radii) < n:
        r = top + sigma * rng.standard_normal(2 * n + 16)
        level = np.log(rng.uniform(size=len(r))) - ((r - top) / sigma) ** 2 / 2
        r, level = r[r > 0], level[r > 0]
        radii = np.concatenate([radii, r[level < _log_density(r, np.array(sigma), D) - peak]])
    directions = rng.standard_normal((n, D))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    found: Array = directions * radii[:n, None]
    return found
