"""Slots: the arrays behind the variables of a formula, and how those of two formulas become one."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from .arrays import cast
from .formula.expr import Expr, substitute, variable, variables


class Slot:
    """The array behind a variable: shape (*batch, n, dim), or numbers without a dtype."""

    __slots__ = ("array", "axis", "dtype_free", "shape")

    def __init__(self, array: Any, axis: str, dtype_free: bool = False) -> None:
        self.array, self.axis, self.dtype_free = array, axis, dtype_free
        self.shape = array.shape

    def as_dtype(self, dtype: np.dtype[Any]) -> Any:
        """Return the array; numbers without a dtype take the one they are given."""
        return cast(self.array, dtype) if self.dtype_free else self.array


def merge_slots(
    a: tuple[Slot, ...], b: tuple[Slot, ...]
) -> tuple[tuple[Slot, ...], tuple[int, ...]]:
    """Return the slots of both, and where those of b stand among them."""
    merged, places = list(a), []
    for slot in b:
        array, axis = slot.array, slot.axis
        for place, known in enumerate(merged):
            if known is slot or (known.array is array and known.axis == axis):
                places.append(place)
                break
        else:
            places.append(len(merged))
            merged.append(slot)
    return tuple(merged), tuple(places)


@lru_cache(maxsize=8192)
def renumber(e: Expr, places: tuple[int, ...]) -> Expr:
    """Return a formula with slot n moved to ``places[n]``."""
    moved = {}
    for old in variables(e):
        axis, slot = old.params
        moved[old] = variable(axis, old.dim, places[slot], old.kind)
    return substitute(e, moved)
