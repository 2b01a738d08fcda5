"""Loading a shared library from its bytes, through a file that exists only meanwhile.

A library that is loaded from a file which is then truncated or overwritten crashes the process, so
none is loaded from a file that others know of.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import tempfile
import threading

from . import _store

_copies = 0


def open_library(content: bytes) -> ctypes.CDLL:
    """Return the loaded library; OSError where no folder at hand permits execution."""
    problems = []
    # The temporary folder may be full or forbid execution; then the cache folder may do.
    for parent in (None, _store.folder):
        try:
            place = tempfile.mkdtemp(prefix="georeduce-", dir=parent and parent())
            copy = os.path.join(place, _new_name())
            try:
                with open(copy, "wb") as file:
                    file.write(content)
                return ctypes.CDLL(copy)
            finally:
                with contextlib.suppress(OSError):
                    os.unlink(copy)
                with contextlib.suppress(OSError):
                    os.rmdir(place)
        except OSError as error:
            problems.append(str(error))
    raise OSError("; ".join(problems))


def _new_name() -> str:
    """Return a name used once: the loader takes a name that it knows for what it has loaded."""
    global _copies
    with _lock:
        _copies += 1
        return f"kernel-{os.getpid()}-{_copies}.so"


_lock = threading.Lock()


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # a thread that is not in the child may have held it


os.register_at_fork(after_in_child=_after_fork)
