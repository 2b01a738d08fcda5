"""Data that mixtures break on: collapse, duplicates, constants, zeros, huge offsets."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from helpers import eps
from sklearn.exceptions import ConvergenceWarning

from georeduce.apps.gmm import BayesianGaussianMixture, CollapseWarning, GaussianMixture
from georeduce.apps.gmm._covariances import COVARIANCES
from georeduce.engine.errors import ArgumentError

pytestmark = pytest.mark.usefixtures("on_numpy")

ESTIMATORS = (GaussianMixture, BayesianGaussianMixture)
each_type = pytest.mark.parametrize("kind", list(COVARIANCES))
each_class = pytest.mark.parametrize("cls", ESTIMATORS, ids=lambda cls: cls.__name__)


def quietly(model: Any, X: Any, **given: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, **given)


def is_finite(model: Any, X: Any) -> bool:
    fitted = [model.weights_, model.means_, model.covariances_, model.precisions_]
    said = [model.score_samples(X), model.predict_proba(X), model.lower_bounds_]
    return all(np.isfinite(a).all() for a in [*fitted, *said])


@each_class
@each_type
@pytest.mark.parametrize("reg_covar", [1e-6, 0.0], ids=["regularised", "not_regularised"])
def test_one_sample_per_component(
    cls: Any, kind: str, reg_covar: float, rng: np.random.Generator
) -> None:
    X = rng.normal(size=(6, 3))
    model = cls(n_components=6, covariance_type=kind, reg_covar=reg_covar, random_state=0)
    quietly(model, X)
    assert is_finite(model, X)


@each_class
@each_type
def test_more_components_than_distinct_points(
    cls: Any, kind: str, rng: np.random.Generator
) -> None:
    X = np.repeat(rng.normal(size=(3, 3)), 5, axis=0)
    model = cls(
        n_components=5, covariance_type=kind, init_params="random_from_data", random_state=0
    )
    quietly(model, X)
    assert is_finite(model, X)


@each_class
@each_type
@pytest.mark.parametrize("reg_covar", [1e-6, 0.0], ids=["regularised", "not_regularised"])
def test_all_points_equal(cls: Any, kind: str, reg_covar: float) -> None:
    X = np.full((7, 3), 2.5)
    model = cls(
        n_components=2, covariance_type=kind, reg_covar=reg_covar, init_params="random",
        random_state=0,
    )  # fmt: skip
    quietly(model, X)
    assert is_finite(model, X)
    np.testing.assert_allclose(model.means_, 2.5)


@each_class
@each_type
def test_a_constant_feature(cls: Any, kind: str, tools: Any, rng: np.random.Generator) -> None:
    X = tools.blobs(rng)
    X[:, 1] = 7
    model = cls(n_components=3, covariance_type=kind, random_state=0).fit(X)
    assert is_finite(model, X)
    np.testing.assert_allclose(model.means_[:, 1], 7)


def test_the_warning_names_the_component_and_the_cures(
    tools: Any, rng: np.random.Generator
) -> None:
    X = np.vstack([tools.blobs(rng, K=2), np.full((1, 3), 100.0)])
    means = [X[0], X[1], X[-1]]
    model = GaussianMixture(
        3, means_init=means, weights_init=[0.4, 0.4, 0.2], random_state=0, max_iter=500,
        precisions_init=np.stack([np.eye(3)] * 3),
    )  # fmt: skip
    with pytest.warns(CollapseWarning, match="component 2 stands on a single point.*reg_covar"):
        model.fit(X)
    assert is_finite(model, X)
    fresh = GaussianMixture(**{**model.get_params(), "collapsed": "reseed"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fresh.fit(X)
    assert is_finite(fresh, X)


@each_type
def test_lost_components_start_again(kind: str, rng: np.random.Generator) -> None:
    """Two far clusters and two components, one of which starts beyond all samples."""
    X = np.vstack([rng.normal(size=(50, 3)), 50 + rng.normal(size=(50, 3))])
    given = {
        "weights_init": [0.5, 0.5],
        "means_init": [[25.0] * 3, [1e4] * 3],
        "precisions_init": np.broadcast_to(
            np.eye(3) if len(COVARIANCES[kind].one(3)) == 2 else 1.0, COVARIANCES[kind].shape(2, 3)
        ),
        "random_state": 0,
        "covariance_type": kind,
    }
    with pytest.warns(CollapseWarning, match="component 1 has no samples"):
        kept = GaussianMixture(2, **given).fit(X)
    again = GaussianMixture(2, collapsed="reseed", **given).fit(X)
    assert kept.weights_[1] < eps(np.float64)
    if not COVARIANCES[kind].tied:  # the same covariance for both may span the clusters
        np.testing.assert_allclose(again.weights_, 0.5)
    assert again.score(X) > kept.score(X)


@each_class
@each_type
def test_weights_with_zeros_and_integers(
    cls: Any, kind: str, tools: Any, near: float, rng: np.random.Generator
) -> None:
    """A weight is how often a sample is there, where k-means starts, too."""
    X = tools.blobs(rng)
    weights = rng.integers(0, 4, len(X))
    start = {"n_components": 3, "covariance_type": kind, "max_iter": 3, "random_state": 0}
    weighted = quietly(cls(**start), X, sample_weight=weights)
    repeated = quietly(cls(**start), np.repeat(X, weights, axis=0))
    tools.same(weighted, repeated, "weights_ means_ covariances_ lower_bounds_", 10 * near)
    scores = weighted.score(X, sample_weight=weights), weighted.score(np.repeat(X, weights, axis=0))
    np.testing.assert_allclose(*scores, rtol=near)


@each_class
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_is_refused(cls: Any, bad: float, rng: np.random.Generator) -> None:
    X = rng.normal(size=(10, 3))
    X[4, 1] = bad
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        cls().fit(X)


@each_class
@each_type
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_offsets_lose_nothing(
    cls: Any, kind: str, dtype: Any, tools: Any, rng: np.random.Generator
) -> None:
    """Mean 10^6 and unit spread: the same samples about 0, as they are given, have its spread."""
    X = (tools.blobs(rng) + 1e6).astype(dtype)
    near_zero = X.astype(np.float64) - 1e6
    models = [
        quietly(
            cls(n_components=3, covariance_type=kind, random_state=0, max_iter=10, tol=0,
                init_params="random"), data,
        )
        for data in (X, near_zero)
    ]  # fmt: skip
    far, close = models
    assert far.means_.dtype == far.covariances_.dtype == dtype
    # relative to the coordinates' own rounding, which float32's is 0.06 at 10^6
    scale = float(np.abs(close.covariances_).max())
    tolerance = 100 * np.sqrt(eps(dtype)) * scale
    assert np.abs(far.covariances_ - close.covariances_).max() <= tolerance
    assert np.abs(far.means_ - 1e6 - close.means_).max() <= 1e6 * eps(dtype) + tolerance


def test_tight_clusters_far_apart(tools: Any, near: float, rng: np.random.Generator) -> None:
    """Moments about the centre would cancel: they are taken about the means."""
    means = 1e5 * np.eye(3)
    X = np.vstack([m + 1e-3 * rng.normal(size=(40, 3)) for m in means])
    model = GaussianMixture(3, random_state=0, reg_covar=0.0).fit(X)
    order = np.argsort(model.predict(means))
    for k, m in zip(model.predict(means), range(3), strict=True):
        own = X[40 * m : 40 * m + 40]
        # data itself is rounded to 1e5 eps, a millionth of a millionth of the spread
        np.testing.assert_allclose(
            model.covariances_[k], np.cov(own.T, bias=True), rtol=near, atol=near * 1e-6
        )
    assert sorted(order) == [0, 1, 2]


@each_class
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_squares_beyond_the_dtype_are_refused(
    cls: Any, dtype: Any, rng: np.random.Generator
) -> None:
    X = rng.normal(size=(20, 3))
    info = np.finfo(dtype)
    for scale in (np.sqrt(info.max), np.sqrt(info.tiny)):
        with pytest.raises(ArgumentError, match=r"mean variance from .* MaxAbsScaler"):
            cls(reg_covar=0.0).fit((scale * X).astype(dtype))
    for scale in (np.sqrt(info.max) / 100, np.sqrt(info.tiny), info.tiny):
        scaled = (scale * X).astype(dtype)
        assert is_finite(quietly(cls(n_components=2, random_state=0), scaled), scaled)


def test_samples_of_features_of_different_scales(rng: np.random.Generator) -> None:
    """NumPy would warn of covariances whose numbers differ this much."""
    X = rng.normal(size=(200, 4)) * [1e-3, 1.0, 1e3, 1e6]
    model = GaussianMixture.from_parameters([1.0], X[:1], [np.cov(X.T)], random_state=0)
    drawn, _ = model.sample(2000)
    np.testing.assert_allclose(drawn[:, 1:].std(axis=0), X[:, 1:].std(axis=0), rtol=0.1)


def test_huge_distances_give_no_nan(rng: np.random.Generator) -> None:
    X = rng.normal(size=(20, 3))
    model = GaussianMixture(2, random_state=0).fit(X)
    far = 1e30 * np.ones((2, 3))
    assert np.isfinite(model.predict_proba(far)).all()
    assert np.isin(model.predict(far), [0, 1]).all()


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"weights_init": [0.5, 0.6]}, "add up to 1"),
        ({"weights_init": [1.5, -0.5]}, r"range \[0, 1\]"),
        ({"means_init": [[0.0, 0.0, 0.0]]}, "should have the shape"),
        ({"precisions_init": np.zeros((2, 3, 3))}, "positive definite"),
        ({"precisions_init": np.arange(18.0).reshape(2, 3, 3)}, "symmetric"),
        ({"covariance_type": "round"}, "covariance_type to be"),
        ({"collapsed": "drop"}, "'keep' or 'reseed'"),
        ({"n_components": 30}, "n_samples >= n_components"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_parameters(given: dict[str, Any], match: str, rng: np.random.Generator) -> None:
    with pytest.raises(ArgumentError, match=match):
        GaussianMixture(**{"n_components": 2, **given}).fit(rng.normal(size=(20, 3)))


@pytest.mark.parametrize("missing", ["weights", "covariances"])
def test_a_given_mixture_is_whole(missing: str) -> None:
    given = {"weights": [1.0], "means": [[0.0]], "covariances": [[[1.0]]], missing: None}
    with pytest.raises(ArgumentError, match="weights and covariances, but got None"):
        GaussianMixture.from_parameters(**given)


@pytest.mark.parametrize(
    "given",
    [
        {"degrees_of_freedom_prior": 1.0},
        {"covariance_prior": -np.eye(3)},
        {"mean_prior": [0.0]},
        {"weight_concentration_prior": -1.0},
    ],
    ids=lambda given: next(iter(given)),
)
def test_wrong_priors(given: dict[str, Any], rng: np.random.Generator) -> None:
    with pytest.raises(ArgumentError, match=next(iter(given))):
        BayesianGaussianMixture(n_components=2, **given).fit(rng.normal(size=(20, 3)))
