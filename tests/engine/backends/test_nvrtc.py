"""NVRTC takes what is generated: CUDA sources compiled as for a GPU, which none of this needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from cases import ALONG_I, ALONG_J, DTYPES, FORMS, LONG, VECTORS, WEIGHTED

from georeduce.engine.backends import _nvrtc, get_backend
from georeduce.engine.backends._base import Task
from georeduce.engine.codegen.gpu import preamble
from georeduce.engine.errors import CompileError
from georeduce.engine.formula.ops import OPS
from georeduce.engine.formula.reductions import REDUCTIONS
from georeduce.engine.methods import build
from tests.engine import test_ops
from tests.engine.codegen import test_golden

pytestmark = pytest.mark.compiles  # none of it is kept

GROUP = 12
ARCHS = ("sm_80", "sm_90", "sm_120")
# Which dtype an operation is tried with alternates: functions have overloads for both.
OPERATIONS = [(name, DTYPES[n % 2]) for n, name in enumerate(OPS)]
CASES = [*ALONG_J, *ALONG_I[::4], *VECTORS[::2], *WEIGHTED[::2], *FORMS, *LONG[::5]]


def groups(items: Sequence[Any]) -> list[Sequence[Any]]:
    return [items[n : n + GROUP] for n in range(0, len(items), GROUP)]


def compile_together(nvrtc: Any, tasks: Sequence[Task], arch: str, sparse: bool = False) -> bytes:
    """Compile the kernels of tasks, with lists in registers and in memory, as one source."""
    kernel = get_backend("cuda").kernel  # type: ignore[attr-defined]
    sources: dict[str, None] = {}
    for task in tasks:
        for K in (8, 100) if task.entry.keep else (0,):
            sources[kernel(task, K, sparse).source] = None
    options = (f"-arch={arch}", *_nvrtc.OPTIONS)
    return _nvrtc.compiled(nvrtc, preamble() + "\n".join(sources), options)[0]


@pytest.mark.parametrize("arch", ARCHS)
def test_golden_sources_are_compiled(arch: str, nvrtc: Any) -> None:
    code = compile_together(nvrtc, [test_golden.task(name) for name in test_golden.KERNELS], arch)
    assert code.startswith(b"\x7fELF")


@pytest.mark.parametrize("group", groups(OPERATIONS), ids=lambda g: f"{g[0][0]}-to-{g[-1][0]}")
def test_operations_are_compiled(group: Sequence[tuple[str, str]], nvrtc: Any) -> None:
    tasks = [build(test_ops.tensor(*one, False), "sum", "j")[0] for one in group]
    assert b".target sm_80" in compile_together(nvrtc, tasks, "compute_80")


@pytest.mark.parametrize("group", groups(CASES), ids=lambda g: f"{g[0]}-to-{g[-1]}")
def test_reductions_and_forms_are_compiled(group: Sequence[Any], nvrtc: Any) -> None:
    tasks = [case.task() for case in group]
    assert b".target sm_80" in compile_together(nvrtc, tasks, "compute_80")


@pytest.mark.parametrize("group", groups([*ALONG_J[::2], *FORMS[::4]]), ids=lambda g: f"{g[0]}")
def test_kernels_with_ranges_are_compiled(group: Sequence[Any], nvrtc: Any) -> None:
    tasks = [case.task() for case in group]
    assert b".target sm_80" in compile_together(nvrtc, tasks, "compute_80", sparse=True)


def test_every_reduction_is_compiled() -> None:
    assert {case.reduction for case in CASES} == set(REDUCTIONS)


def test_a_device_that_nvrtc_does_not_know_gets_ptx(nvrtc: Any) -> None:
    newest = max(nvrtc.getSupportedArchs())
    assert _nvrtc.target(nvrtc, f"sm_{newest}") == f"sm_{newest}"
    assert _nvrtc.target(nvrtc, f"sm_{newest + 1}") == f"compute_{newest}"


def test_errors_are_shown_with_their_line(nvrtc: Any) -> None:
    with pytest.raises(CompileError, match=r'kernel.cu\(1\): error: .*"ex3" is undefined'):
        _nvrtc.compiled(nvrtc, "__device__ float f() { return ex3; }", ("-arch=sm_90",))


def test_subnormal_numbers_are_kept(nvrtc: Any) -> None:
    """No option flushes them to zero, nor makes functions inexact."""
    z = np.float32(2) * test_golden.tensors("gaussian_sum")[0]
    task = build(z.sqrt(), "sum", "j")[0]
    text = compile_together(nvrtc, [task], "compute_90").decode()
    assert "sqrt.rn.f32" in text
    assert {line.split()[0] for line in text.splitlines() if ".ftz" in line} == {
        "ex2.approx.ftz.f32"
    }
