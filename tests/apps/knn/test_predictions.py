"""Votes and means: scikit-learn's rules, its ties included."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
import sklearn.neighbors
from scipy import sparse
from sklearn.datasets import load_iris, make_multilabel_classification
from sklearn.exceptions import DataConversionWarning
from sklearn.utils.extmath import weighted_mode

from georeduce.apps.knn import KNeighborsClassifier, KNeighborsRegressor
from georeduce.apps.knn._weights import neighbor_weights, shares, vote
from georeduce.engine import options


def softened(distances: Any) -> Any:
    return 1 / (1 + distances)


WEIGHTS = {"None": None, "uniform": "uniform", "distance": "distance", "softened": softened}
each_weights = pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
METRICS = ["euclidean", "manhattan", "cosine"]


def lattice(rng: Any, n: int, D: int = 2) -> Any:
    """Points whose distances are exact in any arithmetic, with many ties and duplicates."""
    return rng.integers(0, 5, (n, D)).astype(float)


def peer_of(model: Any) -> Any:
    """Scikit-learn's estimator with the same parameters."""
    params = {k: v for k, v in model.get_params().items() if k != "backend"}
    peer = getattr(sklearn.neighbors, type(model).__name__)
    return peer(**params).set_params(algorithm="brute")


# --- Against scikit-learn, end to end ---------------------------------------------------------


def unambiguous(problem: Any, metric: str, dtype: Any, k: int, truth: Any) -> Any:
    """Return the queries whose k neighbours, as a set, are the same beyond rounding."""
    true = truth.true_distances(metric, problem.queries, problem.database)
    off = truth.rounding(metric, true, problem.queries, problem.database, dtype)
    off = off + truth.their_rounding(metric, problem.queries, problem.database, true)
    order = np.argsort(true, axis=1, kind="stable")[:, [k - 1, k]]
    (d0, d1), (t0, t1) = (np.take_along_axis(a, order, 1).T for a in (true, off))
    return d1 - d0 > 2 * (t0 + t1)


@pytest.mark.parametrize("weights", list(WEIGHTS.values())[1:], ids=list(WEIGHTS)[1:])
@pytest.mark.parametrize("metric", METRICS)
def test_classifier_is_scikit_learns(
    metric: str, weights: Any, problem: Any, dtype: Any, backend: str, truth: Any
) -> None:
    k = 8  # even: votes tie
    model = KNeighborsClassifier(k, weights=weights, metric=metric, backend=backend)
    model.fit(problem.database, problem.labels)
    peer = peer_of(model).fit(problem.database, problem.labels)
    clear = unambiguous(problem, metric, dtype, k, truth)
    assert clear.mean() > 0.2  # the rest are ties, in iris most
    queries = problem.queries[clear]
    ours, theirs = model.predict_proba(queries), peer.predict_proba(queries)
    if weights == "uniform":
        assert (ours == theirs).all()
        assert (model.predict(queries) == peer.predict(queries)).all()
    else:
        # a relative error r of the distances gives one of at most r in these weights, of 2 r in the
        # ratio of two sums of them, on either side
        true = truth.true_distances(metric, queries, problem.database)
        off = truth.rounding(metric, true, queries, problem.database, dtype)
        off = off + truth.their_rounding(metric, queries, problem.database, true)
        near = np.argsort(true, axis=1)[:, :k]
        d, t = (np.take_along_axis(a, near, 1) for a in (true, off))
        relative = np.where(d > 0, t / np.where(d > 0, d, 1), 0).max(axis=1, keepdims=True)
        safe = (d > 0).all(axis=1)  # theirs may take a distance of zero for one of 1e-8
        assert safe.mean() > 0.9
        limit = 4 * relative
        assert (abs(ours - theirs) <= limit)[safe].all()
        top = np.sort(theirs, axis=1)
        decided = safe & (top[:, -1] - top[:, -2] > 2 * limit[:, 0])
        assert (model.predict(queries) == peer.predict(queries))[decided].all()
    targets = problem.targets[clear]
    assert abs(model.score(queries, targets) - peer.score(queries, targets)) <= 1 / len(queries)


@each_weights
@pytest.mark.parametrize("cls", [KNeighborsClassifier, KNeighborsRegressor])
def test_ties_are_scikit_learns(cls: Any, weights: Any, backend: str, rng: Any) -> None:
    """All neighbours asked for, so that only votes and means are compared, to the last bit."""
    X, Q = lattice(rng, 12), lattice(rng, 40)
    y = rng.integers(0, 4, 12)
    model = cls(12, weights=weights, metric="manhattan", backend=backend).fit(X, y)
    peer = peer_of(model).fit(X, y)
    # a sum of weights depends on the order of neighbours at one distance only if they differ in
    # weight, and they do not; but means add products, in the order of neighbours
    ours, theirs = model.predict(Q), peer.predict(Q)
    if cls is KNeighborsClassifier:
        assert (ours == theirs).all()
        assert np.allclose(model.predict_proba(Q), peer.predict_proba(Q), rtol=12 * 2.3e-16, atol=0)
    else:
        assert np.allclose(ours, theirs, rtol=2 * 14 * np.finfo(float).eps, atol=0)


@each_weights
@pytest.mark.parametrize("cls", [KNeighborsClassifier, KNeighborsRegressor])
def test_several_outputs(cls: Any, weights: Any, backend: str, rng: Any) -> None:
    X, Q = rng.random((60, 3)), rng.random((20, 3))
    y = rng.integers(0, 3, (60, 2))
    y[:, 1] += 5
    model = cls(5, weights=weights, backend=backend).fit(X, y)
    peer = peer_of(model).fit(X, y)
    ours, theirs = model.predict(Q), peer.predict(Q)
    assert ours.shape == theirs.shape == (20, 2)
    assert ours.dtype == theirs.dtype
    if cls is KNeighborsRegressor:
        assert np.allclose(ours, theirs, rtol=1000 * np.finfo(float).eps, atol=0)
        return
    assert (ours == theirs).all()
    assert model.outputs_2d_
    assert [c.tolist() for c in model.classes_] == [[0, 1, 2], [5, 6, 7]]
    pairs = zip(model.predict_proba(Q), peer.predict_proba(Q), strict=True)
    for ours, theirs in pairs:
        assert np.allclose(ours, theirs, rtol=1000 * np.finfo(float).eps, atol=0)


def test_many_labels(backend: str) -> None:
    X, Y = make_multilabel_classification(80, 5, n_classes=4, random_state=0)
    model = KNeighborsClassifier(backend=backend).fit(X[:60], Y[:60])
    peer = peer_of(model).fit(X[:60], Y[:60])
    assert model.score(X[60:], Y[60:]) == peer.score(X[60:], Y[60:])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, bool])
@pytest.mark.parametrize("columns", [0, 1, 2])
def test_type_and_shape_of_a_regression(dtype: Any, columns: int, backend: str, rng: Any) -> None:
    X = rng.random((10, 2))
    y = rng.integers(0, 2, (10, columns) if columns else 10).astype(dtype)
    for weights in ("uniform", "distance"):
        model = KNeighborsRegressor(weights=weights, backend=backend).fit(X, y)
        theirs = peer_of(model).fit(X, y).predict(X)
        assert model.predict(X).dtype == theirs.dtype
        assert model.predict(X).shape == theirs.shape


@pytest.mark.parametrize("kind", ["str", "object", "negative", "float"])
def test_labels_of_every_kind(kind: str, backend: str, rng: Any) -> None:
    labels = {"str": ["b", "a", "cc"], "object": ["b", "a", "cc"], "negative": [-1, 0, 7],
              "float": [1.0, 2.0, 5.0]}[kind]  # fmt: skip
    X = rng.random((30, 2))
    y = np.array(labels, dtype=object if kind == "object" else None)[np.arange(30) % 3]
    model = KNeighborsClassifier(1, backend=backend).fit(X, y)
    assert model.classes_.tolist() == sorted(labels)
    assert model.predict(X).dtype == y.dtype
    assert (model.predict(X) == y).all()


def test_a_column_of_labels_warns(backend: str, rng: Any) -> None:
    X, y = rng.random((10, 2)), np.arange(10) % 2
    with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
        model = KNeighborsClassifier(backend=backend).fit(X, y[:, None])
    assert model.predict(X).shape == (10,)
    assert not model.outputs_2d_


@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("cls", [KNeighborsClassifier, KNeighborsRegressor])
def test_without_queries_it_leaves_one_out(cls: Any, weights: str, backend: str) -> None:
    X, y = load_iris(return_X_y=True)
    X, keep = np.unique(X, axis=0, return_index=True)
    y = y[keep]
    rng = np.random.default_rng(0)
    X += rng.uniform(-1e-3, 1e-3, X.shape)  # no ties
    model = cls(6, weights=weights, backend=backend).fit(X, y)
    peer = peer_of(model).fit(X, y)
    # differences of about 0.1 in data of norm 10: theirs loses 7 eps 20^2 / 0.1^2 of a distance
    limit = 7 * np.finfo(float).eps * 20**2 / 0.1**2
    assert np.allclose(model.predict(None), peer.predict(None), rtol=limit, atol=limit)
    assert abs(model.score(None, y) - peer.score(None, y)) <= limit
    if cls is KNeighborsClassifier:
        assert model.predict_proba(None).shape == (len(X), 3)


def test_a_neighbor_at_distance_zero_counts_alone(backend: str) -> None:
    X = np.array([[0.0], [0.0], [1.0], [1.0], [1.0]])
    y = np.array([0, 1, 1, 1, 1])
    classifier = KNeighborsClassifier(5, weights="distance", backend=backend).fit(X, y)
    assert classifier.predict_proba([[0.0], [1.0]]).tolist() == [[0.5, 0.5], [0, 1]]
    assert classifier.predict([[0.0], [1.0]]).tolist() == [0, 1]
    regressor = KNeighborsRegressor(5, weights="distance", backend=backend).fit(X, y)
    assert regressor.predict([[0.0], [1.0]]).tolist() == [0.5, 1.0]


def test_predictions_hold_no_matrix_of_all_pairs(backend: str, rng: Any) -> None:
    """Neither queries times samples, nor queries times classes where only a label is asked for."""
    n = 2000
    X = rng.random((n, 2))
    matrix = 8 * n * n
    for cls in (KNeighborsClassifier, KNeighborsRegressor):
        for weights in ("uniform", "distance"):
            model = cls(3, weights=weights, backend=backend).fit(X, np.arange(n) // 2)
            with options(tile_bytes=2**19):
                model.predict(X[:1])  # imports, and compiles
                tracemalloc.start()
                model.predict(X)
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
            assert peak < matrix / 10


# --- Votes alone ------------------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 5, 9, 30], ids=lambda n: f"{n}-classes")
@pytest.mark.parametrize("kind", ["ones", "quarters", "inverses", "zeros", "signs", "minus"])
def test_vote_is_weighted_mode(n_classes: int, kind: str, rng: Any) -> None:
    """Bit for bit, where few and many neighbours give many ties, whatever the rounding."""
    for k in (1, 4, 9, 20):
        labels = rng.integers(0, n_classes, (200, k))
        whole = rng.integers(1, 5, (200, k))
        weights = {
            "ones": np.ones((200, k)),
            "quarters": whole / 4,
            "inverses": 1 / (3 * whole),
            "zeros": (whole > 3) / 3,
            "signs": (whole - 2) / 3,
            "minus": -1 / (3 * whole),
        }[kind]
        theirs = weighted_mode(labels, weights, axis=1)[0][:, 0]
        assert (vote(labels, weights, n_classes) == theirs).all()
        if kind == "ones":
            assert (vote(labels, None, n_classes) == theirs).all()


def test_shares_sum_to_one(rng: Any) -> None:
    labels, weights = rng.integers(0, 3, (50, 7)), rng.random((50, 7))
    found = shares(labels, weights, 4)
    assert found.shape == (50, 4)
    assert (found[:, 3] == 0).all()
    assert (abs(found.sum(axis=1) - 1) <= 4 * np.finfo(float).eps).all()
    best = found.argmax(axis=1)
    assert (best == vote(labels, weights, 4)).all()


def test_inverse_distances_are_taken_in_float64() -> None:
    tiny = np.array([[1e-45, 2.0]], np.float32)  # 1 / 1e-45 is infinite in float32
    assert np.isfinite(neighbor_weights("distance", tiny)).all()
    assert neighbor_weights("distance", np.array([[0.0, 1.0], [2.0, 4.0]])).tolist() == [
        [1.0, 0.0],
        [0.5, 0.25],
    ]


# --- Sentences --------------------------------------------------------------------------------


def test_nobody_votes(backend: str, rng: Any) -> None:
    X, y = lattice(rng, 20), np.arange(20) % 2
    model = KNeighborsClassifier(weights=lambda d: d < 5, backend=backend).fit(X, y)
    far = [[0.0, 0.0], [50.0, 50.0]]
    rule = "Expected a neighbor of every sample to have a weight other than zero"
    for predict in (model.predict, model.predict_proba):
        with pytest.raises(ValueError, match=f"{rule}, but got zero weights only for sample 1"):
            predict(far)
    regressor = KNeighborsRegressor(weights=lambda d: d < 5, backend=backend).fit(X, y)
    with np.errstate(invalid="ignore"):
        assert np.isnan(regressor.predict(far)).tolist() == [False, True]  # as scikit-learn's


WRONG_WEIGHTS = {
    "shape": (lambda d: d[:, 0], r"shape \(3,\)"),
    "dtype": (lambda d: d.astype(str), "dtype <U32"),
    "nan": (lambda d: d * np.nan, "NaN"),
}


@pytest.mark.parametrize(("weights", "got"), WRONG_WEIGHTS.values(), ids=WRONG_WEIGHTS)
@pytest.mark.parametrize("cls", [KNeighborsClassifier, KNeighborsRegressor])
def test_wrong_weights(cls: Any, weights: Any, got: str) -> None:
    model = cls(2, weights=weights, backend="numpy").fit(np.eye(3), [0, 1, 0])
    rule = r"Expected weights to return an array of numbers of shape \(3, 2\)"
    with pytest.raises(ValueError, match=f"{rule}, but got {got}"):
        model.predict(np.eye(3))


def test_weights_that_changed_after_fit() -> None:
    model = KNeighborsClassifier(1, backend="numpy").fit(np.eye(3), [0, 1, 0])
    rule = "Expected weights to be 'uniform' or 'distance' or a function or None"
    with pytest.raises(ValueError, match=f"{rule}, but got 'distanse'. Did you mean 'distance'"):
        model.set_params(weights="distanse").predict(np.eye(3))


@pytest.mark.parametrize("cls", [KNeighborsClassifier, KNeighborsRegressor])
def test_sparse_targets(cls: Any) -> None:
    """Scikit-learn takes them and then fails, or makes classes of matrices."""
    with pytest.raises(ValueError, match="Expected y as a dense array, but got a sparse one"):
        cls(1).fit(np.eye(3), sparse.csr_array(np.eye(3)))


def test_targets_of_a_regression_are_numbers(rng: Any) -> None:
    with pytest.raises(
        ValueError, match="Expected y to be real numbers, but got could not convert"
    ):
        KNeighborsRegressor(1).fit(np.eye(3), ["a", "b", "c"])
    model = KNeighborsRegressor(1, backend="numpy").fit(np.eye(3), np.array([1, 2, 3], object))
    assert model.predict(np.eye(3)).tolist() == [1, 2, 3]
    assert model.predict(np.eye(3)).dtype == np.float64


def test_continuous_labels_are_not_classes() -> None:
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        KNeighborsClassifier(1).fit(np.eye(3), [0.5, 1.5, 2.0])
