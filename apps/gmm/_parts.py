"""Mixtures without a fit of all samples at once: in chunks, or from given parameters."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from .._arrays import at_home, validated
from .._progress import Progress
from ..common import Array, check_parameters, to_host
from ._base import MixtureBase
from ._given import forget
from ._state import State
from ._steps import Steps, centre_of

CHUNK_ROWS = 1 << 17
"""Samples of one step of ``partial_fit``."""
DECAY = 0.6
"""The t-th step of ``partial_fit`` moves the moments by t ** -DECAY."""


class InParts(MixtureBase):
    """A mixture that learns from chunks of samples, by moments that are averaged."""

    means_: Array

    @at_home
    def partial_fit(self: Self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Improve the mixture by some samples, of which none need be seen again.

        Stepwise EM: the moments under the responsibilities of a chunk of samples are averaged with
        those of the chunks before, the t-th with the weight :math:`t^{-0.6}`, and count as those of
        all samples seen so far (Cappé and Moulines 2009; with priors it is the stochastic
        variational inference of Hoffman et al. 2013). The first chunk is fitted as by `fit`, and
        priors that are those of the data are those of its samples. Long arrays are taken in
        chunks, so that one that is mapped from a file may be larger than memory.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.
        y : Ignored
            For scikit-learn's interface.
        sample_weight : array-like of shape (n_samples,), default=None
            How often each sample counts.

        Returns
        -------
        self : InParts
            The mixture.
        """
        check_parameters(self, self._rules)
        n = len(X)
        if n <= CHUNK_ROWS:
            self._step(X, sample_weight)
            return self
        how = self.verbose, self.verbose_interval, "Chunk"
        with Progress("Chunks", -(-n // CHUNK_ROWS), *how) as progress:
            for start in range(0, n, CHUNK_ROWS):
                at = slice(start, start + CHUNK_ROWS)
                weights = None if sample_weight is None else np.asarray(to_host(sample_weight))[at]
                before: float = getattr(self, "lower_bound_", -np.inf)
                self._step(X[at], weights)
                forget(X)
                change = self.lower_bound_ - before
                progress.step(bound=f"{self.lower_bound_:.5f}", change=f"{change:.1e}")
        return self

    def _step(self, X: Any, sample_weight: Any) -> None:
        """Do one step of stepwise EM."""
        if not hasattr(self, "means_"):
            self.fit(X, sample_weight=sample_weight)
        X = validated(self, X, dtype=self.means_.dtype, reset=False)
        weights = self._weights_of(X, sample_weight)
        kept: Any = getattr(self, "_statistics", None)
        known = kept is not None and kept[2] is self.means_  # not from before another fit
        centre = kept[3] if known else centre_of(X)
        steps = self._steps(X, centre, weights)
        self._resume(steps)
        state = self._recall(centre)
        steps.load(state.means, state.factor, state.constants)
        sums = steps.expectation()
        moments = steps.maximization()
        new, t, seen = moments.scaled(1 / steps.total), 1, steps.total
        if known:
            t, seen = kept[1] + 1, kept[4] + seen
            new = kept[0].blended(new, t**-DECAY, self._kind)
        state = self._updated(new.scaled(seen), self._floor(steps), steps.eps, state)
        self._publish(state, centre, X.dtype)
        entropy = moments.entropy * seen / steps.total
        self.lower_bound_ = self._bound(state, steps.mean(sums), entropy)
        self._statistics = (new, t, self.means_, centre, seen)

    def _resume(self, steps: Steps) -> None:
        """Make ready what an update needs besides the moments."""

    def _as_given(self: Self, state: State, dtype: Any) -> Self:
        """Return the mixture as if it had been fitted, with a state relative to the origin."""
        D = state.means.shape[1]
        self._publish(state, np.zeros(D), dtype)
        self.n_features_in_ = D
        self.converged_, self.n_iter_ = True, 0
        self.lower_bound_, self.lower_bounds_ = -np.inf, []
        return self
