"""From formulas to the intermediate representation: hoisting, and one component at a time.

Every node that depends on rows only, on columns only or on neither is *hoisted*: computed once for
each row, column or call, and loaded where pairs need it. What is left is lowered from its roots:
`value(e, k)` emits what component k of a node needs and returns its name. Values of dimension 1 do
not depend on a loop over components and go to the outermost block, each once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

from ..formula.expr import AXES, Expr, constant, postorder, substitute, variables
from ..formula.ops import OPS
from ..formula.reductions import REDUCTIONS, Reduction, j, state_a, state_b, v
from . import ir
from .ir import Component, Program, Statement, bounds
from .reciprocal import use_reciprocals


@lru_cache(maxsize=1024)
def lower(formula: Expr, weight: Expr | None) -> Program:
    """Return the verified program of a formula, and of the weight of its reduction."""
    formula = use_reciprocals(formula)
    weight = None if weight is None else use_reciprocals(weight)
    roots = [formula] if weight is None else [formula, weight]
    hoisted = hoist(roots)
    sizes, places = {}, {}
    for axis in "pij":
        size = 0
        for e in hoisted[axis]:
            places[e] = (axis, size)
            size += e.dim
        sizes[axis] = size
    parameters = {e: place for e, place in places.items() if place[0] == "p"}
    blocks = {
        axis: _store_all(hoisted[axis], places, {} if axis == "p" else parameters) for axis in "pij"
    }
    pair = Lowering(places)
    pair.yield_all("value", formula)
    if weight is not None:
        pair.yield_all("weight", weight)
    slots = tuple((e.params[1], e.params[0], e.dim) for e in variables(*roots))
    program = Program(
        blocks["p"],
        blocks["i"],
        blocks["j"],
        pair.statements(),
        sizes["p"],
        sizes["i"],
        sizes["j"],
        slots,
        formula.dim,
        0 if weight is None else weight.dim,
    )
    ir.verify(program)
    return program


def hoist(roots: Sequence[Expr]) -> dict[str, list[Expr]]:
    """Return the maximal nodes that are computed once for each call ("p"), row and column."""
    found: dict[str, list[Expr]] = {"p": [], "i": [], "j": []}
    axes = {AXES[a]: a for a in "pij"}
    seen: set[Expr] = set()
    stack = list(reversed(roots))
    while stack:
        e = stack.pop()
        if e in seen or e.is_constant:
            continue
        seen.add(e)
        axis = axes.get(e.axes)
        if axis is None or not _worth_storing(e):
            stack.extend(reversed(e.args))
            continue
        found[axis].append(e)
        if axis != "p":
            # parameters inside are computed once too; everything else inside is not needed
            inside = [a for a in postorder(e) if a.axes == 0 and not a.is_constant]
            stack.extend(a for a in inside if _is_maximal(a, e) and _worth_storing(a))
    return {axis: _without_parts(nodes) for axis, nodes in found.items()}


def _without_parts(nodes: list[Expr]) -> list[Expr]:
    """Replace parts of a node by the whole where all of them are at least as long.

    A triangular product takes the first component of x, the first two, the first three: stored
    each, they would be D (D + 1) / 2 components.
    """
    lengths: dict[Expr, int] = {}
    for e in nodes:
        if e.op is OPS["take"]:
            lengths[e.args[0]] = lengths.get(e.args[0], 0) + e.dim
    whole = {
        x for x, length in lengths.items() if _worth_storing(x) and (length >= x.dim or x in nodes)
    }
    kept = [e.args[0] if e.op is OPS["take"] and e.args[0] in whole else e for e in nodes]
    return list(dict.fromkeys(kept))


def _is_maximal(part: Expr, whole: Expr) -> bool:
    users = [e for e in postorder(whole) if part in e.args]
    return any(e.axes != 0 or not _worth_storing(e) for e in users)


def _worth_storing(e: Expr) -> bool:
    """Whether a node is real, and not longer than the variables that it is made of.

    Buffers hold real numbers: an index of 2^24 and more would not survive in float32.
    """
    return e.kind == "real" and (e.dim == 1 or e.dim <= sum(a.dim for a in variables(e)))


def _store_all(
    nodes: Sequence[Expr], places: dict[Expr, tuple[str, int]], known: dict[Expr, tuple[str, int]]
) -> tuple[Statement, ...]:
    block = Lowering(known)
    for e in nodes:
        block.store_all(e, places[e][1])
    return block.statements()


class Lowering:
    """A block under construction; blocks of open loops are stacked."""

    def __init__(self, hoisted: dict[Expr, tuple[str, int]], letter: str = "t") -> None:
        self.hoisted = hoisted
        self.letter = letter
        self._blocks: list[list[Statement]] = [[]]
        self._names: list[dict[tuple[Expr, str], str]] = [{}]
        self._count = 0

    def statements(self) -> tuple[Statement, ...]:
        """Return the finished block."""
        return tuple(self._blocks[0])

    def emit(self, s: Statement) -> str:
        """Append a statement to the innermost block and return the name it binds."""
        self._blocks[-1].append(s)
        return ir.defined(s) or ""

    def fresh(self, letter: str = "") -> str:
        """Return a name that was not used yet."""
        self._count += 1
        return f"{letter or self.letter}{self._count - 1}"

    @contextmanager
    def loop(self, extent: int) -> Iterator[Component]:
        """Emit a loop around what is emitted inside; a single turn needs none."""
        if extent == 1:
            yield 0
            return
        var = self.fresh("d")
        self._blocks.append([])
        self._names.append({})
        yield ir.Index(var, 0, extent - 1)
        self._names.pop()
        body = tuple(self._blocks.pop())
        self.emit(ir.Loop(var, extent, body))

    @contextmanager
    def outermost(self) -> Iterator[None]:
        """Emit to the outermost block, before the loops that are open."""
        blocks, names = self._blocks, self._names
        self._blocks, self._names = blocks[:1], names[:1]
        yield
        self._blocks, self._names = blocks, names

    def yield_all(self, role: str, root: Expr) -> None:
        """Emit all components of a root; of a concatenation, one part after the other."""
        stack, first = [root], 0
        while stack:
            e = stack.pop()
            if e.op is OPS["concat"] and e not in self.hoisted:
                stack += reversed(e.args)
                continue
            with self.loop(e.dim) as k:
                self.emit(ir.Yield(role, k + first, self.value(e, k)))
            first += e.dim

    def store_all(self, e: Expr, offset: int) -> None:
        """Emit all components of a hoisted node."""
        with self.loop(e.dim) as k:
            self.emit(ir.Store(k + offset, self.value(e, k)))

    def value(self, e: Expr, k: Component) -> str:
        """Return the name of component k of a node, emitting it where it is not known yet.

        What it needs is emitted first, from a stack of our own: formulas may be deep.
        """
        if e.dim == 1 and len(self._blocks) > 1:
            with self.outermost():
                return self.value(e, 0)
        k = 0 if e.dim == 1 else k
        stack = [(e, k)]
        while stack:
            top = stack[-1]
            if self._known(*top) is None:
                needed = [n for n in self._needs(*top) if self._known(*n) is None]
                outer = [n for n in needed if n[0].dim == 1 and len(self._blocks) > 1]
                for scalar, _ in outer:
                    self.value(scalar, 0)
                if len(needed) > len(outer):
                    stack += reversed([n for n in needed if n not in outer])
                    continue
                self._names[-1][top[0], ir.index_text(top[1])] = self._new(*top)
            stack.pop()
        name = self._known(e, k)
        assert name is not None
        return name

    def _known(self, e: Expr, k: Component) -> str | None:
        key = e, ir.index_text(k)
        for names in self._names:
            if key in names:
                return names[key]
        return None

    def _needs(self, e: Expr, k: Component) -> list[tuple[Expr, Component]]:
        """Return the components of other nodes that component k of a node is made of."""
        return [(a, 0 if a.dim == 1 else n) for a, n in self._made_of(e, k)]

    def _made_of(self, e: Expr, k: Component) -> list[tuple[Expr, Component]]:
        op = e.op
        if e in self.hoisted or op is None:
            return []
        if op.index is not None:
            return [(e.args[0], op.index(k, e.params, e.args[0].dim))]
        if op.parts is not None:
            return _parts(e, k)[1]
        if op.fold:  # its components come inside its loop, the scalars before it
            return [(a, 0) for a in self._scalars_below(e)]
        return [(a, k) for a in e.args]

    def _scalars_below(self, e: Expr) -> list[Expr]:
        found, todo, seen = [], list(e.args), set(e.args)
        while todo:
            a = todo.pop()
            if a.dim == 1:
                found.append(a)
            elif a not in self.hoisted:
                todo += [x for x in a.args if x not in seen]
                seen.update(a.args)
        return found

    def _new(self, e: Expr, k: Component) -> str:
        """Emit component k of a node from what it needs."""
        if e in self.hoisted:
            space, offset = self.hoisted[e]
            return self.emit(ir.Load(self.fresh(), e.kind, space, 0, k + offset))
        if e.is_variable:
            return self.emit(ir.Load(self.fresh(), e.kind, "argument", e.params[1], k))
        if e.is_constant:
            return self.emit(ir.Constant(self.fresh(), e.kind, e.params[0]))
        op = e.op
        assert op is not None
        if op.fold:
            return self._fold(e, k)
        names = [self._known(*n) or "" for n in self._needs(e, k)]
        if op.index is not None:
            return names[0]
        if op.parts is not None:
            condition, _ = _parts(e, k)
            if not condition:
                return names[0]
            return self.emit(ir.Choose(self.fresh(), e.kind, condition, *names))
        if "{k}" in op.code:
            names.append(self.emit(ir.Number(self.fresh(), "index", k)))
        return self.emit(ir.Let(self.fresh(), e.kind, op, tuple(names)))

    def _fold(self, e: Expr, k: Component) -> str:
        """Fold of components by a reduction, as a loop that updates its state."""
        op, (arg,) = e.op, e.args
        assert op is not None
        assert op.span is not None
        assert op.count is not None
        entry = REDUCTIONS[op.fold]
        updates = exact_updates(entry) if entry.repair else entry.update
        names = [self.emit(ir.Declare(self.fresh("a"), s.kind, s.init)) for s in entry.state]
        state = {state_a(n, s.kind): names[n] for n, s in enumerate(entry.state)}
        with self.loop(op.count(arg.dim, e.params)) as term:
            bound = {v: self.value(arg, op.span(k, term, e.params)), **state}
            if any(j in postorder(u) for u in updates):
                bound[j] = self.emit(ir.Number(self.fresh(), "index", term))
            for name, new in zip(names, self.scalars(updates, bound), strict=True):
                self.emit(ir.Assign(name, new))
        return self.scalars(entry.finish, state)[0]

    def scalars(self, roots: Sequence[Expr], bound: dict[Expr, str]) -> list[str]:
        """Emit formulas of scalars whose variables are bound to names, and return their names."""
        names = dict(bound)
        for e in postorder(*roots):
            if e in names:
                continue
            if e.is_constant:
                names[e] = self.emit(ir.Constant(self.fresh(), e.kind, e.params[0]))
            else:
                assert e.op is not None, f"{e} is not bound"
                args = tuple(names[a] for a in e.args)
                names[e] = self.emit(ir.Let(self.fresh(), e.kind, e.op, args))
        return [names[e] for e in roots]


def _parts(e: Expr, k: Component) -> tuple[str, list[tuple[Expr, Component]]]:
    """Return a condition, and what component k of parts put together is where it holds or not."""
    assert e.op is not None
    assert e.op.parts is not None
    places = e.op.parts(tuple(a.dim for a in e.args), e.params)
    lo, hi = bounds(k)
    met = [(a, p) for a, p in zip(e.args, places, strict=True) if _count(p, lo, hi)]
    found = [(a, _position(k, p)) for a, p in met]
    if sum(_count(p, lo, hi) for _, p in met) <= hi - lo:
        found.append((constant(0, 1, e.kind), 0))
    if len(found) == 1:
        return "", found
    assert isinstance(k, ir.Index)
    assert len(found) == 2, "at most two parts"
    # both are evaluated, each at an index that it has
    return _inside(k, met[0][1]), found


def _count(places: range, lo: int, hi: int) -> int:
    """Return how many of some places are from lo to hi."""
    return sum(lo <= place <= hi for place in places)


def _upward(places: range) -> range:
    return places if places.step > 0 else places[::-1]


def _position(k: Component, places: range) -> Component:
    """Return which of some places k is, or one of them where it is none."""
    up, (lo, hi) = _upward(places), bounds(k)
    if isinstance(k, ir.Index):
        k = k.at_most(up[-1]) if hi > up[-1] else k
        k = k.at_least(up.start) if lo < up.start else k
    n = (k + (-up.start)) // up.step
    return n if up is places else n * (-1) + (len(up) - 1)


def _inside(k: ir.Index, places: range) -> str:
    """Return the condition that k is one of some places, as C text."""
    up = _upward(places)
    terms = [f"{k.text} >= {up.start}"] if k.lo < up.start else []
    if k.hi > up[-1]:
        terms.append(f"{k.text} < {up[-1] + 1}")
    if up.step > 1:
        terms.append(f"{((k + (-up.start)) % up.step).text} == 0")
    return " && ".join(terms)


def exact_updates(entry: Reduction) -> tuple[Expr, ...]:
    """Return the update that merges single states, for reductions whose own needs a repair."""
    singles = {state_b(n, s.kind): s.single for n, s in enumerate(entry.state)}
    return tuple(substitute(m, singles) for m in entry.merge)
