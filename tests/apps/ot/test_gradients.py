"""Derivatives of losses in points and weights: differences of values, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from georeduce.apps.ot import hausdorff, sinkhorn_divergence, squared_mmd, transport_value
from georeduce.engine import ArgumentError, ConvergenceWarning, LazyTensor

Tensor = torch.Tensor
EXACT: dict[str, Any] = {"tol": 1e-13, "max_iter": 10_000}
"""Values whose differences are right to half of their digits."""


def skewed(x: LazyTensor, y: LazyTensor) -> LazyTensor:
    """Cost of two points, not the same both ways."""
    return (2 * (y - x).relu() + (x - y).relu()).square().sum(-1)


@pytest.fixture
def measures(rng: np.random.Generator) -> tuple[Tensor, ...]:
    """Points and weights of two measures, which want gradients."""
    arrays = rng.random((5, 2)), rng.random((6, 2)) + 0.3, rng.random(5) + 0.1, rng.random(6) + 0.1
    return tuple(torch.tensor(v, requires_grad=True) for v in arrays)


def normalised(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a loss of all weights, by the probabilities that they stand for."""
    return lambda x, y, a, b: loss(x, y, a / a.sum(), b / b.sum())


value, divergence = (
    partial(loss, epsilon=0.3, **EXACT) for loss in (transport_value, sinkhorn_divergence)
)
LOSSES: dict[str, Callable[..., Tensor]] = {
    "value": normalised(value),
    "value, skewed": normalised(partial(value, cost=skewed)),
    "value, KL": partial(value, reach=(0.8, 0.5)),
    "value, KL and kept": lambda x, y, a, b: value(
        x, y, a, b * (a.sum() / b.sum()), reach=(None, 1)
    ),
    "value, TV": partial(value, reach=0.8, penalty="tv"),
    "divergence": normalised(divergence),
    "divergence, euclidean": normalised(partial(divergence, cost="euclidean")),
    "divergence, sphere": normalised(partial(divergence, cost="sphere")),
    "divergence, KL": partial(divergence, reach=0.8),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
def test_gradients_are_differences(
    loss: Callable[..., Tensor], measures: tuple[Tensor, ...]
) -> None:
    assert torch.autograd.gradcheck(loss, measures)


def test_gradients_of_batches(measures: tuple[Tensor, ...]) -> None:
    stack = [torch.stack([v.detach(), 0.5 * v.detach()]).requires_grad_() for v in measures]
    loss = partial(divergence, reach=0.8)
    weight = torch.tensor([1.0, 3.0], dtype=torch.float64)
    both = torch.autograd.grad(loss(*stack), stack, weight)
    for k in range(2):
        alone = torch.autograd.grad(loss(*(v[k] for v in stack)), stack, weight[k])
        for whole, part in zip(both, alone, strict=True):
            torch.testing.assert_close(
                whole[k], part[k], rtol=1e5 * EXACT["tol"], atol=1e3 * EXACT["tol"]
            )


def test_weights_of_0_have_gradients(measures: tuple[Tensor, ...]) -> None:
    x, y, a, b = (v.detach() for v in measures)
    a[2], b[:2] = 0, 0
    a.requires_grad_()
    loss = partial(divergence, reach=0.8)
    (slope,) = torch.autograd.grad(loss(x, y, a, b), a)
    step = 1e-6
    with torch.no_grad():
        moved = a.clone()
        moved[2] = step
        difference = (loss(x, y, moved, b) - loss(x, y, a, b)) / step
    # a difference to one side is off by a multiple of the step
    torch.testing.assert_close(slope[2], difference, rtol=100 * step, atol=0)


def test_gradients_in_float32(measures: tuple[Tensor, ...]) -> None:
    single = [v.detach().float().requires_grad_() for v in measures]
    for epsilon, iterations in ((0.3, 1000), (1e-4, 1)):  # the second in pairs of float64
        wide = [v.detach().double().requires_grad_() for v in single]
        grads = []
        for tensors in (single, wide):
            how: dict[str, Any] = {"epsilon": epsilon, "max_iter": iterations, "reach": 0.8}
            with pytest.warns(ConvergenceWarning) if iterations == 1 else nullcontext():
                loss = transport_value(*tensors, **how)
            assert loss.dtype == tensors[0].dtype
            grads.append(torch.autograd.grad(loss, tensors))
        for g, exact, v in zip(*grads, single, strict=True):
            assert g.dtype == torch.float32
            assert g.shape == v.shape
            if iterations > 1:
                # two solutions, of marginal errors up to 1e-3
                torch.testing.assert_close(g.double(), exact, rtol=1e-2, atol=1e-3)


def test_only_what_is_asked_for(measures: tuple[Tensor, ...]) -> None:
    x, y, a, b = measures
    loss = divergence(x, y.detach(), (a / a.sum()).detach(), None)
    loss.backward()
    assert x.grad is not None
    assert a.grad is y.grad is b.grad is None
    assert not divergence(x.detach(), y.detach()).requires_grad
    # weights of NumPy are constants
    (slope,) = torch.autograd.grad(divergence(x, y, (a / a.sum()).detach().numpy()), x)
    torch.testing.assert_close(slope, x.grad)
    # by default epsilon is of the points, and a constant
    (slope,) = torch.autograd.grad(sinkhorn_divergence(x, y), x)
    assert torch.isfinite(slope).all()


def test_a_flow_arrives(rng: np.random.Generator) -> None:
    x = torch.tensor(rng.random((20, 2)), requires_grad=True)
    y = torch.tensor(rng.random((20, 2)) + 2)
    first = None
    for _ in range(5):
        loss = sinkhorn_divergence(x, y, epsilon=0.1)
        first = loss.item() if first is None else first
        (slope,) = torch.autograd.grad(loss, x)
        with torch.no_grad():
            x -= len(x) / 2 * slope
    assert loss.item() < first / 100


def test_second_derivatives_are_refused(measures: tuple[Tensor, ...]) -> None:
    x, *others = measures
    loss = LOSSES["value, KL"]
    (slope,) = torch.autograd.grad(loss(x, *others), x, create_graph=True)
    sentence = "first derivatives of what transport costs, but got second ones"
    with pytest.raises(ArgumentError, match=sentence):
        torch.autograd.grad(slope.sum(), x)
    with pytest.raises(ArgumentError, match=sentence):
        torch.func.jacrev(torch.func.grad(loss))(*measures)
    plain = torch.func.grad(loss)(*measures)
    torch.testing.assert_close(plain, slope)


def test_warnings_are_at_the_users_line(measures: tuple[Tensor, ...]) -> None:
    with pytest.warns(ConvergenceWarning) as seen:
        transport_value(*measures, reach=1.0, epsilon=1e-3, max_iter=1)
    assert seen[0].filename == __file__


PROGRAM = """
import torch
from georeduce.apps.ot import hausdorff, sinkhorn_divergence, squared_mmd
from georeduce.engine import options

x, y = torch.rand(9, 2, dtype=torch.float64), torch.rand(8, 2, dtype=torch.float64)
x.requires_grad_()
with options(backend="numpy"):
    for loss in (hausdorff, sinkhorn_divergence, squared_mmd):
        value = torch.compile(lambda x: loss(2 * x, y), backend="eager")(x)
        expected = loss(2 * x, y)
        assert torch.equal(value, expected)
        assert torch.equal(*(torch.autograd.grad(v, x)[0] for v in (value, expected)))
"""


@pytest.mark.slow
def test_compiled_programs_leave_losses_to_python() -> None:
    """In a process of its own, as torch.compile stays with one."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Graph break" not in done.stderr


@pytest.mark.parametrize("kernel", ["gaussian", "laplacian", "energy"])
def test_derivatives_of_discrepancies(kernel: str, measures: tuple[Tensor, ...]) -> None:
    loss = normalised(partial(squared_mmd, kernel=kernel, scale=0.3))
    assert torch.autograd.gradcheck(loss, measures)
    assert torch.autograd.gradgradcheck(loss, measures)


def test_derivatives_of_the_hausdorff_distance(measures: tuple[Tensor, ...]) -> None:
    x, y, a, b = (v.detach() for v in measures)
    b[:2] = 0
    x.requires_grad_()
    y.requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: hausdorff(x, y, a, b), (x, y))
    (slope,) = torch.autograd.grad(hausdorff(x, y, a, b), y)
    assert (slope[:2] == 0).all()
