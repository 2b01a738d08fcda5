"""What a user waits for besides the work: import, compilation, a call; and memory.

Import, compilation and memory are each measured in processes of their own, in which nothing else
happens. The limits are the design's.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from fnmatch import fnmatch
from typing import Any

from tqdm import tqdm

from experiments import harness

LIMITS = {"import": 0.2, "compile": 1.5, "warm-call": 50e-6, "torch-call": 30e-6, "memory": 300e6}

IMPORT = """
import json, sys, time, numpy
start = time.perf_counter()
import georeduce.engine
print(json.dumps({"value": time.perf_counter() - start}))
"""

# One sum compiled, on points too few to matter.
COMPILE = """
import json, sys, time, numpy
{load}
x = numpy.random.default_rng(0).random((10, 3)).astype("float32")
def call():
    return (-LazyTensor(x[:, None, :]).sqdist(LazyTensor(x[None, :, :]))).exp() @ x[:, :1]
start = time.perf_counter()
call()
first = time.perf_counter() - start
start = time.perf_counter()
call()
print()
print(json.dumps({{"value": first - (time.perf_counter() - start)}}))
"""

WARM = """
import json, statistics, time, numpy
{load}
x = numpy.random.default_rng(0).random((10, 3)).astype("float32")
b = x[:, :1].copy()
def call():
    return (-LazyTensor(x[:, None, :]).sqdist(LazyTensor(x[None, :, :]))).exp() @ b
def rounds():
    for _ in range(25):
        start = time.perf_counter()
        for _ in range(200):
            call()
        yield (time.perf_counter() - start) / 200
call()
print()
print(json.dumps({{"value": statistics.median(rounds())}}))
"""

# What tensors cost above arrays, in turn; where gradients are wanted, of the pass that saves.
TORCH = """
import json, statistics, time, numpy, torch
from georeduce.engine import LazyTensor
x = numpy.random.default_rng(0).random((10, 3)).astype("float32")
b = x[:, :1].copy()
tensors = torch.from_numpy(x).requires_grad_({gradients}), torch.from_numpy(b)
def call(x, b):
    return (-LazyTensor(x[:, None, :]).sqdist(LazyTensor(x[None, :, :]))).exp() @ b
def seconds(*given):
    start = time.perf_counter()
    for _ in range(200):
        call(*given)
    return (time.perf_counter() - start) / 200
call(x, b), call(*tensors)
more = [-seconds(x, b) + seconds(*tensors) for _ in range(25)]
print(json.dumps({{"value": statistics.median(more)}}))
"""

# What the whole process holds, libraries and threads included: now, and at its peak. Not
# `ru_maxrss`, which on Linux starts from the peak of the process that started this one.
MEMORY = """
import json, numpy
from georeduce.engine import LazyTensor
{held}M, N, D = {M}, {N}, {D}
rng = numpy.random.default_rng(0)
x, y = rng.random((M, D), dtype="float32"), rng.random((N, D), dtype="float32")
b = rng.random((N, 1), dtype="float32")
before = held("VmRSS:")
d2 = LazyTensor(x[:, None, :]).sqdist(LazyTensor(y[None, :, :]))
result = {what}
print(json.dumps({{"value": held("VmHWM:") - before}}))
"""
SIZES = {"M": 1_000_000, "N": 1000, "D": 10}
LOADS = {
    harness.OURS: "from georeduce.engine import LazyTensor",
    "pykeops": "import pykeops; pykeops.set_verbose(False); from pykeops.numpy import LazyTensor",
}


def value_of(code: str, **environment: str) -> float:
    """Run code in a fresh interpreter and return the value that its last line tells."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=harness.ROOT,
        env=os.environ | environment,
    )
    return float(json.loads(done.stdout.splitlines()[-1])["value"])


def values_of(code: str, times: int, fresh_cache: bool = False) -> list[float]:
    """Run code several times; on demand, each time with empty folders for compiled code."""
    values = []
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder:
            names = ("GEOREDUCE_CACHE", "KEOPS_CACHE_FOLDER") if fresh_cache else ()
            values.append(value_of(code, **{n: os.path.join(folder, n) for n in names}))
    return values


def line_of(
    case: str,
    unit: str,
    values: dict[str, list[float]],
    experiment: str = "budgets",
    limit: float | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Return the line of a case: the median of each contestant, ours beside its limit."""
    if limit is None:
        limit = LIMITS[case.partition(":")[0]]
    medians = {name: float(f"{statistics.median(v):.4g}") for name, v in values.items()}
    ours = medians.pop(harness.OURS)
    peers = [{"name": n, "value": v, "ratio": round(v / ours, 3)} for n, v in medians.items()]
    return {
        "experiment": experiment,
        "case": case,
        **harness.context(list(values)),
        "value": ours,
        "unit": unit,
        "limit": limit,
        "within": ours <= limit,
        "all": [float(f"{v:.4g}") for v in values[harness.OURS]],
        **more,
        "peers": peers,
    }


def main(arguments: list[str]) -> int:
    """Measure all the budgets, or those that were asked for."""
    asked = harness.parser(__doc__, "budgets").parse_args(arguments)
    loads = {n: load for n, load in LOADS.items() if n == harness.OURS or harness.peer(n)}
    sizes = {"M": 20_000, "N": 100, "D": 10} if asked.quick else SIZES
    times = 1 if asked.quick else 5
    memory = {"memory:sum": "(-d2).exp() @ b", "memory:10nn": "d2.Kmin_argKmin(10, axis=1)"}
    if not sys.platform.startswith("linux"):
        memory = {}  # only Linux says what a process held at its peak since it began
    torch = {"torch-call:plain": False, "torch-call:gradients": True}
    if not harness.peer("torch"):
        torch = {}
    bar = tqdm(
        [c for c in ("import", "compile", "warm-call", *torch, *memory) if fnmatch(c, asked.case)],
        disable=None,
    )
    for case in bar:
        bar.set_description(case)
        if case == "import":
            line = line_of(case, "s", {harness.OURS: values_of(IMPORT, times)})
        elif case == "compile":
            codes = {n: COMPILE.format(load=load) for n, load in loads.items()}
            found = {n: values_of(code, min(times, 3), True) for n, code in codes.items()}
            line = line_of(case, "s", found, dtype="float32", sizes={"M": 10, "N": 10, "D": 3})
        elif case == "warm-call":
            codes = {n: WARM.format(load=load) for n, load in loads.items()}
            found = {n: values_of(code, min(times, 3)) for n, code in codes.items()}
            line = line_of(case, "s", found, dtype="float32", sizes={"M": 10, "N": 10, "D": 3})
        elif case in torch:
            values = values_of(TORCH.format(gradients=torch[case]), min(times, 3))
            line = line_of(case, "s", {harness.OURS: values}, dtype="float32")
            line["versions"] |= harness.versions(["torch"])
        else:
            code = MEMORY.format(held=harness.HELD, what=memory[case], **sizes)
            found = {harness.OURS: values_of(code, min(times, 3))}
            line = line_of(case, "bytes", found, dtype="float32", sizes=sizes)
        if not asked.quick:
            harness.append("budgets", line)
        peers = "".join(f" | {p['name']} {p['value']:.4g}" for p in line["peers"])
        bar.write(f"{case:12} {line['value']:.4g} {line['unit']} (at most {line['limit']}){peers}")
    return 0
