"""K-means beside scikit-learn: the time of Lloyd's iteration, and of a greedy k-means++ start."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from tqdm import tqdm

from experiments import harness
from georeduce.apps.gmm import KMeans

Line = dict[str, Any]
DTYPES = ("float32", "float64")
ITERATIONS = 20
LABELS = 1e-3
"""Share of the labels that may differ after these: samples as near to one center as to another."""
SEEDS = 0.1
"""How much more, at most, one random start may leave of the inertia than another, relatively."""


@dataclass(frozen=True)
class Case:
    """Samples around as many points as there are clusters, which overlap.

    Attributes
    ----------
    name : str
        The case's name.
    n, D, K : int
        Samples, features, clusters.
    seeded : bool
        Whether k-means++ is measured, with one iteration, or `ITERATIONS` from given centers.
    target : float or None
        What the ratio to scikit-learn must be at least.
    """

    name: str
    n: int
    D: int
    K: int
    seeded: bool = False
    target: float | None = None

    def quick(self) -> Case:
        return replace(self, n=self.n // 50, K=self.K // 5)

    def samples(self, dtype: str) -> Any:
        rng = np.random.default_rng(0)
        centers = 1.5 * rng.standard_normal((self.K, self.D))
        noise = rng.standard_normal((self.n, self.D))
        return (centers[rng.integers(0, self.K, self.n)] + noise).astype(dtype)

    def model(self, cls: Any, X: Any) -> Any:
        how = {"init": "k-means++", "max_iter": 1, "random_state": 0}
        if not self.seeded:
            how = {"init": X[: self.K], "max_iter": ITERATIONS}
        return cls(self.K, n_init=1, tol=0, **how)


CASES = (
    Case("kmeans-D16-K100", 1_000_000, 16, 100, target=1.5),
    Case("kmeans-D2-K20", 1_000_000, 2, 20),
    Case("kmeans-D64-K1000", 50_000, 64, 1000),
    Case("kmeans-seeds-D16-K100", 1_000_000, 16, 100, seeded=True),
)


def check(case: Case, found: dict[str, Any]) -> dict[str, float]:
    """Return how far results are from each other; raise if that is too far."""
    ours = found[harness.OURS]
    told = {}
    for name, other in found.items():
        if name == harness.OURS:
            continue
        off = abs(ours.inertia_ / other.inertia_ - 1)
        told[f"inertia_off_{name}"] = off
        if case.seeded:
            assert off <= SEEDS, f"Expected inertias of {name} within {SEEDS}, but got {off:.3g}."
            continue
        apart = float((ours.labels_ != other.labels_).mean())
        told[f"labels_off_{name}"] = apart
        assert ours.n_iter_ == other.n_iter_, f"Expected as many iterations as {name}'s."
        assert apart <= LABELS, f"Expected {name}'s labels, but got {apart:.2%} others."
    return told


def run(case: Case, dtype: str, **how: Any) -> Line:
    """Measure a case and return its line. A pair is a sample and a center in an iteration."""
    import sklearn.cluster

    X = case.samples(dtype)
    pairs = float(case.n) * case.K * (1 if case.seeded else ITERATIONS)

    def fitted(cls: Any) -> Callable[[], Any]:
        model = case.model(cls, X)  # scikit-learn's algorithm is "lloyd" by default
        return lambda: model.fit(X)

    contestants = [
        harness.Contestant(harness.OURS, fitted(KMeans), pairs),
        harness.Contestant("scikit-learn", fitted(sklearn.cluster.KMeans), pairs),
    ]

    def more(line: Line) -> Line:
        per = {} if case.seeded else {"seconds_per_iteration": line["seconds"] / ITERATIONS}
        return {"target": case.target, "met": case.target and line["ratio"] >= case.target, **per}

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return harness.compare(
            "kmeans",
            case.name,
            contestants,
            sizes={"M": case.n, "N": case.K, "D": case.D, "iterations": ITERATIONS},
            dtype=dtype,
            check=lambda found: check(case, found),
            more=more,
            **{"rounds": (3, 9), "seconds": 30.0, **how},
        )


def main(arguments: list[str]) -> int:
    """Measure all the cases, or those that were asked for."""
    if (status := harness.with_peers_at_their_best("kmeans", arguments)) is not None:
        return status
    asked = harness.parser(__doc__, "kmeans").parse_args(arguments)
    cases = [case for case in CASES if fnmatch(case.name, asked.case)]
    bar = tqdm([(case, dtype) for case in cases for dtype in DTYPES], unit="case", disable=None)
    for case, dtype in bar:
        bar.set_description(f"{case.name} {dtype}")
        how = {"seconds": 1.0, "write": False} if asked.quick else {}
        line = run(case.quick() if asked.quick else case, dtype, **how)
        bar.write(f"{dtype} {harness.report(line)}")
    return 0
