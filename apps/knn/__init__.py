r"""Exact nearest neighbours: search, classification and regression.

The k nearest neighbours of queries :math:`x_1, \dots, x_M` in a database
:math:`y_1, \dots, y_N` are one reduction of the symbolic matrix :math:`d(x_i, y_j)`, which is
never stored: for each i, the k smallest of its values and the indices j where they stand. A metric
:math:`d` is a formula of two LazyTensors, one line of the table `METRICS` or a user's function.

The estimators follow scikit-learn's classes of the same names, for exhaustive search of dense data.
X may be a NumPy array, a PyTorch tensor or a CuPy array, and y of any library. Results come in the
library and on the device of X; fitted attributes are NumPy arrays. The search runs on a GPU if the
queries or the database lie on one. Tensors that want gradients are detached; labels that are no
numbers come as NumPy arrays.
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
