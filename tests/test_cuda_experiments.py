"""What the experiments on CUDA read from the compiler's output, and that they run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fake_cupy
import pytest

from experiments import cuda, cuda_static, harness
from experiments.cases import CASES

SASS = """
\t.section\t.text.run_kernel_1,"ax",@progbits
.text.run_kernel_1:
        /*0000*/                   LDC R1, c[0x0][0x28] ;
.L_x_2:
        /*0010*/                   LDS.128 R4, [R2] ;
.L_x_1:
        /*0020*/                   FADD R8, R4, -R9 ;
        /*0030*/                   FFMA R8, R8, R8, R3 ;
        /*0040*/                   ISETP.NE.AND P0, PT, R7, RZ, PT ;
        /*0050*/               @P0 BRA `(.L_x_1) ;
        /*0060*/                   MUFU.EX2 R8, R8 ;
        /*0070*/              @!P1 BRA P2, `(.L_x_2) ;
        /*0080*/               @P3 EXIT ;
        /*0090*/                   BRA `(.L_x_2) ;
        /*00a0*/                   EXIT ;
"""
LOG = """ptxas info    : Compiling entry function 'run_kernel_1' for 'sm_90'
ptxas info    : Function properties for run_kernel_1
ptxas         .     16 bytes stack frame, 12 bytes spill stores, 8 bytes spill loads
ptxas info    : Used 80 registers, used 1 barriers, 768 bytes smem
ptxas info    : Compile time = 74.796 ms
ptxas info    : Compiling entry function 'merge_kernel_1' for 'sm_90'
ptxas info    : Function properties for merge_kernel_1
ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 30 registers, used 0 barriers
"""


def test_machine_code_is_read_as_blocks() -> None:
    graph = cuda_static.read_sass(SASS)["run_kernel_1"]
    after = {place: set(block.after) for place, block in graph.items()}
    loop, rest = 0x20, 0x60
    assert after[0x20] == {loop, rest}
    assert after[0x60] == {0x10, 0x80}, "a condition before the goal is one too"
    assert after[0x80] == {0x10}, "an exit of some threads ends nothing"
    code = cuda_static.Sass({"run": graph}, None)  # type: ignore[arg-type]
    assert cuda_static.in_loop(code, graph, 2) == 2
    assert code.arithmetic(graph[loop]) == 2
    # ten components: ten times the loop, and once what is around it on the shortest way
    assert cuda_static.per_pair(code, 1, 10, 2) == 10 * 4 + 2 + 1


def test_resources_are_read() -> None:
    found = cuda_static.read_resources(LOG)
    assert found["run_kernel_1"] == {
        "registers": 80,
        "spill_bytes": 20,
        "stack_bytes": 16,
        "shared_bytes": 768,
    }
    assert found["merge_kernel_1"]["spill_bytes"] == found["merge_kernel_1"]["shared_bytes"] == 0


def test_forty_kernels() -> None:
    assert len(cuda_static.KERNELS) == len(set(map(str, cuda_static.KERNELS))) == 40
    names = {kernel.made().name for kernel in cuda_static.KERNELS}
    assert len(names) == 40


@pytest.mark.parametrize("arch", cuda_static.ARCHS)
def test_kept_figures_are_within_the_limits(arch: str) -> None:
    """The last figures of every kernel, as they are kept."""
    last = {
        line["case"]: line
        for line in harness.results()
        if line["experiment"] == "cuda_static" and line["arch"] == arch
    }
    assert set(last) == set(map(str, cuda_static.KERNELS))
    for name, line in last.items():
        assert line.get("ratio", 0) <= cuda_static.LIMIT, name
        if line["sizes"]["D"] <= 100:
            assert line["spill_bytes_all"] == 0, name


# Which device a kernel is compiled for alternates; `python -m experiments cuda_static` does all.
@pytest.mark.parametrize(
    ("kernel", "arch"),
    [(k, cuda_static.ARCHS[(n + n // 6) % 3]) for n, k in enumerate(cuda_static.KERNELS)],
    ids=str,
)
def test_kernels_are_within_the_limits(kernel: cuda_static.Kernel, arch: str, nvrtc: Any) -> None:
    if cuda_static.disassembler() is None:
        pytest.skip("needs nvdisasm, as in georeduce[nvrtc]")
    line = cuda_static.examine(kernel, arch, nvrtc)
    assert line["registers"] > 0
    assert line["limit"] is None or line["value"] <= line["limit"]
    assert line["spill_bytes_all"] == 0 or kernel.D > 100


@pytest.mark.compiler
@pytest.mark.parametrize("name", ["gauss-D3", "logsumexp-D3", "10nn-D10", "kmeans-assign"])
def test_speed_is_measured_on_a_double(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cupy = fake_cupy.install(monkeypatch)
    monkeypatch.setattr(harness, "peer", lambda module: None)
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    case = next(c for c in CASES if c.name == name).sized(40, 200)
    cuda.run(case, "float32", rounds=(2, 2))
    (line,) = harness.results()
    assert line["experiment"] == "cuda"
    assert line["device"] == "an emulated device"
    assert line["gpairs_per_s"] > 0
    assert cupy.cuda.nvrtc.compiled, "it ran on the double"


def test_without_a_gpu_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_cupy.install(monkeypatch, devices=0)
    assert cuda.main([]) == 1
    assert "an NVIDIA GPU" in capsys.readouterr().out
