"""The C++ kernel of a task: a struct for the driver of ``kernel.h``.

What is printed for a reduction follows from its entry in the table: its states as vectors of lanes
and as scalars of a row, how a value is folded into lanes (`_tile`), lanes into a row at the end of
a block of columns (`_end`), rows of two chunks into one (`_merge`), and the results (`_finish`).
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np

from ..formula.expr import Expr, postorder, to_string
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
from .ir import Component, Program, index_text
from .lower import lower
from .schedule import Schedule, schedule

PAIRS = Dialect(
    load={
        "p": "broadcast(par[{k}])",
        "i": "broadcast(rows[({k}) * RB + r])",
        "j": "load(columns + (c * NC + {k}) * L)",
    }
)
_ARGUMENT = "gather<T>(x{slot}, ({k}) * a.slots[SLOT{slot}].step)"
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
SCALARS = Dialect(load={})
_SCALAR_TYPES = "typedef double V, T; typedef int64_t I; typedef bool B;"
_ROW_TYPES = {"real": "double", "index": "int64_t", "boolean": "bool"}
_LANE_TYPES = {"real": "V", "index": "I", "boolean": "B"}
_RESULT_TYPES = {"real": "T", "index": "int64_t", "boolean": "bool"}


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
    """

    def __init__(
        self, formula: Expr, weight: Expr | None, reduction: str, dtype: np.dtype[np.floating]
    ) -> None:
        self.entry: Reduction = REDUCTIONS[reduction]
        self.program: Program = lower(formula, weight)
        self.schedule: Schedule = schedule(self.program, self.entry)
        self.scalar = "float" if dtype == np.float32 else "double"
        self.E = self.program.value_dim
        self.F = max(1, self.program.weight_dim)
        text = f"{reduction} over j of {to_string(formula)}"
        text += "" if weight is None else f", weight {to_string(weight)}"
        self.comment = f"// {text}, {self.scalar}\n"
        body = "\n".join(self._struct())
        digest = hashlib.sha256((self.comment + body).encode()).hexdigest()[:16]
        self.name = f"kernel_{digest}"
        self.source = self.comment + body.replace("KERNEL", self.name) + self._exports()

    # --- Parts of the struct ------------------------------------------------------------------

    def _struct(self) -> list[str]:
        p, s = self.program, self.schedule
        sizes = f"R = {s.rows}, C = {s.vectors}"
        blocks = f"ROW_BLOCK = {s.row_block}, COLUMN_BLOCK = {s.column_block}"
        hoisted = f"NP = {p.n_parameters}, NR = {p.n_rows}, NC = {p.n_columns}"
        places = [f"SLOT{slot} = {n}" for n, (slot, _, _) in enumerate(p.slots)]
        results = len(self.entry.keep) or len(self.entry.finish)
        lines = [
            "namespace gr {",
            "struct KERNEL {",
            f"    typedef {self.scalar} T;",
            "    typedef lanes_of<T>::vec V;",
            "    typedef lanes_of<T>::mask I, B;",
            f"    typedef gr::Call<T, {len(p.slots)}, {results}> Call;",
            f"    static constexpr int L = lanes_of<T>::count, {sizes}, {blocks};",
            f"    static constexpr int RB = ROW_BLOCK * L, {hoisted};",
        ]
        if places:
            lines.append(f"    static constexpr int {', '.join(places)};")
        lines += self._states()
        lines += self._pack("parameters", "p", PARAMETERS)
        lines += self._pack("rows", "i", ROWS)
        lines += self._pack("columns", "j", COLUMNS)
        lines += self._tile()
        if self.entry.keep:
            lines += self._keep()
        else:
            lines += [*self._begin(), *self._end(), *self._merge(), *self._finish()]
        return [*lines, "};", "}", ""]

    def _exports(self) -> str:
        n = self.name
        layout = (
            "K::L, K::RB, K::COLUMN_BLOCK * K::L, K::NP, K::NR, K::NC, sizeof(K::T), "
            + ("0, gr::Smallest<K::T>::bytes(1 << 20)" if self.entry.keep else "K::row_bytes(0), 0")
        )
        return (
            f'extern "C" {{\nnamespace {n}_api {{ typedef gr::{n} K; }}\n'
            f'__attribute__((visibility("default"))) void run_{n}(const gr::{n}::Call *call) '
            f"{{ gr::Driver<gr::{n}>::run(*call); }}\n"
            f'__attribute__((visibility("default"))) void layout_{n}(gr::Layout *to) '
            f"{{ typedef gr::{n} K; *to = gr::Layout{{{layout}}}; }}\n}}\n"
        ).replace(f"namespace {n}_api {{ typedef gr::{n} K; }}\n", "")

    def _size(self, n: int) -> int:
        return self.E if self.entry.state[n].per == "value" else self.F

    def _states(self) -> list[str]:
        if self.entry.keep:
            return [
                "    struct Lanes {};",
                "    typedef Smallest<T> Row;",
                "    GR_INLINE int64_t row_bytes(int64_t K) { return Row::bytes(K); }",
            ]
        lanes, row = [], []
        for n, s in enumerate(self.entry.state):
            lanes.append(f"{_LANE_TYPES[s.kind]} s{n}[{self._size(n)}];")
            row.append(f"{_ROW_TYPES[s.kind]} s{n}[{self._size(n)}];")
        return [
            f"    struct Lanes {{ {' '.join(lanes)} }};",
            f"    struct Row {{ {' '.join(row)} }};",
            "    GR_INLINE int64_t row_bytes(int64_t) { return sizeof(Row); }",
        ]

    def _pack(self, name: str, axis: str, dialect: Dialect) -> list[str]:
        body = getattr(self.program, name)
        loads = {s.slot for s in ir.walk(body) if isinstance(s, ir.Load) and s.space == "argument"}
        lines = []
        for slot, own, _ in self.program.slots:
            if slot not in loads:
                continue
            if axis == "p":
                lines.append(f"const T *x{slot} = Slot<T>::point(a.slots[SLOT{slot}], batch, 0);")
            else:
                assert own == axis
                end = "M" if axis == "i" else "N"
                lines.append(f"Points<T> x{slot};")
                lines.append(f"find<T>(x{slot}, a.slots[SLOT{slot}], batch, first, a.n.{end});")
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
        printer = TilePrinter(PAIRS, self.program)
        e = self.entry
        head = []
        if e.keep or e.pivoted:
            head.append("        V v[R][C];")
            printer.yields["value"] = self._hold
            printer.after["value"] = self._select if e.keep else self._pivot
            printer.yields["weight"] = lambda value, k: self._accumulate("weight", value, k)
        else:
            printer.yields["value"] = self._fold
        return [
            "    template <int R, int C, bool MASKED>",
            "    GR_INLINE void tile(const T *par, const T *rows, const T *columns, int left,",
            "                        Lanes *lanes, char *states, int64_t row_bytes, int64_t j0,",
            "                        int at) {",
            *head,
            *printer.tiles("        "),
            "    }",
        ]

    def _fold(self, value: str, k: Component) -> list[str]:
        """Fold a value into its lanes; columns past the end leave them as they are."""
        e = self.entry
        at = index_text(k)
        bound: dict[Expr, str] = {v: value, t: value, j: "j"}
        for n, s in enumerate(e.state):
            bound[state_a(n, s.kind)] = f"lanes[r].s{n}[{at}]"
        lines, names = scalars(PAIRS, e.update, bound, "u")
        if any(j in postorder(u) for u in e.update):
            lines.insert(0, "const I j = iota<T>() + (at + c * L);")
        return lines + self._masked(names, [f"lanes[r].s{n}[{at}]" for n in range(len(names))])

    @staticmethod
    def _masked(names: list[str], targets: list[str]) -> list[str]:
        lines = ["if (MASKED) {", "    const B valid = iota<T>() + c * L < left;"]
        pairs = list(zip(targets, names, strict=True))
        lines += [f"    {to} = where(valid, {name}, {to});" for to, name in pairs]
        return [*lines, "} else {", *(f"    {to} = {name};" for to, name in pairs), "}"]

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
        out.append(f"        const V scale = exp(lanes[r].s0[{at}] - {pivot});")
        for n in range(1, len(e.state)):
            out += self._each(n, at, "        ", f"lanes[r].s{n}[{{e}}] *= scale;")
        out += [f"        lanes[r].s0[{at}] = m;", "    }"]
        out.append("    GR_UNROLL for (int c = 0; c < C; c++) {")
        out.append(f"        v[r][c] = exp(v[r][c] - {pivot});")
        out += ["        " + line for line in self._accumulate("value", "", k)]
        return [*out, "    }", "}"]

    def _each(self, n: int, at: str, indent: str, line: str) -> list[str]:
        """Return a line for component `at` of a state, or for all of a weight's."""
        if self.entry.state[n].per == "value":
            return [indent + line.format(e=at)]
        return [
            f"{indent}for (int e = 0; e < {self.F}; e++)",
            f"{indent}    {line.format(e='e')}",
        ]

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

    def _select(self, k: Component) -> list[str]:
        """Offer the values of the tile that are below the limit to the lists of their rows."""
        return [
            "GR_UNROLL for (int r = 0; r < R; r++) {",
            "    Row &row = *(Row *)(states + r * row_bytes);",
            "    const V limit = broadcast(row.limit);",
            "    uint64_t hits[C], some = 0;",
            "    GR_UNROLL for (int c = 0; c < C; c++) {",
            "        hits[c] = bits_not_least(v[r][c], limit);",
            "        if (MASKED && left - c * L < L) hits[c] &= ((uint64_t)1 << (left - c * L)) - 1;",
            "        some |= hits[c];",
            "    }",
            "    if (__builtin_expect(some != 0, 0))",
            "        for (int c = 0; c < C; c++)",
            "            if (hits[c]) insert_lanes<V>(row, v[r][c], hits[c], j0 + at + c * L);",
            "}",
        ]

    # --- Lanes into rows, rows into results ---------------------------------------------------

    def _begin(self) -> list[str]:
        clear, begin = [], []
        for n, s in enumerate(self.entry.state):
            each = f"        for (int e = 0; e < {self._size(n)}; e++) "
            kind = s.kind
            clear.append(f"{each}row.s{n}[e] = {literal(kind, s.init)};")
            value = literal(kind, s.init)
            if self.entry.pivoted and n == 0:  # so that the row's pivot is the lanes' from the start
                value = "V{} + (T)row.s0[e]"
            begin.append(f"{each}lanes.s{n}[e] = {value};")
        return [
            "    static void clear(char *state, int64_t) {",
            f"        {_SCALAR_TYPES}",
            "        Row &row = *(Row *)state;",
            *clear,
            "    }",
            "    GR_INLINE void begin(Lanes &lanes, const char *state) {",
            "        const Row &row = *(const Row *)state;",
            "        (void)row;",
            *begin,
            "    }",
        ]

    def _end(self) -> list[str]:
        body = self._end_pivoted() if self.entry.pivoted else self._end_plain()
        return [
            "    GR_INLINE void end(Lanes &lanes, char *state, int64_t j0) {",
            "        Row &row = *(Row *)state;",
            *body,
            "    }",
        ]

    def _end_plain(self) -> list[str]:
        e = self.entry
        lines = [f"        for (int e = 0; e < {self.E}; e++) {{", "            Row one;"]
        if e.name == "sum":  # adds the lanes in double
            lines.append("            one.s0[e] = wide_sum(lanes.s0[e]);")
        else:
            bound, names = {}, []
            for n, s in enumerate(e.state):
                lines.append(f"            {_LANE_TYPES[s.kind]} a{n} = lanes.s{n}[e];")
                bound[state_a(n, s.kind)], bound[state_b(n, s.kind)] = f"a{n}", f"b{n}"
            lines.append("            for (int half = L / 2; half > 0; half /= 2) {")
            lines += [
                f"                const {_LANE_TYPES[s.kind]} b{n} = rotate(a{n}, half);"
                for n, s in enumerate(e.state)
            ]
            merged, names = scalars(PAIRS, e.merge, bound, "u", " " * 16)
            lines += merged
            lines += [f"                a{n} = {name};" for n, name in enumerate(names)]
            lines.append("            }")
            for n, s in enumerate(e.state):
                value = f"a{n}[0]"
                if s.kind == "index" and j in postorder(s.single):
                    value = f"a{n}[0] < 0 ? -1 : j0 + a{n}[0]"
                lines.append(f"            one.s{n}[e] = {value};")
        return [*lines, "            merge_one(row, one, e, e);", "        }"]

    def _end_pivoted(self) -> list[str]:
        e = self.entry
        top = state_a(0)
        tree, (raised,) = scalars(
            PAIRS, e.merge[:1], {top: "top", state_b(0): "other"}, "u", " " * 16
        )
        fixed, (pivot,) = scalars(PAIRS, [finite_pivot(top)], {top: "top"}, "f", " " * 12)
        lines = [
            f"        for (int e = 0; e < {self.E}; e++) {{",
            "            Row one;",
            "            V top = lanes.s0[e];",
            "            for (int half = L / 2; half > 0; half /= 2) {",
            "                const V other = rotate(top, half);",
            *tree,
            f"                top = {raised};",
            "            }",
            *fixed,
            "            one.s0[e] = top[0];",
            "            const bool moved = any_less(lanes.s0[e], top);",
            f"            const V scale = moved ? exp(lanes.s0[e] - {pivot}) : gr::one<V>();",
        ]
        sums = []
        for n in range(1, len(e.state)):
            sums += self._each(
                n, "e", " " * 12, f"one.s{n}[{{e}}] = wide_sum(lanes.s{n}[{{e}}] * scale);"
            )
        lines += sums
        lines.append("            if (row.s0[e] == one.s0[e]) {")
        for n in range(1, len(e.state)):
            lines += self._each(n, "e", " " * 16, f"row.s{n}[{{e}}] += one.s{n}[{{e}}];")
        lines += ["            } else {"]
        if self.F > 1 or e.weighted:
            lines.append("                merge_all(row, one);")
        else:
            lines.append("                merge_one(row, one, e, e);")
        return [*lines, "            }", "        }"]

    def _merge(self) -> list[str]:
        """Merge row b into row a: all components, or one."""
        e = self.entry
        size = max(self.E, self.F)
        bound = {}
        for n, s in enumerate(e.state):
            at = self._row_index(n)
            bound[state_a(n, s.kind)] = f"a.s{n}[{at}]"
            bound[state_b(n, s.kind)] = f"b.s{n}[{at}]"
        lines, names = scalars(SCALARS, e.merge, bound, "u", "        ")
        assign = [f"        a.s{n}[{self._row_index(n)}] = {name};" for n, name in enumerate(names)]
        out = [
            "    static void merge_one(Row &a, const Row &b, int e, int f) {",
            f"        {_SCALAR_TYPES}",
            *lines,
            *assign,
            "    }",
        ]
        if e.pivoted and e.weighted:
            # components of the weight share one pivot, so it is set after the last of them
            keep = [n for n, s in enumerate(e.state) if s.per == "value"]
            loop = [
                "    static void merge_all(Row &row, const Row &b) {",
                "        const Row old = row;",
                f"        for (int f = 0; f < {size}; f++) {{",
                "            Row a = old;",
                "            merge_one(a, b, 0, f);",
            ]
            for n in range(len(e.state)):
                at = "0" if n in keep else "f"
                loop.append(f"            row.s{n}[{at}] = a.s{n}[{at}];")
            out += [*loop, "        }", "    }"]
        else:
            out += [
                "    static void merge_all(Row &a, const Row &b) {",
                f"        for (int e = 0; e < {self.E}; e++) merge_one(a, b, e, e);",
                "    }",
            ]
        return [
            *out,
            "    static void merge(char *a, const char *b) {",
            "        merge_all(*(Row *)a, *(const Row *)b);",
            "    }",
        ]

    def _row_index(self, n: int) -> str:
        return "e" if self.entry.state[n].per == "value" else "f"

    def _finish(self) -> list[str]:
        e = self.entry
        size = self.F if e.weighted else self.E
        bound = {}
        for n, s in enumerate(e.state):
            at = "0" if e.weighted and s.per == "value" else "e"
            bound[state_a(n, s.kind)] = f"row.s{n}[{at}]"
        lines, names = scalars(SCALARS, e.finish, bound, "u", "            ")
        stores = []
        for n, (f, name) in enumerate(zip(e.finish, names, strict=True)):
            kind = _RESULT_TYPES[f.kind].replace("T", self.scalar)
            stores.append(f"            (({kind} *)call.results[{n}])[at * {size} + e] = {name};")
        return [
            "    static void finish(const Call &call, const char *state, int64_t at) {",
            f"        {_SCALAR_TYPES}",
            "        const Row &row = *(const Row *)state;",
            f"        for (int e = 0; e < {size}; e++) {{",
            *lines,
            *stores,
            "        }",
            "    }",
        ]

    def _keep(self) -> list[str]:
        """Print the lists of the K smallest, for which ``kernel.h`` has the code."""
        stores = {
            "values": "((T *)a.results[{n}])[at * a.n.K + k] = k < s.count ? s.values()[k] : GR_INF(T);",
            "indices": "((int64_t *)a.results[{n}])[at * a.n.K + k] = k < s.count ? s.columns()[k] : -1;",
        }
        return [
            "    static void clear(char *state, int64_t K) { ((Row *)state)->clear(K); }",
            "    GR_INLINE void begin(Lanes &, const char *) {}",
            "    GR_INLINE void end(Lanes &, char *, int64_t) {}",
            "    static void merge(char *a, const char *b) {",
            "        Row &to = *(Row *)a, &from = *(Row *)b;",
            "        for (int k = 0; k < from.count; k++)",
            "            to.insert(from.values()[k], from.columns()[k]);",
            "    }",
            "    static void finish(const Call &a, const char *state, int64_t at) {",
            "        Row &s = *(Row *)state;",
            "        for (int64_t k = 0; k < a.n.K; k++) {",
            *("            " + stores[k].replace("{n}", str(n)) for n, k in enumerate(self.entry.keep)),
            "        }",
            "    }",
        ]


@lru_cache(maxsize=1024)
def cpu_kernel(
    formula: Expr, weight: Expr | None, reduction: str, dtype: np.dtype[np.floating]
) -> CpuKernel:
    """Return the kernel of a task."""
    return CpuKernel(formula, weight, reduction, dtype)


PREAMBLE = '#include "kernel.h"\n\n'
