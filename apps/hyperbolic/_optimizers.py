"""Steps from gradients, both in the unit frame: one class for each ``optimizer``.

It should be the case that, after ``begin``, ``step(gradient, rate, rows)`` returns a tangent vector
for each of some points, once for each point, whose length is the distance that the point moves; and
that an optimizer goes on exactly where another one was, from its `state`.

Knows neither losses nor how points are kept.
"""

from __future__ import annotations

import numpy as np

from ..common import Array
from ._arrays import squares

MEMORY, MEMORY_OF_SQUARES = 0.5, 0.99
EPS = 1e-8


class SGD:
    """Riemannian stochastic gradient descent (Bonnabel 2013), no step longer than its rate."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.state: dict[str, Array] = {}

    def begin(self) -> None:
        """Count an update."""

    def step(self, gradient: Array, rate: float, rows: slice) -> Array:
        lengths = np.sqrt(squares(gradient))
        found: Array = gradient * (-rate / np.maximum(lengths, 1))
        return found


class Adam:
    """Riemannian Adam (Bécigneul and Ganea 2019): one scale for each point, not each coordinate.

    Means of gradients are kept in the unit frame, which is what the ball's own coordinates make of
    parallel transport for the short steps of an optimizer.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.state = {
            "mean": np.zeros(shape),
            "mean_of_squares": np.zeros((shape[0], 1)),
            "count": np.zeros(()),
        }

    def begin(self) -> None:
        """Count an update."""
        self.state["count"] += 1

    def step(self, gradient: Array, rate: float, rows: slice) -> Array:
        mean, square = (self.state[name][rows] for name in ("mean", "mean_of_squares"))
        count = float(self.state["count"])
        mean *= MEMORY
        mean += (1 - MEMORY) * gradient
        square *= MEMORY_OF_SQUARES
        square += (1 - MEMORY_OF_SQUARES) * squares(gradient)
        scale = np.sqrt(square / (1 - MEMORY_OF_SQUARES**count)) + EPS
        found: Array = mean * (-rate / (1 - MEMORY**count) / scale)
        return found


OPTIMIZERS: dict[str, type[SGD] | type[Adam]] = {"adam": Adam, "sgd": SGD}
