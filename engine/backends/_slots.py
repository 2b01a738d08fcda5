"""The arguments of a compiled kernel: where arrays lie, and how to walk through them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ._base import Array, Data

if TYPE_CHECKING:
    from .openmp import Loaded


def slots_of(k: Loaded, data: Data) -> tuple[tuple[list[int], list[Any]], int, int]:
    """Return the words of the arguments, what keeps them alive, and batches that are hoisted."""
    words: list[int] = []
    alive: list[Any] = []
    varying = ""
    batch = data.batch
    zeros = _ONE_BATCH if not batch else np.zeros(math.prod(batch), np.int64)
    same = zeros.__array_interface__["data"][0] if batch else _ONE_BATCH_ADDRESS
    for slot, axis, _ in k.slots:
        a = data.arrays[slot]
        size = a.itemsize
        stride, step = a.strides[-2:]
        if stride % size or step % size or not a.flags.aligned:
            a = a.copy()  # in order, and aligned
            stride, step = a.strides[-2:]
        alive.append(a)
        words += (a.__array_interface__["data"][0], stride // size, step // size)
        if batch and math.prod(a.shape[:-2]) > 1:
            varying += axis
            offsets = offsets_of(a, batch)
            alive.append(offsets)
            words.append(offsets.__array_interface__["data"][0])
        else:
            words.append(same)
    alive.append(zeros)
    batches = math.prod(batch)
    columns = batches if "j" in varying or "p" in varying else 1
    return (words, alive), columns, batches if "p" in varying else 1


_ONE_BATCH = np.zeros(1, np.int64)
_ONE_BATCH_ADDRESS: int = _ONE_BATCH.__array_interface__["data"][0]


def offsets_of(a: Array, batch: tuple[int, ...]) -> Array:
    """Return where each batch of an array starts, in elements."""
    offsets = np.zeros((), np.int64)
    lead = a.shape[:-2]
    for axis, length in enumerate(batch):
        step = 0 if lead[axis] == 1 else a.strides[axis] // a.itemsize
        offsets = offsets[..., None] + np.arange(length, dtype=np.int64) * step
    return np.ascontiguousarray(offsets).reshape(-1)
