"""What a backend is, and what it is asked: a task and its data. Knows no machine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..formula import ops as o
from ..formula.expr import Expr, swap_axes
from ..formula.reductions import REDUCTIONS, Reduction
from ..formula.rewrite import simplify
from ..ranges import Ranges

Array = npt.NDArray[Any]

RESULT_DTYPES = {"index": np.dtype(np.int64), "boolean": np.dtype(np.bool_)}


@dataclass(frozen=True, eq=False)
class Task:
    """What is compiled: a simplified formula reduced over j, and the type of its real numbers.

    Two calls that differ in sizes along i, j and the batch axes, in K, or in the values of
    parameters have the same task: `make_task` returns the same object.
    """

    formula: Expr
    weight: Expr | None
    reduction: str
    dtype: np.dtype[Any]

    @property
    def entry(self) -> Reduction:
        """The entry of the table of reductions."""
        return REDUCTIONS[self.reduction]

    @cached_property
    def results(self) -> tuple[tuple[int, np.dtype[Any]], ...]:
        """Length of the last axis (0 stands for K) and type of each result."""
        return tuple(zip(self.result_dims(), self.result_dtypes(), strict=True))

    def result_dims(self) -> tuple[int, ...]:
        """Return the length of the last axis of each result; 0 stands for K."""
        if self.entry.keep:
            return (0,) * len(self.entry.keep)
        E = self.formula.dim
        if self.weight is not None:
            E = max(E, self.weight.dim)
        return (E,) * len(self.entry.finish)

    def result_dtypes(self) -> tuple[np.dtype[Any], ...]:
        """Return the type of each result."""
        return tuple(RESULT_DTYPES.get(k, self.dtype) for k in self.entry.result_kinds())


@lru_cache(maxsize=4096)
def make_task(
    formula: Expr, weight: Expr | None, reduction: str, axis: str, dtype: np.dtype[Any]
) -> Task:
    """Return the task of reducing a formula along an axis, "i" or "j"."""
    entry = REDUCTIONS[reduction]
    formula = o.cast(formula, "boolean") if entry.of == "boolean" else o.cast(formula, "real")
    if weight is not None:
        weight = o.cast(weight, "real")
    if axis == "i":
        formula = swap_axes(formula)
        weight = None if weight is None else swap_axes(weight)
    return Task(simplify(formula), None if weight is None else simplify(weight), reduction, dtype)


class Data(NamedTuple):
    """What a task is run on.

    Attributes
    ----------
    arrays : sequence of array
        One for each slot, of shape (*batch, n, dim): n is M, N or 1; batch axes may be 1.
    batch : tuple of int
        Lengths of the batch axes.
    M, N : int
        Rows of the result, and length of the reduced axis.
    K : int
        For the K smallest; else 0.
    ranges : Ranges or None
        To which blocks the reduction is confined; ``along_j`` is the half for this task, whose
        reduced axis is j.
    """

    arrays: Sequence[Array]
    batch: tuple[int, ...]
    M: int
    N: int
    K: int = 0
    ranges: Ranges | None = None

    def along(self, axis: str, arrays: Sequence[Array]) -> Data:
        """Return the data of a reduction of other arrays over j, or over i, for their derivatives.

        Both are of the same pairs: over "i", rows and columns are exchanged.
        """
        M, N, ranges = self.M, self.N, self.ranges
        if axis == "i":
            M, N, ranges = N, M, None if ranges is None else ranges.T
        return Data(arrays, self.batch, M, N, 0, ranges)

    def batched(self, length: int, arrays: Sequence[Array]) -> Data:
        """Return the data of arrays with one more batch axis, the first."""
        ranges = self.ranges
        if ranges is not None:
            batches = math.prod(self.batch)
            ranges = ranges.repeated(length, self.M * batches, self.N * batches)
        return self._replace(arrays=arrays, batch=(length, *self.batch), ranges=ranges)


class Backend:
    """One way to run tasks.

    It should be the case that ``run(task, data)`` is what the NumPy backend gives, up to rounding,
    and that it holds no array of size M x N.
    """

    name = ""

    def missing(self) -> str:
        """Return why the backend cannot be used here, "" if it can."""
        return ""

    def prepare(self, tasks: Sequence[Task]) -> None:
        """Compile what these tasks need, together."""

    def source(self, task: Task) -> str:
        """Return the program of a task."""
        raise NotImplementedError

    def run(self, task: Task, data: Data) -> tuple[Array, ...]:
        """Return the results, each of shape (*batch, M, dim)."""
        raise NotImplementedError


def empty_results(task: Task, data: Data) -> tuple[Array, ...]:
    """Return uninitialised arrays for the results of a task."""
    lead = (*data.batch, data.M)
    return tuple(np.empty((*lead, dim or data.K), dtype) for dim, dtype in task.results)
