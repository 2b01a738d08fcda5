"""Points in and around balls that are hard to round to integers, see ``codegen/bound.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hard_points import KINDS, Array, points
from helpers import eps

from georeduce.engine.codegen import bound as bounds

Given = tuple[Array, Array, Array]
"""A ball, rows and columns."""


def ball_of(norm: str, center: Any, radius: float, D: int, dtype: str) -> Array:
    """Return a ball, as `bounds.ball` does for points."""
    ball = np.empty(D + 2, dtype)
    ball[:D], ball[D], ball[D + 1] = center, float(radius) ** 2, bounds.RADIUS[norm] / radius
    return ball


def sizes(D: int) -> tuple[int, int]:
    return (22, 37) if D <= 130 else (7, 19)


def directions(rng: np.random.Generator, n: int, D: int) -> Array:
    u = rng.normal(size=(n, D))
    return u / np.sqrt(np.square(u).sum(1, keepdims=True))


def round_away(rng: np.random.Generator, norm: str, D: int, dtype: str) -> Given:
    """Components beside half integers: those of rows go up, those of columns go down."""
    M, N = sizes(D)
    top = int(0.4 * bounds.RADIUS[norm] / D**0.5)
    a, b = rng.integers(0, top + 1, (M, D)), -rng.integers(0, top + 1, (N, D))
    a[: M // 2] = 0
    b[: N // 2] = 0

    def beside(integers: Array, way: int) -> Array:
        off = 4 * eps(dtype) * np.maximum(np.abs(integers), 1)
        return ((integers + 0.5 + way * off) / bounds.RADIUS[norm]).astype(dtype)

    return ball_of(norm, 0, 1, D, dtype), beside(a, 1), beside(b, -1)


def ties_of_norms(rng: np.random.Generator, norm: str, D: int, dtype: str) -> Given:
    """Outside of the ball: squares of rows that all round up, of columns that all round down.

    Other components come to 4.5 after projection, but to 4 in rows and to 5 in columns.
    """
    half_ulp = 2.0**-24 if dtype == "float32" else 2.0**-52  # in [1, 2); in [2, 4)
    small = half_ulp**0.5
    square = (bounds.RADIUS["L2"] * small / 4.5) ** 2 - D * half_ulp if dtype == "float32" else 2.25
    x, y = (
        np.full((n, D), small * (1 + s * eps(dtype)))
        for n, s in zip(sizes(D), (1, -1), strict=True)
    )
    x[:, 0] = y[:, 0] = square**0.5
    return ball_of(norm, 0, 0.9, D, dtype), x.astype(dtype), y.astype(dtype)


def on_rays(rng: np.random.Generator, norm: str, D: int, dtype: str) -> Given:
    """Points on few lines through the center, inside, beside the sphere, and far outside."""
    u = directions(rng, 3, D)
    u[2] = -u[1]
    near = [1 + n * eps(dtype) for n in (-3, -1, 0, 1, 3)]
    lengths = np.array([0, 1e-4, 0.5, *near, 1.5, 2, 10, 1e3, 1e8])
    x, y = (u[np.arange(n) % 3] * rng.choice(lengths, n)[:, None] for n in sizes(D))
    return ball_of(norm, 0, 1, D, dtype), x.astype(dtype), y.astype(dtype)


def next_outside(rng: np.random.Generator, norm: str, D: int, dtype: str) -> Given:
    """Points outside of the ball and others that are next to them."""
    M, N = sizes(D)
    x = (10 * directions(rng, M, D) * rng.choice([1, 3, 1e6], (M, 1))).astype(dtype)
    y = np.resize(x, (N, D))
    y = np.nextafter(y, rng.choice([-np.inf, np.inf], y.shape).astype(dtype))
    return ball_of(norm, 0, 1, D, dtype), x, y


def far_from_a_small_ball(rng: np.random.Generator, norm: str, D: int, dtype: str) -> Given:
    """The square of the radius is less than the least number times squares of norms."""
    M, N = sizes(D)
    root = np.sqrt(float(np.finfo(dtype).max))
    radius = (8 * D) ** 0.5 / (root * eps(dtype) ** 0.5)
    lengths = 10 ** rng.uniform(np.log10(radius), np.log10(root), (M, 1))
    lengths[::2] = radius / float(np.finfo(dtype).smallest_subnormal) ** 0.5  # steps of 1 there
    lengths[::2] *= rng.uniform(0.3, 1.5, lengths[::2].shape)
    x = (lengths * directions(rng, M, D)).astype(dtype)
    y = np.resize(x, (N, D))
    y[1::2, 0] = np.nextafter(y[1::2, 0], y.dtype.type(0))
    y[::3, -1] += y.dtype.type(radius / 10)
    return ball_of(norm, 0, radius, D, dtype), x, y


def beside_a_center(rng: np.random.Generator, norm: str, D: int, dtype: str) -> Given:
    """The center is far from 0, so that components are lost in the points themselves."""
    center = (1e3 * rng.normal(size=D)).astype(dtype)
    x, y = ((center + rng.normal(size=(n, D))).astype(dtype) for n in sizes(D))
    radius = 1.5 * D**0.5 if norm == "L2" else 3
    return ball_of(norm, center, radius, D, dtype), x, y


def corners(rng: np.random.Generator, norm: str, D: int, dtype: str) -> Given:
    """Distances as large as they may be: between corners of a cube, or across a ball."""
    x, y = (rng.choice([-1, 1], (n, 1)) * np.ones(D) for n in sizes(D))
    x[0], y[0] = rng.choice([-1, 1], (2, D))
    radius = D**0.5 if norm == "L2" else 1
    return ball_of(norm, 0, radius, D, dtype), x.astype(dtype), y.astype(dtype)


def overflowing(rng: np.random.Generator, norm: str, D: int, dtype: str) -> Given:
    """Squares of components, or their sum, or a difference, are beyond the range."""
    root = float(np.finfo(dtype).max) ** 0.5
    scales = np.array([1e-3, 0.1, 0.9 / D**0.5, 1, 3, 0.7 * root])
    x, y = (root * directions(rng, n, D) * rng.choice(scales, (n, 1)) for n in sizes(D))
    return ball_of(norm, 0, root / 10, D, dtype), x.astype(dtype), y.astype(dtype)


def denormal(rng: np.random.Generator, norm: str, D: int, dtype: str) -> Given:
    least = float(np.finfo(dtype).smallest_subnormal)
    x, y = (rng.integers(-5, 6, (n, D)) * least for n in sizes(D))
    return ball_of(norm, 0, 1, D, dtype), x.astype(dtype), y.astype(dtype)


def no_ball(rng: np.random.Generator, norm: str, D: int, dtype: str) -> Given:
    x, y = (rng.normal(size=(n, D)).astype(dtype) for n in sizes(D))
    return np.zeros(D + 2, dtype), x, y


def nothing_but_not_a_number(rng: np.random.Generator, norm: str, D: int, dtype: str) -> Given:
    _, x, y = no_ball(rng, norm, D, dtype)
    y[::2] = np.nan
    y[::4, 0] = np.inf
    return ball_of(norm, 0, 3, D, dtype), x, y


MADE: list[Callable[..., Given]] = [
    round_away,
    ties_of_norms,
    on_rays,
    next_outside,
    far_from_a_small_ball,
    beside_a_center,
    corners,
    overflowing,
    denormal,
    no_ball,
    nothing_but_not_a_number,
]


def all_given(norm: str, D: int, dtype: str) -> dict[str, Given]:
    """Return points of all kinds, each with a ball."""
    rng = np.random.default_rng(D)
    bound = bounds.Bound(norm, 0, 1, D, 2, (), True)
    with np.errstate(all="ignore"):
        given = {make.__name__: make(rng, norm, D, dtype) for make in MADE}
        for kind in KINDS:
            x, y = points(kind, rng, *sizes(D), D, dtype)
            given[kind] = bounds.ball(bound, x, y)[0], x, y
    return given
