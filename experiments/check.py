"""Whether ratios to the peers still hold: a quick run of the main cases beside the stored ones."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatch
from typing import Any

from experiments import cpu, harness
from experiments.cases import CASES, Case

Line = dict[str, Any]
FALL = 0.3
"""The part of a stored ratio by which a fresh one may be lower: machines are noisy."""
HOW: dict[str, Any] = {"rounds": (3, 9), "seconds": 1.0, "machine_too": False}


def fallen(fresh: Line, stored: Line | None) -> str:
    """Return a sentence if a ratio fell too far, against the peer that the stored one refers to."""
    if stored is None or "ratio" not in stored:
        return ""
    peer = stored["peer"]
    ratio = next((p["ratio"] for p in fresh["peers"] if p["name"] == peer), None)
    if ratio is None or ratio >= (1 - FALL) * stored["ratio"]:
        return ""
    return (
        f"Expected {fresh['case']} to be about {stored['ratio']:.2f} times as fast as {peer},"
        f" but got {ratio:.2f}, lower by {1 - ratio / stored['ratio']:.0%} (at most {FALL:.0%})."
    )


def watched(
    cases: list[Case], stored: dict[tuple[str, str], Line], measure: Callable[[Case], Line]
) -> list[str]:
    """Measure the cases and return what fell; a case that did is measured twice."""
    sentences = []
    for case in cases:
        reference = stored.get((case.name, "float32"))
        sentence, line = "", {}
        for _ in range(2):  # a machine may be slow for a second
            line = measure(case)
            sentence = fallen(line, reference)
            if not sentence:
                break
        known = f"{reference['ratio']:.2f}" if reference else "nothing stored"
        state = "FELL" if sentence else "holds"
        print(
            f"{case.name:16} {line.get('peer', 'no peer'):>14} {line.get('ratio', 0):8.2f}"
            f" (stored: {known}) {state if reference else ''}",
            flush=True,
        )
        sentences += [sentence] if sentence else []
    return sentences


def main(arguments: list[str]) -> int:
    """Compare with the stored ratios, or store new ones with `--update`."""
    if (status := harness.with_peers_at_their_best("check", arguments)) is not None:
        return status
    options = harness.parser(__doc__, "check")
    options.add_argument("--update", action="store_true", help="store the ratios of this run")
    asked = options.parse_args(arguments)
    cases = [c.quick() for c in CASES if c.main and fnmatch(c.name, asked.case)]

    def measure(case: Case) -> Line:
        return cpu.run(case, "float32", experiment="quick", write=asked.update, **HOW)

    stored = {} if asked.update else cpu.last_lines("quick")
    if not (stored or asked.update):
        print("Nothing to compare with: `python -m experiments check --update` stores ratios.")
    machines = {line["machine"]["cpu"] for line in stored.values()}
    if machines - {harness.machine()["cpu"]}:
        print(f"The stored ratios are of another processor: {', '.join(sorted(machines))}.")
    sentences = watched(cases, stored, measure)
    for sentence in sentences:
        print(sentence)
    return 1 if sentences else 0
