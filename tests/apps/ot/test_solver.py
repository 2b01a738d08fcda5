"""Sinkhorn's algorithm beside POT's."""

from __future__ import annotations

import numpy as np
import ot
import pytest

from georeduce.apps.ot import Problem, solve


@pytest.mark.parametrize("epsilon", [0.5, 0.05])
def test_plans_are_pots(rng: np.random.Generator, epsilon: float) -> None:
    x, y = rng.random((40, 3)), rng.random((50, 3)) + 0.1
    a, b = (w / w.sum() for w in (rng.random(40), rng.random(50)))
    costs = ot.dist(x, y)
    theirs = ot.sinkhorn(a, b, costs, epsilon, "sinkhorn_log", stopThr=1e-12, numItermax=10**4)
    ours = solve(Problem(x, y, a, b, epsilon=epsilon), tol=1e-11)
    np.testing.assert_allclose(ours.plan.dense(), theirs, atol=1e-9, rtol=0)
    entropy = (theirs * np.log(theirs / np.outer(a, b))).sum()
    np.testing.assert_allclose(ours.value, (theirs * costs).sum() + epsilon * entropy, rtol=1e-9)
