"""How much of a program is in flight: register tiles and cache blocks, from a model of the machine.

The model knows vector registers and cache sizes of the instruction set, not of the machine, so that
a formula's program is the same wherever it is printed.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..formula.reductions import Reduction
from .ir import Declare, Let, Loop, Program, Statement, walk

L1_BYTES = 24 * 1024
"""What a block of columns may take: most of a first-level cache of 32 KiB."""
L2_BYTES = 256 * 1024
"""What a block of rows, their states and the columns may take."""
FLUSH = 64
"""Vectors of columns whose float32 sums are added up before they go to a double."""


@dataclass(frozen=True)
class Schedule:
    """Sizes of the loops around a program.

    Attributes
    ----------
    rows : int
        R, rows of a register tile.
    vectors : int
        C, vectors of columns of a register tile.
    row_block : int
        Vectors of rows that are hoisted and reduced together.
    column_block : int
        Vectors of columns that rows pass over together.
    """

    rows: int
    vectors: int
    row_block: int
    column_block: int


def cost(body: tuple[Statement, ...]) -> int:
    """Return about how many instructions a block has for one pair of a row and a vector."""
    total = 0
    for s in walk(body):
        if isinstance(s, Let):
            spelled = s.op.code
            total += 14 if "(" in spelled and not spelled.startswith("where") else 1
    return total


def schedule(program: Program, reduction: Reduction, vector_bytes: int = 64) -> Schedule:
    """Return the sizes for a program, in vectors of `vector_bytes`."""
    per_value = max(program.value_dim, program.weight_dim)
    accumulators = sum(isinstance(s, Declare) for s in program.pair)
    long_loop = any(isinstance(s, Loop) and s.extent > 16 for s in program.pair)
    work = cost(program.pair)
    if per_value > 4 or accumulators > 2:
        R, C = (2, 1) if work < 150 else (1, 1)
    elif work > 150:
        R, C = 1, 1
    elif work > 60:
        R, C = 2, 1
    elif reduction.pivoted:
        R, C = 4, 4
    elif long_loop:
        R, C = 8, 2
    elif reduction.keep:
        R, C = 4, 4
    else:
        R, C = 4, 2
    column_bytes = max(1, program.n_columns) * vector_bytes
    column_block = max(C, min(FLUSH, (L1_BYTES // column_bytes) // C * C))
    row_bytes = max(1, program.n_rows) * vector_bytes
    row_block = max(1, min(4, L2_BYTES // 2 // row_bytes))
    return Schedule(R, C, row_block, column_block)
