"""Derivatives of reductions on arrays: which reductions they are, of which arrays.

Both NumPy's users (`derivatives.py`) and PyTorch's autograd come here: `pull_back`,
`push_forward` and `Picks` say *what* is computed, and are told *how*, so that what they do can be
differentiated in turn.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .arrays import library_of
from .backends._base import Task, make_task
from .formula.backward import Other, picked, reduction_jvp, reduction_vjp
from .formula.expr import Expr, variables

Compute = Callable[[Expr, "Expr | None", str, str, Sequence[Any]], Any]
"""``compute(formula, weight, reduction, axis, arrays)`` returns a reduction's one result, of shape
(\\*batch, n, dim). Over "j" for rows; over "i" for columns."""


# --- Of reductions -----------------------------------------------------------------------------


def pull_back(
    task: Task,
    arrays: Sequence[Any],
    wanted: tuple[int, ...],
    cotangent: Any,
    result: Any,
    compute: Compute,
) -> dict[int, Any]:
    r"""Return gradients of :math:`\langle g, R_j v_{ij} \rangle` by slots.

    Parameters
    ----------
    task : Task
        A reduction with slopes.
    arrays : sequence of array
        One for each slot, of shape (\*batch, n, dim), where batch axes may be 1.
    wanted : tuple of int
        Slots.
    cotangent, result : array of shape (\*batch, M, E)
        g, and what the task gave.
    compute : callable
        See `Compute`.

    Returns
    -------
    dict of int to array
        Of the shapes of the arrays; without slots that the formula does not depend on.
    """
    back = reduction_vjp(task.formula, task.weight, task.reduction, wanted, len(arrays))
    known = [*arrays, cotangent, result, *_others(back.others, arrays, compute)]
    found = {}
    for group in back.groups:
        axis = "i" if group.axis == "j" else "j"
        whole = compute(group.formula, None, "sum", axis, known)
        if group.axis == "p":
            whole = whole.sum(axis=-2, keepdims=True)
        first = 0
        for slot, dim in zip(group.slots, group.dims, strict=True):
            part = whole[..., first : first + dim]
            found[slot] = _sum_to(part, tuple(arrays[slot].shape))
            first += dim
    return found


def push_forward(
    task: Task,
    arrays: Sequence[Any],
    tangents: Mapping[int, Any],
    result: Any,
    compute: Compute,
) -> Any:
    """Return the derivative of a reduction with slopes in a direction: a tangent for some slots.

    Parameters and shapes are as those of `pull_back`.
    """
    slots = tuple(tangents)
    ahead = reduction_jvp(task.formula, task.weight, task.reduction, slots, len(arrays))
    others = _others(ahead.others, arrays, compute)
    known = [*arrays, *tangents.values(), result, *others]
    return compute(ahead.formula, None, "sum", "j", known)


def _others(others: tuple[Other, ...], arrays: Sequence[Any], compute: Compute) -> list[Any]:
    return [compute(formula, None, name, "j", arrays) for name, formula in others]


def _sum_to(a: Any, shape: tuple[int, ...]) -> Any:
    """Return `a` summed over the batch axes along which an array was broadcast to it."""
    axes = tuple(n for n, length in enumerate(shape[:-2]) if length == 1 and a.shape[n] != 1)
    return a.sum(axis=axes, keepdims=True) if axes else a


# --- Of picked values --------------------------------------------------------------------------


def with_indices(task: Task) -> Task:
    """Return the task of a reduction that picks, with the indices of what it picks."""
    name = task.reduction
    both = name if "_arg" in name else f"{name}_arg{name}"
    return make_task(task.formula, None, both, "j", task.dtype)


class Picks:
    r"""The pairs (i, j) that a minimum or the K smallest picked, as rows of one column.

    Parameters
    ----------
    task : Task
        A reduction that picks.
    arrays : sequence of array
        As for `pull_back`.
    indices : array of shape (\*batch, M, E)
        Of the picked columns; -1 for none, which has no derivative.

    Attributes
    ----------
    task : Task
        Of the values of these pairs.
    arrays : list of array
        Of shape (\*batch, M E, dim), or (\*batch, 1, dim) for parameters.
    """

    def __init__(self, task: Task, arrays: Sequence[Any], indices: Any) -> None:
        *self._batch, self._M, self._E = indices.shape
        self._axes = {v.params[1]: v.params[0] for v in variables(task.formula)}
        self._given = arrays
        self._chosen = (indices.reshape(*self._batch, -1, 1)).clip(0)
        self._valid = indices.reshape(*self._batch, -1, 1) >= 0
        self.task = make_task(picked(task.formula, len(arrays)), None, "sum", "j", task.dtype)
        numbers = np.tile(np.arange(self._E, dtype=task.dtype), self._M)[:, None]
        numbers = numbers.reshape((1,) * len(self._batch) + numbers.shape)
        self.arrays = [
            *(self.gather(a, slot) for slot, a in enumerate(arrays)),
            _as(numbers, arrays),
        ]

    @property
    def rows(self) -> int:
        """How many pairs there are in a batch."""
        return int(self._M * self._E)

    def gather(self, a: Any, slot: int) -> Any:
        """Return for each pair what an array (of a slot, or a tangent of it) has there."""
        axis = self._axes.get(slot, "p")
        if axis == "i":
            a = a[..., None, :]
            shape = (*a.shape[:-2], self._E, a.shape[-1])
            return _broadcast(a, shape).reshape(*a.shape[:-3], -1, a.shape[-1])
        if axis == "j":
            a = _broadcast(a, (*self._batch, *a.shape[-2:]))
            index = _broadcast(self._chosen, (*self._chosen.shape[:-1], a.shape[-1]))
            return _take_along(a, index)
        return a

    def flat(self, cotangent: Any) -> Any:
        """Return cotangents of results as those of pairs."""
        flat = cotangent.reshape(*self._batch, -1, 1)
        return _module(flat).where(self._valid, flat, 0 * self._valid)

    def scatter(self, rows: Any, slot: int) -> Any:
        """Return gradients of pairs, summed up for each point: the transpose of `gather`."""
        axis = self._axes[slot]
        shape = tuple(self._given[slot].shape)
        if axis == "i":
            whole = rows.reshape(*rows.shape[:-2], self._M, self._E, shape[-1]).sum(axis=-2)
        elif axis == "j":
            rows = _broadcast(rows, (*self._batch, *rows.shape[-2:]))
            whole = _add_along(rows, self._chosen, shape[-2])
        else:
            whole = rows
        return _sum_to(whole, shape)


def _module(a: Any) -> Any:
    """Return the library of an array."""
    return np if isinstance(a, np.ndarray) else sys.modules[library_of(a)]


def filled(like: Any, value: float) -> Any:
    """Return an array of one number, of the shape, dtype and library of another."""
    return _module(like).full_like(like, value)


def _as(numbers: Any, arrays: Sequence[Any]) -> Any:
    """Return a NumPy array in the library, and on the device, of other arrays."""
    like = next((a for a in arrays if not isinstance(a, np.ndarray)), None)
    if like is None:
        return numbers
    if library_of(like) == "torch":
        return _module(like).from_numpy(numbers).to(like.device)
    return _module(like).asarray(numbers)


def _broadcast(a: Any, shape: tuple[int, ...]) -> Any:
    return _module(a).broadcast_to(a, shape)


def _take_along(a: Any, index: Any) -> Any:
    return (
        a.gather(-2, index)
        if library_of(a) == "torch"
        else _module(a).take_along_axis(a, index, -2)
    )


def _add_along(rows: Any, index: Any, n: int) -> Any:
    r"""Return (\*batch, n, dim): rows with the same index summed."""
    library = _module(rows)
    shape = (*rows.shape[:-2], n, rows.shape[-1])
    if library_of(rows) == "torch":
        return rows.new_zeros(shape).scatter_add(-2, index.expand(rows.shape), rows)
    whole = library.zeros(shape, rows.dtype)
    lead = np.ix_(*(range(length) for length in rows.shape[:-2]))
    library.add.at(whole, (*(library.asarray(b)[..., None] for b in lead), index[..., 0]), rows)
    return whole
