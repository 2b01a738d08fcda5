"""How many threads a kernel runs on, and what a fork does to that.

The OpenMP runtime is loaded with this module, so that ``OMP_NUM_THREADS`` and limits set through
``threadpoolctl`` before the first kernel act on it.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable
from pathlib import Path

from ..config import check_threads, get_options
from ..errors import ForkWarning, expected, warn

# The runtime that kernels are linked with: GNU's, or LLVM's where that is missing. By these names
# the loader gives the copy that the process already has, torch's or scikit-learn's among them.
_RUNTIMES = ("libgomp.so.1", "libomp.so.5", "libomp.so", "libomp.dylib")
_GROUP = Path("/sys/fs/cgroup")


def _runtime() -> Callable[[], int] | None:
    """Return the OpenMP runtime's count of threads, None where there is no runtime."""
    for name in _RUNTIMES:
        try:
            ask: Callable[[], int] = ctypes.CDLL(name).omp_get_max_threads
        except (OSError, AttributeError):
            continue
        return ask
    return None


_max_threads = _runtime()
_at_start = _max_threads() if _max_threads else 0  # differs once a program sets its own limit
_named = os.environ.get("OMP_NUM_THREADS", "")  # the runtime too reads it once

_used_several = False  # whether a kernel of this process has run on more than one thread
_forked = False  # whether this process is the forked child of one in which that was so
_told = False


def thread_count(requested: int | None = None) -> int:
    """Return the number of threads that a kernel is to run on.

    Parameters
    ----------
    requested : int or None
        Counted as scikit-learn's ``n_jobs``: -1 is every processor that the process may use, -2
        all but one. None is the option ``n_threads``, or else what the OpenMP runtime says.

    Returns
    -------
    int
        At least 1; always 1 in a child that was forked once several threads had been used, unless
        the option ``after_fork`` is "parallel".
    """
    if requested is None:
        requested = get_options().n_threads
    count = _default() if requested is None else _resolve(requested)
    return _serial(count) if _forked and count > 1 else count


def _resolve(requested: int) -> int:
    count = check_threads(requested, "the number of threads")
    return count if count > 0 else max(1, available_cpus() + 1 + count)


def _default() -> int:
    if _max_threads is None:
        return _without_runtime()
    count = _max_threads()
    # The runtime knows which processors are allowed but no quota of time on them. A number that
    # was set on purpose stands.
    if count == _at_start and not _named:
        return min(count, _quota())
    return count


def _without_runtime() -> int:
    first = _named.split(",")[0].strip()  # "4,2": 4 outermost
    return int(first) if first.isdigit() and int(first) > 0 else available_cpus()


def available_cpus() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    return min(count, _quota())


@functools.cache
def _quota() -> int:
    """Return the processors that the control group has time for, rounded up; many if unlimited."""
    # Version 2 has both numbers in one file, version 1 in two.
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            words = " ".join((_GROUP / name).read_text() for name in names).split()
            quota, period = int(words[0]), int(words[1])  # "max" is no integer
        except (OSError, ValueError, IndexError):
            continue
        if quota > 0 and period > 0:
            return max(1, -(-quota // period))
    return 2**30


def mark_used(count: int) -> None:
    """Note that a kernel is about to run on `count` threads."""
    global _used_several
    if count > 1:
        _used_several = True


def in_forked_child() -> bool:
    """Return whether a fork has made the runtime's threads unusable in this process."""
    return _forked


def _serial(count: int) -> int:
    """Return 1, and say so once, unless the options permit threads after a fork."""
    global _told
    if get_options().after_fork == "parallel":
        return count
    if not _told:
        _told = True
        got = f"a process forked after kernels had used several; it runs on one, not {count}"
        cure = (
            "Start processes by 'spawn' or 'forkserver' (joblib's default does the like), or call "
            "set_options(after_fork='parallel') if your OpenMP runtime survives a fork."
        )
        warn(expected("to run kernels on several threads", got, cure), ForkWarning)
    return 1


def describe() -> tuple[int, str]:
    """Return the number of threads of a kernel, and where that number is from."""
    requested = get_options().n_threads
    if _forked and get_options().after_fork == "serial":
        return 1, "forked after kernels had used several threads"
    if requested is not None:
        return _resolve(requested), f"options: n_threads={requested}"
    count = _default()
    if _max_threads is not None and _max_threads() != _at_start:
        return count, "the OpenMP runtime, as set by the program or threadpoolctl"
    if _named:
        return count, f"OMP_NUM_THREADS={_named}"
    if count == _quota():
        return count, "the control group's quota of processor time"
    return count, "the processors that the process may use"


def _after_fork() -> None:
    global _forked
    _forked = _forked or _used_several


os.register_at_fork(after_in_child=_after_fork)
