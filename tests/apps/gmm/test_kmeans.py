"""K-means: against scikit-learn from equal starts, against its definition, and awkward inputs."""

from __future__ import annotations

import pickle
import re
from typing import Any

import numpy as np
import pytest
import sklearn.cluster
from helpers import eps, sum_error
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris, make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from georeduce.apps.gmm import KMeans
from georeduce.apps.gmm._lloyd import PART
from georeduce.apps.gmm._seeding import _draw, order_of, plus_plus
from georeduce.engine import ArgumentError

DATA: dict[str, Any] = {
    "iris": load_iris().data,
    "digits": load_digits().data,
    "blobs": make_blobs(500, 4, centers=7, cluster_std=2.0, random_state=0)[0],
}
WEIGHTS = ["none", "real", "zeros"]
GRID = np.array([[0.0, 0.0], [0.0, 1.0], [8.0, 0.0], [8.0, 1.0]])  # two pairs


def weights_of(kind: str, n: int, rng: Any) -> Any:
    if kind == "none":
        return None
    return rng.random(n) if kind == "real" else rng.integers(0, 3, n).astype(float)


def starts(X: Any, n: int, rng: Any) -> Any:
    """Return centers near samples, none of which is as far from two centers."""
    return X[rng.permutation(len(X))[:n]] + 0.1 * rng.standard_normal((n, X.shape[1]))


def relative(X: Any, dtype: Any = np.float64) -> float:
    """Return how far sums of squares of X's numbers may be off in a dtype, relatively.

    A difference is off by eps of the numbers, which are not larger than some ten times the
    distances; each of the two that are compared may be.
    """
    return 2 * (20 + X.shape[1]) * eps(dtype) + 2 * sum_error(dtype, len(X))


@pytest.mark.parametrize("weighted", WEIGHTS)
@pytest.mark.parametrize("name", DATA)
def test_agrees_with_scikit_learn(name: str, weighted: str, backend: str, rng: Any) -> None:
    X = DATA[name]
    w, init = weights_of(weighted, len(X), rng), starts(X, 7, rng)
    ours = KMeans(7, init=init, tol=0, backend=backend).fit(X, sample_weight=w)
    theirs = sklearn.cluster.KMeans(7, init=init, tol=0).fit(X, sample_weight=w)
    assert (ours.labels_ == theirs.labels_).all()
    assert ours.labels_.dtype == np.int32
    assert ours.n_iter_ == theirs.n_iter_
    assert ours.inertia_ == pytest.approx(theirs.inertia_, rel=relative(X))
    size = np.abs(X).max()
    np.testing.assert_allclose(
        ours.cluster_centers_, theirs.cluster_centers_, rtol=0, atol=relative(X) * size
    )
    assert (ours.predict(X) == theirs.predict(X)).all()
    assert ours.score(X, None, w) == pytest.approx(theirs.score(X, None, w), rel=relative(X))
    np.testing.assert_allclose(
        ours.transform(X), theirs.transform(X), rtol=0, atol=np.sqrt(relative(X)) * size
    )


def test_stops_as_scikit_learn(backend: str, rng: Any) -> None:
    X = DATA["digits"]
    init = starts(X, 5, rng)
    for how in ({"tol": 1e-2}, {"tol": 1e-4}, {"max_iter": 3}):
        ours = KMeans(5, init=init, backend=backend, **how).fit(X)
        theirs = sklearn.cluster.KMeans(5, init=init, **how).fit(X)
        assert ours.n_iter_ == theirs.n_iter_
        assert (ours.labels_ == theirs.labels_).all()
        assert (ours.labels_ == ours.predict(X)).all()
        assert ours.inertia_ == pytest.approx(theirs.inertia_, rel=relative(X))


def test_float32_is_kept(backend: str, rng: Any) -> None:
    X = DATA["blobs"]
    init = starts(X, 7, rng)
    found = [KMeans(7, init=init, backend=backend).fit(X.astype(t)) for t in ("f4", "f8")]
    assert [model.cluster_centers_.dtype for model in found] == [np.float32, np.float64]
    assert found[0].transform(X.astype(np.float32)).dtype == np.float32
    assert found[0].inertia_ == pytest.approx(found[1].inertia_, rel=relative(X, np.float32))


def test_spread_of_float32_far_from_the_origin(backend: str, rng: Any) -> None:
    X = (1e6 + 4 * np.repeat(GRID, 50, 0) + rng.standard_normal((200, 2))).astype(np.float32)
    init = X[[0, 50, 100, 150]] + np.float32(0.25)
    far = KMeans(4, init=init, backend=backend).fit(X)
    near = KMeans(4, init=init - 1e6, backend="numpy").fit(X.astype(float) - 1e6)
    assert (far.labels_ == near.labels_).all()
    assert far.inertia_ == pytest.approx(near.inertia_, rel=relative(X, np.float32))
    moved = np.abs(far.cluster_centers_.astype(float) - 1e6 - near.cluster_centers_)
    assert moved.max() <= 2 * eps(np.float32) * 1e6  # what the attribute can hold
    assert far.cluster_centers_.dtype == np.float32


# --- Cosine distances -------------------------------------------------------------------------


def spherical(X: Any, centers: Any, weights: Any, n_iter: int) -> tuple[Any, Any, float]:
    """Return centers, labels and inertia of spherical k-means, by its definition."""
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    centers = centers / np.linalg.norm(centers, axis=1, keepdims=True)
    for _ in range(n_iter):
        labels = (unit @ centers.T).argmax(1)
        sums = np.stack(
            [(unit * weights[:, None])[labels == k].sum(0) for k in range(len(centers))]
        )
        centers = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    cosines = unit @ centers.T
    return centers, cosines.argmax(1), float(weights @ (1 - cosines.max(1)))


def test_cosine(backend: str, rng: Any) -> None:
    X, init = DATA["digits"], starts(DATA["digits"], 6, rng)
    w = rng.random(len(X))
    model = KMeans(6, init=init, metric="cosine", max_iter=5, tol=0, backend=backend)
    model.fit(X, sample_weight=w)
    centers, labels, inertia = spherical(X, init, w, 5)
    assert (model.labels_ == labels).all()
    assert model.inertia_ == pytest.approx(inertia, rel=10 * relative(X))  # 1 - cosine cancels
    np.testing.assert_allclose(model.cluster_centers_, centers, rtol=0, atol=relative(X))
    assert (model.predict(7 * X) == labels).all()
    assert model.score(X, None, w) == pytest.approx(-model.inertia_, rel=relative(X))
    expected = cdist(X, centers, "cosine")
    np.testing.assert_allclose(model.transform(X), expected, rtol=0, atol=relative(X))


def test_cosine_of_samples_at_the_origin() -> None:
    X = np.array([[0.0, 0.0], [2.0, 0.0], [1.0, 0.0], [0.0, 3.0], [0.0, 0.0]])
    model = KMeans(2, metric="cosine", random_state=0, backend="numpy").fit(X)
    assert sorted(model.cluster_centers_.tolist()) == [[0, 1], [1, 0]]
    assert model.inertia_ == -model.score(X) == 2.0
    assert model.transform(X)[0].tolist() == [1.0, 1.0]
    alone = KMeans(1, metric="cosine", backend="numpy")
    with pytest.raises(ArgumentError, match=r"other than the origin .*, but got none\."):
        alone.fit(X[[0, 4]])
    with pytest.raises(ArgumentError, match=r"other than the origin .*, but got zeros in center 1"):
        KMeans(2, init=X[1::-1], metric="cosine", backend="numpy").fit(X)


def test_cosine_of_opposite_samples() -> None:
    X = np.array([[1.0, 0.0], [-1.0, 0.0]])
    model = KMeans(1, init=X[:1], metric="cosine", backend="numpy").fit(X)
    assert model.cluster_centers_.tolist() == [[1.0, 0.0]]  # their sum has no direction
    assert model.inertia_ == 2.0


# --- Starts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_starts_depend_on_samples_and_weights_only(dtype: Any, backend: str, rng: Any) -> None:
    X = DATA["blobs"][:60].astype(dtype)
    X[0, 0] = -0.0
    times = rng.integers(0, 4, 60)
    repeated = X.repeat(times, axis=0)
    repeated[repeated == 0] = 0.0  # -0 is no other sample
    shuffled = rng.permutation(repeated)
    model = KMeans(7, random_state=1, backend=backend)
    centers = clone(model).fit(X, sample_weight=times).cluster_centers_
    for again in (repeated, shuffled):
        found = clone(model).fit(again).cluster_centers_
        np.testing.assert_allclose(found, centers, rtol=0, atol=20 * relative(X, dtype))


def test_greedy_seeds_are_samples_far_apart(backend: str) -> None:
    X, which = make_blobs(400, 5, centers=8, cluster_std=0.1, random_state=3)
    seeds = {}
    for seed in range(5):
        state, run = np.random.RandomState(seed), {"backend": backend}
        rows = plus_plus(X, 8, None, order_of(X), state, run)
        assert sorted(which[rows]) == list(range(8))
        seeds[tuple(rows)] = seed
    assert len(seeds) == 5


def test_samples_without_weight_are_never_drawn(rng: Any) -> None:
    X = rng.standard_normal((50, 2))
    w = np.zeros(50)
    w[[3, 20, 41]] = 1, 2, 3
    for init in ("k-means++", "random"):
        for seed in range(10):
            model = KMeans(3, init=init, max_iter=1, random_state=seed, backend="numpy")
            model.fit(X, sample_weight=w)
            assert sorted(model.predict(X[[3, 20, 41]])) == [0, 1, 2]
            assert model.inertia_ <= relative(X) ** 2


def test_draws_at_both_ends() -> None:
    ends = np.array([0.0, np.nextafter(1, 0)])
    assert _draw(np.array([0.0, 2.0, 0.0, 1.0, 0.0]), np.arange(5), ends).tolist() == [1, 3]
    assert _draw(np.zeros(3), np.array([2, 0, 1]), ends).tolist() == [2, 2]  # nothing is left


def test_random_and_given_starts(backend: str) -> None:
    X = DATA["blobs"]
    model = KMeans(7, init="random", n_init=4, random_state=0, backend=backend).fit(X)
    runs = [
        KMeans(7, init="random", n_init=1, random_state=np.random.RandomState(0), backend=backend)
    ]
    state = runs[0].random_state
    inertias = [runs[0].set_params(random_state=state).fit(X).inertia_ for _ in range(4)]
    assert model.inertia_ == min(inertias)
    assert len(set(inertias)) > 1

    def first(X: Any, n: int, random_state: Any) -> Any:
        random_state.uniform()
        return X[:n]

    called = KMeans(7, init=first, n_init=2, backend=backend).fit(X)
    given = KMeans(7, init=X[:7], backend=backend).fit(X.tolist())
    assert (called.labels_ == given.labels_).all()
    with pytest.warns(RuntimeWarning, match="there is one run, not n_init=3"):
        KMeans(7, init=X[:7], n_init=3, backend=backend).fit(X)


# --- Awkward inputs ---------------------------------------------------------------------------


def test_empty_clusters_get_the_farthest_samples(backend: str, rng: Any) -> None:
    X = rng.standard_normal((60, 3))
    init = np.concatenate([X[:3], np.full((2, 3), 1e3)])
    for w in (None, rng.random(60)):
        ours = KMeans(5, init=init, tol=0, backend=backend).fit(X, sample_weight=w)
        theirs = sklearn.cluster.KMeans(5, init=init, tol=0).fit(X, sample_weight=w)
        assert (ours.labels_ == theirs.labels_).all()
        assert len(set(ours.labels_)) == 5
        assert ours.inertia_ == pytest.approx(theirs.inertia_, rel=relative(X))


def test_samples_without_weight_fill_no_empty_cluster(backend: str) -> None:
    X = np.concatenate([GRID, [[1e3, 0.0]]])
    init = np.array([[4.0, 0.5], [-1e6, 0.0]])
    model = KMeans(2, init=init, max_iter=1, backend=backend).fit(X, sample_weight=[1, 1, 1, 2, 0])
    assert len(set(model.labels_[:4])) == 2
    assert np.abs(model.cluster_centers_).max() < 9


def test_more_clusters_than_distinct_samples(backend: str) -> None:
    X = np.repeat(GRID, 5, axis=0)
    text = re.escape("distinct clusters (4) found smaller than n_clusters (6)")
    for init in ("k-means++", "random", X[:6]):
        with pytest.warns(ConvergenceWarning, match=text):
            model = KMeans(6, init=init, random_state=0, backend=backend).fit(X)
        assert model.inertia_ == 0
        assert (np.unique(model.cluster_centers_, axis=0) == GRID).all()
        assert (model.predict(X) == model.labels_).all()


def test_one_sample_for_each_cluster(backend: str, rng: Any) -> None:
    X = rng.standard_normal((9, 3))
    X[:, 1] = 5.0  # a constant feature
    model = KMeans(9, random_state=0, backend=backend).fit(X)
    assert sorted(model.labels_) == list(range(9))
    assert model.inertia_ <= relative(X) ** 2
    np.testing.assert_allclose(model.cluster_centers_[model.labels_], X, rtol=0, atol=relative(X))
    alone = KMeans(1, backend=backend).fit(X[:1])
    assert alone.cluster_centers_.tolist() == X[:1].tolist()


def test_weights_are_repetitions(backend: str, rng: Any) -> None:
    X, times = DATA["blobs"], rng.integers(0, 3, 500)
    init = starts(X, 5, rng)
    model = KMeans(5, init=init, backend=backend)
    weighted = clone(model).fit(X, sample_weight=times)
    repeated = clone(model).fit(X.repeat(times, axis=0))
    assert (weighted.labels_.repeat(times) == repeated.labels_).all()
    assert weighted.inertia_ == pytest.approx(repeated.inertia_, rel=relative(X))
    assert (clone(model).fit(X, sample_weight=2).labels_ == model.fit(X).labels_).all()


WRONG: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("n_clusters", {"n_clusters": 0}, {}, "n_clusters to be a positive integer, but got 0"),
    ("init", {"init": "kmeans++"}, {}, "but got 'kmeans++'. Did you mean 'k-means++'?"),
    ("shape", {"init": GRID}, {}, "shape (n_clusters, n_features) = (2, 2), but got shape (4, 2)"),
    ("n_init", {"n_init": 0}, {}, "n_init to be 'auto' or a positive integer, but got 0"),
    ("tol", {"tol": -1.0}, {}, "tol to be a number >= 0, but got -1.0"),
    ("random_state", {"random_state": "a"}, {}, "a non-negative integer or a RandomState"),
    ("metric", {"metric": "cosin"}, {}, "Did you mean 'cosine'?"),
    ("copy_x", {"copy_x": 1}, {}, "copy_x to be True or False, but got 1"),
    ("many", {"n_clusters": 5}, {}, "n_samples >= n_clusters = 5, but got n_samples = 4"),
    ("negative", {}, {"sample_weight": [1, 1, -1, 1]}, ">= 0, but got -1.0 for sample 2"),
    ("weights", {}, {"sample_weight": [1, 1]}, "shape (4,), one for each sample, but got shape"),
    ("none", {}, {"sample_weight": [0] * 4}, "a positive sample_weight, but got weights"),
    ("few", {"init": "random"}, {"sample_weight": [0, 0, 0, 1]}, "but got 1. Pass 'k-means++'"),
]  # fmt: skip


@pytest.mark.parametrize(("params", "fit", "sentence"), [w[1:] for w in WRONG],
                         ids=[w[0] for w in WRONG])  # fmt: skip
def test_wrong_parameters(params: Any, fit: Any, sentence: str) -> None:
    model = KMeans(**{"n_clusters": 2, "backend": "numpy", **params})
    with pytest.raises(ArgumentError, match=re.escape(sentence)):
        model.fit(GRID, **fit)


@pytest.mark.parametrize("where", ["X", "init", "sample_weight"])
def test_nan(where: str) -> None:
    given: dict[str, Any] = {"X": GRID.copy(), "init": GRID[:2].copy(), "sample_weight": np.ones(4)}
    given[where][0] = np.nan
    model = KMeans(2, init=given.pop("init"), backend="numpy")
    with pytest.raises(ValueError, match=f"{where} contains NaN"):
        model.fit(**given)


# --- Conventions ------------------------------------------------------------------------------


def test_parameters_are_scikit_learns() -> None:
    more = {"metric": "euclidean", "n_jobs": None, "backend": "auto"}
    assert KMeans().get_params() == {**sklearn.cluster.KMeans().get_params(), **more}


def test_the_same_on_any_number_of_threads(rng: Any) -> None:
    X = rng.standard_normal((2 * PART + 5, 2))
    w = rng.random(len(X))
    found = [
        KMeans(4, max_iter=4, random_state=0, n_jobs=n).fit(X, sample_weight=w) for n in (1, 2, 3)
    ]
    for model in found[1:]:
        assert (model.cluster_centers_ == found[0].cluster_centers_).all()
        assert (model.labels_ == found[0].labels_).all()
        assert model.inertia_ == found[0].inertia_


def test_data_is_put_back(rng: Any) -> None:
    X = 3 + rng.standard_normal((30, 2))
    before = X.copy()
    kept = KMeans(3, random_state=0, backend="numpy").fit(X)
    assert (before == X).all()
    moved = KMeans(3, random_state=0, copy_x=False, backend="numpy").fit(X)
    np.testing.assert_allclose(X, before, rtol=4 * eps(np.float64))
    assert (moved.labels_ == kept.labels_).all()


def test_pickle_and_search(backend: str) -> None:
    X = DATA["blobs"]
    model = KMeans(4, random_state=0, backend=backend).fit(X)
    again = pickle.loads(pickle.dumps(model))
    assert (again.predict(X) == model.labels_).all()
    assert (model.fit_predict(X) == model.labels_).all()
    assert (clone(model).fit_transform(X) == model.transform(X)).all()
    assert model.get_feature_names_out().tolist() == [f"kmeans{k}" for k in range(4)]
    search = GridSearchCV(clone(model), {"n_clusters": [2, 7]}, cv=3).fit(X)
    assert search.best_params_ == {"n_clusters": 7}


def test_verbose_tells_every_iteration(capsys: Any) -> None:
    KMeans(2, init=GRID[[0, 2]], backend="numpy").fit(GRID)
    assert capsys.readouterr().out == ""
    KMeans(2, init=GRID[[0, 2]], verbose=1, backend="numpy").fit(GRID)
    assert capsys.readouterr().out.splitlines() == [
        "KMeans: run 1 of 1",
        "KMeans: iteration 1: squared distances sum up to 2",
        "KMeans: iteration 2: squared distances sum up to 1",
        "KMeans: converged after 2 iterations: labels stay",
    ]
