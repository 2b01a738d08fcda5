"""The K smallest over many blocks of columns: values that are held, and tiles done again."""

from __future__ import annotations

import numpy as np
import pytest

from georeduce.engine import LazyTensor

pytestmark = [pytest.mark.compiler, pytest.mark.compiles]

M, N, D = 21, 20_011, 3
"""Strips of both kinds, some twenty blocks, and a last vector that is not full."""
ORDERS = ["random", "ascending", "descending", "late", "tied", "mostly nan"]


def points(order: str, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Return points of small integers, whose squared distances are exact in either type."""
    rng = np.random.default_rng(7)
    x, y = rng.integers(0, 4, (M, D)), rng.integers(0, 1000, (N, D)).astype(dtype)
    near = np.argsort((y**2).sum(1), kind="stable")
    if order == "ascending":
        y = y[near]
    elif order == "descending":
        y = y[near[::-1]]
    elif order == "late":  # nothing to be found for long, then much
        y = np.concatenate([y[near[2000:]], y[near[:2000]]])
    elif order == "tied":
        y %= 5
    elif order == "mostly nan":
        y[rng.random(N) < 0.9] = np.nan
    return x.astype(dtype), y


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("order", ORDERS)
def test_against_a_sort(order: str, dtype: str) -> None:
    x, y = points(order, dtype)
    values = ((x[:, None] - y[None]) ** 2).sum(-1)
    columns = np.argsort(values, axis=1, kind="stable")  # NaN last
    formula = LazyTensor(x[:, None]).sqdist(LazyTensor(y[None]))
    for K in (1, 10, 16, 17, 33, 100, 1500):
        found = formula.argKmin(K, axis=1, backend="openmp")
        assert np.array_equal(found, columns[:, :K]), f"K = {K}"
