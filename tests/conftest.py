"""What every test may ask for: random numbers, a backend, and the reasons to skip."""

from __future__ import annotations

import importlib
import os
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]

# The same formulas on every run: the suite's second pass must find each of them compiled already.
# HYPOTHESIS_PROFILE=explore looks further.
hypothesis.settings.register_profile("repeat", derandomize=True, deadline=None, database=None)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite the golden sources as generated now"
    )


def emulated_estimator(item: pytest.Item) -> bool:
    """Return whether it runs an estimator on the emulator, which compiles for longer than it tells.

    The agreement suite is what the emulator runs.
    """
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    return parameters.get("backend") == "emulator" and "apps" in item.path.parts


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = [item for item in items if not emulated_estimator(item)]
    if os.environ.get("GEOREDUCE_ASSERT_CACHED", "0") not in ("", "0"):
        skip(items, "compiles", "compiles on purpose, and this run may compile nothing")
    for marker, why in {"compiler": no_compiler, "cuda": partial(why_unavailable, "cuda")}.items():
        if any(item.get_closest_marker(marker) for item in items) and (reason := why()):
            skip(items, marker, reason)


def skip(items: list[pytest.Item], marker: str, why: str) -> None:
    for item in items:
        if item.get_closest_marker(marker):
            item.add_marker(pytest.mark.skip(reason=why))


def no_compiler() -> str:
    """Return why no C++ compiler works here; empty if one does."""
    from georeduce.engine.backends import _compiler

    return "" if _compiler.find_compiler() else _compiler.why_no_compiler()


def why_unavailable(backend: str) -> str:
    """Return why a backend cannot run here; empty if it can."""
    try:
        module = importlib.import_module(f"georeduce.engine.backends.{backend}")
    except ModuleNotFoundError as error:
        return str(error)
    return str(module.BACKEND.missing())


def backend_names() -> list[str]:
    """Return the backends by the engine's own rule: the public files of their folder."""
    files = (ROOT / "engine" / "backends").glob("[!_]*.py")
    return sorted(file.stem for file in files)


MARKS = {
    "cuda": [pytest.mark.cuda],
    "openmp": [pytest.mark.compiler],
    "emulator": [pytest.mark.compiler],
}


@pytest.fixture(params=[pytest.param(n, marks=MARKS.get(n, [])) for n in backend_names()])
def backend(request: pytest.FixtureRequest) -> str:
    """Every backend in turn; those that cannot run here are skipped with their reason."""
    why = why_unavailable(request.param)
    if why:
        pytest.skip(why)
    return str(request.param)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers of the test's own: the same on every run, others for every test."""
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))


@pytest.fixture
def nvrtc() -> Any:
    """NVRTC as CuPy wraps it, which needs no GPU."""
    try:
        compiler = importlib.import_module("cupy").cuda.nvrtc
        compiler.getVersion()
    except Exception as error:  # CuPy says in many ways that a library was not found
        pytest.skip(f"needs NVRTC, as in georeduce[nvrtc]: {error}")
    return compiler
