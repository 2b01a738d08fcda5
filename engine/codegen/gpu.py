"""The CUDA kernels of a task: a struct for the driver of ``device_driver.h``.

The same program and printer as on the CPU; a "vector" is one number of a thread. What differs is
where values are loaded from, how values are folded without masks, and the sizes of the tile. The
source is complete: NVRTC gets it as it is, and so does the emulator.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..formula.expr import Expr, to_string
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
from .clike import Dialect, Printer, TilePrinter, scalars
from .cpu import far_spellings, scalar_name
from .gpu_states import GpuStates
from .ir import Component, Loop, Program, index_text
from .lower import exact_updates, lower
from .schedule import FLUSH, FUNCTION, cost

THREADS = 128
"""Threads of a block."""
WARP = 32
CAPACITIES = (8, 16, 32)
"""Lengths of lists in registers; longer ones are heaps in memory."""
LONGEST = 1024
"""The longest list."""
SHARED_BYTES = 32 * 1024
"""Of a tile of columns: every device has 48 KiB for a block."""
REGISTERS = 64
"""Registers of 32 bits that the rows of a thread may take: half as many beside a long list."""
UNROLLED = 1024
"""Statements up to which loops over components are unrolled for rows in registers."""

_SPELL = {
    "to_real": "V({0})",
    "one_hot": OPS["one_hot"].code.replace("to_real({k})", "V({k})"),
}
PAIRS = Dialect(
    load={
        "p": "par[{k}]",
        "i": "rows.template at<R>({k}, r)",
        "j": "columns.template at<C>({k}, c)",
    },
    spell={**_SPELL, "exp": "fast_exp({0})"},
)
# States are never NaN, so that one instruction does
FOLDS = replace(PAIRS, spell={"lesser": "least({0}, {1})", "greater": "most({0}, {1})"})
_LOAD = {"p": "par[{k}]", "argument": "x{slot}[({k}) * step{slot}]"}
PACKED = {
    "parameters": Dialect(_LOAD, "to[{k}] = {value};", _SPELL),
    "rows": Dialect(_LOAD, "to[({k}) * RB] = {value};", _SPELL),
    "columns": Dialect(_LOAD, "to[({k}) * CB] = {value};", _SPELL),
}


@dataclass(frozen=True)
class GpuSchedule:
    """Sizes of the loops around a program on a GPU.

    Attributes
    ----------
    rows, columns : int
        R rows of a thread and C columns that it is at.
    row_block, column_block : int
        Points that are packed together; columns of a tile.
    staged : bool
        Whether tiles of columns are staged in shared memory.
    registers : bool
        Whether a thread's rows stay in registers.
    """

    rows: int
    columns: int
    row_block: int
    column_block: int
    staged: bool
    registers: bool


def capacity(entry: Reduction, K: int) -> int:
    """Return the length of the lists of a kernel: 0 if it has none, above 32 for any length."""
    if not entry.keep:
        return 0
    return next((n for n in CAPACITIES if K <= n), LONGEST)


def gpu_schedule(program: Program, entry: Reduction, size: int, listed: int) -> GpuSchedule:
    """Return the sizes for a program, of numbers of `size` bytes.

    R x C pairs of a thread load R + C values for each component, C at most four to a load. Rows
    stay in registers where they fit; else they come from the first-level cache, and C is larger.
    """
    words = size // 4
    C = 16 // size
    loops = [s for s in program.pair if isinstance(s, Loop)]
    work = cost(program.pair)
    inner = sum(cost(loop.body) for loop in loops)
    accumulators = sum(isinstance(s, ir.Declare) for s in program.pair)
    R = 4
    if max(program.value_dim, program.weight_dim) > 4 or accumulators > 2 or work > 150:
        R = 1
    elif work - inner > 4 * FUNCTION:
        R = 2
    if listed in CAPACITIES:
        R = min(R, 2 if 2 * listed * (words + 1) <= REGISTERS else 1)
    elif listed:
        R = 1
    unrolled = sum(s.extent * _length(s) for s in loops)
    lists = listed * (words + 1) * R if listed in CAPACITIES else 0
    room = REGISTERS - max(0, lists - REGISTERS // 2)
    registers = program.n_rows * R * words <= room and unrolled <= UNROLLED
    if work > 600:
        C = 1
    elif work <= 150 and (not registers or 0 < listed < 32 or entry.pivoted):
        C *= 2  # what is done once for a row and a tile costs half as much for a pair
    block = FLUSH
    while block > C and program.n_columns * block * size > SHARED_BYTES:
        block //= 2
    staged = program.n_columns * block * size <= SHARED_BYTES
    return GpuSchedule(R, C, WARP * R, block, staged, registers)


def _length(s: Loop) -> int:
    return sum(_length(x) * x.extent if isinstance(x, Loop) else 1 for x in s.body)


class GpuPrinter(TilePrinter):
    """Prints pairs; loops over components that read rows in registers are unrolled whole."""

    def __init__(self, dialect: Dialect, program: Program, registers: bool) -> None:
        super().__init__(dialect, program)
        self.registers = registers

    def unroll(self, s: Loop) -> str:
        """Return what stands before a loop."""
        if self.registers or s.extent * _length(s) <= 64:
            return "GR_UNROLL "
        parts = max(
            n for n in range(1, 9) if s.extent % n == 0 and (n == 1 or n * _length(s) <= 64)
        )
        return f"GR_UNROLL_BY({parts}) "

    def loop(self, s: Loop, indent: str) -> list[str]:
        """Return the lines of a loop within a loop."""
        head, *rest = super().loop(s, indent)
        return [indent + self.unroll(s) + head.strip().removeprefix("GR_UNROLL "), *rest]


class GpuKernel:
    """The source of one task.

    Parameters
    ----------
    formula, weight : Expr
        What is reduced.
    reduction : str
        By what.
    dtype : dtype
        float32 or float64.
    listed : int
        See `capacity`.
    sparse : bool
        Whether rows have columns of their own: the loops are those of ``device_block_sparse.h``.
    """

    def __init__(
        self,
        formula: Expr,
        weight: Expr | None,
        reduction: str,
        dtype: np.dtype[np.floating],
        listed: int,
        sparse: bool = False,
    ) -> None:
        self.sparse = sparse
        self.entry: Reduction = REDUCTIONS[reduction]
        self.program: Program = lower(formula, weight)
        self.listed = listed
        self.schedule = gpu_schedule(self.program, self.entry, dtype.itemsize, listed)
        self.scalar = scalar_name(dtype)
        self.states = GpuStates(self.entry, self.program, self.scalar, listed)
        self.far = far_spellings(self.program)
        self.pairs = replace(PAIRS, spell={**PAIRS.spell, **self.far})
        text = f"// {reduction} over j of {to_string(formula)}"
        text += "" if weight is None else f", weight {to_string(weight)}"
        text += f", {self.scalar}" + (f", at most {listed}" if listed else "")
        text += ", block-sparse" if sparse else ""
        body = "\n".join(self._struct())
        digest = hashlib.sha256((text + body).encode()).hexdigest()[:16]
        self.name = f"kernel_{digest}"
        self.source = "\n".join([text, body.replace("KERNEL", self.name), *self._entries(), ""])

    def entries(self) -> tuple[str, ...]:
        """Return what the kernels are called, but for the name."""
        last = ("repair",) if self.entry.repair else ()
        merge = () if self.sparse else ("merge",)
        return ("pack_parameters", "pack_rows", "pack_columns", "run", *merge, *last)

    def _entries(self) -> list[str]:
        lines = []
        driver, more = ("BlockSparse", ("run", "repair")) if self.sparse else ("Driver", ("merge",))
        for what in self.entries():
            n = self.name
            step = "*call, step" if what in more else "*call"
            lines += [
                f"GR_ENTRY({THREADS}) {what}_{n}(const gr::{n}::Call *call, int64_t step) {{",
                f"    gr::{driver}<gr::{n}>::{what}({step});",
                "}",
            ]
        return lines

    def _struct(self) -> list[str]:
        p, s = self.program, self.schedule
        results = len(self.entry.keep or self.entry.finish)
        places = [f"SLOT{slot} = {n}" for n, (slot, _, _) in enumerate(p.slots)]
        lines = [
            "namespace gr {",
            "struct KERNEL {",
            f"    typedef {self.scalar} T, V;",
            "    typedef int I;",
            "    typedef bool B;",
            f"    typedef gr::Call<T, {len(p.slots)}, {results}> Call;",
            f"    static constexpr int NP = {p.n_parameters}, NR = {p.n_rows}, NC = {p.n_columns};",
            f"    static constexpr int R = {s.rows}, C = {s.columns};",
            f"    static constexpr int RB = {s.row_block}, CB = {s.column_block};",
            f"    static constexpr bool STAGED = {str(s.staged).lower()};",
        ]
        if places:
            lines.append(f"    static constexpr int {', '.join(places)};")
        rows = "Registers<T, NR, R>" if s.registers else "Packed<Global<const T>, RB>"
        lines += [f"    typedef {rows} Rows;", *self.states.declarations()]
        for name in sorted(self.far):
            arguments = ", ".join(f"V {a}" for a in "xyz"[: len(OPS[name].args)])
            call = OPS[name].code.format(*"xyz")
            lines.append(f"    GR_OUTLINE V far_{name}({arguments}) {{ return {call}; }}")
        for name in ("parameters", "rows", "columns"):
            lines += self._pack(name)
        lines += self._tile("tile", self.entry.update, s.registers)
        if self.entry.repair:
            lines += self._tile("exact", exact_updates(self.entry), False)
        return [*lines, *self.states.functions(), "};", "}"]

    def _pack(self, name: str) -> list[str]:
        body = getattr(self.program, name)
        loads = {s.slot for s in ir.walk(body) if isinstance(s, ir.Load) and s.space == "argument"}
        lines = []
        for slot, _, _ in self.program.slots:
            if slot in loads:
                lines += [
                    f"const Global<const T> x{slot} = point(a.slots[SLOT{slot}], batch, n);",
                    f"const int64_t step{slot} = a.slots[SLOT{slot}].step;",
                ]
        own = name == "parameters"
        if own:
            lines = [line.replace("batch, n)", "batch, 0)") for line in lines]
        known = "int64_t batch" if own else "Global<const T> par, int64_t batch, int64_t n"
        return [
            f"    GR_INLINE void pack_{name}(const Call &a, {known}, Global<T> to) {{",
            *(f"        {line}" for line in lines),
            *Printer(PACKED[name]).block(body, "        "),
            "    }",
        ]

    # --- Values into the states of a thread ---------------------------------------------------

    def _tile(self, name: str, updates: Sequence[Expr], registers: bool) -> list[str]:
        printer = GpuPrinter(self.pairs, self.program, registers)
        e = self.entry
        head = []
        if e.keep or e.pivoted:
            head.append("        V v[R][C];")
            printer.yields["value"] = lambda value, k: [f"v[r][c] = {value};"]
            printer.after["value"] = self._select if e.keep else self._pivot
            printer.yields["weight"] = lambda value, k: self._accumulate("weight", value, k)
        else:
            printer.yields["value"] = lambda value, k: self._fold(updates, value, k)
        return [
            "    template <int R, int C, class X, class Y>",
            f"    GR_INLINE void {name}(Global<const T> par, const X &rows, const Y &columns,",
            "                        Lanes *lanes, Row *row, int at) {",
            *head,
            *printer.tiles("        "),
            "    }",
        ]

    def _fold(self, updates: Sequence[Expr], value: str, k: Component) -> list[str]:
        at = index_text(k)
        bound: dict[Expr, str] = {v: value, t: value, j: "(at + c)"}
        targets = [f"lanes[r].s{n}[{at}]" for n in range(len(self.entry.state))]
        for n, s in enumerate(self.entry.state):
            bound[state_a(n, s.kind)] = targets[n]
        lines, names = scalars(FOLDS, updates, bound, "u")
        return lines + [f"{to} = {name};" for to, name in zip(targets, names, strict=True)]

    def _pivot(self, k: Component) -> list[str]:
        """Raise the pivot to the largest value of the tile, rescale, and take exponentials."""
        e = self.entry
        at = index_text(k)
        top, new = state_a(0), state_b(0)
        lines, (raised,) = scalars(FOLDS, e.merge[:1], {top: "m", new: "v[r][c]"}, "u", " " * 8)
        fixed, (pivot,) = scalars(PAIRS, [finite_pivot(top)], {top: "m"}, "f", "    ")
        out = [
            "GR_UNROLL for (int r = 0; r < R; r++) {",
            f"    V m = lanes[r].s0[{at}];",
            "    GR_UNROLL for (int c = 0; c < C; c++) {",
            *lines,
            f"        m = {raised};",
            "    }",
            *fixed,
            f"    if (lanes[r].s0[{at}] != m) {{",
            # the old maximum is not above the new one, except for the pivot of an infinite one, 0
            f"        const V scale = fast_exp(lesser(lanes[r].s0[{at}] - {pivot}, V{{}}));",
        ]
        for n in range(1, len(e.state)):
            out += self.states.each(n, at, "        ", f"lanes[r].s{n}[{{e}}] *= scale;")
        out += [
            f"        lanes[r].s0[{at}] = m;",
            "    }",
            "    GR_UNROLL for (int c = 0; c < C; c++) {",
            f"        v[r][c] = fast_exp(v[r][c] - {pivot});",
            *("        " + line for line in self._accumulate("value", "", k)),
        ]
        return [*out, "    }", "}"]

    def _accumulate(self, per: str, value: str, k: Component) -> list[str]:
        """Add the terms of a value, or of a weight, to their sums."""
        lines: list[str] = []
        for n, s in enumerate(self.entry.state):
            if n == 0 or s.per != per:
                continue
            to = f"lanes[r].s{n}[{index_text(k)}]"
            bound: dict[Expr, str] = {mass: "v[r][c]", w: value, state_a(n): to}
            new, (name,) = scalars(PAIRS, [state_a(n) + s.single], bound, f"u{n}_")
            lines += [*new, f"{to} = {name};"]
        return lines

    def _select(self, k: Component) -> list[str]:
        """Offer the values of the tile that are below the limit to the lists of their rows."""
        return [
            "bool some = false;",
            "GR_TILE some |= row[r].passes(v[r][c]);",
            "if (some) {",
            "    GR_UNROLL for (int r = 0; r < R; r++) {",
            "        GR_ROLLED for (int c = 0; c < C; c++) row[r].offer(pick(v[r], c), at + c);",
            "    }",
            "}",
        ]


@lru_cache(maxsize=1024)
def gpu_kernel(
    formula: Expr,
    weight: Expr | None,
    reduction: str,
    dtype: np.dtype[np.floating],
    listed: int = 0,
    sparse: bool = False,
) -> GpuKernel:
    """Return the kernels of a task, with lists of a length; see `capacity`."""
    return GpuKernel(formula, weight, reduction, dtype, listed, sparse)


HEADERS = tuple(
    Path(__file__).parent / name
    for name in ("device.h", "device_lists.h", "device_driver.h", "device_block_sparse.h")
)


@lru_cache(maxsize=1)
def preamble() -> str:
    """Return what stands before kernels: the headers themselves, so that none need be found."""
    return "\n".join(header.read_text(encoding="utf-8") for header in HEADERS)
