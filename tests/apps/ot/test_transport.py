"""SinkhornTransport: beside POT's class of that name, and as pipelines use it."""

from __future__ import annotations

import pickle
import sys
from functools import partial
from typing import Any

import numpy as np
import ot
import pandas as pd
import pytest
import sklearn
from helpers import sum_error
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from georeduce.apps.common import ParameterError
from georeduce.apps.ot import Cost, SinkhornTransport
from georeduce.apps.ot._labels import labelled

NEAR = 1e-6
"""How far results may be from POT's, which the solver's tolerance leaves room for."""
TOL = 1e-9
POTS = {"reg_e": 0.1, "max_iter": 10**5, "tol": 1e-11}
OURS: Any = {"epsilon": 0.1, "max_iter": 10**5, "tol": TOL}

Data = dict[str, Any]


@pytest.fixture
def data(rng: np.random.Generator) -> Data:
    Xs, Xt = rng.random((60, 3)), rng.random((80, 3)) + 0.5
    ys, yt = rng.integers(0, 3, 60), rng.integers(0, 3, 80)
    return {"Xs": Xs, "ys": ys, "Xt": Xt, "yt": np.where(rng.random(80) < 0.5, yt, -1)}


@pytest.mark.parametrize("limit", [None, 2.0, np.inf], ids=["unlabelled", "limit", "forbidden"])
def test_samples_and_labels_go_where_pots_go(data: Data, limit: float | None) -> None:
    given = data if limit else {name: data[name] for name in ("Xs", "Xt")}
    limits = {"limit_max": limit} if limit else {}
    with np.errstate(over="ignore"):
        theirs = ot.da.SinkhornTransport(**POTS, **limits, out_of_sample_map="ferradans")
        theirs.fit(**given)
    ours = SinkhornTransport(**OURS, **limits).fit(**given)
    near: Any = {"rtol": 0, "atol": NEAR}
    np.testing.assert_allclose(ours.coupling_.dense(), theirs.coupling_, **near)
    Xs, Xt, ys, yt = (data[name] for name in ("Xs", "Xt", "ys", "yt"))
    np.testing.assert_allclose(ours.transform(Xs=Xs), theirs.transform(Xs=Xs), **near)
    np.testing.assert_allclose(
        ours.inverse_transform(Xt=Xt), theirs.inverse_transform(Xt=Xt), **near
    )
    np.testing.assert_allclose(ours.transform_labels(ys=ys), theirs.transform_labels(ys=ys), **near)
    np.testing.assert_allclose(
        ours.inverse_transform_labels(yt=yt), theirs.inverse_transform_labels(yt=yt), **near
    )
    np.testing.assert_allclose(ours.mu_s_, theirs.mu_s)


def test_new_samples_go_where_pots_go(data: Data, rng: np.random.Generator) -> None:
    given = {name: data[name] for name in ("Xs", "Xt")}
    theirs = ot.da.SinkhornTransport(**POTS).fit(**given)
    ours = SinkhornTransport(**OURS).fit(**given)
    new = rng.random((7, 3))
    near: Any = {"rtol": 0, "atol": NEAR}
    np.testing.assert_allclose(ours.transform(new), theirs.transform(Xs=new), **near)
    inverse = theirs.inverse_transform(Xt=new)
    np.testing.assert_allclose(ours.inverse_transform(new), inverse, **near)


def test_forbidden_pairs_have_no_mass(data: Data) -> None:
    model = SinkhornTransport(**OURS).fit(**data)
    other = (data["ys"][:, None] != data["yt"]) & (data["yt"] != -1)
    plan = model.coupling_.dense()
    assert other.any()
    assert not plan[other].any()
    moved = model.fit_transform(**data)
    np.testing.assert_array_equal(moved, model.transform(data["Xs"]))


def test_new_samples_have_no_label(data: Data) -> None:
    model = SinkhornTransport(**OURS).fit(**data)
    Xs = data["Xs"]
    assert np.abs(model.transform(Xs)[:30] - model.transform(Xs[:30])).max() > NEAR


def test_labels_without_a_partner_are_told(data: Data) -> None:
    given = data | {"yt": np.zeros(80, int)}
    with pytest.raises(ParameterError, match="a finite cost for each point of x") as caught:
        SinkhornTransport(epsilon=0.1).fit(**given)
    assert "a finite limit_max" in caught.value.__notes__[0]
    unequal = given | {
        "yt": (np.arange(80) < 70).astype(int),
        "ys": (np.arange(60) < 10).astype(int),
    }
    with pytest.raises(ParameterError, match="of unequal masses") as caught:
        SinkhornTransport(epsilon=0.1).fit(**unequal)
    assert "a finite limit_max" in caught.value.__notes__[0]
    moved = SinkhornTransport(epsilon=0.1, limit_max=2).fit_transform(**given)
    assert np.isfinite(moved).all()


def test_labels_may_be_words(data: Data) -> None:
    words = np.array(["a", "b", "c"])
    named = data | {"ys": words[data["ys"]], "yt": words[np.abs(data["yt"])]}
    numbered = data | {"yt": np.abs(data["yt"])}
    model = SinkhornTransport(epsilon=0.1, limit_max=2)
    np.testing.assert_array_equal(
        model.fit(**named).transform(data["Xs"]), model.fit(**numbered).transform(data["Xs"])
    )


@pytest.mark.parametrize(
    "kind", [list, np.array, partial(np.array, dtype=object)], ids=["list", "array", "objects"]
)
def test_words_may_be_unknown(data: Data, kind: Any) -> None:
    words = kind(["abc"[label] if label >= 0 else -1 for label in data["yt"]])
    named = data | {"ys": ["a"] * 60, "yt": words}
    numbered = data | {"ys": np.zeros(60, int)}
    model = SinkhornTransport(epsilon=0.1, limit_max=2)
    np.testing.assert_array_equal(
        model.fit(**named).transform(data["Xs"]), model.fit(**numbered).transform(data["Xs"])
    )


def test_parameters_that_are_set_later_change_nothing(data: Data) -> None:
    model = SinkhornTransport(epsilon=0.1).fit(data["Xs"], Xt=data["Xt"])
    before = model.transform(data["Xs"])
    model.set_params(cost="euclidean", reach=0.1, penalty="tv", epsilon=1.0)
    np.testing.assert_array_equal(model.transform(data["Xs"]), before)


def test_the_usual_epsilon_is_that_of_pairs_that_may_meet(data: Data) -> None:
    model = SinkhornTransport().fit(**data)
    costs = ot.dist(data["Xs"], data["Xt"])
    may = (data["ys"][:, None] == data["yt"]) | (data["yt"] == -1)
    np.testing.assert_allclose(
        model.epsilon_, 0.05 * costs[may].mean(), rtol=sum_error(np.float64, 5000)
    )
    assert model.converged_


def test_without_a_target_samples_are_smoothed(rng: np.random.Generator) -> None:
    X = np.repeat([[0.0, 0.0], [10.0, 0.0]], 20, axis=0) + rng.normal(size=(40, 2))
    model = SinkhornTransport(**OURS | {"epsilon": 1.0}).fit(X)
    smooth = model.transform(X)
    np.testing.assert_allclose(smooth.mean(axis=0), X.mean(axis=0), atol=NEAR)
    assert smooth[:20].var() < X[:20].var()
    assert np.abs(smooth[:20, 0]).max() < 5


def test_mass_may_be_left_behind(data: Data) -> None:
    far = np.vstack([data["Xt"], data["Xt"][:20] + 10])
    moved = SinkhornTransport(epsilon=1.0, reach=1.0).fit_transform(data["Xs"], Xt=far)
    assert moved.max() < 2
    assert SinkhornTransport(epsilon=1.0).fit_transform(data["Xs"], Xt=far).max() > 5


def test_weights_are_those_of_repeated_samples(data: Data) -> None:
    Xs, Xt = data["Xs"], data["Xt"]
    counts = 1 + np.arange(60) % 3

    def weigh(X: Any) -> Any:
        return counts if len(X) == 60 else np.ones(len(X))

    weighted = SinkhornTransport(**OURS, distribution_estimation=weigh).fit(Xs, Xt=Xt)
    repeated = SinkhornTransport(**OURS).fit(np.repeat(Xs, counts, axis=0), Xt=Xt)
    np.testing.assert_allclose(weighted.transform(Xs), repeated.transform(Xs), atol=NEAR)
    np.testing.assert_allclose(weighted.mu_s_.sum(), 1)


def test_a_classifier_behind_it_sees_the_target(rng: np.random.Generator) -> None:
    ys, yt = rng.integers(0, 2, 200), rng.integers(0, 2, 200)
    Xs = rng.normal(size=(200, 2)) + 6 * ys[:, None] * [1, 0]
    Xt = rng.normal(size=(200, 2)) + 6 * yt[:, None] * [1, 0] + [20, 5]
    model = make_pipeline(SinkhornTransport(epsilon=1.0), LogisticRegression())
    model.fit(Xs, ys, sinkhorntransport__Xt=Xt)
    assert model[-1].score(Xt, yt) > 0.9
    assert model.score(Xs, ys) > 0.9
    assert LogisticRegression().fit(Xs, ys).score(Xt, yt) < 0.7
    with sklearn.config_context(enable_metadata_routing=True):
        transport = SinkhornTransport(epsilon=1.0).set_fit_request(Xt=True)
        routed = make_pipeline(transport, LogisticRegression()).fit(Xs, ys, Xt=Xt)
    assert routed[-1].score(Xt, yt) > 0.9


def test_names_of_features_stay(data: Data) -> None:
    Xs, Xt = (pd.DataFrame(data[name], columns=["r", "g", "b"]) for name in ("Xs", "Xt"))
    model = SinkhornTransport(epsilon=0.1).set_output(transform="pandas").fit(Xs=Xs, Xt=Xt)
    moved = model.transform(Xs=Xs)
    assert list(moved.columns) == ["r", "g", "b"]
    np.testing.assert_array_equal(moved, model.set_output(transform="default").transform(Xs))


def test_float32_stays_and_copies_are_the_same(data: Data) -> None:
    Xs, Xt = (data[name].astype(np.float32) for name in ("Xs", "Xt"))
    model = SinkhornTransport(epsilon=0.1).fit(Xs, Xt=Xt)
    moved = model.transform(Xs)
    assert moved.dtype == np.float32
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.transform(Xs), moved)
    np.testing.assert_array_equal(copy.coupling_.dense(), model.coupling_.dense())


def test_it_tells_how_far_it_is(
    data: Data, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    model = SinkhornTransport(epsilon=0.1, verbose=1).fit(data["Xs"], Xt=data["Xt"])
    assert f"Iteration {model.n_iter_}" in capsys.readouterr().out
    assert model.converged_
    assert model.errors_[-1] <= model.tol


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"epsilon": -1}, "epsilon to be a positive number or None"),
        ({"cost": "sqeuclidian"}, "sqeuclidean"),
        ({"reach": (1, 2, 3)}, "reach to be"),
        ({"limit_max": 0}, "limit_max to be a positive number"),
        ({"distribution_estimation": lambda X: None}, "a weight for each sample"),
        ({"distribution_estimation": lambda X: -np.ones(len(X))}, "distribution_estimation >= 0"),
    ],
)
def test_wrong_parameters_are_told(data: Data, parameters: Any, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        SinkhornTransport(**parameters).fit(data["Xs"], Xt=data["Xt"])


def test_wrong_data_is_told(data: Data) -> None:
    with pytest.raises(ValueError, match="features"):
        SinkhornTransport().fit(data["Xs"], Xt=data["Xt"][:, :2])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        SinkhornTransport().fit(**data | {"yt": data["yt"][:-1]})
    with pytest.raises(ParameterError, match=r"distribution_estimation of shape \(60,\)"):
        SinkhornTransport(distribution_estimation=lambda X: np.ones(3)).fit(data["Xs"])
    model = SinkhornTransport(epsilon=0.1).fit(data["Xs"], Xt=data["Xt"])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.transform_labels(data["ys"][:-1])


@pytest.mark.parametrize("limit", [7.0, 1.0], ids=["dearer", "cheaper"])
def test_labels_are_the_last_feature(rng: np.random.Generator, limit: float) -> None:
    cost = labelled(Cost("two", lambda x, y: 0 * x.sqdist(y) + 2), limit)
    labels = np.array([[0.0], [1.0], [-1.0]])
    points = np.hstack([rng.random((3, 2)), labels])
    clash = max(limit, 2)
    expected = [[2, clash, 2], [clash, 2, 2], [2, 2, 2]]
    np.testing.assert_array_equal(cost.between(points, points).dense(), expected)
