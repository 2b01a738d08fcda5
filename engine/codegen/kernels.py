"""The kernels of a task on the CPU: of its formula, and by lower bounds where there are any."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..formula.expr import Expr, to_string
from ..formula.reductions import REDUCTIONS, Reduction
from .bound import Bound, lower_bound
from .cpu import CpuKernel, named, scalar_name


class BoundKernel:
    """The source of a task that has lower bounds, by these.

    Parameters
    ----------
    formula : Expr
        What is reduced, one of the distances that have bounds.
    reduction : str
        By what: for the K smallest, or the smallest.
    dtype : dtype
        float32 or float64.
    bound : Bound
        Its bounds.

    Attributes
    ----------
    tile : int
        Pairs of a row and a vector of columns in a register tile, where there are 32 registers.
    """

    sparse = False

    def __init__(
        self, formula: Expr, reduction: str, dtype: np.dtype[np.floating], bound: Bound
    ) -> None:
        self.entry: Reduction = REDUCTIONS[reduction]
        self.bound = bound
        D = bound.dim
        self.slots = ((bound.row, "i", D), (bound.column, "j", D), (bound.ball, "p", D + 2))
        # one instruction for two components, or a difference, an absolute value and a sum
        self.pair_cost = 4 + (1 if bound.norm == "L2" else 3) * ((D + 1) // 2)
        self.tile = 24 if bound.norm == "L2" else 16
        places = [
            bound.results.index(what) if what in bound.results else -1
            for what in ("values", "indices")
        ]
        scalar = scalar_name(dtype)
        listed = str(bound.listed).lower()
        arguments = f"{scalar}, {D}, {bound.norm}, {listed}, {places[0]}, {places[1]}"
        comment = f"// {reduction} over j of {to_string(formula)}, by bounds, {scalar}"
        body = f"namespace gr {{ typedef Nearest<{arguments}> KERNEL; }}\n"
        self.name, self.source = named(comment, body)


@lru_cache(maxsize=1024)
def cpu_kernel(
    formula: Expr,
    weight: Expr | None,
    reduction: str,
    dtype: np.dtype[np.floating],
    bounded: bool = False,
) -> CpuKernel | BoundKernel | None:
    """Return the kernel of a task, or the one by bounds, None if it has none."""
    if not bounded:
        return CpuKernel(formula, weight, reduction, dtype)
    bound = lower_bound(formula, reduction)
    return None if bound is None else BoundKernel(formula, reduction, dtype, bound)


@lru_cache(maxsize=1024)
def sparse_kernel(
    formula: Expr, weight: Expr | None, reduction: str, dtype: np.dtype[np.floating]
) -> CpuKernel:
    """Return the kernel of a task for rows that have columns of their own."""
    return CpuKernel(formula, weight, reduction, dtype, sparse=True)


PREAMBLE = '#include "kernel.h"\n\n'
SPARSE_PREAMBLE = '#include "block_sparse.h"\n\n'
BOUND_PREAMBLE = '#include "fixed.h"\n\n'
"""Before kernels of the three kinds."""
