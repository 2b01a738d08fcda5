"""What every operation of the table means, written without it: NumPy, fractions and mpmath.

The features are the last axis of every array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
from helpers import Array
from scipy.special import logsumexp


def each(meaning: Callable[..., Any]) -> Callable[..., Array]:
    """Return a function of arrays from one of numbers, which are exact to 30 digits."""

    def scalar(*args: Any) -> float:
        exact = (a if isinstance(a, bool | np.bool_) else mpmath.mpf(float(a)) for a in args)
        with mpmath.workdps(30):
            return float(meaning(*exact))

    return np.vectorize(scalar, otypes=[float])


def fraction(meaning: Callable[..., Fraction]) -> Callable[..., Array]:
    """Return a function of arrays from one of rational numbers."""
    return np.vectorize(lambda *args: float(meaning(*map(Fraction, args))), otypes=[float])


def rounded(x: Fraction, digits: int = 0) -> Fraction:
    return Fraction(round(x * Fraction(10) ** int(digits))) / Fraction(10) ** int(digits)


def quadratic(x: Array, s: Array) -> Array:
    """Return the squared norm with scalar, diagonal or full weights."""
    n = x.shape[-1]
    if s.shape[-1] == n * n and n > 1:
        return np.einsum("...a,...ab,...b->...", x, s.reshape(*s.shape[:-1], n, n), x)[..., None]
    return (s * x**2).sum(-1, keepdims=True)


def matrix(a: Array, rows: int) -> Array:
    return a.reshape(*a.shape[:-1], rows, -1)


def tensordot(x: Array, y: Array, a: Any, b: Any, over_a: Any, over_b: Any, places: Any) -> Array:
    """Return the product of tensors by the letters of einsum."""
    left, right = list(range(len(a))), list(range(len(a), len(a) + len(b)))
    for one, other in zip(over_a, over_b, strict=True):
        right[other] = left[one]
    kept = [n for n in left + right if (n in left) != (n in right)]
    places = range(len(kept)) if places is None else places
    result = [kept[list(places).index(n)] for n in range(len(kept))]
    lead = x.shape[:-1]
    x, y = x.reshape(*lead, *a), y.reshape(*lead, *b)
    both = np.einsum(x, [..., *left], y, [..., *right], [..., *result])
    return np.asarray(both).reshape(*lead, -1)


def kron(x: Array, y: Array, a: Any, b: Any) -> Array:
    points = [x.reshape(-1, *a), y.reshape(-1, *b)]
    made = [np.kron(one, other).ravel() for one, other in zip(*points, strict=True)]
    return np.array(made).reshape(*x.shape[:-1], -1)


def number(x: Array) -> Array:
    """Return complex numbers of their parts."""
    return x[..., 0::2] + 1j * x[..., 1::2]


def parts(z: Array) -> Array:
    return np.ascontiguousarray(z, np.complex128).view(np.float64)


def quotient(x: Array, y: Array) -> Array:
    with np.errstate(all="ignore"):  # of zeros: not a number
        return np.where(y == 0, np.nan * (1 + 1j), x / y)


def of_numbers(meaning: Callable[..., Array]) -> Callable[..., Array]:
    """Return a function of parts from one of complex numbers."""
    return lambda *args: parts(meaning(*map(number, args)))


def spline(t: Array, x: Array, k: int, n: int) -> Array:
    """Return the n-th B-spline of degree k by the recursion of Cox and de Boor."""
    if k == 0:
        return ((t[..., n] <= x) & (x < t[..., n + 1])).astype(float)

    def share(n: int) -> Array:
        first, last = t[..., n], t[..., n + k]
        with np.errstate(all="ignore"):
            return np.where(first < last, (x - first) / (last - first), 0)

    up, down = share(n) * spline(t, x, k - 1, n), (1 - share(n + 1)) * spline(t, x, k - 1, n + 1)
    return up + down


def warp(x: Array, y: Array, gamma: Array) -> Array:
    """Return the soft minimum of the costs of all paths, each written out."""

    def paths(m: int, n: int) -> Iterator[list[tuple[int, int]]]:
        if m == n == 0:
            yield [(0, 0)]
        # along the border a path has one way only
        ways = [(m - 1, n - 1), (m - 1, n), (m, n - 1)] if m and n else [(m - 1, n), (m, n - 1)]
        for way in ways:
            if min(way) >= 0:
                for path in paths(*way):
                    yield [*path, (m, n)]

    costs = [
        sum((x[..., m] - y[..., n]) ** 2 for m, n in path)
        for path in paths(x.shape[-1] - 1, y.shape[-1] - 1)
    ]
    return -gamma * logsumexp(-np.stack(costs, -1) / gamma, axis=-1, keepdims=True)


mp = mpmath
MEANINGS: dict[str, Callable[..., Any]] = {
    # arithmetic
    "add": each(lambda x, y: x + y),
    "sub": each(lambda x, y: x - y),
    "mul": each(lambda x, y: x * y),
    "div": each(lambda x, y: x / y if y else mp.nan if not x else mp.sign(x) * mp.inf),
    "neg": each(lambda x: -x),
    "square": each(lambda x: x * x),
    "inv": each(lambda x: 1 / x),
    "abs": each(abs),
    "sign": each(mp.sign),
    "step": each(lambda x: x >= 0),
    "sqrt": each(mp.sqrt),
    "rsqrt": each(lambda x: 1 / mp.sqrt(x)),
    "root_inverse": each(lambda x: 1 / mp.sqrt(x) if x else 0),
    "pow": each(lambda x, y: mp.exp(y * mp.log(x))),
    "power": each(lambda x, n: x**n),
    "minimum": each(lambda x, y: y if y < x else x),
    "lesser": each(lambda x, y: x if x < y else y),
    "greater": each(lambda x, y: x if x > y else y),
    "maximum": each(lambda x, y: y if y > x else x),
    "floor": each(mp.floor),
    "ceil": each(mp.ceil),
    "rint": fraction(rounded),
    "round": fraction(rounded),
    "mod": fraction(lambda x, m, a: (x - a) % m + a),
    "relu": each(lambda x: x if x > 0 else 0),
    "clamp": each(lambda x, a, b: min(max(x, a), b)),
    # functions
    "exp": each(mp.exp),
    "expm1": each(mp.expm1),
    "log": each(mp.log),
    "log1p": each(lambda x: mp.log(1 + x)),
    "xlogx": each(lambda x: x * mp.log(x) if x else 0),
    "sin": each(mp.sin),
    "cos": each(mp.cos),
    "tan": each(mp.tan),
    "asin": each(mp.asin),
    "acos": each(mp.acos),
    "atan": each(mp.atan),
    "atan2": each(mp.atan2),
    "sinh": each(mp.sinh),
    "cosh": each(mp.cosh),
    "tanh": each(mp.tanh),
    "asinh": each(mp.asinh),
    "acosh": each(mp.acosh),
    "atanh": each(mp.atanh),
    "sinxdivx": each(mp.sinc),
    "sinc": each(mp.sincpi),
    "erf": each(mp.erf),
    "erfc": each(mp.erfc),
    "sigmoid": each(lambda x: 1 / (1 + mp.exp(-x))),
    "softplus": each(lambda x: mp.log(1 + mp.exp(x))),
    # truth
    "lt": each(lambda x, y: x < y),
    "le": each(lambda x, y: x <= y),
    "gt": each(lambda x, y: x > y),
    "ge": each(lambda x, y: x >= y),
    "eq": each(lambda x, y: x == y),
    "ne": each(lambda x, y: x != y),
    "logical_and": each(lambda x, y: x and y),
    "logical_or": each(lambda x, y: x or y),
    "logical_not": each(lambda x: not x),
    "where": each(lambda c, x, y: x if c else y),
    "ifelse": each(lambda c, x, y: x if c >= 0 else y),
    "truth": each(lambda x: 1 if x else 0),
    "to_index": each(lambda x: 1 if x else 0),
    "to_real": each(lambda x: x),
    "add_index": each(lambda x, y: x + y),
    # over the features
    "sum": lambda x: x.sum(-1, keepdims=True),
    "prod": lambda x: x.prod(-1, keepdims=True),
    "min": lambda x: np.sort(x, -1)[..., :1],
    "max": lambda x: np.sort(x, -1)[..., -1:],
    "argmin": lambda x: np.argsort(x, -1, kind="stable")[..., :1],
    "argmax": lambda x: np.argsort(-x, -1, kind="stable")[..., :1],
    "sqnorm2": lambda x: (x**2).sum(-1, keepdims=True),
    "norm2": lambda x: np.linalg.norm(x, axis=-1, keepdims=True),
    "normalize": lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True),
    "sqdist": lambda x, y: ((x - y) ** 2).sum(-1, keepdims=True),
    "dot": lambda x, y: (x * y).sum(-1, keepdims=True),
    "weightedsqnorm": quadratic,
    "weightedsqdist": lambda x, y, s: quadratic(x - y, s),
    # vectors
    "contract": lambda x, n, outer, inner: np.stack(
        [
            sum(x[..., k * outer + term * inner] for term in range(n))
            for k in range(x.shape[-1] // n)
        ],
        -1,
    ),
    "take": lambda x, start, step, n: np.stack([x[..., start + step * k] for k in range(n)], -1),
    "put": lambda x, start, step, n: np.stack(
        [
            x[..., list(range(start, -1 if step < 0 else n, step)).index(k)]
            if k in [start + step * at for at in range(x.shape[-1])]
            else 0 * x[..., 0]
            for k in range(n)
        ],
        -1,
    ),
    "elem": lambda x, i: x[..., [i]],
    "elem_t": lambda x, n, m: np.where(np.arange(n) == m, x, 0),
    "extract_t": lambda x, start, n: np.pad(
        x, [(0, 0)] * (x.ndim - 1) + [(start, n - start - x.shape[-1])]
    ),
    "sum_t": lambda x, n: x * np.ones(n),
    "permute": lambda x, shape, order: np.moveaxis(
        x.reshape(*x.shape[:-1], *shape), [n - len(order) for n in order], range(-len(order), 0)
    ).reshape(x.shape),
    "extract": lambda x, i, d: np.roll(x, -i, -1)[..., :d],
    "repeat": lambda x, n: np.stack([x] * n, -1).reshape(*x.shape[:-1], -1),
    "tile": lambda x, n: np.tile(x, (1,) * (x.ndim - 1) + (n,)),
    "concat": lambda x, y: np.concatenate([x, y], -1),
    "one_hot": lambda x, n: np.stack([np.round(x[..., 0]) == k for k in range(n)], -1),
    "matvecmult": lambda a, x: np.einsum(
        "...ab,...b->...a", matrix(a, a.shape[-1] // x.shape[-1]), x
    ),
    "vecmatmult": lambda x, a: np.einsum("...a,...ab->...b", x, matrix(a, x.shape[-1])),
    "keops_tensordot": tensordot,
    "keops_kron": kron,
    "bspline": lambda t, x, k: np.stack(
        [spline(t, x[..., 0], k, n) for n in range(t.shape[-1] - k - 1)], -1
    ),
    "softdtw_sqdist": warp,
    "factorize": lambda x, y: x,
    "auto_factorize": lambda x: x,
    # complex numbers
    "complex_real": lambda x: number(x).real,
    "complex_imag": lambda x: number(x).imag,
    "interleave": lambda x, y: parts(x + 1j * y),
    "complex_add": of_numbers(lambda x, y: x + y),
    "complex_subtract": of_numbers(lambda x, y: x - y),
    "complex_mult": of_numbers(lambda x, y: x * y),
    "complex_divide": of_numbers(quotient),
    "complex_real_scal": lambda x, y: parts(x * number(y)),
    "conj": of_numbers(np.conj),
    "complex_sum": of_numbers(lambda x: x.sum(-1, keepdims=True)),
    "complex_sum_t": lambda x, n: np.tile(x, n // 2),
    "complex_square_abs": lambda x: number(x).real ** 2 + number(x).imag ** 2,
    "complex_abs": lambda x: np.abs(number(x)),
    "complex_angle": lambda x: np.angle(number(x)),
    "complex_exp": of_numbers(np.exp),
    "complex_exp1j": lambda x: parts(np.exp(1j * x)),
    "real2complex": lambda x: parts(x + 0j),
    "imag2complex": lambda x: parts(1j * x),
    "tensorprod": lambda x, y: (x[..., :, None] * y[..., None, :]).reshape(*x.shape[:-1], -1),
}
"""What operations mean, written without the engine's table; the features are the last axis."""

PARAMS: dict[str, list[tuple[Any, ...]]] = {
    "power": [(0,), (2,), (3,), (-1,), (0.5,), (-1.5,), (2.7,), (66,)],
    "round": [(0,), (1,), (-1,)],
    "elem": [(0,), (-1,)],
    "extract": [(1, 2), (-2, 1)],
    "take": [(0, 1, 2), (2, -1, 3), (0, 2, 2)],
    "put": [(1, 2, 8), (5, -2, 6), (2, -1, 3), (0, 1, 4), (1, 1, 4)],
    "elem_t": [(4, 0), (4, 3), (1, 0)],
    "extract_t": [(2, 6), (0, 3)],
    "sum_t": [(1,), (4,)],
    "permute": [((2, 3), (1, 0)), ((1, 3, 2), (2, 0, 1)), ((2, 1, 3), (0, 1, 2))],
    "keops_tensordot": [
        ((2, 3), (3, 2), (1,), (0,), None),
        ((2, 3), (2, 3), (0, 1), (0, 1), None),
        ((3, 2), (1, 6), (), (), (2, 0, 3, 1)),
        ((2, 3), (2, 3), (0,), (0,), (1, 0)),
        ((6,), (3, 2), (), (), None),
    ],
    "keops_kron": [((2, 3), (3, 2)), ((6,), (6,))],
    "bspline": [(0,), (1,), (3,)],
    "complex_sum_t": [(2,), (6,)],
    "repeat": [(2,)],
    "tile": [(2,)],
    "contract": [(3, 3, 1), (2, 1, 3)],
    "one_hot": [(4,)],
}
"""Static parameters that are tried."""

PARTS = "real imag sum square_abs abs angle exp"
PAIRS: list[tuple[int, ...]] = [(6, 6), (2, 6), (6, 2), (2, 2)]
DIMS: dict[str, list[tuple[int, ...]]] = {
    "matvecmult": [(6, 3), (3, 3), (2, 1)],
    "vecmatmult": [(3, 6), (3, 3), (1, 2)],
    "tensorprod": [(2, 3), (1, 2)],
    "weightedsqnorm": [(3, 1), (3, 3), (3, 9)],
    "weightedsqdist": [(3, 3, 1), (3, 3, 3), (3, 3, 9), (1, 3, 3)],
    "elem_t": [(1,)],
    "sum_t": [(1,)],
    "permute": [(6,)],
    "keops_tensordot": [(6, 6)],
    "keops_kron": [(6, 6)],
    "bspline": [(6, 1)],
    "softdtw_sqdist": [(3, 4, 1), (1, 3, 1), (3, 1, 1)],
    "factorize": [(3, 2)],
    **{name: [(6,), (2,)] for name in ("conj", *(f"complex_{part}" for part in PARTS.split()))},
    **{f"complex_{name}": PAIRS for name in ("add", "subtract", "mult", "divide")},
    "complex_sum_t": [(2,)],
    "complex_real_scal": [(3, 6), (1, 6), (1, 2), (3, 2)],
    "contract": [(6,)],
    "concat": [(3, 2), (1, 3)],
    "one_hot": [(1,)],
    "extract": [(4,)],
}
"""Dimensions of the arguments that are tried, where not all equal or one."""
