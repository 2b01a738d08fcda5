"""THE table of metrics: one `Metric` each, from which the search, its errors and the tests follow.

A neighbour search only compares distances, so that it runs on a *surrogate*: any increasing
function of the distance that costs less, such as the squared distance. The k values found are
turned into distances at the end.

All of them are made of differences ``x - y``. The expanded form ``|x|^2 + |y|^2 - 2 x.y``, which
loses all digits of the distance between points that are close to each other and far from the
origin, is used in integers only, where it is exact, to dismiss pairs; a cosine distance is half of
a squared distance of points on the sphere.

The square of 1e200 is infinite and that of 1e-200 is 0, though such distances are not. Where a
surrogate has squares and the largest coordinate is out of the range where they are harmless, the
search is on points divided by a power of two, which is exact, and the distances are multiplied by
it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from georeduce.engine import LazyTensor, ShapeError, Vi, Vj
from georeduce.engine.errors import did_you_mean, expected
from georeduce.engine.formula.scaling import plain

from ..common import Array, ParameterError, to_host
from ..exact import gaps

Formula = Callable[..., LazyTensor]


def _as_they_are(points: Array) -> tuple[Array, ...]:
    return (points,)


def _scaled(values: Array, exponent: int) -> Array:
    """Return the values times 2 ** exponent."""
    return np.ldexp(values, exponent) if exponent else values


def _unchanged(values: Array, exponent: int = 0) -> Array:
    return values


def _root(values: Array, exponent: int = 0) -> Array:
    return _scaled(np.sqrt(values), exponent)


def _as_square(values: Array, exponent: int = 0) -> Array:
    return _scaled(values, 2 * exponent)


def _in_half(values: Array, exponent: int = 0) -> Array:
    return values / 2


def _twice_arsinh(values: Array, exponent: int = 0) -> Array:
    return 2 * np.arcsinh(_root(values, exponent))


@dataclass(frozen=True)
class Metric:
    """One way to measure the distance of two points.

    It should be the case that ``finish(surrogate(*prepare(x), *prepare(y)))`` is ``formula(x, y)``
    up to rounding, that `finish` is increasing, and that no step loses more digits than the
    differences ``x - y`` of the prepared points do. If it `squares`, ``finish(values, exponent)``
    is the same for values at the points divided by ``2 ** exponent``.

    Attributes
    ----------
    name : str
        Value of the parameter ``metric``.
    formula : callable
        The distance as a user knows it: a function of two LazyTensors, rows and columns.
    surrogate : callable, optional
        What the search compares, of the LazyTensors of the prepared arrays: first all of the rows,
        then all of the columns. By default the formula.
    regular : callable, optional
        The surrogate, of the points alone, where none is singular: all other prepared arrays are 0.
    finish : callable
        From the surrogate's values to distances, in NumPy.
    prepare : callable
        From points (n, D) to a tuple of arrays of n rows each; raises if there is no distance.
    squares : bool
        Whether the surrogate has squares of the first prepared array, the points themselves.
    aliases : tuple of str
        Other names.
    """

    name: str
    formula: Formula
    surrogate: Formula | None = None
    finish: Callable[..., Array] = _unchanged
    prepare: Callable[[Array], tuple[Array, ...]] = _as_they_are
    regular: Formula | None = None
    squares: bool = False
    aliases: tuple[str, ...] = ()

    def between(
        self, queries: Array, database: Array, keywords: Mapping[str, Any], exponent: int = 0
    ) -> LazyTensor:
        """Return the surrogate of all queries (M, D), as rows, and the database (N, D).

        At the points divided by ``2 ** exponent``.
        """
        x, y = (
            (_scaled(points, -exponent), *rest)
            for points, *rest in map(self.prepare, (queries, database))
        )
        formula = self.surrogate or self.formula
        if self.regular and not any(a.any() for a in (*x[1:], *y[1:])):
            formula, x, y = self.regular, x[:1], y[:1]
        value: LazyTensor = formula(*map(Vi, x), *map(Vj, y), **keywords)
        return value


# --- Formulas ---------------------------------------------------------------------------------


def _sqdist(x: LazyTensor, y: LazyTensor) -> Any:
    return x.sqdist(y)


def _on_sphere(points: Array) -> tuple[Array, ...]:
    """Return points of norm 1, and 1 for the points at the origin, which stay there, else 0.

    The squared distance of two points, plus these, is twice scikit-learn's cosine distance: 1 of
    the origin to every point, and to itself.
    """
    largest = np.abs(points).max(axis=1, keepdims=True)
    at_origin = largest == 0
    unit = points / (largest + at_origin)  # first, or squares may overflow
    unit /= np.sqrt(np.square(unit).sum(axis=1, keepdims=True)) + at_origin
    return unit, at_origin.astype(points.dtype)


def _in_ball(points: Array) -> tuple[Array, ...]:
    """Return the points and ``1 - |x|^2``, found with more digits because few are left at the rim.

    The formula is that of `apps.hyperbolic.PoincareBall`.
    """
    gap = gaps(points)
    inside = gap > 0
    if not inside.all():
        row = int(to_host(inside).argmin())
        norm = float(np.linalg.norm(to_host(points[row])))
        got = f"a norm of {norm:.6g} in row {row}"
        cure = "Scale the points, or use another metric."
        raise ParameterError(expected("points inside of the unit ball for 'poincare'", got, cure))
    return points, gap.astype(points.dtype)


METRICS: dict[str, Metric] = {}

for _metric in (
    Metric("euclidean", lambda x, y: x.sqdist(y).sqrt(), _sqdist, _root, squares=True,
           aliases=("l2",)),
    Metric("sqeuclidean", _sqdist, None, _as_square, squares=True),
    Metric("manhattan", lambda x, y: (x - y).abs().sum(-1), aliases=("l1", "cityblock")),
    Metric("cosine", lambda x, y: 1 - (x.normalize() | y.normalize()),
           lambda x, x0, y, y0: x.sqdist(y) + x0 + y0, _in_half, _on_sphere, _sqdist),
    Metric("poincare", lambda x, y: (1 + 2 * x.sqdist(y) / ((1 - x.sqnorm2()) * (1 - y.sqnorm2()))
                                     ).acosh(),
           lambda x, gx, y, gy: x.sqdist(y) / (gx * gy), _twice_arsinh, _in_ball, squares=True),
):  # fmt: skip
    for _name in (_metric.name, *_metric.aliases):
        METRICS[_name] = _metric


# --- What the user wrote ----------------------------------------------------------------------


def resolve(
    metric: Any, p: float | None, keywords: Mapping[str, Any] | None
) -> tuple[Any, dict[str, Any]]:
    """Return scikit-learn's ``effective_metric_`` and ``effective_metric_params_``.

    Parameters
    ----------
    metric : str or callable
        As the user wrote it.
    p : float or None
        Exponent for "minkowski", where `keywords` has none.
    keywords : dict or None
        Keywords of a function; "p" of "minkowski".
    """
    params = dict(keywords or {})
    if callable(metric):
        return metric, params
    known = ["minkowski", *METRICS]
    if not isinstance(metric, str) or metric not in known:
        what = f"metric to be one of {sorted(known)} or a function of two LazyTensors"
        guess = did_you_mean(metric, known) if isinstance(metric, str) else ""
        raise ParameterError(expected(what, repr(metric), guess))
    if metric == "minkowski":
        p = params.pop("p", p)
        if p not in (1, 2):
            cure = "Pass a function of two LazyTensors as metric for other exponents."
            raise ParameterError(expected("p to be 1 or 2 for metric='minkowski'", repr(p), cure))
        metric = "manhattan" if p == 1 else "euclidean"
    if params:
        cure = "Pass a function of two LazyTensors, which takes keywords."
        what = f"no metric_params for metric={metric!r}"
        raise ParameterError(expected(what, repr(sorted(params)), cure))
    return metric, params


def exponent_of(metric: Any, size: float, dtype: Any) -> int:
    """Return by which power of two points are divided whose largest coordinate has some size."""
    if not (isinstance(metric, str) and METRICS[metric].squares and size > 0):
        return 0
    low, high = plain(dtype)
    exponent = math.frexp(size)[1]
    # well above 1, or points that are much nearer than the farthest would have distances of 0
    return 0 if low < exponent <= high else exponent - high


def surrogate(
    metric: Any,
    keywords: Mapping[str, Any],
    queries: Array,
    database: Array,
    exponent: int = 0,
) -> LazyTensor:
    """Return what the search compares, for an effective metric: a formula of shape (M, N)."""
    if isinstance(metric, str):
        return METRICS[metric].between(queries, database, keywords, exponent)
    name = getattr(metric, "__name__", repr(metric))
    try:
        found = Metric(name, metric).between(queries, database, keywords)
    except TypeError as error:
        error.add_note(
            f"The metric {name} was called with two LazyTensors, points as rows and as columns"
            f"{', and the keywords of metric_params' if keywords else ''}: see georeduce.engine."
        )
        raise
    what = f"metric {name} to return a LazyTensor of dimension 1, one distance for each pair"
    cure = "Reduce the features, for example with .sum(-1)."
    if not isinstance(found, LazyTensor):
        raise ParameterError(expected(what, f"{type(found).__name__}", cure))
    if found.D != 1:
        raise ShapeError(expected(what, f"dimension {found.D}", cure))
    if found.batch or (found.M, found.N) != (len(queries), len(database)):
        cure = "Use both arguments, and no other points."
        raise ShapeError(expected(what, f"shape {found.full_shape}", cure))
    return found


def finished(metric: Any, values: Array, exponent: int = 0) -> Array:
    """Return distances from values of the surrogate at the points divided by 2 ** exponent."""
    return METRICS[metric].finish(values, exponent) if isinstance(metric, str) else values
