"""Speed on an NVIDIA GPU beside pykeops, faiss, torch and cuML where they are installed.

The cases are those of the CPU. Every result is compared with float64 before its time is written.
All arrays lie on the GPU before the clock starts, and it stops when the GPU is done.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from typing import Any

import numpy as np

from experiments import harness
from experiments.cases import CASES, DTYPES, Case
from experiments.cpu import data_of
from experiments.problems import Data, KernelSum, Neighbours
from georeduce.engine import LazyTensor
from georeduce.engine.backends import get_backend

BLOCK = 2**28
"""Values of the matrix that torch computes at once."""
Call = Callable[[], Any]


def moved(data: Data, move: Callable[[Any], Any]) -> Data:
    """Return the points elsewhere."""
    return Data(tuple(map(move, data.x)), tuple(map(move, data.y)), move(data.b))


def on_host(result: Any) -> Any:
    """Return a result as NumPy arrays."""
    if isinstance(result, tuple):
        return tuple(map(on_host, result))
    if hasattr(result, "cpu"):
        return result.cpu().numpy()
    return result.get() if hasattr(result, "get") else np.asarray(result)


def ours(case: Case, data: Data, cupy: Any) -> Call:
    there = moved(data, cupy.asarray)

    def call() -> Any:
        result = case.problem.reduced(LazyTensor, there, case.K)
        cupy.cuda.Device().synchronize()
        return result

    return call


def in_blocks(torch: Any, case: Case, data: Data) -> Any:
    """Compute it with torch and the matrix in memory, as many rows at once as fit."""
    (x,), (y,), b = data
    rows = max(1, BLOCK // len(y))
    parts = []
    for block in x.split(rows):
        d2 = torch.cdist(block, y, compute_mode="use_mm_for_euclid_dist") ** 2
        if isinstance(case.problem, Neighbours):
            if case.problem.nearest:
                parts.append((d2.argmin(1, keepdim=True),))
            else:
                parts.append(tuple(d2.topk(case.K, dim=1, largest=False)))
        elif case.problem.logarithm:
            parts.append((torch.logsumexp(b[:, 0] - d2, 1, keepdim=True),))
        else:
            parts.append((torch.exp(-d2) @ b,))
    joined = tuple(torch.cat(p) for p in zip(*parts, strict=True))
    return joined if len(joined) > 1 else joined[0]


def peers(case: Case, data: Data) -> Iterator[tuple[str, Call]]:
    """Yield who is installed, with a call that ends when the GPU is done."""
    problem = case.problem
    plain = isinstance(problem, KernelSum) or getattr(problem, "measure", "") == "euclidean"
    torch = harness.peer("torch")
    if torch is not None and torch.cuda.is_available():
        there = moved(data, lambda a: torch.from_numpy(a).cuda())

        def ended(call: Call) -> Call:
            def timed() -> Any:
                result = call()
                torch.cuda.synchronize()
                return result

            return timed

        if keops := harness.peer("pykeops.torch"):
            yield "pykeops", ended(lambda: problem.reduced(keops.LazyTensor, there, case.K))
        if plain:
            yield "torch", ended(lambda: in_blocks(torch, case, there))
    if not isinstance(problem, Neighbours) or problem.nearest:
        return
    x, y = data.x[0], data.y[0]
    faiss = harness.peer("faiss")
    able = hasattr(faiss, "StandardGpuResources") and y.dtype == np.float32
    if able and problem.of.faiss:
        flat = getattr(faiss, problem.of.faiss)(y.shape[1])
        index = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, flat)
        index.add(y)
        yield "faiss-gpu", lambda: index.search(x, case.K)
    if problem.of.sklearn and (cuml := harness.peer("cuml.neighbors")):
        model = cuml.NearestNeighbors(
            n_neighbors=case.K, algorithm="brute", metric=problem.of.sklearn
        ).fit(y)
        yield "cuml", lambda: tuple(map(np.asarray, model.kneighbors(x)))


def run(case: Case, dtype: str, write: bool = True, **how: Any) -> dict[str, Any]:
    """Measure a case and return its line."""
    cupy = importlib.import_module("cupy")
    data = data_of(case, dtype)
    pairs = float(case.M) * case.N
    everyone = [harness.Contestant(harness.OURS, ours(case, data, cupy), pairs)]
    everyone += [harness.Contestant(name, call, pairs) for name, call in peers(case, data)]

    def check(results: dict[str, Any]) -> dict[str, Any]:
        there = {name: on_host(result) for name, result in results.items()}
        return case.problem.check(there, data, case.K)

    return harness.compare(
        "cuda",
        case.name,
        everyone,
        sizes={"M": case.M, "N": case.N, "D": case.D, "K": case.K},
        dtype=dtype,
        check=check,
        more=lambda line: {"device": device(cupy)},
        write=write,
        **{"rounds": (5, 15), "seconds": 6.0, **how},
    )


def device(cupy: Any) -> str:
    """Return the name of the GPU."""
    name = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"]
    return name.decode() if isinstance(name, bytes) else str(name)


def main(arguments: list[str]) -> int:
    options = harness.parser(__doc__, "cuda")
    options.add_argument("--dtype", choices=DTYPES, help="only this one; both if left out")
    asked = options.parse_args(arguments)
    if why := get_backend("cuda").missing():
        print(why)
        return 1
    for case in CASES:
        for dtype in DTYPES:
            if fnmatch(case.name, asked.case) and asked.dtype in (None, dtype):
                sized = case.quick() if asked.quick else case
                print(harness.report(run(sized, dtype, write=not asked.quick)), flush=True)
    return 0
