"""What an embedding does not take, or takes otherwise than it reads, and how it says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hierarchies import quick, tree
from scipy import sparse

from georeduce.apps.hyperbolic import PoincareEmbedding
from georeduce.engine import GeoreduceError


@pytest.fixture(scope="module")
def fitted() -> PoincareEmbedding:
    return quick(max_iter=1).fit(tree())


NODES = "Expected an edge from each new node to a known one, but got none from row 0"
REFUSED: dict[str, tuple[dict[str, Any], Any, str]] = {
    "no edges": ({"input": "edges"}, [], "Expected edges as pairs .*, but got no edges"),
    "one node": ({"input": "adjacency"}, sparse.csr_array([[1.0]]), "two nodes, but got only 0"),
    "a loop": ({}, [("a", "a")], "at least two nodes, but got only 'a'"),
    "NaN in a matrix": ({}, sparse.csr_array([[0, np.nan], [0, 0]]), "but got nan from 0 to 1"),
    "sparse": ({"input": "distances"}, sparse.csr_array((2, 2)), "a dense matrix for input='dist"),
    "one sample": ({}, np.zeros((1, 3)), "at least two samples, but got n_samples = 1"),
    "no name": ({}, [("a", "b"), ("a", None)], "Expected names of nodes, but got None"),
    "NaN as name": ({"input": "edges"}, [("a", float("nan"))], "Expected names of nodes"),
    "pandas.NA": ({}, [("a", pd.NA)], "Expected names of nodes, but got <NA> in the edge"),
    "a list as name": ({"input": "edges"}, [(["a"], "b")], r"Expected names .* got \['a'\] in the"),
    "a file": ({}, "edges.txt", "but got 'edges.txt'. Read the file first"),
    "None": ({}, None, "Expected edges, a graph, a matrix or samples, but got None"),
    "lengths": ({"input": "edges"}, [("a", "b"), ("a", "b", 1)], r"rows of lengths \[2, 3\]"),
    "nothing": ({}, [], "Expected edges as pairs .*, but got no edges"),
    "an edge": ({}, ("a", "b"), "Expected edges as pairs .*, but got 'a' among them"),
    "a dictionary": ({}, {"a": ["b"]}, "Expected edges as pairs .*, but got a dict"),
    "four": ({}, [("a", "b", 1, 2)], r"Expected edges .*, but got rows of lengths \[4\]"),
    "no number": ({}, [("a", "b", "c")], "a number as the weight of an edge, but got 'c' in the"),
    "integers": ({}, sparse.csr_array([[0, -1], [0, 0]]), "got -1.0 from 0 to 1"),
    "weight": ({}, [("a", "b", -1.0)], "positive and finite weights of edges, but got -1.0 from"),
    "NaN as weight": ({}, [("a", "b", np.nan)], "finite weights of edges, but got nan"),
    "closure": ({"closure": True}, [("a", "b", 2.0)], "edges without weights for closure=True"),
    "shape": ({}, sparse.csr_array(np.ones((2, 3))), r"a square adjacency.*sparse matrix of shape"),
    "NaN": ({}, np.full((3, 2), np.nan), "NaN"),
    "loss of points": ({"loss": "softmax"}, np.ones((3, 2)), "for loss='softmax', but got points"),
    "loss of edges": ({"loss": "stress"}, [("a", "b")], "shortest_path gives distances of nodes"),
    "asymmetric": ({"input": "distances"}, np.array([[0.0, 1], [2, 0]]), "symmetric matrix"),
    "diagonal": ({"input": "distances"}, np.ones((2, 2)), "distances of 0 on the diagonal"),
    "apart": (
        {"input": "distances"}, np.where(np.eye(2), 0, np.inf), "finite distances.*no path joins"
    ),
    "NaN distance": ({"input": "distances"}, np.full((2, 2), np.nan), "but got nan in row 0"),
    "negative": ({"input": "distances"}, -np.ones((2, 2)), "distances >= 0, but got -1.0 in row 0"),
    "no distances": ({"input": "distances"}, np.ones((2, 3)), "a square matrix of distances"),
    "too far": ({"input": "distances", "scale": 1.0}, 30 * (1 - np.eye(2)), "Lower scale"),
    "outside": ({"init": np.ones((2, 3))}, [("a", "b")], "inside of the ball"),
    "init": ({"init": np.zeros((1, 3))}, [("a", "b")], r"init of shape \(n_nodes, n_components\)"),
    "no graph": ({"input": "graph"}, [("a", "b")], "Expected a graph of networkx, but got list"),
    "parameter": ({"optimizer": "adams"}, [("a", "b")], "Did you mean 'adam'"),
    "radius": ({"max_radius": 30}, [("a", "b")], "max_radius to be a number > 0, at most 25"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_why(name: str) -> None:
    how, X, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        quick(**how).fit(X)


def test_losses_that_are_not_finite() -> None:
    words = r"Expected a finite loss, but got nan in epoch 2\. Lower learning_rate, max_radius or"
    with pytest.raises(GeoreduceError, match=words):
        quick().fit([("a", "b", 1e30), ("c", "b", 1.0)])


def test_weights_of_graphs_are_numbers() -> None:
    graph = pytest.importorskip("networkx").DiGraph()
    graph.add_edge("a", "b", weight="heavy")
    with pytest.raises(ValueError, match="a number as the weight of an edge, but got 'heavy' in"):
        quick().fit(graph)


def test_weights_of_one_do_not_hinder_a_closure() -> None:
    model = quick(closure=True, max_iter=1).fit([("a", "b", 1), ("b", "c", 1)])
    assert model.relations_.toarray().tolist() == [[0, 1, 1], [0, 0, 1], [0, 0, 0]]


def test_what_is_left_out_is_told() -> None:
    with pytest.warns(UserWarning, match="left out 1 from a node to itself, such as 'b'"):
        model = quick(max_iter=1).fit([("a", "b"), ("b", "b")])
    assert model.relations_.nnz == 1
    with pytest.warns(UserWarning, match="left out 2 that came again"):
        model = quick(max_iter=1).fit([("a", "b"), ("a", "b"), ("a", "b"), ("b", "a")])
    assert model.relations_.toarray().tolist() == [[0, 1], [1, 0]]
    model = quick(max_iter=1).fit([("a", "b", 1.0), ("a", "b", 2.0)])
    assert model.relations_.toarray().tolist() == [[0, 3], [0, 0]]


@pytest.mark.parametrize("far", [1.0, 3.0], ids=["adjacency", "distances"])
def test_matrices_that_are_read_as_points_are_told(far: float) -> None:
    X = far * (1 - np.eye(4))
    with pytest.warns(UserWarning, match="Name what X is by input: 'distances', 'adjacency' or"):
        told = quick(max_iter=1).fit(X)
    assert np.array_equal(told.embedding_, quick(max_iter=1, input="points").fit(X).embedding_)
    with pytest.warns(UserWarning, match="Expected edges, as input is 'auto', but got a matrix"):
        quick(max_iter=1).fit(1 - np.eye(2, dtype=int))


@pytest.mark.parametrize(
    ("X", "words"),
    [
        ([("new", "newer")], "edges from new nodes to known ones, but got one to the new node"),
        ([(3, "new")], "edges from new nodes to known ones"),
        (np.zeros((2, 4)), "Expected relations, as in fit, but got what reads as points"),
        (sparse.csr_array((1, 15)), NODES),
        ([("new", 3, -1.0)], "positive and finite weights of edges, but got -1.0 from 'new' to 3"),
        ([("new", 3, np.nan)], "positive and finite weights of edges, but got nan from 'new' to 3"),
        (sparse.csr_array([[0, -1.0] + 13 * [0]]), "of edges, but got -1.0 from 0 to 1"),
        (sparse.csr_array((1, 14)), r"relations to 15 known nodes, of shape \(n_new, 15\)"),
    ],
    ids=["both new", "to a new one", "points", "nothing", "weight", "NaN", "entry", "shape"],
)
def test_new_nodes_that_are_refused(fitted: PoincareEmbedding, X: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fitted.transform(X)
