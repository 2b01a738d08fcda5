"""The experiment with Poincaré embeddings: WordNet, what is held out, fitted and measured."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from experiments import (
    harness,
    plot,
    poincare,
    poincare_figure,
    poincare_speed,
    poincare_tables,
    wordnet,
)
from experiments.__main__ import experiments

LINES = """\
  1 This software and database is being provided to you, the LICENSEE
00000100 03 n 01 entity 0 001 ~ 00000200 n 0000 | that which is
00000200 03 n 02 animal 0 beast 0 002 @ 00000100 n 0000 ~ 00000300 n 0000 | a living thing
00000300 05 n 01 mammal 0 001 @ 00000200 n 0000 | with hair | or not
00000400 05 n 0a dog 0 d1 0 d2 0 d3 0 d4 0 d5 0 d6 0 d7 0 d8 0 d9 0 003 @ 00000300 n 0000 \
+ 00000009 v 0101 @ 00000200 n 0000 | barks
00000500 18 n 01 Laika 0 001 @i 00000400 n 0000 | a dog in space
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "data.noun"
    made.write_text(LINES, encoding="utf-8")
    return made


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder, in which what is measured is kept."""
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "results")
    return tmp_path


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a tree of 31 nodes and its closure instead of WordNet's."""
    u = np.arange(1, 31)
    v = (u - 1) // 2
    graph = sparse.csr_array((np.ones(30), (u, v)), shape=(31, 31))
    closure = wordnet.closed(graph)
    names = np.array([f"word.{n}" for n in range(31)], dtype=object)
    monkeypatch.setattr(poincare, "data", lambda name: (names, closure))
    monkeypatch.setattr(poincare_speed, "nouns", lambda quick: (names, closure))
    return names, closure


def asked(folder: Path, **how: Any) -> argparse.Namespace:
    chosen = {"quick": False, "dimension": None, "seed": 0, "epochs": 2, "n_jobs": 1} | how
    return argparse.Namespace(folder=folder, **chosen)


# --- WordNet --------------------------------------------------------------------------------------


def test_wordnet_is_read(file: Path) -> None:
    names, closure = wordnet.relations(file=file)
    assert names.tolist() == [
        "entity.00000100", "animal.00000200", "mammal.00000300", "dog.00000400", "Laika.00000500"
    ]  # fmt: skip
    assert np.array_equal(closure.toarray(), np.tril(np.ones((5, 5)), -1))
    kinds, without = wordnet.mammals(file)
    assert kinds.tolist() == ["mammal.00000300", "dog.00000400"]
    assert without.toarray().tolist() == [[0, 0], [1, 0]]
    assert wordnet.edges_of(kinds, without) == [("dog.00000400", "mammal.00000300")]


def test_wordnet_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="apt-get install wordnet-base"):
        wordnet.relations(file=tmp_path / "data.noun")


@pytest.mark.skipif(not wordnet.FILE.exists(), reason="needs Debian's wordnet-base")
def test_mammals_are_as_many_as_told() -> None:
    names, closure = wordnet.mammals()
    assert (len(names), closure.nnz) == (1170, 6448)


# --- Fits -----------------------------------------------------------------------------------------


def test_held_out_relations_leave_every_node_one(small: Any) -> None:
    _, closure = small
    train, test = poincare.split(closure, 0.1, seed=0)
    assert test.nnz == round(0.1 * closure.nnz)
    assert np.array_equal((train + test).toarray(), closure.toarray())
    assert ((train.sum(axis=0) + train.sum(axis=1)) > 0).all()
    u, v = test.nonzero()
    assert (closure.sum(axis=0)[u] > 0).all()  # no leaf
    assert (closure.sum(axis=1)[v] > 0).all()  # no root
    assert np.array_equal(poincare.split(closure, 0.1, seed=0)[1].toarray(), test.toarray())
    assert not np.array_equal(poincare.split(closure, 0.1, seed=1)[1].toarray(), test.toarray())


@pytest.mark.parametrize("name", ["nouns-D5", "links-D10"])
def test_a_case_is_fitted_and_told(name: str, small: Any, results: Path) -> None:
    case = next(case for case in poincare.CASES if case.name == name)
    case = replace(case, D=3, how={"max_iter": 60})
    line = poincare.run(case, seed=0, folder=results, n_jobs=1)
    assert json.loads(json.dumps(line))["seed"] == 0
    assert len(line["loss_curve"]) == line["epochs"] == 60
    assert line["rank_curve"][-1][0] == 60
    assert line["map"] > 0.5
    assert line["met"]["minutes"] is True
    assert "Nickel and Kiela" in poincare.table(case, [line])
    if case.links:
        assert line["links"]["relations"] == round(poincare.HELD_OUT * small[1].nnz)
        assert "held-out" in poincare.table(case, [line])
        assert 0 < line["links"]["basic_share"] < 1
        assert 0 < line["links"]["map_of_implied"] <= 1
        assert f"Held out are {line['links']['relations']} rel" in poincare_tables.links([line])
    again = poincare.run(case, seed=0, folder=results, n_jobs=1)
    assert again["resumed"] is True
    assert again["loss_curve"] == line["loss_curve"]
    assert again["met"]["minutes"] is None


def test_parts_are_written_down(small: Any, results: Path) -> None:
    poincare.fitted("mammals")(asked(results))
    poincare.fitted("mammals")(asked(results, seed=1))
    line, other = harness.results()
    assert (line["case"], line["epochs"], line["seed"]) == ("mammals-D5", 2, 0)
    row = poincare_tables.reached([line, other])[-1]
    assert row.startswith("| mammals | 5 | 98 | ")
    assert f"{line['mean_rank']:.2f}" in row
    assert f"{other['mean_rank']:.2f}" in row
    assert row in plot.render()
    assert {
        "commit",
        "machine",
        "versions",
        "sizes",
        "dtype",
        "seconds",
        "gpairs_per_s",
        "peers",
    } < (set(line))


def test_it_is_listed_and_knows_its_parts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in harness.SPOILERS:
        monkeypatch.delenv(name, raising=False)
    assert "poincare" in experiments()
    assert not {"wordnet", "poincare_speed", "poincare_figure"} & set(experiments())
    with pytest.raises(SystemExit):
        poincare.main(["fish"])
    assert "but got 'fish'" in capsys.readouterr().err


# --- Times ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [poincare_speed.speed, poincare_speed.rank_all])
def test_gensim_is_measured_beside(
    part: Any, small: Any, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("gensim")
    part(asked(results, quick=True, dimension=[3]))
    assert "gensim" in capsys.readouterr().out or part is poincare_speed.speed


@pytest.mark.parametrize(
    "part", [poincare_speed.speed, poincare_speed.rank_all, poincare_speed.neighbours]
)
def test_times_are_measured_without_peers(
    part: Any,
    small: Any,
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(harness, "peer", lambda name: None)
    part(asked(results, quick=True, dimension=[3]))
    assert "D3" in capsys.readouterr().out


def test_embedded_nouns_are_taken_where_they_are(small: Any, results: Path) -> None:
    names, _ = small
    x, source = poincare_speed.embedded(asked(results), len(names), 3)
    assert (x.shape, source) == ((31, 3), "drawn")
    case = replace(poincare.CASES[1], name="nouns-D3", D=3, how={"max_iter": 1})
    poincare.run(case, seed=0, folder=results, n_jobs=1)
    x, source = poincare_speed.embedded(asked(results), len(names), 3)
    assert (x.shape, source) == ((31, 3), "embedded")


def test_the_disk_is_drawn(small: Any, results: Path) -> None:
    file = results / "disk.png"
    told = poincare_figure.draw(file, *small, epochs=2, n_jobs=1)
    assert "MAP" in told
    assert file.read_bytes().startswith(b"\x89PNG")
    assert file.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
