"""Derivatives of reductions, on every backend: by finite differences of float64 NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from helpers import sum_error
from recorded import recorded
from slopes import Array, assert_slope, slope

from georeduce.engine import LazyTensor, Vi, Vj
from georeduce.engine.backends._base import Task
from georeduce.engine.codegen import ir
from georeduce.engine.codegen.lower import lower
from georeduce.engine.errors import ArgumentError, ShapeError
from georeduce.engine.formula.reductions import REDUCTIONS

M, N, D, E, K = 5, 37, 3, 2, 4
Build = Callable[..., LazyTensor]


@dataclass(frozen=True)
class Case:
    """A reduction of a formula of rows x, columns y, column values b and a parameter p."""

    name: str
    reduction: str
    build: Build = field(compare=False)
    weight: Build | None = field(default=None, compare=False)
    batches: tuple[tuple[int, ...], ...] = ((), (), (), ())

    def __str__(self) -> str:
        return f"{self.reduction}-{self.name}"

    @property
    def n(self) -> int:
        """How many values are kept."""
        return K if REDUCTIONS[self.reduction].keep else 0

    def arrays(self, rng: np.random.Generator) -> list[Array]:
        """Return the arrays of the variables."""
        shapes = ((M, D), (N, D), (N, E), (1, 2))
        lead = self.batches
        return [rng.uniform(-1, 1, (*b, *s)) for b, s in zip(lead, shapes, strict=True)]

    def tensors(self, arrays: list[Array]) -> tuple[list[LazyTensor], LazyTensor, Any]:
        """Return the variables, the formula and the weight."""
        x, y, b, p = arrays
        made = [Vi(x), Vj(y), Vj(b), LazyTensor(p[..., None, :, :])]
        return made, self.build(*made), self.weight and self.weight(*made)

    def result(self, arrays: list[Array], axis: int) -> Array:
        """Return the result, or of several the values, from float64 NumPy."""
        _, e, w = self.tensors(arrays)
        given: list[Any] = [self.n] if self.n else [w] if self.reduction.startswith("sums") else []
        named = {"weight": w} if w is not None and not given else {}
        axis += len(e.batch)
        r = getattr(e, self.reduction)(*given, axis=axis, backend="numpy", **named)
        return r[0] if isinstance(r, tuple) else r


def gauss(x: LazyTensor, y: LazyTensor, b: LazyTensor, p: LazyTensor) -> LazyTensor:
    return (-x.sqdist(y) * p[0]).exp() * b


def scaled(x: LazyTensor, y: LazyTensor, b: LazyTensor, p: LazyTensor) -> LazyTensor:
    return (x - y) * p[1] + b[0] + p[0]


def score(x: LazyTensor, y: LazyTensor, b: LazyTensor, p: LazyTensor) -> LazyTensor:
    return (x | y) * p[0] - b[1] * p[1]


def weights(x: LazyTensor, y: LazyTensor, b: LazyTensor, p: LazyTensor) -> LazyTensor:
    return (b * p + x[0]).exp()


def far(x: LazyTensor, y: LazyTensor, b: LazyTensor, p: LazyTensor) -> LazyTensor:
    return (x - y).norm2() + b[0] * p[0]


BATCHES = ((2, 1), (3,), (1, 3), (2, 1))
CASES = [
    Case("gauss", "sum", gauss),
    Case("scaled", "sum", scaled),
    Case("batches", "sum", gauss, batches=BATCHES),
    Case("only_rows", "sum", lambda x, y, b, p: x.exp() * p[0] + 0 * b[0] + 0 * y[0]),
    Case("scaled", "sum_kahan", scaled),
    Case("factors", "prod", lambda x, y, b, p: 1.5 + 0.3 * (x | y) + 0.1 * b * p),
    Case("score", "logsumexp", score),
    Case("scaled", "logsumexp", scaled),
    Case("batches", "logsumexp", score, batches=BATCHES),
    Case("weighted", "logsumexp", score, weights),
    Case("weighted", "sumsoftmaxweight", score, weights),
    Case("scaled", "min", scaled),
    Case("scaled", "max", scaled),
    Case("far", "min", far),
    Case("far", "min_argmin", far),
    Case("scaled", "max_argmax", scaled),
    Case("far", "Kmin", far),
    Case("far", "Kmin_argKmin", far),
    Case("batches", "Kmin", far, batches=BATCHES),
    Case("batches", "max", scaled, batches=BATCHES),
]


def differentiate(case: Case, rng: np.random.Generator, axis: int, **how: Any) -> tuple[Any, ...]:
    """Return arrays, tangents, the cotangent, and what `vjp` and `jvp` give."""
    arrays = case.arrays(rng)
    tangents = [rng.uniform(-1, 1, a.shape) for a in arrays]
    made, e, w = case.tensors(arrays)
    g = rng.uniform(-1, 1, case.result(arrays, axis).shape)
    axis += len(e.batch)
    back = e.vjp(case.reduction, axis, made, g, weight=w, K=case.n, **how)
    flat = [t.reshape(v.slots[0].shape) for v, t in zip(made, tangents, strict=True)]
    ahead = e.jvp(case.reduction, axis, made, flat, weight=w, K=case.n, **how)
    return arrays, tangents, g, back, ahead


def tasks() -> list[list[Task]]:
    """Return what this module compiles."""
    rng = np.random.default_rng(0)
    return [
        recorded(lambda axis=axis: [differentiate(c, rng, axis, backend="numpy") for c in CASES])
        for axis in (1, 0)
    ]


@pytest.mark.parametrize("axis", [1, 0])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_reduction(case: Case, axis: int, backend: str, rng: np.random.Generator) -> None:
    arrays, tangents, g, back, ahead = differentiate(case, rng, axis, backend=backend)

    def at(h: float) -> Array:
        return case.result([a + h * t for a, t in zip(arrays, tangents, strict=True)], axis)

    expected = slope(at)
    (result, bars), (again, change) = back, ahead
    assert_slope(result, at(0))
    assert_slope(again, at(0))
    assert_slope(change, expected)
    for bar, a in zip(bars, arrays, strict=True):
        assert bar.shape == a.shape
    total = sum((bar * t).sum() for bar, t in zip(bars, tangents, strict=True))
    assert_slope(total, (expected * g).sum(), scale=float(np.abs(expected * g).sum()))


def test_every_reduction_of_reals_has_one() -> None:
    tested = {c.reduction for c in CASES}
    for name, entry in REDUCTIONS.items():
        if "real" in entry.result_kinds():
            assert entry.slopes is not None or entry.picks, name
            assert name.removesuffix("_weight") in tested, name


@pytest.mark.parametrize("zeros", [0, 1, 2])
def test_products_with_zeros(zeros: int, rng: np.random.Generator) -> None:
    """The derivative by a zero is the product of the others; to be divided by it would be NaN."""
    y = rng.uniform(0.5, 1.5, (6, 1))
    y[:zeros] = 0
    x = np.ones((1, 1))
    e = Vi(x) * Vj(y)
    _, (bar,) = e.vjp("prod", 1, [Vj(y)])
    expected = [np.prod(np.delete(y, j)) for j in range(6)]
    np.testing.assert_allclose(bar[:, 0], expected, rtol=sum_error("float64", 6))


def test_float32_stays(rng: np.random.Generator) -> None:
    """Sums of 20,000 terms in float32, beside float64; results in the dtype of the arrays."""
    x, y = rng.uniform(-1, 1, (9, 3)), rng.uniform(-1, 1, (20_000, 3))

    def bars(dtype: str) -> Any:
        x_i, y_j = Vi(x.astype(dtype)), Vj(y.astype(dtype))
        return (-x_i.sqdist(y_j)).exp().vjp("sum", 1, [x_i, y_j])[1]

    for a, b, terms in zip(bars("float32"), bars("float64"), (20_000, 9), strict=True):
        assert a.dtype == np.float32
        error = sum_error("float32", terms) * terms
        np.testing.assert_allclose(a, b, atol=4 * error, rtol=0)


def test_fewer_than_K_values(rng: np.random.Generator) -> None:
    """What was not found is infinite, and moves nothing."""
    x, y = rng.uniform(-1, 1, (4, 3)), rng.uniform(-1, 1, (2, 3))
    x_i, y_j = Vi(x), Vj(y)
    values, (x_bar, y_bar) = x_i.sqdist(y_j).vjp("Kmin", 1, [x_i, y_j], K=3)
    assert np.isinf(values[:, 2]).all()
    np.testing.assert_allclose(x_bar, 2 * (2 * x - y.sum(0)), rtol=1e-12)
    np.testing.assert_allclose(y_bar, 2 * (4 * y - x.sum(0)), rtol=1e-12)


def test_sizes_of_zero() -> None:
    for m, n in ((0, 3), (3, 0)):
        x_i, y_j = Vi(np.ones((m, 2))), Vj(np.ones((n, 2)))
        for name in ("sum", "logsumexp"):
            _, bars = x_i.sqdist(y_j).vjp(name, 1, [x_i, y_j])
            assert [b.shape for b in bars] == [(m, 2), (n, 2)]
            assert not any(b.any() for b in bars)


def test_one_kernel_for_all_gradients_of_an_axis(rng: np.random.Generator) -> None:
    """The exponential is computed once for y and for b."""
    case = CASES[0]
    made, e, _ = case.tensors(case.arrays(rng))
    ran = recorded(lambda: e.vjp("sum", 1, made[1:3], backend="numpy"))
    assert [t.reduction for t in ran] == ["sum", "sum"]
    assert ran[1].formula.dim == D + E
    computed = [s for s in ir.walk(lower(ran[1].formula, None).pair) if isinstance(s, ir.Let)]
    assert [s.op.name for s in computed].count("exp") == 1


def test_formulas_of_tensors(rng: np.random.Generator) -> None:
    x, y = rng.uniform(-1, 1, (4, 3)), rng.uniform(-1, 1, (6, 3))
    x_i, y_j = Vi(x), Vj(y)
    K = (-x_i.sqdist(y_j)).exp()
    r2 = ((x[:, None] - y) ** 2).sum(-1)
    k = np.exp(-r2)
    np.testing.assert_allclose(K.laplacian(x_i).sum(axis=1)[:, 0], ((4 * r2 - 6) * k).sum(1))
    g = rng.uniform(-1, 1, (4, 1))
    expected = (-2 * (x[:, None] - y) * (g * k)[..., None]).sum(1)
    np.testing.assert_allclose(K.grad(x_i, Vi(g)).sum(axis=1), expected)
    t = rng.uniform(-1, 1, (4, 3))
    expected = (-2 * (x[:, None] - y) * k[..., None] * t[:, None]).sum((1, 2))
    np.testing.assert_allclose(K.diff(x_i, Vi(t)).sum(axis=1)[:, 0], expected)
    assert K.grad_matrix(y_j).D == 3
    np.testing.assert_allclose(
        (K * x_i).divergence(x_i).sum(1), (K * (3 - 2 * ((x_i - y_j) | x_i))).sum(1)
    )


def test_errors(rng: np.random.Generator) -> None:
    x_i, y_j = Vi(rng.uniform(size=(4, 3))), Vj(rng.uniform(size=(6, 3)))
    d = x_i.sqdist(y_j)
    with pytest.raises(ArgumentError, match=r"Expected a reduction with derivatives.*'argmin'"):
        d.vjp("argmin", 1, [x_i])
    with pytest.raises(ArgumentError, match=r"Expected a variable, such as Vi"):
        d.vjp("sum", 1, [x_i * 2])
    with pytest.raises(ArgumentError, match=r"Expected a variable, such as Vi.*ndarray"):
        d.grad(np.ones((4, 3)))
    with pytest.raises(ArgumentError, match=r"Expected a variable of sum"):
        d.laplacian(Vi(rng.uniform(size=(4, 3))))
    with pytest.raises(ShapeError, match=r"Expected a cotangent of shape \(4, 1\)"):
        d.vjp("sum", 1, [x_i], np.ones((4, 2)))
    with pytest.raises(ShapeError, match=r"Expected a tangent of shape \(4, 3\)"):
        d.jvp("sum", 1, [x_i], [np.ones((4, 2))])
    with pytest.raises(ArgumentError, match=r"Expected 1 tangents"):
        d.jvp("sum", 1, [x_i], [])
