"""The loop over epochs and batches: what is random, when it stops, what is kept of it.

Knows no parameters of users: it is told an optimizer, a loss and a schedule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from georeduce.engine import GeoreduceError
from georeduce.engine.errors import expected

from .._progress import Progress
from ..common import Array
from . import _checkpoints
from ._points import Placed
from ._schedule import Schedule


@dataclass
class Training:
    """Epochs over rows in random order, in batches, with a step after each.

    It should be the case that what is found depends on these attributes alone, not on the number of
    threads, nor on whether it was stopped and went on from a checkpoint.

    Attributes
    ----------
    points : Placed
        What is learnt.
    loss, optimizer
        Of `_losses` and `_optimizers`.
    rows : array
        What batches are made of.
    terms : float
        What the loss is divided by to be told.
    batch_size, max_iter : int
        Rows of a batch; epochs.
    schedule : Schedule
        Rates and radii.
    tol : float
        Least part of the loss by which an epoch improves it; with 0 none need to.
    n_iter_no_change : int
        After so many epochs without, once the ball has grown, it stops.
    random : RandomState
        Draws the order of the rows, and negatives.
    checkpoint : Path or None
        Where the state is kept.
    checkpoint_interval : int
        After every so many epochs.
    key : str
        Of the training, which a checkpoint must have.
    verbose : int
        See `Progress`.
    figures : callable
        From points to more figures for people.
    curve : list of float
        Loss of each epoch.
    ranks : list of (int, float)
        Epochs at which ranks were told, and these.
    """

    points: Placed
    loss: Any
    optimizer: Any
    rows: Array
    terms: float
    batch_size: int
    max_iter: int
    schedule: Schedule
    tol: float
    n_iter_no_change: int
    random: np.random.RandomState
    checkpoint: Path | None
    checkpoint_interval: int
    key: str
    verbose: int
    figures: Callable[[Placed], dict[str, float]]
    curve: list[float] = field(default_factory=list)
    ranks: list[tuple[int, float]] = field(default_factory=list)
    epoch: int = 0
    best: float = np.inf
    idle: int = 0

    def run(self) -> None:
        """Train until the last epoch, or until nothing improves."""
        if self.checkpoint is not None and self.checkpoint.exists():
            self._resume(self.checkpoint)
        n_batches = -(-len(self.rows) // self.batch_size)
        told: dict[str, float] = {}
        every = max(1, self.verbose)
        level = 2 if self.verbose else 0
        progress = Progress(
            "PoincareEmbedding", self.max_iter, level, every, "Epoch", done=self.epoch, whole=True
        )
        with self.points.workers, progress:
            while self.epoch < self.max_iter and self.idle < self.n_iter_no_change:
                order = self.rows[self.random.permutation(len(self.rows))]
                total = 0.0
                for number, batch in enumerate(np.array_split(order, n_batches), start=1):
                    total += self._update(np.sort(batch), self.epoch + number / n_batches)
                self._end(total / self.terms)
                if self.verbose and (self.epoch % every == 0 or self.epoch == self.max_iter):
                    told = self.figures(self.points)
                    self.ranks += [(self.epoch, rank) for rank in told.values()]
                figures = {"loss": self.curve[-1], **told}
                progress.step(**{name: f"{value:.4g}" for name, value in figures.items()})

    def _update(self, rows: Array, epochs: float) -> float:
        """Make the step that ends after so many epochs, and return the loss of its rows."""
        loss, gradient = self.loss(self.points.seen, rows, self.random)
        if not np.isfinite(loss):
            what, cure = "a finite loss", "Lower learning_rate, max_radius or the weights."
            raise GeoreduceError(expected(what, f"{loss} in epoch {self.epoch + 1}", cure))
        done = epochs / self.max_iter
        rate = self.schedule.rate_at(done)
        self.optimizer.begin()
        self.points.move(
            lambda rows: self.optimizer.step(gradient[rows], rate, rows),
            self.schedule.radius_at(done),
        )
        return float(loss)

    def _end(self, loss: float) -> None:
        """Count an epoch, tell whether it is an improvement, and keep its state."""
        self.epoch += 1
        self.curve.append(loss)
        if self.tol and self.epoch >= self.schedule.growth * self.max_iter:
            self.idle = 0 if loss < self.best * (1 - self.tol) else self.idle + 1
            self.best = min(self.best, loss)
        last = self.epoch == self.max_iter or self.idle == self.n_iter_no_change
        if self.checkpoint is not None and (last or self.epoch % self.checkpoint_interval == 0):
            arrays = {
                "x": self.points.x,
                "curve": np.array(self.curve),
                "stop": np.array([self.best, self.idle]),
            } | {f"optimizer_{name}": value for name, value in self.optimizer.state.items()}
            _checkpoints.write(self.checkpoint, arrays, self.random, self.key)

    def _resume(self, file: Path) -> None:
        arrays = _checkpoints.read(file, self.random, self.key)
        self.points.put(arrays["x"])
        self.curve = arrays["curve"].tolist()
        self.epoch = len(self.curve)
        self.best, self.idle = float(arrays["stop"][0]), int(arrays["stop"][1])
        for name in self.optimizer.state:
            self.optimizer.state[name] = arrays[f"optimizer_{name}"]
