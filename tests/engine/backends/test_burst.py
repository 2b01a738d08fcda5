"""When threads are woken, by a clock that the tests wind."""

from __future__ import annotations

import numpy as np
import pytest

from georeduce.engine import LazyTensor, options
from georeduce.engine.backends import _burst, openmp
from georeduce.engine.backends._burst import Burst

SHORT, LONG = 100.0, 1000.0


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 5.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_burst.time, "perf_counter", clock)
    monkeypatch.setattr(_burst, "SERIAL_WORK", SHORT)
    monkeypatch.setattr(_burst, "WAKING_WORK", LONG)
    return clock


def calls(burst: Burst, clock: Clock, work: float, pause: float, count: int) -> list[bool]:
    several = []
    for _ in range(count):
        several.append(burst.wants_threads(work))
        clock.now += 0.5
        burst.pause()
        clock.now += pause
    return several


def test_a_call_alone_wakes_threads_if_it_is_long(clock: Clock) -> None:
    burst = Burst()
    assert calls(burst, clock, LONG, 2 * _burst.AWAKE_S, 3) == [False] * 3
    assert calls(burst, clock, LONG + 1, 2 * _burst.AWAKE_S, 3) == [True] * 3


def test_calls_in_a_row_wake_threads_together(clock: Clock) -> None:
    several = calls(Burst(), clock, 0.3 * LONG, 0.5 * _burst.AWAKE_S, 6)
    assert several == [False] * 3 + [True] * 3


def test_short_calls_use_one_thread_always(clock: Clock) -> None:
    assert calls(Burst(), clock, SHORT, 0.0, 50) == [False] * 50


def test_a_pause_begins_anew(clock: Clock) -> None:
    burst = Burst()
    assert calls(burst, clock, LONG, 0.0, 2) == [False, True]
    clock.now += 2 * _burst.AWAKE_S
    assert calls(burst, clock, LONG, 0.0, 2) == [False, True]


@pytest.mark.compiler
def test_kernels_ask(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    used: list[int] = []
    monkeypatch.setattr(openmp, "_burst", Burst())
    monkeypatch.setattr(openmp, "mark_used", used.append)
    x = LazyTensor(rng.random((1000, 1, 3)))
    y = LazyTensor(rng.random((1, 1000, 3)))
    with options(n_threads=2):
        clock.now += 2 * _burst.AWAKE_S
        x.sqdist(y).sum(axis=1, backend="openmp")
        assert used == [2]
        monkeypatch.setattr(_burst, "WAKING_WORK", 1e12)
        x.sqdist(y).sum(axis=1, backend="openmp")
        assert used == [2]


@pytest.mark.compiler
def test_rows_are_work_beside_their_pairs(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """One column costs what a vector of them does, and each row takes a while to begin and end."""
    told: list[float] = []
    monkeypatch.setattr(Burst, "wants_threads", lambda self, work: bool(told.append(work)))
    x = LazyTensor(rng.random((1000, 1, 3)))
    y = rng.random((1, 1000, 3))
    for columns in (1, 1000):
        x.sqdist(LazyTensor(y[:, :columns])).sum(axis=1, backend="openmp")
    few, many = told
    assert 2 * few < many < 100 * few
