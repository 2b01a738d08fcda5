"""The loop of a fit: checkpoints, when it stops, what it shows, and its schedule."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hierarchies import EDGES, quick, tree
from scipy import sparse

from georeduce.apps.hyperbolic import PoincareBall, _checkpoints
from georeduce.apps.hyperbolic._schedule import BURN_IN_RATE, LAST_RATE, POWER, Schedule
from georeduce.apps.hyperbolic._setup import problem_of, training_of
from georeduce.apps.hyperbolic._training import Training


def training(X: Any = EDGES, **how: Any) -> Training:
    """Return the training of a fit that has not begun."""
    model = quick(**how)
    return training_of(model, problem_of(model, X))


# --- Checkpoints ----------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("loss", ["softmax", "negative_sampling"])
def test_a_checkpoint_goes_on_exactly(
    optimizer: str, loss: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = {"optimizer": optimizer, "loss": loss, "max_iter": 9}
    whole = quick(**how).fit(tree())
    file = tmp_path / "state"
    end = Training._end

    def stop(self: Training, loss: float) -> None:
        end(self, loss)
        if self.epoch == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_end", stop)
        with pytest.raises(KeyboardInterrupt):
            quick(**how, checkpoint=file, checkpoint_interval=2).fit(tree())
    resumed = quick(**how, checkpoint=file).fit(tree())
    assert resumed.loss_curve_ == whole.loss_curve_
    assert np.array_equal(resumed.embedding_, whole.embedding_)
    again = quick(**how, checkpoint=file).fit(tree())  # nothing is left to do
    assert np.array_equal(again.embedding_, whole.embedding_)
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_checkpoint_is_of_one_fit(tmp_path: Path) -> None:
    file = tmp_path / "state"
    quick(checkpoint=file, max_iter=2).fit(tree())
    for other, edges in (
        (quick(checkpoint=file, max_iter=3), tree()),
        (quick(checkpoint=file, max_iter=2, random_state=1), tree()),
        (quick(checkpoint=file, max_iter=2), tree()[1:]),
    ):
        with pytest.raises(ValueError, match="of a fit with the same parameters and data"):
            other.fit(edges)
    file.write_bytes(b"something")
    with pytest.raises(ValueError, match=r"Expected a checkpoint in .*state, but got another file"):
        quick(checkpoint=file, max_iter=2).fit(tree())


def test_a_checkpoint_knows_how_long_nothing_has_improved(tmp_path: Path) -> None:
    file = tmp_path / "state"
    how = {"tol": 0.1, "growth": 0.0, "n_iter_no_change": 4, "max_iter": 50, "checkpoint": file}
    before = training(**how)
    for loss in (1.0, 0.8, 0.79, 0.78):
        before._end(loss)
    after = training(**how)
    after._resume(file)
    assert (after.best, after.idle, after.epoch) == (before.best, before.idle, 4) == (0.78, 2, 4)


def test_checkpoints_are_written_at_intervals_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs = []
    monkeypatch.setattr(_checkpoints, "write", lambda file, a, *_: epochs.append(len(a["curve"])))
    quick(max_iter=8, checkpoint=tmp_path / "state", checkpoint_interval=3).fit(EDGES)
    assert epochs == [3, 6, 8]


def test_checkpoints_of_other_starts_are_others(tmp_path: Path) -> None:
    file, init = tmp_path / "state", PoincareBall().project(np.full((5, 3), 0.1))
    quick(max_iter=2, checkpoint=file, init=init).fit(EDGES)
    with pytest.raises(ValueError, match="of a fit with the same parameters and data"):
        quick(max_iter=2, checkpoint=file, init=-init).fit(EDGES)
    parameters = {"max_iter": np.int64(2), "tol": np.float64(0.5)}
    same = {"tol": 0.5, "max_iter": 2}  # NumPy's numbers are no others
    assert _checkpoints.fingerprint(parameters, []) == _checkpoints.fingerprint(same, [])


# --- Epochs ---------------------------------------------------------------------------------------


def test_it_stops_where_nothing_improves() -> None:
    model = quick(growth=0.2, max_iter=500, n_iter_no_change=3, tol=0.05).fit(tree())
    assert 100 <= model.n_iter_ < 500
    assert model.n_iter_ == len(model.loss_curve_)


def test_improvements_are_counted_from_the_best_loss() -> None:
    some = training(tol=0.1, growth=0.0, max_iter=50)
    idle = []
    for loss in (1.0, 0.95, 0.5, 0.48, 0.6, 0.4, 0.39):
        some._end(loss)
        idle.append(some.idle)
    assert idle == [0, 1, 0, 1, 2, 0, 1]


@pytest.mark.parametrize(
    ("n", "batch_size", "found"),
    [(10, "auto", 10), (320, "auto", 16), (3200, "auto", 100), (64_000, "auto", 1024), (10, 3, 3)],
    ids=str,
)
def test_batches(n: int, batch_size: Any, found: int) -> None:
    chain = sparse.diags_array([np.ones(n)], offsets=[1], shape=(n + 1, n + 1))
    assert training(chain, batch_size=batch_size).batch_size == found


def test_progress_tells_loss_rank_and_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    model = quick(max_iter=4, verbose=2).fit(tree())
    title, *lines, over = capsys.readouterr().out.splitlines()
    assert (title, over.split(" after ")[0]) == ("PoincareEmbedding", "PoincareEmbedding over")
    assert [line.partition("\t")[0] for line in lines] == ["  Epoch 2", "  Epoch 4"]
    assert all("loss" in line and "rank" in line for line in lines)
    assert lines[-1].endswith("left 0s")
    assert [epoch for epoch, _ in model.rank_curve_] == [2, 4]
    assert model.rank_curve_[-1][1] == pytest.approx(model.evaluate().mean_rank)


def test_schedule() -> None:
    schedule = Schedule("cosine", rate=2.0, burn_in=0.1, radius=10.0, growth=0.5)
    assert schedule.rate_at(0.05) == 2 * BURN_IN_RATE
    assert schedule.rate_at(0.1) == schedule.rate_at(0.8) == 2
    assert schedule.rate_at(0.9) == pytest.approx(1)
    assert schedule.rate_at(1) == 2 * LAST_RATE
    assert [schedule.radius_at(done) for done in (0.25, 0.5, 1)] == [10 / 2**POWER, 10, 10]


def test_the_schedule_is_as_told() -> None:
    told = {"burn_in": 0.25, "learning_rate": 0.5, "max_radius": 3.0, "growth": 0.75}
    found = training(schedule="linear", **told).schedule
    assert found == Schedule("linear", rate=0.5, burn_in=0.25, radius=3.0, growth=0.75)
    samples = np.arange(6.0).reshape(3, 2)
    assert training(samples, **told).schedule.growth == 0
    assert training(init=np.zeros((5, 3)), **told).schedule.growth == 0
