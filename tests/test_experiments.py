"""The benchmarks: they measure as they say, write what they measure, and refuse wrong results."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import harness, kernels, knn, plot
from experiments.__main__ import experiments

ROOT = Path(__file__).resolve().parents[1]
FIELDS = {"commit", "machine", "versions", "sizes", "dtype", "seconds", "gpairs_per_s", "peers"}


def test_list_names_every_experiment() -> None:
    assert {"kernels", "knn", "budgets", "plot"} <= set(experiments())
    assert "harness" not in experiments()


def test_contestants_take_turns() -> None:
    calls: list[str] = []
    contestants = [
        harness.Contestant(name, lambda name=name: calls.append(name), 1) for name in ("a", "b")
    ]
    timings = harness.measure(contestants, rounds=(3, 5), seconds=0)
    assert calls == ["a", "b"] * 4  # a warm-up and, with no time left, the least number of rounds
    assert len(timings["a"].rounds) == 3


def test_median_and_spread() -> None:
    timing = harness.Timing(9.0, (1.0, 2.0, 3.0, 4.0, 50.0), None)
    assert timing.seconds == 3.0
    assert timing.spread == pytest.approx((4 - 2) / 2 / 3)


def test_line_of_a_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    contestants = [harness.Contestant(n, lambda: 1, p) for n, p in (("georeduce", 8), ("numpy", 2))]
    made = harness.compare(
        "kernels", "gauss-D3", contestants, sizes={"M": 1, "N": 1, "D": 3}, dtype="float32",
        check=lambda results: {"same": results["numpy"]}, seconds=0,
    )  # fmt: skip
    (line,) = harness.results()
    assert line == json.loads(json.dumps(made))
    assert set(line) >= FIELDS
    assert line["accuracy"] == {"same": 1}
    (peer,) = line["peers"]
    assert line["peer"] == "numpy"
    assert line["ratio"] == peer["ratio"]
    assert "Gaussian sum, D=3" in plot.render()
    harness.append("kernels", line | {"sizes": {"M": 7, "N": 7, "D": 3}})
    assert "| 7 x 7 |" in plot.render()
    assert "| 1 x 1 |" not in plot.render()  # the last measurement of a case is the one shown


def test_lines_kept_are_complete() -> None:
    for line in harness.results():
        needed = FIELDS if "seconds" in line else {"value", "unit", "limit", "machine", "versions"}
        assert set(line) >= needed, line


@pytest.mark.parametrize("kind", ["gauss", "logsumexp"])
def test_kernels_refuses_wrong_values(kind: str, rng: np.random.Generator) -> None:
    x, y = (rng.random((40, 3), dtype=np.float32) for _ in range(2))
    b = rng.standard_normal((40, 1)).astype(np.float32)
    rows = np.array([0, 5, 39])
    value, bound = kernels.exact(kind, x[rows], y, b)
    result = np.zeros((40, 1))
    result[rows] = value
    good: dict[str, Any] = {"kind": kind, "rows": rows, "value": value, "bound": bound}
    assert kernels.check({"georeduce": result}, **good)["error_over_bound_georeduce"] == 0
    result[5] += 2 * bound[1]
    with pytest.raises(AssertionError, match="within the bound"):
        kernels.check({"georeduce": result}, **good)


def test_knn_accepts_ties_and_nothing_else(rng: np.random.Generator) -> None:
    database = np.concatenate([rng.random((30, 3), dtype=np.float32)] * 2)  # each point twice
    queries = rng.random((6, 3), dtype=np.float32)
    d2 = ((queries[:, None, :].astype(float) - database) ** 2).sum(-1)
    order = np.argsort(d2, axis=1, kind="stable")[:, : knn.K + 1]
    ours, rows = order[:, : knn.K], np.arange(6)
    mine = (np.take_along_axis(d2, ours, axis=1), ours)
    assert knn.K % 2 == 0
    ties = ours.reshape(6, -1, 2)[:, :, ::-1].reshape(6, -1)  # twins change places
    farther = order[:, [*range(knn.K - 1), knn.K]]

    def check(first: tuple[Any, Any], other: Any) -> dict[str, float]:
        found = {"georeduce": first, "peer": (None, other)}
        return knn.check(found, queries=queries, database=database, rows=rows)

    assert check(mine, ties)["same_indices_peer"] == 1
    for other, sentence in ((farther, "peer's neighbours"), (ours[:, [0, *range(9)]], "distinct")):
        with pytest.raises(AssertionError, match=sentence):
            check(mine, other)
    with pytest.raises(AssertionError, match="to be the distances"):
        check((mine[0] * 1.001, ours), ours)
    far = (np.take_along_axis(d2, farther, axis=1), farther)
    with pytest.raises(AssertionError, match="nearest"):
        check(far, farther)


@pytest.mark.slow
def test_demo(tmp_path: Path) -> None:
    code = "import sys, pathlib; from experiments import demo; demo.OUT = pathlib.Path(sys.argv[1])"
    command = [sys.executable, "-c", f"{code}; sys.exit(demo.main(['--quick']))", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (tmp_path / "table.md").read_text(encoding="utf-8")
    for data in ("digits", "breast cancer"):
        ours, theirs = (
            next(line.split("|") for line in text.splitlines() if f"{data} | {library}" in line)
            for library in ("georeduce", "scikit-learn")
        )
        assert ours[3:6] == theirs[3:6]  # the best parameters, and both accuracies
    assert str(tmp_path / "figure.png") in done.stdout
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [("kernels", "gauss-D3"), ("knn", "10nn-D3"), ("budgets", "memory:sum")]
)
def test_runs(words: tuple[str, str]) -> None:
    name, case = words
    command = [sys.executable, "-m", "experiments", name, "--quick", "--case", case]
    before = list(harness.results())
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert case in done.stdout
    assert list(harness.results()) == before
