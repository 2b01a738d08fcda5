"""Options of the engine, and a report of what it found on this machine.

Options are immutable. `options(...)` changes them inside a `with` block, for the current thread or
asynchronous task only; `set_options(...)` changes them for the whole process.
"""

from __future__ import annotations

import dataclasses
import operator
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from .errors import ArgumentError, did_you_mean, expected

__all__ = ["Options", "config", "get_options", "options", "set_options", "show_config"]


@dataclass(frozen=True)
class Options:
    """How formulas are run.

    Parameters
    ----------
    backend : str
        ``"auto"`` (the fastest one that works) or the name of a backend.
    n_threads : int or None
        Threads of a kernel, counted as scikit-learn's ``n_jobs``: -1 is every processor that the
        process may use, -2 all but one. None is what the OpenMP runtime says, which follows
        ``OMP_NUM_THREADS`` and ``threadpoolctl``.
    cache_folder : path or None
        Where compiled kernels are kept. None is ``GEOREDUCE_CACHE`` if set, else the user's cache
        folder.
    after_fork : {"serial", "parallel"}
        Threads in the child of a ``fork``, once the parent has used several. GNU's OpenMP runtime
        hangs in such a child, hence "serial"; "parallel" is for runtimes known to survive it.
    tile_bytes : int
        What the NumPy backend may use for temporary arrays, in bytes.
    """

    backend: str = "auto"
    n_threads: int | None = None
    cache_folder: Path | None = None
    after_fork: str = "serial"
    tile_bytes: int = 64 * 2**20

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            object.__setattr__(self, name, check(getattr(self, name)))


def _backend(value: Any) -> str:
    names = ["auto", *_backend_names()]
    if not isinstance(value, str) or value not in names:
        cure = did_you_mean(value, names) if isinstance(value, str) else ""
        raise ArgumentError(expected(f"backend to be one of {names}", repr(value), cure))
    return value


def _n_threads(value: Any) -> int | None:
    return None if value is None else check_threads(value, "n_threads")


def _cache_folder(value: Any) -> Path | None:
    if value is None:
        return None
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise ArgumentError(expected("cache_folder to be a path or None", repr(value)))
    return Path(os.fsdecode(value)).expanduser().absolute()


def _after_fork(value: Any) -> str:
    names = ["serial", "parallel"]
    if not isinstance(value, str) or value not in names:
        cure = did_you_mean(value, names) if isinstance(value, str) else ""
        raise ArgumentError(expected(f"after_fork to be one of {names}", repr(value), cure))
    return value


def _tile_bytes(value: Any) -> int:
    count = _integer(value)
    if count is None or count < 1:
        what = "tile_bytes to be a positive integer, a number of bytes"
        raise ArgumentError(expected(what, repr(value)))
    return count


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "backend": _backend,
    "n_threads": _n_threads,
    "cache_folder": _cache_folder,
    "after_fork": _after_fork,
    "tile_bytes": _tile_bytes,
}


def check_threads(value: Any, name: str) -> int:
    """Return `value` if it counts threads as ``n_jobs`` does; `name` is the user's word for it."""
    count = _integer(value)
    if not count:  # neither an integer, nor other than 0
        what = f"{name} to be a positive integer, a negative one (-1: all processors) or None"
        raise ArgumentError(expected(what, repr(value), "Use 1 for a single thread."))
    return count


def _integer(value: Any) -> int | None:
    """Return an integer of any library as Python's, None if it is not one (bool is not)."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def _backend_names() -> list[str]:
    """Return the names of the backends: the files of their folder, but for the private ones."""
    names = os.listdir(Path(__file__).parent / "backends")
    return sorted(n[:-3] for n in names if n.endswith(".py") and not n.startswith("_"))


# The process's options, and what `with options(...)` changes of them in this context. The latter
# remembers the merged result and the base it was merged from, so that reading costs a comparison.
_base: Options
_changed: ContextVar[tuple[Options, dict[str, Any], Options] | None] = ContextVar(
    "georeduce_options", default=None
)


def get_options() -> Options:
    """Return the options in force here.

    Returns
    -------
    Options
        Immutable; see `options` and `set_options` to change them.
    """
    state = _changed.get()
    if state is None:
        return _base
    base, changes, merged = state
    return merged if base is _base else dataclasses.replace(_base, **changes)


def set_options(**changes: Any) -> None:
    """Change options for the whole process, every thread included.

    Inside a ``with options(...)`` block, what the block changed stays until it ends.

    Parameters
    ----------
    **changes
        Fields of `Options`.

    Examples
    --------
    >>> from georeduce.engine.config import get_options, set_options
    >>> set_options(n_threads=2)
    >>> get_options().n_threads
    2
    >>> set_options(n_threads=None)
    """
    global _base
    _base = _replace(_base, changes)


def options(**changes: Any) -> AbstractContextManager[Options]:
    """Change options inside a ``with`` block, for this thread or asynchronous task only.

    Parameters
    ----------
    **changes
        Fields of `Options`. Blocks nest; the inner one wins.

    Returns
    -------
    context manager
        Yields the options in force in the block.

    Examples
    --------
    >>> from georeduce.engine.config import options
    >>> with options(n_threads=1) as inside:
    ...     inside.n_threads
    1
    """
    _replace(_base, changes)  # so that a mistake is told at this line, not at the block's start
    return _block(changes)


@contextmanager
def _block(changes: dict[str, Any]) -> Iterator[Options]:
    state = _changed.get()
    inner = (state[1] if state else {}) | changes
    merged = dataclasses.replace(_base, **inner)
    token = _changed.set((_base, inner, merged))
    try:
        yield merged
    finally:
        _changed.reset(token)


def _replace(before: Options, changes: dict[str, Any]) -> Options:
    """Return `before` with `changes`, whose names are checked."""
    for name in changes:
        if name not in _CHECKS:
            what = f"an option among {sorted(_CHECKS)}"
            raise ArgumentError(expected(what, repr(name), did_you_mean(name, _CHECKS)))
    return dataclasses.replace(before, **changes)


_base = Options()


def config() -> dict[str, Any]:
    """Return what the engine found on this machine, as `show_config` prints it.

    Returns
    -------
    dict
        Strings, numbers, lists and dicts only, so that it can be written as JSON.
    """
    import importlib.metadata
    import platform

    import numpy as np

    from .backends import _cache, _compiler, _threads

    try:
        version = importlib.metadata.version("georeduce")
    except importlib.metadata.PackageNotFoundError:
        version = "not installed"
    compiler = _compiler.find_compiler()
    found: dict[str, Any] = {
        "georeduce": version,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": platform.platform(),
        "backends": _backends_found(),
        "compiler": compiler.describe() if compiler else None,
        "no_compiler": None if compiler else _compiler.why_no_compiler(),
    }
    threads, source = _threads.describe()
    found["threads"] = threads
    found["threads_from"] = source
    found["processors"] = _threads.available_cpus()
    found["cache"] = _cache.describe()
    found["options"] = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in dataclasses.asdict(get_options()).items()
    }
    return found


def _backends_found() -> dict[str, str]:
    """Return each backend's name with "available" or the reason why it is not."""
    from .backends import get_backend

    found = {}
    for name in _backend_names():
        try:
            why = get_backend(name).missing()
        except Exception as error:  # a report must come out of a broken installation too
            why = f"{type(error).__name__}: {error}"
        found[name] = why or "available"
    return found


def show_config(file: TextIO | None = None) -> None:
    """Print what the engine found: versions, backends, compiler, threads, cache, options.

    Parameters
    ----------
    file : text file, optional
        Where to print; the standard output by default.
    """
    for line in _lines(config(), ""):
        print(line, file=file or sys.stdout)


def _lines(found: dict[str, Any], indent: str) -> Iterator[str]:
    """Yield ``name : value`` lines, nested dicts indented; what is None is left out."""
    width = max(len(name) for name in found) if found else 0
    for name, value in found.items():
        if isinstance(value, dict):
            yield f"{indent}{name}"
            yield from _lines(value, indent + "    ")
        elif value is not None:
            text = " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            yield f"{indent}{name:{width}} : {text}"
