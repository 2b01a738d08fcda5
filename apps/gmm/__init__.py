r"""Gaussian mixtures and their kin: k-means and kernel density estimates.

All of them reduce the symbolic matrix of samples :math:`x_i` and components :math:`y_j` (centers of
clusters, or the samples themselves): the nearest center is a minimum over j of
:math:`|x_i - y_j|^2`, a log-density a log-sum-exp of log-kernels. No array of samples times
components is ever held.
"""

from __future__ import annotations

from .density import KernelDensity
from .kmeans import KMeans

__all__ = ["KMeans", "KernelDensity"]
