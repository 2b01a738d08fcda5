"""The C++ kernel of a task: a struct for the driver of ``kernel.h``.

What is printed for a reduction follows from its entry in the table: its states as vectors of lanes
and as scalars of a row, how a value is folded into lanes (`_tile`), lanes into a row at the end of
a block of columns (`_end`), rows of two chunks into one (`_merge`), and the results (`_finish`).
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from ..formula.expr import Expr, postorder, to_string
from ..formula.ops import OPS
from ..formula.reductions import (
    REDUCTIONS,
    Reduction,
    finite_pivot,
    j,
    mass,
    state_a,
    state_b,
    t,
    v,
    w,
)
from . import ir
from .clike import Dialect, Printer, TilePrinter, literal, scalars
from .cpu_states import States
from .ir import Component, Program, index_text
from .lower import lower
from .schedule import FLUSH, Schedule, cost, schedule

LONG = 600
"""Instructions of a pair beyond which functions are called and not inlined."""
PAIRS = Dialect(
    load={
        "p": "broadcast(par[{k}])",
        "i": "broadcast(rows[({k}) * RB + r])",
        "j": "load(columns + (c * NC + {k}) * L)",
    },
    as_product={"add": "add_as_product({0}, {1}, unit)", "sub": "sub_as_product({0}, {1}, unit)"},
)
_ARGUMENT = "x{slot}.component({k})"
ROWS = Dialect(
    load={"p": "broadcast(par[{k}])", "argument": _ARGUMENT},
    store="store(rows + ({k}) * RB, {value});",
)
COLUMNS = Dialect(
    load={"p": "broadcast(par[{k}])", "argument": _ARGUMENT},
    store="store(columns + ({k}) * L, {value});",
)
PARAMETERS = Dialect(
    load={"argument": "broadcast(x{slot}[({k}) * a.slots[SLOT{slot}].step])"},
    store="par[{k}] = ({value})[0];",
)


class CpuKernel:
    """The source of one task.

    Parameters
    ----------
    formula, weight : Expr
        What is reduced.
    reduction : str
        By what.
    dtype : dtype
        float32 or float64.
    sparse : bool
        Whether its function is that of ``block_sparse.h``, for rows with columns of their own.
    """

    bound = None

    def __init__(
        self,
        formula: Expr,
        weight: Expr | None,
        reduction: str,
        dtype: np.dtype[np.floating],
        sparse: bool = False,
    ) -> None:
        self.sparse = sparse
        self.entry: Reduction = REDUCTIONS[reduction]
        self.program: Program = lower(formula, weight)
        self.schedule: Schedule = schedule(self.program, self.entry)
        self.tile = self.schedule.rows * self.schedule.vectors
        self.slots = self.program.slots
        self.pair_cost = 2 + cost(self.program.pair)
        self.scalar = scalar_name(dtype)
        self.states = States(self.entry, self.program, self.scalar)
        self.far = far_spellings(self.program)
        text = f"{reduction} over j of {to_string(formula)}"
        text += "" if weight is None else f", weight {to_string(weight)}"
        text += ", block-sparse" if sparse else ""
        body = "\n".join(self._struct())
        self.name, self.source = named(f"// {text}, {self.scalar}", body, sparse)

    # --- Parts of the struct ------------------------------------------------------------------

    def _struct(self) -> list[str]:
        p, s = self.program, self.schedule
        sizes = f"R = {s.rows}, C = GR_REGISTERS >= 32 ? {s.vectors} : {s.few_vectors}"
        if s.vectors == s.few_vectors:
            sizes = f"R = {s.rows}, C = {s.vectors}"
        blocks = f"RB = {s.row_block}, COLUMN_BLOCK = column_block(NC, C, {FLUSH})"
        hoisted = f"NP = {p.n_parameters}, NR = {p.n_rows}, NC = {p.n_columns}"
        places = [f"SLOT{slot} = {n}" for n, (slot, _, _) in enumerate(p.slots)]
        results = len(self.entry.keep or self.entry.finish)
        lines = [
            "namespace gr {",
            "struct KERNEL {",
            f"    typedef {self.scalar} T;",
            "    typedef lanes_of<T>::vec V;",
            "    typedef lanes_of<T>::mask I, B;",
            f"    typedef gr::Call<T, {len(p.slots)}, {results}> Call;",
            f"    static constexpr int L = lanes_of<T>::count, {hoisted}, {sizes};",
            f"    static constexpr int {blocks};",
        ]
        if places:
            lines.append(f"    static constexpr int {', '.join(places)};")
        lines += self.states.declarations()
        for name in sorted(self.far):
            arguments = ", ".join(f"V {a}" for a in "xyz"[: len(OPS[name].args)])
            call = OPS[name].code.format(*"xyz")
            head = f"static __attribute__((noinline)) V far_{name}({arguments})"
            lines.append(f"    {head} {{ return {call}; }}")
        lines += self._pack("parameters", "p", PARAMETERS)
        lines += self._pack("rows", "i", ROWS)
        lines += self._pack("columns", "j", COLUMNS)
        lines += self._tile()
        lines += self.states.functions()
        return [*lines, "};", "}", ""]

    def _pack(self, name: str, axis: str, dialect: Dialect) -> list[str]:
        body = getattr(self.program, name)
        loads = {s.slot for s in ir.walk(body) if isinstance(s, ir.Load) and s.space == "argument"}
        lines = []
        dims = {slot: dim for slot, _, dim in self.program.slots}
        body, places = without_copies(body, dims) if axis == "j" else (body, {})
        for slot, own, _ in self.program.slots:
            if slot not in loads:
                continue
            if axis == "p":
                lines.append(f"const T *x{slot} = Slot<T>::point(a.slots[SLOT{slot}], batch, 0);")
            else:
                assert own == axis
                end = "M" if axis == "i" else "N"
                given = f"a.slots[SLOT{slot}], batch, first, a.n.{end}"
                kind = "Points"
                if slot in places:
                    kind, given = "Packed", f"{given}, columns + {places[slot]} * L"
                lines.append(f"const {kind}<T, {dims[slot]}> x{slot}({given});")
        arguments = {
            "p": "const Call &a, int64_t batch, T *par",
            "i": "const Call &a, const T *par, int64_t batch, int64_t first, T *rows",
            "j": "const Call &a, const T *par, int64_t batch, int64_t first, T *columns",
        }
        return [
            f"    static void pack_{name}({arguments[axis]}) {{",
            *(f"        {line}" for line in lines),
            *Printer(dialect).block(body, "        "),
            "    }",
        ]

    # --- Values into lanes --------------------------------------------------------------------

    def _tile(self) -> list[str]:
        dialect = replace(PAIRS, spell=self.far)
        printer = TilePrinter(dialect, self.program, self.schedule.unrolled)
        e = self.entry
        if e.keep:
            printer.yields["value"] = self._hold
            return [
                f"    static constexpr int AGAIN = {self._again()}; // see select.h",
                "    template <int R, int C>",
                "    GR_INLINE void values(const T *par, const T *rows, const T *columns,",
                "                          V (&v)[R][C]) {",
                *printer.tiles("        "),
                "    }",
            ]
        head = []
        if e.pivoted:
            head.append("        V v[R][C];")
            printer.yields["value"] = self._hold
            printer.after["value"] = self._pivot
            printer.yields["weight"] = lambda value, k: self._accumulate("weight", value, k)
        else:
            printer.before["value"] = self._take_up
            printer.yields["value"] = self._fold
            printer.after["value"] = self._put_down
        return [
            "    template <int R, int C, bool MASKED>",
            "    GR_INLINE void tile(const T *par, const T *rows, const T *columns, int left,",
            "                        Lanes *lanes, char *states, int64_t row_bytes, int64_t j0,",
            "                        int at) {",
            *head,
            *printer.tiles("        "),
            "    }",
        ]

    def _take_up(self, k: Component) -> list[str]:
        """Hold the lanes of a component in registers while a tile passes over them."""
        kinds = {"real": "V", "index": "I", "boolean": "B"}
        lines = []
        for n, s in enumerate(self.entry.state):
            load = f"for (int r = 0; r < R; r++) f{n}[r] = lanes[r].s{n}[{index_text(k)}];"
            lines += [f"{kinds[s.kind]} f{n}[R];", f"GR_UNROLL {load}"]
        return lines

    def _put_down(self, k: Component) -> list[str]:
        lines = []
        for n in range(len(self.entry.state)):
            store = f"for (int r = 0; r < R; r++) lanes[r].s{n}[{index_text(k)}] = f{n}[r];"
            lines.append(f"GR_UNROLL {store}")
        return lines

    def _fold(self, value: str, k: Component) -> list[str]:
        """Fold a value into its lanes; columns past the end leave them as they are."""
        e = self.entry
        bound: dict[Expr, str] = {v: value, t: value, j: "j"}
        for n, s in enumerate(e.state):
            bound[state_a(n, s.kind)] = f"f{n}[r]"
        lines, names = scalars(PAIRS, e.update, bound, "u")
        if any(j in postorder(u) for u in e.update):
            lines.insert(0, "const I j = iota<T>() + (at + c * L);")
        return lines + self._masked(names, [f"f{n}[r]" for n in range(len(names))])

    @staticmethod
    def _masked(names: list[str], targets: list[str]) -> list[str]:
        lines = ["if (MASKED) {", "    const B valid = iota<T>() + c * L < left;"]
        pairs = list(zip(targets, names, strict=True))
        lines += [f"    {to} = where(valid, {name}, {to});" for to, name in pairs]
        return [*lines, "} else {", *(f"    {to} = {name};" for to, name in pairs), "}"]

    def _again(self) -> int:
        """Return up to how many hits of a block it is cheaper to compute again than to hold all.

        A store for each vector of a block costs about an instruction, and a hit, beside the tile's
        instructions, about as many as a jump that was not foreseen.
        """
        s = self.schedule
        work = s.vectors * sum(_cost_of_all(statement) for statement in self.program.pair)
        return FLUSH * s.rows // (15 + work)

    def _hold(self, value: str, k: Component) -> list[str]:
        """Keep a value of the tile; columns past the end are less than everything."""
        if self.entry.keep:
            return [f"v[r][c] = {value};"]
        worst = literal("real", self.entry.state[0].init)
        masked = f"where(iota<T>() + c * L < left, {value}, {worst})"
        return [f"v[r][c] = MASKED ? {masked} : {value};"]

    def _pivot(self, k: Component) -> list[str]:
        """Raise the pivot to the largest value of the tile, rescale, and take exponentials."""
        e = self.entry
        at = index_text(k)
        top, new = state_a(0), state_b(0)
        lines, (raised,) = scalars(PAIRS, e.merge[:1], {top: "m", new: "v[r][c]"}, "u", " " * 8)
        out = [
            "GR_UNROLL for (int r = 0; r < R; r++) {",
            f"    V m = lanes[r].s0[{at}];",
            "    GR_UNROLL for (int c = 0; c < C; c++) {",
            *lines,
            f"        m = {raised};",
            "    }",
        ]
        fixed, (pivot,) = scalars(PAIRS, [finite_pivot(top)], {top: "m"}, "f", "    ")
        out += fixed
        # lanes seldom see a new maximum once a few blocks have passed
        out.append(f"    if (any_less(lanes[r].s0[{at}], m)) {{")
        # the old maximum is not above the new one, except for the pivot of an infinite one, 0
        out.append(f"        const V scale = exp(lesser(lanes[r].s0[{at}] - {pivot}, V{{}}));")
        for n in range(1, len(e.state)):
            out += self.states.each(n, at, "        ", f"lanes[r].s{n}[{{e}}] *= scale;")
        out += [f"        lanes[r].s0[{at}] = m;", "    }"]
        out.append("    GR_UNROLL for (int c = 0; c < C; c++) {")
        out.append(f"        v[r][c] = exp(v[r][c] - {pivot});")
        out += ["        " + line for line in self._accumulate("value", "", k)]
        return [*out, "    }", "}"]

    def _accumulate(self, per: str, value: str, k: Component) -> list[str]:
        """Add the terms of a value, or of a weight, to their sums."""
        lines: list[str] = []
        names, targets = [], []
        for n, s in enumerate(self.entry.state):
            if n == 0 or s.per != per:
                continue
            target = f"lanes[r].s{n}[{index_text(k)}]"
            total = state_a(n) + s.single
            bound: dict[Expr, str] = {mass: "v[r][c]", w: value, state_a(n): target}
            new, (name,) = scalars(PAIRS, [total], bound, f"u{n}_")
            lines += new
            names.append(name)
            targets.append(target)
        return lines + self._masked(names, targets) if names else []


def _cost_of_all(s: ir.Statement) -> int:
    """Return what a statement costs for a pair, loops over all components included."""
    if isinstance(s, ir.Loop):
        return s.extent * sum(_cost_of_all(inner) for inner in s.body)
    return cost((s,))


def without_copies(
    body: tuple[ir.Statement, ...], dims: dict[int, int]
) -> tuple[tuple[ir.Statement, ...], dict[int, int]]:
    """Return a block without loops that store a whole argument as it is, and where they do.

    Such arguments are written there at once, without a stop in between.
    """
    left, places = [], {}
    for s in body:
        if isinstance(s, ir.Loop) and len(s.body) == 2:
            load, store = s.body
            if (
                isinstance(load, ir.Load)
                and isinstance(store, ir.Store)
                and (load.space, store.value) == ("argument", load.name)
                and index_text(load.offset) == s.var
                and s.extent == dims[load.slot]
                and load.slot not in places
            ):
                places[load.slot] = ir.bounds(store.offset)[0]
                continue
        left.append(s)
    loads = {s.name: s.slot for s in left if isinstance(s, ir.Load) and s.space == "argument"}
    for s in tuple(left):
        if isinstance(s, ir.Store) and dims.get(loads.get(s.value, -1)) == 1:
            slot = loads[s.value]
            if slot not in places:
                places[slot] = ir.bounds(s.offset)[0]
                left.remove(s)
    return tuple(left), places


def far_spellings(program: Program) -> dict[str, str]:
    """Return calls instead of inlined functions for a formula that has very many of them.

    A compiler's time grows faster than the length of a function, and a call costs little beside
    what is called.
    """
    if cost(program.pair) <= LONG:
        return {}
    used = {s.op for s in ir.walk(program.pair) if isinstance(s, ir.Let)}
    far = {}
    for op in used:
        reals = op.kind == "real" and all(a == "real" for a in op.args)
        if reals and "(" in op.code and "{k}" not in op.code:
            places = ", ".join(f"{{{n}}}" for n in range(len(op.args)))
            far[op.name] = f"far_{op.name}({places})"
    return far


def scalar_name(dtype: np.dtype[np.floating]) -> str:
    """Return what C calls a dtype."""
    return "float" if dtype == np.float32 else "double"


def named(comment: str, body: str, sparse: bool = False) -> tuple[str, str]:
    """Return the name of a kernel, KERNEL in its text, and the text with what is called in it."""
    digest = hashlib.sha256((comment + body).encode()).hexdigest()[:16]
    n = f"kernel_{digest}"
    export = 'extern "C" __attribute__((visibility("default")))'
    run = (
        f"void run_{n}(const gr::{n}::Call *call, const gr::Blocks *blocks) {{\n"
        f"    gr::BlockSparse<gr::{n}>::run(*call, *blocks);\n}}\n"
        if sparse
        else f"void run_{n}(const gr::{n}::Call *call) {{\n"
        f"    gr::Driver<gr::{n}>::run(*call);\n}}\n"
    )
    parameters = "K::NP * sizeof(K::Call::Scalar) / sizeof(K::T)"
    layout = f"K::L, K::R, K::RB, K::COLUMN_BLOCK * K::L, {parameters}, K::NR, K::NC, sizeof(K::T)"
    return n, (
        f"{comment}\n{body.replace('KERNEL', n)}"
        f"{export} {run}"
        f"{export} void layout_{n}(gr::Layout *to) {{\n"
        f"    typedef gr::{n} K;\n    *to = gr::Layout{{{layout}}};\n}}\n"
        f"{export} int64_t scratch_bytes_{n}(const gr::Sizes *n) {{\n"
        f"    return gr::Driver<gr::{n}>::scratch_bytes(*n);\n}}\n"
        f"{export} int64_t row_bytes_{n}(int64_t K) {{\n"
        f"    return gr::{n}::row_bytes(K);\n}}\n"
    )
