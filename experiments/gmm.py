"""Gaussian mixtures beside scikit-learn: iterations of EM, a grid search, memory; and a figure."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from tqdm import tqdm

from experiments import gmm_figure, gmm_grid, gmm_memory, harness
from georeduce.apps.gmm import GaussianMixture

Line = dict[str, Any]
ITERATIONS = 4
"""An iteration is what this many more of them take, divided: starts and ends of fits cancel."""
NEAR = 1e-6
"""How far lower bounds may be from scikit-learn's, relatively."""
ONCE = " once"
"""Ends the names of fits with a single iteration."""


@dataclass(frozen=True)
class Case:
    """Samples around as many points as there are components, which overlap.

    Attributes
    ----------
    name : str
        The case's name.
    n, D, K : int
        Samples, features, components.
    kind : str
        The covariance type.
    target : float or None
        What the ratio to scikit-learn must be at least.
    """

    name: str
    n: int
    D: int
    K: int
    kind: str
    target: float | None = None

    def quick(self) -> Case:
        return replace(self, n=self.n // 20)

    def samples(self) -> Any:
        rng = np.random.default_rng(0)
        centers = 2 * rng.standard_normal((self.K, self.D))
        noise = rng.standard_normal((self.n, self.D))
        return centers[rng.integers(0, self.K, self.n)] + noise

    def model(self, cls: Any, X: Any, iterations: int) -> Any:
        eye, ones = np.eye(self.D), np.ones((self.K, self.D))
        precisions = {
            "full": np.stack([eye] * self.K), "tied": eye, "diag": ones, "spherical": ones[:, 0],
        }[self.kind]  # fmt: skip
        return cls(
            self.K, covariance_type=self.kind, max_iter=iterations, tol=0, means_init=X[: self.K],
            weights_init=np.full(self.K, 1 / self.K), precisions_init=precisions,
        )  # fmt: skip


CASES = (
    Case("gmm-full-D10-K50", 100_000, 10, 50, "full", 12),
    Case("gmm-diag-D10-K50", 100_000, 10, 50, "diag", 8),
    Case("gmm-full-D3-K50", 100_000, 3, 50, "full", 15),
    Case("gmm-full-D50-K20", 50_000, 50, 20, "full", 4),
    Case("gmm-tied-D10-K50", 100_000, 10, 50, "tied"),
    Case("gmm-spherical-D10-K50", 100_000, 10, 50, "spherical"),
)


def check(found: dict[str, Any]) -> dict[str, float]:
    """Return how far lower bounds are from each other; raise if that is too far."""
    ours = np.asarray(found[harness.OURS].lower_bounds_)
    told = {}
    for name, other in found.items():
        if name == harness.OURS or name.endswith(ONCE):
            continue
        off = float(np.abs(ours / np.asarray(other.lower_bounds_) - 1).max())
        told[f"lower_bounds_off_{name}"] = off
        assert off <= NEAR, f"Expected lower bounds within {NEAR} of {name}'s, but got {off:.3g}."
    return told


def per_iteration(line: Line) -> dict[str, float]:
    """Return seconds of an iteration, ours and the peer's, and their ratio."""
    seconds = {harness.OURS: line["seconds"]}
    seconds |= {peer["name"]: peer["seconds"] for peer in line["peers"]}
    each = {
        name: (seconds[name] - seconds[name + ONCE]) / ITERATIONS
        for name in (harness.OURS, "scikit-learn")
    }
    return {
        "seconds_per_iteration": each[harness.OURS],
        "peer_seconds_per_iteration": each["scikit-learn"],
        "ratio": round(each["scikit-learn"] / each[harness.OURS], 3),
    }


def run(case: Case, **how: Any) -> Line:
    """Measure a case and return its line. A pair is a sample and a component in an iteration."""
    import sklearn.mixture

    X = case.samples()

    def fitted(cls: Any, iterations: int) -> Callable[[], Any]:
        model = case.model(cls, X, iterations)
        return lambda: model.fit(X)

    contestants = [
        harness.Contestant(name + once, fitted(cls, count), float(case.n) * case.K * count)
        for once, count in (("", 1 + ITERATIONS), (ONCE, 1))
        for name, cls in (
            (harness.OURS, GaussianMixture),
            ("scikit-learn", sklearn.mixture.GaussianMixture),
        )
    ]

    def more(line: Line) -> Line:
        told = per_iteration(line)
        return {**told, "target": case.target, "met": case.target and told["ratio"] >= case.target}

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return harness.compare(
            "gmm",
            case.name,
            contestants,
            sizes={"M": case.n, "N": case.K, "D": case.D, "iterations": 1 + ITERATIONS},
            dtype="float64",
            check=check,
            against=("scikit-learn",),
            more=more,
            **{"rounds": (3, 9), "seconds": 30.0, **how},
        )


def main(arguments: list[str]) -> int:
    """Measure all the cases, or those that were asked for, and draw the figure."""
    if (status := harness.with_peers_at_their_best("gmm", arguments)) is not None:
        return status
    asked = harness.parser(__doc__, "gmm").parse_args(arguments)
    memory = gmm_memory.CASES if gmm_memory.is_measured() else ()
    bar = tqdm(
        [case for case in (*CASES, *memory) if fnmatch(case.name, asked.case)],
        unit="case", disable=None,
    )  # fmt: skip
    for case in bar:
        bar.set_description(case.name)
        bar.write(f"{case.name:22} {told(case, asked.quick)}")
    if fnmatch(gmm_grid.CASE, asked.case):
        components = gmm_grid.COMPONENTS[:2] if asked.quick else gmm_grid.COMPONENTS
        line, found = gmm_grid.run(components, write=not asked.quick)
        print(
            f"{gmm_grid.CASE:22} {line['seconds']:.2f} s, ratio {line['ratio']:.2f}, best BIC"
            f" {line['bic']:.0f}: {line['best']}; scikit-learn's {line['peer_best']}"
        )
    else:
        found = None
    file = harness.ROOT / "out" / "gmm.png"
    file.parent.mkdir(exist_ok=True)
    gmm_figure.draw(file, found)
    print(f"Figure: {file.relative_to(harness.ROOT)}")
    return 0


def told(case: Case | gmm_memory.Case, quick: bool) -> str:
    """Measure a case and return what is to be said about it."""
    if isinstance(case, gmm_memory.Case):
        line = gmm_memory.run(case.quick() if quick else case, write=not quick)
        peers = "".join(f", {p['name']} {p['value'] / 1e6:.0f}" for p in line["peers"])
        return f"{line['value'] / 1e6:.0f} MB, limit {case.limit / 1e6:.0f}{peers}"
    how = {"seconds": 1.0, "write": False} if quick else {}
    line = run(case.quick() if quick else case, **how)
    each, peer = line["seconds_per_iteration"], line["peer_seconds_per_iteration"]
    return (
        f"{1e3 * each:8.2f} ms an iteration, scikit-learn {1e3 * peer:8.2f},"
        f" ratio {line['ratio']:6.2f}, target {case.target or '-'}"
    )
