"""The states of a reduction in CUDA: registers of a thread, doubles of a row, results."""

from __future__ import annotations

from ..formula import ops as o
from ..formula.expr import Expr, postorder
from ..formula.reductions import Reduction, finite_pivot, j, state_a
from .clike import Dialect, scalars
from .cpu_states import States
from .ir import Program

_PLAIN = Dialect(load={})


class GpuStates(States):
    """Prints what a kernel does with states once values are folded into those of a thread.

    Beside the functions of `States`, ``open`` begins a row's state, ``put`` and ``get`` move it to
    memory and back, as ``kept`` makes it of a thread's.

    Parameters
    ----------
    entry, program, scalar
        See `States`.
    listed : int
        Length of lists, see `gpu.capacity`.
    """

    result = "result<{kind}>(call.results[{n}])"

    def __init__(self, entry: Reduction, program: Program, scalar: str, listed: int) -> None:
        super().__init__(entry, program, scalar)
        self.listed = listed
        self.in_registers = 0 < listed <= 32

    def _flushes(self) -> bool:
        """Whether the states of a thread are rounded, and so go to the row's after every tile."""
        e = self.entry
        return e.pivoted or any(m.op in (o.add, o.mul) for m in e.merge)

    def declarations(self) -> list[str]:
        """Return the lines of the types of states."""
        flush = f"    static constexpr bool FLUSH = {str(self._flushes()).lower()};"
        group = "    static constexpr int GROUP = 16;"
        if not self.entry.keep:
            lines = [s for s in super().declarations() if "row_bytes" not in s]
            size = "    typedef Row Kept;"
            return [*lines, size, flush, group]
        if self.in_registers:
            row = f"Sorted<T, {self.listed}, int> Row"
            kept = f"Sorted<T, {self.listed}, int64_t> Kept"
        else:
            row, kept = "Heap<T> Row", "Heap<T> Kept"
        return [
            "    struct Lanes {};",
            f"    typedef {row};",
            f"    typedef {kept};",
            flush,
            group,
        ]

    def functions(self) -> list[str]:
        """Return the lines of all functions on states."""
        if not self.entry.keep:
            lines = super().functions() + self._memory()
        else:
            lines = self._lists()
        return [line.replace("    static void ", "    GR_INLINE void ", 1) for line in lines]

    def _end_plain(self) -> list[str]:
        lines = [f"        for (int e = 0; e < {self.E}; e++) {{", "            Row one;"]
        for n, s in enumerate(self.entry.state):
            value = f"lanes.s{n}[e]"
            if s.kind == "index" and j in postorder(s.single):
                value = f"{value} < 0 ? -1 : j0 + {value}"
            lines.append(f"            one.s{n}[e] = {value};")
        return [*lines, "            merge_one(row, one, e, e);", "        }"]

    def _end_pivoted(self) -> list[str]:
        top: Expr = state_a(0)
        fixed, (pivot,) = scalars(_PLAIN, [finite_pivot(top)], {top: "lanes.s0[e]"}, "f", " " * 16)
        scale, add = [], []
        for n in range(1, len(self.entry.state)):
            scale += self.each(n, "e", " " * 16, f"row.s{n}[{{e}}] *= scale;")
            add += self.each(n, "e", " " * 12, f"row.s{n}[{{e}}] += lanes.s{n}[{{e}}];")
        return [
            f"        for (int e = 0; e < {self.E}; e++) {{",
            "            if (row.s0[e] != lanes.s0[e]) {",
            *fixed,
            f"                const V below = lesser((T)row.s0[e] - {pivot}, V{{}});",
            "                const V scale = fast_exp(below);",
            *scale,
            "                row.s0[e] = lanes.s0[e];",
            "            }",
            *add,
            "        }",
        ]

    def _memory(self) -> list[str]:
        lines = [
            "    GR_INLINE void open(const Call &, Row &row, int64_t, int64_t, bool) {",
            "        clear((char *)&row, 0);",
            "    }",
            "    GR_INLINE Row &kept(Row &row, int64_t) { return row; }",
            "    GR_INLINE void put(const Call &a, const Row &row, int64_t slot) {",
            "        Global<Row>((Row *)a.states)[slot] = row;",
            "    }",
            "    GR_INLINE void get(const Call &a, Row &row, int64_t slot) {",
            "        row = Global<Row>((Row *)a.states)[slot];",
            "    }",
        ]
        if self.entry.repair:
            last = len(self.entry.finish) - 1
            lines += [
                "    GR_INLINE bool is_found(const Call &a, int64_t at) {",
                "        bool all = true;",
                f"        for (int e = 0; e < {self.E}; e++)",
                f"            all &= result<int64_t>(a.results[{last}])[at * {self.E} + e] >= 0;",
                "        return all;",
                "    }",
            ]
        return lines

    def _lists(self) -> list[str]:
        places = [
            f"a.results[{self.entry.keep.index(what)}]" if what in self.entry.keep else "nullptr"
            for what in ("values", "indices")
        ]
        if self.in_registers:
            memory = [
                "    GR_INLINE void open(const Call &a, Row &row, int64_t, int64_t, bool) {",
                "        row.clear(a.n.K);",
                "    }",
                "    GR_INLINE Kept kept(const Row &row, int64_t j0) { return kept_of(row, j0); }",
                "    GR_INLINE void put(const Call &a, const Kept &row, int64_t slot) {",
                "        Global<Kept>((Kept *)a.states)[slot] = row;",
                "    }",
                "    GR_INLINE void get(const Call &a, Kept &row, int64_t slot) {",
                "        row = Global<Kept>((Kept *)a.states)[slot];",
                "    }",
            ]
        else:
            lists = "a.n.kept * a.n.parts"
            memory = [
                "    GR_INLINE void open(const Call &a, Row &row, int64_t slot, int64_t j0,",
                "                        bool exists) {",
                f"        row.open(a.states, {lists}, slot, a.n.K, j0, exists);",
                "    }",
                "    GR_INLINE Row &kept(Row &row, int64_t) { return row; }",
                "    GR_INLINE void put(const Call &a, const Row &row, int64_t slot) {",
                f"        Row::counts(a.states, {lists}, a.n.K)[slot] = row.count;",
                "    }",
                "    GR_INLINE void get(const Call &a, Row &row, int64_t slot) {",
                f"        row.open(a.states, {lists}, slot, a.n.K, 0, true);",
                f"        row.count = Row::counts(a.states, {lists}, a.n.K)[slot];",
                "    }",
            ]
        return [
            *memory,
            "    GR_INLINE void begin(Lanes &, const char *) {}",
            "    GR_INLINE void end(Lanes &, char *, int64_t) {}",
            "    GR_INLINE void merge(char *a, char *b) { ((Kept *)a)->merge(*(Kept *)b); }",
            "    GR_INLINE void finish(const Call &a, char *state, int64_t at) {",
            f"        ((Kept *)state)->finish({', '.join(places)}, at, a.n.K);",
            "    }",
        ]

    def bytes_of(self, K: int) -> int:
        """Return the bytes of the state of a row in memory."""
        size = 4 if self.scalar == "float" else 8
        if self.in_registers:
            return -(-self.listed * (8 + size) // 8) * 8
        if self.listed:
            return K * (8 + size) + 16
        sizes = [
            (1 if s.kind == "boolean" else 8) * self._size(n)
            for n, s in enumerate(self.entry.state)
        ]
        return sum(-(-n // 8) * 8 for n in sizes)
