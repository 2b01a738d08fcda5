"""Whether a pair costs the same however many there are: time and memory as columns grow.

Each size is measured in a process of its own, as in `budgets`, so that the peak of its memory is
its own too.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from fnmatch import fnmatch
from typing import Any

from tqdm import tqdm

from experiments import harness

Line = dict[str, Any]
COLUMNS = (10_000, 30_000, 100_000, 300_000, 1_000_000)
ROWS = 2000
KINDS = {
    "sum-D3": (3, "(-x_i.sqdist(y_j)).exp() @ b"),
    "10nn-D10": (10, "x_i.sqdist(y_j).Kmin_argKmin(10, axis=1)"),
}
FLAT = 1.2
"""The slowest pair may cost this many times what the fastest does."""
SPARE = 16e6
"""Bytes by which memory above the data may vary: stacks, pools and pages that were touched."""
CODE = """
import json, math, time, numpy
from georeduce.engine import LazyTensor
{held}M, N, D = {M}, {N}, {D}
rng = numpy.random.default_rng(0)
x, y = rng.random((M, D), dtype="float32"), rng.random((N, D), dtype="float32")
b = rng.random((N, 1), dtype="float32")
def call(x, y, b):
    x_i, y_j = LazyTensor(x[:, None, :]), LazyTensor(y[None, :, :])
    return {what}
call(x[:20], y[:2000], b[:2000])  # compiled or loaded, and threads started
before = held("VmRSS:")
call(x, y, b)
peak = held("VmHWM:") - before
def clock(times):
    start = time.perf_counter()
    for _ in range(times):
        call(x, y, b)
    return (time.perf_counter() - start) / times
times = max(1, math.ceil({least} / clock(1)))
rounds = [clock(times) for _ in range({rounds})]
print(json.dumps({{"rounds": rounds, "peak": peak, "data": y.nbytes + b.nbytes}}))
"""


def measured(kind: str, N: int, M: int = ROWS, rounds: int = 7, least: float = 0.05) -> Line:
    """Return seconds of each round, the peak of memory, and the bytes of a copy of the data."""
    D, what = KINDS[kind]
    code = CODE.format(held=harness.HELD, M=M, N=N, D=D, what=what, rounds=rounds, least=least)
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=harness.ROOT, env=os.environ
    )
    found: Line = json.loads(done.stdout.splitlines()[-1])
    return found


def flat(lines: list[Line]) -> tuple[float, float]:
    """Return the slowest pair over the fastest, and the largest memory less the smallest."""
    speeds = [line["gpairs_per_s"] for line in lines]
    above = [line["above_data_bytes"] for line in lines]
    return max(speeds) / min(speeds), max(above) - min(above)


def main(arguments: list[str]) -> int:
    """Measure all the sizes, of all kinds or those that were asked for."""
    asked = harness.parser(__doc__, "growth").parse_args(arguments)
    if not sys.platform.startswith("linux"):
        print("Nothing is measured: only Linux says what a process held at its peak.")
        return 0
    kinds = [kind for kind in KINDS if fnmatch(kind, asked.case)]
    columns = COLUMNS[:2] if asked.quick else COLUMNS
    bar = tqdm([(kind, N) for kind in kinds for N in columns], unit="size", disable=None)
    lines: dict[str, list[Line]] = {}
    for kind, N in bar:
        bar.set_description(f"{kind} {N:,}")
        found = measured(kind, N, **({"rounds": 2, "M": 200} if asked.quick else {}))
        seconds = statistics.median(found["rounds"])
        M = 200 if asked.quick else ROWS
        line = {
            "experiment": "growth",
            "case": f"{kind}-N{N}",
            **harness.context([]),
            "sizes": {"M": M, "N": N, "D": KINDS[kind][0]},
            "dtype": "float32",
            "seconds": float(f"{seconds:.5g}"),
            "rounds": len(found["rounds"]),
            "pairs": float(M) * N,
            "gpairs_per_s": float(f"{M * N / seconds / 1e9:.4g}"),
            "peak_bytes": found["peak"],
            "data_bytes": found["data"],
            # The columns are packed for the call: one copy of the data, which is not counted
            "above_data_bytes": max(0, found["peak"] - found["data"]),
            "peers": [],
        }
        lines.setdefault(kind, []).append(line)
        if not asked.quick:
            harness.append("growth", line)
        cost = f"{seconds / (M * N) * 1e12:.1f} ps a pair"
        bar.write(
            f"{line['case']:20} {cost:>18}, memory {found['peak'] / 1e6:6.1f} MB,"
            f" above a copy of the data {line['above_data_bytes'] / 1e6:5.1f} MB"
        )
    for kind, of in lines.items():
        time_ratio, memory = flat(of)
        word = "flat" if time_ratio <= FLAT and memory <= SPARE else "NOT flat"
        bar.write(
            f"{kind}: {word}: slowest pair {time_ratio:.2f} times the fastest (at most {FLAT}),"
            f" memory within {memory / 1e6:.1f} MB (at most {SPARE / 1e6:.0f})"
        )
    return 0
