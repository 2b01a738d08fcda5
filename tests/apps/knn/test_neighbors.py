"""The neighbours found, against all distances in float64 and against scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sklearn.neighbors

from georeduce.apps.knn import METRICS, NearestNeighbors

METRIC_NAMES = sorted({metric.name for metric in METRICS.values()})
K = 7


def in_ball(points: Any, largest: float) -> Any:
    """Return the points scaled into the ball of radius 0.9, given the largest norm of all."""
    return points * points.dtype.type(0.9 / largest)


@pytest.mark.parametrize("metric", METRIC_NAMES)
def test_neighbors_are_the_nearest(
    metric: str, problem: Any, dtype: Any, backend: str, truth: Any
) -> None:
    queries, database = problem.queries, problem.database
    if metric == "poincare":
        largest = max(float(np.linalg.norm(Z, axis=1).max()) for Z in (queries, database))
        queries, database = in_ball(queries, largest), in_ball(database, largest)
    model = NearestNeighbors(n_neighbors=K, metric=metric, backend=backend).fit(database)
    distances, indices = model.kneighbors(queries)
    assert distances.dtype == dtype
    assert indices.dtype == np.intp
    truth.check_neighbors(metric, queries, database, distances, indices)
    assert (model.kneighbors(queries, return_distance=False) == indices).all()
    if metric == "poincare":
        return

    peer = sklearn.neighbors.NearestNeighbors(n_neighbors=K, metric=metric, algorithm="brute")
    theirs, their_indices = peer.fit(database).kneighbors(queries)
    true = truth.true_distances(metric, queries, database)
    ours_off = truth.rounding(metric, true, queries, database, dtype)
    off = ours_off + truth.their_rounding(metric, queries, database, true)
    truth.check_neighbors(metric, queries, database, theirs, their_indices, off=off)
    clear = truth.clear_positions(true, off, K)
    assert clear.mean() > 0.2  # iris, in tenths, has many ties; with none the next line is empty
    assert (indices == their_indices)[clear].all()


def test_equal_distances_stand_in_order_of_index(backend: str) -> None:
    database = np.array([[1.0], [-1.0], [2.0], [1.0], [-1.0], [0.5]])
    model = NearestNeighbors(n_neighbors=4, backend=backend).fit(database)
    distances, indices = model.kneighbors([[0.0]])
    assert indices.tolist() == [[5, 0, 1, 3]]
    assert distances.tolist() == [[0.5, 1.0, 1.0, 1.0]]


@pytest.mark.parametrize("p", [1, 2])
def test_minkowski_and_aliases_are_other_names(p: int, backend: str, rng: Any) -> None:
    X = rng.standard_normal((30, 3))
    names: list[dict[str, Any]] = [
        {"metric": "minkowski", "p": p},
        {"metric": "minkowski", "p": None, "metric_params": {"p": p}},
        *({"metric": name} for name in (["manhattan", "l1", "cityblock"] if p == 1
                                        else ["euclidean", "l2"])),
    ]  # fmt: skip
    found = [NearestNeighbors(backend=backend, **n).fit(X).kneighbors() for n in names]
    for distances, indices in found:
        assert (distances == found[0][0]).all()
        assert (indices == found[0][1]).all()
    model = NearestNeighbors(backend=backend, p=p).fit(X)
    assert model.effective_metric_ == {1: "manhattan", 2: "euclidean"}[p]
    assert model.effective_metric_params_ == {}


@pytest.mark.parametrize("metric", METRIC_NAMES)
def test_a_point_is_not_its_own_neighbor(
    metric: str, dtype: Any, backend: str, rng: Any, truth: Any
) -> None:
    X = (rng.random((40, 2)) / 2).astype(dtype)
    model = NearestNeighbors(n_neighbors=4, metric=metric, backend=backend).fit(X)
    distances, indices = model.kneighbors()
    assert not (indices == np.arange(40)[:, None]).any()
    for i in range(40):
        others = np.delete(np.arange(40), i)
        query = X[i : i + 1]
        # as if the point had never been in the database
        moved = np.searchsorted(others, indices[i : i + 1])
        truth.check_neighbors(metric, query, X[others], distances[i : i + 1], moved)
    assert (model.kneighbors(return_distance=False) == indices).all()


def test_duplicates_are_neighbors_of_each_other(dtype: Any, backend: str) -> None:
    X = np.repeat(np.array([[0.0, 1.0], [3.0, 1.0]]), [5, 2], axis=0).astype(dtype)
    model = NearestNeighbors(n_neighbors=3, backend=backend).fit(X)
    distances, indices = model.kneighbors()
    peer = sklearn.neighbors.NearestNeighbors(n_neighbors=3, algorithm="brute").fit(X)
    assert (distances == peer.kneighbors()[0]).all()
    assert not (indices == np.arange(7)[:, None]).any()
    # of more than k duplicates, those of lowest index
    assert indices[:5].tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2], [0, 1, 2]]
    assert indices[5:].tolist() == [[6, 0, 1], [5, 0, 1]]


def test_all_neighbors_can_be_asked_for(backend: str, rng: Any) -> None:
    X = rng.random((9, 2))
    model = NearestNeighbors(backend=backend).fit(X)
    assert (np.sort(model.kneighbors(X, 9)[1], axis=1) == np.arange(9)).all()
    assert model.kneighbors(n_neighbors=8)[1].shape == (9, 8)


def test_one_sample(backend: str) -> None:
    model = NearestNeighbors(n_neighbors=1, backend=backend).fit([[3.0, 4.0]])
    distances, indices = model.kneighbors([[0.0, 0.0], [3.0, 4.0]])
    assert distances.tolist() == [[5.0], [0.0]]
    assert indices.tolist() == [[0], [0]]


@pytest.mark.parametrize("mode", ["connectivity", "distance"])
@pytest.mark.parametrize("itself", [True, False], ids=["database", "queries"])
def test_graph(mode: str, itself: bool, dtype: Any, backend: str, rng: Any) -> None:
    X, Q = rng.random((30, 3)).astype(dtype), rng.random((12, 3)).astype(dtype)
    model = NearestNeighbors(n_neighbors=4, backend=backend).fit(X)
    graph = model.kneighbors_graph(None if itself else Q, mode=mode)
    peer = sklearn.neighbors.NearestNeighbors(n_neighbors=4, algorithm="brute").fit(X)
    theirs = peer.kneighbors_graph(None if itself else Q, mode=mode)
    assert type(graph) is type(theirs)
    assert graph.format == "csr"
    assert graph.shape == theirs.shape
    assert graph.dtype == (dtype if mode == "distance" else np.float64)
    assert (graph.indptr == theirs.indptr).all()
    assert (graph.indices == theirs.indices).all()  # random points: no ties
    # both within (D + 3) eps of the truth; theirs loses its square's to (|x| + |y|)^2 <= 12
    limit = 2 * 6 * np.finfo(dtype).eps
    lost = 6 * np.finfo(np.float64).eps * 12 / graph.data
    assert (np.abs(graph.data - theirs.data) <= limit * graph.data + lost).all()
    assert model.kneighbors_graph(Q, 2).nnz == 24


def test_graph_follows_scikit_learns_sparse_interface(rng: Any) -> None:
    sklearn = pytest.importorskip("sklearn")
    if "sparse_interface" not in sklearn.get_config():
        pytest.skip("this scikit-learn has no such configuration")
    model = NearestNeighbors(backend="numpy").fit(rng.random((9, 2)))
    for name, kind in (("sparray", "csr_array"), ("spmatrix", "csr_matrix")):
        with sklearn.config_context(sparse_interface=name):
            assert type(model.kneighbors_graph()).__name__ == kind


def test_distances_do_not_cancel(dtype: Any, backend: str) -> None:
    """Points a unit apart, 1 / eps from the origin: the expanded form has no digit left."""
    far = dtype(0.25 / np.finfo(dtype).eps)
    database = np.array([[far + 3, far], [far + 1, far], [far, far + 2]], dtype)
    model = NearestNeighbors(n_neighbors=3, backend=backend).fit(database)
    distances, indices = model.kneighbors(np.array([[far, far]], dtype))
    assert distances.tolist() == [[1.0, 2.0, 3.0]]
    assert indices.tolist() == [[1, 2, 0]]


def test_dtypes_meet_in_the_wider(backend: str, rng: Any) -> None:
    X, Q = rng.random((20, 3)), rng.random((5, 3))
    narrow = NearestNeighbors(n_neighbors=2, backend=backend).fit(X.astype(np.float32))
    wide = NearestNeighbors(n_neighbors=2, backend=backend).fit(X)
    assert narrow.kneighbors(Q.astype(np.float32))[0].dtype == np.float32
    for model, queries in ((narrow, Q), (wide, Q.astype(np.float32))):
        database = model._fit_X.astype(np.float64)
        exact = NearestNeighbors(n_neighbors=2, backend=backend).fit(database)
        distances, indices = model.kneighbors(queries)
        assert distances.dtype == np.float64
        assert (distances == exact.kneighbors(queries.astype(np.float64))[0]).all()
        assert (indices == exact.kneighbors(queries.astype(np.float64))[1]).all()


@pytest.mark.parametrize("kind", ["int64", "int8", "uint8", "bool", "float16", "object", "list"])
def test_other_numbers_become_float64(kind: str, backend: str, rng: Any) -> None:
    whole = rng.integers(0, 2 if kind == "bool" else 100, (20, 3))
    X: Any = whole.tolist() if kind == "list" else whole.astype(kind)
    distances, indices = NearestNeighbors(backend=backend).fit(X).kneighbors(X)
    expected = NearestNeighbors(backend=backend).fit(whole.astype(float)).kneighbors(X)
    assert distances.dtype == np.float64
    assert (distances == expected[0]).all()
    assert (indices == expected[1]).all()


def test_memory_layouts(dtype: Any, backend: str, rng: Any) -> None:
    X = rng.random((40, 6)).astype(dtype)
    plain = NearestNeighbors(backend=backend).fit(X[::2, ::3].copy()).kneighbors()
    read_only = X[::2, ::3].copy()
    read_only.flags.writeable = False
    flipped = np.ascontiguousarray(X[::2, ::3][::-1])[::-1]
    for other in (X[::2, ::3], np.asfortranarray(X[::2, ::3]), read_only, flipped):
        found = NearestNeighbors(backend=backend).fit(other).kneighbors()
        assert (found[0] == plain[0]).all()
        assert (found[1] == plain[1]).all()


def test_n_jobs_changes_nothing_but_time(backend: str, rng: Any) -> None:
    X = rng.random((300, 3), dtype=np.float32)
    found = [
        NearestNeighbors(backend=backend, n_jobs=n).fit(X).kneighbors() for n in (None, 1, 2, -1)
    ]
    for distances, indices in found[1:]:
        assert (distances == found[0][0]).all()
        assert (indices == found[0][1]).all()
