"""Kernels for other processors than the one at hand.

x86: a process of its own, with its own cache, in which ``CXX`` names another processor; AVX2, and
SSE 4.2 alone, which has vectors of 16 bytes and no fused multiply-add. NEON: kernels are compiled
by a cross-compiler into a program that runs in an emulator. `make cross` runs the whole agreement
suite on the former, and on the latter more than the golden sources.
"""

from __future__ import annotations

import functools
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from cases import ALONG_I, ALONG_J, FORMS, LONG, WEIGHTED, Case
from helpers import check

from georeduce.engine.backends import get_backend, openmp
from georeduce.engine.backends._base import Array, Data, Task, empty_results
from georeduce.engine.backends._compiler import _FLAGS, find_compiler
from georeduce.engine.codegen import bound as bounds
from georeduce.engine.codegen.cpu import CpuKernel
from georeduce.engine.codegen.kernels import BOUND_PREAMBLE, PREAMBLE, BoundKernel
from georeduce.engine.formula.reductions import REDUCTIONS
from tests.engine.codegen import test_golden

HERE = Path(__file__).parent
GROUP = 12
TIME_LIMIT_S = 600

LONG_LISTS = [c for c in LONG if c.D == 17 and c.reduction in ("argmin", "argKmin", "Kmin_argKmin")]
# Every reduction in both dtypes, one long vector, lists, and what uses the functions of simd.h:
# among these are bounds of all norms.
SUBSET = [
    *ALONG_J,
    *[c for c in LONG if c.D == 100][::3],
    *LONG_LISTS,
    *FORMS[:6],
    *WEIGHTED[:2],
]


def bounded(task: Task) -> bool:
    """Return whether a task has bounds."""
    return bounds.lower_bound(task.formula, task.reduction) is not None


def agree(cases: Sequence[Case]) -> None:
    """Assert that compiled kernels agree with NumPy; sizes at the borders of 2 to 16 lanes."""
    for n in range(0, len(cases), GROUP):
        get_backend("openmp").prepare([case.task() for case in cases[n : n + GROUP]])
    for case in cases:
        for bounds.FEW_ROWS in (0, 10**9) if bounded(case.task()) else (0,):  # by bounds, or not
            bounds.LIST_WORK = bounds.LEAST_WORK = 0
            rng = np.random.default_rng(len(str(case)))
            for M, N in ((1, 1), (3, 7), (9, 8), (17, 33), (5, 700)):
                case.check("openmp", *case.tensors(rng, M, N))
    case = ALONG_J[0]
    case.check("openmp", *case.tensors(np.random.default_rng(0), 2, 70_000))  # in chunks


# --- x86 --------------------------------------------------------------------------------------

X86 = {
    "x86-64-v3": ("avx2", 32, {"avx2", "fma"}, {"avx512f"}),
    "x86-64-v2": ("sse4_2", 16, {"sse4.2"}, {"avx", "fma"}),
}
"""Name -> what /proc/cpuinfo calls it, bytes of a vector, features, features it must not have."""

CHILD = """
import sys
sys.path[:0] = sys.argv[2:]
from tests.engine.codegen import test_isa
test_isa.agree_as(sys.argv[1])
"""


def agree_as(isa: str) -> None:
    """Run in a process of its own, in which ``CXX`` names the processor."""
    _, width, has, has_not = X86[isa]
    compiler = find_compiler()
    assert compiler is not None
    assert compiler.vector_bytes == width
    assert has <= set(compiler.features)
    assert not has_not & set(compiler.features)
    agree(SUBSET)
    backend = get_backend("openmp")
    for case in SUBSET:
        loaded = backend._loaded  # type: ignore[attr-defined]
        assert loaded[case.task(), False].lanes == width // np.dtype(case.dtype).itemsize
        if bounded(case.task()):
            assert loaded[case.task(), True].lanes == width // 4
    print(f"{len(SUBSET)} kernels agree on {isa}")


@pytest.mark.compiler
@pytest.mark.compiles
@pytest.mark.parametrize("isa", X86)
def test_another_x86_processor(isa: str, tmp_path: Path) -> None:
    command = compiler_for_x86(isa)
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            CHILD,
            isa,
            str(HERE.parents[1]),
            str(HERE.parents[2]),
        ],
        env={**os.environ, "CXX": command, "GEOREDUCE_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_S,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{len(SUBSET)} kernels agree on {isa}\n"


def compiler_for_x86(isa: str) -> str:
    """Return a command that compiles for a processor that this one can play."""
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("needs an x86 processor")
    try:
        here = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        here = []
    if X86[isa][0] not in here:
        pytest.skip(f"needs a processor with {X86[isa][0]}")
    compiler = find_compiler()
    assert compiler is not None
    knows = [*compiler.command, f"-march={isa}", "-E", "-x", "c++", os.devnull]
    if subprocess.run(knows, capture_output=True).returncode:
        pytest.skip(f"{compiler.version} does not know {isa}")
    return f"{compiler.command[0]} -march={isa}"


# --- NEON -------------------------------------------------------------------------------------


@functools.cache
def missing(command: str, package: str) -> str:
    """Return why a tool that these tests run is not there, "" if it is."""
    return "" if shutil.which(command) else f"needs {command} (Debian: {package})"


CROSS = "aarch64-linux-gnu-g++"
EMULATOR = "qemu-aarch64"


def need_cross_tools() -> None:
    why = missing(CROSS, "g++-aarch64-linux-gnu") or missing(EMULATOR, "qemu-user")
    if why:
        pytest.skip(why)


class Foreign:
    """Kernels in a program for another processor, in the place of the backend's own `run`."""

    def __init__(self, folder: Path, source: str, names: Sequence[str]) -> None:
        self.folder = folder
        self.program = folder / "kernels"
        (folder / "kernels.h").write_text(source)
        each = " ".join(f"f({name})" for name in names)
        flags = [f for f in _FLAGS if f not in ("-fPIC", "-shared")]
        places = [f"-I{folder}", f"-I{openmp.HEADERS[0].parent}"]
        macros = ['-DKERNELS="kernels.h"', f"-DEACH(f)={each}"]
        # Static: the emulator then needs no libraries of the other processor's.
        command = [CROSS, *flags, "-fopenmp", "-static", *places, *macros, "-o", self.program]
        done = subprocess.run([*command, HERE / "foreign.cpp"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        self.ran: list[str] = []
        self.threads, self.chunks = 1, 1
        self.proven = 0

    def emulate(self, *words: str | Path) -> int:
        done = subprocess.run(
            [EMULATOR, self.program, *words], capture_output=True, text=True, timeout=TIME_LIMIT_S
        )
        assert not done.stderr, done.stderr
        return done.returncode

    def run(self, task: Task, data: Data) -> tuple[Array, ...]:
        """Return the results of a task without batches, by bounds where there are any."""
        assert data.batch == ()
        return self._run(task, data, bounded(task))

    def _run(self, task: Task, data: Data, by_bounds: bool) -> tuple[Array, ...]:
        kernel = openmp.OpenMPBackend._kernel(task, by_bounds)
        results = empty_results(task, data)
        if kernel.bound is None:
            self.launch(kernel, data, data.K, results)
        else:
            kept = bounds.with_spares(data.K, kernel.bound.dim) if data.K else 0
            with_ball = openmp._with_ball(data, kernel.bound)
            unproven = self.launch(kernel, with_ball, kept, results)
            assert set(unproven) <= {0, 1}
            self.proven += int((unproven == 0).sum())
            rows = unproven != 0
            openmp._again(task, data, results, rows, lambda part: self._run(task, part, False))
        return results

    def launch(
        self, kernel: CpuKernel | BoundKernel, data: Data, K: int, results: tuple[Array, ...]
    ) -> Array:
        """Run a kernel that keeps K columns, fill in the results, and return what is unproven."""
        slots = [np.ascontiguousarray(data.arrays[slot]) for slot, *_ in kernel.slots]
        given, made = self.folder / "arguments", self.folder / "results"
        with open(given, "wb") as file:

            def numbers(*words: int) -> None:
                file.write(np.array(words, np.int64).tobytes())

            numbers(data.M, data.N, data.K, self.threads, self.chunks, min(K, data.N), len(slots))
            for a in slots:
                numbers(*a.shape)
                file.write(a.tobytes())
            numbers(len(results), *(a.nbytes for a in results))
        assert self.emulate(kernel.name, given, made) == 0, kernel.name
        content = made.read_bytes()
        assert len(content) == sum(a.nbytes for a in results) + data.M
        for a in results:
            a[...] = np.frombuffer(content[: a.nbytes], a.dtype).reshape(a.shape)
            content = content[a.nbytes :]
        self.ran.append(kernel.name)
        return np.frombuffer(content, np.uint8)

    def stand_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Answer for the compiled backend."""
        monkeypatch.setattr(get_backend("openmp"), "run", self.run)
        monkeypatch.setattr(get_backend("openmp"), "missing", lambda: "")


def foreign(folder: Path, tasks: Sequence[Task], *texts: str) -> Foreign:
    """Return a program with the kernels of tasks, of which some stand in texts already."""
    kinds = [
        (task, how) for task in tasks for how in ((False, True) if bounded(task) else (False,))
    ]
    kernels = {kernel.name: kernel.source for kernel in map(kernel_of, kinds)}
    sources = [source for source in kernels.values() if not any(source in text for text in texts)]
    return Foreign(folder, "\n".join([PREAMBLE, BOUND_PREAMBLE, *texts, *sources]), list(kernels))


def kernel_of(kind: tuple[Task, bool]) -> CpuKernel | BoundKernel:
    return openmp.OpenMPBackend._kernel(*kind)


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Foreign:
    """Return the golden sources, as they stand in their files, and the other kernel of each."""
    need_cross_tools()
    texts = [(test_golden.FOLDER / f"{name}.cpp").read_text() for name in test_golden.KERNELS]
    tasks = [test_golden.task(name) for name in test_golden.KERNELS]
    return foreign(tmp_path_factory.mktemp("golden"), tasks, *texts)


def golden_names() -> list[str]:
    return sorted(file.stem for file in (HERE / "golden").glob("*.cpp"))


@pytest.mark.compiles
def test_neon_has_vectors_of_16_bytes(golden: Foreign) -> None:
    assert golden.emulate("width") == 16


@pytest.mark.compiles
@pytest.mark.parametrize("name", golden_names())
def test_golden_source_on_neon(name: str, golden: Foreign, monkeypatch: pytest.MonkeyPatch) -> None:
    reduction = test_golden.KERNELS[name][0]
    K = 4 if REDUCTIONS[reduction].keep else 0
    task = test_golden.task(name)
    ways = {(1, 1): ((37, 50), (1, 1), (5, 3)), (2, 1): ((70, 9),), (2, 3): ((3, 1600),)}
    golden.proven = 0
    for by_bounds in (False, True) if bounded(task) else (False,):
        monkeypatch.setattr(golden, "run", functools.partial(golden._run, by_bounds=by_bounds))
        golden.stand_in(monkeypatch)
        kernel = kernel_of((task, by_bounds)).name
        for (golden.threads, golden.chunks), sizes in ways.items():
            golden.ran.clear()
            for M, N in sizes:
                z, weight = test_golden.tensors(name, M, N)
                check(z, reduction, K=K, weight=weight, backend="openmp")
            assert golden.ran.count(kernel) == len(sizes)
    assert (golden.proven > 80) == bounded(task), "of some 120 rows"


@pytest.mark.compiles
@pytest.mark.skipif("GEOREDUCE_CROSS" not in os.environ, reason="`make cross` runs it")
def test_agreement_on_neon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_cross_tools()
    cases = [*ALONG_J, *FORMS, *ALONG_I[::4], *LONG_LISTS]
    program = foreign(tmp_path, [case.task() for case in cases])
    program.stand_in(monkeypatch)
    for case in cases:
        for M, N in ((5, 3), (17, 33)):
            case.check("openmp", *case.tensors(np.random.default_rng(M), M, N))
    assert len(program.ran) >= 2 * len(cases)
