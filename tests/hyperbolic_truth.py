"""Hyperbolic geometry at 160 digits, by the definitions, and points anywhere in the ball."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import mpmath
import numpy as np

Array = np.ndarray[Any, Any]

mp = mpmath.MPContext()
mp.dps = 160
"""More than 50 digits, which is what is asked for, as the definitions themselves cancel."""


def vector(x: Any) -> list[Any]:
    return [mp.mpf(float(v)) for v in x]


def dot(x: list[Any], y: list[Any]) -> Any:
    return mp.fsum(a * b for a, b in zip(x, y, strict=True))


def distance(x: Any, y: Any, K: float = -1) -> float:
    """Return the distance in the ball, by the arcosh."""
    x, y, c = vector(x), vector(y), -mp.mpf(K)
    d = [a - b for a, b in zip(x, y, strict=True)]
    gaps = (1 - c * dot(x, x)) * (1 - c * dot(y, y))
    return float(mp.acosh(1 + 2 * c * dot(d, d) / gaps) / mp.sqrt(c))


def mobius(x: list[Any], y: list[Any]) -> list[Any]:
    xx, yy, xy = dot(x, x), dot(y, y), dot(x, y)
    size = 1 + 2 * xy + xx * yy
    return [((1 + 2 * xy + yy) * a + (1 - xx) * b) / size for a, b in zip(x, y, strict=True)]


def log(x: Any, y: Any) -> Array:
    """Return the log map in the unit ball."""
    x, y = vector(x), vector(y)
    z = mobius([-a for a in x], y)
    norm = mp.sqrt(dot(z, z))
    factor = (1 - dot(x, x)) * mp.atanh(norm) / norm if norm else 0
    return np.array([float(factor * a) for a in z])


def transport(x: Any, y: Any, v: Any) -> Array:
    """Return a transported vector in the unit ball: a gyration, by its definition."""
    x, y, v = vector(x), vector(y), vector(v)
    small = mp.mpf(10) ** -30  # the gyration is linear, and the ball takes short vectors only
    u = [-a for a in x]
    w = mobius(y, mobius(u, [small * a for a in v]))
    turned = mobius([-a for a in mobius(y, u)], w)
    scale = (1 - dot(y, y)) / (1 - dot(x, x)) / small
    return np.array([float(scale * a) for a in turned])


def hyperboloid_distance(x: Any, y: Any, K: float = -1) -> float:
    """Return the distance of points given by their coordinates in space."""
    if np.array_equal(x, y):
        return 0.0
    x, y, c = vector(x), vector(y), -mp.mpf(K)
    cosh = mp.sqrt(1 + c * dot(x, x)) * mp.sqrt(1 + c * dot(y, y)) - c * dot(x, y)
    return float(mp.acosh(max(cosh, mp.one)) / mp.sqrt(c))


def half_space_distance(p: Any, q: Any, K: float = -1) -> float:
    p, q = vector(p), vector(q)
    d = [a - b for a, b in zip(p, q, strict=True)]
    return float(mp.acosh(1 + dot(d, d) / (2 * p[-1] * q[-1])) / mp.sqrt(-mp.mpf(K)))


def _lorentz(x: list[Any], y: list[Any]) -> Any:
    return dot(x[1:], y[1:]) - x[0] * y[0]


def hyperboloid_log(x: list[Any], y: list[Any]) -> list[Any]:
    """Return the log map of the unit hyperboloid, time first."""
    cosh = -_lorentz(x, y)
    scale = mp.acosh(cosh) / mp.sqrt(cosh * cosh - 1)
    return [scale * (b - cosh * a) for a, b in zip(x, y, strict=True)]


def hyperboloid_transport(x: list[Any], y: list[Any], v: list[Any]) -> list[Any]:
    scale = _lorentz(y, v) / (1 - _lorentz(x, y))
    return [c + scale * (a + b) for a, b, c in zip(x, y, v, strict=True)]


def lifted(x: Any, v: Any) -> tuple[list[Any], list[Any]]:
    """Return the point and the tangent vector of coordinates in space, with time."""
    x, v = vector(x), vector(v)
    time = mp.sqrt(1 + dot(x, x))
    return [time, *x], [dot(x, v) / time, *v]


def from_half_space(p: Any, w: Any) -> tuple[list[Any], list[Any]]:
    """Return the point and the tangent vector of the unit hyperboloid."""
    (*a, h), (*u, up) = vector(p), vector(w)
    square, slope = dot(a, a) + h * h, 2 * (dot(a, u) + h * up)
    x = [(square + 1) / (2 * h), *(b / h for b in a), (square - 1) / (2 * h)]
    v = [slope / (2 * h), *(b / h for b in u), slope / (2 * h)]
    return x, [b - c * up / h for b, c in zip(v, x, strict=True)]


def to_half_space(x: list[Any], v: list[Any]) -> Array:
    """Return a tangent vector of the unit hyperboloid in the half-space's coordinates."""
    z, dz = x[0] - x[-1], v[0] - v[-1]
    across = [b / z - a * dz / z**2 for a, b in zip(x[1:-1], v[1:-1], strict=True)]
    return np.array([float(b) for b in (*across, -dz / z**2)])


def of_rows(f: Any, *arrays: Array) -> Array:
    """Return a function of rows, row by row."""
    return np.array([f(*rows) for rows in zip(*arrays, strict=True)])


def directions(rng: Any, n: int, D: int) -> Array:
    x = rng.standard_normal((n, D))
    found: Array = x / np.linalg.norm(x, axis=1, keepdims=True)
    return found


def in_ball(rng: Any, n: int, D: int, digits: int = 12, R: float = 1.0) -> Array:
    """Return points up to 10^-digits from the border, which the last one is, and the centre."""
    gaps = 10.0 ** -rng.uniform(0, digits, (n, 1))
    gaps[-1] = 10.0**-digits
    found: Array = directions(rng, n, D) * (R * (1 - gaps))
    found[n // 2] = 0
    return found


def near_pairs(rng: Any, n: int, D: int, digits: int = 12, R: float = 1.0) -> tuple[Array, Array]:
    """Return points and others, a third of which are close to them, a third on the same ray."""
    x, y = in_ball(rng, n, D, digits, R), in_ball(rng, n, D, digits, R)
    gap = 1 - np.linalg.norm(x, axis=1, keepdims=True) / R
    step = gap * 10.0 ** rng.uniform(-6, 0, (n, 1)) * R
    close, ray = slice(None, n // 3), slice(n // 3, 2 * n // 3)
    y[close] = x[close] + (step * directions(rng, n, D))[close] * 0.5
    y[ray] = x[ray] * (1 - 0.5 * step[ray] / R)
    return x, y


SEEDS = st.integers(0, 2**32 - 1)
DIMENSIONS = st.sampled_from([1, 2, 3, 7])
