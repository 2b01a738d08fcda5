"""Whether data asks for the second form of a formula (`formula.scaling`), and with which powers."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from ..formula.scaling import Root, Scaled, plain, scaled_form
from ._base import Array, Data, Task, make_task

BLOCK = 2**14
"""Numbers that stay in the first cache between their maximum and their minimum."""


def at_scale(task: Task, data: Data) -> tuple[Task, Data]:
    """Return a task and data with the same results, where no square needlessly leaves the range.

    They are the ones given, but for formulas with roots of sums of squares on data that is huge
    or tiny.
    """
    form, everyday = _form(task)
    if form is None:
        return task, data
    sizes = {}
    ordinary = True
    for slot in form.slots:
        sizes[slot] = size = largest(data.arrays[slot])
        ordinary = ordinary and 1 <= size * everyday and size <= everyday
    exponents = None if ordinary else _exponents(form, task, sizes)
    if exponents is None:
        return task, data
    limit = int(np.finfo(task.dtype).maxexp) - 2
    arrays = list(data.arrays[: form.first])
    with np.errstate(all="ignore"):
        arrays += [np.ldexp(arrays[slot], -exponents[c]) for slot, c in form.scaled]
    shape = (1,) * (len(data.batch) + 2)
    for power in form.powers:
        n = sum(d * exponents[c] for c, d in power)
        for _ in range(2):
            part = max(-limit, min(n, limit))
            arrays.append(np.full(shape, 2.0**part, task.dtype))
            n -= part
    scaled = make_task(form.formula, form.weight, task.reduction, "j", task.dtype)
    return scaled, data._replace(arrays=arrays)


@lru_cache(maxsize=4096)
def _form(task: Task) -> tuple[Scaled | None, float]:
    """Return the second form, and how large all may be, or how small, that need it never."""
    form = scaled_form(task.formula, task.weight)
    if form is None:
        return None, 0.0
    terms = [t for root in form.roots for t in root.terms]
    reach = 2 * min(map(abs, plain(task.dtype))) - max(abs(t.offset) for t in terms)
    return form, 2.0 ** (reach / max(sum(abs(d) for _, d in t.degrees) or 1 for t in terms))


def _exponents(form: Scaled, task: Task, sizes: dict[int, float]) -> list[int] | None:
    """Return the exponent to divide by for each class of slots, None if all roots are plain."""
    low, high = plain(task.dtype)
    tops = {slot: math.log2(size) if size else -math.inf for slot, size in sizes.items()}
    below = [_size(root, tops) for root in form.roots]
    # a root of zeros is a zero at any scale
    wrong = [s > -math.inf and not 2 * low <= s <= 2 * high for s in below]
    if not any(wrong):
        return None
    exponents = []
    for c in range(1 + max(c for _, c in form.scaled)):
        top = max(tops.get(slot, -math.inf) for slot, its in form.scaled if its == c)
        # the points themselves must not overflow, nor the largest of the roots
        least = top - int(np.finfo(task.dtype).maxexp) + 4
        asked = False
        for root, size, is_wrong in zip(form.roots, below, wrong, strict=True):
            if c in dict(root.power) and size > -math.inf:
                least = max(least, (size - 2 * high) / sum(d for _, d in root.power))
                asked |= is_wrong
        exponents.append(math.ceil(least) if asked and top > -math.inf else 0)
    return exponents


def _size(root: Root, tops: dict[int, float]) -> float:
    """Return the binary logarithm of what is below a root, -inf for 0."""
    size = -math.inf
    for t in root.terms:
        if all(tops[slot] > -math.inf for slot, _ in t.degrees):
            size = max(size, t.offset + sum(d * tops[slot] for slot, d in t.degrees))
    return size


def largest(a: Any) -> float:
    """Return the largest finite size in an array, 0 for an empty one."""
    if not isinstance(a, np.ndarray):  # on a GPU, by its own library
        finite = np.isfinite(a)
        return float(abs(a)[finite].max()) if finite.any() else 0.0
    if not a.flags.c_contiguous:
        return _finite(a, max(float(a.max()), -float(a.min()))) if a.size else 0.0
    if a.size > BLOCK:
        flat = a.reshape(-1)
        return max(largest(flat[n : n + BLOCK]) for n in range(0, flat.size, BLOCK))
    if not a.size:
        return 0.0
    # positions are faster to find than max and min, by what it takes to begin; a NaN is both
    return _finite(a, max(a.item(a.argmax()), -a.item(a.argmin())))


def _finite(a: Array, size: float) -> float:
    if size < math.inf:
        return size
    return float(np.abs(a).max(where=np.isfinite(a), initial=0))
