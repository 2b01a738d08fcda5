"""No reduction holds an array of size M x N."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import tracemalloc

import numpy as np
import pytest
from cases import ALONG_J, Case

from georeduce.engine.config import options
from georeduce.engine.formula.reductions import REDUCTIONS
from georeduce.engine.methods import reduce

BUDGET = 300e6
"""Bytes above the inputs, for 1,000,000 x 1,000 points of 10 features."""

SCRIPT = """
    import resource, sys
    import numpy as np
    from georeduce.engine import Vi, Vj

    def peak():  # in KiB on Linux, in bytes on macOS
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return used * (1 if sys.platform == "darwin" else 1024)

    rng = np.random.default_rng(0)
    x, y = rng.random((1_000_000, 10), "float32"), rng.random((1_000, 10), "float32")
    d = Vi(x).sqdist(Vj(y))
    few = Vi(x[:2]).sqdist(Vj(y))
    {few}  # compiled before the measurement: the compiler's memory is its own
    before = peak()
    {many}
    print(peak() - before)
"""

CALLS = {
    "sum": "(-{}).exp().sum(axis=1)",
    "neighbours": "{}.Kmin_argKmin(10, axis=1)",
    "columns": "{}.sum(axis=0)",
    "product": "(-{}).exp() @ np.ones((1000, 2), 'float32')",
}


@pytest.mark.slow
@pytest.mark.compiler
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_budget(call: str) -> None:
    pytest.importorskip("resource")
    script = textwrap.dedent(SCRIPT).format(few=call.format("few"), many=call.format("d"))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < BUDGET


CASES = [c for c in ALONG_J if c.dtype == "float32"]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_numpy_keeps_to_its_tiles(case: Case, rng: np.random.Generator) -> None:
    """NumPy reports what it allocates, so its peak is seen exactly."""
    M, N = 2_000, 1_500
    x, weight = case.tensors(rng, M, N)
    K = 5 if REDUCTIONS[case.reduction].keep else 0
    tile = 2**18
    with options(tile_bytes=tile):
        tracemalloc.start()
        try:
            result = reduce(x, case.reduction, "j", K, weight, "numpy")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    results = result if isinstance(result, tuple) else (result,)
    # A reduction of a tile works in float64 and on int64 indices, of which it needs a few at once.
    assert peak < 16 * tile + sum(r.nbytes for r in results)
    assert 16 * tile < M * N * np.dtype("float32").itemsize
