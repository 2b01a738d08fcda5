"""Mixtures of Riemannian Gaussians: their normalisation, EM, and samples."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from helpers import eps
from hyperbolic_truth import in_ball
from scipy.special import logsumexp
from scipy.stats import ks_1samp
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score

from georeduce.apps.hyperbolic import (
    HalfSpace,
    Hyperboloid,
    PoincareBall,
    RiemannianGaussianMixture,
)
from georeduce.apps.hyperbolic._gaussian import drawn, radial, width

EPS = eps(float)
BALL = PoincareBall()
OTHERS = {"hyperboloid": Hyperboloid(), "half-space": HalfSpace()}
SIGMAS = [1e-3, 0.1, 0.7, 2.0, 15.0]


def model(k: int = 1, **params: Any) -> RiemannianGaussianMixture:
    return RiemannianGaussianMixture(k, **{"coordinates": "ball", "random_state": 0, **params})


def known(D: int = 2, **params: Any) -> RiemannianGaussianMixture:
    """Return a mixture of three Gaussians, as if it had been fitted."""
    made = model(3, **params)
    made.weights_ = np.array([0.5, 0.3, 0.2])
    made.means_ = np.zeros((3, D))
    made.means_[1:, 0] = [0.99, -0.95]
    made.sigmas_ = np.array([0.3, 0.8, 0.5])
    made.n_features_in_ = D
    return made


# --- The normalisation ------------------------------------------------------------------------


def closed_form(sigma: float, D: int) -> float:
    """Return log zeta by the sum over binomials, at 30 digits more than it loses."""
    with mpmath.workdps(30 + 4 * D):  # sigma^(D - 1) is what is lost
        s, terms = mpmath.mpf(sigma), []
        for k in range(D):
            p = (D - 1 - 2 * k) * s
            term = mpmath.exp(p * p / 2) * (1 + mpmath.erf(p / mpmath.sqrt(2)))
            terms.append((-1) ** k * mpmath.binomial(D - 1, k) * term)
        sphere = 2 * mpmath.pi ** (mpmath.mpf(D) / 2) / mpmath.gamma(mpmath.mpf(D) / 2)
        flat = mpmath.sqrt(mpmath.pi / 2) * s / mpmath.mpf(2) ** (D - 1)
        return float(mpmath.log(sphere * flat * mpmath.fsum(terms)))


@pytest.mark.parametrize("D", [1, 2, 3, 10, 40])
def test_zeta_is_its_closed_form(D: int) -> None:
    found, squares, _ = radial(np.array(SIGMAS), D)
    exact = np.array([closed_form(sigma, D) for sigma in SIGMAS])
    # a rule of 128 nodes, whose values are exponentials of what is of the order of the result
    off = 512 * EPS * np.maximum(1, abs(exact))
    assert (abs(found - exact) <= off).all()
    # E[r^2] is sigma^3 times the slope: a difference quotient, off by h^2 and by roundings over h
    h = 1e-4
    up, down = (radial(np.array(SIGMAS) * (1 + s * h), D)[0] for s in (1, -1))
    slope = (up - down) / (2 * h) * np.array(SIGMAS) ** 2
    assert (abs(slope / squares - 1) <= 10 * (D * h**2 + off / h / D)).all()
    assert width(squares, D) == pytest.approx(SIGMAS, rel=1e-9)


def test_small_gaussians_are_flat_ones() -> None:
    sigma = np.array([1e-5])
    for D in (1, 2, 5):
        log_zeta, squares, _ = radial(sigma, D)
        assert log_zeta == pytest.approx(D / 2 * np.log(2 * np.pi * sigma**2), rel=1e-9)
        assert squares == pytest.approx(D * sigma**2, rel=1e-9)


def test_geomstats_has_the_same_normalisation() -> None:
    theirs = pytest.importorskip("geomstats.geometry.poincare_ball").PoincareBall(2)
    sigma = np.linspace(0.3, 2, 5)
    found = theirs.metric.normalization_factor(sigma)
    # theirs leaves out the length of the circle, and has a fit for its erf
    assert np.exp(radial(sigma, 2)[0]) == pytest.approx(2 * np.pi * found, rel=1e-6)


@pytest.mark.parametrize(("sigma", "D"), [(0.05, 3), (1.0, 1), (1.0, 2), (0.13, 100)])
def test_radii_are_drawn_from_their_density(sigma: float, D: int, rng: Any) -> None:
    v = drawn(sigma, D, 20000, rng)
    assert v.shape == (20000, D)
    r = np.linalg.norm(v, axis=1)
    grid = np.linspace(0, r.max() * 2, 20001)[1:]
    with np.errstate(divide="ignore"):
        logs = (D - 1) * np.log(np.sinh(grid)) - grid**2 / (2 * sigma**2)
    density = np.exp(logs - logs.max())
    cumulative = np.cumsum(density) / density.sum()
    assert ks_1samp(r, lambda x: np.interp(x, grid, cumulative)).pvalue > 1e-3
    assert abs(v.mean(axis=0)).max() < 5 * r.max() / np.sqrt(len(v))


# --- The mixture ------------------------------------------------------------------------------


def log_density(mixture: Any, X: Any) -> Any:
    d = BALL.distance(X[:, None], mixture.means_)
    terms = -(d**2) / (2 * mixture.sigmas_**2) - radial(mixture.sigmas_, X.shape[1])[0]
    return terms + np.log(mixture.weights_)


def test_predictions_are_bayes_rule(rng: Any, backend: str) -> None:
    mixture = known(backend=backend)
    X = in_ball(rng, 200, 2)
    logs = log_density(mixture, X)
    scores = logsumexp(logs, axis=1)
    off = 64 * EPS * (1 + abs(logs).max())
    assert abs(mixture.score_samples(X) - scores).max() <= off
    assert mixture.score(X) == pytest.approx(scores.mean(), abs=off)
    w = rng.random(200)
    assert mixture.score(X, sample_weight=w) == pytest.approx(
        np.average(scores, weights=w), abs=off
    )
    shares = mixture.predict_proba(X)
    assert abs(shares - np.exp(logs - scores[:, None])).max() <= off
    assert (mixture.predict(X) == logs.argmax(axis=1)).all()
    n = 3 * 2 + 3 + 2
    assert mixture.aic(X) == pytest.approx(-2 * scores.sum() + 2 * n, rel=off)
    assert mixture.bic(X) == pytest.approx(-2 * scores.sum() + n * np.log(200), rel=off)


def test_samples_with_names_are_taken_as_they_are(rng: Any) -> None:
    """Without a warning that parts of them have no names."""
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(rng.standard_normal((30, 2)), columns=["a", "b"])
    found = RiemannianGaussianMixture(2, random_state=0).fit(X)
    assert found.feature_names_in_.tolist() == ["a", "b"]
    assert (found.predict_proba(X).argmax(axis=1) == found.predict(X)).all()


@pytest.mark.parametrize("K", [-1.0, -0.3])
def test_densities_integrate_to_one(K: float) -> None:
    """By the Riemannian volume, on a polar grid about the centre."""
    mixture = known(curvature=K)
    mixture.means_ = np.array([[0.0, 0.0], [0.5, 0.0], [-0.2, 0.6]]) / np.sqrt(-K)
    R = 1 / np.sqrt(-K)
    r = np.linspace(0, 9, 1201)[1:] - 9 / 2400
    a = np.arange(200) * 2 * np.pi / 200
    X = R * np.tanh(r / 2)[:, None, None] * np.stack([np.cos(a), np.sin(a)], axis=-1)
    density = np.exp(mixture.score_samples(X.reshape(-1, 2))).reshape(1200, 200)
    volume = R**2 * np.sinh(r)[:, None] * (9 / 1200) * (2 * np.pi / 200)
    assert (density * volume).sum() == pytest.approx(1, abs=1e-4)  # the rule's step, squared


@pytest.mark.parametrize("D", [2, 3])
def test_parameters_are_recovered(D: int) -> None:
    truth = known(D)
    X, y = truth.sample(3000)
    assert np.bincount(y) / 3000 == pytest.approx(truth.weights_, abs=0.05)
    found = model(3, n_init=4).fit(X)
    assert found.converged_
    order = [int(BALL.distance(found.means_, m).argmin()) for m in truth.means_]
    assert sorted(order) == [0, 1, 2]
    # standard errors: sigma / sqrt(n) for means, sqrt(2 / D) of that for sigmas; five of them
    n = 3000 * truth.weights_
    assert (BALL.distance(found.means_[order], truth.means_)
            <= 5 * truth.sigmas_ * np.sqrt(D / n)).all()  # fmt: skip
    assert (abs(found.sigmas_[order] / truth.sigmas_ - 1) <= 5 / np.sqrt(n)).all()
    assert (abs(found.weights_[order] - truth.weights_) <= 5 / np.sqrt(3000)).all()
    assert adjusted_rand_score(y, found.predict(X)) > 0.9
    assert found.score(X) >= truth.score(X)


def test_bounds_never_fall(rng: Any, capsys: Any) -> None:
    X = in_ball(rng, 150, 2, 3)
    for init in ("kmeans", "k-means++", "random"):
        found = model(4, init_params=init, tol=1e-5, max_iter=500, reg_covar=0.0).fit(X)
        steps = np.diff(found.lower_bounds_)
        assert (steps >= -64 * EPS * abs(found.lower_bound_)).all()
        assert found.n_iter_ == len(found.lower_bounds_) > 2
        assert found.lower_bound_ == pytest.approx(found.score(X), rel=1e-9)
    model(2, verbose=1, n_init=2).fit(X)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "RiemannianGaussianMixture: run 1 of 2"
    assert lines[1].startswith("RiemannianGaussianMixture: iteration 1: mean log-density ")


def test_one_gaussian_is_the_maximum_of_the_likelihood(rng: Any) -> None:
    X, w = in_ball(rng, 100, 3, 2), rng.random(100)
    found = model(tol=1e-14, max_iter=500, reg_covar=0.0).fit(X, sample_weight=w)
    mean = BALL.frechet_mean(X, w)
    assert BALL.distance(found.means_[0], mean) <= 1e-6  # a maximum, to the root of a rounding
    squares = radial(found.sigmas_, 3)[1][0]
    assert squares == pytest.approx(BALL.frechet_variance(X, w), rel=1e-6)


@pytest.mark.parametrize("kind", [*OTHERS, "tangent"])
def test_all_coordinates_give_the_same_mixture(kind: str) -> None:
    X, _ = known().sample(300)
    one = model(3).fit(X)
    space = OTHERS.get(kind)
    Z = BALL.log(np.zeros(2), X) if space is None else BALL.convert(X, space)
    other = model(3, coordinates=kind).fit(Z)
    # other draws of seeds, the same maximum
    assert other.score(Z) == pytest.approx(one.score(X), abs=1e-4)
    assert np.sort(other.sigmas_) == pytest.approx(np.sort(one.sigmas_), rel=1e-2)
    # as many parameters: a point of the hyperboloid has one coordinate more than it needs
    penalty = [m.bic(A) + 2 * len(A) * m.score(A) for m, A in ((one, X), (other, Z))]
    assert penalty[0] == pytest.approx(penalty[1], rel=1e-9)
    drawn_from, _ = other.sample(5)
    assert drawn_from.shape == (5, Z.shape[1])
    assert np.isfinite(other.score_samples(drawn_from)).all()


def test_curvature_is_a_unit_of_length(rng: Any) -> None:
    X, _ = known().sample(200)
    one, two = (
        model(2, curvature=K, init_params="random").fit(X / np.sqrt(-K)) for K in (-1, -0.25)
    )
    assert two.sigmas_ == pytest.approx(2 * one.sigmas_, rel=1e-2)
    assert two.means_ == pytest.approx(2 * one.means_, abs=1e-2)
    scores = one.score_samples(X) - 2 * np.log(2)  # a density in units of length squared
    assert two.score_samples(2 * X) == pytest.approx(scores, abs=1e-2)


def test_weights_count_as_copies(rng: Any) -> None:
    X = in_ball(rng, 60, 2, 3)
    w = rng.integers(0, 3, 60)
    one, other = model(2).fit(X, sample_weight=w), model(2).fit(np.repeat(X, w, axis=0))
    assert one.sigmas_ == pytest.approx(other.sigmas_, rel=1e-3)
    assert one.score(X, sample_weight=w) == pytest.approx(other.score(X, sample_weight=w), abs=1e-5)


def test_samples_at_one_point_and_at_the_border() -> None:
    found = model(2).fit(np.array([[0.1, 0.2]] * 5 + [[0.0, 1 - 1e-12]] * 5))
    assert np.isfinite(found.score_samples([[0.1, 0.2], [0.0, 0.0], [0.0, 1 - 1e-12]])).all()
    assert found.sigmas_ == pytest.approx(1e-3, rel=1e-3)  # the root of reg_covar
    assert found.predict_proba([[0.1, 0.2], [0.0, 1 - 1e-12]]).max(axis=1).tolist() == [1, 1]


def test_what_is_refused_and_what_is_warned_of(rng: Any) -> None:
    X = in_ball(rng, 50, 2, 3)
    with pytest.warns(
        ConvergenceWarning, match="EM did not converge in 1 iterations. Pass a larger"
    ):
        model(2, max_iter=1).fit(X)
    with pytest.raises(
        ValueError, match="Expected n_samples >= n_components = 9, but got n_samples"
    ):
        model(9).fit(X[:5])
    with pytest.raises(ValueError, match="Expected points inside of the ball of radius 1, but got"):
        model().fit(X * 3)
    with pytest.raises(ValueError, match="last axis has a length of at least 2, but got"):
        model(coordinates="hyperboloid").fit(X[:, :1])
    with pytest.raises(
        ValueError, match=r"at least 3 samples of positive weight, .* got 1\. Pass 'k-means"
    ):
        model(3, init_params="random").fit(X, sample_weight=np.arange(50) == 7)
    with pytest.raises(ValueError, match="Expected n_samples to be a positive integer, but got 0"):
        known().sample(0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_dtypes_are_kept(dtype: Any, rng: Any) -> None:
    X = in_ball(rng, 50, 2, 3).astype(dtype)
    found = model(2).fit(X)
    for a in (found.means_, found.sigmas_, found.weights_, found.sample(3)[0],
              found.score_samples(X), found.predict_proba(X)):  # fmt: skip
        assert a.dtype == dtype


def test_log_densities_have_gradients(rng: Any) -> None:
    torch = pytest.importorskip("torch")
    mixture, X = known(), in_ball(rng, 6, 2, 1)
    x = torch.tensor(X, requires_grad=True)
    mixture.score_samples(x).sum().backward()
    step = EPS ** (1 / 3)
    for d in range(2):
        up, down = (mixture.score_samples(X + s * step * np.eye(2)[d]) for s in (1, -1))
        slope = (up - down) / (2 * step)
        # of a difference quotient, where gaps are 0.1 and more
        assert abs(x.grad[:, d].numpy() - slope).max() <= 100 * step * abs(slope).max()
