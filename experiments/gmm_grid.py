"""Which mixture of the digits is best: a grid search by BIC, beside scikit-learn's mixtures.

All digits are fitted and scored: what a criterion takes off for parameters stands for samples that
are held out.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from experiments import harness
from georeduce.apps.gmm import GaussianMixture

Line = dict[str, Any]
CASE = "gmm-grid-digits"
FEATURES = 16
"""Principal components, which have 85 % of the variance; a few of the 64 pixels are constant."""
COMPONENTS = (5, 10, 15, 20, 30, 40, 60)
TYPES = ("full", "tied", "diag", "spherical")
NEAR = 0.02
"""How far the best criteria may be from each other, relatively: k-means start elsewhere."""


def digits() -> Any:
    """Return all digits, (1797, FEATURES)."""
    return PCA(FEATURES, random_state=0).fit_transform(load_digits().data)


def minus_bic(model: Any, X: Any) -> float:
    return -float(model.bic(X))


def search(cls: Any, X: Any, components: tuple[int, ...] = COMPONENTS) -> Any:
    """Return the fitted grid search over mixtures of a class."""
    everything = np.arange(len(X))
    return GridSearchCV(
        cls(random_state=0),
        {"covariance_type": TYPES, "n_components": components},
        scoring=minus_bic,
        cv=[(everything, everything)],
    ).fit(X)


def criteria(found: Any) -> Any:
    """Return the criteria, in the order of TYPES and of the numbers of components."""
    return -found.cv_results_["mean_test_score"].reshape(len(TYPES), -1)


def check(results: dict[str, Any]) -> dict[str, float]:
    """Return how far the best criterion is from that of the peers; raise if that is too far."""
    told = {}
    ours = results[harness.OURS].best_score_
    for name, found in results.items():
        if name != harness.OURS:
            off = float(abs(ours / found.best_score_ - 1))
            told[f"best_bic_off_{name}"] = off
            assert off <= NEAR, f"Expected a BIC within {NEAR} of {name}'s, but got {off:.3g}."
    return told


def run(components: tuple[int, ...] = COMPONENTS, **how: Any) -> tuple[Line, Any]:
    """Measure the search; return its line, and what ours found."""
    import sklearn.mixture

    X = digits()
    found = {}

    def searched(cls: Any) -> Callable[[], Any]:
        def call() -> Any:
            found[cls] = search(cls, X, components)
            return found[cls]

        return call

    pairs = float(len(X) * sum(components) * len(TYPES))  # in one iteration of each candidate
    contestants = [
        harness.Contestant(harness.OURS, searched(GaussianMixture), pairs),
        harness.Contestant("scikit-learn", searched(sklearn.mixture.GaussianMixture), pairs),
    ]

    def more(line: Line) -> Line:
        best = found[GaussianMixture]
        peer = found[sklearn.mixture.GaussianMixture]
        return {"best": best.best_params_, "bic": -best.best_score_, "peer_best": peer.best_params_}

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        line = harness.compare(
            "gmm",
            CASE,
            contestants,
            sizes={"M": len(X), "N": max(components), "D": FEATURES},
            dtype="float64",
            check=check,
            more=more,
            **{"rounds": (2, 2), "seconds": 0.0, **how},
        )
    return line, found[GaussianMixture]
