"""Hyperbolic k-means, and votes of neighbours in the ball."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from helpers import eps
from hyperbolic_truth import directions, distance, in_ball, of_rows
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score

from georeduce.apps.hyperbolic import (
    HalfSpace,
    HyperbolicKMeans,
    Hyperboloid,
    PoincareBall,
    RiemannianGaussianMixture,
)
from georeduce.apps.knn import KNeighborsClassifier

EPS = eps(float)
BALL = PoincareBall()
OTHERS = {"hyperboloid": Hyperboloid(), "half-space": HalfSpace()}


def blobs(rng: Any, n: int = 40, gap: float = 1e-2) -> tuple[Any, Any]:
    """Return points around the centre and around three points near the border."""
    middles = np.concatenate([np.zeros((1, 2)), np.eye(2) * (1 - gap), [[-0.7, -0.7]]])
    middles[3] *= (1 - gap) / np.linalg.norm(middles[3])
    labels = np.repeat(np.arange(4), n)
    space = BALL._features(middles[labels])
    return BALL.project(BALL._exp(space, rng.standard_normal((4 * n, 2)) * 0.5)), labels


def model(k: int = 4, **params: Any) -> HyperbolicKMeans:
    return HyperbolicKMeans(k, **{"coordinates": "ball", "random_state": 0, **params})


def cost(X: Any, centers: Any) -> float:
    return float((BALL.distance(X[:, None], centers).min(axis=1) ** 2).sum())


@pytest.mark.parametrize("gap", [1e-2, 1e-12])
def test_clusters_are_found_and_are_what_they_say(gap: float, rng: Any, backend: str) -> None:
    X, truth = blobs(rng, gap=gap)
    found = model(backend=backend).fit(X)
    assert adjusted_rand_score(truth, found.labels_) > 0.95
    d = found.transform(X)
    assert d == pytest.approx(BALL.distance(X[:, None], found.cluster_centers_), rel=64 * EPS)
    assert (found.labels_ == d.argmin(axis=1)).all()
    assert (found.predict(X) == found.labels_).all()
    assert found.inertia_ == pytest.approx(float((d.min(axis=1) ** 2).sum()), rel=len(X) * EPS)
    assert found.score(X) == pytest.approx(-found.inertia_, rel=len(X) * EPS)
    for k, center in enumerate(found.cluster_centers_):
        mean = BALL.frechet_mean(X[found.labels_ == k])
        # tol is of squares; and a rounding of coordinates
        assert BALL.distance(center, mean) <= 1e-3 + 8 * EPS / gap


def test_euclidean_clusters_are_others(rng: Any) -> None:
    """Near the border what is far apart is close to the eye: a test of the test."""
    side = np.array([[np.cos(a), np.sin(a)] for a in (0, 1e-3, 2e-3, 3e-3)]) * (1 - 1e-6)
    X = BALL.project(BALL._exp(BALL._features(np.repeat(side, 20, 0)),
                               rng.standard_normal((80, 2)) * 0.5))  # fmt: skip
    truth = np.repeat(np.arange(4), 20)
    assert adjusted_rand_score(truth, model().fit(X).labels_) > 0.95
    flat = KMeans(4, n_init=10, random_state=0).fit(np.concatenate([X, -X]))
    assert adjusted_rand_score(truth, flat.labels_[:80]) < 0.8


def test_the_best_of_all_partitions(rng: Any) -> None:
    X = in_ball(rng, 6, 2, 3)
    best = min(
        sum(BALL.frechet_variance(X[part]) * part.sum() for part in (at, ~at))
        for at in (np.array([True, *rest]) for rest in product([True, False], repeat=5))
        if not at.all()
    )
    found = model(2, n_init=20, tol=0).fit(X)
    assert found.inertia_ == pytest.approx(best, rel=1e-8)  # of centers that are off by its root


@pytest.mark.parametrize("kind", OTHERS)
def test_all_coordinates_give_the_same_clusters(kind: str, rng: Any) -> None:
    X, _ = blobs(rng)
    init = X[[0, 40, 80, 120]]
    one = model(init=init).fit(X)
    space = OTHERS[kind]
    other = model(init=BALL.convert(init, space), coordinates=kind).fit(BALL.convert(X, space))
    assert (one.labels_ == other.labels_).all()
    assert one.inertia_ == pytest.approx(other.inertia_, rel=1e-9)
    back = space.convert(other.cluster_centers_, BALL)
    assert BALL.distance(back, one.cluster_centers_).max() <= 1e-6


@pytest.mark.parametrize("K", [-1.0, -0.3])
def test_tangent_vectors_are_logarithms_at_the_centre(K: float, rng: Any) -> None:
    ball = PoincareBall(K)
    X = blobs(rng)[0] * ball.radius
    init = X[[0, 40, 80, 120]]
    one = model(init=init, curvature=K).fit(X)
    o = np.zeros(2)
    default = HyperbolicKMeans(4, init=ball.log(o, init), curvature=K).fit(ball.log(o, X))
    assert (one.labels_ == default.labels_).all()
    assert one.inertia_ == pytest.approx(default.inertia_, rel=1e-9)
    back = ball.exp(o, default.cluster_centers_)
    assert ball.distance(back, one.cluster_centers_).max() <= 1e-6 * ball.radius


def test_curvature_scales_distances(rng: Any) -> None:
    X, _ = blobs(rng)
    init = X[[0, 40, 80, 120]]
    one = model(init=init).fit(X)
    two = model(init=2 * init, curvature=-0.25).fit(2 * X)
    assert (one.labels_ == two.labels_).all()
    assert two.inertia_ == pytest.approx(4 * one.inertia_, rel=1e-12)
    assert two.cluster_centers_ == pytest.approx(2 * one.cluster_centers_, rel=1e-12)


def test_tangent_vectors_far_beyond_what_a_ball_holds(rng: Any) -> None:
    """Two clusters in one direction, at distances 100 and 140 from the centre."""
    X = np.concatenate([[[50.0, 0]], [[70.0, 0]]]).repeat(10, 0)
    X += rng.standard_normal(X.shape) * [0.1, 0]
    found = HyperbolicKMeans(2, random_state=0).fit(X)
    assert adjusted_rand_score([0] * 10 + [1] * 10, found.labels_) == 1
    assert abs(np.sort(found.cluster_centers_[:, 0]) - [50, 70]).max() < 0.2
    with pytest.raises(ValueError, match="no longer than 150, as points farther from the centre"):
        found.predict([[151.0, 0.0]])


def test_weights_count_as_copies(rng: Any) -> None:
    X, _ = blobs(rng, 10)
    w = rng.integers(0, 3, len(X))
    one, other = model().fit(X, sample_weight=w), model().fit(np.repeat(X, w, axis=0))
    assert one.inertia_ == pytest.approx(other.inertia_, rel=1e-9)
    assert BALL.distance(one.cluster_centers_, other.cluster_centers_).max() <= 1e-5
    assert one.score(X, sample_weight=w) == pytest.approx(-one.inertia_, rel=1e-9)


def test_runs_starts_and_threads(rng: Any, capsys: Any) -> None:
    X, _ = blobs(rng)
    many = model(init="random", n_init=5).fit(X)
    alone = [model(init="random", n_init=1, random_state=s).fit(X).inertia_ for s in range(5)]
    assert many.inertia_ <= max(alone)
    threads = [model(n_jobs=n).fit(X) for n in (1, 2)]
    assert (threads[0].cluster_centers_ == threads[1].cluster_centers_).all()
    assert (threads[0].labels_ == threads[1].labels_).all()

    def first(X: Any, k: int, random_state: Any) -> Any:
        return X[:k]

    assert (model(init=first, n_init=1).fit(X).labels_ == model(init=X[:4]).fit(X).labels_).all()
    with pytest.warns(RuntimeWarning, match="there is one run, not n_init=3"):
        model(init=X[:4], n_init=3).fit(X)
    model(init=X[:4], verbose=1).fit(X)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "HyperbolicKMeans: run 1 of 1"
    sums = [float(line.split()[-1]) for line in lines[1:]]
    assert len(sums) > 1
    assert (np.diff(sums) <= 0).all()


def test_empty_clusters_are_filled(rng: Any) -> None:
    X, _ = blobs(rng)
    nobodys = np.array([[-0.6, 0.8], [0.8, -0.6], [0.6, -0.8]]) * (1 - 1e-12)
    init = np.concatenate([np.zeros((1, 2)), nobodys])
    found = model(init=init).fit(X)
    assert np.bincount(found.labels_).min() > 0
    same = np.zeros((5, 2))
    with pytest.warns(ConvergenceWarning, match=r"distinct clusters \(1\) found smaller than"):
        assert model(2).fit(same).inertia_ == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_dtypes_are_kept(dtype: Any, rng: Any) -> None:
    X = blobs(rng)[0].astype(dtype)
    for params, samples in (({}, X), ({"coordinates": "tangent"}, 3 * X)):
        found = model(**params).fit(samples)
        assert found.cluster_centers_.dtype == found.transform(samples).dtype == dtype
        assert found.labels_.dtype == np.int32


def test_what_is_refused(rng: Any) -> None:
    X, _ = blobs(rng, 5)
    bad = X.copy()
    bad[3] = [0.8, 0.7]
    sentence = "Expected points inside of the ball of radius 1, but got a norm of 1.06301 in row 3."
    with pytest.raises(ValueError, match=sentence):
        model().fit(bad)
    with pytest.raises(ValueError, match=sentence):
        model().fit(X).predict(bad)
    with pytest.raises(ValueError, match=r"initial centers of shape .* = \(4, 2\), but got shape"):
        model(init=X[:3]).fit(X)
    with pytest.raises(
        ValueError, match="Expected n_samples >= n_clusters = 4, but got n_samples = 2"
    ):
        model().fit(X[:2])
    with pytest.raises(ValueError, match="Expected curvature to be a negative number, but got 1"):
        model(curvature=1).fit(X)
    with pytest.raises(ValueError, match="Expected coordinates to be 'tangent', 'ball', 'hyperb"):
        model(coordinates="disk").fit(X)


@pytest.mark.parametrize("cls", [HyperbolicKMeans, RiemannianGaussianMixture])
def test_points_of_the_ball_that_are_taken_for_tangent_vectors_are_told(cls: Any, rng: Any) -> None:
    X, _ = blobs(rng, 5)
    with pytest.warns(UserWarning, match=r"of the ball of radius 1\. Points .* coordinates='ball'"):
        cls(2, random_state=0).fit(X)
    cls(2, random_state=0).fit(X / 2)  # all are far from the border
    cls(2, random_state=0).fit(X * 2)  # some are outside


# --- Votes of neighbours ----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_votes_of_neighbours_at_the_border(dtype: Any, rng: Any) -> None:
    """`KNeighborsClassifier` has the ball's formula, so that it needs no class of its own."""
    gap = 1e-6 if dtype == np.float32 else 1e-12
    X = (directions(rng, 60, 3) * (1 - gap * rng.uniform(1, 2, (60, 1)))).astype(dtype)
    y = rng.integers(0, 3, 60)
    found = KNeighborsClassifier(5, metric="poincare").fit(X[20:], y[20:])
    exact = np.array([of_rows(lambda b, a=a: distance(a, b), X[20:]) for a in X[:20]])
    nearest = np.argsort(exact, axis=1)[:, :5]
    distances, indices = found.kneighbors(X[:20])
    assert (indices == nearest).all()
    exact = np.take_along_axis(exact, nearest, axis=1)
    assert (abs(distances / exact - 1) <= 16 * eps(dtype)).all()
    votes = [np.bincount(y[20:][row], minlength=3).argmax() for row in nearest]
    assert (found.predict(X[:20]) == votes).all()
