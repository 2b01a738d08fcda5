"""Reductions of formulas that several modules of tests run, so that each is compiled once.

What is compiled together is a list; see ``tests/engine/conftest.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from helpers import Array, check

from georeduce.engine import LazyTensor, Pm, Vi, Vj, concatenate
from georeduce.engine.backends._base import Task
from georeduce.engine.formula.reductions import REDUCTIONS
from georeduce.engine.methods import build

DTYPES = ("float32", "float64")
DIMS = (1, 2, 3, 5, 17, 100, 784)

Formula = Callable[[LazyTensor, LazyTensor], LazyTensor]


@dataclass(frozen=True)
class Case:
    """A reduction of a formula, but for its sizes and its data: what is compiled once."""

    name: str
    formula: Formula = field(compare=False)
    reduction: str
    D: int
    dtype: str
    axis: str = "j"
    weight: Callable[[LazyTensor, LazyTensor], Any] | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.reduction}-{self.name}-{self.axis}-{self.dtype}-D{self.D}"

    def tensors(
        self, rng: np.random.Generator, M: int, N: int, batches: Any = ((), ())
    ) -> tuple[LazyTensor, Any]:
        """Return the formula and the weight on random points; few of them are at equal distance."""
        if self.axis == "i":
            M, N = N, M
        x_i = Vi(self.points(rng, (*batches[0], M, self.D)))
        y_j = Vj(self.points(rng, (*batches[1], N, self.D)))
        return self.formula(x_i, y_j), self.weight(x_i, y_j) if self.weight else None

    def points(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Return random points at distances of order 1 in any dimension."""
        return (rng.uniform(-1, 1, shape) / self.D**0.5).astype(self.dtype)

    def task(self) -> Task:
        """Return what is compiled."""
        x, weight = self.tensors(np.random.default_rng(0), 2, 3)
        return build(x, self.reduction, self.axis, 1, weight)[0]

    def check(self, backend: str, x: LazyTensor, weight: Any = None, K: int = 3) -> Any:
        """Assert that the backend agrees with float64 NumPy."""
        K = K if REDUCTIONS[self.reduction].keep else 0
        return check(x, self.reduction, self.axis, K, weight, backend)


def distance(x: LazyTensor, y: LazyTensor) -> LazyTensor:
    """Return the formula of most applications; a truth value is whether it is small."""
    return x.sqdist(y)


def near(x: LazyTensor, y: LazyTensor) -> LazyTensor:
    return x.sqdist(y) < 0.5


def factors(x: LazyTensor, y: LazyTensor) -> LazyTensor:
    """Numbers around 1, so that products of a thousand stay in the range of float32."""
    return 1 + 0.1 * (x | y)


def vector(x: LazyTensor, y: LazyTensor) -> LazyTensor:
    return x * y + x - y.abs()


def vector_truth(x: LazyTensor, y: LazyTensor) -> LazyTensor:
    return x < y


def vector_factors(x: LazyTensor, y: LazyTensor) -> LazyTensor:
    return 1 + 0.1 * x * y


def scalar_weight(x: LazyTensor, y: LazyTensor) -> LazyTensor:
    return 0.1 + y[0] * y[0] + x[-1].abs()


def vector_weight(x: LazyTensor, y: LazyTensor) -> LazyTensor:
    return (1 + x) * (y * y + 0.1)


def deep(x: LazyTensor, y: LazyTensor) -> LazyTensor:
    """A chain longer than Python's stack allows for recursion in fewer than a thousand frames."""
    z = x - y
    for n in range(300):
        z = z * 0.5 + (x if n % 2 else y)
    return z


def formula_of(reduction: str, vectors: bool = False) -> Formula:
    if REDUCTIONS[reduction].of == "boolean":
        return vector_truth if vectors else near
    if reduction == "prod":
        return vector_factors if vectors else factors
    return vector if vectors else distance


def case_of(reduction: str, D: int, dtype: str, axis: str = "j", vectors: bool = False) -> Case:
    formula = formula_of(reduction, vectors)
    weight = scalar_weight if REDUCTIONS[reduction].weighted else None
    return Case(formula.__name__, formula, reduction, D, dtype, axis, weight)


ALONG_J = [case_of(name, 3, dtype) for name in REDUCTIONS for dtype in DTYPES]
ALONG_I = [case_of(name, 3, dtype, "i") for name in REDUCTIONS for dtype in DTYPES]
# Which dtype a dimension is tried with alternates: the two differ in lanes, not in loops.
LONG = [
    case_of(name, D, DTYPES[(n + m) % 2])
    for n, D in enumerate(DIMS)
    if D != 3
    for m, name in enumerate(REDUCTIONS)
]
VECTORS = [
    case_of(name, D, DTYPES[m % 2], vectors=True)
    for m, name in enumerate(REDUCTIONS)
    if not REDUCTIONS[name].scalar
    for D in (3, 17)
]
WEIGHTED = [
    Case("vector_weight", distance, name, D, dtype, axis, vector_weight)
    for name in REDUCTIONS
    if REDUCTIONS[name].weighted
    for D, dtype, axis in ((3, "float32", "j"), (3, "float64", "i"), (17, "float32", "j"))
]
FORMS = [
    Case(name, formula, reduction, D, "float32")
    for name, formula, reduction, D in (
        ("gaussian", lambda x, y: (-x.sqdist(y) / 0.5).exp(), "sum", 10),
        ("laplacian", lambda x, y: (-x.sqdist(y).sqrt()).exp(), "sum", 3),
        ("manhattan", lambda x, y: (x - y).abs().sum(-1), "argKmin", 5),
        ("chebyshev", lambda x, y: (x - y).abs().max(-1), "Kmin", 5),
        ("cosine", lambda x, y: 1 - (x.normalize() | y.normalize()), "argmin", 17),
        ("only_rows", lambda x, y: x.exp(), "sum", 3),
        ("only_columns", lambda x, y: y.exp(), "sum", 3),
        ("hoisted", lambda x, y: x.exp() * y.cos() + (x * 2).sum(-1), "sum", 3),
        ("concat", lambda x, y: concatenate([x, y * x[0], y]), "sum", 3),
        ("slices", lambda x, y: x[1:4] * y[::-2], "max", 5),
        ("outer", lambda x, y: x.tensorprod(y), "sum", 3),
        ("matrix", lambda x, y: x.tensorprod(x).matvecmult(y), "sum", 3),
        ("index", lambda x, y: (x - y).abs().argmin(), "sum", 5),
        ("logical", lambda x, y: (x < y) & ~(x.abs() > 0.5), "count", 3),
        ("constant", lambda x, y: 0 * x + 0 * y + 1, "sum", 3),
        ("parameter", lambda x, y: (x - y) * Pm([2.0, 3.0, 5.0]), "sum", 3),
        ("deep", deep, "sum", 2),
    )
]


def triangle(x: LazyTensor, y: LazyTensor) -> LazyTensor:
    """Squared length of a triangular matrix, of 6 components of y, times 3 of x."""
    rows = [y.extract(a * (a + 1) // 2, a + 1) * x.extract(0, a + 1) for a in range(3)]
    terms = [(row.sum(-1) - x.elem(3 + a)).square() for a, row in enumerate(rows)]
    return -(terms[0] + terms[1] + terms[2])


def moments(x: LazyTensor, y: LazyTensor) -> LazyTensor:
    """Moments of y under the exponential of `triangle`."""
    r = triangle(x, y).exp()
    return concatenate([r, r * y, (r * y.elem(0)) * y, (r * y.elem(1)) * y.extract(1, 5)])


FORMS += [
    Case("triangle", triangle, "logsumexp", 6, "float32"),
    Case("triangle_moments", moments, "sum", 6, "float64"),
]


def groups(*lists: Iterable[Case]) -> list[list[Task]]:
    """Return the tasks of lists of cases, for ``tasks`` of a module."""
    return [[case.task() for case in cases] for cases in lists]
