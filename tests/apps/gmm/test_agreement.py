"""Beside scikit-learn, from equal starts: parameters, labels, densities, and every iteration."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
import pytest
import sklearn.mixture
from helpers import eps
from sklearn.exceptions import ConvergenceWarning

from georeduce.apps import gmm

pytestmark = pytest.mark.usefixtures("on_numpy")

TYPES = ("full", "tied", "diag", "spherical")
FITTED = "weights_ means_ covariances_ precisions_ precisions_cholesky_"
CLASSES = ("GaussianMixture", "BayesianGaussianMixture")


def both(name: str, X: Any, **params: Any) -> tuple[Any, Any]:
    """Return our mixture and scikit-learn's, fitted from equal starts.

    K-means of the two find other clusters. Where they would start, a mixture is given what
    scikit-learn's found; a Bayesian one, to which nothing can be given, starts from random
    responsibilities.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if name == "GaussianMixture" and not params.keys() & {"init_params", "means_init"}:
            first = sklearn.mixture.GaussianMixture(**{**params, "max_iter": 0}).fit(X)
            given = {"weights": first.weights_, "means": first.means_}
            given["precisions"] = first.precisions_
            params |= {f"{part}_init": value for part, value in given.items()}
        else:
            params = {"init_params": "random"} | params
        models = [getattr(module, name)(**params) for module in (gmm, sklearn.mixture)]
        ours, theirs = (model.fit(X) for model in models)
    return ours, theirs


def check(tools: Any, X: Any, ours: Any, theirs: Any) -> None:
    tools.same(ours, theirs, FITTED + " lower_bounds_ lower_bound_")
    assert (ours.n_iter_, ours.converged_) == (theirs.n_iter_, theirs.converged_)
    assert np.array_equal(ours.predict(X), theirs.predict(X))
    near = {"rtol": tools.NEAR, "atol": tools.NEAR}
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), **near)
    np.testing.assert_allclose(ours.score_samples(X), theirs.score_samples(X), **near)
    np.testing.assert_allclose(ours.score(X), theirs.score(X), **near)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("data", ["iris", "wine", "cancer", "digits"])
def test_maximum_likelihood(data: str, kind: str, tools: Any) -> None:
    X = tools.load(data)
    ours, theirs = both(
        "GaussianMixture", X, n_components=3, covariance_type=kind, tol=0, max_iter=20,
        random_state=0,
    )  # fmt: skip
    check(tools, X, ours, theirs)
    for criterion in ("aic", "bic"):
        a, b = getattr(ours, criterion)(X), getattr(theirs, criterion)(X)
        np.testing.assert_allclose(a, b, rtol=tools.NEAR)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("prior", ["dirichlet_process", "dirichlet_distribution"])
@pytest.mark.parametrize("data", ["iris", "wine", "cancer", "digits"])
def test_variational_inference(data: str, prior: str, kind: str, tools: Any) -> None:
    X = tools.load(data)
    ours, theirs = both(
        "BayesianGaussianMixture", X, n_components=4, covariance_type=kind, max_iter=20,
        weight_concentration_prior_type=prior, random_state=0,
    )  # fmt: skip
    check(tools, X, ours, theirs)
    tools.same(ours, theirs, "mean_precision_ mean_prior_ degrees_of_freedom_ covariance_prior_")
    tools.same(ours, theirs, "weight_concentration_ weight_concentration_prior_")


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("kind", TYPES)
def test_compiled_kernels(name: str, kind: str, tools: Any, backend: str) -> None:
    X = tools.load("iris")
    ours, theirs = both(
        name, X, n_components=3, covariance_type=kind, tol=0, max_iter=10, random_state=0
    )
    check(tools, X, ours, theirs)


@pytest.mark.parametrize("kind", ["full", "diag", "spherical"])
@pytest.mark.parametrize("method", ["random", "random_from_data"])
def test_equal_seeds_are_equal_starts(method: str, kind: str, tools: Any) -> None:
    X = tools.load("iris")
    ours, theirs = both(
        "GaussianMixture", X, n_components=3, covariance_type=kind, init_params=method,
        max_iter=0, random_state=3,
    )  # fmt: skip
    # Tied types differ: from single samples, theirs is the scatter of all others about 0.
    tools.same(ours, theirs, "weights_ means_")
    # Where a component has one sample, theirs is what cancellation leaves.
    left = 16 * eps(np.float64) * np.square(X).max()
    np.testing.assert_allclose(ours.covariances_, theirs.covariances_, rtol=tools.NEAR, atol=left)


@pytest.mark.parametrize("kind", TYPES)
def test_given_starts(kind: str, tools: Any, rng: np.random.Generator) -> None:
    X = tools.blobs(rng)
    precisions = {
        "full": np.stack([np.eye(3)] * 2),
        "tied": np.eye(3) + 0.1,
        "diag": np.ones((2, 3)),
        "spherical": np.ones(2),
    }[kind]
    ours, theirs = both(
        "GaussianMixture", X, n_components=2, covariance_type=kind, max_iter=5, tol=0,
        weights_init=[0.3, 0.7], means_init=X[:2], precisions_init=precisions, random_state=0,
    )  # fmt: skip
    check(tools, X, ours, theirs)


def test_given_priors(tools: Any) -> None:
    X = tools.load("iris")
    ours, theirs = both(
        "BayesianGaussianMixture", X, n_components=3, weight_concentration_prior=10.0,
        mean_precision_prior=2.0, mean_prior=X[0], degrees_of_freedom_prior=9.5,
        covariance_prior=np.eye(4) + 0.2, random_state=0,
    )  # fmt: skip
    check(tools, X, ours, theirs)


@pytest.mark.parametrize("name", CLASSES)
def test_warm_starts(name: str, tools: Any) -> None:
    X = tools.load("iris")
    models = []
    for module in (gmm, sklearn.mixture):
        model = getattr(module, name)(
            n_components=3, init_params="random_from_data", max_iter=2, tol=0, warm_start=True,
            random_state=0,
        )  # fmt: skip
        with pytest.warns(ConvergenceWarning):
            models.append(model.fit(X).fit(X))
    tools.same(*models, FITTED + " lower_bounds_")


def test_restarts(tools: Any) -> None:
    X = tools.load("iris")
    ours, theirs = both(
        "GaussianMixture", X, n_components=4, n_init=4, init_params="random", random_state=0
    )
    check(tools, X, ours, theirs)


@pytest.mark.parametrize("kind", TYPES)
def test_samples_are_the_same(kind: str, tools: Any) -> None:
    X = tools.load("iris")
    ours, theirs = both("GaussianMixture", X, n_components=2, covariance_type=kind, random_state=0)
    for a, b in zip(ours.sample(20), theirs.sample(20), strict=True):
        np.testing.assert_allclose(a, b, rtol=tools.NEAR, atol=tools.NEAR)


@pytest.mark.parametrize("name", CLASSES)
def test_parameters_are_scikit_learns_and_more(name: str) -> None:
    ours, theirs = (
        inspect.signature(getattr(module, name)).parameters for module in (gmm, sklearn.mixture)
    )
    assert set(theirs) <= set(ours)
    assert set(ours) - set(theirs) == {"collapsed", "n_jobs", "backend"}
    assert all(ours[p].default == theirs[p].default for p in theirs)


def test_grid_search_by_bic(tools: Any) -> None:
    from sklearn.model_selection import GridSearchCV

    def bic(model: Any, X: Any) -> float:
        return -float(model.bic(X))

    X = tools.load("digits")[::4]
    grid = {"n_components": [1, 4], "covariance_type": ["tied", "diag"]}
    found = [
        GridSearchCV(
            module.GaussianMixture(init_params="random_from_data", random_state=0, tol=0.1),
            grid, scoring=bic, cv=2,
        ).fit(X).cv_results_["mean_test_score"]
        for module in (gmm, sklearn.mixture)
    ]  # fmt: skip
    np.testing.assert_allclose(*found, rtol=tools.NEAR)
