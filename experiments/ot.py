"""Optimal transport: beside its peers, of 100,000 points, colour transfer and matched shapes."""

from __future__ import annotations

import json
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from tqdm import tqdm

from experiments import harness, ot_colours, ot_figure, ot_peers, ot_shapes

PARTS = ("peers", "bunny", "colours", "shapes", "curves")
"""Each may be asked for by name; "curves" draws what "peers" measured last."""


def peers(pattern: str, quick: bool) -> None:
    bar = tqdm([case for case in ot_peers.CASES if fnmatch(case.name, pattern)], disable=None)
    for case in bar:
        how: dict[str, Any] = {"write": False, "rounds": 1} if quick else {}
        line = ot_peers.run(case.quick() if quick else case, tell=bar.set_description, **how)
        bar.write(ot_peers.report(line))


def measured() -> list[Any]:
    """Return the last line of each case that has curves, in the order of the cases."""
    file = harness.RESULTS / "ot.jsonl"
    if not file.exists():
        return []
    lines = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    last = {line["case"]: line for line in lines if "curves" in line}
    return [last[case.name] for case in ot_peers.CASES if case.name in last]


def picture(name: str) -> Path:
    """Return where a figure is put, below a folder that is made."""
    file = harness.ROOT / "out" / name
    file.parent.mkdir(exist_ok=True)
    return file


def told(file: Path) -> str:
    return f"Figure: {file.relative_to(harness.ROOT)}"


def main(arguments: list[str]) -> int:
    """Run all the parts, or those that were asked for."""
    if (status := harness.with_peers_at_their_best("ot", arguments)) is not None:
        return status
    parser = harness.parser(__doc__, "ot")
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}")
    asked = parser.parse_args(arguments)
    if unknown := sorted(set(asked.parts) - set(PARTS)):
        parser.error(f"Expected parts among {', '.join(PARTS)}, but got {', '.join(unknown)}.")
    parts, quick = asked.parts or PARTS, asked.quick
    if "peers" in parts:
        peers(asked.case, quick)
    if "bunny" in parts:
        n = 2000 if quick else ot_shapes.POINTS
        print(ot_shapes.report(ot_shapes.run(n, write=not quick)))
    if "colours" in parts:
        sizes = {"fitted": 500, "step": 8, "write": False} if quick else {}
        file = picture("ot_colours.png")
        print(ot_colours.report(ot_colours.run(file, **sizes)))
        print(told(file))
    if "shapes" in parts:
        ot_shapes.draw(file := picture("ot_shapes.png"), **({"n": 500} if quick else {}))
        print(told(file))
    if "curves" in parts and (lines := measured()):
        ot_figure.draw(lines, file := picture("ot_curves.png"))
        print(told(file))
    return 0
