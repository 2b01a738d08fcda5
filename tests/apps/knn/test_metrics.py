"""The table of metrics, and metrics of a user's own."""

from __future__ import annotations

import math
import pickle
from typing import Any

import mpmath
import numpy as np
import pytest
import sklearn.neighbors

from georeduce.apps.knn import METRICS, KNeighborsClassifier, NearestNeighbors
from georeduce.engine import DTypeError, LazyTensor, ShapeError, Vi, Vj

TABLE = sorted({metric.name: metric for metric in METRICS.values()}.items())
each_metric = pytest.mark.parametrize("metric", [m for _, m in TABLE], ids=[n for n, _ in TABLE])


def canberra(x: LazyTensor, y: LazyTensor) -> LazyTensor:
    return ((x - y).abs() / (x.abs() + y.abs())).sum(-1)


def weighted(x: LazyTensor, y: LazyTensor, w: list[float], power: float = 2) -> LazyTensor:
    return (((x - y).abs() ** power) * w).sum(-1)


@each_metric
def test_the_search_is_on_the_distance(metric: Any, dtype: Any, truth: Any, rng: Any) -> None:
    """The law of `Metric`: prepared, searched and finished, it is the formula, and the truth."""
    x, y = ((rng.random((n, 3)) / 2).astype(dtype) for n in (11, 12))
    values = metric.between(x, y, {}).dense()
    assert values.shape == (11, 12)
    assert values.dtype == dtype
    true = truth.true_distances(metric.name, x, y)
    off = truth.rounding(metric.name, true, x, y, dtype)
    assert (abs(metric.finish(values) - true) <= off).all()
    # written as a user would, cosine and poincare cancel: 1 - x.y and acosh(1 + u) lose (D + 9) eps
    # of the 1, which is that over the distance after acosh
    loose = 2 * 12 * np.finfo(dtype).eps * (true + 1 + 1 / true)
    assert (abs(metric.formula(Vi(x), Vj(y)).dense() - true) <= loose).all()


@each_metric
def test_finish_is_increasing(metric: Any, dtype: Any) -> None:
    values = np.linspace(0, 3, 1000, dtype=dtype)
    assert (np.diff(metric.finish(values)) > 0).all()
    assert metric.finish(values).dtype == dtype


def test_names_of_the_table_are_those_it_is_read_by() -> None:
    for name, metric in METRICS.items():
        assert name in (metric.name, *metric.aliases)
    assert "minkowski" not in METRICS


# --- The Poincaré ball ------------------------------------------------------------------------


def poincare_in_mpmath(x: Any, y: Any) -> float:
    with mpmath.workdps(60):
        x, y = ([mpmath.mpf(float(v)) for v in z] for z in (x, y))
        gaps = (1 - mpmath.fsum(v**2 for v in x)) * (1 - mpmath.fsum(v**2 for v in y))
        square = mpmath.fsum((a - b) ** 2 for a, b in zip(x, y, strict=True))
        return float(mpmath.acosh(1 + 2 * square / gaps))


def exact_poincare(X: Any, indices: Any) -> Any:
    return np.array(
        [[poincare_in_mpmath(X[i], X[j]) for j in row] for i, row in enumerate(indices)]
    )


@pytest.mark.parametrize("radius", [0.1, 0.9, 0.999])
def test_poincare_distances_are_right(
    radius: float, dtype: Any, backend: str, truth: Any, rng: Any
) -> None:
    directions = rng.standard_normal((20, 3))
    X = (directions / np.linalg.norm(directions, axis=1, keepdims=True) * radius).astype(dtype)
    X[10:] = X[:10] * dtype(1 - 1e-3)  # near ones too, where acosh(1 + u) would cancel
    model = NearestNeighbors(n_neighbors=20, metric="poincare", backend=backend).fit(X)
    distances, indices = model.kneighbors(X)
    exact = exact_poincare(X, indices)
    off = truth.rounding("poincare", exact, X, X, dtype)
    assert (abs(distances - exact) <= off).all()
    assert (distances[:, 0] == 0).all()
    assert (truth.true_distances("poincare", X, X) > 1e-4).any()


@pytest.mark.parametrize("gap", [4 * np.finfo(np.float32).eps, 1e-9, 1e-12])
def test_at_the_rim_of_the_ball_distances_keep_their_digits(
    gap: float, backend: str, rng: Any
) -> None:
    """Where 1 - |x|^2 is a few eps, so that of plain squares it would have no digit right."""
    dtype = np.float32 if gap > 1e-8 else np.float64
    X = rng.standard_normal((20, 5))
    X = (X / np.linalg.norm(X, axis=1, keepdims=True) * (1 - gap)).astype(dtype)
    model = NearestNeighbors(n_neighbors=2, metric="poincare", backend=backend).fit(X)
    distances, indices = model.kneighbors()
    exact = exact_poincare(X, indices)
    # as `rounding`, without the term of 1 - |x|^2: that is now exact to eps
    assert (abs(distances - exact) <= 2 * (5 + 9) * np.finfo(dtype).eps * exact).all()


@pytest.mark.parametrize("bad", [1.0, 1.2])
def test_points_outside_of_the_ball(bad: float, backend: str) -> None:
    model = NearestNeighbors(n_neighbors=1, metric="poincare", backend=backend)
    message = (
        f"Expected points inside of the unit ball for 'poincare', but got a norm of {bad:g} in"
    )
    with pytest.raises(ValueError, match=f"{message} row 1. Scale the points"):
        model.fit([[0.0, 0.0], [0.0, bad]])
    with pytest.raises(ValueError, match=f"{message} row 0."):
        model.fit([[0.0, 0.0], [0.0, 0.5]]).kneighbors([[bad, 0.0]])


# --- Cosine -----------------------------------------------------------------------------------


def test_the_origin_is_at_cosine_distance_one(dtype: Any, backend: str) -> None:
    X = np.array([[0, 0], [3, 4], [-3, -4], [0, 0]], dtype)
    model = NearestNeighbors(n_neighbors=4, metric="cosine", backend=backend).fit(X)
    distances, indices = model.kneighbors(X)
    peer = sklearn.neighbors.NearestNeighbors(n_neighbors=4, metric="cosine", algorithm="brute")
    theirs = peer.fit(X).kneighbors(X.copy())[0]  # of X itself it would set the diagonal to zero
    # a norm, two quotients and a product of two components
    assert np.allclose(distances, theirs, rtol=0, atol=8 * np.finfo(dtype).eps)
    assert distances[[0, 3]].tolist() == [[1, 1, 1, 1]] * 2
    assert indices[0].tolist() == [0, 1, 2, 3]
    assert indices[1, 0] == 1
    assert indices[1, 3] == 2


def test_cosine_of_nearly_parallel_vectors(dtype: Any, backend: str) -> None:
    """1 - cos(a) is a^2 / 2, below eps: the definition in this dtype gives 0 or noise."""
    a = dtype(np.sqrt(np.finfo(dtype).eps) / 16)
    X = np.array([[1, 0], [np.cos(a), np.sin(a)], [np.cos(2 * a), np.sin(2 * a)]], dtype)
    model = NearestNeighbors(n_neighbors=2, metric="cosine", backend=backend).fit(X)
    distances, indices = model.kneighbors(X[:1])
    assert indices.tolist() == [[0, 1]]
    # each unit vector is off by h = (D / 2 + 4) eps, so that a is by 2 h
    off = 2 * 5 * float(np.finfo(dtype).eps)
    assert abs(math.sqrt(2 * float(distances[0, 1])) - float(a)) <= off


def test_cosine_of_numbers_whose_squares_overflow(dtype: Any, backend: str) -> None:
    big = np.finfo(dtype).max / 2
    model = NearestNeighbors(n_neighbors=3, metric="cosine", backend=backend)
    X = np.array([[big, 0], [big, big], [0, 1 / big]], dtype)
    distances, indices = model.fit(X).kneighbors(X[:1])
    assert indices.tolist() == [[0, 1, 2]]
    assert np.allclose(
        distances, [[0, 1 - math.sqrt(0.5), 1]], rtol=0, atol=10 * np.finfo(dtype).eps
    )


# --- A user's own -----------------------------------------------------------------------------


def test_a_users_function(problem: Any, dtype: Any, backend: str) -> None:
    """Weighted Euclidean, of equal weights: the same neighbours in the same order."""
    D = problem.queries.shape[1]
    model = NearestNeighbors(metric=weighted, metric_params={"w": [1.0] * D}, backend=backend)
    found = model.fit(problem.database).kneighbors(problem.queries)
    same = NearestNeighbors(metric="sqeuclidean", backend=backend).fit(problem.database)
    distances, indices = same.kneighbors(problem.queries)
    assert found[0].dtype == dtype
    limit = 2 * (D + 4) * np.finfo(dtype).eps  # a product with the weight more than `rounding`
    assert (abs(found[0] - distances) <= limit * distances).all()
    assert (found[1] == indices).mean() > 0.9
    assert model.effective_metric_ is weighted
    assert model.effective_metric_params_ == {"w": [1.0] * D}


def test_keywords_of_a_users_function_count(backend: str) -> None:
    X = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.5]]
    for w, nearest, distance in (([1, 1], 1, 1.0), ([9, 1], 2, 3.375)):
        params = {"w": w, "power": 3}
        model = NearestNeighbors(n_neighbors=1, metric=weighted, metric_params=params,
                                 backend=backend).fit(X)  # fmt: skip
        distances, indices = model.kneighbors()
        assert indices[0, 0] == nearest
        assert distances[0, 0] == distance


def test_a_lambda_and_a_scikit_learn_reference(backend: str, rng: Any) -> None:
    X, Q = rng.random((30, 4)) + 1, rng.random((9, 4)) + 1
    found = NearestNeighbors(metric=canberra, backend=backend).fit(X).kneighbors(Q)
    peer = sklearn.neighbors.NearestNeighbors(metric="canberra", algorithm="brute").fit(X)
    theirs = peer.kneighbors(Q)
    assert (found[1] == theirs[1]).all()
    assert (abs(found[0] - theirs[0]) <= 2 * 4 * 8 * np.finfo(float).eps * theirs[0]).all()
    same = NearestNeighbors(metric=lambda x, y: canberra(x, y), backend=backend).fit(X)
    assert (same.kneighbors(Q)[1] == found[1]).all()


def test_a_metric_that_puts_others_nearer_than_the_point_itself(backend: str) -> None:
    """Without X a point is left out wherever it stands, and otherwise nothing is lost."""
    X = np.array([[1.0], [2.0], [3.0]])
    model = NearestNeighbors(n_neighbors=1, metric=lambda x, y: -(x | y), backend=backend).fit(X)
    assert model.kneighbors()[1].tolist() == [[2], [2], [1]]


def only_x(x: LazyTensor, y: LazyTensor) -> LazyTensor:
    return (x**2).sum(-1)


def only_y(x: LazyTensor, y: LazyTensor) -> LazyTensor:
    return (y**2).sum(-1)


WRONG = {
    "array": (lambda x, y: np.zeros((3, 3)), ValueError, "but got ndarray"),
    "number": (lambda x, y: 0.0, ValueError, "but got float"),
    "vector": (lambda x, y: x - y, ShapeError, "but got dimension 2"),
    "only-x": (only_x, ShapeError, r"but got shape \(1, 1, 1\)"),
    "only-y": (only_y, ShapeError, r"but got shape \(1, 3, 1\)"),
}


@pytest.mark.parametrize(("metric", "error", "got"), WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("cls", [NearestNeighbors, KNeighborsClassifier])
def test_a_function_that_returns_something_else(
    cls: Any, metric: Any, error: Any, got: str
) -> None:
    name = metric.__name__
    rule = (
        f"Expected metric {name} to return a LazyTensor of dimension 1, one distance for each pair"
    )
    with pytest.raises(error, match=f"{rule}, {got}"):
        cls(metric=metric).fit(np.eye(3, 2), [0, 1, 0])


def test_a_function_of_arrays_is_told_what_it_gets() -> None:
    with pytest.raises(TypeError) as caught:
        NearestNeighbors(metric=lambda x, y: np.abs(x - y).sum()).fit(np.eye(3))
    assert "was called with two LazyTensors" in caught.value.__notes__[0]
    assert "metric_params" not in caught.value.__notes__[0]
    with pytest.raises(TypeError, match="unexpected keyword") as caught:
        NearestNeighbors(metric=canberra, metric_params={"v": 1}).fit(np.eye(3))
    assert "metric_params" in caught.value.__notes__[0]


def test_arrays_of_another_dtype_in_a_function() -> None:
    params = {"w": np.ones(3)}
    with pytest.raises(
        DTypeError, match="Expected arrays of one dtype, but got float32 and float64"
    ):
        NearestNeighbors(metric=weighted, metric_params=params).fit(np.eye(3, dtype=np.float32))


def test_distances_that_are_nan(backend: str) -> None:
    """Never chosen where there are others; told where there are not, rather than a wrong index."""
    X = np.array([[0.0], [1.0], [4.0]])
    model = NearestNeighbors(n_neighbors=2, metric=lambda x, y: (y - x).log().sum(-1),
                             backend=backend).fit(X)  # fmt: skip
    assert model.kneighbors([[0.5]])[1].tolist() == [[1, 2]]
    message = (
        "Expected distances to at least 2 samples, but got NaN for all but 1 of them in query 1"
    )
    with pytest.raises(ValueError, match=message):
        model.kneighbors([[0.5], [2.0]])


def test_functions_pickle_by_name() -> None:
    model = NearestNeighbors(metric=canberra).fit(np.eye(3) + 1)
    again = pickle.loads(pickle.dumps(model))
    assert again.effective_metric_ is canberra
