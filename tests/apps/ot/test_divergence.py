"""Losses of two measures beside NumPy in float64, closed forms, POT and SciPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import ot
import pytest
import torch
from helpers import eps
from scipy.spatial.distance import directed_hausdorff
from scipy.special import logsumexp
from scipy.stats import energy_distance

from georeduce.apps.ot import (
    Problem,
    hausdorff,
    sinkhorn_divergence,
    solve,
    squared_mmd,
    transport_value,
)
from georeduce.engine import ArgumentError

Array = np.ndarray[Any, Any]
Measures = tuple[Array, Array, Array, Array]
EPSILON = 0.1
TOL = 1e-10
NEAR: dict[str, float] = {"rtol": 100 * TOL, "atol": 10 * TOL}
"""A value is off by the marginal error times potentials, which are some ten times as large."""


@pytest.fixture
def measures(rng: np.random.Generator) -> Measures:
    """Points and weights of two probabilities."""
    a, b = rng.random(30), rng.random(40)
    return rng.random((30, 3)), rng.random((40, 3)) + 0.2, a / a.sum(), b / b.sum()


def dense_value(x: Array, y: Array, a: Array, b: Array, rho: float | None = None) -> float:
    """The value of transport by 2000 of Sinkhorn's iterations on a matrix."""
    C = ((x[:, None] - y) ** 2).sum(-1)
    relax = 1.0 if rho is None else 1 / (1 + EPSILON / rho)
    f, g = np.zeros(len(x)), np.zeros(len(y))
    for _ in range(2000):
        f = -relax * EPSILON * logsumexp((g - C) / EPSILON, b=b, axis=1)
        g = -relax * EPSILON * logsumexp((f - C.T) / EPSILON, b=a, axis=1)
    P = np.outer(a, b) * np.exp((f[:, None] + g - C) / EPSILON)

    def kl(p: Array, q: Array) -> float:
        return float((p * np.log(p / q) - p + q).sum())

    penalty = 0.0 if rho is None else rho * (kl(P.sum(1), a) + kl(P.sum(0), b))
    return float((P * C).sum()) + EPSILON * kl(P, np.outer(a, b)) + penalty


@pytest.mark.parametrize("reach", [None, 0.6], ids=str)
def test_values_are_those_of_a_matrix(measures: Measures, reach: float | None) -> None:
    x, y, a, b = measures
    rho = None if reach is None else reach**2
    if reach is not None:
        a = 3 * a
    how: dict[str, Any] = {"epsilon": EPSILON, "reach": reach, "tol": TOL}
    value = dense_value(x, y, a, b, rho)
    np.testing.assert_allclose(transport_value(x, y, a, b, **how), value, **NEAR)
    own = dense_value(x, x, a, a, rho) + dense_value(y, y, b, b, rho)
    expected = value - own / 2 + EPSILON / 2 * (a.sum() - b.sum()) ** 2
    np.testing.assert_allclose(sinkhorn_divergence(x, y, a, b, **how), expected, **NEAR)


def test_what_a_divergence_is_beside_pots(measures: Measures) -> None:
    """POT's has what moving costs instead of the values: the same three plans."""
    x, y, a, b = measures
    theirs = ot.bregman.empirical_sinkhorn_divergence(
        x, y, EPSILON, a=a, b=b, stopThr=TOL, numIterMax=10_000
    )
    pairs = [(x, y, a, b), (x, x, a, a), (y, y, b, b)]
    cross, *own = [solve(Problem(*p, epsilon=EPSILON), tol=TOL).parts.cost for p in pairs]
    np.testing.assert_allclose(cross - sum(own) / 2, theirs, rtol=1e4 * TOL)  # of first order


def test_laws_of_a_divergence(measures: Measures) -> None:
    x, y, a, b = measures
    how: dict[str, Any] = {"epsilon": EPSILON, "tol": TOL}
    S = sinkhorn_divergence(x, y, a, b, **how)
    assert S > 0
    np.testing.assert_allclose(sinkhorn_divergence(y, x, b, a, **how), S, **NEAR)
    np.testing.assert_allclose(sinkhorn_divergence(x, x.copy(), a, a.copy(), **how), 0, **NEAR)
    order = np.argsort(a)
    np.testing.assert_allclose(
        sinkhorn_divergence(x, x[order], a, a[order], **how), 0, **NEAR
    )  # of equal measures, whatever the order
    np.testing.assert_allclose(sinkhorn_divergence(x, x + 0.5, a, a, **how), 3 / 4, **NEAR)
    twice = sinkhorn_divergence(x, x, 2 * a, a, **how, reach=0.6)
    assert twice > 0


def test_measures_of_batches_dtypes_and_libraries(measures: Measures) -> None:
    x, y, a, b = measures
    tol = 4 * eps(np.float32)
    stack = [np.stack([v, v[::-1] / 2]) for v in measures]
    losses: list[Callable[..., Any]] = [
        lambda *m: sinkhorn_divergence(*m, epsilon=EPSILON, tol=tol),
        lambda *m: transport_value(*m, epsilon=EPSILON, tol=tol),
        squared_mmd,
        hausdorff,
    ]
    for loss in losses:
        alone = [loss(*(v[k] for v in stack)) for k in range(2)]
        np.testing.assert_allclose(loss(*stack), alone, rtol=100 * tol)
        tensor = loss(*map(torch.tensor, measures))
        assert tensor.shape == ()
        np.testing.assert_allclose(tensor, loss(*measures), **NEAR)
        single = loss(*(torch.tensor(v, dtype=torch.float32) for v in measures))
        assert single.dtype == torch.float32
        np.testing.assert_allclose(single, tensor, rtol=100 * tol)
        np.testing.assert_allclose(
            loss(x.astype(np.float32), y.astype(np.float32), a, b), tensor, rtol=100 * tol
        )


def test_divergences_are_of_measures_that_are_relaxed_alike(measures: Measures) -> None:
    with pytest.raises(ArgumentError, match=r"one reach for both measures.*transport_value takes"):
        sinkhorn_divergence(*measures, reach=(None, 1.0))


# --- Kernels ----------------------------------------------------------------------------------

KERNELS: dict[str, Callable[[Array, float], Array]] = {
    "gaussian": lambda d, s: np.exp(-(d**2) / (2 * s**2)),
    "laplacian": lambda d, s: np.exp(-d / s),
    "energy": lambda d, s: -d,
}


@pytest.mark.parametrize("kernel", KERNELS)
def test_discrepancies_are_those_of_matrices(measures: Measures, kernel: str) -> None:
    x, y, a, b = measures
    if kernel != "energy":
        a = 2 * a
    z, w = np.concatenate([x, y]), np.concatenate([a, -b])
    K = KERNELS[kernel](np.linalg.norm(z[:, None] - z, axis=-1), 0.3)
    tolerance = 8 * eps(np.float64) * (abs(w) @ abs(K) @ abs(w)) / (w @ K @ w)
    found = squared_mmd(x, y, a, b, kernel=kernel, scale=0.3)
    np.testing.assert_allclose(found, w @ K @ w, rtol=tolerance)
    single = squared_mmd(*(v.astype(np.float32) for v in (x, y, a, b)), kernel=kernel, scale=0.3)
    tolerance *= eps(np.float32) / eps(np.float64)
    np.testing.assert_allclose(single, found, rtol=tolerance)


def test_the_energy_distance_is_scipys(rng: np.random.Generator) -> None:
    x, y = rng.random((30, 1)), rng.random((40, 1))
    found = squared_mmd(x, y, kernel="energy")
    # theirs is the root of it
    np.testing.assert_allclose(
        found, energy_distance(x[:, 0], y[:, 0]) ** 2, rtol=1000 * eps(np.float64)
    )


def test_a_kernel_may_be_a_function(measures: Measures) -> None:
    found = squared_mmd(*measures, kernel=lambda x, y: (-0.5 * x.sqdist(y) / 0.09).exp())
    np.testing.assert_allclose(
        found, squared_mmd(*measures, scale=0.3), rtol=1000 * eps(np.float64)
    )


def test_wrong_kernels_are_told(measures: Measures) -> None:
    x, y, a, b = measures
    with pytest.raises(ArgumentError, match=r"kernel to be one of.*Did you mean 'gaussian'"):
        squared_mmd(*measures, kernel="gausian")
    with pytest.raises(ArgumentError, match="scale to be a positive number, but got 0"):
        squared_mmd(*measures, scale=0)
    with pytest.raises(ArgumentError, match="a and b of equal sums for kernel='energy', but got 2"):
        squared_mmd(x, y, 2 * a, b, kernel="energy")


# --- Hausdorff --------------------------------------------------------------------------------


def test_the_hausdorff_distance_is_scipys(measures: Measures) -> None:
    x, y, a, b = measures
    b[::3] = 0
    for kept, weights in ((y, None), (y[b > 0], b)):
        expected = max(directed_hausdorff(x, kept)[0], directed_hausdorff(kept, x)[0])
        found = hausdorff(x, y, a, weights)
        np.testing.assert_allclose(found, expected, rtol=8 * eps(np.float64))
        back = hausdorff(y, x, weights, a, cost="sqeuclidean")
        np.testing.assert_allclose(back, expected**2, rtol=8 * eps(np.float64))


@pytest.mark.parametrize("loss", [sinkhorn_divergence, transport_value])
@pytest.mark.parametrize(
    ("name", "cure"),
    [("blur", r"epsilon=2 \* blur\*\*2"), ("max_iters", "Did you mean 'max_iter'")],
)
def test_keywords_of_others_are_told(measures: Measures, loss: Any, name: str, cure: str) -> None:
    with pytest.raises(ArgumentError, match=rf"keywords among .* but got '{name}'.*{cure}"):
        loss(*measures, **{name: 0.1})


def test_clouds_have_points(measures: Measures) -> None:
    x, y, a, b = measures
    with pytest.raises(ArgumentError, match="a point of positive weight in y, but got none"):
        hausdorff(x, y, a, 0 * b)
