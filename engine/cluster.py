"""Clusters of points, and the ranges they make: what block-sparse reductions are prepared with.

The functions of KeOps's ``cluster`` modules, for any number of features. Arrays may be NumPy's,
CuPy's or PyTorch's; labels, ranges and centroids are computed on the processor and come back as
what the points or the labels are, on their device, without gradients.

Examples
--------
Sums of a Gaussian over close points only: sort the points by cubes, and keep pairs of cubes whose
centroids are close.

>>> import numpy as np
>>> from georeduce.engine import LazyTensor
>>> from georeduce.engine.cluster import (
...     cluster_ranges_centroids, from_matrix, grid_cluster, sort_clusters
... )
>>> x = np.random.default_rng(0).random((1000, 2))
>>> x, labels = sort_clusters(x, grid_cluster(x, 0.1))
>>> ranges, centroids, _ = cluster_ranges_centroids(x, labels)
>>> close = ((centroids[:, None] - centroids[None]) ** 2).sum(-1) < 0.3**2
>>> K = (-LazyTensor(x[:, None]).sqdist(LazyTensor(x[None])) / 0.002).exp()
>>> K.ranges = from_matrix(ranges, ranges, close)
>>> K.sum(axis=1).shape
(1000, 1)
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from .arrays import library_of
from .errors import ArgumentError, DTypeError, ShapeError, expected
from .ranges import Indices, Ranges, indices, integers, on_host

__all__ = [
    "cluster_centroids",
    "cluster_ranges",
    "cluster_ranges_centroids",
    "from_matrix",
    "grid_cluster",
    "sort_clusters",
    "swap_axes",
]

Floats = npt.NDArray[np.floating]


def grid_cluster(x: Any, size: Any) -> Any:
    """Return a label for each point: points in the same cell of a grid have the same one.

    Parameters
    ----------
    x : array of shape (M, D)
        Points, D as large as one likes.
    size : float or array of shape (D,)
        Edges of the cells, which begin at multiples of them.

    Returns
    -------
    integer array of shape (M,)
        Labels 0 to C - 1 of the C cells that hold a point, in the order of their coordinates.

    Examples
    --------
    >>> grid_cluster(np.array([[0.0], [0.1], [0.9], [0.05], [0.5]]), 0.2).tolist()
    [0, 0, 2, 0, 1]
    """
    points = _points(x)
    edges = on_host(size) if library_of(size) in ("torch", "cupy") else np.asarray(size)
    what = f"size as a positive number, or {points.shape[1]} of them"
    if edges.dtype.kind not in "fiu" or not ((edges > 0) & (edges < np.inf)).all():
        raise ArgumentError(expected(what, repr(size)))
    if edges.shape not in ((), (1,), (points.shape[1],)):
        raise ShapeError(expected(what, f"shape {edges.shape}"))
    if not np.isfinite(points).all():
        raise ArgumentError(expected("x of finite numbers", "NaN or an infinity"))
    cells = np.floor(points / edges)
    labels = np.zeros(len(points), np.int64)
    for d in range(points.shape[1]):  # labels by d coordinates, then by one more
        values, place = np.unique(cells[:, d], return_inverse=True)
        labels = np.unique(labels * len(values) + place.reshape(-1), return_inverse=True)[1]
    return _like(x, labels.reshape(-1))


def sort_clusters(x: Any, lab: Any) -> tuple[Any, Any]:
    """Return points and labels in the order of the labels, so that clusters are contiguous.

    Parameters
    ----------
    x : array of shape (M, ...), or tuple or list of such
        What belongs to the points. Sorted tensors are differentiable functions of these.
    lab : integer array of shape (M,)
        Labels.

    Returns
    -------
    array, or tuple or list of arrays
        Sorted; points of one cluster stay in their order.
    array
        Sorted labels.

    Examples
    --------
    >>> x, lab = sort_clusters(np.array([0.0, 5.0, 0.4, 0.3, 2.0]), np.array([0, 2, 0, 0, 1]))
    >>> x.tolist(), lab.tolist()
    ([0.0, 0.4, 0.3, 2.0, 5.0], [0, 0, 0, 1, 2])
    """
    labels = _labels(lab)
    for a in x if isinstance(x, tuple | list) else (x,):
        if a.shape[:1] != labels.shape:
            what = f"x of {len(labels)} points, as many as labels"
            raise ShapeError(expected(what, f"shape {tuple(a.shape)}"))
    order = np.argsort(labels, kind="stable")
    if isinstance(x, tuple | list):
        return type(x)(a[_like(a, order)] for a in x), _like(lab, labels[order])
    return x[_like(x, order)], _like(lab, labels[order])


def cluster_ranges(lab: Any, Nlab: Any = None) -> Any:
    """Return where each cluster of sorted points begins and ends.

    Parameters
    ----------
    lab : integer array of shape (M,)
        Labels 0 to C - 1; see `sort_clusters`.
    Nlab : array of shape (C,), optional
        Points of each cluster, if they are known.

    Returns
    -------
    integer array of shape (C, 2)

    Examples
    --------
    >>> cluster_ranges(np.array([0, 0, 0, 1, 2])).tolist()
    [[0, 3], [3, 4], [4, 5]]
    """
    counts = np.bincount(_labels(lab)) if Nlab is None else on_host(Nlab).astype(np.int64)
    ends = np.cumsum(counts)
    return _like(lab, np.stack([ends - counts, ends], axis=1))


def cluster_centroids(
    x: Any, lab: Any, Nlab: Any = None, weights: Any = None, weights_c: Any = None
) -> Any:
    """Return the mean of the points of each cluster, by their weights if there are any.

    Parameters
    ----------
    x : array of shape (M, D)
        Points, sorted or not.
    lab : integer array of shape (M,)
        Labels 0 to C - 1.
    Nlab : array of shape (C,), optional
        Points of each cluster, if they are known.
    weights : array of shape (M,), optional
        Weights of the points.
    weights_c : array of shape (C,), optional
        Sum of the weights of each cluster, if it is known.

    Returns
    -------
    array of shape (C, D)
        NaN for a label that no point has, or whose weights add up to nothing.

    Examples
    --------
    >>> x, lab = np.array([[0.0], [1.0], [4.0], [5.0], [6.0]]), np.array([0, 0, 1, 1, 1])
    >>> cluster_centroids(x, lab, weights=np.array([0.5, 0.5, 2.0, 1.0, 1.0])).tolist()
    [[0.5], [4.75]]
    """
    points, labels = _points(x), _labels(lab)
    if len(labels) != len(points):
        what = f"lab of {len(points)} labels, one for each point"
        raise ShapeError(expected(what, f"{len(labels)}"))
    w = None if weights is None else _weights(weights, len(points))
    known = Nlab if w is None else weights_c
    total = np.bincount(labels, weights=w) if known is None else on_host(known).reshape(-1)
    terms = points if w is None else points * w[:, None]
    sums = [np.bincount(labels, weights=column, minlength=len(total)) for column in terms.T]
    with np.errstate(invalid="ignore", divide="ignore"):
        centroids = np.stack(sums, axis=1) / total[:, None]
    return _like(x, centroids.astype(points.dtype))


def cluster_ranges_centroids(
    x: Any, lab: Any, weights: Any = None, min_weight: float = 1e-9
) -> tuple[Any, Any, Any]:
    """Return the ranges, the centroids and the weights of clusters.

    Parameters
    ----------
    x : array of shape (M, D)
        Points, sorted or not; the ranges are those of the sorted ones.
    lab : integer array of shape (M,)
        Labels 0 to C - 1.
    weights : array of shape (M,), optional
        Weights of the points; 1 if there are none.
    min_weight : float
        What smaller weights are raised to, so that every cluster has a centroid.

    Returns
    -------
    integer array of shape (C, 2)
        Where each cluster begins and ends.
    array of shape (C, D)
        Centroids.
    array of shape (C,)
        Sums of the weights.

    Examples
    --------
    >>> x, lab = np.array([[0.0], [0.5], [1.0], [2.0], [3.0]]), np.array([0, 0, 1, 1, 1])
    >>> [a.tolist() for a in cluster_ranges_centroids(x, lab)]
    [[[0, 2], [2, 5]], [[0.25], [2.0]], [2.0, 3.0]]
    """
    points, labels = _points(x), _labels(lab)
    w = None if weights is None else np.maximum(_weights(weights, len(points)), min_weight)
    total = np.bincount(labels, weights=w).astype(points.dtype)
    centroids = cluster_centroids(points, labels, weights=w)
    return cluster_ranges(lab), _like(x, centroids), _like(x, total)


def from_matrix(ranges_i: Any, ranges_j: Any, keep: Any) -> Ranges:
    """Return the ranges of the pairs of clusters that a matrix keeps.

    Parameters
    ----------
    ranges_i : integer array of shape (m, 2)
        Where each cluster of rows begins and ends.
    ranges_j : integer array of shape (n, 2)
        Where each cluster of columns does.
    keep : boolean array of shape (m, n)
        Which clusters of columns those of rows are reduced over.

    Returns
    -------
    Ranges
        For reductions along both axes; it unpacks to six NumPy arrays.

    Examples
    --------
    >>> keep = np.array([[True, True, False], [False, True, False]])
    >>> ranges = from_matrix([[2, 5], [7, 12]], [[1, 4], [4, 9], [20, 30]], keep)
    >>> ranges_i, slices_i, redranges_j, ranges_j, slices_j, redranges_i = ranges
    >>> slices_i.tolist(), redranges_j.tolist()
    ([2, 3], [[1, 4], [4, 9], [4, 9]])
    >>> slices_j.tolist(), redranges_i.tolist()
    ([1, 3, 3], [[2, 5], [2, 5], [7, 12]])
    """
    rows, columns = indices(ranges_i, "ranges_i"), indices(ranges_j, "ranges_j")
    kept = on_host(keep)
    if kept.shape != (len(rows), len(columns)):
        what = f"keep of shape ({len(rows)}, {len(columns)}), as there are ranges"
        raise ShapeError(expected(what, f"{kept.shape}"))
    kept = kept.astype(np.bool_)
    of_rows, of_columns = kept.nonzero()[1], kept.T.nonzero()[1]
    slices_i, slices_j = (np.cumsum(np.count_nonzero(kept, axis=axis)) for axis in (1, 0))
    return Ranges((rows, slices_i, columns[of_rows], columns, slices_j, rows[of_columns]))


def swap_axes(ranges: Any) -> Any:
    """Return the ranges of the transpose: `Ranges`, or a tuple of six arrays; None of None.

    Parameters
    ----------
    ranges : Ranges, tuple or None
        Ranges.

    Examples
    --------
    >>> swap_axes(("a", "b", "c", "d", "e", "f"))
    ('d', 'e', 'f', 'a', 'b', 'c')
    """
    if ranges is None:
        return None
    return ranges.T if isinstance(ranges, Ranges) else (*ranges[3:6], *ranges[0:3])


# --- Arrays of three libraries -----------------------------------------------------------------


def _points(x: Any) -> Floats:
    points = on_host(x)
    if points.dtype.kind != "f":
        raise DTypeError(expected("x of floating point numbers", f"dtype {points.dtype}"))
    if points.ndim != 2:
        raise ShapeError(expected("x of shape (M, D)", f"shape {points.shape}"))
    return points


def _labels(lab: Any) -> Indices:
    labels = integers(lab, "lab")
    if labels.ndim != 1 and labels.size != max(labels.shape, default=0):
        raise ShapeError(expected("lab of shape (M,)", f"shape {labels.shape}"))
    if labels.min(initial=0) < 0:
        raise ArgumentError(expected("lab without negative numbers", f"{labels.min()}"))
    return labels.reshape(-1)


def _weights(weights: Any, M: int) -> Floats:
    w = on_host(weights)
    if w.size != M:
        raise ShapeError(expected(f"weights of shape ({M},)", f"shape {w.shape}"))
    return w.reshape(-1)


def _like(x: Any, a: npt.NDArray[Any]) -> Any:
    """Return an array of NumPy as one of the library that x is from, on its device."""
    library = library_of(x)
    if library == "torch":
        return sys.modules["torch"].as_tensor(a, device=x.device)
    if library == "cupy":
        cupy = sys.modules["cupy"]
        with cupy.cuda.Device(x.device.id):
            return cupy.asarray(a)
    return a
