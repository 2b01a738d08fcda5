"""Speed on the CPU beside the peers, the targets, and the limits of the machine."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatch
from functools import partial
from typing import Any

import numpy as np
from tqdm import tqdm

from experiments import harness, instructions, machine
from experiments.cases import CASES, DTYPES, FLOAT64_SHARE, FORMS, IN_FLOAT64, IN_INTEGERS, Case
from experiments.problems import Data, rows
from georeduce.engine.errors import NoCompilerWarning

Line = dict[str, Any]
Limits = dict[str, tuple[float, int]]
LIMITS: Limits = {"pykeops": (1.5e9, 1), "numpy": (2e7, 8), "scikit-learn": (3e8, 20)}
"""Pairs that a slow peer gets at most, and the components beyond which it gets fewer: about 1 s.

It is given fewer rows, at least a hundred of them, not fewer columns. All of them work row by row
or in small blocks of rows: a pair cost pykeops within 4 % the same on 100 and on 3,000 rows.
"""
LEAST = 0.1
"""Seconds below which a call is repeated within a round.

A second core of a virtual machine may take 15 milliseconds to wake up after the pause before.
"""
HEADER = (
    f"{'case':14} {'dtype':8} {'seconds':>9} {'spread':>7} {'peer':>13} {'ratio':>7}"
    f" {'target':>7} {'met':>4} {'of peak':>8} {'instructions':>15}"
)


def slice_for(name: str, case: Case, limits: Limits = LIMITS) -> int:
    """Return how many rows a peer is given."""
    pairs, free = limits.get(name, (float("inf"), 1))
    fair = pairs / (case.N * max(case.D, free) / free)
    return int(min(case.M, max(100, fair)))


def contestants(
    case: Case, data: Data, limits: Limits = LIMITS, without: Sequence[str] = ()
) -> Iterator[harness.Contestant]:
    """Yield ours and every peer that is installed."""
    pairs = float(case.M) * case.N
    yield harness.Contestant(harness.OURS, case.problem.ours(data, case.K), pairs)
    for name, call in case.problem.peers(data, case.K):
        if name in without:
            continue
        n = slice_for(name, case, limits)
        yield harness.Contestant(name, partial(call, rows(data, n)), float(n) * case.N)


def data_of(case: Case, dtype: str) -> Data:
    rng = np.random.default_rng(zlib.crc32(case.name.encode()))
    return case.problem.data(case.M, case.N, case.D, dtype, rng)


def shares(line: Line, case: Case, ours: Callable[[], Any], peak: dict[str, float]) -> Line:
    """Return how near a case is to the machine's limits; None for what cannot be told here.

    Bounds in integers do four operations where a fused multiply-add of float32 does two, as often
    (processors with AVX-512 VNNI), and are held to that, in both dtypes.
    """
    dtype = line["dtype"]
    exponential = instructions.exponential(dtype)
    if instructions.is_bounded(ours):
        case = replace(case, form=IN_INTEGERS[case.form])
        peak = {**peak, "fma": 2 * machine.arithmetic("float32")["fma"]}
    found = instructions.found(ours, case.D, FORMS[case.form].instructions)
    flops = needed = share = None
    if exponential is not None or not case.exponentials:
        flops, needed = case.work(exponential or (0.0, 0.0))
        share = round(flops * line["gpairs_per_s"] / peak["fma"], 3)
    told = {
        "form": case.form,
        "flops_per_pair": flops,
        "peak_gflops": peak["fma"],
        "peak_gflops_mixed": peak["mixed"],
        "share_of_peak": share,
        "instructions_per_pair": found,
        "instructions_needed": needed,
    }
    if case.streamed:
        speed = case.bytes(np.dtype(dtype).itemsize) / line["seconds"] / 1e9
        told["copy_gbytes_per_s"] = machine.copying()
        told["share_of_copy"] = round(speed / machine.copying(), 3)
    return told


def target_of(case: Case, dtype: str, line: Line, float32: Line | None) -> float | None:
    """Return what the ratio must be at least.

    In float64 that is a share of what it must be in float32. A peer that stands in for one without
    float64 has no such figure, so that there it is a share of the ratio to it in float32.
    """
    if dtype == "float32" or case.target is None:
        return case.target
    if not any(name in IN_FLOAT64 for name in case.against):
        return round(FLOAT64_SHARE * case.target, 3)
    same = [p for p in (float32 or {}).get("peers", ()) if p["name"] == line.get("peer")]
    return round(FLOAT64_SHARE * same[0]["ratio"], 3) if same else None


def run(
    case: Case,
    dtype: str,
    float32: Line | None = None,
    experiment: str = "cpu",
    machine_too: bool = True,
    limits: Limits = LIMITS,
    without: Sequence[str] = (),
    **how: Any,
) -> Line:
    """Measure a case in a dtype and return its line; `how` is for `harness.compare`."""
    data = data_of(case, dtype)
    everyone = list(contestants(case, data, limits, without))
    if machine_too:
        machine.arithmetic(dtype)

    def more(line: Line) -> Line:
        if machine_too:
            told = shares(line, case, everyone[0].call, machine.arithmetic(dtype))
        else:
            told = {}
        target = target_of(case, dtype, line, float32)
        ratio = line.get("ratio")
        met = None if target is None or ratio is None else ratio >= target
        return {"target": target, "met": met, **told}

    with warnings.catch_warnings():
        # A kernel that did not compile would be measured on the NumPy backend, and be no result.
        warnings.simplefilter("error", NoCompilerWarning)
        return harness.compare(
            experiment,
            case.name,
            everyone,
            sizes={"M": case.M, "N": case.N, "D": case.D, "K": case.K},
            dtype=dtype,
            check=lambda results: case.problem.check(results, data, case.K),
            against=case.peers_in(dtype),
            more=more,
            **{"rounds": (5, 15), "seconds": 6.0, "least": LEAST, **how},
        )


def row(line: Line) -> str:
    """Return a line as a row of the table below `HEADER`."""

    def told(value: Any, form: str) -> str:
        return "-" if value is None else format(value, form)

    copied = line.get("share_of_copy")
    share = told(line.get("share_of_peak"), ".2f") if copied is None else f"copy {copied:.2f}"
    found, needed = line.get("instructions_per_pair"), line.get("instructions_needed")
    met = {None: "", True: "yes", False: "NO"}[line["met"]]
    return (
        f"{line['case']:14} {line['dtype']:8} {line['seconds']:9.4f} {line['spread']:6.1%}"
        f" {line.get('peer', '-'):>13} {told(line.get('ratio'), '.2f'):>7}"
        f" {told(line['target'], '.2f'):>7} {met:>4} {share:>9}"
        f" {told(found, '.1f'):>6} / {told(needed, '.1f'):>6}"
    )


def last_lines(experiment: str) -> dict[tuple[str, str], Line]:
    """Return the last line of every case and dtype."""
    return {
        (line["case"], line["dtype"]): line
        for line in harness.results()
        if line["experiment"] == experiment
    }


def main(arguments: list[str]) -> int:
    """Measure all the cases, or those that were asked for."""
    if (status := harness.with_peers_at_their_best("cpu", arguments)) is not None:
        return status
    options = harness.parser(__doc__, "cpu")
    options.add_argument("--dtype", choices=DTYPES, help="only this one; both if left out")
    asked = options.parse_args(arguments)
    cases = [case for case in CASES if fnmatch(case.name, asked.case)]
    todo = [(case, t) for case in cases for t in DTYPES if asked.dtype in (None, t)]
    known = {} if asked.quick else last_lines("cpu")
    bar = tqdm(todo, unit="case", disable=None)
    bar.write(HEADER)
    for case, dtype in bar:
        bar.set_description(f"{case.name} {dtype}")
        line = run(
            case.quick() if asked.quick else case,
            dtype,
            known.get((case.name, "float32")),
            write=not asked.quick,
            **({"seconds": 1.0, "rounds": (3, 15)} if asked.quick else {}),
        )
        known[case.name, dtype] = line
        bar.write(row(line))
    return 0
