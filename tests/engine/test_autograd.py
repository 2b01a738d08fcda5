"""Derivatives in PyTorch: of every reduction and operation, of any order, in any nesting."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pytest
from formulas import PARAMS
from recorded import recorded

from georeduce.engine import LazyTensor, Pm, Vi, Vj, autograd
from georeduce.engine.backends._base import Task
from georeduce.engine.errors import ArgumentError, ShapeError
from georeduce.engine.formula import ops as o
from georeduce.engine.formula.expr import Expr, constant
from georeduce.engine.formula.op import Op
from georeduce.engine.formula.ops import OPS
from georeduce.engine.formula.reductions import REDUCTIONS
from georeduce.engine.lazy import apply
from georeduce.engine.methods import reduce

torch: Any = autograd.torch
func: Any = torch.func

BACKENDS = ("openmp",)
ON_CPU = ["numpy", pytest.param("openmp", marks=pytest.mark.compiler)]
M, N, D, K = 4, 5, 2, 3
AT_ONCE = 10
"""Operations in one formula, where they are compiled."""

Formula = Callable[[LazyTensor, LazyTensor, LazyTensor], LazyTensor]


@dataclass(frozen=True)
class Case:
    """A reduction of a formula of rows x, columns y and a number s."""

    reduction: str
    formula: Formula = field(compare=False)
    axis: str = "j"
    weight: Formula | None = field(default=None, compare=False)
    batches: tuple[tuple[int, ...], ...] = ((), ())

    def __str__(self) -> str:
        return f"{self.reduction}-{self.axis}{len(self.batches[0])}"

    def points(self, seed: int = 0) -> list[Any]:
        """Return the tensors to differentiate by."""
        generator = torch.Generator().manual_seed(seed)
        shapes = (*((*b, n, D) for b, n in zip(self.batches, (M, N), strict=True)), ())
        made = [torch.rand(s, generator=generator, dtype=torch.float64) for s in shapes]
        return [(t + 0.1).requires_grad_() for t in made]

    def result(self, backend: str, x: Any, y: Any, s: Any) -> Any:
        """Return the results that have derivatives."""
        x_i, y_j = Vi(x), Vj(y)
        k = K if REDUCTIONS[self.reduction].keep else 0
        w = self.weight(x_i, y_j, Pm(s)) if self.weight else None
        results = reduce(self.formula(x_i, y_j, Pm(s)), self.reduction, self.axis, k, w, backend)
        results = results if isinstance(results, tuple) else (results,)
        return tuple(r for r in results if r.dtype.is_floating_point)


def distance(x: LazyTensor, y: LazyTensor, s: LazyTensor) -> LazyTensor:
    return x.sqdist(y) / s


def vector(x: LazyTensor, y: LazyTensor, s: LazyTensor) -> LazyTensor:
    return (x * s - y).exp() * 0.5 + x * y


def weights(x: LazyTensor, y: LazyTensor, s: LazyTensor) -> LazyTensor:
    return (y * x[0] + s).square()


BATCHES = ((2, 1), (3,))
CASES = [  # the first of a reduction is compiled too
    Case("sum", vector, batches=BATCHES),
    Case("sum", distance),
    Case("sum", vector, "i"),
    Case("sum_kahan", distance, "i"),
    Case("prod", vector),
    Case("logsumexp", vector, "i"),
    Case("logsumexp", distance, "j", weights, BATCHES),
    Case("sumsoftmaxweight", distance, "j", weights),
    Case("min", vector, batches=BATCHES),
    Case("max", vector, "i"),
    Case("min_argmin", distance, "i"),
    Case("max_argmax", vector),
    Case("Kmin", distance, batches=BATCHES),
    Case("Kmin_argKmin", distance, "i"),
]

EMULATED = ("min_argmin", "logsumexp")
"""Second derivatives on the emulator; `test_derivatives.py` has the first ones of all."""
COMPILED = list({(c.reduction, c.weight is None): c for c in reversed(CASES)}.values())


def check_derivatives(f: Callable[..., Any], inputs: list[Any], forward: bool = True) -> None:
    """Assert first and second derivatives, in reverse and in forward mode, by differences."""
    modes = {"fast_mode": True}
    assert torch.autograd.gradcheck(f, inputs, check_forward_ad=forward, **modes)
    assert torch.autograd.gradgradcheck(f, inputs, check_fwd_over_rev=forward, **modes)


def check_case(case: Case, backend: str) -> None:
    check_derivatives(lambda *its: case.result(backend, *its), case.points())


def check_compiled(case: Case, backend: str = "openmp") -> None:
    """Assert derivatives in reverse by x and y, of which there are fewer to compile."""
    x, y, s = case.points()
    check_derivatives(lambda *its: case.result(backend, *its, s.detach()), [x, y], False)


# --- Every operation ----------------------------------------------------------------------------


def differentiable() -> list[Op]:
    """Return the operations with values that are real numbers."""
    return [op for op in OPS.values() if op.kind in ("real", "same") and "index" not in op.args]


def one_of(op: Op, x: Expr, y: Expr, s: Expr) -> Expr:
    """Return an operation on formulas of a pair, whose components are in its domain."""
    low, high = op.domain
    between = (x + y) / 2, (x + constant(1) - y) / 2, s * (x + y) / 4
    args = [constant(low) + constant(high - low) * a for a in between[: len(op.args)]]
    if op.args[0] == "boolean":
        args[0] = o.gt(x, y)
    ways = product((lambda n: n // 2, lambda n: 0), product((False, True), repeat=len(args)))
    for choose, scalar in ways:  # vectors first, where it takes them
        its = [o.take(a, 0, 1, 1) if one else a for a, one in zip(args, scalar, strict=True)]
        params = PARAMS[op.name](choose, its[0].dim) if op.params else ()
        with contextlib.suppress(ShapeError, ArgumentError):
            return o.cast(op(*its, *params), "real")
    raise AssertionError(f"no arguments for {op}")


def sum_of(many: list[Op], backend: str) -> Callable[..., Any]:
    """Return a function of points: the sums of several operations."""

    def formula(*variables: Expr) -> Expr:
        whole = one_of(many[0], *variables)
        for op in many[1:]:
            whole = o.concat(whole, one_of(op, *variables))
        return whole

    def f(x: Any, y: Any, s: Any) -> Any:
        return apply(formula, [Vi(x), Vj(y), Pm(s)]).sum(axis=1, backend=backend)

    return f


ALL = differentiable()
BULK = [ALL[n : n + AT_ONCE] for n in range(0, len(ALL), AT_ONCE)]


def points() -> list[Any]:
    return Case("sum", distance).points(1)


def check_bulk(many: list[Op], backend: str = "openmp") -> None:
    x, y, s = points()
    check_derivatives(lambda *its: sum_of(many, backend)(*its, s.detach()), [x, y], False)


def tasks() -> list[list[Task]]:
    """Return what this module compiles."""

    def everything() -> None:
        for case in COMPILED:
            check_compiled(case, "numpy")
        for many in BULK:
            check_bulk(many, "numpy")

    return [recorded(everything)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_reduction(case: Case) -> None:
    check_case(case, "numpy")


@pytest.mark.compiler
@pytest.mark.parametrize("case", COMPILED, ids=str)
def test_reduction_compiled(case: Case) -> None:
    check_compiled(case)


@pytest.mark.compiler
@pytest.mark.parametrize("case", [c for c in COMPILED if c.reduction in EMULATED], ids=str)
def test_reduction_emulated(case: Case) -> None:
    check_compiled(case, "emulator")


def test_every_reduction_of_reals_is_there() -> None:
    tested = {c.reduction for c in CASES}
    real = {name for name, entry in REDUCTIONS.items() if "real" in entry.result_kinds()}
    assert {name.removesuffix("_weight") for name in real} == tested


@pytest.mark.parametrize("op", ALL, ids=[op.name for op in ALL])
def test_operation(op: Op) -> None:
    check_derivatives(sum_of([op], "numpy"), points())


@pytest.mark.compiler
@pytest.mark.parametrize("many", BULK, ids=[f"{b[0].name}-{b[-1].name}" for b in BULK])
def test_operations_compiled(many: list[Op]) -> None:
    check_bulk(many)
