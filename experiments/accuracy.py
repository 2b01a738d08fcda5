"""Measure the error of every function of simd.h, and make the README's table of them.

float32: all 2^32 arguments, or with `--sampled` a stratified million; float64: a million. The
references come from the C library in a wider type, float64 and long double; with `--fast` those
of float32 are the float64 functions of simd.h, themselves measured here. Each function is judged on
vectors of all widths that this machine runs, with and without FMA; what counts is the worst.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np

from experiments import harness

Array = np.ndarray[Any, Any]
HEADERS = harness.ROOT / "engine" / "codegen"
SOURCES = harness.ROOT / "tests" / "engine" / "codegen"
README = harness.ROOT / "README.md"
BEGIN, END = "<!-- accuracy:begin -->", "<!-- accuracy:end -->"
FLAGS = shlex.split("-std=c++17 -O3 -march=native -fno-math-errno -fno-trapping-math -fPIC -shared")
# Narrower vectors than the machine's take other paths through the header; the last has no FMA.
BUILDS = {
    "native": [],
    "avx2": ["-mavx2", "-mfma", "-mno-avx512f"],
    "bytes16": ["-DGEOREDUCE_VECTOR_BYTES=16"],
    "generic": ["-march=x86-64"],
}
TWO = ("pow", "atan2")
"""Functions of two arguments, sampled in both types."""
EXACT = ("abs", "sign", "step", "relu", "floor", "ceil", "round")
NOTES = {
    "xlogx": "not monotone: falls against the exact values",
    "sinc": "sin(x) / x, `sinxdivx`; as xlogx",
    "sin": "as xlogx; beyond 10^5 (float32) and 10^6 (float64) the C library's",
    "cos": "as sin",
    "tan": "as sin",
    "pow": "two arguments: sampled",
    "atan2": "two arguments: sampled",
}


class Verdict(ctypes.Structure):
    """What simd_judge.cpp finds out about one function of one build."""

    _fields_ = [
        *((name, ctypes.c_double) for name in ("error", "at", "at_y", "fall", "fall_at")),
        *((name, ctypes.c_int64) for name in ("falls", "wrong")),
        *((name, ctypes.c_double) for name in ("wrong_at", "wrong_y")),
    ]
    error: float
    at: float
    at_y: float
    fall: float
    fall_at: float
    falls: int
    wrong: int
    wrong_at: float
    wrong_y: float


def documented() -> dict[str, tuple[float, float, float]]:
    """Return what the headers claim: the error in ulp for float, for double, the largest fall."""
    text = "".join(path.read_text() for path in sorted(HEADERS.glob("simd*.h")))
    rows = re.findall(r"^//   (\w+) +(\d\.\d+) +(\d\.\d+) +(\d)$", text, re.MULTILINE)
    return {
        name: (float(single), float(double), float(fall)) for name, single, double, fall in rows
    }


# --- Compiling ----------------------------------------------------------------------------------


def compiler() -> list[str]:
    """Return the command of a C++ compiler; empty if there is none."""
    named = [shlex.split(os.environ["CXX"])] if os.environ.get("CXX") else []
    candidates = [*named, ["c++"], ["g++"], ["clang++"]]
    return next((command for command in candidates if shutil.which(command[0])), [])


def builds() -> list[str]:
    """Return the builds that this machine runs."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return ["native", "bytes16"]
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        flags = []
    return [b for b in BUILDS if b != "avx2" or {"avx2", "fma"} <= set(flags)]


def compile_library(source: str, *flags: str) -> ctypes.CDLL:
    strict = ["-Wall", "-Wextra", "-Werror", "-Wno-psabi"]
    with tempfile.TemporaryDirectory() as folder:  # a library that is loaded needs its file no more
        target = Path(folder) / "library.so"
        command = [*compiler(), *FLAGS, *flags, *strict, f"-I{HEADERS}", str(SOURCES / source)]
        command += ["-o", str(target), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return ctypes.CDLL(str(target))


@functools.cache
def compile_build(name: str) -> ctypes.CDLL:
    """Return the functions of simd.h for one kind of vectors."""
    return compile_library("simd_harness.cpp", "-ffp-contract=fast", *BUILDS[name])


class Judge:
    """Compares builds with the C library: ``judge("exp", x)`` has a verdict for each."""

    def __init__(self) -> None:
        self.library = compile_library("simd_judge.cpp", "-fopenmp", "-ffp-contract=off")
        self.builds = {name: compile_build(name) for name in builds()}

    def __call__(self, name: str, x: Array, y: Array | None = None) -> dict[str, Verdict]:
        """Judge a function on arrays of arguments, ascending if it has one only."""
        y = x if y is None else y
        suffix = {"float32": "f32", "float64": "f64"}[x.dtype.name]
        return self._run(name, suffix, x.ctypes.data, y.ctypes.data, x.size, None)

    def sweep(self, name: str, first: int, count: int, fast: bool = False) -> dict[str, Verdict]:
        """Judge a function on floats by their bits, from `first` on."""
        start = np.array([first], np.uint32)
        reference = self._pointer("native", f"{name}_f64") if fast else None
        return self._run(name, "f32", None, start.ctypes.data, count, reference)

    def _pointer(self, build: str, name: str) -> int | None:
        return ctypes.cast(getattr(self.builds[build], name), ctypes.c_void_p).value

    def _run(self, name: str, suffix: str, x: Any, y: Any, count: int, reference: Any) -> Any:
        verdicts = (Verdict * len(self.builds))()
        pointers = [self._pointer(build, f"{name}_{suffix}") for build in self.builds]
        candidates = (ctypes.c_void_p * len(pointers))(*pointers)
        getattr(self.library, f"{name}_{suffix}")(
            ctypes.c_void_p(x), ctypes.c_void_p(y), ctypes.c_int64(count),
            ctypes.c_void_p(reference), candidates, len(pointers), verdicts,
        )  # fmt: skip
        return dict(zip(self.builds, verdicts, strict=True))


# --- Samples ------------------------------------------------------------------------------------


def breakpoints() -> Array:
    """Return where functions change their formula, their branch or the range of a reduction."""
    log2, turns = np.log(2), np.arange(1, 400) * np.pi / 4
    powers = [126, 127, 127.5, 128, 129, 148, 149, 150, 1021, 1022, 1023, 1024, 1073, 1074, 1075]
    plain = [0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3, 4.5, 9, 10, 11, 17, 20, 28, 40, 64, 90, 105]
    plain += [711, 746, 1e5, 1e6, np.e, 1 / np.e, 1 + np.sqrt(2), np.sqrt(2) - 1, np.log(3) / 2]
    limits = [2.0**n for n in (22, 23, 24, 30, 51, 52, 53, 60, 63, 64)]
    parts = [np.arange(1, 400) * log2 / 32, np.arange(1, 400) * log2 / 2, log2 * np.array(powers)]
    return np.concatenate([plain, limits, turns, *parts])


def samples(dtype: Any) -> Array:
    """Return about a million numbers in ascending order, the two zeros and a NaN among them.

    All exponents and signs evenly, both sides of every power of two and of every breakpoint by runs
    of neighbours, the usual ranges densely, the ends of the type, multiples of a quarter turn.
    """
    rng = np.random.default_rng(20260)
    info = np.finfo(dtype)
    bits = {4: np.uint32, 8: np.uint64}[info.dtype.itemsize]
    powers = np.arange(2 ** (info.bits - 1 - info.nmant), dtype=bits) << bits(info.nmant)
    each = rng.integers(0, 2**info.nmant, (powers.size, 256_000 // powers.size)).astype(bits)
    with np.errstate(over="ignore"):
        near = breakpoints().astype(dtype).view(bits)
    ranges = [rng.uniform(0, s, 20_000) for s in (0.5, 1, 2, 5, 10, 30, 100, 750)]
    close = 2.0 ** -rng.uniform(0, info.nmant + 1, (2, 20_000))
    turns = rng.integers(0, 60_000, 20_000) * (np.pi / 4)
    ends = np.array([0, info.smallest_subnormal, info.tiny, info.max, np.inf, np.nan])
    runs = [
        (powers[:, None] | each).ravel(),
        (powers[:, None] + np.arange(-3, 4).astype(bits)).ravel(),
        (near[:, None] + np.arange(-32, 32).astype(bits)).ravel(),
    ]
    parts = [r.view(dtype) for r in runs]
    with np.errstate(over="ignore"):
        parts += [np.asarray(p, dtype) for p in (*ranges, 1 - close[0], 1 + close[1], turns, ends)]
    x = np.concatenate(parts)
    x = np.unique(np.concatenate([x, -x]).view(bits)).view(dtype)
    return x[np.lexsort((~np.signbit(x), x))]


def pairs(dtype: Any) -> tuple[Array, Array]:
    """Return the arguments of functions of two: all pairs of special values, and random ones."""
    rng = np.random.default_rng(5)
    info = np.finfo(dtype)
    special = [0, 0.5, 1, 2, 3, 2.0**24 + 1, 2.0**30 + 1, 2.0**53, np.inf, np.nan]
    special = np.array([*special, info.max, info.tiny, info.smallest_subnormal, info.eps], dtype)
    x, y = np.meshgrid(*[np.concatenate([special, -special])] * 2)
    n = 100_000
    size = 2.0 ** rng.uniform(-30, 30, (2, n)) * rng.choice([-1, 1], (2, n))
    tiny = 2.0 ** rng.uniform(np.log2(info.smallest_subnormal), info.maxexp - 1, (2, n))
    near_one = 1 + rng.normal(size=n) * 2.0 ** -rng.uniform(0, info.nmant, n)
    wide = rng.normal(size=n) * 2.0 ** rng.uniform(-5, info.nmant, n)
    whole = np.round(rng.normal(size=n) * 5)
    # exponents that bring the power near to where it overflows or vanishes
    ends = rng.choice([info.minexp - info.nmant, info.minexp, info.maxexp], n)
    with np.errstate(all="ignore"):
        edge = (ends + rng.normal(size=n)) / np.log2(abs(size[0]))
    first = [x.ravel(), size[0], abs(size[0]), rng.uniform(0, 2, n), size[0], tiny[0]]
    second = [y.ravel(), size[1], rng.normal(size=n) * 4, size[1], whole, tiny[1]]
    first += [near_one, tiny[0], abs(size[0])]
    second += [wide, rng.normal(size=n), edge]
    with np.errstate(over="ignore"):
        return tuple(np.concatenate([np.asarray(p, dtype) for p in ps]) for ps in (first, second))


# --- Results ------------------------------------------------------------------------------------


def measure(judge: Judge, name: str, dtype: Any, sampled: bool, fast: bool) -> dict[str, Any]:
    """Return the line of a function: the worst of all builds."""
    single, double, fall = documented()[name]
    kind = np.dtype(dtype).name
    if name in TWO:
        arguments = pairs(dtype)
        count, verdicts = arguments[0].size, judge(name, *arguments)
    elif kind == "float32" and not sampled:
        count, verdicts = 2**32, judge.sweep(name, 0, 2**32, fast)
    else:
        x = samples(dtype)
        count, verdicts = x.size, judge(name, x)
    build, worst = max(verdicts.items(), key=lambda item: item[1].error)
    falls = max(verdicts.values(), key=lambda v: (v.fall, v.falls))
    at = [worst.at, worst.at_y] if name in TWO else [worst.at]
    library = "simd.h in float64" if fast and count == 2**32 else "C library in a wider type"
    return {
        "experiment": "accuracy",
        "case": name,
        "dtype": kind,
        "arguments": count,
        "reference": library,
        "value": round(worst.error, 4),
        "unit": "ulp",
        "limit": single if kind == "float32" else double,
        "at": [float(v) for v in at],
        "build": build,
        "builds": {b: round(v.error, 4) for b, v in verdicts.items()},
        "fall": round(falls.fall, 4),
        "fall_at": falls.fall_at,
        "falls": falls.falls,
        "fall_limit": fall,
        "unlike_c": sum(v.wrong for v in verdicts.values()),
    }


def good(line: dict[str, Any]) -> bool:
    """Whether a function is as its header says."""
    within = line["value"] <= line["limit"] and line["fall"] <= line["fall_limit"]
    return bool(within and not line["unlike_c"])


def told(line: dict[str, Any]) -> str:
    """Return a line for people."""
    at = ", ".join(f"{v:.9g}" for v in line["at"])
    text = f"{line['case']:9} {line['dtype']}  {line['value']:.3f} ulp at {at}"
    text += f", falls by {line['fall']:g} ulp ({line['falls']} times)"
    text += f", unlike C: {line['unlike_c']}"
    return text + ("" if good(line) else "  <- more than its header says")


def latest() -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
    """Yield each function with its last lines by dtype."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for line in harness.results():
        if line["experiment"] == "accuracy":
            found.setdefault(line["case"], {})[line["dtype"]] = line
    for name in documented():
        if name in found:
            yield name, found[name]


def measured_on(lines: list[dict[str, Any]]) -> str:
    """Say on how many arguments functions were measured; those on all floats are named."""
    told = []
    for dtype in ("float32", "float64"):
        of = [line for line in lines if line["dtype"] == dtype]
        counts = sorted({line["arguments"] for line in of} - {2**32})
        if counts:
            told.append(f"{dtype} on {' or '.join(f'{n:,}' for n in counts)} arguments")
        if swept := [f"`{line['case']}`" for line in of if line["arguments"] == 2**32]:
            told.append(f"{', '.join(swept) if counts else dtype} on all 2^32 floats")
    return "; ".join(told)


def render() -> str:
    """Return the README's table."""
    rows = ["| function | float32: ulp | at | float64: ulp | at | falls by | |"]
    rows.append("|---|---:|---|---:|---|---:|---|")
    some = dict(latest())
    for name, lines in some.items():
        if name in EXACT or len(lines) < 2:
            continue
        cells = []
        for dtype in ("float32", "float64"):
            at = ", ".join(f"{v:.6g}" for v in lines[dtype]["at"])
            cells += [f"{lines[dtype]['value']:.2f}", at]
        fall = max(line["fall"] for line in lines.values())
        falls = "" if name in TWO else f"{fall:g}"
        rows.append(f"| `{name}` | {' | '.join(cells)} | {falls} | {NOTES.get(name, '')} |")
    counted = [line for name, lines in some.items() if name not in TWO for line in lines.values()]
    if not counted:
        return "No results yet: `python -m experiments accuracy` makes some."
    exact = ", ".join(f"`{name}`" for name in EXACT)
    isas = sorted({line["machine"]["isa"] for line in counted})
    made = sorted({line["versions"]["compiler"] for line in counted})
    where = ", ".join([*isas, *made])
    text = f"Exact: {exact}. Measured: {measured_on(counted)}; on {where}."
    return "\n".join([*rows, "", text])


def updated(text: str) -> str:
    """Return the README's text with its table as it should be."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{render()}\n{END}{tail}"


def main(arguments: list[str]) -> int:
    """Measure, print and write down; fail if a function is worse than its header says."""
    parser = harness.parser(__doc__, "accuracy")
    parser.add_argument("--sampled", action="store_true", help="a million of the 2^32 floats")
    parser.add_argument("--fast", action="store_true", help="float64 of simd.h as the reference")
    parser.add_argument("--table", action="store_true", help="only bring the README up to date")
    options = parser.parse_args(arguments)
    fine = True
    if not options.table:
        if not compiler():
            print("Expected a C++ compiler, but found none. Name one in CXX.", file=sys.stderr)
            return 2
        names = [name for name in documented() if fnmatch(name, options.case)]
        sampled = options.quick or options.sampled
        judge, context = Judge(), harness.context([])
        for name in names:
            for dtype in (np.float32, np.float64):
                line = measure(judge, name, dtype, sampled, options.fast) | context
                print(told(line), flush=True)
                fine &= good(line)
                if not options.quick:
                    harness.append("accuracy", line)
    if not options.quick:
        before = README.read_text(encoding="utf-8")
        README.write_text(updated(before), encoding="utf-8")
    return 0 if fine else 1
