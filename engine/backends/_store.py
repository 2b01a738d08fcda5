"""The cache folder: bytes kept by name, so that a damaged file is never mistaken for a good one.

Every file ends in the SHA-256 of its name and content: a file that is truncated, empty, garbage or
another's is the same as no file. Nothing here raises for the sake of a folder: one that cannot be
used is told by a `CacheWarning`, once, and the caller goes on without. Knows nothing of compilers.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import sys
import threading
import time
from pathlib import Path

from ..config import get_options
from ..errors import CacheWarning, expected, warn

MAX_BYTES = 2**30  # of all files together; beyond it, the ones unused for longest go
_STALE_S = 3600.0  # an unfinished file this old was left by a process that died
_MAGIC = b"\x00georeduce-v1\x00\x00\x00"
_TRAILER = 32 + len(_MAGIC)
_NAME = re.compile(r"[0-9a-f]{64}\.(so|probe)")
_UNFINISHED = re.compile(r"[0-9a-f]{64}\.(so|probe)\.[0-9a-f]{16}\.tmp")
_CURE = "Set GEOREDUCE_CACHE to a folder of your own to keep compiled kernels."

_told: set[tuple[str, str]] = set()


def location() -> Path:
    """Return where the cache folder is or would be: option, environment, or the user's cache."""
    chosen = get_options().cache_folder
    if chosen is not None:
        return chosen
    if named := os.environ.get("GEOREDUCE_CACHE"):
        return Path(named).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "georeduce"
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The specification of that variable says that a relative path is to be ignored.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "georeduce"


def folder() -> Path | None:
    """Return the cache folder, made if need be; None, and a warning, if it cannot be trusted."""
    try:
        path = location()
        if not path.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):  # another process was faster, or a file
                path.mkdir(mode=0o700)
        problem, cure = _distrust(path)
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home folder
        _tell_once("the cache folder", "a cache folder that can be used", str(error), _CURE)
        return None
    if problem:
        _tell_once(str(path), "a cache folder that only you can write to", problem, cure)
        return None
    return path


def _distrust(path: Path) -> tuple[str, str]:
    """Return why the folder is not to be trusted, and the cure; links are followed."""
    status = path.stat()
    if not stat.S_ISDIR(status.st_mode):
        return f"{path}, which is not a folder", _CURE
    if status.st_uid != os.geteuid():
        return f"{path}, which belongs to user {status.st_uid}", _CURE
    if status.st_mode & 0o022:
        return f"{path}, which others can write to", f"Run: chmod go-w '{path}'"
    return "", ""


def read(name: str) -> bytes | None:
    """Return what was kept under `name`, None if nothing was or the file is not as written."""
    path = folder()
    if path is None:
        return None
    try:
        with open(path / name, "rb") as file:
            status = os.fstat(file.fileno())
            if status.st_uid != os.geteuid() or status.st_mode & 0o022:
                return None
            stored = file.read()
    except OSError:
        return None
    content, trailer = stored[:-_TRAILER], stored[-_TRAILER:]
    if trailer != _trailer(name, content):
        return None
    with contextlib.suppress(OSError):
        os.utime(path / name)  # the time of last use: a file system need not keep access times
    return content


def write(name: str, content: bytes) -> None:
    """Keep `content` under `name`: all or nothing, whatever other processes do at the same time."""
    path = folder()
    if path is None:
        return
    # Random, not the process's number: two machines that share the folder may have the same.
    unfinished = path / f"{name}.{os.urandom(8).hex()}.tmp"
    try:
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "wb") as file:
                file.write(content)
                file.write(_trailer(name, content))
            os.replace(unfinished, path / name)
        except BaseException:  # an interrupt too must leave nothing behind
            with contextlib.suppress(OSError):
                os.unlink(unfinished)
            raise
    except OSError as error:
        _tell_once(str(path), "a cache folder that can be written to", str(error), _CURE)
        return
    _evict(path, keep=name)


def _trailer(name: str, content: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\x00" + content).digest() + _MAGIC


def _files(path: Path) -> list[tuple[float, int, str]]:
    """Return (last use, bytes, name) of our files, oldest first; others' are never touched."""
    found = []
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name) or _UNFINISHED.fullmatch(entry.name):
                with contextlib.suppress(OSError):  # removed by another process meanwhile
                    status = entry.stat(follow_symlinks=False)
                    found.append((status.st_mtime, status.st_size, entry.name))
    return sorted(found)


def _evict(path: Path, keep: str) -> None:
    """Remove the files unused for longest until the rest is within `MAX_BYTES`."""
    files = _files(path)
    total = sum(size for _, size, _ in files)
    long_ago = time.time() - _STALE_S
    for used, size, name in files:
        unfinished = name.endswith(".tmp")
        if (unfinished and used < long_ago) or (
            total > MAX_BYTES and name != keep and not unfinished
        ):
            with contextlib.suppress(OSError):
                os.unlink(path / name)
                total -= size


def clear() -> None:
    """Remove every file of ours from the cache folder."""
    path = folder()
    if path is not None:
        for _, _, name in _files(path):
            with contextlib.suppress(OSError):
                os.unlink(path / name)


def describe() -> dict[str, str | int]:
    """Return the folder, and the number and bytes of the files in it; makes nothing."""
    try:
        path = location()
    except RuntimeError as error:
        return {"problem": str(error)}
    files = _files(path)
    found: dict[str, str | int] = {
        "folder": str(path),
        "files": len(files),
        "bytes": sum(size for _, size, _ in files),
    }
    with contextlib.suppress(FileNotFoundError):
        try:
            problem, cure = _distrust(path)
        except PermissionError as error:
            problem, cure = str(error), _CURE
        if problem:
            found["problem"] = f"{problem}. {cure}"
    return found


def _tell_once(where: str, what: str, got: str, cure: str) -> None:
    """Warn, unless the same was said of the same folder in this process."""
    with _lock:
        if (where, what) in _told:
            return
        _told.add((where, what))
    warn(expected(what, got, cure), CacheWarning)


_lock = threading.Lock()


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # a thread that is not in the child may have held it


os.register_at_fork(after_in_child=_after_fork)
