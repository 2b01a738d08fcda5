r"""Gaussian mixtures and their kin: k-means and kernel density estimates.

All of them reduce the symbolic matrix of samples :math:`x_i` and components :math:`y_j` (centers of
clusters, Gaussians, or the samples themselves): the nearest center is a minimum over j of
:math:`|x_i - y_j|^2`, a log-density a log-sum-exp of log-kernels; the M-step of a mixture is a sum
over samples whose formula holds the responsibilities. No array of samples times components is
ever held.

X may be a NumPy array, a PyTorch tensor or a CuPy array. Results come in the library and on the
device of X, or, for ``sample``, of the X of ``fit``; fitted attributes are NumPy arrays. Samples on
a GPU stay there. Weights may be of any library. Where a tensor wants gradients, ``score_samples``
has them, and all else is detached.
"""

from __future__ import annotations

from ._base import CollapseWarning
from .bayesian import BayesianGaussianMixture
from .density import KernelDensity
from .kmeans import KMeans
from .mixture import GaussianMixture

__all__ = [
    "BayesianGaussianMixture",
    "CollapseWarning",
    "GaussianMixture",
    "KMeans",
    "KernelDensity",
]
