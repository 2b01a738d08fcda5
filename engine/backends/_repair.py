"""Rows that are done again, in another way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..formula.expr import variables
from ..ranges import Ranges
from ._base import Array, Data, Task


def again(
    task: Task,
    data: Data,
    results: tuple[Array, ...],
    which: Array,
    run: Callable[[Data], tuple[Array, ...]],
) -> None:
    """Do some rows again, in another way."""
    if not which.any():
        return
    axes = {e.params[1]: e.params[0] for e in variables(task.formula)}
    for b in np.ndindex(data.batch):
        rows = np.flatnonzero(which[b])
        if not rows.size:
            continue
        arrays = []
        for slot, a in enumerate(data.arrays):
            a = a[tuple(n if length > 1 else 0 for n, length in zip(b, a.shape, strict=False))]
            arrays.append(a[rows] if axes.get(slot) == "i" else a)
        ranges = data.ranges
        if ranges is not None:
            number = int(np.ravel_multi_index(b, data.batch)) if data.batch else 0
            own = ranges.along_j.of_batch(number, data.M, data.N)
            ranges = Ranges.over_j(own.of_rows(rows))
        part = data._replace(arrays=arrays, batch=(), M=rows.size, ranges=ranges)
        for result, new in zip(results, run(part), strict=True):
            result[b][rows] = new
