r"""The half step of Sinkhorn's algorithm, a log-sum-exp over pairs.

.. math:: T(g)_i = -\varepsilon \log \sum_j \exp(\log b_j + (g_j - C_{ij}) / \varepsilon)

(Feydy, Séjourné, Vialard, Amari, Trouvé & Peyré 2019, Interpolating between optimal transport and
MMD using Sinkhorn divergences, equation 10). Potentials are in float64, pairs in the dtype of the
points.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from georeduce.engine import Vi, Vj
from georeduce.engine.errors import expected

from ..common import ParameterError
from ._arrays import namespace
from .costs import Cost

SIDES = {"x": -2, "y": -1}
"""The axis of (..., M, N) along which the points of a side lie."""


class Softmin:
    """A half step from one side to the other: a formula that is built once and filled anew.

    It is infinite for a point all of whose costs are: no mass reaches it, and what it sends nowhere
    is left out of the half steps back (`leave_out`).

    Parameters
    ----------
    cost : Cost
    x, y : array of shape (..., M, D), (..., N, D)
        Points of both sides, of NumPy or CuPy.
    weights : array of shape (..., M) or (..., N)
        Of the points of the side `over`.
    epsilon : float
    over : {"x", "y"}
        The side that is summed over; the half step has a number for each point of the other.
    how : dict
        Keywords of the reduction.
    """

    def __init__(
        self, cost: Cost, x: Any, y: Any, weights: Any, epsilon: float, over: str, how: Any
    ) -> None:
        points = x if over == "x" else y
        xp = namespace(points)
        self.epsilon, self.how = epsilon, how
        self.axis = x.ndim + SIDES[over]
        with np.errstate(divide="ignore"):
            self.log_weights = xp.log(weights)
        self._input = xp.empty((*points.shape[:-1], 1), points.dtype)
        variable = Vi(self._input) if over == "x" else Vj(self._input)
        self._formula = variable - cost.between(x, y) * (1 / epsilon)

    def __call__(self, h: Any) -> Any:
        """Return T(h) of a potential of the side that is summed over."""
        xp = namespace(h)
        exponents = self.log_weights + h / self.epsilon
        # the largest one goes by itself: what is left has the digits that matter
        top = exponents.max(axis=-1, keepdims=True)
        top = xp.where(xp.isfinite(top), top, 0)
        self._input[..., 0] = exponents - top
        sums = self._formula.logsumexp(axis=self.axis, **self.how)[..., 0]
        result = -self.epsilon * (sums.astype(np.float64) + top)
        if not bool(result.min() > -np.inf):
            what = "a cost that is a number for each pair, or infinite"
            cure = "Is it defined everywhere? If it overflows, use other units."
            raise ParameterError(expected(what, "NaN or minus infinity", cure))
        return result

    def leave_out(self, which: Any) -> None:
        """Let points, (..., M) or (..., N) of truth values, not count from now on."""
        if bool(which.any()):
            self.log_weights = namespace(which).where(which, -np.inf, self.log_weights)
