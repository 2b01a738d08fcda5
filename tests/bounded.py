"""Neighbours by bounds, see ``codegen/bound.py``: tasks, runs of both kernels, and rows done again."""

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


def tensor(x: Array, y: Array) -> LazyTensor:
    return Vi(x).sqdist(Vj(y))


def task_of(name: str, D: int, dtype: str, axis: str = "j") -> Task:
    return build(tensor(np.zeros((2, D), dtype), np.zeros((3, D), dtype)), name, axis, 1)[0]


def kept(K: int) -> int:
    """Return how many columns a list has."""
    return bounds.with_spares(K)


def run(x: Array, y: Array, name: str, K: int = 0, bounded: bool = True) -> dict[str, Array]:
    """Return the results by their names."""
    task, data = build(tensor(x, y), name, "j", K)
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

    def share(self, x: Array, y: Array, name: str, K: int = 0) -> float:
        self.which.clear()
        run(x, y, name, K)
        (which,) = self.which
        return float(which.mean())
