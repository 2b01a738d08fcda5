"""Barycenters beside POT's and those of Gaussians."""

from __future__ import annotations

from typing import Any

import numpy as np
import ot
import pytest
import torch

from georeduce.apps.ot import barycenter, sinkhorn_divergence
from georeduce.engine import ArgumentError, ConvergenceWarning, ShapeError

Array = np.ndarray[Any, Any]
EPSILON = 0.3
TOL = 1e-3


@pytest.fixture
def clouds(rng: np.random.Generator) -> tuple[Array, Array]:
    return rng.normal(size=(40, 2)), rng.normal(size=(50, 2)) * [1, 0.3] + [2, 1]


def test_iterations_are_pots(clouds: tuple[Array, Array], rng: np.random.Generator) -> None:
    masses = [w / w.sum() for w in (rng.random(40), rng.random(50))]
    a = rng.random(20)
    a /= a.sum()
    start, steps = clouds[0][:20], 3
    how: dict[str, Any] = {"numItermax": steps, "stopThr": 0, "numInnerItermax": 2000}
    theirs = ot.bregman.free_support_sinkhorn_barycenter(
        clouds, masses, start, EPSILON, b=a, weights=np.array([0.25, 0.75]), **how
    )
    tol = 1e-7
    with pytest.warns(
        ConvergenceWarning, match="still move by.*after 3 iterations.*Raise max_iter"
    ):
        ours = barycenter(
            clouds, masses, [1, 3], start=start, a=a, epsilon=EPSILON, debiased=False,
            tol=tol, max_iter=steps,
        )  # fmt: skip
    # marginals off by tol move means by as much of the extent, in each step
    np.testing.assert_allclose(ours.x, theirs, atol=10 * steps * tol)
    assert len(ours.changes) == steps
    assert not ours.converged


@pytest.mark.parametrize("epsilon", [None, EPSILON], ids=str)
def test_the_barycenter_of_gaussians(rng: np.random.Generator, epsilon: float | None) -> None:
    """Of N(m_k, A_k^2) with commuting A_k it is N(mean of m, (mean of A)^2)."""
    z = rng.normal(size=(100, 2))
    z = (z - z.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(z.T)).T)
    A = np.array([[1, 0.3], [0.3, 0.5]])
    B = A @ A + 0.3 * np.eye(2)
    found = barycenter(
        [z @ A, z @ B + [4, 1]], weights=[1, 3], epsilon=epsilon, tol=TOL, random_state=0
    )
    assert found.converged
    C = 0.25 * A + 0.75 * B
    extent = np.sqrt(np.trace(C @ C))
    # debiased: as wide as it is without entropy; steps of tol leave several of tol to go
    np.testing.assert_allclose(found.x.mean(0), [3, 0.75], atol=10 * TOL * extent)
    np.testing.assert_allclose(np.cov(found.x.T), C @ C, atol=20 * TOL * extent**2)


def test_a_cloud_is_its_own_barycenter(clouds: tuple[Array, Array]) -> None:
    x, other = clouds
    found = barycenter([x], start=x, epsilon=EPSILON)
    np.testing.assert_array_equal(found.x, x)  # where it starts there, it stays
    assert found.changes == (0,)
    few = barycenter([x], n_points=15, epsilon=EPSILON, random_state=0)
    assert few.x.shape == (15, 2)
    drawn, moved = (sinkhorn_divergence(p, x, epsilon=EPSILON) for p in (x[:15], few.x))
    assert moved < drawn / 3
    # a cloud of weight 0 is not looked at
    same = barycenter(
        [x, other + np.inf], weights=[1, 0], n_points=15, epsilon=EPSILON, random_state=0
    )
    np.testing.assert_array_equal(same.x, few.x)


def test_entropy_shrinks_what_is_not_debiased(clouds: tuple[Array, Array]) -> None:
    x = clouds[0]
    sizes = [
        barycenter([x], start=x, epsilon=EPSILON, debiased=debiased, tol=10 * TOL).x.std()
        for debiased in (True, False)
    ]
    assert sizes[0] == x.std()
    # of a Gaussian: variances less epsilon / 2 in each direction
    np.testing.assert_allclose(sizes[1] ** 2, sizes[0] ** 2 - EPSILON / 2, rtol=0.1)


def test_clouds_of_tensors(clouds: tuple[Array, Array]) -> None:
    how: dict[str, Any] = {"n_points": 10, "epsilon": EPSILON, "random_state": 0, "tol": 0.01}
    ours = barycenter(clouds, **how)
    there = barycenter([torch.tensor(c, requires_grad=True) for c in clouds], **how)
    assert isinstance(there.x, torch.Tensor)
    assert not there.x.requires_grad
    np.testing.assert_allclose(there.x, ours.x)
    single = barycenter([c.astype(np.float32) for c in clouds], **how)
    assert single.x.dtype == np.float32
    line = f"Barycenter of 10 points, epsilon {EPSILON}, {len(single.changes)} moves, converged"
    assert repr(single) == line
    np.testing.assert_allclose(single.x, ours.x, atol=0.01)


def test_wrong_arguments_are_told(clouds: tuple[Array, Array]) -> None:
    x, y = clouds
    cases: list[tuple[str, dict[str, Any]]] = [
        ("at least one cloud, but got none", {"clouds": []}),
        ("weights of 2 clouds, >= 0 and not all 0", {"weights": [0, 0]}),
        ("weights of 2 clouds", {"weights": [1, -1]}),
        ("masses of 2 clouds, but got those of 1", {"masses": [None]}),
        ("n_points to be at most 90.*Pass a start", {"n_points": 91}),
        ("n_points to be a positive integer", {"n_points": 0}),
        ("n_points=40, as in start, but got 3", {"n_points": 3, "start": x}),
        ("tol to be a positive number", {"tol": 0}),
        ("debiased to be True or False", {"debiased": 1}),
        ("a and masses.0. of equal sums, but got 1 and 40", {"masses": [np.ones(40), None]}),
        (r"a >= 0, but got -1.0 at \(2,\)", {"a": np.array([1.0, 1.0, -1.0]), "n_points": 3}),
        (r"masses\[1\] >= 0, but got -1.0", {"masses": [None, np.full(50, -1.0)]}),
        (r"finite numbers in clouds\[1\]", {"clouds": [x, np.full((3, 2), np.nan)]}),
        ("finite numbers in start", {"start": np.full((3, 2), np.nan)}),
        (r"clouds\[2\] as clouds\[1\]: float64", {
            "clouds": [x, x, y.astype(np.float32)], "weights": [0, 1, 1],
        }),
    ]  # fmt: skip
    for sentence, given in cases:
        with pytest.raises(ArgumentError, match=sentence):
            barycenter(given.pop("clouds", clouds), **given)
    with pytest.raises(
        ArgumentError, match=r"keywords among .*'n_points'.*but got 'points'\. Did you"
    ):
        barycenter(clouds, points=3)
    shapes: list[tuple[str, dict[str, Any]]] = [
        (r"clouds\[1\] of shape \(points, fea.*got shape \(1, 40, 2\)", {"clouds": [x, x[None]]}),
        (r"clouds\[1\] of 2 features, as clouds\[0\], but got 1", {"clouds": [x, y[:, :1]]}),
        (r"start of 2 features, as clouds\[0\], but got 1", {"start": x[:, :1]}),
        (r"masses\[0\] of shape \(40,\)", {"masses": [np.ones(3), None]}),
        (r"a of shape \(40,\)", {"a": np.ones(3), "start": x}),
    ]  # fmt: skip
    for sentence, given in shapes:
        with pytest.raises(ShapeError, match=sentence):
            barycenter(given.pop("clouds", clouds), **given)
