"""Agreement with geomstats, where it is accurate, and its learners on our distances."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from helpers import eps
from hyperbolic_truth import directions

from georeduce.apps.hyperbolic import (
    HalfSpace,
    Hyperboloid,
    PoincareBall,
    from_geomstats,
    to_geomstats,
)
from georeduce.engine import ArgumentError

SPACES = {"ball": PoincareBall(), "extrinsic": Hyperboloid(), "half-space": HalfSpace()}
each_space = pytest.mark.parametrize("kind", SPACES)
# geomstats cancels in arcosh(1 + u), and moves norms below 1e-6 there
OFF = float(np.sqrt(eps(float)))


@pytest.fixture
def theirs(kind: str) -> Any:
    return pytest.importorskip("geomstats.geometry.hyperbolic").Hyperbolic(3, kind)


def points(rng: Any, n: int) -> Any:
    return directions(rng, n, 3) * rng.uniform(0.2, 0.8, (n, 1))


@each_space
def test_distances_and_maps(kind: str, theirs: Any, rng: Any) -> None:
    ours = SPACES[kind]
    assert from_geomstats(theirs) == from_geomstats(theirs.metric) == ours
    x, y = (PoincareBall().convert(points(rng, 20), ours) for _ in range(2))
    v = ours._from_frame(ours.features(x), rng.standard_normal((20, 3)))
    assert theirs.belongs(x, atol=OFF).all()
    assert abs(ours.distance(x, y) - theirs.metric.dist(x, y)).max() <= OFF
    assert abs(ours.log(x, y) - theirs.metric.log(y, x)).max() <= OFF * 10
    assert abs(ours.exp(x, v) - theirs.metric.exp(v, x)).max() <= OFF * 10
    assert abs(ours.inner(x, v, v) - theirs.metric.squared_norm(v, x)).max() <= OFF
    for other, space in SPACES.items():
        there = theirs.to_coordinates(x, other)
        assert abs(ours.convert(x, space) - there).max() <= OFF
        assert abs(space.convert(there, ours) - x).max() <= OFF
    if kind == "ball":
        assert abs(ours.mobius_add(x, y) - theirs.metric.mobius_add(x, y)).max() <= OFF
    if kind == "extrinsic":
        across = theirs.metric.parallel_transport(v, x, end_point=y)
        assert abs(ours.transport(x, y, v) - across).max() <= OFF * 10


@each_space
def test_our_metric_in_geomstats(kind: str, theirs: Any, rng: Any) -> None:
    learning = pytest.importorskip("geomstats.learning.frechet_mean")
    ours = SPACES[kind]
    space = to_geomstats(ours, 3)
    assert type(space) is type(theirs)
    assert from_geomstats(space) == ours
    x = PoincareBall().convert(points(rng, 15), ours)
    metric = space.metric
    assert (metric.dist(x, x[::-1]) == ours.distance(x, x[::-1])).all()
    assert (metric.squared_dist(x, x[::-1]) == ours.distance(x, x[::-1]) ** 2).all()
    v = metric.log(x[::-1], x)
    assert (v == ours.log(x, x[::-1])).all()
    assert (metric.exp(v, x) == ours.exp(x, v)).all()
    along = metric.parallel_transport(v, x, direction=v)
    assert along == pytest.approx(metric.parallel_transport(v, x, end_point=x[::-1]), abs=OFF)
    mean = learning.FrechetMean(space)
    mean.optimizer = learning.GradientDescent(max_iter=500, epsilon=1e-12)
    found = mean.fit(x).estimate_
    assert ours.distance(ours.project(found), ours.frechet_mean(x)) <= 1e-5  # epsilon's root


def test_what_has_no_counterpart(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArgumentError, match=r"curvature -1 for geomstats, but got -2\.0\. Divide"):
        to_geomstats(PoincareBall(-2.0), 3)
    with pytest.raises(ArgumentError, match="one of geomstats's hyperbolic spaces, PoincareBall, "):
        from_geomstats(object())
    with pytest.raises(ArgumentError, match=r"space to be a model of hyperbolic .* but got 'ball'"):
        to_geomstats("ball", 3)
    monkeypatch.setitem(sys.modules, "geomstats.geometry.poincare_ball", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        to_geomstats(PoincareBall(), 3)
    assert caught.value.__notes__ == ["Install georeduce[hyperbolic]."]
