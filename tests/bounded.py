"""Neighbours by bounds, see ``codegen/bound.py``: tasks, runs of both kernels, rows done again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hard_points import Array

from georeduce.engine import LazyTensor, Vi, Vj
from georeduce.engine.backends import openmp
from georeduce.engine.backends._base import Data, Task
from georeduce.engine.codegen import bound as bounds
from georeduce.engine.formula.reductions import REDUCTIONS
from georeduce.engine.methods import build


def tensor(x: Array, y: Array, norm: str = "L2") -> LazyTensor:
    """Return distances, see `hard_points.distances`."""
    if norm == "L2":
        return Vi(x).sqdist(Vj(y))
    between = (Vi(x) - Vj(y)).abs()
    return between.sum(-1) if norm == "L1" else between.max(-1)


def task_of(name: str, D: int, dtype: str, norm: str = "L2", axis: str = "j") -> Task:
    z = tensor(np.zeros((2, D), dtype), np.zeros((3, D), dtype), norm)
    return build(z, name, axis, 1)[0]


def kept(K: int, D: int) -> int:
    """Return how many columns a list has."""
    return bounds.with_spares(K, D)


def run(
    x: Array, y: Array, name: str, K: int = 0, norm: str = "L2", bounded: bool = True
) -> dict[str, Array]:
    """Return the results by their names."""
    task, data = build(tensor(x, y, norm), name, "j", K)
    entry = REDUCTIONS[name]
    results = openmp.BACKEND._run(task, data, bounded)
    return dict(zip(entry.keep or entry.least, results, strict=True))


class Again:
    """Records the rows that are done again: ``which`` of each call by bounds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.which: list[Array] = []
        self.plain = openmp._again
        monkeypatch.setattr(openmp, "_again", self)

    def __call__(self, task: Task, data: Data, results: Any, which: Array, run: Any) -> None:
        done = 0

        def counted(part: Data) -> Any:
            nonlocal done
            assert part.M > 0
            done += part.M
            # which has its own to do again, where indices are of infinities
            openmp._again, mine = self.plain, openmp._again
            try:
                return run(part)
            finally:
                openmp._again = mine

        self.which.append(which.copy())
        self.plain(task, data, results, which, counted)
        assert done == which.sum(), "only these are done again, each once"

    def share(self, x: Array, y: Array, name: str, K: int = 0, norm: str = "L2") -> float:
        self.which.clear()
        run(x, y, name, K, norm)
        (which,) = self.which
        return float(which.mean())
