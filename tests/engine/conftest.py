"""Compiles what a module of tests needs before its first test, in few translation units.

A module that has a function ``tasks()``, which returns lists of tasks, gets them compiled, `GROUP`
of a list at a time; one compiler run for each kernel would take several times as long. A module's
``BACKENDS`` says for which backends, if not for all. What is compiled together never depends on
what ran before, so that a second pass of the suite finds every library in the cache.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

import pytest

from georeduce.engine.backends import _burst, get_backend
from georeduce.engine.backends._base import Task
from georeduce.engine.errors import CompileError

GROUP = 12


@pytest.fixture(autouse=True)
def threads_for_small_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let kernels use threads whatever the size: tests are to see them, and are small."""
    monkeypatch.setattr(_burst, "SERIAL_WORK", -1.0)
    monkeypatch.setattr(_burst, "WAKING_WORK", -1.0)


@pytest.fixture(scope="module", autouse=True)
def compiled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Forget the kernels of other modules, and compile the module's own."""
    openmp = get_backend("openmp")
    if openmp.missing():
        return
    openmp._loaded.clear()  # type: ignore[attr-defined]
    get_backend("emulator")._loaded.clear()  # type: ignore[attr-defined]
    collect = getattr(request.module, "tasks", None)
    if collect is None:
        return
    groups = []
    for together in collect():
        wanted = list(dict.fromkeys(together))
        groups += [wanted[n : n + GROUP] for n in range(0, len(wanted), GROUP)]
    folder = tmp_path_factory.getbasetemp()
    worker = hasattr(request.config, "workerinput")
    names = getattr(request.module, "BACKENDS", ("openmp", "emulator"))
    _share(groups, folder.parent if worker else folder, names)


def _share(groups: list[Sequence[Task]], folder: Path, names: Sequence[str]) -> None:
    """Compile groups; of those that another process is at, the result is taken from the cache."""
    waiting = list(groups)
    for block in (False, True):
        for group in list(waiting):
            name = sha256(repr((group, names)).encode()).hexdigest()[:16]
            with _locked(folder / f"compiling-{name}", block) as mine:
                if mine:
                    _prepare(group, names)
                    waiting.remove(group)


@contextlib.contextmanager
def _locked(path: Path, block: bool) -> Iterator[bool]:
    """Yield whether this process holds the lock of a file."""
    try:
        import fcntl
    except ModuleNotFoundError:  # only Unix has it
        yield True
        return
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if block else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def _prepare(group: Sequence[Task], names: Sequence[str]) -> None:
    """Compile a group; what cannot be is left for the test that wants it to say so."""
    for name in names:
        backend = get_backend(name)
        printable = []
        for task in group:
            with contextlib.suppress(Exception):
                backend.source(task)
                printable.append(task)
        with contextlib.suppress(CompileError):
            backend.prepare(printable)
