"""Kernel density: against scikit-learn, against integrals and loops, and awkward inputs."""

from __future__ import annotations

import math
import pickle
import re
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import sklearn.neighbors
from helpers import eps, sum_error
from scipy.integrate import quad
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from sklearn.model_selection import GridSearchCV

from georeduce.apps.gmm import KernelDensity
from georeduce.apps.gmm._kernels import KERNELS, NORMS, log_norm
from georeduce.engine import ArgumentError

each_kernel = pytest.mark.parametrize("kernel", KERNELS)
TRUE: dict[str, Any] = {
    "gaussian": lambda u: np.exp(-(u**2) / 2),
    "tophat": lambda u: np.where(u < 1, 1.0, 0.0),
    "epanechnikov": lambda u: np.maximum(1 - u**2, 0),
    "exponential": lambda u: np.exp(-u),
    "linear": lambda u: np.maximum(1 - u, 0),
    "cosine": lambda u: np.where(u < 1, np.cos(np.pi / 2 * np.minimum(u, 1)), 0),
}
COMPILED = ("gaussian", "linear")
"""What is compiled in all variants: with weights, and for leaving one out."""
REACH = {"gaussian": 40, "exponential": 700}
"""Bandwidths beyond which a kernel is 0; 1 for all others."""


def bound(log_density: Any, n: int, dtype: Any) -> Any:
    """Return how far log-densities of two ways may be off.

    A kernel is off by a few roundings, of the logarithm or the result, whichever is larger; sums of
    n of them, which are positive, by `sum_error`.
    """
    size = 1 + np.abs(np.where(np.isfinite(log_density), log_density, 0))
    return 2 * (20 * eps(dtype) * size + sum_error(dtype, n))


def assert_equal(found: Any, expected: Any, n: int, dtype: Any = np.float64) -> None:
    assert (np.isneginf(found) == np.isneginf(expected)).all()
    some = np.isfinite(expected)
    off = np.abs(found[some] - expected[some])
    assert (off <= bound(expected, n, dtype)[some]).all()


@each_kernel
def test_agrees_with_scikit_learn(kernel: str, backend: str, rng: Any) -> None:
    X, queries = rng.standard_normal((120, 3)), 1.5 * rng.standard_normal((70, 3))
    queries[:10] = X[:10]
    weights = [None, rng.random(120) * (rng.random(120) > 0.3)]
    for w in weights if backend == "numpy" or kernel in COMPILED else weights[:1]:
        for h in (0.2, 1.0, 3.0):
            how: Any = {"kernel": kernel, "bandwidth": h}
            ours = KernelDensity(**how, backend=backend).fit(X, sample_weight=w)
            # of one leaf: the bounds of others are subtracted again, which leaves noise where
            # densities are low
            theirs = sklearn.neighbors.KernelDensity(**how, leaf_size=120).fit(X, sample_weight=w)
            with np.errstate(divide="ignore"):
                expected = theirs.score_samples(queries)
            assert_equal(ours.score_samples(queries), expected, 120)
            assert ours.score(queries) == pytest.approx(expected.sum(), rel=120 * eps(np.float64))


@pytest.mark.parametrize("bandwidth", ["scott", "silverman"])
@pytest.mark.parametrize("D", [1, 2, 5])
def test_rules_of_thumb(bandwidth: str, D: int, rng: Any) -> None:
    X = rng.standard_normal((50, D))
    ours = KernelDensity(bandwidth=bandwidth, backend="numpy").fit(X)
    theirs = sklearn.neighbors.KernelDensity(bandwidth=bandwidth).fit(X)
    assert ours.bandwidth_ == theirs.bandwidth_
    assert_equal(ours.score_samples(X), theirs.score_samples(X), 50)


# --- Kernels ----------------------------------------------------------------------------------


@pytest.mark.parametrize("D", [1, 2, 3, 4, 8, 30])
@each_kernel
def test_moments_and_quantiles_are_those_of_the_kernel(kernel: str, D: int) -> None:
    entry, reach = KERNELS[kernel], REACH.get(kernel, 1)

    def mass(upto: float) -> float:
        ways = pairwise(np.linspace(0, upto, 5))  # or a narrow peak may be missed
        return sum(
            quad(lambda r: TRUE[kernel](r) * r ** (D - 1), *way, epsabs=0)[0] for way in ways
        )

    whole = mass(float(reach))
    near = {"rel": 10 * math.sqrt(eps(np.float64))}  # `quad` is asked for the root, of each part
    assert math.exp(entry.log_moment(D)) == pytest.approx(whole, **near)
    for p in (0.01, 0.5, 0.97):
        radius = float(entry.quantile(np.array([p]), D)[0])
        assert mass(radius) / whole == pytest.approx(p, **near)


@pytest.mark.parametrize("metric", NORMS)
@each_kernel
def test_densities_integrate_to_one(kernel: str, metric: str) -> None:
    X = np.array([[0.2, -0.1], [1.0, 0.4]])
    model = KernelDensity(kernel=kernel, metric=metric, bandwidth=0.7, backend="numpy").fit(X)
    half = 0.7 * min(REACH.get(kernel, 1), 25) + 2
    points, step = np.linspace(-half, half, 801, retstep=True)
    grid = np.stack(np.meshgrid(points, points), -1).reshape(-1, 2)
    total = np.exp(model.score_samples(grid)).sum() * step**2
    assert total == pytest.approx(1, abs=4 * step)  # jumps at a border that is some 4 long


def test_names_of_norms(rng: Any) -> None:
    X = rng.random((20, 2))
    found = {
        name: KernelDensity(kernel="linear", backend="numpy", **how).fit(X).score(X)
        for name, how in {
            "euclidean": {},
            "l2": {"metric": "l2"},
            "minkowski": {"metric": "minkowski"},
            "manhattan": {"metric": "manhattan"},
            "l1": {"metric": "l1"},
            "p": {"metric": "minkowski", "metric_params": {"p": 1}},
        }.items()
    }
    assert found["euclidean"] == found["l2"] == found["minkowski"]
    assert found["manhattan"] == found["l1"] == found["p"]
    # up to the volume of the ball, scikit-learn's
    peer = sklearn.neighbors.KernelDensity(kernel="linear", metric="manhattan").fit(X)
    volumes = 20 * (NORMS["euclidean"].log_volume(2) - NORMS["manhattan"].log_volume(2))
    expected = peer.score(X) + volumes
    assert found["manhattan"] == pytest.approx(expected, rel=20 * eps(np.float64))


def test_far_from_all_samples(backend: str) -> None:
    X = np.zeros((3, 3))
    model = KernelDensity(bandwidth=0.5, backend=backend).fit(X)
    expected = -((1e6 / 0.5) ** 2) / 2 - log_norm(KERNELS["gaussian"], "euclidean", 0.5, 3)
    assert_equal(model.score_samples([[0.0, 1e6, 0.0]]), np.array([expected]), 3)
    compact = KernelDensity(kernel="tophat", bandwidth=0.5, backend=backend).fit(X)
    assert compact.score_samples([[0.0, 0.5, 0.0]]).tolist() == [-np.inf]  # at the border, too
    assert compact.score([[0.0, 1e6, 0.0]]) == -np.inf


def test_float32_is_kept(backend: str, rng: Any) -> None:
    X = (1e6 + rng.standard_normal((100, 3))).astype(np.float32)
    for kernel in COMPILED:
        model = KernelDensity(kernel=kernel, backend=backend)
        found = model.fit(X).score_samples(X)
        exact = model.fit(X.astype(float)).score_samples(X)
        assert found.dtype == np.float32
        assert exact.dtype == np.float64
        assert_equal(found, exact, 100, np.float32)


# --- Cross-validation -------------------------------------------------------------------------


def left_out(kernel: str, X: Any, w: Any, h: float) -> float:
    """Return the log-likelihood of all samples, each under the density of the others, by a loop."""
    total = 0.0
    for i in np.flatnonzero(w):
        others = np.arange(len(X)) != i
        u = cdist(X[i : i + 1], X[others])[0] / h
        with np.errstate(divide="ignore"):
            if kernel in REACH:
                logs = -(u**2) / 2 if kernel == "gaussian" else -u
            else:
                logs = np.log(TRUE[kernel](u))
            log_sum = logsumexp(logs + np.log(w[others]))
        total += w[i] * (log_sum - math.log(w[others].sum()))
    return total - w.sum() * log_norm(KERNELS[kernel], "euclidean", h, X.shape[1])


def check_left_out(kernel: str, backend: str, rng: Any) -> None:
    X = rng.random((60, 3))
    X[7] = X[8]  # duplicates stay
    w = rng.random(60)
    w[3] = 0
    grid = [0.05, 0.3, 1.0, 4.0]
    model = KernelDensity(kernel=kernel, bandwidth="cv", bandwidth_grid=grid, backend=backend)
    for weights in (None, w):
        model.fit(X, sample_weight=weights)
        used = np.ones(60) if weights is None else w
        expected = np.array([left_out(kernel, X, used, h) for h in grid])
        assert_equal(model.cv_scores_, expected, 60 * 60)
        assert model.bandwidth_ == grid[expected.argmax()]
        assert model.bandwidth_grid_.tolist() == grid


@each_kernel
def test_cross_validation_leaves_one_out(kernel: str, rng: Any) -> None:
    check_left_out(kernel, "numpy", rng)


@pytest.mark.parametrize("kernel", COMPILED)
def test_compiled_cross_validation(kernel: str, backend: str, rng: Any) -> None:
    check_left_out(kernel, backend, rng)


def test_an_outlier_does_not_end_cross_validation(backend: str, rng: Any) -> None:
    X = rng.standard_normal((200, 3))
    X[0] = 1e3
    model = KernelDensity(bandwidth="cv", backend=backend).fit(X)
    assert np.isfinite(model.cv_scores_).all()
    assert model.bandwidth_grid_.shape == (25,)
    with pytest.raises(ArgumentError, match=r"that reach other samples, but got .* kernel='gauss"):
        KernelDensity(
            bandwidth="cv", bandwidth_grid=[1, 2], kernel="tophat", backend="numpy"
        ).fit(X)  # fmt: skip


def test_cross_validation_finds_what_suits_the_data() -> None:
    X = np.random.RandomState(0).normal(scale=3.0, size=(400, 1))
    model = KernelDensity(bandwidth="cv", backend="numpy").fit(X)
    ideal = 3.0 * (4 / 3 / 400) ** 0.2  # Silverman's, for normal data
    assert ideal / 2 < model.bandwidth_ < 2 * ideal
    thrice = KernelDensity(bandwidth="cv", backend="numpy").fit(3 * X)
    assert thrice.bandwidth_ == pytest.approx(3 * model.bandwidth_, rel=400 * eps(np.float64))


def test_grid_search(backend: str, rng: Any) -> None:
    X = rng.standard_normal((150, 3))
    grid = {"bandwidth": [0.1, 0.4, 2.0]}
    ours = GridSearchCV(KernelDensity(backend=backend), grid, cv=3).fit(X)
    theirs = GridSearchCV(sklearn.neighbors.KernelDensity(leaf_size=150), grid, cv=3).fit(X)
    assert ours.best_params_ == theirs.best_params_ == {"bandwidth": 0.4}
    scores = [search.cv_results_["mean_test_score"] for search in (ours, theirs)]
    np.testing.assert_allclose(*scores, rtol=150 * eps(np.float64))


# --- Samples ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", ["gaussian", "tophat"])
def test_samples_are_scikit_learns(kernel: str, rng: Any) -> None:
    X = rng.standard_normal((30, 3))
    for w in (None, rng.random(30)):
        how: Any = {"kernel": kernel, "bandwidth": 0.3}
        ours = KernelDensity(**how, backend="numpy").fit(X, sample_weight=w).sample(40, 5)
        theirs = sklearn.neighbors.KernelDensity(**how).fit(X, sample_weight=w).sample(40, 5)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=100 * eps(np.float64))


@pytest.mark.parametrize("metric", NORMS)
@each_kernel
def test_samples_follow_the_density(kernel: str, metric: str) -> None:
    X = np.array([[-50.0, 0.0], [50.0, 0.0], [7.0, 7.0]], np.float32)
    model = KernelDensity(kernel=kernel, metric=metric, bandwidth=0.5, backend="numpy")
    drawn = model.fit(X, sample_weight=[1, 3, 0]).sample(4000, random_state=0)
    assert drawn.shape == (4000, 2)
    assert drawn.dtype == np.float32
    assert (drawn == model.sample(4000, random_state=0)).all()
    right = drawn[:, 0] > 0
    center = np.where(right[:, None], X[1], X[0])
    spread = 6 / math.sqrt(4000)  # six standard deviations, at least, of all the shares below
    assert right.mean() == pytest.approx(0.75, abs=spread)
    x = (drawn - center) / 0.5
    assert (x > 0).mean(0) == pytest.approx([0.5, 0.5], abs=spread)
    r = np.linalg.norm(x, axis=1) if metric == "euclidean" else np.abs(x).sum(1)
    for p in (0.1, 0.5, 0.9):
        radius = KERNELS[kernel].quantile(np.array([p]), 2)[0]
        assert (r < radius).mean() == pytest.approx(p, abs=spread)


# --- Conventions and awkward inputs -----------------------------------------------------------


def test_parameters_are_scikit_learns() -> None:
    more = {"bandwidth_grid": None, "n_jobs": None, "backend": "auto"}
    assert KernelDensity().get_params() == {
        **sklearn.neighbors.KernelDensity().get_params(),
        **more,
    }


def test_weights_are_repetitions_and_constants_do_no_harm(backend: str, rng: Any) -> None:
    X, times = rng.standard_normal((40, 3)), rng.integers(0, 3, 40)
    X[:, 1] = 1.0
    weighted = KernelDensity(backend=backend).fit(X, sample_weight=times)
    repeated = KernelDensity(backend=backend).fit(X.repeat(times, axis=0))
    assert_equal(weighted.score_samples(X), repeated.score_samples(X), 80)


def test_threads_and_pickle(rng: Any) -> None:
    X = rng.standard_normal((1500, 3))
    found = [KernelDensity(n_jobs=n).fit(X) for n in (1, 2, 3)]
    first = found[0].score_samples(X)
    for model in (*found, pickle.loads(pickle.dumps(found[0]))):
        assert (model.score_samples(X) == first).all()


X3 = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 9.0]])
WRONG: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("bandwidth", {"bandwidth": 0}, {}, "bandwidth to be a positive number or 'scott', 'silverm"),
    ("rule", {"bandwidth": "scot"}, {}, "but got 'scot'. Did you mean 'scott'?"),
    ("kernel", {"kernel": "gauss"}, {}, "but got 'gauss'. Did you mean 'gaussian'?"),
    ("metric", {"metric": "cosine"}, {}, "known volume, euclidean or manhattan, but got 'cosine'"),
    ("function", {"metric": abs}, {}, "whose unit ball has a known volume"),
    ("unknown", {"metric": "manhatan"}, {}, "but got 'manhatan'. Did you mean 'manhattan'?"),
    ("grid", {"bandwidth": "cv", "bandwidth_grid": [1, 0]}, {}, "bandwidth_grid to be positive"),
    ("same", {"bandwidth": "cv"}, {"X": X3[[0, 0]]}, "samples that differ, for bandwidth='cv'"),
    ("alone", {"bandwidth": "cv"}, {"sample_weight": [0, 1, 0]}, "at least 2 samples of positive"),
    ("negative", {}, {"sample_weight": [1, -1, 0]}, "sample_weight >= 0, but got -1.0 for sample"),
]  # fmt: skip


@pytest.mark.parametrize(("params", "fit", "sentence"), [w[1:] for w in WRONG],
                         ids=[w[0] for w in WRONG])  # fmt: skip
def test_wrong_parameters(params: Any, fit: Any, sentence: str) -> None:
    with pytest.raises(ArgumentError, match=re.escape(sentence)):
        KernelDensity(backend="numpy", **params).fit(**{"X": X3, **fit})


def test_nan() -> None:
    with pytest.raises(ValueError, match="X contains NaN"):
        KernelDensity().fit(np.where(X3 == 0, np.nan, X3))
    model = KernelDensity(backend="numpy").fit(X3)
    with pytest.raises(ValueError, match="X contains NaN"):
        model.score_samples(np.where(X3 == 0, np.nan, X3))
    with pytest.raises(ArgumentError, match="n_samples to be a positive integer, but got 0"):
        model.sample(0)
