"""How many vector instructions a kernel spends on a pair: its machine code, read and counted.

The way of a pair through a kernel is the shortest one around the loop that has most of its
arithmetic. Shortest, because what leaves it (a candidate that enters a list, the end of a block) is
rare; loops over components on that way count as often as they run.
"""

from __future__ import annotations

import functools
import heapq
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from typing import Any, NamedTuple

from georeduce.engine.backends import _cache, openmp
from georeduce.engine.backends._compiler import find_compiler

LINE = re.compile(r"^\s*([0-9a-f]+):\s+(?:\{\w+\} )?(\S+)\s*(.*)$")
TARGET = re.compile(r"^([0-9a-f]+) <")
REGISTERS = {64: r"%zmm|%k[1-7]", 32: r"%ymm", 16: r"%xmm"}
"""What the instructions on whole vectors name, by their width; comparisons write to masks."""
MOVES = ("vmov", "mov", "vbroadcast", "vpbroadcast", "vpxor", "vxor", "vzero", "kmov", "kor")
"""How the names begin of those that are no arithmetic."""


class Instruction(NamedTuple):
    place: int
    name: str
    operands: str


class Block(NamedTuple):
    """Instructions without a jump in or out between them, and the blocks that may follow."""

    body: tuple[Instruction, ...]
    after: tuple[int, ...]


class Code(NamedTuple):
    """Functions as blocks by place, and what an instruction on whole vectors looks like."""

    functions: dict[str, dict[int, Block]]
    vector: re.Pattern[str]

    def count(self, block: Block) -> int:
        return sum(bool(self.vector.search(i.operands)) for i in block.body)

    def arithmetic(self, block: Block) -> int:
        return sum(
            bool(self.vector.search(i.operands)) and not i.name.startswith(MOVES)
            for i in block.body
        )


@functools.lru_cache(maxsize=256)
def disassembled(source: str) -> Code | None:
    """Return the code of a source, None where it cannot be read: no objdump, no x86."""
    compiler = find_compiler()
    if compiler is None or not compiler.target.startswith("x86_64") or not shutil.which("objdump"):
        return None
    key = _cache._key(compiler, source, openmp.HEADERS)
    with tempfile.NamedTemporaryFile(suffix=".so") as file:
        file.write(_cache._binary(compiler, source, key, openmp.HEADERS[0].parent))
        file.flush()
        command = ["objdump", "--disassemble", "--no-show-raw-insn", "--wide", file.name]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Code(functions(text), re.compile(REGISTERS[compiler.vector_bytes]))


def functions(text: str) -> dict[str, dict[int, Block]]:
    """Return the functions that a disassembly lists, as blocks."""
    found: dict[str, list[Instruction]] = {}
    body: list[Instruction] = []
    for line in text.splitlines():
        if line.endswith(">:"):
            body = found.setdefault(line.split("<")[1][:-2], [])
        elif match := LINE.match(line):
            body.append(Instruction(int(match[1], 16), match[2], match[3]))
    return {name: blocks(body) for name, body in found.items() if body}


def blocks(body: list[Instruction]) -> dict[int, Block]:
    """Cut a function where it jumps and where it is jumped to."""
    places = [i.place for i in body]
    known = set(places)
    targets: dict[int, int | None] = {}
    starts = {places[0]}
    for n, i in enumerate(body):
        if i.name.startswith(("j", "ret")):
            match = TARGET.match(i.operands)
            goal = int(match[1], 16) if match else -1
            targets[i.place] = goal if goal in known else None
            starts |= {goal} & known | set(places[n + 1 : n + 2])
    found: dict[int, Block] = {}
    cuts = sorted(starts)
    position = {place: n for n, place in enumerate(places)}
    for cut, end in zip(cuts, [*cuts[1:], None], strict=True):
        part = tuple(body[position[cut] : None if end is None else position[end]])
        last = part[-1]
        after = [targets[last.place]] if last.place in targets else []
        if not last.name.startswith(("jmp", "ret")) and end is not None:
            after.append(end)
        found[cut] = Block(part, tuple(a for a in after if a is not None))
    return found


def around(graph: dict[int, Block], start: int) -> list[int] | None:
    """Return the shortest way from a block back to it, without repeating a single block."""
    queue = [(0, a, (start,)) for a in graph[start].after if a != start]
    heapq.heapify(queue)
    seen = set()
    while queue:
        length, place, path = heapq.heappop(queue)
        if place == start:
            return list(path)
        if place in seen:
            continue
        seen.add(place)
        for a in graph[place].after:
            heapq.heappush(queue, (length + len(graph[place].body), a, (*path, place)))
    return [start] if start in graph[start].after else None


def per_pair(code: Code, tile: int, components: int, per_component: float) -> float | None:
    """Return the vector instructions for one vector of pairs.

    Parameters
    ----------
    code : Code
        Of a kernel.
    tile : int
        Rows times vectors of its register tile.
    components : int
        D, which loops over components have done together once they end.
    per_component : float
        Arithmetic instructions that a component needs at least: they tell how many components one
        round of such a loop does.
    """
    best: tuple[int, dict[int, Block], int] | None = None
    for graph in code.functions.values():
        for place, block in graph.items():
            work = code.arithmetic(block)
            if (best is None or work > best[0]) and around(graph, place):
                best = (work, graph, place)
    if best is None:
        return None
    _, graph, start = best
    total = 0.0
    for place in around(graph, start) or ():
        block = graph[place]
        times = 1.0
        if place in block.after:
            done = max(1.0, round(code.arithmetic(block) / (per_component * tile)))
            times = max(1.0, components / done)
        total += times * code.count(block)
    return round(total / tile, 2)


def kernels_of(call: Callable[[], Any]) -> list[tuple[Any, bool]]:
    """Return the tasks that a call runs on the CPU backend, each with whether it is by bounds."""
    seen: list[tuple[Any, bool]] = []
    plain = openmp.BACKEND._run

    def run(task: Any, data: Any, bounded: bool) -> Any:
        seen.append((task, bounded))
        return plain(task, data, bounded)

    openmp.BACKEND._run = run  # type: ignore[method-assign]
    try:
        call()
    finally:
        del openmp.BACKEND._run
    return seen


def found(call: Callable[[], Any], components: int, per_component: float) -> float | None:
    """Return the vector instructions per vector of pairs of the first kernel that a call runs."""
    kernels = kernels_of(call)
    if not kernels:
        return None
    task, bounded = kernels[0]
    code = disassembled(openmp.BACKEND.source(task, bounded))
    if code is None:
        return None
    return per_pair(code, openmp.BACKEND._kernel(task, bounded).tile, components, per_component)


def is_bounded(call: Callable[[], Any]) -> bool:
    """Return whether the first kernel dismisses pairs by bounds in integers."""
    return any(bounded for _, bounded in kernels_of(call)[:1])


EXP = """#include "simd.h"
extern "C" __attribute__((visibility("default"))) void trial(gr::{v} *x) {{ *x = gr::exp(*x); }}
"""


@functools.cache
def exponential(dtype: str) -> tuple[float, float] | None:
    """Return what simd_math.h's exp has of arithmetic: floating-point operations, instructions."""
    source = EXP.format(v={"float32": "vf", "float64": "vd"}[dtype])
    code = disassembled(source)
    if code is None:
        return None
    flops = instructions = 0
    for block in code.functions["trial"].values():
        instructions += code.arithmetic(block)
        for i in block.body:
            if code.vector.search(i.operands):
                fused = re.match(r"vfn?m(add|sub)", i.name)
                flops += 2 if fused else bool(re.match(r"v(add|sub|mul)p", i.name))
    return float(flops), float(instructions)
