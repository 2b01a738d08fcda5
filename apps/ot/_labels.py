"""Labels of points within costs: pairs of different labels cost more, or may not meet at all.

A label is a number, and a last feature of its point, so that a cost of points with labels is a cost
like any other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import check_consistent_length

from .._arrays import put
from ..common import Array, to_host
from ._steps import NoPlanError
from .costs import Cost

UNKNOWN = -1
"""The label of who has none."""


def codes_of(given: tuple[Any, Any], samples: tuple[Array, Array]) -> tuple[Array, Array] | None:
    """Return labels of two sets of samples as numbers.

    Parameters
    ----------
    given : pair of array-like of shape (n_samples,) or None
        Labels of any kind, -1 where unknown.
    samples : pair of array of shape (n_samples, n_features)
        Whose they are.

    Returns
    -------
    pair of ndarray of shape (n_samples,), or None
        None unless both are given.
    """
    if any(part is None for part in given):
        return None
    labels = [check_array(to_host(part), ensure_2d=False, dtype=None) for part in given]
    for part, some in zip(labels, samples, strict=True):
        check_consistent_length(part, some)
    # of words and -1 in one list NumPy makes words
    marks = [part != (str(UNKNOWN) if part.dtype.kind == "U" else UNKNOWN) for part in labels]
    named = [part[mark] for part, mark in zip(labels, marks, strict=True)]
    known = np.unique(np.concatenate(named))
    first, second = (np.full(len(part), UNKNOWN) for part in labels)
    for codes, mark, part in zip((first, second), marks, named, strict=True):
        codes[mark] = np.searchsorted(known, part)
    return first, second


def with_label(points: Any, labels: Array) -> Any:
    """Return points (n, D + 1), of the library of points (n, D), whose last feature is a label."""
    last = put(labels[:, None].astype(points.dtype), points)
    return np.concatenate([points, last], axis=-1)


@contextlib.contextmanager
def told_of(codes: tuple[Array, Array] | None) -> Iterator[None]:
    """Add to the error that there is no plan what labels have to do with it, if there are any."""
    try:
        yield
    except NoPlanError as error:
        if codes is not None:
            error.add_note(
                "Between samples of different labels costs are infinite: a finite limit_max lets "
                "mass go there, at a price."
            )
        raise


def labelled(cost: Cost, limit: float) -> Cost:
    """Return a cost of points whose last feature is a label: `limit` if two known ones differ.

    At least, that is: what costs more still does.
    """

    def prepare(points: Any) -> Any:
        return np.concatenate([cost.prepare(points[..., :-1]), points[..., -1:]], axis=-1)

    def formula(x: Any, y: Any) -> Any:
        D = x.D - 1
        s, t = x[D], y[D]
        C = cost.formula(x[:D], y[:D])
        clash = (s != t) & (s != UNKNOWN) & (t != UNKNOWN)
        return clash.where(limit if np.isinf(limit) else C.maximum(limit), C)

    return Cost(f"{cost.name} with labels", formula, cost.degree, prepare=prepare)
