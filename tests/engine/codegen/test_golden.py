"""Eleven generated kernels under review: `pytest --update-golden` writes what is generated now."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import check

from georeduce.engine import LazyTensor, Pm, Vi, Vj, concatenate
from georeduce.engine.backends import get_backend, openmp
from georeduce.engine.backends._base import Task
from georeduce.engine.codegen.gpu import preamble
from georeduce.engine.formula.reductions import REDUCTIONS
from georeduce.engine.methods import build

FOLDER = Path(__file__).parent / "golden"
HEADER = "#include "

Formula = Callable[[LazyTensor, LazyTensor], LazyTensor]
KERNELS: dict[str, tuple[str, int, str, Formula, Formula | None]] = {
    "gaussian_sum": ("sum", 3, "float32", lambda x, y: (-x.sqdist(y) / 2).exp(), None),
    "gaussian_product": (
        "sum",
        10,
        "float64",
        lambda x, y: (-x.sqdist(y) / 2).exp() * y[:2],
        None,
    ),
    "logsumexp": ("logsumexp", 3, "float32", lambda x, y: x.sqdist(y), None),
    "softmax_of_vectors": (
        "sumsoftmaxweight",
        3,
        "float32",
        lambda x, y: -x.sqdist(y),
        lambda x, y: x * y,
    ),
    "neighbours": ("Kmin_argKmin", 3, "float32", lambda x, y: x.sqdist(y), None),
    "neighbours_of_long_vectors": ("argKmin", 100, "float32", lambda x, y: x.sqdist(y), None),
    "neighbours_by_bounds": ("Kmin_argKmin", 20, "float32", lambda x, y: x.sqdist(y), None),
    "nearest": ("argmin", 5, "float64", lambda x, y: (x - y).abs().sum(-1), None),
    "maximum_of_vectors": ("max", 3, "float32", lambda x, y: x * y - y.exp(), None),
    "count": ("count", 2, "float32", lambda x, y: x.sqdist(y) < 1, None),
    "parameters_and_parts": (
        "prod",
        2,
        "float64",
        lambda x, y: concatenate([1 + x * y / 10, x[::-1].cos() * Pm([0.5, 2.0]).sqrt()]),
        None,
    ),
}


BOUNDED = ("neighbours_by_bounds",)
"""Those whose golden source is that of the kernel by bounds."""


def tensors(name: str, M: int = 2, N: int = 3) -> tuple[LazyTensor, Any]:
    _, D, dtype, formula, weight = KERNELS[name]
    rng = np.random.default_rng(0)
    x, y = (rng.uniform(-1, 1, (n, D)).astype(dtype) for n in (M, N))
    args = Vi(x), Vj(y)
    return formula(*args), weight(*args) if weight else None


def task(name: str) -> Task:
    z, weight = tensors(name)
    return build(z, KERNELS[name][0], "j", 1, weight)[0]


def tasks() -> list[list[Task]]:
    """Return what this module compiles."""
    return [[task(name) for name in KERNELS]]


LANGUAGES = {"cpp": "openmp", "cu": "emulator"}


def source(name: str, language: str = "cpp") -> str:
    """Return what is generated, without the headers that CUDA's begins with."""
    if name in BOUNDED and language == "cpp":
        return openmp.BACKEND.source(task(name), True)
    return get_backend(LANGUAGES[language]).source(task(name)).removeprefix(preamble())


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", KERNELS)
def test_source_is_golden(name: str, language: str, request: pytest.FixtureRequest) -> None:
    golden = FOLDER / f"{name}.{language}"
    made = source(name, language)
    if request.config.getoption("--update-golden"):
        golden.write_text(made, encoding="utf-8")
    assert made == golden.read_text(encoding="utf-8"), "review, then: --update-golden"


@pytest.mark.compiler
@pytest.mark.parametrize("backend", LANGUAGES.values())
@pytest.mark.parametrize("name", KERNELS)
def test_golden_source_is_compiled_and_right(name: str, backend: str) -> None:
    reduction = KERNELS[name][0]
    K = 4 if REDUCTIONS[reduction].keep else 0
    # enough rows and columns for bounds, or too few
    z, weight = tensors(name, 60, 400) if name in BOUNDED else tensors(name, 37, 50)
    check(z, reduction, K=K, weight=weight, backend=backend)


def test_every_golden_file_is_of_a_kernel() -> None:
    expected = {f"{name}.{language}" for name in KERNELS for language in LANGUAGES}
    assert {file.name for file in FOLDER.iterdir()} == expected


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", KERNELS)
def test_source_is_indented(name: str, language: str) -> None:
    """Four spaces for each brace that is open; but for the namespace, and lines that go on."""
    depth = 0
    goes_on = False
    for number, line in enumerate(source(name, language).splitlines(), 1):
        where = f"line {number}: {line}"
        assert line == line.rstrip(), where
        assert "\t" not in line, where
        text = line.lstrip()
        closing = len(text) - len(text.lstrip("}"))
        if text and not goes_on and not text.startswith(("#", "//")):
            assert len(line) - len(text) == 4 * max(0, depth - closing), where
        depth += line.count("{") - line.count("}")
        if text.startswith("namespace") and text.endswith("{"):
            depth -= 1
        elif text == "}" and depth < 0:
            depth = 0
        goes_on = bool(text) and not text.endswith((";", "{", "}", ">")) and text[0] not in "#/"
    assert depth == 0


def test_source_is_the_same_in_every_process() -> None:
    """Names, orders and digests depend on nothing that changes from one process to the next."""
    script = (
        "import sys; sys.path[:0] = sys.argv[1:]; import test_golden as t; "
        "print(''.join(t.source(n, a) for n in t.KERNELS for a in t.LANGUAGES), end='')"
    )
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
    texts = []
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", script, *folders],
            env={"PYTHONHASHSEED": seed, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        texts.append(done.stdout)
    assert (
        texts[0]
        == texts[1]
        == "".join(source(name, language) for name in KERNELS for language in LANGUAGES)
    )
