r"""Where mass goes, given where it comes from: means, modes and samples of a plan's rows.

.. math:: p_{ij} = \mathrm{softmax}_j (v_j - C(x_i, y_j) / \varepsilon), \qquad
          v = g / \varepsilon + \log b

The potential of the sources is not in it, so that it is known for all points x: it is the plan
whose potential at x is a half step of Sinkhorn's algorithm (Pooladian & Niles-Weed 2021, Entropic
estimation of optimal transport maps, section 3).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_random_state

from georeduce.engine import LazyTensor, Vi, Vj
from georeduce.engine.arrays import cast

from .._arrays import native
from ..common import RANDOM_STATE
from ._arrays import at_home, namespace

if TYPE_CHECKING:
    from .plan import Plan

PARTS = 16
"""Into how many parts a pass of sampling cuts what is left of the columns."""


@dataclass(frozen=True, eq=False)
class Conditional:
    """The law of the column given the row of a plan: a matrix (..., n, N) that is not stored.

    Its rows sum up to 1, those of sources without weight too. A row is NaN if all its costs are
    infinite.

    Attributes
    ----------
    plan : Plan
        Whose it is.
    x : array of shape (..., n, D)
        Points of the rows.

    Examples
    --------
    >>> import numpy as np
    >>> from georeduce.apps.ot import Problem, solve
    >>> x, y = np.array([[0.0], [1.0]]), np.array([[5.0], [6.0]])
    >>> plan = solve(Problem(x, y, epsilon=0.5)).plan
    >>> new = plan.conditional(np.array([[0.1], [0.8]]))
    >>> new.mean().round(2)
    array([[5.17],
           [5.77]])
    >>> new.argmax()
    array([0, 1])
    >>> new.sample(random_state=0)
    array([0, 1])
    """

    plan: Plan
    x: Any = field(repr=False)
    _y: Any = field(repr=False)
    _v: Any = field(repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """(..., n, N)."""
        return (*self.x.shape[:-1], self._y.shape[-2])

    @cached_property
    def matrix(self) -> LazyTensor:
        """The probabilities as a LazyTensor (..., n, N), in the dtype of the plan's pairs."""
        p: LazyTensor = (self._exponents - Vi(self.totals[..., None])).exp()
        return p

    def mean(self, values: Any = None) -> Any:
        """Return means of values under the law: the barycentric map.

        Parameters
        ----------
        values : array of shape (N,) or (..., N, E), optional
            Values of the columns; by default their points.

        Returns
        -------
        array of shape (..., n) or (..., n, E)
            In the dtype of the points.
        """
        values = self._y if values is None else values
        weight = self.plan.values(values)
        found = self._exponents.sumsoftmaxweight(weight, axis=len(self.shape) - 1)
        return self.plan.returned(found[..., 0] if values.ndim == 1 else found)

    def argmax(self) -> Any:
        """Return the likeliest column of each row: integers of shape (..., n)."""
        return self._exponents.argmax(axis=len(self.shape) - 1)[..., 0]

    def sample(self, random_state: Any = None) -> Any:
        """Draw a column for each row.

        Cumulative probabilities are sums over columns up to a number, of which a reduction
        computes several at once: the columns that are left fall to a 16th with each. Nothing larger
        than 16 numbers for each row is stored, and no pair is approximated.

        Parameters
        ----------
        random_state : int, RandomState or None
            Draws one uniform number for each row.

        Returns
        -------
        array of integers, of shape (..., n)
            Columns; -1 where there is no law.
        """
        RANDOM_STATE.check("random_state", random_state)
        axis, N = len(self.shape) - 1, self.shape[-1]
        x, y, dtype = native(self.x), native(self._y), self.plan.widest
        xp = namespace(x)
        drawn = check_random_state(random_state).random_sample(self.shape[:-1])
        # in float64, as float32 would not tell the columns apart where they are a million
        exponents = Vj(cast(self._v, dtype)[..., None]) - self.plan.costs_of(x, y, dtype)
        totals = exponents.logsumexp(axis=axis)
        numbers = Vj(xp.arange(N, dtype=dtype)[:, None])
        upto = xp.empty((*self.shape[:-1], PARTS), dtype)
        # as booleans are 0 and 1, a product is a sum over the columns up to a threshold
        cumulative = (exponents - Vi(totals)).exp() * (numbers <= Vi(upto))
        low = xp.full((*self.shape[:-1], 1), -1, dtype)
        high = xp.full_like(low, N - 1.0)
        share = None
        while bool((high - low > 1).any()) or share is None:
            upto[...] = low + xp.ceil((high - low) * (xp.arange(1, PARTS + 1) / PARTS))
            sums = cumulative.sum(axis=axis)
            if share is None:
                share = xp.asarray(drawn)[..., None] * sums[..., -1:]
            below = sums <= share
            low = xp.where(below, upto, low).max(axis=-1, keepdims=True)
            high = xp.where(below, high, upto).min(axis=-1, keepdims=True)
        found = xp.where(xp.isfinite(totals), high, -1)
        return at_home(found[..., 0].astype(np.int64), self.x)

    def dense(self) -> Any:
        """Return all probabilities, as an array (..., n, N), if they are not too many.

        Raises
        ------
        ShapeError
            If there are more than 2^26.
        """
        self.plan.check_small(self.shape)
        return self.plan.returned(self.matrix.dense())

    @cached_property
    def _exponents(self) -> LazyTensor:
        dtype = self.plan.dtype
        v = cast(at_home(self._v, self._y), dtype)[..., None]
        exponents: LazyTensor = Vj(v) - self.plan.costs_of(self.x, self._y, dtype)
        return exponents

    @cached_property
    def totals(self) -> Any:
        """Logarithms (..., n) of what probabilities are divided by."""
        return self._exponents.logsumexp(axis=len(self.shape) - 1)[..., 0]
