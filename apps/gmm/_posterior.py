"""The posterior of a mixture with priors: its state, and its lower bound of the evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import digamma, gammaln

from ..common import Array
from ._covariances import Covariance
from ._state import State, normalisation
from ._weights import WeightPrior


@dataclass(frozen=True)
class BayesianState(State):
    """Parameters of the posterior; masses are those of the samples.

    Attributes
    ----------
    concentration : tuple of ndarray, or ndarray
        Of the weights.
    mean_precision : ndarray of shape (K,)
        How many samples the means are worth.
    degrees : ndarray of shape (K,) or ()
        Degrees of freedom of the Wishart distributions.
    """

    concentration: Any
    mean_precision: Array
    degrees: Array


def posterior(
    kind: Covariance,
    prior: WeightPrior,
    masses: Array,
    means: Array,
    covariances: Array,
    factor: Array,
    singular: Array,
    concentration: Any,
    beta: Array,
    degrees: Array,
) -> BayesianState:
    """Return a state, with the constants of the expected log-densities.

    `beta` is how many samples the means are worth.
    """
    D = means.shape[1]
    halves = (np.expand_dims(degrees, -1) - np.arange(D)) / 2
    log_lambda = D * np.log(2) + digamma(halves).sum(axis=-1)
    constants = (
        prior.log_mean(concentration)
        + normalisation(kind, factor, D)
        - D / 2 * np.log(degrees)
        + (log_lambda - D / beta) / 2
    )
    return BayesianState(
        masses, means, covariances, factor, constants, singular, concentration, beta,
        np.asarray(degrees),
    )  # fmt: skip


def evidence(kind: Covariance, prior: WeightPrior, state: BayesianState, entropy: float) -> float:
    """Return the lower bound of the log-evidence, up to a constant, as scikit-learn's does."""
    K, D = state.means.shape
    degrees = state.degrees
    log_det = kind.log_det(state.factor, D) - D / 2 * np.log(degrees)
    halves = (np.expand_dims(degrees, -1) - np.arange(D)) / 2
    log_wishart = -(degrees * log_det + degrees * D / 2 * np.log(2) + gammaln(halves).sum(axis=-1))
    total = log_wishart.sum() * (K if kind.tied else 1)
    weights = prior.log_norm(state.concentration)
    return float(entropy - total - weights - D / 2 * np.log(state.mean_precision).sum())
