"""What is computed in the benchmarks, by us and by the peers, and whether it is right.

A problem's formula is written once: a LazyTensor of ours and one of pykeops read the same. Every
result is compared with float64, within bounds that follow from the arithmetic.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments import harness
from georeduce.apps.knn.metrics import METRICS
from georeduce.engine import LazyTensor

Array = NDArray[Any]
Arrays = tuple[Array, ...]
Call = Callable[[], Any]
Checked = dict[str, Any]
FLUSH = 64
"""Vectors whose sum is held in one lane, at most, before it goes to a double (see kernel.h)."""


class Data(NamedTuple):
    """The points: arrays of M and of N rows, and a number for each of the N."""

    x: Arrays
    y: Arrays
    b: Array


class Problem(ABC):
    """A computation on two point clouds. It knows no sizes, and nothing of clocks."""

    @abstractmethod
    def data(self, M: int, N: int, D: int, dtype: str, rng: np.random.Generator) -> Data:
        """Return random points, and what is made of them before the clock starts."""

    @abstractmethod
    def reduced(self, lazy: Any, data: Data, K: int) -> Any:
        """Compute it with a class of LazyTensors."""

    @abstractmethod
    def peers(self, data: Data, K: int) -> Iterator[tuple[str, Callable[[Data], Any]]]:
        """Yield those that are installed, each as a function of the rows that it is given."""

    @abstractmethod
    def check(self, results: dict[str, Any], data: Data, K: int) -> Checked:
        """Return figures of accuracy; raise where ours, or a peer that is compared, is wrong."""

    def ours(self, data: Data, K: int) -> Call:
        return partial(self.reduced, LazyTensor, data, K)

    def _pykeops(self, K: int) -> Iterator[tuple[str, Callable[[Data], Any]]]:
        if pykeops := harness.peer("pykeops.numpy"):
            harness.peer("pykeops").set_verbose(False)
            yield "pykeops", lambda data: self.reduced(pykeops.LazyTensor, data, K)


def rows(data: Data, n: int) -> Data:
    """Return the first rows, with all the columns."""
    return data._replace(x=tuple(np.ascontiguousarray(a[:n]) for a in data.x))


def as_lazy(lazy: Any, data: Data) -> tuple[list[Any], list[Any]]:
    return [lazy(a[:, None, :]) for a in data.x], [lazy(a[None, :, :]) for a in data.y]


def sampled(M: int, first: int, others: int) -> Array:
    """Return some rows to check: the first ones, which all contestants have, and any others."""
    rng = np.random.default_rng(0)
    return np.unique([*range(min(first, M)), *rng.integers(0, M, others)])


def relative_parts(results: dict[str, Any], n: Array, value: Array, bound: Array) -> Checked:
    """Return each contestant's error as a part of the bound; ours must be within it."""
    parts = {}
    for name, result in results.items():
        own = n < len(result)
        error = np.abs(result[n[own]].astype(np.float64) - value[own])
        parts[name] = float(f"{(error / bound[own]).max():.3g}")
    if not parts[harness.OURS] <= 1:
        raise AssertionError(f"Expected errors within the bound, but got {parts} of it.")
    return {f"error_over_bound_{name}": part for name, part in parts.items()}


# --- Sums -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class KernelSum(Problem):
    """``sum_j exp(-|x_i - y_j|^2) b_j``, or the logarithm of ``sum_j exp(b_j - |x_i - y_j|^2)``."""

    logarithm: bool = False

    def data(self, M: int, N: int, D: int, dtype: str, rng: np.random.Generator) -> Data:
        # Scaled so that squared distances stay near 1/6 whatever D is.
        x, y = ((rng.random((n, D)) / np.sqrt(D)).astype(dtype) for n in (M, N))
        return Data((x,), (y,), rng.standard_normal((N, 1)).astype(dtype))

    def reduced(self, lazy: Any, data: Data, K: int) -> Any:
        (x_i,), (y_j,) = as_lazy(lazy, data)
        if self.logarithm:
            return (lazy(data.b[None, :, :]) - x_i.sqdist(y_j)).logsumexp(axis=1)
        return (-x_i.sqdist(y_j)).exp() @ data.b

    def peers(self, data: Data, K: int) -> Iterator[tuple[str, Callable[[Data], Any]]]:
        yield from self._pykeops(K)
        yield "numpy", self.dense

    def dense(self, data: Data) -> Array:
        """Compute it with the whole matrix in memory, as fast as NumPy does it."""
        (x,), (y,), b = data
        power = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * (x @ y.T)
        np.negative(power, out=power)
        if not self.logarithm:
            return np.exp(power, out=power) @ b
        power += b[:, 0]
        top = power.max(axis=1, keepdims=True)
        power -= top
        return np.log(np.exp(power, out=power).sum(1, keepdims=True)) + top

    def check(self, results: dict[str, Any], data: Data, K: int) -> Checked:
        n = sampled(len(data.x[0]), 16, 16)
        return relative_parts(results, n, *self.exact(data, n))

    def exact(self, data: Data, n: Array) -> tuple[Array, Array]:
        """Return the float64 results of some rows, and how far ours may be from them.

        A sum of D squared differences has a relative error of at most (D + 3) eps, which the
        exponential turns into an absolute one of its argument. To that come the exponential itself
        (2 ulp), the product, and the additions that a term goes through: at most `FLUSH` in a lane,
        then in double one for each block of columns, of which there are fewer than N / FLUSH. The
        float64 results that this compares with have errors of their own, hence twice for float64.
        """
        (x,), (y,), b = data
        N, D = y.shape
        dtype = x.dtype
        eps, eps64 = float(np.finfo(dtype).eps), float(np.finfo(np.float64).eps)
        adds = FLUSH * eps + (N / FLUSH + FLUSH) * eps64
        b64, y64 = b[:, 0].astype(np.float64), y.astype(np.float64)
        values, bounds = [], []
        for row in x[n].astype(np.float64):
            d2 = ((row - y64) ** 2).sum(1)
            if self.logarithm:
                term = np.exp(b64 - d2)
                value = np.log(term.sum())
                size = d2 + np.abs(b64 - d2) + np.abs(b64 - d2 - value)
            else:
                term = np.exp(-d2) * b64
                value, size = term.sum(), d2
            bound = (np.abs(term) * (eps * ((D + 3) * size + 8) + adds)).sum()
            if self.logarithm:
                bound = bound / term.sum() + 2 * eps * abs(value)
            values.append([value])
            bounds.append([bound * (2 if dtype == np.float64 else 1)])
        return np.array(values), np.array(bounds)


# --- Neighbours -----------------------------------------------------------------------------------


def _sqdist(x: Array, y: Array) -> Array:
    return ((x - y) ** 2).sum(-1)


def _norms(x: Arrays, y: Arrays) -> Array:
    """Return (|x| + |y|)^2: the part of eps that is lost in |x|^2 + |y|^2 - 2 x.y, row by row."""
    top = np.linalg.norm(y[0], axis=1).max()
    return (np.linalg.norm(x[0], axis=1) + top) ** 2


def _expanded(x: Arrays, y: Arrays) -> Array:
    return (x[0] ** 2).sum(1)[:, None] + (y[0] ** 2).sum(1) - 2 * (x[0] @ y[0].T)


@dataclass(frozen=True)
class Measure:
    """A distance of points: its formula, what it truly is, and who else computes it.

    Attributes
    ----------
    formula : callable
        Of LazyTensors, first those of the rows, then those of the columns. Small is near.
    exact : callable
        The same of float64 arrays that broadcast.
    reach : callable
        From the arrays of both to the size of what is lost by those who expand squares, for each
        row; times (D + 3) eps it is their error.
    relative : bool
        Whether our error is (D + 6) eps times the value; else it is so times the reach.
    prepare : callable
        From points to the arrays of the formula.
    scale : float
        Points have coordinates up to this one over sqrt(D); 0 for up to 1 whatever D is.
    faiss, sklearn : str
        Its index and its metric, "" if it has none.
    dense : callable, optional
        The matrix, as fast as NumPy makes it.
    """

    formula: Callable[..., Any]
    exact: Callable[..., Array]
    reach: Callable[[Arrays, Arrays], Array] = _norms
    relative: bool = True
    prepare: Callable[[Array], Arrays] = lambda points: (points,)
    scale: float = 0.0
    faiss: str = ""
    sklearn: str = ""
    dense: Callable[[Arrays, Arrays], Array] | None = None


def _metric(name: str) -> dict[str, Any]:
    """Return the formula with which the estimators search, and what they make of the points."""
    metric = METRICS[name]
    return {"formula": metric.surrogate or metric.formula, "prepare": metric.prepare}


MEASURES = {
    "euclidean": Measure(
        **_metric("sqeuclidean"), exact=_sqdist, faiss="IndexFlatL2", sklearn="sqeuclidean"
    ),
    # On the sphere, where the squared distance and the scalar product order points alike.
    "cosine": Measure(
        METRICS["cosine"].regular, exact=_sqdist, faiss="IndexFlatIP", sklearn="sqeuclidean",
        prepare=lambda x: METRICS["cosine"].prepare(x)[:1],
    ),
    "inner": Measure(
        lambda x, y: -(x | y), lambda x, y: -(x * y).sum(-1), relative=False,
        faiss="IndexFlatIP", dense=lambda x, y: -(x[0] @ y[0].T),
    ),
    "manhattan": Measure(
        **_metric("manhattan"), exact=lambda x, y: np.abs(x - y).sum(-1),
        reach=lambda x, y: np.abs(x[0]).sum(1) + np.abs(y[0]).sum(1).max(), sklearn="manhattan",
    ),
    "chebyshev": Measure(
        lambda x, y: (x - y).abs().max(-1), lambda x, y: np.abs(x - y).max(-1),
        reach=lambda x, y: np.abs(x[0]).max(1) + np.abs(y[0]).max(), sklearn="chebyshev",
    ),
    "poincare": Measure(
        **_metric("poincare"), exact=lambda x, gx, y, gy: _sqdist(x, y) / (gx * gy)[..., 0],
        reach=lambda x, y: _norms(x, y) / (x[1][:, 0] * y[1].min()), scale=0.9,
        dense=lambda x, y: _expanded(x, y) / (x[1] * y[1][:, 0]),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Neighbours(Problem):
    """The K nearest of the columns for each row, with their distances; or the nearest's index."""

    measure: str = "euclidean"
    nearest: bool = False

    @property
    def of(self) -> Measure:
        return MEASURES[self.measure]

    def data(self, M: int, N: int, D: int, dtype: str, rng: np.random.Generator) -> Data:
        scale = self.of.scale / np.sqrt(D) if self.of.scale else 1.0
        x, y = (self.of.prepare((rng.random((n, D)) * scale).astype(dtype)) for n in (M, N))
        return Data(x, y, np.empty((0, 1), dtype))

    def reduced(self, lazy: Any, data: Data, K: int) -> Any:
        x, y = as_lazy(lazy, data)
        value = self.of.formula(*x, *y)
        return value.argmin(axis=1) if self.nearest else value.Kmin_argKmin(K, axis=1)

    def peers(self, data: Data, K: int) -> Iterator[tuple[str, Callable[[Data], Any]]]:
        of, y = self.of, data.y[0]
        if of.faiss and y.dtype == np.float32 and (faiss := harness.peer("faiss")):
            index = getattr(faiss, of.faiss)(y.shape[1])  # filling it is a copy, and not timed
            index.add(y)
            yield "faiss-cpu", lambda data: index.search(data.x[0], K)
        if self.nearest and (pairs := harness.peer("sklearn.metrics")):
            yield "scikit-learn", lambda data: pairs.pairwise_distances_argmin(data.x[0], y)
        elif of.sklearn and (neighbors := harness.peer("sklearn.neighbors")):
            model = neighbors.NearestNeighbors(
                n_neighbors=K, algorithm="brute", metric=of.sklearn
            ).fit(y)
            yield "scikit-learn", lambda data: model.kneighbors(data.x[0])
        if not (of.faiss or self.nearest):
            yield from self._pykeops(K)
        if of.dense is not None:
            yield "numpy", lambda data: smallest(of.dense(data.x, data.y), K)

    def check(self, results: dict[str, Any], data: Data, K: int) -> Checked:
        """Check that all found the same neighbours, up to ties within rounding.

        Two correct searches may still name different neighbours where distances differ by less
        than rounding. Say a search's arithmetic is off by at most t. Then its n-th neighbour is
        truly within 2 t of the truly n-th smallest distance. So it is enough, and it is necessary,
        that the neighbours are distinct and that the *true* distances, position by position, differ
        by at most the two searches' 2 t (for float64 twice that: the true distances are float64
        too). Ours is moreover compared with all distances, on some rows.
        """
        dtype, D = data.x[0].dtype, data.x[0].shape[1]
        eps = float(np.finfo(dtype).eps) * (D + 6) * (2 if dtype == np.float64 else 1)
        n = sampled(len(data.x[0]), 500, 500)
        reach = self.of.reach(rows64(data.x, n), rows64(data.y))[:, None]
        found = {name: self._indices(result) for name, result in results.items()}
        mine = self._true(data, n, found[harness.OURS])
        t = eps * (np.abs(mine) if self.of.relative else reach)
        if not self.nearest and not (np.abs(results[harness.OURS][0][n] - mine) <= t).all():
            raise AssertionError("Expected values to be the distances, but got others.")
        self._check_nearest(data, n, mine, t)
        figures = {}
        for name, indices in found.items():
            if (np.diff(np.sort(indices, axis=1), axis=1) == 0).any():
                raise AssertionError(f"Expected distinct neighbours, but {name} named some twice.")
            if name == harness.OURS:
                continue
            own = n < len(indices)
            theirs = self._true(data, n[own], indices)
            agree = np.abs(theirs - mine[own]) <= 2 * (t[own] + eps * reach[own])
            if not agree.all():
                raise AssertionError(f"Expected {name}'s neighbours, but {(~agree).sum()} differ.")
            sets = (np.sort(found[who][n[own]], axis=1) for who in (name, harness.OURS))
            figures[f"same_indices_{name}"] = round(float(np.equal(*sets).mean()), 7)
            figures[f"worse_than_ours_{name}"] = int((theirs > (mine + 2 * t)[own]).sum())
        return figures

    def _check_nearest(self, data: Data, n: Array, mine: Array, t: Array) -> None:
        """Compare ours with all distances, on as many rows as are quickly done."""
        y = rows64(data.y)
        some = sampled(len(n), 8, min(24, int(1e9 / y[0].size)))
        for p in some:
            dense = self.of.exact(*rows64(data.x, n[p]), *y)
            best = np.sort(np.partition(dense, mine.shape[1] - 1)[: mine.shape[1]])
            off = int((~(np.abs(mine[p] - best) <= 2 * t[p])).sum())
            if off:
                raise AssertionError(f"Expected the nearest, but {off} are not, of row {n[p]}.")

    def _true(self, data: Data, n: Array, indices: Array) -> Array:
        """Return the true values for the neighbours named, in float64: (rows, K)."""
        x = (a[:, None, :] for a in rows64(data.x, n))
        return self.of.exact(*x, *(a[indices[n]].astype(np.float64) for a in data.y))

    @staticmethod
    def _indices(result: Any) -> Array:
        indices = np.asarray(result[1] if isinstance(result, tuple) else result)
        return indices.reshape(len(indices), -1)


def rows64(arrays: Arrays, n: Any = slice(None)) -> Arrays:
    return tuple(a[n].astype(np.float64) for a in arrays)


def smallest(values: Array, K: int) -> tuple[Array, Array]:
    """Return the K smallest of each row and their columns, as fast as NumPy finds them."""
    indices = np.argpartition(values, K - 1, axis=1)[:, :K]
    found = np.take_along_axis(values, indices, axis=1)
    order = np.argsort(found, axis=1)
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(indices, order, axis=1)
