"""Whether a call is worth waking threads for: what that costs depends on what was before.

Measured on a virtual machine of two cores, a sum of 10^6 exponentials (250 microseconds on one
thread, 150 on two that are awake): threads stay awake for some 4 milliseconds after a call; after 8
the second core sleeps, and a call on two threads takes up to 16 milliseconds.
"""

from __future__ import annotations

import time

AWAKE_S = 2e-3
"""Pause after a call up to which its threads are surely awake."""
SERIAL_WORK = 3e5
"""Vector instructions, some 40 microseconds, up to which threads gain little even if awake."""
WAKING_WORK = 1e7
"""Those since the last pause, some 1.5 milliseconds, that sleeping threads are woken for.

A call of less that comes alone loses less than that, a tenth of what it may have to wait; of calls
that follow each other closely, only the first ones run on one thread.
"""


class Burst:
    """Calls that follow each other without a pause, and the work that they do."""

    def __init__(self) -> None:
        self._work = 0.0
        self._end = -AWAKE_S

    def wants_threads(self, work: float) -> bool:
        """Return whether the next call, of so many vector instructions, is to use threads."""
        if time.perf_counter() - self._end > AWAKE_S:
            self._work = 0.0
        self._work += work
        return work > SERIAL_WORK and self._work > WAKING_WORK

    def pause(self) -> None:
        """Note that a call has ended."""
        self._end = time.perf_counter()
