"""Where formulas are run: one file each, found by its name."""

from __future__ import annotations

import importlib
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..config import get_options
from ..errors import (
    ArgumentError,
    BackendError,
    CompileError,
    NoCompilerWarning,
    did_you_mean,
    expected,
    warn,
)
from ._base import Array, Backend, Data, Task
from ._scaling import at_scale


@lru_cache(maxsize=1)
def backend_names() -> tuple[str, ...]:
    """Return the names of all backends, available here or not."""
    files = Path(__file__).parent.glob("[!_]*.py")
    return tuple(sorted(f.stem for f in files))


@lru_cache(maxsize=16)
def get_backend(name: str) -> Backend:
    """Return a backend by name."""
    if name not in backend_names():
        names = ["auto", *backend_names()]
        cure = did_you_mean(name, names) if isinstance(name, str) else ""
        raise ArgumentError(expected(f"backend to be one of {names}", repr(name), cure))
    backend = importlib.import_module(f".{name}", __name__).BACKEND
    assert isinstance(backend, Backend)
    return backend


KEOPS_NAMES = {"CPU": "auto"} | dict.fromkeys(
    ["GPU", *(f"GPU_{d}D{where}" for d in (1, 2) for where in ("", "_device", "_host"))], "cuda"
)
"""What KeOps calls backends. Its "CPU" is the fastest of ours that needs no GPU."""

_warned = False
_failed: set[Task] = set()  # tasks that the compiler could not do, for backend="auto"


def choose_backend(name: str | None = None) -> Backend:
    """Return the backend to run on: `name`, or that of the options, or the best available.

    Parameters
    ----------
    name : str or None
        A backend's name, "auto" for the fastest one that works here, None for the option, or
        one of `KEOPS_NAMES`.

    Raises
    ------
    ArgumentError
        If there is no such backend.
    BackendError
        If it was named and cannot be used here.
    """
    global _warned
    name = get_options().backend if name is None else KEOPS_NAMES.get(name, name)
    if name == "auto":
        fast = get_backend("openmp")
        why = fast.missing()
        if not why:
            return fast
        if not _warned:
            _warned = True
            text = f"No compiled kernels: {why} Running on the NumPy backend, which is slower."
            warn(text, NoCompilerWarning)
        return get_backend("numpy")
    backend = get_backend(name)
    why = backend.missing()
    if why:
        text = f"backend={name!r} cannot be used here. {why}"
        raise BackendError(f'{text} Use backend="auto" or "numpy".')
    return backend


def run(task: Task, data: Data, name: str | None = None) -> tuple[Array, ...]:
    """Return the results of a task on the backend `name`, see `choose_backend`.

    With "auto", what the compiler fails to compile is run on the NumPy backend, with a warning.

    Raises
    ------
    CompileError
        If the compiler of a backend that was named fails.
    """
    asked = get_options().backend if name is None else KEOPS_NAMES.get(name, name)
    auto = asked == "auto"
    if not all(isinstance(a, np.ndarray) for a in data.arrays):  # they tell where to run
        backend = choose_backend("cuda" if auto and name != "CPU" else name)
        if backend.name != "cuda":
            cure = 'Use backend="cuda" or "auto", or pass cupy.asnumpy(x), or x.cpu() of a tensor.'
            got = f"arrays of a GPU with backend={backend.name!r}"
            raise ArgumentError(expected("arrays where the backend is", got, cure))
        return backend.run(*at_scale(task, data))
    backend = choose_backend(name)
    task, data = at_scale(task, data)
    if auto and task in _failed:
        backend = get_backend("numpy")
    try:
        return backend.run(task, data)
    except (CompileError, BackendError) as error:  # does not compile, or does not load
        if not auto or backend.name == "numpy":
            raise
        _failed.add(task)
        warn(f"{error} Running it on the NumPy backend, which is slower.", NoCompilerWarning)
        return get_backend("numpy").run(task, data)
