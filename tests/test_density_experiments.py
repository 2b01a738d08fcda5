"""The benchmarks of k-means, kernel densities and mixtures: they run, and refuse wrong results."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from experiments import gmm, gmm_figure, gmm_grid, gmm_memory, harness, kde, kmeans, plot

TINY: Any = {"rounds": (2, 2), "seconds": 0}


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder, in which what is measured is kept."""
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    return tmp_path


@pytest.mark.parametrize("seeded", [False, True], ids=["iterations", "seeds"])
def test_kmeans(seeded: bool, results: Path) -> None:
    case = replace(kmeans.CASES[0], n=3000, D=2, K=5, seeded=seeded)
    line = kmeans.run(case, "float64", **TINY)
    assert next(iter(harness.results())) == json.loads(json.dumps(line))
    assert line["peer"] == "scikit-learn"
    assert line["target"] == 1.5
    assert line["pairs"] == 3000 * 5 * (1 if seeded else kmeans.ITERATIONS)


def test_kmeans_refuses_other_clusters() -> None:
    case = kmeans.CASES[0]

    def found(labels: Any, n_iter: int = 20) -> Any:
        return SimpleNamespace(labels_=np.asarray(labels), n_iter_=n_iter, inertia_=1.0)

    ours = {harness.OURS: found([0, 1, 1])}
    assert kmeans.check(case, {**ours, "peer": found([0, 1, 1])})["labels_off_peer"] == 0
    with pytest.raises(AssertionError, match="Expected peer's labels"):
        kmeans.check(case, {**ours, "peer": found([0, 1, 0])})
    with pytest.raises(AssertionError, match="as many iterations"):
        kmeans.check(case, {**ours, "peer": found([0, 1, 1], 19)})
    seeded = replace(case, seeded=True)
    worse = found([0, 0, 0])
    worse.inertia_ = 2.0
    with pytest.raises(AssertionError, match="Expected inertias of peer within"):
        kmeans.check(seeded, {**ours, "peer": worse})


def test_kde(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = replace(kde.CASES[0], n=200)
    line = kde.run(case, **TINY)
    assert next(iter(harness.results())) == json.loads(json.dumps(line))
    assert line["accuracy"]["log_density_off_scikit-learn"] <= kde.NEAR
    monkeypatch.setattr(kde.Case, "exact", lambda *args: np.ones(kde.CHECKED))
    with pytest.raises(AssertionError, match="Expected log-densities within"):
        kde.run(case, **TINY)


def test_gmm(results: Path) -> None:
    case = replace(gmm.CASES[2], n=2000, K=5)
    line = gmm.run(case, **TINY)
    assert next(iter(harness.results())) == json.loads(json.dumps(line))
    assert line["accuracy"]["lower_bounds_off_scikit-learn"] <= gmm.NEAR
    assert "| EM, full covariances | 2,000 x 5 | 3 | float64 |" in plot.render()
    seconds = {"georeduce once": 1.0, "scikit-learn": 9.0, "scikit-learn once": 1.0}
    peers = [{"name": name, "seconds": s} for name, s in seconds.items()]
    assert gmm.per_iteration({"seconds": 2.0, "peers": peers})["ratio"] == 8


def test_gmm_refuses_other_bounds() -> None:
    ours, peer = SimpleNamespace(lower_bounds_=[-3.0]), SimpleNamespace(lower_bounds_=[-3.1])
    with pytest.raises(AssertionError, match="Expected lower bounds within"):
        gmm.check({harness.OURS: ours, "peer": peer})


def test_gmm_figure(tmp_path: Path) -> None:
    gmm_figure.draw(tmp_path / "gmm.png", n=300, K=3)
    assert (tmp_path / "gmm.png").stat().st_size > 0


def test_gmm_grid(results: Path, tmp_path: Path) -> None:
    line, found = gmm_grid.run((2, 4), **TINY)
    assert next(iter(harness.results())) == json.loads(json.dumps(line))
    assert gmm_grid.criteria(found).min() == line["bic"]
    assert gmm_grid.criteria(found).shape == (len(gmm_grid.TYPES), 2)
    gmm_figure.draw(tmp_path / "gmm.png", found, n=300, K=3)
    assert (tmp_path / "gmm.png").stat().st_size > 0
    worse = SimpleNamespace(best_score_=1.1 * found.best_score_)
    with pytest.raises(AssertionError, match="Expected a BIC within"):
        gmm_grid.check({harness.OURS: found, "peer": worse})


@pytest.mark.skipif(not gmm_memory.is_measured(), reason="only Linux tells the peak of a process")
@pytest.mark.parametrize("case", gmm_memory.CASES, ids=lambda case: case.name)
def test_gmm_memory(case: gmm_memory.Case, results: Path) -> None:
    line = gmm_memory.run(replace(case, n=2000, K=4, peers=()))
    assert next(iter(harness.results())) == json.loads(json.dumps(line))
    assert (line["unit"], line["limit"]) == ("bytes", case.limit)
    assert line["within"]
    assert f"| {plot.NAMES[case.name]} |" in plot.render()
