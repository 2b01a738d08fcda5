"""What mixtures hold: a fit in memory above its samples, and one of samples mapped from a file.

Each is measured in a process of its own, as in `budgets`. Samples lie around as many points as
there are components.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass, replace
from typing import Any

from experiments import budgets, harness

Line = dict[str, Any]
ITERATIONS = 2
FIT = """
import json, warnings, numpy
from {module} import GaussianMixture
{held}
M, N, D = {M}, {N}, {D}
rng = numpy.random.default_rng(0)
X = rng.standard_normal((M, D))
for k in range(N):
    X[k::N] += 3 * rng.standard_normal(D)
warnings.simplefilter("ignore")  # so few iterations do not converge
before = held("VmRSS:")
GaussianMixture(N, max_iter={iterations}, random_state=0).fit(X)
print(json.dumps({{"value": held("VmHWM:") - before}}))
"""
MAPPED = """
import json, warnings, numpy
from {module} import GaussianMixture
{held}
M, N, D = {M}, {N}, {D}
rng = numpy.random.default_rng(0)
points = 3 * rng.standard_normal((N, D))
with open({file!r}, "wb") as file:
    for start in range(0, M, 100_000):
        n = min(M - start, 100_000)
        (points[rng.integers(0, N, n)] + rng.standard_normal((n, D))).tofile(file)
X = numpy.memmap({file!r}, float, "r", shape=(M, D))
warnings.simplefilter("ignore")
GaussianMixture(N, max_iter={iterations}, random_state=0).partial_fit(X)
print(json.dumps({{"value": held("VmHWM:")}}))
"""


@dataclass(frozen=True)
class Case:
    """A fit of full covariances in float64.

    Attributes
    ----------
    name : str
        The case's name.
    code : str
        What is run.
    n, K : int
        Samples, components.
    limit : float
        Bytes that it may hold.
    peers : tuple of str
        Whether scikit-learn does it, too.
    D : int
        Features.
    """

    name: str
    code: str
    n: int
    K: int
    limit: float
    peers: tuple[str, ...] = ()
    D: int = 10

    def quick(self) -> Case:
        return replace(self, n=self.n // 50, K=self.K // 10)


CASES = (
    Case("gmm-memory:fit", FIT, 1_000_000, 200, 200e6, ("scikit-learn",)),
    Case("gmm-memory:mapped", MAPPED, 10_000_000, 50, 500e6),
)
MODULES = {harness.OURS: "georeduce.apps.gmm", "scikit-learn": "sklearn.mixture"}


def run(case: Case, write: bool = True) -> Line:
    """Measure a case and return its line."""
    sizes = {"M": case.n, "N": case.K, "D": case.D}
    values = {}
    with tempfile.TemporaryDirectory() as folder:
        how = {"held": harness.HELD, "file": os.path.join(folder, "X"), "iterations": ITERATIONS}
        for name in (harness.OURS, *case.peers):
            code = case.code.format(module=MODULES[name], **how, **sizes)
            values[name] = [budgets.value_of(code)]
    line = budgets.line_of(
        case.name, "bytes", values, "gmm", case.limit, dtype="float64", sizes=sizes
    )
    if write:
        harness.append("gmm", line)
    return line


def is_measured() -> bool:
    """Return whether this system says what a process held at its peak since it began."""
    return sys.platform.startswith("linux")
