"""How everything here is measured: warmed up, interleaved with the peers, checked, written down.

A *case* has contestants, ours first. Each is called to warm up (the first call is timed apart),
then all are called in turn, round after round, each round begun by another one, so that a slow
minute of the machine hits them alike. What is kept of a contestant is the median and the spread of
its rounds. A case becomes one line of JSON, appended to `experiments/results/NAME.jsonl`.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import gc
import importlib.metadata
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "experiments" / "results"
OURS = "georeduce"
HELD = """\
def held(word):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(word)) * 1024
"""
# Code for processes of their own: the bytes that /proc says are held, now or at the peak.
SPOILERS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""Settings of OpenBLAS that some machines come with, and that slow NumPy and scikit-learn down."""


@dataclass(frozen=True)
class Contestant:
    """Someone who computes a case, or a part of it: `pairs` is how many (i, j) one call visits."""

    name: str
    call: Callable[[], Any]
    pairs: float


@dataclass(frozen=True)
class Timing:
    """Seconds of one contestant: the warm-up call, then the rounds."""

    first: float
    rounds: tuple[float, ...]
    result: Any = field(repr=False, compare=False)

    @property
    def seconds(self) -> float:
        return statistics.median(self.rounds)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, over the median."""
        low, _, high = statistics.quantiles(self.rounds, n=4, method="inclusive")
        return (high - low) / 2 / self.seconds


def clock(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def repeated(call: Callable[[], Any], least: float) -> tuple[Callable[[], Any], int]:
    """Return a call that repeats another until it takes `least` seconds, and how often it does."""
    spent, _ = clock(call)
    times = max(1, math.ceil(least / max(spent, 1e-9))) if least else 1

    def loop() -> Any:
        for _ in range(times - 1):
            call()
        return call()

    return loop, times


def measure(
    contestants: Sequence[Contestant],
    rounds: tuple[int, int] = (3, 15),
    seconds: float = 20.0,
    least: float = 0.0,
    tell: Callable[[str], object] = lambda text: None,
) -> dict[str, Timing]:
    """Time the contestants in turn: at least and at most so many rounds, about so many seconds.

    A call that is shorter than `least` seconds is repeated within a round, and counted by its mean.
    A peer that fails at its first call (pykeops does, without a compiler) is left out.
    """
    firsts, results = {}, {}
    for one in contestants:
        tell(f"{one.name}: first call")
        try:
            firsts[one.name], results[one.name] = clock(one.call)
        except Exception as error:
            if one is contestants[0]:
                raise
            print(f"Without {one.name}, which fails: {error!r}")
    contestants = [one for one in contestants if one.name in firsts]
    calls = {one.name: repeated(one.call, least) if least else (one.call, 1) for one in contestants}
    taken: dict[str, list[float]] = {one.name: [] for one in contestants}
    start = time.perf_counter()
    for done in range(rounds[1]):
        if done >= rounds[0] and time.perf_counter() - start > seconds:
            break
        first = done % len(contestants)
        for one in (*contestants[first:], *contestants[:first]):
            tell(f"{one.name}: round {done + 1}")
            results[one.name] = None  # two results at once would be memory not asked for
            gc.collect()
            time.sleep(0.02)  # threads that spin after their work must not slow the next one
            call, times = calls[one.name]
            spent, results[one.name] = clock(call)
            taken[one.name].append(spent / times)
    return {n: Timing(firsts[n], tuple(rs), results[n]) for n, rs in taken.items()}


def compare(
    experiment: str,
    case: str,
    contestants: Sequence[Contestant],
    *,
    sizes: dict[str, int],
    dtype: str,
    check: Callable[[dict[str, Any]], dict[str, Any]],
    against: Sequence[str] = (),
    more: Callable[[dict[str, Any]], dict[str, Any]] = lambda line: {},
    write: bool = True,
    **how: Any,
) -> dict[str, Any]:
    """Measure a case, check its results, and write its line.

    Parameters
    ----------
    experiment, case : str
        The file below `results/`, and the case's name in it.
    contestants : sequence of Contestant
        Ours first.
    sizes : dict of str to int
        M, N, D and the like.
    dtype : str
        Of the inputs.
    check : callable
        From the results by contestant to figures of accuracy; raises if a result is wrong.
    against : sequence of str
        The peers of which the fastest is the one that `ratio` refers to; by default the second
        contestant.
    more : callable
        From the line so far to what else it is to hold.
    write : bool
        Whether to append the line to the file.
    **how
        For `measure`.
    """
    timings = measure(contestants, **how)
    accuracy = check({name: timing.result for name, timing in timings.items()})
    ours, *peers = (figures(c, timings[c.name]) for c in contestants if c.name in timings)
    for peer in peers:
        peer["ratio"] = round(ours["gpairs_per_s"] / peer["gpairs_per_s"], 3)
    named = [p for p in peers if p["name"] in against] or ([] if against else peers[:1])
    rival = min(named, key=lambda p: p["ratio"], default=None)
    line = {
        "experiment": experiment,
        "case": case,
        **context([one.name for one in contestants]),
        "sizes": sizes,
        "dtype": dtype,
        **{key: value for key, value in ours.items() if key != "name"},
        "accuracy": accuracy,
        **(
            {
                "peer": rival["name"],
                "peer_seconds": rival["seconds"],
                "ratio": rival["ratio"],
            }
            if rival
            else {}
        ),
        "peers": peers,
    }
    line |= more(line)
    if write:
        append(experiment, line)
    return line


def figures(one: Contestant, timing: Timing) -> dict[str, Any]:
    return {
        "name": one.name,
        "seconds": float(f"{timing.seconds:.5g}"),
        "spread": round(timing.spread, 4),
        "rounds": len(timing.rounds),
        "first_call": float(f"{timing.first:.5g}"),
        "pairs": one.pairs,
        "gpairs_per_s": float(f"{one.pairs / timing.seconds / 1e9:.4g}"),
    }


def append(experiment: str, line: dict[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{experiment}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def results() -> Iterator[dict[str, Any]]:
    """Yield every line of every experiment, in the order in which they were measured."""
    for file in sorted(RESULTS.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)


def context(names: Sequence[str]) -> dict[str, Any]:
    """Return when, on what machine and with which versions this is measured."""
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "commit": commit(),
        "machine": machine(),
        "versions": versions(names),
    }


def commit() -> str:
    """Return the commit, with a plus sign if the source differs from it."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(ROOT), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", "engine", "apps", "experiments/*.py")
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def machine() -> dict[str, Any]:
    """Return the processor, how many of its cores this process may use, its widest vectors."""
    info: dict[str, str] = {}
    if (cpuinfo := Path("/proc/cpuinfo")).exists():
        rows = (row.partition(":") for row in cpuinfo.read_text(encoding="utf-8").splitlines())
        info = {key.strip(): value.strip() for key, _, value in rows}
    flags = info.get("flags", info.get("Features", "")).split()
    widest = next((isa for isa in ("avx512f", "avx2", "avx", "sve", "asimd") if isa in flags), "")
    return {
        "cpu": info.get("model name") or platform.processor() or platform.machine(),
        "cores": processors(),
        "threads": threads(),
        "isa": widest or platform.machine(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def processors() -> int:
    """Return how many cores this process may use: what every contestant gets as threads."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads() -> int:
    """Return how many threads our kernels use, which is what the peers find by themselves."""
    from georeduce.engine.backends._threads import thread_count

    return thread_count(None)


def with_peers_at_their_best(experiment: str, arguments: Sequence[str]) -> int | None:
    """Run an experiment anew where this environment would slow a peer down.

    OpenBLAS reads its settings as it is loaded, that is, before any line of an experiment runs.

    Returns
    -------
    int or None
        The exit status; None where nothing was wrong, so that the experiment may go on.
    """
    if not any(name in os.environ for name in SPOILERS):
        return None
    clean = {name: value for name, value in os.environ.items() if name not in SPOILERS}
    command = [sys.executable, "-m", "experiments", experiment, *arguments]
    return subprocess.run(command, cwd=ROOT, env=clean, check=False).returncode


def versions(names: Sequence[str]) -> dict[str, str]:
    from georeduce.engine.config import config

    found = {"python": platform.python_version()}
    for name in (OURS, "numpy", *names):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    compiler = config()["compiler"]
    text = compiler.get("version", compiler) if isinstance(compiler, dict) else compiler
    return found | {"compiler": str(text)}


@functools.cache
def peer(module: str) -> Any | None:
    """Import a peer; None, and a line that says so, if it is not installed or not working."""
    try:
        return importlib.import_module(module)
    except Exception as error:  # an import that compiles, as pykeops's, fails in many ways
        print(f"Without {module}: {error}. pip install 'georeduce[experiments]' brings it.")
        return None


def parser(doc: str | None, experiment: str) -> argparse.ArgumentParser:
    """Return the options that all benchmarks share."""
    made = argparse.ArgumentParser(
        prog=f"python -m experiments {experiment}", description=(doc or "").partition("\n")[0]
    )
    made.add_argument("--quick", action="store_true", help="small sizes; nothing is written down")
    made.add_argument("--case", default="*", help="only cases of this name; may have a *")
    return made


def report(line: dict[str, Any]) -> str:
    """Return a case's line for people."""
    text = f"{line['case']:24} {line['seconds']:9.4f} s {line['gpairs_per_s']:8.3f} Gpairs/s"
    for other in line["peers"]:
        text += f" | {other['name']} {other['gpairs_per_s']:.3f} (x {other['ratio']:.1f})"
    return text
