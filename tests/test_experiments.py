"""The benchmarks: they measure as they say, write what they measure, and refuse wrong results."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import check, cpu, figure, growth, harness, plot, scaling
from experiments.__main__ import experiments
from experiments.cases import CASES, DTYPES, Case
from experiments.problems import KernelSum, Neighbours, rows

ROOT = Path(__file__).resolve().parents[1]
FIELDS = {"commit", "machine", "versions", "sizes", "dtype", "seconds", "gpairs_per_s", "peers"}
NEAR = Case("10nn-D3", Neighbours(), 60, 400, 3, 10)


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder, in which what is measured is kept."""
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    return tmp_path


@pytest.fixture
def no_pykeops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the peer that compiles each formula for seconds, and prints as it does."""
    installed = harness.peer
    monkeypatch.setattr(
        harness, "peer", lambda name: None if "pykeops" in name else installed(name)
    )


def test_list_names_every_experiment() -> None:
    assert {"cpu", "scaling", "growth", "check", "budgets", "plot"} <= set(experiments())
    assert "harness" not in experiments()


# --- The harness ----------------------------------------------------------------------------------


def test_contestants_take_turns() -> None:
    calls: list[str] = []
    contestants = [
        harness.Contestant(name, lambda name=name: calls.append(name), 1) for name in ("a", "b")
    ]
    timings = harness.measure(contestants, rounds=(3, 5), seconds=0)
    # a warm-up and, with no time left, the least number of rounds, each begun by another one
    assert "".join(calls) == "ab" + "ab" + "ba" + "ab"
    assert len(timings["a"].rounds) == 3


def test_short_calls_are_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def clock(call: Any) -> tuple[float, Any]:
        before = len(calls)
        call()
        return 0.25 * (len(calls) - before), None  # a call takes a quarter of a second

    monkeypatch.setattr(harness, "clock", clock)
    one = harness.Contestant("a", lambda: calls.append(1), 1)
    timing = harness.measure([one], rounds=(3, 3), seconds=0, least=1.0)["a"]
    assert timing.rounds == (0.25,) * 3  # of one call, not of the round
    assert len(calls) == 1 + 1 + 3 * 4


def test_median_and_spread() -> None:
    timing = harness.Timing(9.0, (1.0, 2.0, 3.0, 4.0, 50.0), None)
    assert timing.seconds == 3.0
    assert timing.spread == pytest.approx((4 - 2) / 2 / 3)


def line_of(case: str = "gauss-D3", **more: Any) -> dict[str, Any]:
    contestants = [harness.Contestant(n, lambda: 1, p) for n, p in (("georeduce", 8), ("numpy", 2))]
    return harness.compare(
        "cpu", case, contestants, sizes={"M": 1, "N": 1, "D": 3}, dtype="float32",
        check=lambda results: {"same": results["numpy"]}, seconds=0, **more,
    )  # fmt: skip


def test_line_of_a_case(results: Path) -> None:
    made = line_of(more=lambda line: {"twice": 2 * line["ratio"]})
    (line,) = harness.results()
    assert line == json.loads(json.dumps(made))
    assert set(line) >= FIELDS
    assert line["accuracy"] == {"same": 1}
    (peer,) = line["peers"]
    assert line["peer"] == "numpy"
    assert line["ratio"] == peer["ratio"]
    assert line["twice"] == 2 * peer["ratio"]
    assert "Gaussian sum, D=3" in plot.render()
    harness.append("cpu", line | {"sizes": {"M": 7, "N": 7, "D": 3}})
    assert "| 7 x 7 |" in plot.render()
    assert "| 1 x 1 |" not in plot.render()  # the last measurement of a case is the one shown
    harness.append("cpu", line | {"sizes": {"M": 9, "N": 9, "D": 3}, "dtype": "float64"})
    assert "| 9 x 9 |" in plot.render()
    assert "| 7 x 7 |" in plot.render()  # each dtype has a row of its own


def test_ratio_is_to_the_fastest_that_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    spent = {"georeduce": 1.0, "slow": 4.0, "fast": 2.0, "other": 0.5}
    monkeypatch.setattr(harness, "clock", lambda call: (spent[call()], None))
    everyone = [harness.Contestant(name, lambda name=name: name, 1) for name in spent]
    how: dict[str, Any] = {
        "sizes": {}, "dtype": "float32", "check": lambda results: {}, "seconds": 0, "write": False
    }  # fmt: skip
    line = harness.compare("cpu", "x", everyone, against=("slow", "fast"), **how)
    assert (line["peer"], line["ratio"]) == ("fast", 2.0)
    assert harness.compare("cpu", "x", everyone, **how)["peer"] == "slow"
    assert "peer" not in harness.compare("cpu", "x", everyone, against=("missing",), **how)


def test_spoilt_environment_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in harness.SPOILERS:
        monkeypatch.delenv(name, raising=False)
    assert harness.with_peers_at_their_best("cpu", []) is None
    monkeypatch.setenv(harness.SPOILERS[0], "Prescott")
    # The experiment itself runs, in an environment in which it goes on, and knows no such dtype.
    assert harness.with_peers_at_their_best("cpu", ["--dtype", "float16"]) == 2


def test_lines_kept_are_complete() -> None:
    """Of comparisons, of figures with a limit, and of an experiment's own."""
    for line in harness.results():
        if {"peers", "seconds"} <= set(line):
            needed = FIELDS
        elif "unit" in line:
            needed = {"value", "limit"}
        else:
            assert line["experiment"] == "ot", line
            needed = {"sizes", "dtype"}
            assert any("seconds" in name for name in line), line
        assert set(line) >= needed | {"experiment", "commit", "machine", "versions"}, line


# --- Cases ----------------------------------------------------------------------------------------


def test_cases_are_told_apart() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    assert all(set(case.peers_in("float64")).isdisjoint({"faiss-cpu"}) for case in CASES)


@pytest.mark.compiler
@pytest.mark.usefixtures("no_pykeops")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_case_runs_and_passes_its_check(case: Case, dtype: str, results: Path) -> None:
    tiny = case.sized(50, 1100)
    line = cpu.run(tiny, dtype, machine_too=False, rounds=(2, 2), seconds=0, least=0)
    assert line["sizes"]["M"] == min(50, case.M)
    assert line["gpairs_per_s"] > 0
    names = {p["name"] for p in line["peers"]}
    assert names & {"numpy", "scikit-learn"} or dtype == "float32"
    assert ("faiss-cpu" in names) <= (dtype == "float32")
    assert next(iter(harness.results())) == json.loads(json.dumps(line))
    assert case.name in cpu.row(line)


def test_slices_are_for_slow_peers_only() -> None:
    case = next(case for case in CASES if case.name == "gauss-D100")
    assert cpu.slice_for("faiss-cpu", case) == case.M
    assert 100 <= cpu.slice_for("pykeops", case) < case.M
    data = cpu.data_of(case.sized(300, 50), "float32")
    assert len(rows(data, 7).x[0]) == 7
    assert len(rows(data, 7).y[0]) == 50


def test_target_in_float64_follows_float32() -> None:
    case = replace(NEAR, target=20.0)
    peers = [{"name": "faiss-cpu", "ratio": 30.0}, {"name": "scikit-learn", "ratio": 50.0}]
    line = {"peer": "scikit-learn"}
    assert cpu.target_of(case, "float32", {"peer": "faiss-cpu"}, None) == 20.0
    assert cpu.target_of(case, "float64", line, {"peers": peers}) == pytest.approx(30.0)
    assert cpu.target_of(case, "float64", line, None) is None
    assert cpu.target_of(replace(case, target=None), "float64", line, {"peers": peers}) is None


@pytest.mark.parametrize("logarithm", [False, True])
def test_sums_refuse_wrong_values(logarithm: bool, rng: np.random.Generator) -> None:
    problem = KernelSum(logarithm)
    data = problem.data(40, 30, 3, "float32", rng)
    n = np.arange(40)
    value, bound = problem.exact(data, n)
    assert (bound < 1e-3 * np.abs(value).max()).all()  # tight enough to mean something
    d2 = ((data.x[0][:, None, :].astype(float) - data.y[0]) ** 2).sum(-1)
    dense = np.log(np.exp(data.b[:, 0] - d2).sum(1)) if logarithm else np.exp(-d2) @ data.b[:, 0]
    assert (np.abs(value[:, 0] - dense) <= bound[:, 0]).all()
    assert problem.check({"georeduce": value}, data, 0)["error_over_bound_georeduce"] == 0
    for row in (0, 5):
        wrong = value.copy()
        wrong[row] += 2 * bound[row]
        with pytest.raises(AssertionError, match="within the bound"):
            problem.check({"georeduce": wrong}, data, 0)


@pytest.mark.parametrize("measure", ["euclidean", "inner", "poincare"])
def test_neighbours_accept_ties_and_nothing_else(measure: str, rng: np.random.Generator) -> None:
    problem, K = Neighbours(measure), 10
    data = problem.data(6, 30, 3, "float32", rng)
    data = data._replace(y=tuple(np.concatenate([a, a]) for a in data.y))  # each point twice
    x, y = ([a.astype(float) for a in arrays] for arrays in (data.x, data.y))
    values = problem.of.exact(*(a[:, None, :] for a in x), *y)
    order = np.argsort(values, axis=1, kind="stable")[:, : K + 1]
    ours = order[:, :K]
    mine = (np.take_along_axis(values, ours, axis=1), ours)
    ties = ours.reshape(6, -1, 2)[:, :, ::-1].reshape(6, -1)  # twins change places
    farther = order[:, [*range(K - 1), K]]

    def checked(first: tuple[Any, Any], other: Any) -> dict[str, float]:
        return problem.check({"georeduce": first, "peer": (None, other)}, data, K)

    assert checked(mine, ties)["same_indices_peer"] == 1
    assert checked(mine, ties[:3])["same_indices_peer"] == 1  # a peer may have a part of the rows
    for other, sentence in ((farther, "peer's neighbours"), (ours[:, [0, *range(9)]], "distinct")):
        with pytest.raises(AssertionError, match=sentence):
            checked(mine, other)
    with pytest.raises(AssertionError, match="to be the distances"):
        checked((mine[0] * 1.001, ours), ours)
    far = (np.take_along_axis(values, farther, axis=1), farther)
    with pytest.raises(AssertionError, match="nearest"):
        checked(far, farther)


# --- Ratios that must not fall --------------------------------------------------------------------


def quick_line(ratio: float) -> dict[str, Any]:
    peers = [{"name": "faiss-cpu", "ratio": ratio}, {"name": "scikit-learn", "ratio": 1.0}]
    return {"case": "10nn-D3", "peer": "faiss-cpu", "ratio": ratio, "peers": peers}


def test_a_fallen_ratio_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    stored = {("10nn-D3", "float32"): quick_line(10.0)}
    fresh = iter([6.9, 6.8, 6.9, 9.0, 7.1, 3.0, 3.0])

    def measure(case: Case) -> dict[str, Any]:
        return quick_line(next(fresh))

    (sentence,) = check.watched([NEAR], stored, measure)  # 6.9, and once more, 6.8
    assert all(word in sentence for word in ("10nn-D3", "faiss-cpu", "6.80"))
    assert check.watched([NEAR], stored, measure) == []  # 6.9, and once more, 9.0
    assert check.watched([NEAR], stored, measure) == []  # 7.1
    assert check.watched([NEAR], {}, measure) == []  # nothing is stored
    assert "nothing stored" in capsys.readouterr().out
    assert check.fallen(quick_line(0.1) | {"peers": []}, quick_line(10.0)) == ""  # no such peer


@pytest.mark.parametrize("ratio", [10.0, 0.1])
def test_check_fails_where_a_ratio_fell(
    ratio: float,
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in harness.SPOILERS:  # or it would measure for real, in an environment without them
        monkeypatch.delenv(name, raising=False)
    context = {"experiment": "quick", "dtype": "float32", "machine": harness.machine()}
    harness.append("quick", quick_line(10.0) | context)
    monkeypatch.setattr(cpu, "run", lambda *case, **how: quick_line(ratio))
    assert check.main(["--case", "10nn-D3"]) == (0 if ratio == 10.0 else 1)
    assert ("Expected 10nn-D3" in capsys.readouterr().out) == (ratio != 10.0)


# --- Curves ---------------------------------------------------------------------------------------


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's /proc")
@pytest.mark.compiler
@pytest.mark.parametrize("kind", growth.KINDS)
def test_growth_measures_time_and_memory(kind: str) -> None:
    found = growth.measured(kind, 3000, M=50, rounds=2, least=0)
    assert len(found["rounds"]) == 2
    assert min(found["rounds"]) > 0
    assert found["data"] == 4 * 3000 * (growth.KINDS[kind][0] + 1)
    assert found["peak"] >= 0


def test_flat() -> None:
    lines = [
        {"gpairs_per_s": speed, "above_data_bytes": memory} for speed, memory in ((2, 5), (3, 9))
    ]
    assert growth.flat(lines) == (1.5, 4)


def test_figure(tmp_path: Path) -> None:
    lines = [
        {"case": case.name, "gpairs_per_s": 2.0, "peers": [{"name": "numpy", "gpairs_per_s": 1.0}],
         "sizes": {"M": case.M, "N": case.N, "D": case.D}}
        for case in scaling.cases()
    ]  # fmt: skip
    assert [n for n, _ in figure.curves(lines, "sum", "D")["numpy"]] == list(scaling.DIMS)
    assert [n for n, _ in figure.curves(lines, "10nn", "N")["georeduce"]] == list(scaling.COLUMNS)
    figure.draw(lines, tmp_path / "made.png")
    assert (tmp_path / "made.png").read_bytes().startswith(b"\x89PNG")


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
    "words", [("cpu", "10nn-D3"), ("scaling", "10nn-over-D-10"), ("growth", "sum-D3"),
              ("budgets", "memory:sum")]
)  # fmt: skip
def test_runs(words: tuple[str, str]) -> None:
    name, case = words
    command = [sys.executable, "-m", "experiments", name, "--quick", "--case", case]
    before = list(harness.results())
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert case in done.stdout
    assert list(harness.results()) == before
