"""Kernel sums and log-sum-exp, beside pykeops and dense NumPy on the same threads."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatch
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from experiments import harness
from georeduce.engine import LazyTensor

Array = NDArray[Any]
DIMS = {"gauss": (3, 10, 50, 100), "logsumexp": (3,)}
CHECKED_ROWS = 32
DENSE_ROWS = 1000  # the dense peer gets a slice: all rows at once would be gigabytes


def with_lazy(lazy: Any, kind: str, x: Array, y: Array, b: Array) -> Array:
    """Compute the case with a LazyTensor: ours and that of pykeops read the same."""
    d2 = lazy(x[:, None, :]).sqdist(lazy(y[None, :, :]))
    return (-d2).exp() @ b if kind == "gauss" else (-d2).logsumexp(axis=1)


def with_numpy(kind: str, x: Array, y: Array, b: Array) -> Array:
    """Compute the case with the whole matrix in memory, as fast as NumPy does it."""
    d2 = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * (x @ y.T)
    if kind == "gauss":
        return np.exp(-d2) @ b
    top = -d2.min(axis=1, keepdims=True)
    return np.log(np.exp(-d2 - top).sum(1, keepdims=True)) + top


def exact(kind: str, x: Array, y: Array, b: Array) -> tuple[Array, Array]:
    """Return the float64 result, and how far float32 arithmetic may be from it.

    A sum of D squared differences has a relative error of at most (D + 3) eps, which the
    exponential turns into an absolute one of its argument. To that come the exponential itself
    (2 ulp), the products and sums (flushed into double once per block): 16 eps is a generous cap.
    """
    x, y, b = (array.astype(np.float64) for array in (x, y, b))
    d2 = ((x[:, None, :] - y[None, :, :]) ** 2).sum(-1)
    k = np.exp(-d2)
    each = np.finfo(np.float32).eps * ((x.shape[1] + 3) * d2 + 16)
    if kind == "gauss":
        return k @ b, (k * each) @ np.abs(b)
    total = k.sum(1, keepdims=True)
    value = np.log(total)
    bound = (k * each).sum(1, keepdims=True) / total
    return value, bound + np.finfo(np.float32).eps * np.abs(value)


def check(
    results: dict[str, Array], kind: str, rows: Array, value: Array, bound: Array
) -> dict[str, float]:
    """Return each contestant's error as a part of the bound; ours must be within it."""
    parts = {}
    for name, result in results.items():
        if len(result) > rows.max():
            error = np.abs(result[rows].astype(np.float64) - value)
            parts[name] = float(f"{(error / bound).max():.3g}")
    if not parts[harness.OURS] <= 1:
        raise AssertionError(f"Expected errors within the bound, but got {parts} of it ({kind}).")
    return {f"error_over_bound_{name}": part for name, part in parts.items()}


def cases(quick: bool) -> list[tuple[str, int, int]]:
    size = 2000 if quick else 20_000
    return [(kind, dim, size) for kind, dims in DIMS.items() for dim in dims]


def main(arguments: list[str]) -> int:
    """Measure all the cases, or those that were asked for."""
    asked = harness.parser(__doc__, "kernels").parse_args(arguments)
    lazies: dict[str, Any] = {harness.OURS: LazyTensor}
    if pykeops := harness.peer("pykeops.numpy"):
        lazies["pykeops"] = pykeops.LazyTensor
    bar = tqdm(
        [c for c in cases(asked.quick) if fnmatch(f"{c[0]}-D{c[1]}", asked.case)],
        unit="case",
        disable=None,
    )
    for kind, dim, size in bar:
        rng = np.random.default_rng(dim)
        # Scaled so that squared distances stay near 1/6 whatever D is.
        x, y = ((rng.random((size, dim)) / np.sqrt(dim)).astype(np.float32) for _ in range(2))
        b = rng.standard_normal((size, 1)).astype(np.float32)
        pairs = float(size) * size
        calls: dict[str, Callable[[], Array]] = {
            name: partial(with_lazy, lazy, kind, x, y, b) for name, lazy in lazies.items()
        }
        contestants = [harness.Contestant(name, call, pairs) for name, call in calls.items()]
        some = partial(with_numpy, kind, x[:DENSE_ROWS], y, b)
        contestants.append(harness.Contestant("numpy", some, float(DENSE_ROWS) * size))
        rows = rng.integers(0, size, CHECKED_ROWS)
        value, bound = exact(kind, x[rows], y, b)
        line = harness.compare(
            "kernels",
            f"{kind}-D{dim}",
            contestants,
            sizes={"M": size, "N": size, "D": dim},
            dtype="float32",
            check=partial(check, kind=kind, rows=rows, value=value, bound=bound),
            write=not asked.quick,
            seconds=2 if asked.quick else 20,
            tell=bar.set_description,
        )
        bar.write(harness.report(line))
    return 0
