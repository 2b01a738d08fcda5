"""What scikit-learn has not: given mixtures, chunks, all tied types, progress, little memory."""

from __future__ import annotations

import pickle
import sys
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.exceptions import ConvergenceWarning

from georeduce.apps.gmm import BayesianGaussianMixture, GaussianMixture, KMeans
from georeduce.apps.gmm import _parts as module
from georeduce.apps.gmm._covariances import COVARIANCES, Covariance
from georeduce.apps.gmm._seeding import order_of, plus_plus
from georeduce.engine.errors import ArgumentError

pytestmark = pytest.mark.usefixtures("on_numpy")

each_type = pytest.mark.parametrize("kind", list(COVARIANCES))


def covariances(kind: Covariance, K: int, D: int, rng: np.random.Generator) -> Any:
    A = rng.normal(size=(K, D, D))
    full = A @ A.swapaxes(1, 2) + np.eye(D)
    if len(kind.one(D)) == 2:
        return full[0] if kind.tied else full
    return rng.uniform(0.5, 2, kind.shape(K, D))


def as_matrix(kind: Covariance, given: Any, k: int, D: int) -> Any:
    one = np.asarray(kind.of(given, k))
    return one if one.ndim == 2 else np.diag(np.broadcast_to(one, D))


@each_type
def test_given_mixtures_are_the_densities_they_stand_for(
    kind: str, near: float, rng: np.random.Generator
) -> None:
    K, D = 4, 3
    type_of = COVARIANCES[kind]
    weights, means = rng.dirichlet(np.ones(K)), rng.normal(size=(K, D))
    given = covariances(type_of, K, D, rng)
    model = GaussianMixture.from_parameters(weights, means, given, kind, random_state=0)
    X = rng.normal(size=(20, D))
    parts = [
        np.log(w) + multivariate_normal(m, as_matrix(type_of, given, k, D)).logpdf(X)
        for k, (w, m) in enumerate(zip(weights, means, strict=True))
    ]
    truth = logsumexp(parts, axis=0)
    np.testing.assert_allclose(model.score_samples(X), truth, rtol=near)
    np.testing.assert_allclose(model.predict_proba(X), np.exp(parts - truth).T, atol=near)
    assert np.array_equal(model.predict(X), np.argmax(parts, axis=0))
    assert model.precisions_.shape == type_of.shape(K, D)
    drawn, labels = model.sample(20_000)
    for k in range(K):
        own = drawn[labels == k]
        spread = as_matrix(type_of, given, k, D)
        bound = 6 * np.sqrt(np.diag(spread) / len(own))  # six deviations of a mean
        assert (np.abs(own.mean(axis=0) - means[k]) <= bound).all()


def test_given_mixtures_are_checked(rng: np.random.Generator) -> None:
    with pytest.raises(ArgumentError, match="positive definite covariances"):
        GaussianMixture.from_parameters([1.0], [[0.0, 0.0]], -np.eye(2)[None])
    with pytest.raises(ArgumentError, match="should have the shape"):
        GaussianMixture.from_parameters([1.0], [[0.0, 0.0]], np.eye(2))


@pytest.mark.parametrize("cls", [GaussianMixture, BayesianGaussianMixture])
def test_starts_are_our_k_means(cls: Any, tools: Any, rng: np.random.Generator) -> None:
    """Without an iteration a mixture is that of the clusters, or of the seeds."""
    X = tools.blobs(rng)
    weights = rng.integers(0, 3, len(X)).astype(float)
    model = cls(n_components=3, max_iter=0, random_state=2)
    model.fit(X, sample_weight=weights)
    labels = KMeans(3, n_init=1, random_state=2).fit(X, sample_weight=weights).labels_
    means = [np.average(X[labels == k], axis=0, weights=weights[labels == k]) for k in range(3)]
    shift = (
        1 / (1 + np.bincount(labels, weights)) if cls is BayesianGaussianMixture else np.zeros(3)
    )
    prior = np.average(X, axis=0, weights=weights)  # is worth one sample
    expected = (1 - shift)[:, None] * means + shift[:, None] * prior
    np.testing.assert_allclose(model.means_, expected, rtol=tools.NEAR)


def test_starts_are_our_seeds(tools: Any, rng: np.random.Generator) -> None:
    X = tools.blobs(rng)
    model = GaussianMixture(3, init_params="k-means++", max_iter=0, random_state=2).fit(X)
    seeds = plus_plus(X, 3, None, order_of(X), np.random.RandomState(2), {})
    np.testing.assert_allclose(model.means_, X[seeds], rtol=tools.NEAR)


@pytest.mark.parametrize("cls", [GaussianMixture, BayesianGaussianMixture])
@each_type
def test_bounds_never_fall(cls: Any, kind: str, tools: Any, rng: np.random.Generator) -> None:
    X = tools.blobs(rng)
    model = cls(
        n_components=4, covariance_type=kind, init_params="random", random_state=0, tol=0,
        max_iter=15, reg_covar=0.0,
    )  # fmt: skip
    with pytest.warns(ConvergenceWarning):
        model.fit(X)
    rises = np.diff(model.lower_bounds_)
    assert rises.min() >= -tools.NEAR * np.abs(model.lower_bounds_).max()


@each_type
def test_parameters_are_counted(kind: str) -> None:
    """By the free numbers in the covariances' shapes, symmetric ones counted once."""
    K, D = 4, 3
    shape = COVARIANCES[kind].shape(K, D)
    pairs = D * (D + 1) // 2 if shape[-2:] == (D, D) else None
    free = int(np.prod(shape)) if pairs is None else pairs * int(np.prod(shape[:-2]))
    assert COVARIANCES[kind].count(K, D) == free


@each_type
def test_chunks_come_near_the_whole(
    kind: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = 6 * np.eye(3)[rng.integers(0, 3, 6000)] + rng.normal(size=(6000, 3)) * [1.0, 0.5, 2.0]
    monkeypatch.setattr(module, "CHUNK_ROWS", 500)
    parts = GaussianMixture(3, covariance_type=kind, random_state=0, tol=1e-2, max_iter=500)
    for _ in range(10):
        parts.partial_fit(X)
    whole = GaussianMixture(  # there may be several optima: this is the one nearby
        3, covariance_type=kind, tol=1e-4, max_iter=500, weights_init=parts.weights_,
        means_init=parts.means_, precisions_init=parts.precisions_,
    ).fit(X)  # fmt: skip
    # the likelihood of a mixture estimated from n samples is off by about its parameters / 2 n
    assert whole.score(X) - parts.score(X) < whole._n_parameters() / 500


def test_mapped_files_are_read_in_chunks(
    tools: Any, rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = tools.blobs(rng, n=2000)
    X = X[rng.permutation(len(X))]
    monkeypatch.setattr(module, "CHUNK_ROWS", 300)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    models = [GaussianMixture(3, random_state=0).partial_fit(data) for data in (X, mapped)]
    assert np.array_equal(*(model.covariances_ for model in models))
    assert np.array_equal(mapped, X)
    by_hand = GaussianMixture(3, random_state=0)
    for start in range(0, len(X), 300):
        by_hand.partial_fit(X[start : start + 300])
    assert np.array_equal(by_hand.means_, models[0].means_)


@pytest.mark.parametrize("cls", [GaussianMixture, BayesianGaussianMixture])
def test_float32_stays(cls: Any, tools: Any, rng: np.random.Generator, backend: str) -> None:
    X = tools.blobs(rng)
    start = {"n_components": 3, "init_params": "random_from_data", "random_state": 0}
    wide = cls(**start).fit(X)
    model = cls(**start).fit(X.astype(np.float32))
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        assert getattr(model, name).dtype == np.float32
        loose = float(np.sqrt(np.finfo(np.float32).eps))
        tools.same(model, wide, name, loose)
    assert model.score_samples(X.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("tqdm", [True, False], ids=["bar", "lines"])
def test_progress(
    tqdm: bool, tools: Any, rng: np.random.Generator, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not tqdm:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    model = GaussianMixture(2, verbose=2, verbose_interval=1, random_state=0)
    model.fit(tools.blobs(rng))
    said = capsys.readouterr()
    assert "Initialization 0" in (said.err if tqdm else said.out)
    assert tqdm or f"Iteration {model.n_iter_}" in said.out


def test_progress_of_chunks(
    tools: Any, rng: np.random.Generator, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(module, "CHUNK_ROWS", 100)
    X = rng.permutation(tools.blobs(rng))
    GaussianMixture(2, verbose=1, verbose_interval=1, random_state=0).partial_fit(X)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "Chunks"
    assert [line for line in said if "Chunk " in line] == [f"  Chunk {n}" for n in (1, 2, 3)]
    assert said[-1].startswith("Chunks over after")


def test_memory_does_not_grow_with_components(backend: str, rng: np.random.Generator) -> None:
    """Samples x components are 64 MB here, and nothing of that size is allocated."""
    n, K = 40_000, 200
    X = rng.normal(size=(n, 3))
    model = GaussianMixture(
        K, covariance_type="diag", init_params="random_from_data", max_iter=2, tol=0, random_state=0
    )
    tracemalloc.start()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X)
    model.predict(X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    whole = n * K * X.itemsize
    assert peak < (whole / 4 if backend == "openmp" else 4 * whole)


def test_fitted_mixtures_pickle(tools: Any, rng: np.random.Generator) -> None:
    X = tools.blobs(rng)
    model = GaussianMixture(3, random_state=0).fit(X)
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.score_samples(X), model.score_samples(X))


@pytest.mark.parametrize(
    "cls", [GaussianMixture, BayesianGaussianMixture], ids=lambda c: c.__name__
)
@pytest.mark.parametrize("method", ["predict", "predict_proba", "score_samples", "score"])
def test_names_of_features_are_kept(cls: Any, method: str, rng: np.random.Generator) -> None:
    """Samples with the names that were fitted are no reason for a warning, in chunks neither."""
    X = pd.DataFrame(rng.normal(size=(40, 3)), columns=["a", "b", "c"])
    model = cls(n_components=2, tol=1.0, random_state=0, backend="numpy").fit(X)
    with pytest.raises(ValueError, match="feature names"):
        getattr(model, method)(X.rename(columns={"a": "other"}))
    plain = cls(n_components=2, tol=1.0, random_state=0, backend="numpy").fit(X.to_numpy())
    np.testing.assert_array_equal(getattr(model, method)(X), getattr(plain, method)(X.to_numpy()))


@each_type
@pytest.mark.parametrize("prior", ["dirichlet_process", "dirichlet_distribution"])
def test_given_posteriors_are_those_that_were_fitted(
    kind: str, prior: str, near: float, tools: Any, rng: np.random.Generator
) -> None:
    X = tools.blobs(rng)
    how = {"weight_concentration_prior_type": prior, "random_state": 0}
    fitted = BayesianGaussianMixture(n_components=3, covariance_type=kind, **how).fit(X)
    model = BayesianGaussianMixture.from_parameters(
        fitted.weight_concentration_, fitted.means_, fitted.mean_precision_, fitted.covariances_,
        fitted.degrees_of_freedom_, kind, **how,
    )  # fmt: skip
    tools.same(model, fitted, "weights_", near)
    np.testing.assert_allclose(model.score_samples(X), fitted.score_samples(X), rtol=near)
    model.partial_fit(X)  # from the optimum, all of the samples lead back to it
    loose = 0.05  # of the last iteration, which changed the bound by less than tol
    np.testing.assert_allclose(model.means_, fitted.means_, rtol=loose, atol=loose)


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("mean_precision", [0.0, 1.0], "mean_precision greater than 0, but got 0"),
        ("degrees_of_freedom", [1.0, 3.0], "degrees_of_freedom greater than 1, but got 1"),
        ("weight_concentration", [1.0, 3.0], "should have the shape of"),
        ("covariances", [-1.0, 1.0], "positive definite covariances"),
    ],
)
def test_given_posteriors_are_checked(name: str, value: Any, rule: str) -> None:
    given = {
        "weight_concentration": ([1.0, 2.0], [3.0, 4.0]), "means": np.eye(2),
        "mean_precision": [1.0, 2.0], "covariances": [1.0, 1.0], "degrees_of_freedom": [3.0, 4.0],
    }  # fmt: skip
    with pytest.raises(ArgumentError, match=rule):
        BayesianGaussianMixture.from_parameters(
            **given | {name: value}, covariance_type="spherical"
        )


@each_type
def test_posteriors_of_chunks_come_near_the_whole(
    kind: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = 6 * np.eye(3)[rng.integers(0, 3, 6000)] + rng.normal(size=(6000, 3)) * [1.0, 0.5, 2.0]
    monkeypatch.setattr(module, "CHUNK_ROWS", 500)
    how = {"covariance_type": kind, "mean_prior": [0, 0, 0], "random_state": 0, "max_iter": 500}
    how["tol"] = 1.0  # of a bound that is a sum over samples
    parts = BayesianGaussianMixture(n_components=6, **how).partial_fit(X)
    assert parts.mean_precision_.sum() == pytest.approx(len(X) + 6)  # each sample counts once
    for _ in range(9):
        parts.partial_fit(X)
    whole = BayesianGaussianMixture(n_components=6, **how).fit(X)
    # as in maximum likelihood, for 6 components
    free = COVARIANCES[kind].count(6, 3) + 6 * 3 + 5
    assert whole.score(X) - parts.score(X) < free / 500
