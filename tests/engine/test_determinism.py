"""Results are the same, bit by bit, on any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from cases import ALONG_J, Case, groups

from georeduce.engine import LazyTensor
from georeduce.engine.backends import openmp
from georeduce.engine.backends._base import Task
from georeduce.engine.formula.reductions import REDUCTIONS
from georeduce.engine.methods import reduce

pytestmark = pytest.mark.compiler

SHAPES = {"few rows": (3, 90_000), "many rows": (20_000, 40), "square": (1100, 900)}


def tasks() -> list[list[Task]]:
    """Return what this module compiles."""
    return groups(ALONG_J)


def bits(x: LazyTensor, weight: object, case: Case, n_threads: int) -> list[bytes]:
    K = 7 if REDUCTIONS[case.reduction].keep else 0
    result = reduce(x, case.reduction, "j", K, weight, "openmp", n_threads)
    return [part.tobytes() for part in (result if isinstance(result, tuple) else (result,))]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("case", ALONG_J, ids=str)
def test_threads_change_nothing(
    case: Case, shape: tuple[int, int], rng: np.random.Generator
) -> None:
    x, weight = case.tensors(rng, *shape)
    alone = bits(x, weight, case, 1)
    for n_threads in (2, 3, 8):
        assert bits(x, weight, case, n_threads) == alone
    assert bits(x, weight, case, 8) == alone, "a second run differs from the first"


def test_threads_are_used(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    """The shapes above are large enough that the threads asked for do run."""
    used: list[int] = []
    monkeypatch.setattr(openmp, "mark_used", used.append)
    for shape in SHAPES.values():
        for n_threads in (1, 2, 3, 8):
            bits(*ALONG_J[0].tensors(rng, *shape), ALONG_J[0], n_threads)
    assert used == [1, 2, 3, 8] * len(SHAPES)
