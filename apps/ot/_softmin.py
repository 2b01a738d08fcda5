r"""The half steps of Sinkhorn's algorithm, each one log-sum-exp over pairs.

.. math:: T_\varepsilon(g)_i = -\varepsilon \log \sum_j \exp(\log b_j + (g_j - C_{ij}) / \varepsilon)

(Feydy, Séjourné, Vialard, Amari, Trouvé & Peyré 2019, Interpolating between optimal transport and
MMD using Sinkhorn divergences, equation 10). Potentials are in float64, pairs in the dtype that the
half steps are made for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._arrays import namespace, native
from .problem import Problem


class Softmin:
    """Both half steps of a problem: formulas that are built once, whose arrays are filled anew.

    Parameters
    ----------
    problem : Problem
        With its epsilon.
    dtype : dtype
        In which pairs are computed.
    how : dict
        Keywords of the reductions.
    """

    def __init__(self, problem: Problem, dtype: Any, how: dict[str, Any]) -> None:
        from georeduce.engine import Vi, Vj

        x, y = (native(points).astype(dtype, copy=False) for points in (problem.x, problem.y))
        xp = namespace(x)
        self.epsilon, self.how, self.axis = problem.epsilon, how, x.ndim - 2
        with np.errstate(divide="ignore"):
            self.log_a, self.log_b = xp.log(problem.a), xp.log(problem.b)
        self.rows = xp.empty((*x.shape[:-1], 1), dtype)
        self.columns = xp.empty((*y.shape[:-1], 1), dtype)
        exponents = problem.cost.between(x, y) * (1 / self.epsilon)
        self._along_x = Vj(self.columns) - exponents
        self._along_y = Vi(self.rows) - exponents

    def along_x(self, g: Any) -> Any:
        """Return T(g), a number for each point x, of a potential (..., N) of the points y."""
        return self._fold(self._along_x, self.columns, self.log_b, g, self.axis + 1)

    def along_y(self, f: Any) -> Any:
        """Return T(f), a number for each point y, of a potential (..., M) of the points x."""
        return self._fold(self._along_y, self.rows, self.log_a, f, self.axis)

    def _fold(self, formula: Any, inputs: Any, log_weights: Any, h: Any, axis: int) -> Any:
        exponents = log_weights + h / self.epsilon
        # the largest one goes by itself: what is left has the digits that matter
        top = exponents.max(axis=-1, keepdims=True)
        inputs[..., 0] = exponents - top
        sums = formula.logsumexp(axis=axis, **self.how)[..., 0]
        return -self.epsilon * (sums.astype(np.float64) + top)
