"""Ten exact nearest neighbours, beside faiss-cpu's flat index and scikit-learn's brute force."""

from __future__ import annotations

from fnmatch import fnmatch
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from experiments import harness
from georeduce.engine import LazyTensor

Array = NDArray[Any]
K = 10
DIMS = (3, 10, 50, 100)
EXACT_ROWS = 32


def with_georeduce(queries: Array, database: Array) -> tuple[Array, Array]:
    x_i, y_j = LazyTensor(queries[:, None, :]), LazyTensor(database[None, :, :])
    values, indices = x_i.sqdist(y_j).Kmin_argKmin(K, axis=1)
    return values, indices


def with_sklearn(model: Any, queries: Array) -> tuple[Array, Array]:
    distances, indices = model.kneighbors(queries)
    return distances**2, indices


def squared(queries: Array, database: Array, indices: Array) -> Array:
    """Return the true squared distances to the neighbours named, in float64: (rows, K)."""
    near = database[indices].astype(np.float64)
    return ((queries[:, None, :].astype(np.float64) - near) ** 2).sum(-1)


def check(
    results: dict[str, tuple[Array, Array]], queries: Array, database: Array, rows: Array
) -> dict[str, float]:
    """Check that all found the same neighbours, up to ties within rounding.

    Two correct searches may still name different neighbours where distances differ by less than
    rounding. Say a search's arithmetic is off by at most t. Then its n-th neighbour is truly
    within 2 t of the truly n-th smallest distance. So it is enough, and it is necessary, that the
    neighbours are distinct and that the *true* distances, position by position, differ by at most
    the two searches' 2 t. For differences, t = (D + 3) eps d2; the form |x|^2 + |y|^2 - 2 x.y of
    the peers instead loses a part of the norms, t = (D + 3) eps (|x| + |y|)^2. Ours is moreover
    compared with all distances in float64, on some rows.
    """
    eps = float(np.finfo(np.float32).eps) * (queries.shape[1] + 3)
    values, indices = results[harness.OURS]
    d2 = squared(queries, database, indices)
    if not (np.abs(values - d2) <= eps * d2).all():
        raise AssertionError("Expected values to be the distances, but got others.")
    some = queries[rows].astype(np.float64)
    dense = np.stack([((row - database.astype(np.float64)) ** 2).sum(1) for row in some])
    best = np.sort(np.partition(dense, K, axis=1)[:, :K], axis=1)
    found = np.abs(d2[rows] - best) <= 2 * eps * best
    if not found.all():
        raise AssertionError(f"Expected the nearest, but {(~found).sum()} on {len(rows)} rows.")
    reach = (np.linalg.norm(queries, axis=1) + np.linalg.norm(database, axis=1).max()) ** 2
    figures = {}
    for name, (_, others) in results.items():
        if (np.diff(np.sort(others, axis=1), axis=1) == 0).any():
            raise AssertionError(f"Expected distinct neighbours, but {name} named some twice.")
        if name != harness.OURS:
            theirs = squared(queries, database, others)
            agree = np.abs(theirs - d2) <= 2 * eps * (d2 + reach[:, None])
            if not agree.all():
                raise AssertionError(f"Expected {name}'s neighbours, but {(~agree).sum()} differ.")
            same = float((np.sort(others, axis=1) == np.sort(indices, axis=1)).mean())
            figures[f"same_indices_{name}"] = round(same, 7)
            figures[f"worse_than_ours_{name}"] = int((theirs > d2 * (1 + 2 * eps)).sum())
    return figures


def main(arguments: list[str]) -> int:
    """Measure all the cases, or those that were asked for."""
    asked = harness.parser(__doc__, "knn").parse_args(arguments)
    n_database, n_queries = (5000, 1000) if asked.quick else (100_000, 10_000)
    faiss, neighbors = harness.peer("faiss"), harness.peer("sklearn.neighbors")
    bar = tqdm(
        [dim for dim in DIMS if fnmatch(f"10nn-D{dim}", asked.case)], unit="case", disable=None
    )
    for dim in bar:
        rng = np.random.default_rng(dim)
        database = rng.random((n_database, dim), dtype=np.float32)
        queries = rng.random((n_queries, dim), dtype=np.float32)
        pairs = float(n_database) * n_queries
        ours = partial(with_georeduce, queries, database)
        contestants = [harness.Contestant(harness.OURS, ours, pairs)]
        if faiss:
            index = faiss.IndexFlatL2(dim)  # filling it is a copy, and not timed
            index.add(database)
            search = partial(index.search, queries, K)
            contestants.append(harness.Contestant("faiss-cpu", search, pairs))
        if neighbors:
            model = neighbors.NearestNeighbors(n_neighbors=K, algorithm="brute").fit(database)
            search = partial(with_sklearn, model, queries)
            contestants.append(harness.Contestant("scikit-learn", search, pairs))
        rows = rng.integers(0, n_queries, EXACT_ROWS)
        line = harness.compare(
            "knn",
            f"10nn-D{dim}",
            contestants,
            sizes={"M": n_queries, "N": n_database, "D": dim, "K": K},
            dtype="float32",
            check=partial(check, queries=queries, database=database, rows=rows),
            write=not asked.quick,
            seconds=2 if asked.quick else 20,
            tell=bar.set_description,
        )
        bar.write(harness.report(line))
    return 0
