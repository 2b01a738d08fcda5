"""The states of a reduction in the C++ of the CPU: vectors of lanes, scalars of rows, results."""

from __future__ import annotations

from ..formula.expr import Expr, postorder
from ..formula.reductions import Reduction, finite_pivot, j, state_a, state_b
from .clike import Dialect, literal, scalars
from .ir import Program

LANES = Dialect(load={})
SCALARS = Dialect(load={})
_SCALAR_TYPES = "typedef double V, T; typedef int64_t I; typedef bool B;"
_ROW_TYPES = {"real": "double", "index": "int64_t", "boolean": "bool"}
_LANE_TYPES = {"real": "V", "index": "I", "boolean": "B"}
_RESULT_TYPES = {"real": "T", "index": "int64_t", "boolean": "bool"}


class States:
    """Prints what a kernel does with states once values are folded into lanes.

    ``begin`` makes the lanes of a strip, ``end`` folds them into the row at the end of a block of
    columns, ``merge`` makes one row of two chunks, and ``finish`` stores the results.

    Parameters
    ----------
    entry : Reduction
        The entry of the table.
    program : Program
        The lowered formula; its dimensions are those of the states.
    scalar : str
        "float" or "double".
    """

    result = "(({kind} *)call.results[{n}])"

    def __init__(
        self,
        entry: Reduction,
        program: Program,
        scalar: str,
    ) -> None:
        self.entry = entry
        self.scalar = scalar
        self.E = program.value_dim
        self.F = max(1, program.weight_dim)

    def functions(self) -> list[str]:
        """Return the lines of all functions on states."""
        if self.entry.keep:
            return self._keep()
        return [*self._begin(), *self._end(), *self._merge(), *self._finish()]

    def _size(self, n: int) -> int:
        return self.E if self.entry.state[n].per == "value" else self.F

    def declarations(self) -> list[str]:
        """Return the lines of the types of states."""
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

    def each(self, n: int, at: str, indent: str, line: str) -> list[str]:
        """Return a line for component `at` of a state, or for all of a weight's."""
        if self.entry.state[n].per == "value":
            return [indent + line.format(e=at)]
        return [
            f"{indent}for (int e = 0; e < {self.F}; e++)",
            f"{indent}    {line.format(e='e')}",
        ]

    def _begin(self) -> list[str]:
        clear, begin = [], []
        for n, s in enumerate(self.entry.state):
            each = f"        for (int e = 0; e < {self._size(n)}; e++) "
            kind = s.kind
            clear.append(f"{each}row.s{n}[e] = {literal(kind, s.init)};")
            value = literal(kind, s.init)
            if (
                self.entry.pivoted and n == 0
            ):  # so that the row's pivot is the lanes' from the start
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
        if e.merge == (state_a(0) + state_b(0),):  # a sum: its lanes are added in double
            lines.append("            one.s0[e] = wide_sum(lanes.s0[e]);")
        elif e.picks and len(e.state) > 1:
            lines += self._end_picked()
        else:
            bound: dict[Expr, str] = {}
            for n, s in enumerate(e.state):
                lines.append(f"            {_LANE_TYPES[s.kind]} a{n} = lanes.s{n}[e];")
                bound[state_a(n, s.kind)], bound[state_b(n, s.kind)] = f"a{n}", f"b{n}"
            lines.append("            GR_UNROLL for (int half = L / 2; half > 0; half /= 2) {")
            lines += [
                f"                const {_LANE_TYPES[s.kind]} b{n} = rotate(a{n}, half);"
                for n, s in enumerate(e.state)
            ]
            merged, names = scalars(LANES, e.merge, bound, "u", " " * 16)
            lines += merged
            lines += [f"                a{n} = {name};" for n, name in enumerate(names)]
            lines.append("            }")
            for n, s in enumerate(e.state):
                value = f"a{n}[0]"
                if s.kind == "index" and j in postorder(s.single):
                    value = f"a{n}[0] < 0 ? -1 : j0 + a{n}[0]"
                lines.append(f"            one.s{n}[e] = {value};")
        return [*lines, "            merge_one(row, one, e, e);", "        }"]

    def _end_picked(self) -> list[str]:
        """Print the fold of a picked value and its index: the value, then the first that has it.

        As pairs, each of log2(L) steps would be a chain of comparisons for the ties.
        """
        fold, (best,) = scalars(
            LANES, self.entry.merge[:1], {state_a(0): "best", state_b(0): "other"}, "u", " " * 16
        )
        return [
            "            V best = lanes.s0[e];",
            "            GR_UNROLL for (int half = L / 2; half > 0; half /= 2) {",
            "                const V other = rotate(best, half);",
            *fold,
            f"                best = {best};",
            "            }",
            "            const int64_t first = first_of<T>(lanes.s0[e] == best, lanes.s1[e]);",
            "            one.s0[e] = best[0];",
            "            one.s1[e] = first < 0 ? -1 : j0 + first;",
        ]

    def _end_pivoted(self) -> list[str]:
        e = self.entry
        top = state_a(0)
        tree, (raised,) = scalars(
            LANES, e.merge[:1], {top: "top", state_b(0): "other"}, "u", " " * 16
        )
        fixed, (pivot,) = scalars(LANES, [finite_pivot(top)], {top: "top"}, "f", " " * 12)
        lines = [
            f"        for (int e = 0; e < {self.E}; e++) {{",
            "            Row one;",
            "            V top = lanes.s0[e];",
            "            GR_UNROLL for (int half = L / 2; half > 0; half /= 2) {",
            "                const V other = rotate(top, half);",
            *tree,
            f"                top = {raised};",
            "            }",
            *fixed,
            "            one.s0[e] = top[0];",
            "            const bool moved = any_less(lanes.s0[e], top);",
            f"            const V below = lesser(lanes.s0[e] - {pivot}, V{{}});",
            "            const V scale = moved ? exp(below) : gr::one<V>();",
        ]
        sums = []
        for n in range(1, len(e.state)):
            sums += self.each(
                n, "e", " " * 12, f"one.s{n}[{{e}}] = wide_sum(lanes.s{n}[{{e}}] * scale);"
            )
        lines += sums
        lines.append("            if (row.s0[e] == one.s0[e]) {")
        for n in range(1, len(e.state)):
            lines += self.each(n, "e", " " * 16, f"row.s{n}[{{e}}] += one.s{n}[{{e}}];")
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
            "    static void merge(char *a, char *b) {",
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
            to = self.result.format(kind=kind, n=n)
            stores.append(f"            {to}[at * {size} + e] = {name};")
        return [
            "    static void finish(const Call &call, char *state, int64_t at) {",
            f"        {_SCALAR_TYPES}",
            "        const Row &row = *(const Row *)state;",
            f"        for (int e = 0; e < {size}; e++) {{",
            *lines,
            *stores,
            "        }",
            "    }",
        ]

    def _keep(self) -> list[str]:
        """Print the lists of the K smallest, for which ``smallest.h`` has the code."""
        stored = {
            "values": ("T", "e.values", "GR_INF(T)"),
            "indices": ("int64_t", "e.columns", "-1"),
        }
        lines = ["        s.compact();", "        const auto e = s.entries();"]
        for n, what in enumerate(self.entry.keep):
            kind, source, missing = stored[what]
            lines += [
                f"        {kind} *to{n} = ({kind} *)a.results[{n}] + at * a.n.K;",
                f"        for (int64_t k = 0; k < s.count; k++) to{n}[k] = {source}[k];",
                f"        for (int64_t k = s.count; k < a.n.K; k++) to{n}[k] = {missing};",
            ]
        return [
            "    static void clear(char *state, int64_t K) { ((Row *)state)->clear(K); }",
            "    static void merge(char *a, char *b) { Row::merge(*(Row *)a, *(Row *)b); }",
            "    static void finish(const Call &a, char *state, int64_t at) {",
            "        Row &s = *(Row *)state;",
            *lines,
            "    }",
        ]
