"""The priors of a mixture's weights: one class each, and what their posteriors say."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from scipy.special import betaln, digamma, gammaln

from ..common import Array


class WeightPrior(ABC):
    """One prior of the weights: of concentration a, from the masses n of the components.

    It should be the case that ``concentration`` are the parameters of the posterior, two of a beta
    distribution for a stick's pieces, or those of a Dirichlet distribution twice; that ``log_mean``
    is the expected logarithm of the weights and ``mean`` their expectation; and ``log_norm`` the
    logarithm of the posterior's normalisation.
    """

    name: ClassVar[str]

    @abstractmethod
    def concentration(self, n: Array, a: float) -> Any:
        """Return the parameters of the posterior."""

    @abstractmethod
    def log_mean(self, c: Any) -> Array:
        """Return the expected logarithms of the weights."""

    @abstractmethod
    def mean(self, c: Any) -> Array:
        """Return the expected weights."""

    @abstractmethod
    def log_norm(self, c: Any) -> float:
        """Return the logarithm of the posterior's normalisation."""


class DirichletProcess(WeightPrior):
    """A stick of which each component breaks off a share, beta(1, a) a priori."""

    name = "dirichlet_process"

    def concentration(self, n: Array, a: float) -> Any:
        after = np.append(np.cumsum(n[::-1])[-2::-1], 0)
        return 1 + n, a + after

    def log_mean(self, c: Any) -> Array:
        broken, left = (digamma(part) - digamma(c[0] + c[1]) for part in c)
        logs: Array = broken + np.append(0, np.cumsum(left)[:-1])
        return logs

    def mean(self, c: Any) -> Array:
        total = c[0] + c[1]
        weights = c[0] / total * np.append(1, np.cumprod(c[1] / total)[:-1])
        normalised: Array = weights / weights.sum()
        return normalised

    def log_norm(self, c: Any) -> float:
        return -float(betaln(*c).sum())


class DirichletDistribution(WeightPrior):
    """A symmetric Dirichlet distribution."""

    name = "dirichlet_distribution"

    def concentration(self, n: Array, a: float) -> Any:
        return a + n

    def log_mean(self, c: Any) -> Array:
        logs: Array = digamma(c) - digamma(c.sum())
        return logs

    def mean(self, c: Any) -> Array:
        weights: Array = c / c.sum()
        return weights

    def log_norm(self, c: Any) -> float:
        return float(gammaln(c.sum()) - gammaln(c).sum())


WEIGHT_PRIORS: dict[str, WeightPrior] = {
    prior.name: prior for prior in (DirichletProcess(), DirichletDistribution())
}
