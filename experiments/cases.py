"""The table of what the CPU engine must reach: cases, sizes, peers, targets, arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from experiments.problems import KernelSum, Neighbours, Problem

DTYPES = ("float32", "float64")
FLOAT64_SHARE = 0.6
"""What float64 must reach, of what float32 must; beside a stand-in, of what float32 does reach."""
IN_FLOAT64 = {"faiss-cpu": "scikit-learn"}
"""Who stands in for a peer that has no float64."""


class Work(NamedTuple):
    """Floating-point operations, and arithmetic instructions on vectors that they need."""

    flops: float
    instructions: float

    def __add__(self, other: object) -> Work:
        assert isinstance(other, Work)
        return Work(self.flops + other.flops, self.instructions + other.instructions)


# What a component costs. A fused multiply-add is two operations and one instruction.
FORMS = {
    "differences": Work(3, 2),  # a difference, and its square added
    "dot": Work(2, 1),  # a product added; the norms start the sum
    "integers": Work(2, 0.5),  # two products added in one instruction
    "absolute integers": Work(2, 1.5),  # two differences, absolute values, a sum of both
    "largest integers": Work(1, 1.5),  # all of them of pairs of components
    "absolute": Work(2, 3),  # a difference, its absolute value, which is no arithmetic, a sum
    "largest": Work(1, 3),  # a difference, its absolute value, a maximum
}
IN_INTEGERS = {
    "differences": "integers",
    "absolute": "absolute integers",
    "largest": "largest integers",
}
# What a pair costs besides, without its exponentials.
TAILS = {
    "sum": Work(2, 1),  # times b_j, added
    "logsumexp": Work(3, 4),  # plus b_j, maximum, minus the maximum, added
    "smallest": Work(0, 1),  # compared with the K-th
    "scaled smallest": Work(2, 3),  # times two factors, compared
    "argmin": Work(0, 3),  # compared, value and index selected
}


@dataclass(frozen=True)
class Case:
    """A problem at a size.

    Attributes
    ----------
    name : str
        As `--case` takes it.
    problem : Problem
        What is computed, by whom, and whether it is right.
    M, N, D, K : int
        Rows, columns (reduced), components, neighbours.
    against : tuple of str
        The ratio is the one to the fastest of these.
    target : float, optional
        What the ratio must be at least, in float32.
    form, tail : str
        How a component and the rest of a pair are computed: `FORMS` and `TAILS`. Where the engine
        dismisses pairs by bounds in integers, `IN_INTEGERS` has what takes the form's place.
    exponentials : int
        Of a pair.
    streamed : bool
        Whether memory is the limit: few rows pass over many columns.
    main : bool
        Whether `make bench-check` watches it.
    """

    name: str
    problem: Problem
    M: int
    N: int
    D: int
    K: int = 0
    against: tuple[str, ...] = ("faiss-cpu",)
    target: float | None = None
    form: str = "differences"
    tail: str = "smallest"
    exponentials: int = 0
    streamed: bool = False
    main: bool = False

    def peers_in(self, dtype: str) -> tuple[str, ...]:
        """Return the peers that the ratio refers to, or who stands in for them."""
        if dtype == "float32":
            return self.against
        return tuple(dict.fromkeys(IN_FLOAT64.get(name, name) for name in self.against))

    def work(self, exponential: tuple[float, float]) -> Work:
        """Return what a pair costs, given an exponential's operations and instructions."""
        of = FORMS[self.form]
        D = self.D + self.D % 2 * ("integers" in self.form)  # two at a time
        total = Work(D * of.flops, D * of.instructions) + TAILS[self.tail]
        return total + Work(*(self.exponentials * part for part in exponential))

    def bytes(self, itemsize: int) -> float:
        """Return what must be read from memory: the columns, once."""
        return self.N * (self.D + (self.tail in ("sum", "logsumexp"))) * itemsize

    def sized(self, M: int, N: int) -> Case:
        """Return the case at smaller sizes: neither more rows nor more columns than these."""
        return replace(self, M=min(self.M, M), N=max(min(self.N, N), self.K + 1))

    def quick(self) -> Case:
        """Return it at a size that takes a fraction of a second, the shape kept."""
        if self.streamed:
            return self.sized(self.M, 200_000)
        return self.sized(100_000 if self.tail == "argmin" else 2000, 10_000)


def _gauss(D: int, target: float, main: bool = False) -> Case:
    return Case(
        f"gauss-D{D}", KernelSum(), 20_000, 20_000, D, against=("pykeops",), target=target,
        tail="sum", exponentials=1, main=main,
    )  # fmt: skip


def _neighbours(D: int, target: float, form: str) -> Case:
    M, N = (2000, 60_000) if D > 200 else (10_000, 100_000)
    return Case(
        f"10nn-D{D}", Neighbours(), M, N, D, 10, target=target, form=form, main=D <= 100,
    )  # fmt: skip


def _by(measure: str, form: str, **more: object) -> Case:
    return Case(f"10nn-{measure}", Neighbours(measure), 10_000, 100_000, **{
        "D": 10, "K": 10, "against": ("pykeops", "scikit-learn", "numpy"), "target": 10,
        "form": form, **more,
    })  # fmt: skip


CASES = (
    _gauss(3, 16, main=True),
    _gauss(10, 20),
    _gauss(50, 25, main=True),
    _gauss(100, 35),
    Case(
        "logsumexp-D3", KernelSum(logarithm=True), 20_000, 20_000, 3, against=("pykeops",),
        target=18, tail="logsumexp", exponentials=1, main=True,
    ),
    _neighbours(3, 20, "differences"),
    _neighbours(10, 10, "differences"),
    _neighbours(50, 1.8, "differences"),
    _neighbours(100, 1.4, "differences"),
    _neighbours(784, 1.05, "differences"),
    _by("cosine", "differences", D=50, against=("faiss-cpu",), target=1.8),
    _by("inner", "dot", D=50, against=("faiss-cpu",), target=1.8),
    _by("manhattan", "absolute", main=True),
    _by("chebyshev", "largest"),
    _by("poincare", "differences", tail="scaled smallest"),
    Case(
        "kmeans-assign", Neighbours(nearest=True), 1_000_000, 1000, 16, 1,
        against=("scikit-learn", "faiss-cpu"), target=1.5, tail="argmin", main=True,
    ),
    Case(
        "small-D3", KernelSum(), 1000, 1000, 3, against=("pykeops", "numpy"), target=2,
        tail="sum", exponentials=1, main=True,
    ),
    Case(
        "few-rows-sum", KernelSum(), 8, 1_000_000, 10, against=("pykeops",), target=8,
        tail="sum", exponentials=1, streamed=True, main=True,
    ),
    Case(
        "few-rows-10nn", Neighbours(), 8, 1_000_000, 10, 10, target=8, streamed=True, main=True,
    ),
    Case("20nn-D10", Neighbours(), 2000, 100_000, 10, 20),
    Case("100nn-D10", Neighbours(), 2000, 100_000, 10, 100),
    Case("1000nn-D10", Neighbours(), 2000, 100_000, 10, 1000),
)  # fmt: skip
