"""Kernel density estimates beside scikit-learn's exact evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from tqdm import tqdm

from experiments import harness
from georeduce.apps.gmm import KernelDensity
from georeduce.apps.gmm._kernels import KERNELS, log_norm

Line = dict[str, Any]
ROWS = 500
"""Queries that scikit-learn gets: it takes some 2 ms for each, on one thread."""
CHECKED = 50
NEAR = 1e-10
"""How far log-densities may be from those of all distances in NumPy."""


@dataclass(frozen=True)
class Case:
    """Normal samples, and as many queries of the same density.

    Attributes
    ----------
    name : str
        The case's name.
    kernel : str
        Its kernel.
    n, D : int
        Samples and queries, features.
    h : float
        Bandwidth.
    target : float or None
        What the ratio to scikit-learn must be at least.
    """

    name: str
    kernel: str
    n: int = 100_000
    D: int = 3
    h: float = 0.2
    target: float | None = None

    def quick(self) -> Case:
        return replace(self, n=self.n // 20)

    def exact(self, queries: Any, X: Any) -> Any:
        """Return the log-densities of the Gaussian and the exponential kernel, by NumPy."""
        u = cdist(queries, X) / self.h
        logs = -(u**2) / 2 if self.kernel == "gaussian" else -u
        whole = np.log(len(X)) + log_norm(KERNELS[self.kernel], "euclidean", self.h, self.D)
        return logsumexp(logs, axis=1) - whole


CASES = (
    Case("kde-gaussian-D3", "gaussian", target=10.0),
    Case("kde-gaussian-D10", "gaussian", D=10, h=0.5),
    Case("kde-exponential-D3", "exponential"),
)


def run(case: Case, **how: Any) -> Line:
    """Measure a case and return its line."""
    import sklearn.neighbors

    rng = np.random.default_rng(0)
    X, queries = (rng.standard_normal((case.n, case.D)) for _ in range(2))
    few = queries[:ROWS]

    def scored(cls: Any, queries: Any) -> Callable[[], Any]:
        model = cls(kernel=case.kernel, bandwidth=case.h).fit(X)
        return lambda: model.score_samples(queries)

    peer = sklearn.neighbors.KernelDensity
    contestants = [
        harness.Contestant(harness.OURS, scored(KernelDensity, queries), float(case.n) ** 2),
        harness.Contestant("scikit-learn", scored(peer, few), float(len(few)) * case.n),
    ]

    def check(found: dict[str, Any]) -> dict[str, float]:
        true = case.exact(few[:CHECKED], X)
        off = {name: float(np.abs(r[:CHECKED] / true - 1).max()) for name, r in found.items()}
        ours = off[harness.OURS]
        assert ours <= NEAR, f"Expected log-densities within {NEAR}, but got {ours:.3g}."
        return {f"log_density_off_{name}": value for name, value in off.items()}

    return harness.compare(
        "kde",
        case.name,
        contestants,
        sizes={"M": case.n, "N": case.n, "D": case.D},
        dtype="float64",
        check=check,
        more=lambda line: {
            "target": case.target,
            "met": case.target and line["ratio"] >= case.target,
        },
        **{"rounds": (3, 9), "seconds": 30.0, **how},
    )


def main(arguments: list[str]) -> int:
    """Measure all the cases, or those that were asked for."""
    asked = harness.parser(__doc__, "kde").parse_args(arguments)
    bar = tqdm([case for case in CASES if fnmatch(case.name, asked.case)], disable=None)
    for case in bar:
        bar.set_description(case.name)
        how = {"seconds": 1.0, "write": False} if asked.quick else {}
        bar.write(harness.report(run(case.quick() if asked.quick else case, **how)))
    return 0
