"""Pairs a second as the dimension grows and as the columns grow, beside the peers."""

from __future__ import annotations

from fnmatch import fnmatch

from tqdm import tqdm

from experiments import cpu, harness
from experiments.cases import Case
from experiments.problems import KernelSum, Neighbours

KINDS = {
    "sum": {"problem": KernelSum(), "tail": "sum", "exponentials": 1, "against": ("pykeops",)},
    "10nn": {"problem": Neighbours(), "K": 10},
}
DIMS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)
COLUMNS = (1000, 3000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
COMPILED = (1, 3, 10, 50, 200, 1000)
"""Dimensions at which pykeops takes part: each is a formula that it compiles for some seconds."""
ROWS, FIXED_N, FIXED_D = 2000, 20_000, {"sum": 3, "10nn": 10}
LIMITS = {"pykeops": (1.5e8, 4), "numpy": (5e6, 8), "scikit-learn": (4e7, 2), "faiss-cpu": (1e9, 1)}


def cases() -> list[Case]:
    """Return both curves of both kinds."""
    made = []
    for kind, how in KINDS.items():
        made += [Case(f"{kind}-over-D-{D}", M=ROWS, N=FIXED_N, D=D, **how) for D in DIMS]
        D = FIXED_D[kind]
        made += [Case(f"{kind}-over-N-{N}", M=ROWS, N=N, D=D, **how) for N in COLUMNS]
    return made


def main(arguments: list[str]) -> int:
    """Measure both curves of both kinds, or the points that were asked for."""
    if (status := harness.with_peers_at_their_best("scaling", arguments)) is not None:
        return status
    asked = harness.parser(__doc__, "scaling").parse_args(arguments)
    bar = tqdm([c for c in cases() if fnmatch(c.name, asked.case)], unit="point", disable=None)
    for case in bar:
        bar.set_description(case.name)
        without = () if case.D in COMPILED else ("pykeops",)
        line = cpu.run(
            case.quick() if asked.quick else case,
            "float32",
            experiment="scaling",
            machine_too=False,
            limits=LIMITS,
            without=without,
            write=not asked.quick,
            rounds=(3, 7),
            seconds=1.0,
        )
        bar.write(harness.report(line))
    return 0
