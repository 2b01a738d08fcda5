"""Information criteria of a fitted mixture, by which the number of components is chosen."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._base import MixtureBase


class InformationCriteria(MixtureBase):
    """A mixture whose parameters are those of largest likelihood, so that counting them tells."""

    means_: Any

    def _n_parameters(self) -> int:
        K, D = self.means_.shape
        return int(self._kind.count(K, D) + K * D + K - 1)

    def bic(self, X: Any) -> float:
        """Return the Bayesian information criterion, the lower the better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        bic : float
            The criterion.
        """
        n = len(X)
        return float(-2 * self.score(X) * n + self._n_parameters() * np.log(n))

    def aic(self, X: Any) -> float:
        """Return Akaike's information criterion, the lower the better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        aic : float
            The criterion.
        """
        return float(-2 * self.score(X) * len(X) + 2 * self._n_parameters())
