"""What a long fit shows: loss, rank and time left, by tqdm on a terminal, else by lines."""

from __future__ import annotations

from contextlib import suppress
from time import perf_counter
from typing import Any


class Progress:
    """Progress of a training.

    Parameters
    ----------
    verbose : int
        0 for nothing; else every so many epochs the ranks are computed.
    total : int
        Epochs.
    done : int
        How many of them a checkpoint has.
    """

    def __init__(self, verbose: int, total: int, done: int) -> None:
        self.verbose, self.total, self.first = int(verbose), total, done
        self.bar: Any = None

    def __enter__(self) -> Progress:
        self.began = perf_counter()
        if self.verbose:
            with suppress(ImportError):
                from tqdm import tqdm

                bar = tqdm(total=self.total, initial=self.first, unit="epoch", disable=None)
                self.bar = None if bar.disable else bar
        return self

    def is_due(self, epoch: int) -> bool:
        """Return whether the ranks are to be computed after an epoch."""
        return bool(self.verbose) and (epoch % self.verbose == 0 or epoch == self.total)

    def step(self, epoch: int, told: dict[str, float]) -> None:
        """Show that an epoch is over; figures are those of the last ranks."""
        if self.bar is not None:
            self.bar.update()
            self.bar.set_postfix({name: f"{value:.4g}" for name, value in told.items()})
        elif self.is_due(epoch):
            spent = perf_counter() - self.began
            left = spent / (epoch - self.first) * (self.total - epoch)
            figures = ", ".join(f"{name} {value:.4g}" for name, value in told.items())
            print(f"PoincareEmbedding: epoch {epoch} of {self.total}, {figures}, {left:.0f} s left")

    def __exit__(self, *exception: Any) -> None:
        if self.bar is not None:
            self.bar.close()
