"""Points turned into lanes: every component of every point comes where it belongs."""

from __future__ import annotations

import numpy as np
import pytest

from georeduce.engine import LazyTensor, Vi, Vj
from georeduce.engine.backends import openmp
from georeduce.engine.backends._base import Task
from georeduce.engine.methods import build

pytestmark = pytest.mark.compiler

DIMENSIONS = (1, 2, 3, 4, 5, 7, 8, 10, 17)
BEYOND_A_STACK = 1025
DTYPES = ("float32", "float64")
# name -> of a row that is 0 and a column; the same in NumPy
FORMULAS = {
    "packed as they are": (lambda x, y: x + y, lambda y: y),
    "something computed": (lambda x, y: x + y.square(), lambda y: y * y),
    "both": (lambda x, y: (x + y.square()) * (x + y), lambda y: y**3),
}
LAYOUTS = ("one after the other", "apart", "backwards", "transposed")


def weighted(formula: str, x: np.ndarray, y: np.ndarray, w: np.ndarray) -> LazyTensor:
    """Return a formula whose sum over j tells the points apart: each has a weight of its own."""
    return FORMULAS[formula][0](Vi(x), Vj(y)) * Vj(w)


def task_of(formula: str, D: int, dtype: str) -> Task:
    one = np.zeros((1, D), dtype)
    return build(weighted(formula, one, one, one[:, :1]), "sum", "j")[0]


def tasks() -> list[list[Task]]:
    """Return what this module compiles."""
    return [
        [task_of(formula, D, dtype) for D in DIMENSIONS for formula in FORMULAS] for dtype in DTYPES
    ]


def laid_out(points: np.ndarray, layout: str) -> np.ndarray:
    """Return an array that is equal, and lies in memory in another way."""
    N, D = points.shape
    if layout == "apart":
        wide = np.full((N, D + 3), np.nan, points.dtype)
        wide[:, 1 : D + 1] = points
        return wide[:, 1 : D + 1]
    if layout == "backwards":
        return points[::-1, ::-1].copy()[::-1, ::-1]
    return np.asfortranarray(points) if layout == "transposed" else np.ascontiguousarray(points)


def check(formula: str, D: int, dtype: str, layout: str, rng: np.random.Generator) -> None:
    lanes = openmp.BACKEND._loaded[task_of(formula, D, dtype), False].lanes
    x = np.zeros((1, D), dtype)
    for N in (1, lanes - 1, lanes, 2 * lanes, 4 * lanes + 1):
        y = rng.integers(-2, 3, (N, D)).astype(dtype)
        w = rng.permutation(np.arange(1, N + 1, dtype=dtype))[:, None]
        terms = FORMULAS[formula][1](y) * w
        assert abs(terms).sum(0).max() < 1 / np.finfo(dtype).eps, "exact in any order"
        values = weighted(formula, x, laid_out(y, layout), laid_out(w, layout))
        np.testing.assert_array_equal(
            values.sum(axis=1, backend="openmp"), terms.sum(0, keepdims=True)
        )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("D", DIMENSIONS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("formula", FORMULAS)
def test_points(formula: str, layout: str, D: int, dtype: str, rng: np.random.Generator) -> None:
    check(formula, D, dtype, layout, rng)


@pytest.mark.compiles
@pytest.mark.parametrize("formula", FORMULAS)
def test_points_beyond_a_stack(formula: str, rng: np.random.Generator) -> None:
    openmp.BACKEND.prepare([task_of(formula, BEYOND_A_STACK, "float32")])
    for layout in LAYOUTS:
        check(formula, BEYOND_A_STACK, "float32", layout, rng)
