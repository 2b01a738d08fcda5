"""Divergences of many clouds: beside POT, in any grouping, and as kernels of classifiers."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import ot
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from georeduce.apps.common import ParameterError
from georeduce.apps.ot import Problem, TransportKernel, _clouds, pairwise, sinkhorn_divergence
from georeduce.apps.ot._sizes import SAMPLE, Sizes
from georeduce.engine import ShapeError

NEAR = 1e-6
"""How far divergences may be from POT's, which the solver's tolerance leaves room for."""
EPSILON = 0.2
EXACT: Any = {"epsilon": EPSILON, "output": "divergence", "tol": 1e-6, "max_iter": 10**5}

Clouds = list[tuple[Any, Any]]


@pytest.fixture
def clouds(rng: np.random.Generator) -> Clouds:
    """Clouds of two sizes that are filled up to the same, and of one that is not."""
    found = []
    for n in (7, 12, 12, 20, 1):
        weights = rng.random(n)
        found.append((rng.random((n, 2)) + rng.random(2), weights / weights.sum()))
    return found


def exact_value(first: Any, second: Any) -> float:
    (x, a), (y, b) = first, second
    costs = ot.dist(x, y)
    plan = ot.sinkhorn(a, b, costs, EPSILON, "sinkhorn_log", stopThr=1e-12, numItermax=10**5)
    entropy = (plan * np.log(plan / np.outer(a, b))).sum()
    return float((plan * costs).sum() + EPSILON * entropy)


def test_divergences_are_pots(clouds: Clouds) -> None:
    found = TransportKernel(**EXACT).fit_transform(clouds)
    own = [exact_value(cloud, cloud) for cloud in clouds]
    for i, first in enumerate(clouds):
        for j, second in enumerate(clouds):
            exact = exact_value(first, second) - (own[i] + own[j]) / 2
            np.testing.assert_allclose(found[i, j], exact, atol=NEAR)
    np.testing.assert_array_equal(found, found.T)


def test_the_training_clouds_transformed_are_the_same(clouds: Clouds) -> None:
    model = TransportKernel(**EXACT)
    np.testing.assert_allclose(model.fit_transform(clouds), model.transform(clouds), atol=NEAR)
    assert model.transform(clouds[:2]).shape == (2, 5)


def test_batches_change_nothing(clouds: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    together = TransportKernel(**EXACT).fit_transform(clouds)
    monkeypatch.setattr(pairwise, "BATCH", 1)
    monkeypatch.setattr(_clouds, "STEP", 1)
    np.testing.assert_allclose(TransportKernel(**EXACT).fit_transform(clouds), together, atol=NEAR)


def test_a_batch_is_sampled_as_one_problem_is(rng: np.random.Generator) -> None:
    """Some pairs of each problem tell how large costs are, not all."""
    looked_at = []

    def cost(x: Any, y: Any) -> Any:
        looked_at.append(x.M * y.N)
        return x.sqdist(y)

    x, y = rng.random((100, 200, 3)), rng.random((100, 300, 3))
    x[17] *= 9
    sizes = Sizes(Problem(x, y, cost=cost, epsilon=EPSILON))
    assert 100 * looked_at[-1] < 4 * SAMPLE**2
    farthest = ((x[17, :, None] - y[17]) ** 2).sum(-1).max()
    assert farthest / 2 < sizes.largest <= farthest
    Sizes(Problem(x[17], y[17], cost=cost, epsilon=EPSILON))
    assert looked_at[-1] >= SAMPLE**2


def test_clouds_have_many_forms(rng: np.random.Generator) -> None:
    X = rng.random((6, 10, 2))
    weights = np.full(10, 1 / 10)
    forms = [X, list(X), X.tolist(), [(cloud, weights) for cloud in X]]
    kernels = [TransportKernel(epsilon=EPSILON).fit_transform(form) for form in forms]
    for kernel in kernels[1:]:
        np.testing.assert_array_equal(kernel, kernels[0])


def test_rows_of_a_matrix_are_clouds_on_the_line(rng: np.random.Generator) -> None:
    X = rng.random((6, 10))
    kernel = TransportKernel(epsilon=EPSILON).fit_transform(X)
    np.testing.assert_array_equal(
        kernel, TransportKernel(epsilon=EPSILON).fit_transform(X[:, :, None])
    )


def test_the_usual_scale_is_that_of_the_data(clouds: Clouds) -> None:
    large = [(100 * points, weights) for points, weights in clouds]
    kernels = [TransportKernel().fit_transform(some) for some in (clouds, large)]
    np.testing.assert_allclose(kernels[1], kernels[0], atol=NEAR)
    np.testing.assert_array_equal(np.diag(kernels[0]), 1)
    assert 0.01 < np.median(kernels[0]) < 0.99


def test_masses_count_where_mass_may_be_left(clouds: Clouds) -> None:
    twice = [clouds[0], (clouds[0][0], 2 * clouds[0][1])]
    (x, a), (y, b) = twice
    relaxed = TransportKernel(**EXACT, reach=1.0).fit_transform(twice)
    exact = sinkhorn_divergence(x, y, a, b, epsilon=EPSILON, reach=1.0, tol=1e-9)
    np.testing.assert_allclose(relaxed[0, 1], exact, atol=NEAR)
    assert exact > NEAR
    np.testing.assert_allclose(TransportKernel(**EXACT).fit_transform(twice), 0, atol=NEAR)


def digits(n: int) -> tuple[Any, Any]:
    """Return digits as clouds of their bright pixels, and which they are."""
    images, labels = load_digits(n_class=5, return_X_y=True)
    grid = np.stack(np.meshgrid(np.arange(8.0), np.arange(8.0), indexing="ij"), axis=-1)
    grid = grid.reshape(-1, 2)
    some = [(grid[image > 0], image[image > 0]) for image in images[:n]]
    return some, labels[:n]


def test_digits_are_told_apart() -> None:
    some, labels = digits(60)
    kernel = TransportKernel(epsilon=0.5, tol=1e-2)
    model = make_pipeline(kernel, SVC(kernel="precomputed", C=10))
    model.fit(some[:40], labels[:40])
    assert model.score(some[40:], labels[40:]) > 0.8
    divergence = TransportKernel(epsilon=0.5, tol=1e-2, output="divergence")
    nearest = make_pipeline(divergence, KNeighborsClassifier(3, metric="precomputed"))
    assert nearest.fit(some[:40], labels[:40]).score(some[40:], labels[40:]) > 0.8


def test_searches_over_parameters(rng: np.random.Generator) -> None:
    labels = np.arange(12) % 2
    some = [rng.random((10, 2)) * (1 + label) for label in labels]
    model = make_pipeline(TransportKernel(epsilon=EPSILON), SVC(kernel="precomputed"))
    search = GridSearchCV(model, {"transportkernel__gamma": [0.1, 1.0]}, cv=2).fit(some, labels)
    assert search.best_score_ == 1
    assert cross_val_score(model, some, labels, cv=2).min() == 1


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"gamma": 0}, "gamma to be a positive number or None"),
        ({"output": "kernels"}, "Did you mean 'kernel'"),
        ({"cost": "sqeuclidian"}, "sqeuclidean"),
    ],
)
def test_wrong_parameters_are_told(clouds: Clouds, parameters: Any, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        TransportKernel(**parameters).fit(clouds)


def test_wrong_clouds_are_told(clouds: Clouds, rng: np.random.Generator) -> None:
    model = TransportKernel(epsilon=EPSILON).fit(clouds)
    with pytest.raises(ShapeError, match="3 in cloud 5"):
        model.fit([*clouds, rng.random((4, 3))])
    with pytest.raises(ParameterError, match="2 features, as in training"):
        model.transform([rng.random((4, 3))])
    with pytest.raises(ParameterError, match="weight in cloud 0 >= 0"):
        model.fit([(rng.random((2, 2)), [1.0, -1.0])])
    for none in ([], np.zeros((0, 5, 2))):
        with pytest.raises(ParameterError, match="at least one cloud, but got none"):
            TransportKernel().fit(none)
        with pytest.raises(ParameterError, match="at least one cloud, but got none"):
            model.transform(none)
    with pytest.raises(ValueError, match="cloud 1 contains NaN"):
        model.fit([rng.random((2, 2)), np.full((2, 2), np.nan)])


def test_forms_of_clouds_are_told(clouds: Clouds, rng: np.random.Generator) -> None:
    model = TransportKernel(epsilon=EPSILON)
    with pytest.raises(ShapeError, match=r"rows of several lengths.*cloud\[:, None\]"):
        model.fit([rng.random(4), rng.random(5)])
    forms: list[tuple[str, Any]] = [
        ("a list whose parts are of several shapes", [[cloud, w] for cloud, w in clouds]),
        ("a tuple of 3 for cloud 1", [clouds[0], (*clouds[1], 3)]),
        ("none in cloud 1", [clouds[0], np.zeros((0, 2))]),
        (r"got generator\. Pass list", (cloud for cloud in clouds)),
    ]
    for sentence, form in forms:
        with pytest.raises(ParameterError, match=sentence):
            model.fit(form)
    with pytest.raises(ParameterError, match=r"one cloud is \[cloud\]"):
        model.fit(clouds).transform(rng.random((7, 2)))


def test_neighbours_take_divergences(rng: np.random.Generator) -> None:
    """A cloud's from itself is rounded, and must not be below 0."""
    clouds = rng.random((12, 9, 2)) + (np.arange(12) % 2)[:, None, None]
    model = make_pipeline(
        TransportKernel(output="divergence"), KNeighborsClassifier(1, metric="precomputed")
    )
    assert model.fit(clouds, np.arange(12)).score(clouds, np.arange(12)) == 1


def test_it_tells_how_far_it_is(
    clouds: Clouds, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    TransportKernel(epsilon=EPSILON, verbose=1).fit(clouds)
    told = capsys.readouterr().out
    assert "Clouds" in told
    assert "Batch 3" in told
