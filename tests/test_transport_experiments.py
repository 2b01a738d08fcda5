"""The benchmarks and figures of transport: they run, and their errors and ratios are right."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import harness, ot_colours, ot_figure, ot_peers, ot_shapes, plot
from experiments import ot as ot_experiment
from georeduce.apps.ot import solve

TINY = replace(ot_peers.CASES[0], n=200, epsilon=0.05)


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder, in which what is measured is kept."""
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    return tmp_path


@pytest.mark.parametrize("lazy", [False, True], ids=["pot", "pot-lazy"])
def test_curves(lazy: bool, results: Path) -> None:
    name = "POT lazy" if lazy else "POT"
    case = replace(TINY, peers=(name,))
    line = ot_peers.run(case, rounds=1)
    assert next(iter(harness.results())) == json.loads(json.dumps(line))
    for points in line["curves"].values():
        assert points[-1]["marginal_error"] <= min(ot_peers.ERRORS)
        assert points[-1]["value_error"] <= 1e-4
    seconds = line["seconds_to"]["0.01"]
    assert line["ratio"] == round(seconds[name] / seconds[harness.OURS], 2)
    assert name in ot_peers.report(line)
    assert ot_experiment.measured() == [json.loads(json.dumps(line))]
    ot_figure.draw([line], results / "curves.png")
    assert (results / "curves.png").stat().st_size > 0


def test_the_table_of_times(results: Path) -> None:
    seconds = {harness.OURS: 0.25, "POT": 10.0, "POT lazy": None}
    line = {
        "sizes": {"M": 5000, "N": 5000, "D": 3},
        "dtype": "float64",
        "seconds_to": {"0.01": seconds, "0.001": seconds | {"POT": None}},
    }
    _, _, row, empty, note = plot.transports([line])
    assert row == "| 5,000 x 5,000, D=3 | float64 | 0.01 | 0.250 | POT x 40 |"
    assert empty == ""
    assert note.startswith("Of two potentials")


def test_errors_are_of_both_marginals() -> None:
    x, y = TINY.points()
    problem, value = ot_peers.exactly(TINY, x, y)
    solved = solve(problem, tol=ot_peers.EXACT, max_iter=10**4)
    marginal, off = ot_peers.errors_of(problem, value, (solved.f, solved.g))
    assert marginal <= 2 * ot_peers.EXACT
    assert off <= ot_peers.EXACT
    # half of the mass is missing, in rows and in columns
    moved = solved.f + TINY.epsilon * np.log(0.5)
    marginal, off = ot_peers.errors_of(problem, value, (moved, solved.g))
    assert marginal == pytest.approx(1, abs=1e-3)
    nothing = np.full_like(moved, np.nan)
    assert ot_peers.errors_of(problem, value, (nothing, solved.g)) == (np.inf, np.inf)


def test_times_are_read_between_efforts() -> None:
    points = [ot_peers.Point(k, 10.0**-k, 0, [k, k, 5]) for k in (1, 3)]
    assert ot_peers.seconds_to(points, 0.1) == 1
    assert ot_peers.seconds_to(points, 1e-2) == pytest.approx(2)
    assert ot_peers.seconds_to(points, 1e-4) is None
    seconds: Any = {"0.01": {harness.OURS: 2.0, "A": 90.0, "B": 70.0, "C": None}, "0.001": {}}
    seconds["0.001"] = {harness.OURS: None, "A": 1.0}
    assert ot_peers.compared(seconds, TINY) == {"ratios": {"0.01": 35}, "ratio": 35, "met": True}


def test_bunny(results: Path) -> None:
    pytest.importorskip("pymeshfix")
    line = ot_shapes.run(n=500)
    assert next(iter(harness.results())) == json.loads(json.dumps(line))
    assert line["met"]
    assert 0 < line["peak_bytes"] < ot_shapes.BYTES
    ot_shapes.draw(results / "shapes.png", n=300)
    assert (results / "shapes.png").stat().st_size > 0


def test_surfaces_are_uniform(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    small = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], float)
    corners = np.vstack([small, [10, 0, 0] + small * [3, 1, 1]])
    monkeypatch.setattr(ot_shapes, "mesh", lambda: (corners, np.arange(6).reshape(2, 3)))
    points = ot_shapes.bunny(5000, rng)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1).max(), 1)
    # shares of areas, to five standard deviations
    assert abs((points[:, 0] > 0).mean() - 3 / 4) < 5 * np.sqrt(3 / 16 / 5000)
    ball = ot_shapes.sphere(5000, rng)
    np.testing.assert_allclose(np.linalg.norm(ball, axis=1), 1)
    # an octant is an eighth, to five standard deviations
    assert abs((ball > 0).all(axis=1).mean() - 1 / 8) < 5 * np.sqrt(7 / 64 / 5000)


def test_colours(results: Path) -> None:
    line = ot_colours.run(results / "colours.png", fitted=300, step=16)
    assert next(iter(harness.results())) == json.loads(json.dumps(line))
    assert line["error"] <= 0.01
    assert (results / "colours.png").stat().st_size > 0
    assert f"{line['sizes']['pixels']:,} pixels" in ot_colours.report(line)


def test_unknown_parts_are_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness, "with_peers_at_their_best", lambda *arguments: None)
    with pytest.raises(SystemExit):
        ot_experiment.main(["pears"])
    assert "Expected parts among peers" in capsys.readouterr().err
