"""What a long fit shows: a bar by tqdm where it is installed, else lines."""

from __future__ import annotations

from contextlib import suppress
from time import perf_counter
from typing import Any


class Progress:
    """Progress of one run of EM, from an estimator's ``verbose`` and ``verbose_interval``.

    Parameters
    ----------
    estimator : estimator
        Whose parameters are read.
    title : str
        What it does.
    total : int
        How many steps there are, at most.
    step : str
        What one of them is called.
    """

    def __init__(self, estimator: Any, title: str, total: int, step: str = "Iteration") -> None:
        self.level, self.interval = int(estimator.verbose), estimator.verbose_interval
        self.title, self.total, self.name, self.count = title, total, step, 0
        self.bar: Any = None

    def __enter__(self) -> Progress:
        self.began = self.seen = perf_counter()
        if self.level:
            with suppress(ImportError):
                from tqdm import tqdm

                self.bar = tqdm(total=self.total, desc=self.title, unit="it")
            if self.bar is None:
                print(self.title)
        return self

    def step(self, bound: float, change: float) -> None:
        """Show that a step is over."""
        self.count += 1
        if not self.level:
            return
        if self.bar is not None:
            self.bar.update()
        if self.count % self.interval == 0:
            if self.bar is not None:
                self.bar.set_postfix(bound=f"{bound:.5f}", change=f"{change:.1e}")
            else:
                now = perf_counter()
                more = f"\t time lapse {now - self.seen:.5f}s\t ll change {change:.5f}"
                print(f"  {self.name} {self.count}" + (more if self.level > 1 else ""))
                self.seen = now

    def __exit__(self, *exception: Any) -> None:
        if self.bar is not None:
            self.bar.close()
        elif self.level:
            print(f"{self.title.split()[0]} over after {perf_counter() - self.began:.5f}s.")
