"""Scikit-learn's conventions beyond its checks: searches, pipelines, pickles, sentences."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import sklearn.neighbors
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_iris, load_wine, make_moons
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from georeduce.apps.knn import KNeighborsClassifier, KNeighborsRegressor, NearestNeighbors
from georeduce.engine import ArgumentError, LazyTensor, options

ESTIMATORS = [NearestNeighbors, KNeighborsClassifier, KNeighborsRegressor]
each_estimator = pytest.mark.parametrize("cls", ESTIMATORS)
X3, Y3 = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 9.0]]), [0, 1, 0]


def lp(x: LazyTensor, y: LazyTensor, power: float = 3) -> LazyTensor:
    return ((x - y).abs() ** power).sum(-1)


# --- Signatures and attributes ----------------------------------------------------------------


@each_estimator
def test_parameters_are_scikit_learns(cls: Any) -> None:
    ours = cls().get_params()
    theirs = getattr(sklearn.neighbors, cls.__name__)().get_params()
    assert ours == {**theirs, "backend": "auto"}


@each_estimator
def test_attributes(cls: Any) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X3, columns=["a", "b"])
    model = cls(n_neighbors=2, backend="numpy").fit(frame, Y3)
    assert model.n_samples_fit_ == 3
    assert model.n_features_in_ == 2
    assert model.feature_names_in_.tolist() == ["a", "b"]
    assert model.effective_metric_ == "euclidean"
    assert model.kneighbors(frame)[1][:, 0].tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="feature names should match"):
        model.kneighbors(frame[["b", "a"]])
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        model.kneighbors(X3)


@each_estimator
def test_tags(cls: Any) -> None:
    peer = getattr(sklearn.neighbors, cls.__name__)
    tags, theirs = cls().__sklearn_tags__(), peer().__sklearn_tags__()
    assert not tags.input_tags.sparse
    assert not tags.input_tags.pairwise
    assert tags.target_tags == theirs.target_tags
    assert tags.classifier_tags == theirs.classifier_tags
    assert tags.regressor_tags == theirs.regressor_tags


# --- Composition ------------------------------------------------------------------------------


def test_grid_search_over_a_users_metric_in_two_processes() -> None:
    X, y = load_iris(return_X_y=True)
    grid = {"metric": [lp, "cosine"], "n_neighbors": [3, 5], "metric_params": [None]}
    search = GridSearchCV(KNeighborsClassifier(backend="numpy"), grid, cv=3, n_jobs=2)
    search.fit(X, y)
    assert search.best_score_ > 0.95
    alone = GridSearchCV(KNeighborsClassifier(backend="numpy"), grid, cv=3).fit(X, y)
    assert (search.cv_results_["mean_test_score"] == alone.cv_results_["mean_test_score"]).all()


def test_grid_search_over_keywords(backend: str) -> None:
    X, y = make_moons(150, noise=0.2, random_state=0)
    grid = {"metric_params": [{"power": n} for n in (1, 2, 3)], "weights": ["uniform", "distance"]}
    search = GridSearchCV(KNeighborsClassifier(metric=lp, backend=backend), grid, cv=3).fit(X, y)
    assert search.best_score_ > 0.9
    assert len(set(search.cv_results_["mean_test_score"])) > 1


def test_pipeline(backend: str) -> None:
    X, y = load_wine(return_X_y=True, as_frame=True)
    model = make_pipeline(StandardScaler(), KNeighborsClassifier(7, backend=backend))
    model.set_output(transform="pandas").fit(X, y)
    assert model[-1].feature_names_in_.tolist() == X.columns.tolist()
    peer = make_pipeline(StandardScaler(), sklearn.neighbors.KNeighborsClassifier(7)).fit(X, y)
    assert (model.predict(X) == peer.predict(X)).all()
    assert cross_val_score(model, X, y, cv=3).mean() > 0.9
    assert "kneighborsclassifier" in model._repr_html_()


@each_estimator
def test_clone_and_set_params(cls: Any) -> None:
    params = {"n_neighbors": 2, "metric": lp, "metric_params": {"power": 4}, "backend": "numpy"}
    model = cls(**params).fit(X3, Y3)
    again = clone(model)
    assert again.get_params() == model.get_params()
    assert not hasattr(again, "n_samples_fit_")
    assert "metric=" in repr(again)
    again.set_params(metric="manhattan", metric_params=None, n_neighbors=1).fit(X3, Y3)
    assert again.kneighbors(X3)[1].tolist() == [[0], [1], [2]]


@pytest.mark.parametrize("metric", ["euclidean", "poincare", lp], ids=["named", "prepared", "own"])
@each_estimator
def test_pickle(cls: Any, metric: Any, backend: str) -> None:
    model = cls(n_neighbors=2, metric=metric, backend=backend).fit(X3 / 20, Y3)
    again = pickle.loads(pickle.dumps(model))
    assert (again.kneighbors()[0] == model.kneighbors()[0]).all()
    if hasattr(model, "predict"):
        assert (again.predict(X3 / 20) == model.predict(X3 / 20)).all()


def test_a_fitted_estimator_predicts_in_another_process(backend: str, tmp_path: Any) -> None:
    model = KNeighborsRegressor(2, weights="distance", metric="cosine", backend=backend).fit(X3, Y3)
    file = tmp_path / "model.pickle"
    file.write_bytes(pickle.dumps((model, X3 + 1)))
    code = (
        "import pathlib, pickle, sys\n"
        "model, X = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())\n"
        "print(model.predict(X).tolist())"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(file)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == str(model.predict(X3 + 1).tolist())


# --- Backends and threads ---------------------------------------------------------------------


def test_the_backend_asked_for_is_the_one_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    plain = LazyTensor.Kmin_argKmin

    def spy(self: Any, K: int, **run: Any) -> Any:
        seen.append((run["backend"], run["n_threads"]))
        return plain(self, K, **run)

    monkeypatch.setattr(LazyTensor, "Kmin_argKmin", spy)
    KNeighborsClassifier(1, backend="numpy", n_jobs=2).fit(X3, Y3).predict(X3)
    with options(backend="numpy"):
        KNeighborsRegressor(1, weights="distance").fit(X3, Y3).predict(X3)
        NearestNeighbors(n_neighbors=1).fit(X3).kneighbors()
    assert seen == [("numpy", 2), (None, None), (None, None)]


# --- Sentences --------------------------------------------------------------------------------

WRONG_PARAMETERS = [
    ("n_neighbors", 0, "n_neighbors to be a positive integer, but got 0."),
    ("n_neighbors", 2.0, "n_neighbors to be a positive integer, but got 2.0."),
    ("n_neighbors", True, "n_neighbors to be a positive integer, but got True."),
    ("n_neighbors", None, "n_neighbors to be a positive integer, but got None."),
    ("algorithm", "kd_tree", "algorithm to be 'auto' or 'brute', but got 'kd_tree'. "
     "The search is exhaustive, so that there are no trees."),
    ("algorithm", "brut", "'auto' or 'brute', but got 'brut'. Did you mean 'brute'?"),
    ("leaf_size", -1, "leaf_size to be a positive integer, but got -1."),
    ("p", 0, "p to be a positive number or None, but got 0."),
    ("p", "2", "p to be a positive number or None, but got '2'."),
    ("p", 3, "p to be 1 or 2 for metric='minkowski', but got 3. Pass a function"),
    ("p", None, "p to be 1 or 2 for metric='minkowski', but got None."),
    ("metric", "manhatan", "or a function of two LazyTensors, but got 'manhatan'. "
     "Did you mean 'manhattan'?"),
    ("metric", "precomputed", "or a function of two LazyTensors, but got 'precomputed'."),
    ("metric", 3, "metric to be a name or a function, but got 3."),
    ("metric_params", [1], "metric_params to be a dict of keywords or None, but got [1]."),
    ("metric_params", {"w": 1}, "no metric_params for metric='euclidean', but got ['w']."),
    ("n_jobs", 0, "n_jobs to be a positive integer, a negative one (-1: all processors) or None, "
     "but got 0."),
    ("n_jobs", 1.5, "but got 1.5."),
    ("backend", "numpi", "but got 'numpi'. Did you mean 'numpy'?"),
    ("backend", None, "backend to be 'auto', "),
]  # fmt: skip
ids = [f"{name}={value}" for name, value, _ in WRONG_PARAMETERS]


@pytest.mark.parametrize(("name", "value", "sentence"), WRONG_PARAMETERS, ids=ids)
@each_estimator
def test_wrong_parameters(cls: Any, name: str, value: Any, sentence: str) -> None:
    model = cls(**{name: value})  # says nothing yet, as the conventions ask
    with pytest.raises(ArgumentError, match=f"Expected .*{re.escape(sentence)}") as caught:
        model.fit(X3, Y3)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("cls", [KNeighborsClassifier, KNeighborsRegressor])
def test_wrong_weights(cls: Any) -> None:
    sentence = (
        "Expected weights to be 'uniform' or 'distance' or a function or None, but got 'near'."
    )
    with pytest.raises(ArgumentError, match=sentence):
        cls(weights="near").fit(X3, Y3)


@each_estimator
def test_too_many_neighbors(cls: Any) -> None:
    model = cls(n_neighbors=3, backend="numpy").fit(X3, Y3)
    numbers = "n_neighbors = 3, n_samples_fit = 3, n_samples = 3."
    assert model.kneighbors(X3)[1].shape == (3, 3)
    with pytest.raises(ValueError, match=f"Expected n_neighbors < n_samples_fit, but {numbers}"):
        model.kneighbors()
    numbers = "n_neighbors = 4, n_samples_fit = 3, n_samples = 1."
    with pytest.raises(ValueError, match=f"Expected n_neighbors <= n_samples_fit, but {numbers}"):
        model.kneighbors(X3[:1], n_neighbors=4)


@pytest.mark.parametrize(("k", "sentence"), [
    (0, "Expected n_neighbors > 0, but got 0."),
    (-2, "Expected n_neighbors > 0, but got -2."),
    (1.5, "Expected n_neighbors to be a positive integer, but got 1.5."),
    (False, "Expected n_neighbors to be a positive integer, but got False."),
])  # fmt: skip
def test_wrong_number_in_a_call(k: Any, sentence: str) -> None:
    model = NearestNeighbors(backend="numpy").fit(X3)
    for ask in (model.kneighbors, model.kneighbors_graph):
        with pytest.raises((ValueError, TypeError), match=re.escape(sentence)):
            ask(X3, k)


def test_wrong_mode() -> None:
    model = NearestNeighbors(n_neighbors=1, backend="numpy").fit(X3)
    with pytest.raises(
        ValueError, match="Expected mode to be 'connectivity' or 'distance', but got 'x'"
    ):
        model.kneighbors_graph(mode="x")


def test_p_twice() -> None:
    model = NearestNeighbors(metric_params={"p": 1})
    with pytest.warns(
        SyntaxWarning, match="metric_params has p, so that the parameter p is ignored"
    ):
        model.fit(X3)
    assert model.effective_metric_ == "manhattan"
    assert model.metric_params == {"p": 1}


BAD_X: list[tuple[str, Any, type[Exception], str]] = [
    ("nan", np.where(X3 == 0, np.nan, X3), ValueError, "Input X contains NaN"),
    ("inf", np.where(X3 == 0, np.inf, X3), ValueError, "Input X contains infinity"),
    ("sparse", sparse.csr_array(X3), TypeError, "Sparse data was passed for X, but dense data"),
    ("1d", X3[0], ValueError, "Expected 2D array, got 1D array instead"),
    ("3d", X3[None], ValueError, "Found array with dim 3"),
    ("strings", np.array([["a", "b"]] * 3), ValueError, "could not convert string to float"),
    ("objects", np.array([[{}, 1.0]] * 3, object), TypeError, "must be a string or a real number"),
    ("complex", X3 * 1j, ValueError, "Complex data not supported"),
    ("empty", X3[:0], ValueError, "Found array with 0 sample"),
    ("no-features", X3[:, :0], ValueError, "Found array with 0 feature"),
]


@pytest.mark.parametrize(("X", "error", "words"), [b[1:] for b in BAD_X], ids=[b[0] for b in BAD_X])
@each_estimator
def test_data_that_scikit_learn_refuses(cls: Any, X: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        cls().fit(X, Y3)
    model = cls(n_neighbors=1, backend="numpy").fit(X3, Y3)
    with pytest.raises(error, match=words):
        model.kneighbors(X)


@each_estimator
def test_features_that_disagree(cls: Any) -> None:
    model = cls(backend="numpy").fit(X3, Y3)
    with pytest.raises(ValueError, match="X has 1 features, but"):
        model.kneighbors(X3[:, :1])


@pytest.mark.parametrize("cls", [KNeighborsClassifier, KNeighborsRegressor])
def test_targets_that_disagree(cls: Any) -> None:
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        cls().fit(X3, [0, 1])
    with pytest.raises(ValueError, match="requires y to be passed"):
        cls().fit(X3, None)


@each_estimator
def test_before_fit(cls: Any) -> None:
    for name in {"kneighbors", "kneighbors_graph", "predict"} & set(dir(cls)):
        with pytest.raises(NotFittedError, match="is not fitted yet"):
            getattr(cls(), name)(X3)
