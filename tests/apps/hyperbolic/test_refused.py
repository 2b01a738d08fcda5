"""What the models of hyperbolic space refuse, and in which words."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from georeduce.apps.hyperbolic import HalfSpace, Hyperboloid, PoincareBall
from georeduce.engine import ArgumentError, DTypeError, ShapeError, Vi, Vj

MODELS = [PoincareBall, Hyperboloid, HalfSpace]
INSIDE = "inside by PoincareBall.project."
FOUND = "Let Hyperboloid.project find x_0."
OUTSIDE = {
    "ball": (PoincareBall(), [[0.1, 0.2], [0.6, 0.8]], "points inside of the ball of radius 1, but "
             "got a norm of 1 in row 1. Scale them, or move them " + INSIDE),
    "ball-of-radius-2": (PoincareBall(-0.25), [3.0, 0.0], "points inside of the ball of radius 2, "
                         "but got a norm of 3. Scale them, or move them " + INSIDE),
    "ball-batch": (PoincareBall(), [[[np.nan, 0.0]]], "points inside of the ball of radius 1, but "
                   "got a norm of nan at (0, 0). Scale them, or move them " + INSIDE),
    "ball-infinite": (PoincareBall(), [np.inf, 0.0], "points inside of the ball of radius 1, but "
                      "got a norm of inf. Scale them, or move them " + INSIDE),
    "half-space": (HalfSpace(), [[0.0, 0.0]], "points of positive height, the last coordinate, but "
                   "got 0 in row 0. Move them inside by HalfSpace.project."),
    "half-space-infinite": (HalfSpace(), [np.nan, 1.0], "finite points, but got [nan  1.]."),
    "hyperboloid": (Hyperboloid(), [1.0, 1.0], "points of the hyperboloid -x_0^2 + |x|^2 = -1 with "
                    "x_0 > 0, but got x_0 = 1 for 1.41421. " + FOUND),
    "hyperboloid-below": (Hyperboloid(), [-1.0, 0.0], "points of the hyperboloid -x_0^2 + |x|^2 = "
                          "-1 with x_0 > 0, but got x_0 = -1 for 1. " + FOUND),
}  # fmt: skip


@pytest.mark.parametrize(("space", "x", "sentence"), OUTSIDE.values(), ids=OUTSIDE)
def test_points_outside(space: Any, x: Any, sentence: str) -> None:
    x = np.array(x)
    o = space.origin(x.shape[-1] - space.more)
    for call in (lambda: space.distance(o, x), lambda: space.log(x, o), lambda: space.exp(x, x)):
        with pytest.raises(ArgumentError) as caught:
            call()
        assert str(caught.value) == f"Expected {sentence}"
    rows = np.atleast_2d(x)
    with pytest.raises(ArgumentError, match=re.escape(sentence[:30])):
        space.distance(Vi(rows), Vj(rows))
    if np.isfinite(x).all():
        assert np.isfinite(space.distance(o, space.project(x))).all()


def test_other_arguments() -> None:
    ball = PoincareBall()
    x = np.zeros((3, 2))
    for K in (0, 1.0, -np.inf, np.nan, "-1", None, True):
        with pytest.raises(ArgumentError, match="Expected curvature to be a negative number, but"):
            PoincareBall(K)
    with pytest.raises(ArgumentError, match="two LazyTensors or two arrays, but got one of each"):
        ball.distance(Vi(x), x)
    with pytest.raises(ArgumentError, match="LazyTensor of an array of points, but got the form"):
        ball.distance(Vi(x) * 0.5, Vj(x))
    with pytest.raises(DTypeError, match="but got str"):
        ball.distance("x", x)
    with pytest.raises(DTypeError, match="but got LazyTensor"):
        ball.exp(Vi(x), Vi(x))
    with pytest.raises(ArgumentError, match="Expected margin between 0 and 1, but got 2"):
        ball.project(x, 2)
    with pytest.raises(
        ArgumentError, match=r"model of curvature -1\.0, but got -2\. Spaces of two"
    ):
        ball.convert(x, Hyperboloid(-2))
    with pytest.raises(ArgumentError, match=r"to to be a model of hyperbolic space, .* got 'ball'"):
        ball.convert(x, "ball")


@pytest.mark.parametrize("model", MODELS, ids=[m.__name__ for m in MODELS])
def test_shapes_that_do_not_belong_together(model: Any) -> None:
    """One coordinate would broadcast with many, and no coordinates are no point."""
    space = model()
    o = space.origin(3)
    n, more = len(o), space.more + 1
    shapes = rf"\({n},\) and \({more},\)"
    many = f"points, and vectors, of as many coordinates, but got shapes {shapes}"
    short = space.origin(1)
    for call in (space.distance, space.log, space.exp, space.norm):
        with pytest.raises(ShapeError, match=many):
            call(o, short)
    with pytest.raises(ShapeError, match=shapes):
        space.transport(o, o, short)
    with pytest.raises(ShapeError, match=many):
        space.distance(Vi(o[None]), Vj(short[None]))
    none = f"last axis has a length of at least {more}, but got shape"
    for x in (np.zeros((5, more - 1)), 0.5):
        for f in (space.features, space.project, lambda x: space.distance(x, x)):
            with pytest.raises(ShapeError, match=none):
                f(x)
    rows = np.tile(o, (4, 1))
    with pytest.raises(ShapeError, match=r"broadcast, but got .* those of x\[:, None\]"):
        space.distance(rows, rows[:3])
