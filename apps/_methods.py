"""What estimators of a kind have in common once they are fitted: clusters, and mixtures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from georeduce.engine import LazyTensor

from ._arrays import at_home, put, returned, validated, weighted_mean
from .common import Array, checked_weights, running

CHUNK = 1 << 19
"""Numbers in an array that NumPy works on at once."""


def checked(estimator: Any, X: Any) -> Array:
    """Return samples as an array of the features that an estimator was fitted to."""
    check_is_fitted(estimator)
    samples: Array = validated(estimator, X, reset=False)
    return samples


class Clusters(ABC):
    """Clusters that a sample belongs to by its nearest center."""

    labels_: Array
    _home: Any

    @abstractmethod
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Find the clusters."""

    @abstractmethod
    def _nearest(self, X: Array) -> tuple[Array, Array]:
        """Return what samples add to the inertia, and the indices of their nearest centers."""

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> Array:
        """Fit, and return the cluster of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.
        y : Ignored
            For pipelines.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights >= 0.

        Returns
        -------
        labels : array of shape (n_samples,)
            Indices, int32.
        """
        self.fit(X, sample_weight=sample_weight)
        labels: Array = returned(self.labels_, self._home)
        return labels

    @at_home
    def predict(self, X: Any) -> Array:
        """Return the index of the nearest center of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Indices, int32.
        """
        return self._nearest(checked(self, X))[1]

    @at_home
    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return minus the inertia of samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.
        y : Ignored
            For pipelines.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights >= 0.

        Returns
        -------
        score : float
            Minus the weighted sum of squared (or of cosine) distances to the nearest centers.
        """
        X = checked(self, X)
        weights = checked_weights(sample_weight, len(X))
        distances = self._nearest(X)[0]
        if weights is not None:
            distances = distances * put(weights, distances)
        return -float(distances.sum(dtype=np.float64))


class Mixture(ABC):
    """A density that is a sum of components."""

    n_components: int

    @abstractmethod
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Find the components."""

    @abstractmethod
    def score_samples(self, X: Any) -> Array:
        """Return the log-density of each sample."""

    @abstractmethod
    def _pairs(self, X: Array) -> LazyTensor:
        """Return the formula of weighted log-densities, with samples that are checked as rows."""

    @at_home
    def predict(self, X: Any) -> Array:
        """Return the most probable component of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Indices of components, the lowest if several are as probable.
        """
        labels = self._pairs(checked(self, X)).argmax(axis=1, **running(self))[:, 0]
        known: Array = np.maximum(labels, 0)  # -1 where all densities are NaN
        return known.astype(np.intp, copy=False)

    @at_home
    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each component for each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        resp : ndarray of shape (n_samples, n_components)
            Probabilities, which add up to 1 for each sample.
        """
        X = checked(self, X)
        result: Array = put(np.empty((len(X), self.n_components), X.dtype), X)
        size = max(1, CHUNK // (self.n_components * X.shape[1]))
        for start in range(0, len(X), size):
            log_density = self._pairs(X[start : start + size]).dense()
            log_density -= log_density.max(axis=1, keepdims=True)
            shares = np.exp(log_density, out=log_density)
            result[start : start + size] = shares / shares.sum(axis=1, keepdims=True)
        return result

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> Array:
        """Fit, and return the most probable component of each sample.

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
        labels : ndarray of shape (n_samples,)
            Indices of components.
        """
        self.fit(X, y, sample_weight)
        return self.predict(X)

    @at_home
    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the mean log-density of samples.

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
        log_likelihood : float
            Mean of ``score_samples``.
        """
        scores = self.score_samples(X)
        return weighted_mean(scores, checked_weights(sample_weight, len(scores)))


class InformationCriteria(Mixture):
    """A mixture whose parameters are those of largest likelihood, so that counting them tells."""

    @abstractmethod
    def _n_parameters(self) -> int:
        """Return how many numbers were found."""

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
