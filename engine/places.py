"""Placeholders: LazyTensors whose arrays are given later, when a reduction of them is called.

``Vi(0, 3)`` stands for the first of these arrays, points of 3 components. A reduction of a formula
with placeholders is a `Deferred`: a function of the arrays.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any, NoReturn

import numpy as np

from .errors import ArgumentError, ShapeError, expected
from .formula.expr import Expr, substitute, to_string, variable
from .lazy import LazyTensor, Pm, Vi, Vj, join
from .slots import Slot, renumber

_NAMES = {"i": "Vi", "j": "Vj", "p": "Pm"}


class MissingArraysError(ArgumentError):
    """What was asked for needs the arrays of placeholders."""


class Unknown:
    """A length that is known once arrays are given: until then it agrees with any."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name

    def __eq__(self, other: object) -> bool:
        return other is not None

    def __hash__(self) -> int:
        return hash(self.name)


class Place:
    """What stands for an array: number `ind` of those given later, of `dim` components.

    It is where a slot has its array, until it is asked for numbers.
    """

    dtype = np.dtype("V1")  # none of a formula, so that every formula asks for another
    ndim = 2

    def __init__(self, ind: int, dim: int) -> None:
        self.ind, self.dim = ind, dim
        self.shape = (Unknown("n"), dim)

    def __reduce__(self) -> tuple[Callable[..., Place], tuple[int, int]]:
        return place, (self.ind, self.dim)

    def astype(self, dtype: Any) -> NoReturn:
        """Raise: there are no numbers."""
        cure = "Reduce the formula along rows or columns, and call the result with its arrays."
        raise MissingArraysError(expected("arrays", f"a placeholder of number {self.ind}", cure))


@cache
def place(ind: int, dim: int) -> Place:
    """Return the one place of this number and dimension."""
    return Place(ind, dim)


def placeholder(ind: Any, dim: Any, axis: str) -> LazyTensor:
    """Return the LazyTensor of an axis, "i", "j" or "p", whose array is given later."""
    for value, least, what in ((ind, 0, "the number of the array"), (dim, 1, "its dimension")):
        if type(value) is not int or value < least:
            what = f"{_NAMES[axis]}(ind, dim) with {what} as an integer of {least} or more"
            raise ArgumentError(expected(what, f"{value!r}"))
    new = copy.copy(_NUMBER)
    array: Any = place(ind, dim)
    new.slots = (Slot(array, axis, dtype_free=True),)
    new.expr = variable(axis, dim, 0)
    unknown: Any = Unknown("M" if axis == "i" else "N")
    new.M, new.N = unknown if axis == "i" else None, unknown if axis == "j" else None
    return new


_NUMBER = Pm(1.0)


def Var(x: Any, dim: int | None = None, cat: int | None = None) -> LazyTensor:
    """Return a placeholder, or points or parameters, of a category: 0 (rows), 1 (columns) or 2.

    Parameters
    ----------
    x : int or array
        Number of the placeholder among the arrays that a reduction is called with; without `dim`,
        an array as that of `LazyTensor`.
    dim : int, optional
        Components of the placeholder.
    cat : {0, 1, 2}
        Rows, columns or parameters.

    Examples
    --------
    >>> x_i, y_j = Var(0, 3, 0), Var(1, 3, 1)
    >>> x_i.sqdist(y_j).shape
    (M, N)
    """
    if dim is None:
        return LazyTensor(x, axis=cat)
    if cat not in (0, 1, 2):
        what = "cat=0 (rows), 1 (columns) or 2 (parameters)"
        raise ArgumentError(expected(what, f"cat={cat!r}"))
    return placeholder(x, dim, "ijp"[cat])


Key = tuple[int, str, int]
"""Number, axis and dimension of a placeholder."""


def _key(slot: Slot) -> Key | None:
    array: Any = slot.array
    return (array.ind, slot.axis, array.dim) if type(array) is Place else None


def waits(*tensors: LazyTensor | None) -> bool:
    """Return whether one of the tensors has placeholders."""
    return any(_key(s) is not None for x in tensors if x is not None for s in x.slots)


class Deferred:
    """A reduction that is computed when it is called with the arrays of its placeholders.

    It should be the case that ``K.sum(axis=1)(x, y)`` is the sum of the formula K in which
    ``Vi(0, D)`` is ``Vi(x)``, and so on.

    Parameters
    ----------
    *arrays : array
        In the order of the placeholders' numbers: (..., M, D) for rows, (..., N, D) for columns,
        (D,) for parameters.
    **how
        Options of reductions, on top of those given before.

    Examples
    --------
    >>> import numpy as np
    >>> from georeduce.engine import Vi, Vj
    >>> distances = Vi(0, 2).sqdist(Vj(1, 2)).sum(axis=1)
    >>> distances
    Deferred sum over j of sum(square(x0 - y1)), of Vi(0, 2) and Vj(1, 2)
    >>> distances(np.zeros((4, 2)), np.ones((3, 2))).shape
    (4, 1)
    """

    def __init__(
        self,
        reduce: Callable[..., Any],
        x: LazyTensor,
        name: str,
        axis: str,
        K: int,
        weight: LazyTensor | None,
        how: dict[str, Any],
    ) -> None:
        self._reduce, self._task = reduce, (name, axis, K)
        self._x, self._weight, self._how, self._key = x, weight, how, ()
        slots = [*x.slots, *(() if weight is None else weight.slots)]
        found = {key for key in map(_key, slots) if key is not None}
        self._places = tuple(sorted(found))
        self._numbers = sorted({ind for ind, _, _ in found})

    def __call__(self, *arrays: Any, **how: Any) -> Any:
        """Return the result for these arrays, see the class."""
        if len(arrays) != len(self._numbers):
            what = f"{len(self._numbers)} arrays, for {self._needs()}"
            raise ArgumentError(expected(what, f"{len(arrays)}"))
        by_number = dict(zip(self._numbers, arrays, strict=True))
        given = [_given(key, by_number[key[0]]) for key in self._places]
        x = _filled(self._x, self._places, given)
        weight = None if self._weight is None else _filled(self._weight, self._places, given)
        name, axis, K = self._task
        result = self._reduce(x, name, axis, K, weight, **(self._how | how))
        return result[self._key] if self._key else result

    @property
    def dim(self) -> int:
        """Components of the formula."""
        return self._x.D

    def __getitem__(self, key: Any) -> Deferred:
        """Return a part of the result, once there is one."""
        new = copy.copy(self)
        new._key = key
        return new

    def _needs(self) -> str:
        places = [f"{_NAMES[axis]}({ind}, {dim})" for ind, axis, dim in self._places]
        return " and ".join([", ".join(places[:-1]), places[-1]][len(places) < 2 :] or ["nothing"])

    def __repr__(self) -> str:
        name, axis, _ = self._task
        return f"Deferred {name} over {axis} of {to_string(self._x.expr)}, of {self._needs()}"


def _given(key: Key, array: Any) -> LazyTensor:
    """Return an array as the placeholder is used."""
    ind, axis, dim = key
    if axis == "p":
        matrix = getattr(array, "ndim", 0) > 1
        made = LazyTensor(array[..., None, None, :]) if matrix else Pm(array)
    else:
        made = (Vi if axis == "i" else Vj)(array)
    if made.D != dim:
        what = f"an array of {dim} components for {_NAMES[axis]}({ind}, {dim})"
        raise ShapeError(expected(what, f"shape {tuple(getattr(array, 'shape', (made.D,)))}"))
    return made


def _filled(x: LazyTensor, keys: tuple[Key, ...], given: Sequence[LazyTensor]) -> LazyTensor:
    """Return a formula with the placeholders replaced by what is given for them."""
    exprs, new = join([*given, x])
    made = dict(zip(keys, exprs, strict=False))
    slots: list[Slot] = []
    values, kept = [], []
    for s in new.slots:
        key = _key(s)
        values.append(None if key is None else made[key])
        kept.append(len(slots))
        slots += [s] if key is None else []
    new = copy.copy(new)
    new.slots, new.expr = tuple(slots), _replaced(exprs[-1], tuple(values), tuple(kept))
    return new


@lru_cache(maxsize=4096)
def _replaced(e: Expr, values: tuple[Expr | None, ...], kept: tuple[int, ...]) -> Expr:
    """Return a formula with variables replaced slot by slot, and slots renumbered."""
    found = {}
    for n, new in enumerate(values):
        if new is not None:
            axis, _ = new.params
            found[variable(axis, new.dim, n)] = new
    return renumber(substitute(e, found), kept)
