"""The estimator: what it reaches, what it reads, and that it is the same on every way to a fit."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import fake_cupy
import numpy as np
import pandas as pd
import pytest
from hierarchies import quick, tree
from scipy import sparse
from scipy.sparse.csgraph import shortest_path
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from georeduce.apps.hyperbolic import Hyperboloid, PoincareBall, PoincareEmbedding
from georeduce.engine.arrays import to_numpy

BALL = PoincareBall()


# --- What it reaches ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"optimizer": "sgd", "learning_rate": 0.3},
        {"model": "hyperboloid"},
        {"loss": "negative_sampling"},
        {"growth": 0.0, "burn_in": 0.1, "schedule": "linear"},
        {"max_radius": 15.0, "batch_size": 4},
    ],
    ids=["default", "sgd", "hyperboloid", "negatives", "paper", "float64"],
)
def test_a_tree_is_reconstructed(how: dict[str, Any]) -> None:
    model = quick(closure=True, max_iter=150, **how).fit(tree())
    reached = model.evaluate()
    assert reached.mean_average_precision > 0.93
    assert reached.mean_rank < 1.2
    assert model.loss_ < model.loss_curve_[0] / 3
    assert model.depth(0) < min(model.depth(leaf) for leaf in range(7, 15))
    x = model.embedding_
    in_ball = x if how.get("model") != "hyperboloid" else Hyperboloid().convert(x, BALL)
    assert BALL.distance(in_ball, 0 * in_ball).max() <= model.max_radius * (1 + 1e-9)


def test_models_find_the_same_points() -> None:
    ball, hyperboloid = (quick(model=model, max_iter=10).fit(tree()) for model in (
        "ball", "hyperboloid"))  # fmt: skip
    assert hyperboloid.embedding_.shape == (15, 4)
    assert hyperboloid._in_ball() == pytest.approx(ball.embedding_, abs=1e-4)


def test_distances_are_embedded(rng: np.random.Generator) -> None:
    x = BALL.project(0.4 * rng.normal(size=(25, 2)), 0.05)
    distances = BALL.distance(x[:, None], x[None])
    # one dimension more than they have, so that points can pass each other
    model = quick(input="distances", learning_rate=0.2, max_iter=400).fit(distances)
    assert model.score(distances) > -0.02
    found = BALL.distance(model.embedding_[:, None], model.embedding_[None])
    assert found == pytest.approx(distances * model.scale_, abs=0.1 * distances.max())
    assert np.sqrt(model.loss_) == pytest.approx(-model.score(distances), rel=0.1)


def test_stress_of_points_is_that_of_their_distances(rng: np.random.Generator) -> None:
    X = rng.normal(size=(20, 5))
    distances = np.linalg.norm(X[:, None] - X[None], axis=-1)
    points, matrix = quick(max_iter=20).fit(X), quick(max_iter=20, input="distances").fit(distances)
    assert points.scale_ == matrix.scale_ == 1
    assert points.embedding_ == pytest.approx(matrix.embedding_, abs=1e-5)
    assert points.score(X) == pytest.approx(matrix.score(distances), rel=1e-4)


@pytest.mark.parametrize("scale", ["auto", 0.01], ids=str)
def test_long_distances_are_scaled(scale: Any, rng: np.random.Generator) -> None:
    X = 100 * rng.normal(size=(20, 5))
    model = quick(scale=scale, max_iter=5).fit(X)
    largest = np.linalg.norm(X[:, None] - X[None], axis=-1).max()
    assert model.scale_ == pytest.approx(11.5 / largest if scale == "auto" else 0.01)


def test_parts_without_a_path_push_each_other_apart() -> None:
    other = [(u + 15, v + 15) for u, v in tree()]
    model = quick(closure=True, max_iter=150).fit([*tree(), *other])
    assert model.evaluate().mean_average_precision > 0.9
    assert all(name < 15 for name, _ in model.nearest(14, 3))


def test_weights_count() -> None:
    edges = [("a", "b", 1.0), ("c", "b", 1.0), ("a", "d", 1.0), ("e", "d", 1.0)]
    heavy = [(u, v, 20.0 if (u, v) == ("a", "d") else w) for u, v, w in edges]
    even, pulled = quick().fit(edges), quick().fit(heavy)
    assert even.relations_.sum() == 4
    assert pulled.relations_.sum() == 23
    assert pulled.distance("a", "d") - pulled.distance("a", "b") < (
        even.distance("a", "d") - even.distance("a", "b")
    )


# --- The same on every way ------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["softmax", "negative_sampling"])
def test_seeds_make_it_reproducible_on_any_number_of_threads(loss: str) -> None:
    points = [quick(loss=loss, max_iter=5, backend="auto", n_jobs=n_jobs).fit_transform(tree(6))
              for n_jobs in (1, 2)]  # fmt: skip
    assert np.array_equal(*points)
    other = quick(loss=loss, max_iter=5, random_state=1).fit_transform(tree(6))
    assert not np.array_equal(points[0], other)


def test_backends_agree() -> None:
    compiled, plain = (quick(backend=b, max_iter=3).fit(tree()) for b in ("auto", "numpy"))
    assert compiled.loss_curve_ == pytest.approx(plain.loss_curve_, rel=1e-4)


def test_warm_start_goes_on_from_known_nodes() -> None:
    model = quick(closure=True, warm_start=True).fit(tree())
    before = model.embedding_.copy()
    model.set_params(max_iter=1, learning_rate=1e-9).fit([*tree(), (15, 7)])
    assert model.embedding_[:15] == pytest.approx(before, abs=1e-6)
    assert np.linalg.norm(model.embedding_[15]) < 0.01
    with pytest.raises(ValueError, match="Expected n_components=3, as in the fit to start from"):
        model.set_params(n_components=2).fit(tree())


def test_a_model_that_is_set_after_the_fit_is_that_of_the_next_one(tmp_path: Path) -> None:
    fitted = quick(closure=True, warm_start=True).fit(tree())
    before, near, new = fitted.embedding_, fitted.nearest(3), fitted.transform([(20, 3)])
    fitted.set_params(model="hyperboloid")
    assert fitted.nearest(3) == near
    assert np.array_equal(fitted.transform([(20, 3)]), new)
    fitted.save(tmp_path / "model.npz")
    assert PoincareEmbedding.load(tmp_path / "model.npz").nearest(3) == near
    fitted.set_params(max_iter=1, learning_rate=1e-9).fit(tree())
    assert fitted.embedding_.shape == (15, 4)
    assert fitted._in_ball() == pytest.approx(before, abs=1e-6)


def test_init_is_where_points_start(rng: np.random.Generator) -> None:
    init = BALL.project(rng.normal(size=(15, 3)), 0.1)
    model = quick(init=init, max_iter=1, learning_rate=1e-9).fit(tree())
    assert model.embedding_ == pytest.approx(init, abs=1e-6)


def test_clones_and_pickles() -> None:
    model = quick(max_iter=2).fit(tree())
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.transform([(20, 3)]), model.transform([(20, 3)]))
    assert not hasattr(clone(model), "embedding_")


@pytest.mark.parametrize("make", [list, pd.DataFrame], ids=["list", "frame"])
@pytest.mark.parametrize("way", ["estimator", "everywhere"])
def test_data_frames_of_points_have_the_names_of_nodes(make: Any, way: str) -> None:
    edges = [("dog", "canine"), ("wolf", "canine"), ("canine", "animal")]
    new = [("fox", "canine"), ("fox", "animal"), ("dog", "canine")]
    model = quick(max_iter=1)
    if way == "estimator":
        model.set_output(transform="pandas")
    with config_context(transform_output="pandas" if way == "everywhere" else "default"):
        found, attached = model.fit_transform(make(edges)), model.transform(make(new))
    assert found.index.tolist() == model.nodes_.tolist() == ["dog", "canine", "wolf", "animal"]
    assert np.array_equal(found, model.embedding_)
    assert found.columns.tolist() == model.get_feature_names_out().tolist()
    assert attached.index.tolist() == ["fox", "dog"]
    assert np.array_equal(attached.loc["dog"], found.loc["dog"])
    model.set_output(transform="default")
    assert isinstance(model.fit_transform(make(edges)), np.ndarray)


def test_data_frames_of_samples_keep_their_index(rng: np.random.Generator) -> None:
    X = pd.DataFrame(rng.normal(size=(4, 5)), index=[*"abcd"])
    model = quick(max_iter=1).set_output(transform="pandas")
    assert model.fit_transform(X).index.tolist() == model.transform(X).index.tolist() == [*"abcd"]
    assert model.score(X) == quick(max_iter=1).fit(X).score(X)


# --- New nodes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["softmax", "negative_sampling"])
def test_new_nodes_are_near_what_they_are_attached_to(loss: str) -> None:
    model = quick(closure=True, max_iter=100, loss=loss).fit(tree())
    before = model.embedding_.copy()
    edges = [("new", 13), ("new", 6), ("new", 2), ("new", 0), (5, 2)]
    new = model.transform(edges)
    assert np.array_equal(model.embedding_, before)
    assert np.array_equal(new[1], model.embedding_[model._index(5)])  # a known one keeps its point
    d = BALL.distance(new[0], model.embedding_)
    assert {*model.nodes_[np.argsort(d)[:4]].tolist()} == {13, 6, 2, 0}
    assert np.array_equal(model.transform([*edges, ("new", 13)]), new)  # edges count once
    columns = [model._index(name) for name in (13, 6, 2, 0)]
    matrix = sparse.csr_array(([1.0] * 4, ([0] * 4, columns)), shape=(1, 15))
    model.input = "adjacency"
    assert model.transform(matrix) == pytest.approx(new[:1], abs=0.05)


def test_new_samples(rng: np.random.Generator) -> None:
    X = rng.normal(size=(30, 2))
    model = quick(n_components=2, max_iter=100).fit(X)
    near = model.transform(X + 1e-3)
    assert np.median(BALL.distance(near, model.embedding_)) < 0.1
    assert np.array_equal(model.transform(X), model.embedding_)


@pytest.mark.parametrize("model", ["ball", "hyperboloid"])
def test_points_of_float32_samples_stay_inside(model: str, rng: np.random.Generator) -> None:
    X = rng.normal(size=(30, 2)).astype(np.float32)
    init = BALL.project(10 * rng.normal(size=(30, 3)), 1e-9)
    fitted = quick(model=model, max_radius=25, max_iter=1, learning_rate=1e-9, init=init).fit(X)
    assert fitted.embedding_.dtype == fitted.transform(X + 1).dtype == np.float32
    assert 10 < fitted.depth(0) < 25
    assert np.isfinite(fitted.score(X))


def test_new_rows_of_distances() -> None:
    graph = sparse.csr_array((np.ones(14), tuple(np.array(tree()).T)), shape=(15, 15))
    distances = shortest_path(graph, directed=False)
    model = quick(input="distances").fit(distances)
    assert model.transform(distances[3:5]) == pytest.approx(model.embedding_[3:5])


@pytest.mark.parametrize("wrong", [-1.0, np.nan, np.inf], ids=str)
def test_new_rows_of_distances_that_are_refused(wrong: float) -> None:
    model = quick(input="distances", max_iter=1).fit(1 - np.eye(3))
    with pytest.raises(ValueError, match=f"distances.*, but got {wrong} in row 1, column 2"):
        model.transform([[1, 1, 1], [1, 1, wrong]])


def test_columns_of_new_rows_may_be_in_any_order() -> None:
    X = sparse.csr_array(([1.0, 1.0], [3, 0], [0, 2]), shape=(1, 15))
    matrix = sparse.csr_array((np.ones(14), tuple(np.array(tree()).T)), shape=(15, 15))
    model = quick(loss="negative_sampling").fit(matrix)
    assert np.array_equal(model.transform(X), model.transform(X.sorted_indices()))
    assert X.indices.tolist() == [3, 0]  # as it was


@pytest.mark.parametrize("library", ["torch", "cupy"])
def test_samples_of_other_libraries(
    library: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    if library == "torch":
        there = pytest.importorskip("torch").from_numpy
    else:
        there = fake_cupy.install(monkeypatch).asarray
    X = rng.normal(size=(8, 3)).astype(np.float32)
    theirs, ours = quick(max_iter=2).fit(X), quick(max_iter=2).fit(there(X))
    assert isinstance(ours.embedding_, np.ndarray)
    assert np.array_equal(ours.embedding_, theirs.embedding_)
    found = ours.transform(there(X[:3] + 1))
    assert type(found) is type(there(X))
    assert np.array_equal(to_numpy(found), theirs.transform(X[:3] + 1))
    assert ours.score(there(X)) == theirs.score(X)


# --- Scores ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted() -> PoincareEmbedding:
    return quick(closure=True, max_iter=100).fit(tree())


def test_scores_of_relations(fitted: PoincareEmbedding) -> None:
    everything = fitted.evaluate()
    assert fitted.score(tree()) == pytest.approx(everything.mean_average_precision)
    with pytest.raises(ValueError, match="edges between known nodes, but got 'new'"):
        fitted.score([("new", 3)])
    held_out = fitted.evaluate([(14, 3)])
    assert held_out.mean_rank == fitted.rank(14, 3) - sum(
        fitted.distance(14, v) < fitted.distance(14, 3) for v in (6, 2, 0)
    )


def test_dimensions_are_searched_for_by_scores(rng: np.random.Generator) -> None:
    X = BALL.project(0.4 * rng.normal(size=(24, 3)), 0.05)
    distances = BALL.distance(X[:, None], X[None])
    search = GridSearchCV(quick(input="distances"), {"n_components": np.array([1, 3])}, cv=3)
    search.fit(distances)  # whose folds are of rows and columns
    assert search.best_params_ == {"n_components": 3}
    edges, everything = tree(), range(14)
    search = GridSearchCV(quick(closure=True), {"n_components": [1, 3]}, cv=[(everything,) * 2])
    assert search.fit(edges).best_params_ == {"n_components": 3}


def test_threads_that_are_set_after_a_fit_are_heeded(fitted: PoincareEmbedding) -> None:
    before = fitted.transform([(20, 3)])
    assert np.array_equal(fitted.set_params(n_jobs=2).transform([(20, 3)]), before)
    assert fitted._problem_.run["n_threads"] == 2
    fitted.set_params(n_jobs=None)
