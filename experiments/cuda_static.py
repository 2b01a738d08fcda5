"""What NVRTC makes of 40 kernels, without a GPU: registers, spills, and instructions for a pair.

Needs what georeduce[nvrtc] brings, no driver.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import re
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from georeduce.engine import LazyTensor, Vi, Vj
from georeduce.engine.backends import _nvrtc
from georeduce.engine.backends._gpu import GpuBackend
from georeduce.engine.codegen.gpu import GpuKernel, preamble
from georeduce.engine.methods import build

from . import harness
from .instructions import Block, Code, Instruction, blocks, per_pair

ARCHS = ("sm_80", "sm_90", "sm_120")
LIMIT = 1.3
"""Instructions for a pair over those that its formula needs, at most."""

Formula = Callable[[LazyTensor, LazyTensor], LazyTensor]


def distance(x: LazyTensor, y: LazyTensor) -> LazyTensor:
    return x.sqdist(y)


FORMULAS: dict[str, tuple[str, Formula, Formula | None, int]] = {
    "gaussian_sum": ("sum", lambda x, y: (-x.sqdist(y) / 2).exp(), None, 0),
    "logsumexp": ("logsumexp", distance, None, 0),
    "argmin": ("argmin", distance, None, 0),
    "neighbours": ("argKmin", distance, None, 10),
    "min": ("min", distance, None, 0),
    "count": ("count", lambda x, y: x.sqdist(y) < 1, None, 0),
    "softmax": ("sumsoftmaxweight", lambda x, y: -x.sqdist(y), lambda x, y: y, 0),
    "manhattan": ("Kmin_argKmin", lambda x, y: (x - y).abs().sum(-1), None, 10),
    "cosine": ("argmax", lambda x, y: x.normalize() | y.normalize(), None, 0),
    "neighbours_32": ("argKmin", distance, None, 32),
    "neighbours_100": ("argKmin", distance, None, 100),
    "vectors": ("sum", lambda x, y: x * y - y.exp(), None, 0),
}
# Beyond 2 D for the distance: a product, an exponential and a sum; the largest, a difference, an
# exponential and a sum; a comparison and two choices; a comparison.
NEEDED = {"gaussian_sum": 3, "logsumexp": 4, "argmin": 3, "neighbours": 1}


@dataclass(frozen=True)
class Kernel:
    """One of the kernels."""

    formula: str
    D: int
    dtype: str = "float32"

    def __str__(self) -> str:
        return f"{self.formula}-D{self.D}-{self.dtype}"

    def made(self) -> GpuKernel:
        reduction, formula, weight, K = FORMULAS[self.formula]
        x, y = (np.zeros((n, self.D), self.dtype) for n in (2, 3))
        args = Vi(x), Vj(y)
        task, _ = build(formula(*args), reduction, "j", max(K, 1), weight and weight(*args))
        return GpuBackend.kernel(task, K)


KERNELS = [
    *(Kernel(f, D) for f in NEEDED for D in (1, 3, 10, 50, 100, 784)),
    *(Kernel(f, D, "float64") for f in NEEDED for D in (3, 50)),
    *(Kernel(f, 10) for f in ("softmax", "manhattan", "cosine", "neighbours_32")),
    *(Kernel(f, 3) for f in ("min", "count", "neighbours_100", "vectors")),
]


# --- Reading machine code ----------------------------------------------------------------------

LINE = re.compile(r"^\s+/\*([0-9a-f]{4,})\*/\s+(@!?U?P\S+\s+)?(\S+)\s*(.*?)\s*;")
LABEL = re.compile(r"^(\.L_x_\d+):")
GOAL = re.compile(r"`\((\.L_x_\d+)\)")
ARITHMETIC = ("FADD", "FMUL", "FFMA", "MUFU", "DADD", "DMUL", "DFMA")
RESOURCES = re.compile(
    r"entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, "
    r"(\d+) bytes spill loads.*?Used (\d+) registers([^\n]*)",
    re.DOTALL,
)


class Sass(Code):
    """Machine code of a GPU, where every instruction counts."""

    def count(self, block: Block) -> int:
        return len(block.body)

    def arithmetic(self, block: Block) -> int:
        return sum(i.name.startswith(ARITHMETIC) for i in block.body)


def read_sass(text: str) -> dict[str, dict[int, Block]]:
    """Return the functions that a disassembly lists, as blocks."""
    found = {}
    for part in text.split("\t.section\t.text.")[1:]:
        name = part.partition(",")[0]
        labels: dict[str, int] = {}
        waiting: list[str] = []
        lines = []
        for line in part.splitlines():
            if match := LABEL.match(line):
                waiting.append(match[1])
            elif match := LINE.match(line):
                labels.update(dict.fromkeys(waiting, int(match[1], 16)))
                waiting = []
                lines.append(match)
        body = []
        for match in lines:
            place, condition, opcode, operands = int(match[1], 16), match[2], match[3], match[4]
            if opcode.startswith("BRA") and (goal := GOAL.search(operands)) and goal[1] in labels:
                plain = condition is None and goal.start() == 0  # else a condition stands before it
                body.append(Instruction(place, "jmp" if plain else "jc", f"{labels[goal[1]]:x} <"))
            elif opcode == "EXIT" and condition is None:
                body.append(Instruction(place, "ret", ""))
            else:
                body.append(Instruction(place, opcode, operands))
        if body:
            found[name] = blocks(body)
    return found


def in_loop(code: Code, graph: dict[int, Block], tile: int) -> float | None:
    """Return the instructions for a pair where a tile is one block, None where it is several."""
    start = max(graph, key=lambda place: code.arithmetic(graph[place]))
    return round(code.count(graph[start]) / tile, 2) if start in graph[start].after else None


def read_resources(log: str) -> dict[str, dict[str, int]]:
    """Return the registers and the bytes of memory that ptxas tells of each function."""
    found = {}
    for name, stack, stores, loads, registers, rest in RESOURCES.findall(log):
        shared = re.search(r"(\d+) bytes smem", rest)
        found[name] = {
            "registers": int(registers),
            "spill_bytes": int(stores) + int(loads),
            "stack_bytes": int(stack),
            "shared_bytes": int(shared[1]) if shared else 0,
        }
    return found


def disassembler() -> str | None:
    """Return the path of nvdisasm, from the toolkit or from NVIDIA's package."""
    places = Path(sysconfig.get_paths()["purelib"], "nvidia").glob("*/bin/nvdisasm")
    return shutil.which("nvdisasm") or next(map(str, places), None)


def disassemble(cubin: bytes) -> str:
    """Return the machine code of a cubin as nvdisasm prints it."""
    tool = disassembler()
    if tool is None:
        raise SystemExit("Expected nvdisasm, but found none. Install nvidia-cuda-nvdisasm.")
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        return subprocess.run(
            [tool, "-c", file.name], check=True, capture_output=True, text=True
        ).stdout


# --- The table -----------------------------------------------------------------------------------


def examine(kernel: Kernel, arch: str, nvrtc: Any) -> dict[str, Any]:
    """Return what is known of a kernel once it is compiled."""
    made = kernel.made()
    options = (f"-arch={arch}", *_nvrtc.OPTIONS, "-Xptxas", "-v")
    cubin, log = _nvrtc.compiled(nvrtc, preamble() + made.source, options)
    resources = read_resources(log)
    s = made.schedule
    line: dict[str, Any] = {
        "case": str(kernel),
        "arch": arch,
        "dtype": kernel.dtype,
        "sizes": {"D": kernel.D},
        "tile": {"rows": s.rows, "columns": s.columns, "block": s.column_block},
        **resources[f"run_{made.name}"],
        "spill_bytes_all": sum(r["spill_bytes"] for r in resources.values()),
    }
    if kernel.formula in NEEDED and kernel.D in (3, 10, 50) and kernel.dtype == "float32":
        graph = read_sass(disassemble(cubin))[f"run_{made.name}"]
        code = Sass({"run": graph}, re.compile(""))
        needed = 2 * kernel.D + NEEDED[kernel.formula]
        count = in_loop(code, graph, s.rows * s.columns) if s.registers else None
        count = count or per_pair(code, s.rows * s.columns, kernel.D, 2)
        assert count is not None, "no loop was found"
        line |= {"needed": needed, "per_pair": count, "ratio": round(count / needed, 3)}
        return {**line, "value": line["ratio"], "unit": "instructions over needed", "limit": LIMIT}
    limit = 0 if kernel.D <= 100 else None
    return {**line, "value": line["spill_bytes_all"], "unit": "bytes spilled", "limit": limit}


def examined(kernels: list[Kernel], archs: list[str]) -> Iterator[dict[str, Any]]:
    nvrtc = importlib.import_module("cupy").cuda.nvrtc
    names = ("nvidia-cuda-nvrtc", "nvidia-cuda-nvdisasm")
    context = harness.context(())
    context["versions"] |= {name: importlib.metadata.version(name) for name in names}
    head = {"experiment": "cuda_static", **context}
    for arch in archs:
        for kernel in kernels:
            yield {**head, **examine(kernel, arch, nvrtc)}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="cuda_static", description=__doc__)
    parser.add_argument("--only", default="", help="kernels whose name has this in it")
    parser.add_argument("--arch", nargs="*", default=list(ARCHS))
    parser.add_argument("--dry", action="store_true", help="keep nothing")
    given = parser.parse_args(arguments)
    kernels = [k for k in KERNELS if given.only in str(k)]
    print(f"{'kernel':28} arch    tile  registers spills shared  per pair  needed  ratio")
    worst = spilled = 0.0
    for line in examined(kernels, given.arch):
        tile = f"{line['tile']['rows']}x{line['tile']['columns']}"
        text = f"{line['case']:28} {line['arch']:7} {tile:5} {line['registers']:9}"
        text += f" {line['spill_bytes']:6} {line['shared_bytes']:6}"
        if "ratio" in line:
            text += f" {line['per_pair']:9.2f} {line['needed']:7} {line['ratio']:6.2f}"
            worst = max(worst, line["ratio"])
        if line["sizes"]["D"] <= 100:
            spilled += line["spill_bytes_all"]
        print(text, flush=True)
        if not given.dry:
            harness.append("cuda_static", line)
    print(
        f"worst ratio {worst:.2f} (at most {LIMIT}); "
        f"spills of all kernels of D <= 100: {spilled:.0f} bytes"
    )
    return 0
