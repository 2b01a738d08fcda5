"""The parameters of a mixture during EM, when components collapse, and how they start again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._arrays import put
from ..common import Array, to_host
from ._covariances import Covariance
from ._steps import EPS, Moments, Steps

EMPTY = "has no samples"


@dataclass(frozen=True)
class State:
    """Parameters in float64, means relative to a centre.

    Attributes
    ----------
    masses : ndarray of shape (K,)
        How many samples the components have.
    means : ndarray of shape (K, D)
        Means.
    covariances, factor : ndarray
        In the shapes of the covariance type; precisions are ``factor @ factor.T``.
    constants : ndarray of shape (K,)
        What the log-densities have besides half a squared distance.
    singular : ndarray of shape (K,) or (1,)
        Whether a covariance is at its floor.
    """

    masses: Array
    means: Array
    covariances: Array
    factor: Array
    constants: Array
    singular: Array


def normalisation(kind: Covariance, factor: Array, D: int) -> Array:
    """Return the logarithm of a Gaussian's density at its mean, for each component or for all."""
    logs: Array = kind.log_det(factor, D) - D / 2 * np.log(2 * np.pi)
    return logs


def collapsed(state: State, kind: Covariance, scale: float, reg_covar: float) -> dict[int, str]:
    """Return which components have collapsed, and what became of them.

    Parameters
    ----------
    state : State
        Parameters.
    kind : Covariance
        The covariance type.
    scale : float
        Mean variance of the features in the data.
    reg_covar : float
        What was added to variances.
    """
    K = len(state.masses)
    found = {}
    empty = state.masses <= 100 * EPS * state.masses.sum()
    singular = np.broadcast_to(state.singular, K)
    traces = _variances(state.covariances, kind, K)
    # reg_covar may itself be of the order of the data's variance
    points = (traces <= 1.001 * reg_covar) & (scale > 2 * reg_covar) & (not kind.tied)
    for k in range(K):
        if empty[k]:
            found[k] = EMPTY
        elif points[k]:
            found[k] = "stands on a single point"
        elif singular[k]:
            found[k] = "has a singular covariance, whose smallest variances were raised"
    return found


def _variances(covariances: Array, kind: Covariance, K: int) -> Array:
    """Return the mean variance of the features in each component."""
    each = covariances[None] if kind.tied else covariances
    if each.ndim == 3:
        each = np.diagonal(each, axis1=1, axis2=2)
    means = each.reshape(len(each), -1).mean(axis=1)
    return np.broadcast_to(means, K)


def reseeded(
    moments: Moments, kind: Covariance, lost: dict[int, str], steps: Steps, sums: Array, rng: Any
) -> Moments:
    """Return moments in which lost components start again where the mixture explains least.

    Each of them gets one of the samples with the smallest densities for its mean, the covariance of
    the data, and the share of one of K components.
    """
    lost_ones = list(lost)
    weights, sums = steps.weights, to_host(sums)
    scores = sums if weights is None else np.where(weights > 0, sums, np.inf)
    pool = min(len(scores), 10 * len(lost_ones))
    worst = np.argpartition(scores, pool - 1)[:pool]
    chosen = rng.choice(worst, size=len(lost_ones), replace=False)
    masses, means, scatter = (a.copy() for a in (moments.masses, moments.means, moments.scatter))
    share = steps.total / steps.K
    masses *= (steps.total - share * len(lost_ones)) / max(steps.total, 1e-300)
    if not kind.tied:
        scatter *= (masses / np.maximum(moments.masses, 1e-300))[:, None]
    samples = to_host(steps.X[put(chosen, steps.X)])
    means[lost_ones] = samples.astype(np.float64) - steps.centre
    masses[lost_ones] = share
    if not kind.tied:
        scatter[lost_ones] = steps.scatter * (share / steps.total)
    return replace(moments, masses=masses, means=means, scatter=scatter)
