"""What the benchmarks find out about the machine: its peaks, and the instructions of a kernel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from experiments import cpu, instructions, machine
from experiments.cases import CASES, DTYPES, FORMS, Case
from experiments.problems import Neighbours

NEAR = Case("10nn-D3", Neighbours(), 60, 400, 3, 10)


@pytest.mark.compiler
@pytest.mark.parametrize("dtype", DTYPES)
def test_peaks(dtype: str) -> None:
    peaks = machine.arithmetic(dtype, 100_000, times=3)
    assert min(peaks.values()) > 0
    again = machine.arithmetic(dtype, 10_000, times=1)
    assert all(again[kind] >= peaks[kind] for kind in peaks)  # the best seen is kept


LISTING = """
0000000000001000 <kernel>:
    1000:	vxorps %zmm0,%zmm0,%zmm0
    1004:	mov    $0x5,%eax
    1008:	vmovaps (%rdi),%zmm1
    100c:	vsubps %zmm1,%zmm2,%zmm3
    1010:	vfmadd231ps %zmm3,%zmm3,%zmm0
    1014:	vsubps %zmm1,%zmm4,%zmm5
    1018:	vfmadd231ps %zmm5,%zmm5,%zmm6
    101c:	dec    %eax
    1020:	jne    1008 <kernel+0x8>
    1024:	vcmpltps %zmm7,%zmm0,%k1
    1028:	kortestw %k1,%k1
    102c:	jne    1040 <kernel+0x40>
    1030:	cmp    %rdi,%rsi
    1034:	jne    1000 <kernel>
    1038:	ret
    1040:	vaddps %zmm8,%zmm8,%zmm8
    1044:	jmp    1030 <kernel+0x30>
"""


def test_instructions_on_the_way_of_a_pair() -> None:
    code = instructions.Code(
        instructions.functions(LISTING), instructions.re.compile(instructions.REGISTERS[64])
    )
    graph = code.functions["kernel"]
    assert sorted(graph) == [0x1000, 0x1008, 0x1024, 0x1030, 0x1038, 0x1040]
    # A tile of two: 2 + 2 arithmetic and a load for each component, of which there are 10; before
    # it one, after it a comparison and a test. The rare way through 0x1040 does not count.
    assert instructions.per_pair(code, 2, 10, 2) == (10 * 5 + 1 + 2) / 2
    # Half as many rounds where a round does two components.
    assert instructions.per_pair(code, 1, 10, 2) == 5 * 5 + 1 + 2


@pytest.mark.compiler
def test_instructions_of_a_kernel(rng: np.random.Generator) -> None:
    found = {}
    for D in (3, 50):
        case = replace(NEAR, D=D)
        data = cpu.data_of(case, "float32")
        call = case.problem.ours(data, case.K)
        assert instructions.is_bounded(call) == (D == 50)  # few components gain nothing by a bound
        found[D] = instructions.found(call, D, FORMS[case.form].instructions)
    assert instructions.kernels_of(lambda: None) == []
    assert not instructions.is_bounded(lambda: None)
    if None in found.values():
        pytest.skip("machine code cannot be read here: no objdump, or not x86-64")
    # At least one instruction for a component; at most thrice what differences need, and 8 besides.
    assert all(D <= found[D] <= 3 * (2 * D + 1) + 8 for D in found)


def test_work_of_a_case() -> None:
    flops, needed = NEAR.work((14.0, 11.0))
    assert (flops, needed) == (3 * 3, 2 * 3 + 1)
    assert replace(NEAR, form="dot").work((14.0, 11.0)) == (2 * 3, 3 + 1)
    gauss = next(case for case in CASES if case.name == "gauss-D3")
    assert gauss.work((14.0, 11.0)) == (9 + 2 + 14, 6 + 1 + 11)
