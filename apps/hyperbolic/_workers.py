"""Threads for what NumPy does on points and listed pairs, in parts that do not depend on them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from georeduce.engine.backends._threads import thread_count

PART = 1 << 17
"""Numbers in an array of a part: few enough that temporary arrays stay in the cache, and enough
that threads seldom wait for each other's Python."""


class Workers:
    """Threads that work on slices; without ``with`` there are none, and all is done in turn.

    It should be the case that what is computed does not depend on their number: each slice has its
    own place in the result.

    Parameters
    ----------
    n_jobs : int or None
        As scikit-learn counts them.
    """

    def __init__(self, n_jobs: int | None = 1) -> None:
        self.n_jobs = n_jobs
        self.pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Workers:
        threads = thread_count(self.n_jobs)
        if threads > 1:
            self.pool = ThreadPoolExecutor(threads)
        return self

    def __exit__(self, *exception: Any) -> None:
        if self.pool is not None:
            self.pool.shutdown()
            self.pool = None

    def __call__(self, work: Callable[[slice], object], n: int, width: int = 1) -> None:
        """Work on all of n rows, of so many numbers each."""
        size = max(1, PART // width)
        slices = [slice(start, min(start + size, n)) for start in range(0, n, size)]
        if self.pool is None or len(slices) < 2:
            for rows in slices:
                work(rows)
        else:
            for _ in self.pool.map(work, slices):
                pass


ALONE = Workers()
"""No threads."""
