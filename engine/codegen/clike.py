"""Prints programs in the C family: one printer, and dialects that are data.

The printer knows statements, spellings and states of reductions; the loops around are the driver's
(`kernel.h` on the CPU).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..formula.expr import Expr
from . import ir
from .balance import as_products
from .ir import Loop, Program, Statement
from .lower import Lowering

UNROLLED = 256
"""Statements up to which a loop over components is unrolled: compilers are not linear in them."""

KIND_TYPES = {"real": "V", "index": "I", "boolean": "B"}


@dataclass(frozen=True)
class Dialect:
    """Spellings that differ within the C family.

    Attributes
    ----------
    load : dict
        Spelling of a load from each space; ``{slot}`` and ``{k}`` are filled in.
    store : str
        Spelling of the store of a hoisted component.
    spell : dict
        Operations that have a better spelling here than in the table.
    as_product : dict
        How the units that multiply do an operation, with a ``unit`` that is 1; see `balance`.
    """

    load: Mapping[str, str]
    store: str = ""
    spell: Mapping[str, str] = field(default_factory=dict)
    as_product: Mapping[str, str] = field(default_factory=dict)


def literal(kind: str, value: float) -> str:
    """Return a constant; the type of the context gives it its width."""
    if kind == "boolean":
        return "B(I{} == I{})" if value else "B(I{} != I{})"
    if kind == "index":
        return f"I{{}} + {int(value)}"
    if math.isnan(value):
        return "V{} + GR_NAN(T)"
    if math.isinf(value):
        return f"V{{}} {'+' if value > 0 else '-'} GR_INF(T)"
    return f"V{{}} + T({float(value)!r})"


class Printer:
    """Prints the statements of one block.

    Parameters
    ----------
    dialect : Dialect
        Spellings.
    tiled : set of str
        Names that are arrays over the register tile, as they outlive a loop over it.
    """

    def __init__(self, dialect: Dialect, tiled: set[str] | None = None) -> None:
        self.dialect = dialect
        self.tiled = tiled or set()
        self.as_products: frozenset[str] = frozenset()
        self.yields: dict[str, Callable[[str, ir.Component], list[str]]] = {}

    def name(self, name: str) -> str:
        """Return how a name is written."""
        return f"{name}[r][c]" if name in self.tiled else name

    def statement(self, s: Statement, indent: str) -> list[str]:
        """Return the lines of a statement."""
        if isinstance(s, Loop):
            return self.loop(s, indent)
        if isinstance(s, ir.Yield):
            return [indent + line for line in self.yields[s.role](self.name(s.value), s.k)]
        if isinstance(s, ir.Store):
            value = self.name(s.value)
            k = ir.index_text(s.offset)
            return [indent + self.dialect.store.format(k=k, value=value)]
        if isinstance(s, ir.Assign):
            return [f"{indent}{self.name(s.name)} = {self.name(s.value)};"]
        text = self.expression(s)
        if s.name in self.tiled:
            return [f"{indent}{self.name(s.name)} = {text};"]
        mutable = isinstance(s, ir.Declare)
        return [f"{indent}{'' if mutable else 'const '}{KIND_TYPES[s.kind]} {s.name} = {text};"]

    def expression(self, s: Statement) -> str:
        """Return the right side of a statement that binds a name."""
        if isinstance(s, ir.Constant):
            return literal(s.kind, s.value)
        if isinstance(s, ir.Declare):
            return literal(s.kind, s.init)
        if isinstance(s, ir.Load):
            return self.dialect.load[s.space].format(slot=s.slot, k=ir.index_text(s.offset))
        if isinstance(s, ir.Number):
            return f"I{{}} + (int)({ir.index_text(s.k)})"
        if isinstance(s, ir.Choose):
            return f"{s.condition} ? {self.name(s.yes)} : {self.name(s.no)}"
        assert isinstance(s, ir.Let)
        args = [self.name(a) for a in s.args]
        n = len(s.op.args)
        code = self.dialect.spell.get(s.op.name, s.op.code)
        if s.name in self.as_products:
            code = self.dialect.as_product[s.op.name]
        return code.format(*args, k=args[n] if len(args) > n else "")

    def loop(self, s: Loop, indent: str) -> list[str]:
        """Return the lines of a loop over components."""
        unroll = "GR_UNROLL " if s.extent <= 8 and s.extent * len(s.body) <= UNROLLED else ""
        head = f"{indent}{unroll}for (int {s.var} = 0; {s.var} < {s.extent}; {s.var}++) {{"
        body = [line for inner in s.body for line in self.statement(inner, indent + "    ")]
        return [head, *body, indent + "}"]

    def block(self, body: Sequence[Statement], indent: str) -> list[str]:
        """Return the lines of a block without tiles."""
        return [line for s in body for line in self.statement(s, indent)]


class TilePrinter(Printer):
    """Prints pairs, a register tile of rows and vectors of columns at a time.

    Straight code between two loops over components is one loop over the tile; inside of a loop
    over components the tile is the inner loop, so that a component is loaded once for the tile.
    Loops of at most `unrolled` turns are unrolled.
    """

    def __init__(self, dialect: Dialect, program: Program, unrolled: int = UNROLLED) -> None:
        super().__init__(dialect)
        self.unrolled = unrolled
        if dialect.as_product:
            self.as_products = as_products(program)
        self.regions = _regions(program.pair)
        self.tiled = _outliving(self.regions)
        self.kinds = {
            ir.defined(s): s.kind  # type: ignore[union-attr]
            for s in ir.walk(program.pair)
            if ir.defined(s)
        }
        self.before: dict[str, Callable[[ir.Component], list[str]]] = {}
        self.after: dict[str, Callable[[ir.Component], list[str]]] = {}

    def tiles(self, indent: str) -> list[str]:
        """Return the lines of the whole tile."""
        lines = [
            f"{indent}{KIND_TYPES[self.kinds[name]]} {name}[R][C];" for name in sorted(self.tiled)
        ]
        if self.as_products:
            lines.append(f"{indent}const V unit = hidden_one<V>();")
        for region in self.regions:
            if isinstance(region, Loop):
                unroll = self.unroll(region)
                var = region.var
                lines.append(
                    f"{indent}{unroll}for (int {var} = 0; {var} < {region.extent}; {var}++) {{"
                )
                lines += [*self._tile(region.body, indent + "    "), indent + "}"]
            else:
                lines += self._tile(region, indent)
        return lines

    def unroll(self, s: Loop) -> str:
        """Return what stands before a loop around the tile."""
        short = s.extent <= self.unrolled and s.extent * len(s.body) <= UNROLLED
        return "GR_UNROLL " if short else ""

    def _tile(self, body: Sequence[Statement], indent: str) -> list[str]:
        yields = [s for s in body if isinstance(s, ir.Yield)]
        before, after = (
            [line for s in yields if s.role in told for line in told[s.role](s.k)]
            for told in (self.before, self.after)
        )
        lines = [*before, "GR_TILE {", *self.block(body, "    "), "}", *after]
        if before:  # it has names of its own
            lines = ["{", *("    " + line for line in lines), "}"]
        return [indent + line for line in lines]


Region = Loop | tuple[Statement, ...]


def _regions(body: tuple[Statement, ...]) -> list[Region]:
    regions: list[Region] = []
    straight: list[Statement] = []
    for s in body:
        if isinstance(s, Loop):
            if straight:
                regions.append(tuple(straight))
                straight = []
            regions.append(s)
        else:
            straight.append(s)
            if isinstance(s, ir.Yield):  # something may come between the value and the weight
                regions.append(tuple(straight))
                straight = []
    return [*regions, tuple(straight)] if straight else regions


def _outliving(regions: Sequence[Region]) -> set[str]:
    """Return the names that are bound in one region and used in another."""
    home: dict[str, int] = {}
    found = set()
    for n, region in enumerate(regions):
        body = region.body if isinstance(region, Loop) else region
        for s in ir.walk(body):
            name = ir.defined(s)
            if name:
                home[name] = n
        for s in ir.walk(body):
            found |= {name for name in ir.used(s) if home[name] != n}
    return found


def scalars(
    dialect: Dialect, roots: Sequence[Expr], bound: dict[Expr, str], letter: str, indent: str = ""
) -> tuple[list[str], list[str]]:
    """Return the lines that compute formulas of scalars, and the names of the results.

    Parameters
    ----------
    dialect : Dialect
        Spellings.
    roots : sequence of Expr
        What is computed.
    bound : dict of Expr to str
        How the variables are written.
    letter : str
        What new names begin with, so that they differ from those around.
    indent : str
        What lines begin with.
    """
    block = Lowering({}, letter)
    names = block.scalars(roots, bound)
    return Printer(dialect).block(block.statements(), indent), names
