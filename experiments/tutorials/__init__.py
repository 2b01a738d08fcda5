"""Lessons that run: `python -m experiments tutorials [NAME]`; figures in out/tutorials/.

Each file here is a lesson of its own, to be read from the top to the bottom. Its `main` computes,
draws a figure, and returns what is to be said about it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from experiments import harness

HERE = Path(__file__).parent
OUT = harness.ROOT / "out" / "tutorials"


def lessons() -> list[str]:
    """Return the names of all lessons: the public files of this folder."""
    return sorted(file.stem for file in HERE.glob("[!_]*.py"))


def main(arguments: list[str]) -> int:
    """Run one lesson, or all of them."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments tutorials", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("name", nargs="?", choices=lessons(), help="a lesson; all by default")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    asked = parser.parse_args(arguments)
    OUT.mkdir(parents=True, exist_ok=True)
    for name in [asked.name] if asked.name else lessons():
        if not (lesson := harness.peer(f"{__name__}.{name}")):
            continue
        title, *_ = (lesson.__doc__ or "").splitlines()
        print(f"{name}: {title}", flush=True)
        start, file = time.perf_counter(), OUT / f"{name}.png"
        for line in lesson.main(file, quick=asked.quick):
            print(f"  {line}", flush=True)
        print(f"  {time.perf_counter() - start:.1f} s, and the figure {file}", flush=True)
    return 0
