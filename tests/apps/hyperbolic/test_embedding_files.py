"""Embeddings in files: of NumPy, and in word2vec's text format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hierarchies import EDGES, quick

from georeduce.apps.hyperbolic import PoincareEmbedding
from georeduce.engine.errors import GeoreduceError


@pytest.fixture(scope="module", params=["ball", "hyperboloid"])
def model(request: pytest.FixtureRequest) -> Any:
    return quick(n_components=2, closure=True, max_iter=100, model=request.param).fit(EDGES)


def test_files_keep_all_that_was_learnt(model: Any, tmp_path: Path) -> None:
    file = tmp_path / "model.npz"
    model.save(file)
    again = PoincareEmbedding.load(file)
    assert np.array_equal(again.embedding_, model.embedding_)
    assert again.nodes_.tolist() == model.nodes_.tolist()
    assert again.loss_curve_ == model.loss_curve_
    assert again.evaluate() == model.evaluate()
    assert np.array_equal(
        again.transform([("fox", "canine")]), model.transform([("fox", "canine")])
    )
    assert again.get_params()["closure"] is True


@pytest.mark.parametrize("kind", ["points", "distances"])
def test_files_of_distances(kind: str, tmp_path: Path, rng: np.random.Generator) -> None:
    X = rng.normal(size=(6, 6))
    X = np.abs(X - X.T) if kind == "distances" else X
    fitted = quick(input=kind).fit(X)
    fitted.save(tmp_path / "model.npz")
    again = PoincareEmbedding.load(tmp_path / "model.npz")
    assert np.array_equal(again.transform(X[:2]), fitted.transform(X[:2]))


def test_text_is_that_of_word2vec(model: Any, tmp_path: Path) -> None:
    file = tmp_path / "model.txt"
    model.save(file)
    first, *lines = file.read_text(encoding="utf-8").splitlines()
    assert first == "5 2"
    assert [line.split()[0] for line in lines] == model.nodes_.tolist()
    again = PoincareEmbedding.load(file)
    assert np.array_equal(again.embedding_, model._in_ball())
    for one, other in zip(again.nearest("dog"), model.nearest("dog"), strict=True):
        assert one == (other[0], pytest.approx(other[1]))
    assert again.transform([("dog", "canine")]) == pytest.approx(again.embedding_[:1])
    with pytest.raises(ValueError, match="not of relations"):
        again.evaluate()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2 2\na 0 0\n", "Expected 2 nodes in .*, as line 1 says, but got 1"),
        ("2 2\na 0 0\n\nb 0 0\n", "got 0 words for a name and 2 numbers in line 3"),
        ("2 2\nsea lion 0 0\nb 0 0\n", "got 4 words for a name and 2 numbers in line 2"),
        ("2 2\na 0 0\na 0 0\n", "every name once in .*, but got 'a' 2 times"),
        ("1 0\n\n", "got 1 nodes of 0 numbers in line 1"),
        ("", "Expected word2vec's text format"),
        ("words\n", "Expected word2vec's text format"),
        ("1 2\na 1 1\n", "inside of the ball"),
    ],
    ids=["counts", "blank", "two words", "twice", "no numbers", "empty", "no text", "outside"],
)
def test_other_texts(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "model.txt"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(GeoreduceError, match=words):
        PoincareEmbedding.load(file)


def test_names_that_files_do_not_hold(tmp_path: Path) -> None:
    fitted = quick().fit([("sea lion", "seal"), ("seal", "animal")])
    with pytest.raises(ValueError, match="names without white space, but got 'sea lion'"):
        fitted.save(tmp_path / "model.txt")
    fitted = quick(input="edges").fit([(("a", "b"), "c")])
    with pytest.raises(ValueError, match="strings or integers"):
        fitted.save(tmp_path / "model.npz")


def test_files_are_whole_or_not_written(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "model.npz"
    model.save(file)
    before = file.read_bytes()

    def full(out: Any, **arrays: Any) -> None:
        out.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="No space left"):
        model.save(file)
    assert [*tmp_path.iterdir()] == [file]
    assert file.read_bytes() == before


@pytest.mark.parametrize("left", [0, 5, 200, -30], ids=["empty", "other", "half", "cut"])
def test_files_that_are_broken(model: Any, left: int, tmp_path: Path) -> None:
    file = tmp_path / "model.npz"
    model.save(file)
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(ValueError, match="Expected a saved embedding in"):
        PoincareEmbedding.load(file)


def test_files_of_parameters_and_names_of_numpy(tmp_path: Path) -> None:
    file = tmp_path / "model.npz"
    how = {"n_components": np.int64(2), "learning_rate": np.float32(0.25), "closure": np.True_}
    fitted = quick(**how, max_iter=1).fit([(np.str_("a"), np.int64(1)), (np.int64(1), 2.5)])
    assert [type(name) for name in fitted.nodes_] == [str, int, float]
    with pytest.raises(ValueError, match=r"strings or integers, but got 2\.5\. Rename"):
        fitted.save(file)
    fitted = quick(**how, max_iter=1).fit([(np.str_("a"), np.int64(1)), (np.int64(1), "b")])
    fitted.save(file)
    again = PoincareEmbedding.load(file)
    assert again.get_params()["learning_rate"] == 0.25
    assert again.nodes_.tolist() == ["a", 1, "b"]


def test_files_keep_curves_and_features(tmp_path: Path, rng: np.random.Generator) -> None:
    file = tmp_path / "model.npz"
    fitted = quick(max_iter=4, verbose=2).fit(EDGES)
    fitted.save(file)
    assert PoincareEmbedding.load(file).rank_curve_ == fitted.rank_curve_
    frame = pd.DataFrame(rng.normal(size=(6, 4)), columns=[*"abcd"])
    quick(max_iter=1).fit(frame).save(file)
    again = PoincareEmbedding.load(file)
    assert again.feature_names_in_.tolist() == [*"abcd"]
    again.transform(frame)  # without a warning that it knew no names


def test_names_that_are_the_same_as_text(tmp_path: Path) -> None:
    fitted = quick(max_iter=1).fit([(1, "x"), ("1", "x")])
    with pytest.raises(ValueError, match="different as text, but got '1' for 2 nodes"):
        fitted.save(tmp_path / "model.txt")
    fitted.save(tmp_path / "model.npz")
    assert PoincareEmbedding.load(tmp_path / "model.npz").nodes_.tolist() == [1, "x", "1"]


def test_places_where_no_file_can_be(tmp_path: Path) -> None:
    nowhere = tmp_path / "none" / "model.npz"
    fitted = quick(max_iter=1).fit(EDGES)
    for write in (fitted.save, lambda file: quick(checkpoint=file).fit(EDGES)):
        with pytest.raises(ValueError, match=r"a folder that exists, but got .*Make the folder"):
            write(nowhere)
        with pytest.raises(ValueError, match="Expected the path of a file, but got the folder"):
            write(tmp_path)
