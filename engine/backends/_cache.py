"""Compiled kernels: from a source to a loaded library, compiling each source once.

Looked for in memory, then in the cache folder, then compiled. What is loaded is never the cache's
file but a private copy of bytes that were checked: a cache that is truncated, replaced or removed
while kernels run changes nothing.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import threading
from pathlib import Path
from typing import Any

from ..errors import ArgumentError, BackendError, expected
from . import _store
from ._compiler import Compiler, compile_source, find_compiler, why_no_compiler
from ._library import open_library

_FORMAT = "1"  # changes when what is kept under a key changes its meaning

_loaded: dict[str, ctypes.CDLL] = {}  # by key
_compiled = 0


def load(source: str, headers: tuple[Path, ...] = ()) -> ctypes.CDLL:
    """Return the library made from a source, compiled if it never was on this machine.

    Parameters
    ----------
    source : str
        C++; what it exports is ``extern "C"`` with default visibility.
    headers : tuple of path
        The files that it includes, all in one folder. A change of their text is another library.

    Returns
    -------
    ctypes.CDLL
        The same object for the same source in the same process.

    Raises
    ------
    BackendError
        Where there is no compiler, or the library cannot be loaded.
    CompileError
        Where the compiler fails.
    """
    compiler = find_compiler()
    if compiler is None:
        raise BackendError(why_no_compiler())
    folders = {Path(header).parent for header in headers}
    if len(folders) > 1:
        raise ArgumentError(expected("headers in one folder", ", ".join(map(str, folders))))
    key = _key(compiler, source, headers)
    library = _loaded.get(key)
    if library is None:
        with _lock_of(key):  # threads that want the same library wait for the first of them
            library = _loaded.get(key)
            if library is None:
                library = _open(_binary(compiler, source, key, next(iter(folders), None)))
                _loaded[key] = library
    return library


def compile_count() -> int:
    """Return how many sources this process has compiled: 0 if the cache had them all."""
    return _compiled


def clear_cache() -> None:
    """Forget every compiled kernel, in memory and in the cache folder.

    Kernels in use stay loaded and go on working.

    Examples
    --------
    >>> from georeduce.engine.backends._cache import clear_cache
    >>> clear_cache()  # doctest: +SKIP
    """
    clear_memory()
    _store.clear()


def clear_memory() -> None:
    """Forget the compiled kernels of this process, as if it had just started."""
    _loaded.clear()


def describe() -> dict[str, Any]:
    """Return the cache folder, its files and bytes, and the kernels loaded and compiled here."""
    return {**_store.describe(), "loaded": len(_loaded), "compiled_here": _compiled}


def _key(compiler: Compiler, source: str, headers: tuple[Path, ...]) -> str:
    """Return the hash of everything that the library's bytes depend on, in hexadecimal."""
    parts = [_FORMAT, compiler.fingerprint(), source]
    for header in headers:
        status = os.stat(header)
        parts += [Path(header).name, _text(str(header), status.st_mtime_ns, status.st_size)]
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        digest.update(b"%d:" % len(encoded))  # else ("a", "bc") and ("ab", "c") are the same
        digest.update(encoded)
    return digest.hexdigest()


@functools.lru_cache(maxsize=32)
def _text(path: str, modified: int, size: int) -> str:
    """Return the text of a header; read again when its time or its size changes."""
    return Path(path).read_text(encoding="utf-8")


def _binary(compiler: Compiler, source: str, key: str, include_folder: Path | None) -> bytes:
    """Return the library's bytes, from the cache folder or from the compiler."""
    global _compiled
    name = f"{key}.so"
    content = _store.read(name)
    if content is None:
        if os.environ.get("GEOREDUCE_ASSERT_CACHED", "0") not in ("", "0"):
            got = f"one with no entry {name}, under GEOREDUCE_ASSERT_CACHED, in {_store.folder()}"
            # Not an exception of ours: those can be answered by running another backend.
            raise AssertionError(expected("a source that is in the cache", got))
        content = compile_source(compiler, source, include_folder)
        with _lock:
            _compiled += 1
        _store.write(name, content)
    return content


def _open(content: bytes) -> ctypes.CDLL:
    try:
        return open_library(content)
    except OSError as error:
        cure = "Set TMPDIR to a folder with room that permits execution."
        raise BackendError(expected("to load a compiled kernel", str(error), cure)) from None


_lock = threading.Lock()
_locks: dict[str, threading.Lock] = {}


def _lock_of(key: str) -> threading.Lock:
    with _lock:
        return _locks.setdefault(key, threading.Lock())


def _after_fork() -> None:
    global _lock, _locks
    _lock, _locks = threading.Lock(), {}  # threads that are not in the child may have held them


os.register_at_fork(after_in_child=_after_fork)
