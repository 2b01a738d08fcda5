"""Clusters: labels, ranges and centroids, and sums over close points that they make cheap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import eps, sum_error

from georeduce.engine import LazyTensor, Ranges
from georeduce.engine.cluster import (
    cluster_centroids,
    cluster_ranges,
    cluster_ranges_centroids,
    from_matrix,
    grid_cluster,
    sort_clusters,
    swap_axes,
)
from georeduce.engine.errors import ArgumentError, DTypeError, GeoreduceError, ShapeError


@pytest.fixture(params=["numpy", "torch"])
def made(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """What makes arrays of a library."""
    if request.param == "numpy":
        return np.asarray
    return pytest.importorskip(request.param).asarray  # type: ignore[no-any-return]


@pytest.mark.parametrize("D", [1, 2, 3, 7])
def test_points_of_a_cell_have_one_label(D: int, made: Any, rng: np.random.Generator) -> None:
    x = rng.normal(scale=5, size=(300, D))
    labels = grid_cluster(made(x), 2.5)
    assert type(labels) is type(made(x))
    cells, expected = np.unique(np.floor(x / 2.5), axis=0, return_inverse=True)
    assert labels.tolist() == expected.reshape(-1).tolist(), "in the order of their coordinates"
    assert len(cells) == int(labels.max()) + 1


def test_cells_may_be_bricks(made: Any) -> None:
    x = made(np.array([[0.0, 0.0], [0.9, 0.0], [0.9, 1.9], [0.0, 2.1], [1.1, 0.0], [-0.1, 0.0]]))
    assert grid_cluster(x, made(np.array([1.0, 2.0]))).tolist() == [1, 1, 1, 2, 3, 0]
    assert grid_cluster(x[:0], 1.0).tolist() == []


def test_points_are_sorted_in_their_order(made: Any, rng: np.random.Generator) -> None:
    lab = rng.integers(0, 4, 50)
    x, other = rng.random((50, 2)), np.arange(50)
    order = np.argsort(lab, kind="stable")
    (x_sorted, other_sorted), lab_sorted = sort_clusters((made(x), made(other)), made(lab))
    assert x_sorted.tolist() == x[order].tolist()
    assert other_sorted.tolist() == order.tolist()
    assert lab_sorted.tolist() == lab[order].tolist()
    assert sort_clusters(made(x), made(lab))[0].tolist() == x[order].tolist()
    assert isinstance(sort_clusters([made(x)], made(lab))[0], list)


def test_ranges_and_centroids(made: Any, rng: np.random.Generator) -> None:
    lab = np.sort(np.append(rng.integers(0, 5, 60), range(5)))
    x, w = rng.random((65, 3)), rng.random(65)
    ranges, centroids, weights = cluster_ranges_centroids(made(x), made(lab), weights=made(w))
    assert ranges.tolist() == cluster_ranges(made(lab)).tolist()
    assert ranges.tolist() == cluster_ranges(made(lab), made(np.bincount(lab))).tolist()
    for k, (first, last) in enumerate(ranges.tolist()):
        assert (lab[first:last] == k).all()
        assert (lab == k).sum() == last - first
        own, points = w[first:last], x[first:last]
        close = {"rtol": 4 * sum_error(np.float64, 65), "atol": 0}
        assert np.allclose(np.asarray(centroids[k]), own @ points / own.sum(), **close)
        assert np.allclose(float(weights[k]), own.sum(), **close)
        mean = cluster_centroids(made(x), made(lab))[k]
        assert np.allclose(np.asarray(mean), points.mean(0), **close)
    plain = cluster_ranges_centroids(made(x), made(lab))
    assert plain[2].tolist() == np.bincount(lab).tolist()
    given = cluster_centroids(made(x), made(lab), weights=made(w), weights_c=weights)
    assert given.tolist() == centroids.tolist()


def test_weights_are_raised_to_the_least(made: Any) -> None:
    x, lab = made(np.array([[1.0], [3.0]])), made(np.array([0, 0]))
    _, centroids, weights = cluster_ranges_centroids(x, lab, made(np.zeros(2)), min_weight=0.5)
    assert (centroids.tolist(), weights.tolist()) == ([[2.0]], [1.0])


def test_the_dtype_stays(made: Any) -> None:
    x = made(np.ones((4, 2), np.float32))
    lab = made(np.array([0, 0, 1, 1], np.int32))
    ranges, centroids, weights = cluster_ranges_centroids(x, lab)
    assert (centroids.dtype, weights.dtype) == (x.dtype, x.dtype)
    assert str(ranges.dtype).endswith("int64")


def test_a_label_of_nobody_has_no_centroid() -> None:
    centroids = cluster_centroids(np.ones((2, 1)), np.array([0, 2]))
    assert np.isnan(centroids[:, 0]).tolist() == [False, True, False]


def test_sorted_tensors_have_derivatives() -> None:
    torch: Any = pytest.importorskip("torch")
    x = torch.tensor([[1.0], [2.0], [3.0]], requires_grad=True)
    x_sorted, _ = sort_clusters(x, torch.tensor([2, 0, 1]))
    (x_sorted[0] * 5).sum().backward()
    assert x.grad.tolist() == [[0.0], [5.0], [0.0]]


def test_a_matrix_of_clusters(made: Any) -> None:
    rows, columns = made(np.array([[2, 5], [7, 12]])), made(np.array([[1, 4], [4, 9], [20, 30]]))
    keep = made(np.array([[True, True, False], [False, True, False]]))
    ranges = from_matrix(rows, columns, keep)
    assert isinstance(ranges, Ranges)
    assert [a.tolist() for a in ranges] == [
        [[2, 5], [7, 12]],
        [2, 3],
        [[1, 4], [4, 9], [4, 9]],
        [[1, 4], [4, 9], [20, 30]],
        [1, 3, 3],
        [[2, 5], [2, 5], [7, 12]],
    ]
    assert (
        swap_axes(ranges) == from_matrix(columns, rows, keep.T) == Ranges(swap_axes(tuple(ranges)))
    )
    assert swap_axes(None) is None


def test_far_points_left_out_change_little(rng: np.random.Generator) -> None:
    """The sum of a Gaussian over close cells only is the full sum, up to its tails."""
    x, sigma = rng.random((2000, 2)), 0.02
    x, labels = sort_clusters(x, grid_cluster(x, 0.1))
    ranges, centroids, _ = cluster_ranges_centroids(x, labels)
    apart = ((centroids[:, None] - centroids[None]) ** 2).sum(-1)
    reach = sigma * (-2 * np.log(eps(np.float64))) ** 0.5
    K = (-LazyTensor(x[:, None]).sqdist(LazyTensor(x[None])) / (2 * sigma**2)).exp()
    full = K.sum(axis=1)
    K.ranges = from_matrix(ranges, ranges, apart < (reach + 0.1 * 2**0.5) ** 2)
    assert np.diff(K.ranges.along_j.columns).sum() < 2000 * len(ranges) / 2
    bound = 2 * sum_error(np.float64, 2000) + 2000 * eps(np.float64)
    assert np.allclose(K.sum(axis=1), full, rtol=bound, atol=0)
    assert np.allclose(K.sum(axis=0), full, rtol=bound, atol=0)


POINTS, LABELS = np.ones((3, 2)), np.array([0, 1, 1])
MISTAKES: list[tuple[Callable[[], Any], type[GeoreduceError], str]] = [
    (
        lambda: grid_cluster(POINTS[0], 1.0),
        ShapeError,
        "Expected x of shape (M, D), but got shape (2,).",
    ),
    (
        lambda: grid_cluster(LABELS[:, None], 1.0),
        DTypeError,
        "Expected x of floating point numbers, but got dtype int64.",
    ),
    (
        lambda: grid_cluster(POINTS, 0.0),
        ArgumentError,
        "Expected size as a positive number, or 2 of them, but got 0.0.",
    ),
    (
        lambda: grid_cluster(POINTS, [1.0, 1.0, 1.0]),
        ShapeError,
        "Expected size as a positive number, or 2 of them, but got shape (3,).",
    ),
    (
        lambda: grid_cluster(POINTS * np.nan, 1.0),
        ArgumentError,
        "Expected x of finite numbers, but got NaN or an infinity.",
    ),
    (
        lambda: sort_clusters(POINTS[:2], LABELS),
        ShapeError,
        "Expected x of 3 points, as many as labels, but got shape (2, 2).",
    ),
    (
        lambda: cluster_ranges(LABELS / 2),
        DTypeError,
        "Expected lab as an array of integers, but got dtype float64.",
    ),
    (
        lambda: cluster_ranges(LABELS - 1),
        ArgumentError,
        "Expected lab without negative numbers, but got -1.",
    ),
    (
        lambda: cluster_ranges(np.zeros((2, 2), int)),
        ShapeError,
        "Expected lab of shape (M,), but got shape (2, 2).",
    ),
    (
        lambda: cluster_centroids(POINTS[:2], LABELS),
        ShapeError,
        "Expected lab of 2 labels, one for each point, but got 3.",
    ),
    (
        lambda: cluster_centroids(POINTS, LABELS, weights=np.ones(2)),
        ShapeError,
        "Expected weights of shape (3,), but got shape (2,).",
    ),
    (
        lambda: from_matrix([[0, 1]], [[0, 1], [1, 2]], [[True]]),
        ShapeError,
        "Expected keep of shape (1, 2), as there are ranges, but got (1, 1).",
    ),
]


def test_ranges_are_those_of_sorted_points(rng: np.random.Generator) -> None:
    """KeOps's users ask for them before they sort."""
    x, lab = rng.uniform(size=(40, 2)), rng.integers(0, 5, 40)
    before = cluster_ranges_centroids(x, lab)
    after = cluster_ranges_centroids(*sort_clusters(x, lab))
    for a, b in zip(before, after, strict=True):
        np.testing.assert_allclose(a, b, rtol=sum_error("float64", 40))


@pytest.mark.parametrize(("act", "kind", "message"), MISTAKES, ids=[m[2] for m in MISTAKES])
def test_mistake(act: Callable[[], Any], kind: type[GeoreduceError], message: str) -> None:
    with pytest.raises(kind) as caught:
        act()
    assert str(caught.value) == message
