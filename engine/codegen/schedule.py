"""How much of a program is in flight: register tiles and cache blocks, from a model of the machine.

The model knows the instruction set, not the machine: how many vector registers there are, and what
its caches hold at least. A formula's program is the same wherever it is printed.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..formula.reductions import Reduction
from .ir import Declare, Let, Load, Loop, Program, Statement, defined, used, walk

FUNCTION = 14
"""About how many instructions an elementary function has."""
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
        C, vectors of columns of a register tile where there are 32 vector registers.
    few_vectors : int
        The same where there are 16.
    row_block : int
        Rows that are hoisted and reduced together: whole tiles and whole vectors.
    unrolled : int
        Turns up to which a loop over components is unrolled.
    """

    rows: int
    vectors: int
    few_vectors: int
    row_block: int
    unrolled: int


def cost(body: tuple[Statement, ...]) -> int:
    """Return about how many instructions a block has for one pair of a row and a vector."""
    simple = sum(isinstance(s, Let) for s in walk(body))
    return simple + (FUNCTION - 1) * functions_of(body)


def functions_of(body: tuple[Statement, ...]) -> int:
    """Return how many elementary functions a block has."""
    lets = [s for s in walk(body) if isinstance(s, Let)]
    return sum("(" in s.op.code and not s.op.short for s in lets)


def held(body: tuple[Statement, ...]) -> int:
    """Return how many computed values are alive at once, at most, while a loop runs."""
    born: dict[str | None, int] = {}
    last: dict[str | None, int] = {}
    for n, s in enumerate(body):
        for inner in walk((s,)):
            last |= dict.fromkeys(used(inner), n)
        if not isinstance(s, Loop | Load):
            born[defined(s)] = n
    loops = [n for n, s in enumerate(body) if isinstance(s, Loop)]
    alive = [sum(born[name] < n <= last.get(name, -1) for name in born) for n in loops]
    return max(alive, default=0)


def schedule(program: Program, reduction: Reduction) -> Schedule:
    """Return the sizes for a program.

    A tile of R rows and C vectors of columns loads C vectors and broadcasts R components for the
    R x C terms of a sum over components, whose partial sums stay in registers: R = 6 and C = 4 (2)
    need 24 (12) of 32 (16). Broadcasts share their units with arithmetic on some processors, so
    that C counts more than R. Where functions dominate, whose constants and intermediate values
    want registers, a small tile is as fast. Where values have many components, of which each has a
    lane in memory, a large tile serves R x C terms by a load and a store of R of them.

    Where many sums over components follow one another, as in a product with a triangular matrix,
    only the few that are held at once want registers. If values have many components besides, or
    more than columns have, as moments do, a single row and many vectors touch the lanes in memory
    least often, and what is loaded for a column serves several of them.

    In long straight code compilers spill the partial sums of a large tile, the sooner where the
    lanes of a state want registers too.
    """
    per_value = max(program.value_dim, program.weight_dim)
    accumulators = sum(isinstance(s, Declare) for s in program.pair)
    loops = [s for s in program.pair if isinstance(s, Loop)]
    work = cost(program.pair)
    functions = work - sum(cost(loop.body) for loop in loops) >= FUNCTION
    long = any(loop.extent > 16 for loop in loops)
    many = accumulators > 2
    moments = per_value > max(4, program.n_columns) and not reduction.pivoted
    few_held = held(program.pair) <= 3 and functions_of(program.pair) <= 2
    sequential = (many or moments) and few_held
    if sequential:
        R, C, few = (1, 8, 4) if per_value > 4 else (4, 2, 1)
    elif per_value > 4 and accumulators <= 2 and work < 150 and not reduction.pivoted:
        R, C, few = 6, 4, 2
    elif per_value > 4 or accumulators > 2:
        R, C, few = (2, 1, 1) if work < 150 else (1, 1, 1)
    elif work > 150:
        R, C, few = 1, 1, 1
    elif work > 60 and not loops:
        R, C, few = 2, 1, 1
    elif long or not (functions or reduction.pivoted):
        R, C, few = 6, 4, 2
    else:
        R, C, few = 2, 4, 2
    row_block = {6: 48}.get(R, 64)
    if program.n_rows <= 64:
        row_block *= 2
    straight = 96 if R * C > 16 and not reduction.keep else 256
    unrolled = 8 if sequential else straight // (R * C)
    return Schedule(R, C, few, row_block, unrolled)
