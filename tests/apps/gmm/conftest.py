"""Data sets, starts, and how near two mixtures are."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from helpers import eps
from sklearn import datasets
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from georeduce.engine import options

NEAR = float(np.sqrt(eps(np.float64)))
"""Relative: a hundredth of what is asked for. Iterations amplify rounding, but not by 10^7."""
D = 3
"""Features of random data: the kernels of a type are the same for all n and K."""

LOADERS = {
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "cancer": datasets.load_breast_cancer,
    "digits": datasets.load_digits,
}


@pytest.fixture(scope="session")
def near() -> float:
    return NEAR


@pytest.fixture(scope="session")
def tools() -> Any:
    """The functions of this file, for the tests."""
    return sys.modules[__name__]


@pytest.fixture
def on_numpy(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tests that ask for no backend compile nothing."""
    name = request.getfixturevalue("backend") if "backend" in request.fixturenames else "numpy"
    with options(backend=name):
        yield


def load(name: str) -> Any:
    X = LOADERS[name](return_X_y=True)[0]
    if name == "iris":
        return X
    reduce = PCA(4, random_state=0) if name == "digits" else StandardScaler()
    return 10 + reduce.fit_transform(X)  # no mean is 0


def blobs(rng: np.random.Generator, n: int = 300, K: int = 3) -> Any:
    """Return samples of K clusters with different, correlated spreads."""
    mix = rng.normal(size=(K, D, D))
    means = 5 * rng.normal(size=(K, D))
    labels = np.arange(n) % K
    return means[labels] + np.einsum("nd,nde->ne", rng.normal(size=(n, D)), mix[labels])


def same(ours: Any, theirs: Any, names: str, rtol: float = NEAR) -> None:
    """Assert that attributes of two fitted mixtures are near each other, and of equal shapes."""
    for name in names.split():
        a, b = (np.asarray(getattr(model, name)) for model in (ours, theirs))
        if name.startswith("lower_bound"):  # theirs is an array of one number for tied types
            b = b.reshape(a.shape)
        assert a.shape == b.shape, name
        atol = rtol * float(np.abs(b).max(initial=0))
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol, err_msg=name)
