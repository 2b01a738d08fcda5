"""Plans stored whole, in float64 NumPy: what transport is measured by."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import logsumexp

from georeduce.apps.ot import Problem, Transport

Array = np.ndarray[Any, Any]


def costs_of(problem: Problem) -> Array:
    """Return the squared distances, (..., M, N)."""
    x, y = (np.asarray(points, float) for points in (problem.x, problem.y))
    squares: Array = ((x[..., :, None, :] - y[..., None, :, :]) ** 2).sum(-1)
    return squares


def stored(solved: Transport, costs: Array | None = None) -> Array:
    """Return the plan of the potentials, (..., M, N)."""
    p = solved.problem
    costs = costs_of(p) if costs is None else costs
    exponents = (solved.f[..., :, None] + solved.g[..., None, :] - costs) / p.epsilon
    plan: Array = p.a[..., :, None] * p.b[..., None, :] * np.exp(exponents)
    return plan


def half_steps(problem: Problem, f: Array, g: Array, costs: Array | None = None) -> Any:
    """Return T(g) and T(f)."""
    costs = costs_of(problem) if costs is None else costs
    eps = problem.epsilon
    with np.errstate(divide="ignore"):
        to_x = (np.log(problem.b) + g / eps)[..., None, :] - costs / eps
        to_y = (np.log(problem.a) + f / eps)[..., :, None] - costs / eps
    return -eps * logsumexp(to_x, axis=-1), -eps * logsumexp(to_y, axis=-2)


def marginal_errors(solved: Transport, costs: Array | None = None) -> tuple[Any, Any]:
    """Return by how much of their mass the marginals are off, (...) for either side.

    Of what they should be under the penalties: without one the weights, else what the proximal map
    of the half step gives.
    """
    p = solved.problem
    plan = stored(solved, costs)
    to_x, to_y = half_steps(p, solved.f, solved.g, costs)
    along_x, along_y = p.penalties
    rows = marginal_error(plan.sum(-1), p.a, to_x, along_x.step(to_x, p.epsilon), p.epsilon)
    columns = marginal_error(plan.sum(-2), p.b, to_y, along_y.step(to_y, p.epsilon), p.epsilon)
    return rows, columns


def marginal_error(marginal: Array, weights: Array, full: Array, step: Array, eps: float) -> Any:
    """Return how far a marginal is from that of the potential `step`, whose half step is `full`."""
    wanted = weights * np.exp((step - full) / eps)
    return np.abs(marginal - wanted).sum(-1) / wanted.sum(-1)


def simple(problem: Problem, iterations: int) -> tuple[Array, Array]:
    """Return the potentials by half steps in turn."""
    f, g = np.zeros(problem.a.shape), np.zeros(problem.b.shape)
    costs = costs_of(problem)
    for _ in range(iterations):
        f = problem.penalties[0].step(half_steps(problem, f, g, costs)[0], problem.epsilon)
        g = problem.penalties[1].step(half_steps(problem, f, g, costs)[1], problem.epsilon)
    return f, g
