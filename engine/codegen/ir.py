"""The intermediate representation: what is computed for a point or a pair, component by component.

Grammar::

    Program    = parameters: Statement*, rows: Statement*, columns: Statement*, pair: Statement*
    Statement  = Constant | Load | Let | Choose | Declare | Assign | Loop | Store | Yield

Every value is a scalar of a kind ("real", "index" or "boolean") with a name that is bound once. It
says nothing about lanes, tiles or threads: on the CPU a value is a vector of lanes for one row and
several columns, on a GPU a register of a thread. The loops around (over rows, columns, batches,
blocks, threads) are the driver's of each target. `verify` checks a program.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..formula.ops import Op


@dataclass(frozen=True)
class Index:
    """An integer expression of loop variables, with its bounds (both inclusive)."""

    text: str
    lo: int
    hi: int

    def __add__(self, n: int | Index) -> Index:
        if isinstance(n, int):
            return self if n == 0 else Index(f"{self.text} + {n}", self.lo + n, self.hi + n)
        return Index(f"{self.text} + {n.text}", self.lo + n.lo, self.hi + n.hi)

    __radd__ = __add__

    def __mul__(self, n: int) -> Index:
        return self if n == 1 else self._function("*", n, *sorted((self.lo * n, self.hi * n)))

    __rmul__ = __mul__

    def __floordiv__(self, n: int) -> Index:
        return self if n == 1 else self._function("/", n, self.lo // n, self.hi // n)

    def __mod__(self, n: int) -> Index:
        return self if self.hi < n else self._function("%", n, 0, n - 1)

    def _function(self, symbol: str, n: int, lo: int, hi: int) -> Index:
        inside = self.text if self.text.isidentifier() else f"({self.text})"
        return Index(f"{inside} {symbol} {n}", lo, hi)

    def at_most(self, n: int) -> Index:
        """Return the smaller of this and n."""
        return Index(f"({self.text} < {n} ? {self.text} : {n})", min(self.lo, n), min(self.hi, n))

    def at_least(self, n: int) -> Index:
        """Return the larger of this and n."""
        return Index(f"({self.text} > {n} ? {self.text} : {n})", max(self.lo, n), max(self.hi, n))


Component = int | Index


def bounds(k: Component) -> tuple[int, int]:
    """Return the least and the largest value of an index."""
    return (k, k) if isinstance(k, int) else (k.lo, k.hi)


def index_text(k: Component) -> str:
    """Return the C spelling of an index."""
    return str(k) if isinstance(k, int) else k.text


@dataclass(frozen=True)
class Constant:
    """name = value."""

    name: str
    kind: str
    value: float


@dataclass(frozen=True)
class Load:
    """name = component `offset` of what `space` holds.

    Spaces: "argument" (array of slot `slot`), or the hoisted values of "p" parameters, "i" rows and
    "j" columns.
    """

    name: str
    kind: str
    space: str
    slot: int
    offset: Component


@dataclass(frozen=True)
class Let:
    """name = op(args)."""

    name: str
    kind: str
    op: Op
    args: tuple[str, ...]


@dataclass(frozen=True)
class Number:
    """name = a loop's index, as a value of kind index."""

    name: str
    kind: str
    k: Component


@dataclass(frozen=True)
class Choose:
    """name = yes if `condition`, of loop variables, else no."""

    name: str
    kind: str
    condition: str
    yes: str
    no: str


@dataclass(frozen=True)
class Declare:
    """A mutable value, first `init`."""

    name: str
    kind: str
    init: float


@dataclass(frozen=True)
class Assign:
    """Mutable name = value."""

    name: str
    value: str


@dataclass(frozen=True)
class Loop:
    """For var from 0 to extent - 1."""

    var: str
    extent: int
    body: tuple[Statement, ...]


@dataclass(frozen=True)
class Store:
    """Hoisted component `offset` = value."""

    offset: Component
    value: str


@dataclass(frozen=True)
class Yield:
    """Component k of the formula ("value") or of the weight ("weight") is `value`."""

    role: str
    k: Component
    value: str


Statement = Constant | Load | Let | Number | Choose | Declare | Assign | Loop | Store | Yield


@dataclass(frozen=True)
class Program:
    """What is computed once, for each row, for each column, and for each pair.

    `n_parameters`, `n_rows` and `n_columns` count the hoisted components; `slots` tells the axis
    and the dimension of every argument array.
    """

    parameters: tuple[Statement, ...]
    rows: tuple[Statement, ...]
    columns: tuple[Statement, ...]
    pair: tuple[Statement, ...]
    n_parameters: int
    n_rows: int
    n_columns: int
    slots: tuple[tuple[int, str, int], ...]
    value_dim: int
    weight_dim: int


def defined(s: Statement) -> str | None:
    """Return the name that a statement binds."""
    return None if isinstance(s, Assign | Loop | Store | Yield) else s.name


def used(s: Statement) -> tuple[str, ...]:
    """Return the names that a statement reads or changes, without those of a loop's body."""
    if isinstance(s, Let):
        return s.args
    if isinstance(s, Choose):
        return s.yes, s.no
    if isinstance(s, Assign):
        return s.name, s.value
    if isinstance(s, Store | Yield):
        return (s.value,)
    return ()


def walk(body: tuple[Statement, ...]) -> Iterator[Statement]:
    """Yield all statements, those of loops included."""
    for s in body:
        yield s
        if isinstance(s, Loop):
            yield from walk(s.body)


def verify(program: Program) -> None:
    """Raise AssertionError where a program is malformed: it would be a bug of `lower`."""
    sizes = {"p": program.n_parameters, "i": program.n_rows, "j": program.n_columns}
    arguments = {slot: dim for slot, _, dim in program.slots}
    visible = {"parameters": "", "rows": "p", "columns": "p", "pair": "pij"}
    stored = {"parameters": "p", "rows": "i", "columns": "j"}
    for name, spaces in visible.items():
        body = getattr(program, name)
        _verify_block(body, {}, spaces, sizes, arguments, stored.get(name, ""))
    assert any(isinstance(s, Yield) for s in walk(program.pair)), "nothing is reduced"


def _verify_block(
    body: tuple[Statement, ...],
    outer: dict[str, str],
    spaces: str,
    sizes: dict[str, int],
    arguments: dict[int, int],
    stored: str,
) -> None:
    known = dict(outer)
    for s in body:
        for name in used(s):
            assert name in known, f"{name} is used before it is bound in {s}"
        name = defined(s) or ""
        assert not name or name not in known, f"{name} is bound twice"
        if isinstance(s, Load):
            if s.space == "argument":
                assert not spaces.count("i"), "pairs read hoisted values only"
                _verify_bounds(s, arguments[s.slot])
            else:
                assert s.space in spaces, f"{s} is out of reach"
                _verify_bounds(s, sizes[s.space])
        elif isinstance(s, Let):
            kinds = [known[a] for a in s.args]
            for kind, wanted in zip(kinds, s.op.args, strict=False):  # {k} comes last
                assert wanted in (kind, "any", "same", "ordered"), (
                    f"{s} has arguments of kinds {kinds}"
                )
        elif isinstance(s, Assign):
            assert known[s.name] == known[s.value], f"{s} changes the kind"
        elif isinstance(s, Store):
            assert stored, f"{s} is in a block that stores nothing"
            _verify_bounds(s, sizes[stored])
        elif isinstance(s, Loop):
            assert s.extent >= 1, s
            _verify_block(s.body, known, spaces, sizes, arguments, stored)
        if name:
            known[name] = s.kind  # type: ignore[union-attr]


def _verify_bounds(s: Load | Store, size: int) -> None:
    lo, hi = bounds(s.offset)
    assert lo >= 0, f"{s} may be below 0"
    assert hi < size, f"{s} may be above {size - 1}"
