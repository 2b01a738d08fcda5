"""The emulator runs kernels as a GPU would, and finds what a GPU would punish."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from cases import ALONG_J, FORMS, LONG, VECTORS, WEIGHTED, Case, case_of
from helpers import check

from georeduce.engine import LazyTensor, Vi, Vj
from georeduce.engine.backends import get_backend
from georeduce.engine.backends._base import Task
from georeduce.engine.backends._gpu import plan
from georeduce.engine.backends.emulator import Host, Program
from georeduce.engine.codegen.gpu import LONGEST, preamble
from georeduce.engine.errors import BackendError
from georeduce.engine.formula.reductions import REDUCTIONS

pytestmark = pytest.mark.compiler

# Reverses each 64 numbers by way of shared memory. A fault is planted in one place.
REVERSE = """
GR_ENTRY(64) reverse(float *const *call, int64_t step) {
    using namespace gr;
    GR_SHARED(float, staged, 64);
    const Shared<float> to(staged);
    const Global<float> x(*call);
    const int t = threadIdx.x, n = blockIdx.x * 64;
    WRITE
    BARRIER
    READ
}
"""
GOOD = {
    "WRITE": "to[t] = x[n + t];",
    "BARRIER": "__syncthreads();",
    "READ": "x[n + t] = to[63 - t];",
}
FAULTS = {
    "barrier": (
        {"BARRIER": "if (t == 5) return;\n__syncthreads();"},
        r"block [01]: a barrier is reached by a part of the block only, not by thread \(5, 0\)",
    ),
    "other_barrier": (
        {"BARRIER": "if (t < 32) __syncthreads();\nelse __syncthreads();"},
        "a barrier is reached by a part of the block only",
    ),
    "read_above": (
        {"WRITE": "to[t] = x[n + t + 1];"},
        r"thread \(63, 0\): reads 4 bytes at offset 512 of a global array of 512 bytes",
    ),
    "write_below": (
        {"READ": "x[n + t - 1] = to[63 - t];"},
        "writes 4 bytes at offset -4 of a global array of 512 bytes",
    ),
    "shared_above": (
        {"READ": "x[n + t] = to[64 - t];"},
        r"thread \(0, 0\): reads 4 bytes at offset 256 of a shared array of 256 bytes",
    ),
    "not_written": (
        {"WRITE": "if (t != 9) to[t] = x[n + t];"},
        r"thread \(54, 0\): reads shared memory that was not written",
    ),
    "no_barrier": ({"BARRIER": ""}, "reads shared memory that was not written"),
    "not_aligned": (
        {"WRITE": "to[t] = part<4>(x + 1, n + t);"},
        "accesses a vector that is not aligned",
    ),
}


def launch(parts: dict[str, str], checked: bool = True, blocks: int = 2) -> Any:
    source = preamble() + REVERSE
    for name, line in (GOOD | parts).items():
        source = source.replace(name, line)
    x = np.arange(128, dtype=np.float32)
    host = Host(Program(source, checked))
    call = host.allocate(8)
    host.upload(np.array([host.pointer(x)]), call)
    host.launch("reverse", blocks, (64, 1), host.pointer(call), 0)
    return x


@pytest.mark.parametrize("checked", [False, True])
def test_blocks_threads_and_shared_memory(checked: bool) -> None:
    x = launch({}, checked)
    assert (x == np.arange(128).reshape(2, 64)[:, ::-1].ravel()).all()


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(name: str) -> None:
    parts, message = FAULTS[name]
    with pytest.raises(BackendError, match=message):
        launch(parts)


def test_memory_of_another_block_counts_as_not_written() -> None:
    """What a block finds in shared memory is not what the one before it has left there."""
    parts = {"WRITE": "if (n == 0) to[t] = x[n + t];"}
    with pytest.raises(BackendError, match=r"block 1, .*not written"):
        launch(parts)


def test_a_grid_beyond_the_arrays_is_found() -> None:
    with pytest.raises(BackendError, match=r"block 2, .*outside|block 2, .*offset 512"):
        launch({}, blocks=3)


# --- Generated kernels keep to the rules ---------------------------------------------------------

CHECKED = [
    *(c for c in ALONG_J if c.dtype == "float32"),
    *(c for c in LONG if c.D in (17, 100)),
    *(c for c in LONG if c.D == 784 and c.reduction in ("sum", "argmin", "argKmin", "logsumexp")),
    *WEIGHTED,
    *VECTORS[::3],
    *FORMS[::3],
]


@pytest.fixture(scope="module")
def checked() -> Any:
    emulator = get_backend("emulator")
    emulator.checked = True  # type: ignore[attr-defined]
    for n in range(0, len(CHECKED), 12):
        emulator.prepare([case.task() for case in CHECKED[n : n + 12]])
    emulator.prepare([case.task() for case in UNSTAGED])
    yield emulator
    emulator.checked = False  # type: ignore[attr-defined]


@pytest.mark.parametrize("case", CHECKED, ids=str)
def test_generated_kernels_keep_to_the_rules(
    case: Case, checked: Any, rng: np.random.Generator
) -> None:
    for M, N in ((1, 1), (33, 65), (2, 5000), (5, 0)):
        case.check("emulator", *case.tensors(rng, M, N))
    case.check("emulator", *case.tensors(rng, 7, 70, ((2, 1), (3,))))


# Not even a small tile fits into shared memory: columns are read where they lie.
UNSTAGED = [case_of(name, 2500, "float32") for name in ("sum", "logsumexp", "argKmin")]
UNSTAGED.append(case_of("argmin", 1500, "float64"))


@pytest.mark.parametrize("case", UNSTAGED, ids=str)
def test_points_beyond_shared_memory(case: Case, checked: Any, rng: np.random.Generator) -> None:
    assert not checked.kernel(case.task(), 3).schedule.staged
    for M, N in ((1, 1), (33, 9), (2, 70)):
        case.check("emulator", *case.tensors(rng, M, N))


def test_components_anywhere_in_memory(checked: Any, rng: np.random.Generator) -> None:
    """Strides are no multiples of what is read, or negative, or 0."""
    record = np.dtype([("name", "S2"), ("value", np.float32)])
    odd = np.zeros((20, 3), record)
    odd["value"] = rng.uniform(-1, 1, (20, 3))
    x = odd["value"]
    assert x.strides[1] % x.itemsize
    for y in (x, x[::-2, ::-1], np.broadcast_to(x[0], (9, 3))):
        check(Vi(x).sqdist(Vj(y)), "sum", backend="emulator")


# --- Sizes that take another way -----------------------------------------------------------------


def tensors(rng: np.random.Generator, M: int, N: int, D: int = 3) -> LazyTensor:
    x, y = (rng.uniform(-1, 1, (n, D)).astype(np.float32) for n in (M, N))
    return LazyTensor(x[:, None]).sqdist(LazyTensor(y[None]))


@pytest.mark.parametrize("K", [1, 8, 9, 32, 33, 1024])
@pytest.mark.parametrize("sizes", [(3, 2000), (2, 70_000), (300, 1500)], ids=str)
def test_lists_of_any_length(K: int, sizes: tuple[int, int], rng: np.random.Generator) -> None:
    z = tensors(rng, *sizes)
    for a, b in zip(
        z.Kmin_argKmin(K, axis=1, backend="emulator"),
        z.Kmin_argKmin(K, axis=1, backend="numpy"),
        strict=True,
    ):
        assert a.dtype == b.dtype
        if a.dtype.kind == "f":
            np.testing.assert_allclose(a, b, rtol=8 * np.finfo(a.dtype).eps)
        else:
            assert (a != b).mean() < 1e-3  # neighbours at nearly the same distance


@pytest.mark.parametrize("K", [4, 40])
def test_lists_of_ties_infinities_and_nan(K: int) -> None:
    v = np.array([2, np.inf, np.nan, 1, 1, np.inf, -np.inf, 1] * 40, np.float32)
    z = LazyTensor(np.zeros((2, 1, 1), np.float32)) + LazyTensor(v[None, :, None])
    for k in (K, 319):
        for a, b in zip(
            z.Kmin_argKmin(k, axis=1, backend="emulator"),
            z.Kmin_argKmin(k, axis=1, backend="numpy"),
            strict=True,
        ):
            assert np.array_equal(a, b)


def test_longer_lists_are_refused() -> None:
    z = tensors(np.random.default_rng(0), 2, 2000)
    with pytest.raises(BackendError, match=re.escape('Use backend="openmp"')):
        z.argKmin(LONGEST + 1, axis=1, backend="emulator")


PARTS = [c for c in ALONG_J if c.dtype == "float32" and c.reduction in ("sum", "argmin", "Kmin")]


@pytest.mark.parametrize("case", PARTS, ids=str)
def test_rows_in_parts(
    case: Case, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the states of all rows would take too much memory, launches do a part of the rows."""
    from georeduce.engine.backends import _gpu

    monkeypatch.setattr(_gpu, "STATES_BYTES", 2**12)
    plan.cache_clear()
    try:
        case.check("emulator", *case.tensors(rng, 700, 900), K=3)
        case.check("emulator", *case.tensors(rng, 90, 900, ((3,), (2, 1))), K=3)
        k = get_backend("emulator").kernel(case.task(), 3)  # type: ignore[attr-defined]
        layout = plan(k, 700, 900, 3 * bool(k.listed), 1, (1, 1, 1))
        assert layout.at_once < layout.tasks
    finally:
        plan.cache_clear()


def test_results_are_the_same_for_any_number_of_threads(rng: np.random.Generator) -> None:
    from georeduce.engine import options

    z = tensors(rng, 40, 9000)
    with options(n_threads=1):
        one = (-z).exp().sum(axis=1, backend="emulator")
    with options(n_threads=2):
        two = (-z).exp().sum(axis=1, backend="emulator")
    assert np.array_equal(one, two)


def tasks() -> list[list[Task]]:
    """Return what this module compiles."""
    return [[c.task() for c in PARTS]]


def test_every_reduction_is_checked() -> None:
    assert {c.reduction for c in CHECKED} == set(REDUCTIONS)


# --- Exponentials of pairs ------------------------------------------------------------------------

EXACT = np.float32(1.44269504)
"""The constant of ``fast_exp``."""


def exponentials(x: Any) -> Any:
    """Return what a kernel has for exp(x), one pair each."""
    zero = np.zeros((1, 1), np.float32)
    return (Vi(x[:, None]) + Vj(zero)).exp().sum(axis=1, backend="emulator")[:, 0]


def test_an_exponential_is_as_exact_as_its_documentation_says(rng: np.random.Generator) -> None:
    """The argument's share is measured; that of the instruction is what NVIDIA says of it."""
    x = np.concatenate([rng.uniform(-126 * np.log(2), 88, 10**6), rng.uniform(-1, 1, 10**5)])
    x = x.astype(np.float32)
    exact = np.exp(x.astype(np.float64))
    share = np.abs(exponentials(x) / exact - 1)
    rounding = np.finfo(np.float32).eps / 2
    constant = abs(float(EXACT) * np.log(2) - 1)
    size = np.abs(x.astype(np.float64))
    library = 2 * rounding  # of exp2f, which stands in for the instruction
    assert (share <= size * (rounding + constant) * (1 + rounding) + library).all()
    assert (size * (rounding + constant) <= size * 2.0**-23).all(), "what device.h says"
    assert share.max() > 40 * rounding, "the argument is rounded indeed"


def test_exponentials_beyond_the_range() -> None:
    x = np.array([-np.inf, -88, -87.4, 88.8, np.inf, np.nan], np.float32)
    assert np.array_equal(exponentials(x), [0, 0, 0, np.inf, np.inf, np.nan], equal_nan=True)
