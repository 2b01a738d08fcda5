"""Compiles and runs the kernels of this process under the sanitizer that it was started with.

`pytest -p sanitize.plugin`, in a process started by `sanitizers.Sanitizer.run`.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sanitize import guard
from sanitize.sanitizers import NAME, SANITIZERS

from georeduce.engine.backends import _burst, _cache, _compiler, emulator, openmp
from georeduce.engine.config import set_options


def install() -> None:
    """Change this process for good."""
    sanitizer = SANITIZERS[os.environ[NAME]]
    os.environ.pop("LD_PRELOAD", None)  # it is loaded: compilers shall run without it
    if sanitizer.flags:
        flags = [flag for flag in _compiler._FLAGS if not flag.startswith("-O")]
        _compiler._FLAGS = (*flags, *sanitizer.flags)  # type: ignore[assignment]
    _cache.open_library = open_library  # type: ignore[attr-defined]
    emulator.BACKEND.prepare = lambda *tasks, **how: None  # type: ignore[method-assign]
    if sanitizer.threads:
        ctypes.CDLL(None).georeduce_stand_in()  # AttributeError: GNU's runtime would be used
        set_options(n_threads=sanitizer.threads)
        _burst.SERIAL_WORK = _burst.WAKING_WORK = -1.0
    if sanitizer.name == "address":
        separate(guard.Heap)
    elif sanitizer.name == "fence":
        separate(guard.Fence)
        fence_arguments()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the emulator out: its threads are fibers, of which sanitizers of threads know nothing.

    It has checks of its own.
    """
    items[:] = [
        item for item in items if "emulator" not in _parameters(item) and "gpu" not in item.name
    ]


def _parameters(item: pytest.Item) -> list[object]:
    return list(getattr(getattr(item, "callspec", None), "params", {}).values())


def open_library(content: bytes) -> ctypes.CDLL:
    """Load a library from a file that stays: reports name lines of what is in files."""
    folder = Path(os.environ["GEOREDUCE_CACHE"]) / "loaded"
    folder.mkdir(exist_ok=True, parents=True)
    handle, name = tempfile.mkstemp(".so", f"kernel-{os.getpid()}-", folder)
    with open(handle, "wb") as file:
        file.write(content)
    return ctypes.CDLL(name)


def separate(place: Any) -> None:
    """Give each buffer of every call a place of its own."""
    plain = openmp._open

    def opened(*arguments: Any) -> openmp.Loaded:
        return guard.apart(plain(*arguments), place)

    openmp._open = opened
    assert openmp._rounded(1, guard.PAGE) == guard.PAGE
    openmp._rounded = guard.exact


def fence_arguments() -> None:
    """Let the arguments that tests make, and the results, end at pages that nobody may touch."""
    import cases

    plain_results, plain_points = openmp.empty_results, cases.Case.points

    def empty_results(*arguments: Any) -> tuple[guard.Array, ...]:
        return tuple(guard.fenced(a.shape, a.dtype) for a in plain_results(*arguments))

    def points(*arguments: Any) -> guard.Array:
        values = plain_points(*arguments)
        fenced = guard.fenced(values.shape, values.dtype)
        np.copyto(fenced, values)
        return fenced

    openmp.empty_results = empty_results
    cases.Case.points = points  # type: ignore[method-assign]


if NAME in os.environ:
    install()
