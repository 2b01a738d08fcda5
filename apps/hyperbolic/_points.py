"""The points that are learnt, in the coordinates of a model of the space.

Knows neither losses nor optimizers: points are seen as `Points` of the ball and moved by vectors of
the unit frame.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..common import Array
from ._arrays import FLOAT64, squares
from ._model import Features
from ._pairs import RESOLVED, Points
from ._space import HyperbolicSpace
from ._workers import ALONE, Workers
from .ball import PoincareBall


class Placed:
    """Points of a model in float64, which do not leave a ball around the origin.

    Parameters
    ----------
    space : HyperbolicSpace
        The model, of curvature -1.
    x : array of shape (n, D), or (n, D + 1) on the hyperboloid
        Coordinates.
    radius : float
        The largest distance from the origin that points will have.
    workers : Workers
        For steps.

    Attributes
    ----------
    seen : Points
        The points as reductions see them: in float32, where that tells neighbours apart.
    """

    seen: Points

    def __init__(
        self, space: HyperbolicSpace, x: Array, radius: float, workers: Workers = ALONE
    ) -> None:
        space.features(x)  # raises for what is no point
        self.space, self.workers = space, workers
        self.dtype = np.float32 if radius <= RESOLVED else np.float64
        self.put(x)

    def put(self, x: Array) -> None:
        """Take coordinates, of points of the model."""
        self.x = x.astype(np.float64)
        ball, gap = self.space._to_ball(self._features(slice(None)))
        self.seen = Points(ball.astype(self.dtype), (1 / gap).astype(self.dtype))

    def _features(self, rows: slice) -> Features:
        """Return the features of points, with no more digits than float64 has.

        A model's own have more of ``1 - |x|^2``, which matters nearer to the border than this.
        """
        x = self.x[rows]
        if isinstance(self.space, PoincareBall):
            return x, 1 - squares(x)
        return self.space._features(x)

    def move(self, step: Callable[[slice], Array], radius: float) -> None:
        """Move along geodesics by vectors (n, D) in the unit frame, up to a radius.

        The vectors are asked for by rows.
        """
        least = np.cosh(radius / 2) ** -2

        def part(rows: slice) -> None:
            self.x[rows] = self._inside(self.space._exp(self._features(rows), step(rows)))
            ball, gap = self.space._to_ball(self._features(rows))
            beyond = gap[:, 0] < least
            if beyond.any():
                far = ball[beyond]
                far *= np.tanh(radius / 2) / np.linalg.norm(far, axis=1, keepdims=True)
                back = self.space._from_ball((far, np.full((len(far), 1), least)))
                self.x[rows][beyond] = self._inside(back)
                ball, gap = self.space._to_ball(self._features(rows))
            self.seen.x[rows], self.seen.h[rows] = ball, 1 / gap

        self.workers(part, len(self.x), self.x.shape[1])
        self.seen = Points(self.seen.x, self.seen.h)

    def _inside(self, x: Array) -> Array:
        """Return what formulas give as points of the model: in the ball they are, short of it."""
        closed: Array = x if isinstance(self.space, PoincareBall) else self.space._close(x, FLOAT64)
        return closed
