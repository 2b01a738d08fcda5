"""What can be read and asked: inputs, closures, neighbours, what is above, files, the disk."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hierarchies import EDGES
from scipy import sparse

from georeduce.apps.hyperbolic import Hyperboloid, PoincareBall, PoincareEmbedding
from georeduce.apps.hyperbolic._graphs import closed
from georeduce.apps.hyperbolic.disk import direct, draw_disk

BALL = PoincareBall()
INDEX = {"dog": 0, "canine": 1, "wolf": 2, "animal": 3, "cat": 4}
NUMBERS = np.array([[INDEX[u], INDEX[v]] for u, v in EDGES])
MATRIX = sparse.coo_array((np.ones(4), tuple(NUMBERS.T)), shape=(5, 5)).toarray()


def quick(**how: Any) -> Any:
    chosen = {"max_iter": 1, "random_state": 0, "backend": "numpy"} | how
    return PoincareEmbedding(**chosen)


@pytest.fixture(scope="module", params=["ball", "hyperboloid"])
def model(request: pytest.FixtureRequest) -> Any:
    return quick(closure=True, max_iter=100, model=request.param).fit(EDGES)


# --- Inputs ---------------------------------------------------------------------------------------


def frame(edges: Any = EDGES) -> Any:
    return pd.DataFrame(edges)


def graph(directed: bool) -> Any:
    networkx = pytest.importorskip("networkx")
    made = (networkx.DiGraph if directed else networkx.Graph)()
    made.add_nodes_from(INDEX)
    made.add_edges_from(EDGES)
    return made


@pytest.mark.parametrize(
    ("make", "how"),
    [
        (lambda: EDGES, {}),
        (lambda: iter(EDGES), {}),
        (lambda: [list(edge) for edge in EDGES], {}),
        (lambda: [(u, v, 1.0) for u, v in EDGES], {}),
        (lambda: np.array(EDGES), {}),
        (frame, {}),
        (lambda: frame([(u, v, 1.0) for u, v in EDGES]), {}),
        (lambda: frame([(u, v, 1.0) for u, v in NUMBERS.tolist()]), {}),
        (lambda: frame(NUMBERS), {}),
        (lambda: NUMBERS, {}),
        (lambda: NUMBERS.tolist(), {}),
        (lambda: sparse.csr_matrix(MATRIX), {}),
        (lambda: sparse.coo_array(MATRIX), {}),
        (lambda: MATRIX, {"input": "adjacency"}),
        (lambda: graph(directed=True), {}),
        (lambda: graph(directed=True).edges, {}),
        (lambda: graph(directed=True).edges(data="weight", default=1), {}),
    ],
    ids=["list", "iterator", "lists", "weights", "array", "frame", "frame with weights",
         "frame of integers with weights", "frame of integers", "integers", "integer lists",
         "sparse matrix", "sparse array", "dense", "networkx",
         "edges of networkx", "weights of networkx"],
)  # fmt: skip
def test_all_inputs_are_the_same_relations(make: Any, how: dict[str, Any]) -> None:
    found = quick(**how).fit(make())
    named = found.nodes_.tolist()
    if not isinstance(named[0], str):
        by_number = {number: name for name, number in INDEX.items()}
        named = [by_number[number] for number in named]
    places = [named.index(name) for name in INDEX]
    assert np.array_equal(found.relations_.toarray()[np.ix_(places, places)], MATRIX)


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"])
def test_sparse_matrices_of_all_formats(kind: str) -> None:
    for make in (sparse.csr_array, sparse.csr_matrix):
        found = quick().fit(make(MATRIX).asformat(kind))
        assert np.array_equal(found.relations_.toarray(), MATRIX)


def test_what_stands_twice_in_a_matrix_is_a_sum() -> None:
    twice = sparse.coo_array(([1.0, 1.0, 1.0], ([0, 0, 1], [1, 1, 2])), shape=(3, 3))
    for kind in ("coo", "csr"):  # the second is one without duplicates
        found = quick().fit(twice.asformat(kind)).relations_
        assert found.toarray().tolist() == [[0, 2, 0], [0, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize("large", [2**63 + 5, 2**70], ids=["64 bits", "more"])
def test_names_that_are_large_integers(large: int) -> None:
    edges = [(large, 1), (3, 1)]
    array = np.array(edges, np.uint64) if large < 2**64 else edges
    for X in (edges, array, frame(edges)):
        assert quick(input="edges").fit(X).nodes_.tolist() == [large, 1, 3]


def test_undirected_edges_count_in_both_directions() -> None:
    made = graph(directed=False)
    made.add_edge("dog", "wolf", weight=3.0)
    matrix = MATRIX + MATRIX.T
    matrix[0, 2] = matrix[2, 0] = 3
    assert np.array_equal(quick().fit(made).relations_.toarray(), matrix)


def test_new_nodes_of_graphs() -> None:
    networkx = pytest.importorskip("networkx")
    for kind in (networkx.Graph, networkx.DiGraph):
        fitted = quick().fit(graph(directed=kind is networkx.DiGraph))
        new = kind([("fox", "canine"), ("fox", "animal"), ("dog", "canine")])
        known = [("dog", "canine")] if kind is networkx.DiGraph else [
            ("canine", "dog"), ("dog", "canine")]  # fmt: skip
        edges = [("fox", "canine"), ("fox", "animal"), *known]
        assert np.array_equal(fitted.transform(new), fitted.transform(edges))
        new.add_node("cod")
        with pytest.raises(ValueError, match=r"from each new node .*, but got none from 'cod'"):
            fitted.transform(new)
        with pytest.raises(ValueError, match="but got one to the new node"):
            fitted.transform(kind([("fox", "cod")]))


def test_what_are_no_edges_are_points() -> None:
    for X in ([[0.0, 1.0], [1.0, 2.0]], np.ones((3, 2)) * [[1], [2], [3]], [[1, 2, 3, 4], [0] * 4]):
        assert not hasattr(quick().fit(X), "relations_")


@pytest.mark.parametrize("share", [0.02, 0.06], ids=["sparse", "with cycles"])
def test_closure_is_that_of_networkx(share: float, rng: np.random.Generator) -> None:
    networkx = pytest.importorskip("networkx")
    matrix = rng.random((40, 40)) < share
    np.fill_diagonal(matrix, False)
    exact = networkx.transitive_closure(networkx.DiGraph(matrix), reflexive=None)
    exact = networkx.to_numpy_array(exact, nodelist=range(40), weight=None)
    np.fill_diagonal(exact, 0)
    found = closed(sparse.csr_array(matrix.astype(float)))
    assert np.array_equal(found.toarray(), exact)
    assert found.has_sorted_indices


# --- Questions ------------------------------------------------------------------------------------


def test_nearest_nodes(model: Any) -> None:
    x = model._in_ball()
    d = BALL.distance(x[0], x)
    order = [row for row in np.argsort(d) if row != 0]
    found = model.nearest("dog", 10)
    assert [name for name, _ in found] == model.nodes_[order].tolist()
    assert [distance for _, distance in found] == pytest.approx(d[order])
    assert model.distance("dog", "cat") == pytest.approx(d[4])
    assert [model.rank("dog", name) for name, _ in found] == [1, 2, 3, 4]
    with pytest.raises(ValueError, match="Expected two different nodes, but got 'dog'"):
        model.rank("dog", "dog")


def test_up_and_down(model: Any) -> None:
    x = model._in_ball()
    norms = np.linalg.norm(x, axis=1)
    assert model.depth("dog") == pytest.approx(2 * np.arctanh(norms[0]))
    assert model.difference_in_hierarchy("animal", "dog") > 0
    top = model.nodes_[norms.argmin()]
    assert model.closest_parent(top) is None
    assert model.closest_child(model.nodes_[norms.argmax()]) is None
    above = model.ancestors("dog")
    assert above[-1] == top
    assert model.closest_parent("dog") == above[0]
    depths = [model.depth(name) for name in ("dog", *above)]
    assert depths == sorted(depths, reverse=True)
    below = model.descendants("animal", max_depth=2)
    assert len(below) <= 2
    assert all(model.depth(name) > model.depth("animal") for name in below)


def test_entailment_tells_directions(model: Any) -> None:
    up, down, aside = model.entailment([("dog", "animal"), ("animal", "dog"), ("dog", "cat")])
    assert up > aside
    assert up > down
    x = model._in_ball()
    difference = np.linalg.norm(x[3]) - np.linalg.norm(x[0])
    assert up == pytest.approx(-(1 + 1000 * difference) * model.distance("dog", "animal"))
    with pytest.raises(
        ValueError, match=r"a list of pairs .*, but got 'dog' in it\. A single pair"
    ):
        model.entailment(("dog", "animal"))
    with pytest.raises(ValueError, match="Expected the name of a node, but got 'fox'"):
        model.entailment([("fox", "animal")])
    with pytest.raises(ValueError, match="Expected alpha to be a number >= 0, but got 'x'"):
        model.entailment([("dog", "animal")], alpha="x")
    pairs = [("dog", "animal"), ("animal", "dog")]
    for other in (iter(pairs), pd.DataFrame(pairs), np.array(pairs)):
        assert model.entailment(other).tolist() == [up, down]


def test_names_that_are_not_known(model: Any) -> None:
    with pytest.raises(ValueError, match=r"Expected the name of a node, but got 'dogs'\. .*'dog'"):
        model.depth("dogs")


def test_names_that_read_like_others() -> None:
    fitted = quick().fit([(3, "a"), ("4", "a")])
    with pytest.raises(ValueError, match=r"but got '3'\. Did you mean 3\?"):
        fitted.depth("3")
    with pytest.raises(ValueError, match=r"but got 4\. Did you mean '4'\?"):
        fitted.depth(4)


def test_names_that_are_tuples() -> None:
    fitted = quick(input="edges").fit([((0, 1), (0, 0)), ((1, 0), (0, 0))])
    assert {name for name, _ in fitted.nearest((0, 0))} == {(0, 1), (1, 0)}
    assert fitted.rank((0, 1), (0, 0)) == 1
    with pytest.raises(ValueError, match=r"Expected the name of a node, but got \(1, 1\)"):
        fitted.depth((1, 1))


def test_questions_to_what_is_not_fitted() -> None:
    with pytest.raises(ValueError, match="not fitted"):
        PoincareEmbedding().nearest("dog")


def test_distances_have_no_relations_to_evaluate(rng: np.random.Generator) -> None:
    fitted = quick().fit(rng.normal(size=(5, 3)))
    with pytest.raises(ValueError, match="not of relations"):
        fitted.evaluate()
    with pytest.raises(ValueError, match="Expected distances or points, as in fit"):
        fitted.evaluate(EDGES)


# --- The disk -------------------------------------------------------------------------------------


def test_direct_relations_do_not_follow_from_others() -> None:
    relations = closed(sparse.csr_array(MATRIX))
    assert relations.nnz == 6
    assert np.array_equal(direct(relations).toarray(), MATRIX)


def test_all_undirected_edges_are_direct() -> None:
    triangle = sparse.csr_array(1 - np.eye(3))
    assert np.array_equal(direct(triangle).toarray(), triangle.toarray())
    below = sparse.csr_array(([1.0] * 6, ([0, 1, 2, 2, 3, 3], [1, 0, 0, 1, 0, 2])), shape=(4, 4))
    assert direct(below).toarray().tolist() == [
        [0, 1, 0, 0],
        [1, 0, 0, 0],
        [1, 1, 0, 0],
        [0, 0, 1, 0],
    ]


def test_disk(model: Any) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    ax = draw_disk(model, labels=["dog", "animal"])
    arcs = ax.collections[0].get_paths()
    assert len(arcs) == 4
    assert [text.get_text() for text in ax.texts] == ["dog", "animal"]
    x = model._in_ball()
    assert np.asarray(ax.collections[1].get_offsets()) == pytest.approx(x)
    named = draw_disk(model, ax, labels=2).texts[2:]
    assert [text.get_text() for text in named] == ["animal", "canine"]  # with most below them
    assert len(draw_disk(model, ax, labels=0, edges=[("dog", "cat")]).texts) == 4
    assert len(ax.collections[-2].get_paths()) == 1
    plt.close("all")


REFUSED_PICTURES: dict[str, tuple[dict[str, Any], str]] = {
    "dimensions": ({"model": quick(n_components=3)}, "in 2 dimensions, but got 3"),
    "points": ({"model": np.zeros((3, 2))}, "a fitted PoincareEmbedding, but got ndarray"),
    "negative": ({"labels": -1}, "labels to be an integer >= 0 or a list of names, but got -1"),
    "a word": ({"labels": "dog"}, "an integer >= 0 or a list of names, but got 'dog'"),
    "None": ({"labels": None}, "an integer >= 0 or a list of names, but got None"),
    "not known": ({"labels": ["dog", "fox"]}, "the name of a node, but got 'fox'"),
    "an edge": ({"edges": [("dog",)]}, r"a list of pairs \(u, v\), but got \('dog',\) in it"),
}


@pytest.mark.parametrize("name", REFUSED_PICTURES)
def test_pictures_that_are_refused(name: str) -> None:
    pytest.importorskip("matplotlib").use("Agg")
    how, words = REFUSED_PICTURES[name]
    model = how.get("model", quick())
    fitted = model.fit(EDGES) if isinstance(model, PoincareEmbedding) else model
    with pytest.raises(ValueError, match=words):
        draw_disk(fitted, **{key: value for key, value in how.items() if key != "model"})


@pytest.mark.parametrize("inches", [3, 6], ids=str)
def test_names_in_pictures_do_not_write_over_each_other(
    inches: float, rng: np.random.Generator
) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fitted = quick().fit([(f"kind {n}", "animal") for n in range(200)])
    fitted.embedding_ = BALL.project(rng.normal(size=(201, 2)), 1e-3)
    figure = plt.figure(figsize=(inches, inches))
    ax = draw_disk(fitted, figure.add_axes((0, 0, 1, 1)), labels=30)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) > 10
    assert max(box.x1 for box in boxes) <= figure.bbox.x1
    assert not any(one.overlaps(other) for k, one in enumerate(boxes) for other in boxes[:k])
    plt.close("all")


def test_points_of_the_hyperboloid_are_those_of_the_ball() -> None:
    fitted = quick(model="hyperboloid", max_iter=5).fit(EDGES)
    assert fitted.embedding_.shape == (5, 3)
    assert Hyperboloid().convert(fitted.embedding_, BALL) == pytest.approx(fitted._in_ball())
    assert len(fitted.get_feature_names_out()) == 3
