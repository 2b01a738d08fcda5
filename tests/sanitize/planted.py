"""Faults planted in the headers of kernels, each run in a fork of a process under a sanitizer.

`python -m sanitize.planted`, in a process started by `sanitizers.Sanitizer.run`, prints as JSON
what became of each: how it ended and what it said. The name "" stands for no fault.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from pathlib import Path

import numpy as np
from sanitize import plugin  # noqa: F401  (acts when imported)
from sanitize.sanitizers import NAME

from georeduce.engine.backends import openmp
from georeduce.engine.methods import reduce

POINTS = "n < end ? n : end - 1"
COLUMNS = "for (int64_t v = 0; v < a.n.column_batches * vectors; v++) {"
STATIC = "#pragma omp for schedule(static)\n            "
CLEAR = "K::clear(state, a.n.kept);"
RUN = "static void run(const Call &a) {"
OVERFLOW = " volatile int most = 2147483647; most = most + (int)a.n.threads;"

BLOCK = "for (int64_t j = 0; j < left; j += L) K::pack_columns("
KEPT = "row_bytes, mine, m * row_bytes);"

OUT_OF_BOUNDS = {
    # what it is -> (a text of the headers, what stands there instead)
    "reads points past the last": (POINTS, "n"),
    "writes columns past the last": (COLUMNS, COLUMNS.replace("v <", "v <=")),
    "clears the state of a row too many": (CLEAR, CLEAR.replace("state", "state + RB * row_bytes")),
    "packs a vector too many of a block": (BLOCK, BLOCK.replace("<", "<=")),
    "keeps the states of rows too many": (KEPT, KEPT.replace("m *", "(m + 9) *")),
}
RACES = {
    "uses columns before all are there": (
        STATIC + COLUMNS,
        STATIC.replace("schedule(static)", "schedule(static) nowait") + COLUMNS,
    ),
    "shares its scratch": ("omp_get_thread_num() * a.scratch_bytes;", "0 * a.scratch_bytes;"),
}
FAULTS = {
    "address": {**OUT_OF_BOUNDS, "overflows an integer": (RUN, RUN + OVERFLOW)},
    "fence": OUT_OF_BOUNDS,
    "thread": RACES,
}


def plant(before: str, after: str) -> None:
    """Let kernels be compiled with headers in which some text is another."""
    folder = Path(tempfile.mkdtemp(dir=os.environ["GEOREDUCE_CACHE"]))
    texts = {header.name: header.read_text() for header in openmp.HEADERS}
    times = sum(text.count(before) for text in texts.values())
    assert times == 1, f"the headers have {times} times: {before}"
    for name, text in texts.items():
        (folder / name).write_text(text.replace(before, after))
    openmp.HEADERS = tuple(folder / header.name for header in openmp.HEADERS)


def work(fault: str) -> None:
    """Run a kernel: on several blocks of rows, and on few rows, whose columns come in chunks."""
    from cases import case_of

    case = case_of("min_argmin", 3, "float32")
    if fault:
        plant(*FAULTS[os.environ[NAME]][fault])
    for M, N in ((1005, 1029), (5, 9 * 1024)):  # neither rows nor columns fill vectors; both do
        x, weight = case.tensors(np.random.default_rng(0), M, N)
        if fault:
            reduce(x, case.reduction, "j", 0, weight, "openmp")
        else:
            case.check("openmp", x, weight)


def ended(fault: str) -> tuple[int, str]:
    """Return how a fork that does the work ends, and what it says."""
    with tempfile.TemporaryFile("w+") as said:
        if not (child := os.fork()):
            os.dup2(said.fileno(), 2)
            status = 77
            try:
                work(fault)
                status = 0
            except BaseException:
                traceback.print_exc()
            sys.stderr.flush()
            os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said.seek(0)
        return status, said.read()


if __name__ == "__main__":
    print(json.dumps({fault: ended(fault) for fault in ("", *FAULTS[os.environ[NAME]])}))
