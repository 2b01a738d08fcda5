r"""Exact nearest neighbours: search, classification and regression.

The k nearest neighbours of queries :math:`x_1, \dots, x_M` in a database
:math:`y_1, \dots, y_N` are one reduction of the symbolic matrix :math:`d(x_i, y_j)`, which is
never stored: for each i, the k smallest of its values and the indices j where they stand. A metric
:math:`d` is a formula of two LazyTensors, one line of the table `METRICS` or a user's function.

The estimators follow scikit-learn's classes of the same names, for exhaustive search of dense data.
"""

from __future__ import annotations

from .classifier import KNeighborsClassifier
from .metrics import METRICS, Metric
from .nearest import NearestNeighbors
from .regressor import KNeighborsRegressor

__all__ = [
    "METRICS",
    "KNeighborsClassifier",
    "KNeighborsRegressor",
    "Metric",
    "NearestNeighbors",
]
