"""What a long fit shows: a bar by tqdm where it is installed, else lines."""

from __future__ import annotations

from contextlib import suppress
from time import perf_counter
from typing import Any


class Progress:
    """Progress of iterations.

    Parameters
    ----------
    title : str
        What is iterated, as the first words that are shown.
    total : int or None
        How many iterations there are at most, if that is known.
    level : bool or int
        0 shows nothing, more than 1 the times of iterations too.
    interval : int
        Iterations between two figures.
    step : str
        What an iteration is called.
    done : int
        How many have been done before.
    whole : bool
        Whether `total` is how many there are, so that the time left can be told.
    """

    def __init__(
        self,
        title: str,
        total: int | None,
        level: bool | int,
        interval: int = 1,
        step: str = "Iteration",
        done: int = 0,
        whole: bool = False,
    ) -> None:
        self.title, self.total, self.level, self.interval = title, total, int(level), interval
        self.name, self.count, self.done, self.whole = step, done, done, whole
        self.bar: Any = None

    def __enter__(self) -> Progress:
        self.began = self.seen = perf_counter()
        if self.level:
            with suppress(ImportError):
                from tqdm import tqdm

                self.bar = tqdm(total=self.total, initial=self.done, desc=self.title, unit="it")
            if self.bar is None:
                print(self.title)
        return self

    def step(self, **figures: str) -> None:
        """Show that an iteration is over, and the figures that it came to."""
        self.count += 1
        if not self.level:
            return
        if self.bar is not None:
            self.bar.update()
        if self.count % self.interval == 0 or (self.whole and self.count == self.total):
            if self.bar is not None:
                self.bar.set_postfix(figures)
            else:
                now = perf_counter()
                if self.whole and self.total is not None:
                    left = (now - self.began) / (self.count - self.done) * (self.total - self.count)
                    figures["left"] = f"{left:.0f}s"
                told = "".join(f"\t {name} {figure}" for name, figure in figures.items())
                more = f"\t time lapse {now - self.seen:.5f}s{told}"
                print(f"  {self.name} {self.count}" + (more if self.level > 1 else ""))
                self.seen = now

    def __exit__(self, *exception: Any) -> None:
        if self.bar is not None:
            self.bar.close()
        elif self.level:
            print(f"{self.title.split()[0]} over after {perf_counter() - self.began:.5f}s.")
