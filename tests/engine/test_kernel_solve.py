"""KernelSolve: linear systems of formulas as strings, against NumPy and `LazyTensor.solve`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from georeduce.engine import (
    ArgumentError,
    DTypeError,
    Genred,
    KernelSolve,
    NotPositiveDefiniteError,
    ShapeError,
    Vi,
    Vj,
    options,
)
from georeduce.engine.formula import tensors
from georeduce.engine.formula.expr import variable
from georeduce.engine.formula.parse import parse_formula

FORMULA = "Exp(-SqDist(x, y) / s) * a"
ALIASES = ["x = Vi(3)", "y = Vj(3)", "a = Vj(2)", "s = Pm(1)"]
M, ALPHA = 30, 0.1


@pytest.fixture(autouse=True)
def numpy_backend() -> Any:
    with options(backend="numpy"):
        yield


def gaussian(x: Any) -> Any:
    return np.exp(-((x[..., :, None, :] - x[..., None, :, :]) ** 2).sum(-1) / 0.2)


def test_solutions(rng: np.random.Generator) -> None:
    x, b = rng.uniform(0, 1, (M, 3)), rng.standard_normal((M, 2))
    solve = KernelSolve(FORMULA, ALIASES, "a", axis=1)
    found = solve(x, x, b, np.array([0.2]), alpha=ALPHA, rtol=1e-12)
    A = gaussian(x) + ALPHA * np.eye(M)
    np.testing.assert_allclose(found, np.linalg.solve(A, b), rtol=1e-9)
    like = (-Vi(x).sqdist(Vj(x)) / 0.2).exp().solve(b, alpha=ALPHA, rtol=1e-12)
    np.testing.assert_allclose(found, like, rtol=1e-9)
    again = solve(x, x, b, np.array([0.2]), alpha=ALPHA, x0=found, maxiter=1)
    np.testing.assert_allclose(again, found)


def test_along_i(rng: np.random.Generator) -> None:
    """The other axis, which is KeOps's default, and the unknown as the first variable."""
    x, b = rng.uniform(0, 1, (M, 3)), rng.standard_normal((M, 1))
    aliases = ["a = Vi(1)", "x = Vi(3)", "y = Vj(3)"]
    solve = KernelSolve("Exp(-SqDist(x, y) * IntInv(5) * IntCst(25)) * a", aliases, "a")
    A = gaussian(x) + ALPHA * np.eye(M)
    found = solve(b, x, x, alpha=ALPHA, eps=1e-12)
    np.testing.assert_allclose(found, np.linalg.solve(A, b), rtol=1e-9)


def test_a_formula_that_mixes_columns(rng: np.random.Generator) -> None:
    """Blocks of 2 x 2 that are not diagonal: columns are one system."""
    x, b = rng.uniform(0, 1, (M, 3)), rng.standard_normal((M, 2))
    block = np.array([[2.0, 1.0], [1.0, 2.0]])
    aliases = ["x = Vi(3)", "y = Vj(3)", "a = Vj(2)", "B = Pm(4)"]
    formula = "Exp(-SqDist(x, y) * IntCst(5)) * MatVecMult(B, a)"
    solve = KernelSolve(formula, aliases, "a", axis=1)
    found = solve(x, x, b, block.ravel(), alpha=ALPHA, rtol=1e-13)
    A = np.kron(gaussian(x), block) + ALPHA * np.eye(2 * M)
    np.testing.assert_allclose(found.ravel(), np.linalg.solve(A, b.ravel()), rtol=1e-9)


def test_batches(rng: np.random.Generator) -> None:
    x, b = rng.uniform(0, 1, (2, M, 3)), rng.standard_normal((M, 2))
    solve = KernelSolve(FORMULA, ALIASES, "a", axis=1)
    found = solve(x, x, b, np.array([0.2]), alpha=ALPHA, rtol=1e-12)
    np.testing.assert_allclose(
        found, np.linalg.solve(gaussian(x) + ALPHA * np.eye(M), b), rtol=1e-9
    )


def test_beside_keops(rng: np.random.Generator) -> None:
    """The formula of its documentation, by the name of its class."""
    x, b = rng.standard_normal((M, 3)), rng.standard_normal((M, 2))
    aliases = ["x = Vi(3)", "y = Vj(3)", "a = Vj(2)"]
    solve = KernelSolve("Exp(-Norm2(x - y)) * a", aliases, "a", axis=1)
    found = solve(x, x, b, alpha=ALPHA, rtol=1e-12)
    A = np.exp(-np.linalg.norm(x[:, None] - x, axis=-1)) + ALPHA * np.eye(M)
    np.testing.assert_allclose(found, np.linalg.solve(A, b), rtol=1e-9)
    assert repr(solve) == f"KernelSolve('Exp(-Norm2(x - y)) * a', {aliases}, 'a', 1)"


X, B, S = np.linspace(0, 1, 12).reshape(4, 3), np.ones((4, 2)), np.ones(1)
MISTAKES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: KernelSolve(FORMULA, ALIASES, "b", 1), ArgumentError, "varinvalias among"),
    (lambda: KernelSolve(FORMULA, ALIASES, "a"), ArgumentError, "a along i, as the sum for axis=0"),
    (lambda: KernelSolve(FORMULA, ALIASES, "y", 1), ShapeError, "a formula of 3 components, as y"),
    (
        lambda: KernelSolve("Exp(-SqDist(x, y)) * a * a", ALIASES[:3], "a", 1),
        ArgumentError,
        "a formula that is linear in a",
    ),
    (lambda: KernelSolve(FORMULA, ALIASES, "a", 2), ArgumentError, "axis=0"),
    (lambda: KernelSolve(FORMULA, ALIASES, "a", 1)(X, X), ArgumentError, "4 arrays, but got 2"),
    (lambda: KernelSolve(FORMULA, ALIASES, "a", 1)(X, X, B), ArgumentError, "4 arrays"),
    (
        lambda: KernelSolve(FORMULA, ALIASES, "a", 1)(X, X, B[:, 0], S),
        ShapeError,
        r"right-hand sides of shape \(\.\.\., n, D\) in the place of a",
    ),
    (lambda: KernelSolve(FORMULA, ALIASES, "a", 1)(X, X, [1.0], S), DTypeError, "right-hand sides"),
    (
        lambda: KernelSolve(FORMULA, ALIASES, "a", 1)(X[:3], X, B, S),
        ShapeError,
        r"a square matrix, for a of shape \(4, 2\)",
    ),
    (
        lambda: KernelSolve("-SqDist(x, y) * a", ALIASES[:3], "a", 1)(X, X, B),
        NotPositiveDefiniteError,
        "a symmetric positive definite matrix",
    ),
]


@pytest.mark.parametrize(("call", "error", "words"), MISTAKES)
def test_what_is_refused(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=f"Expected {words}"):
        call()


def test_complex_numbers_in_strings(rng: np.random.Generator) -> None:
    """KeOps's names of operations on parts in turn."""
    parts = rng.standard_normal((2, 4, 2))
    z, w = (part[:, :1] + 1j * part[:, 1:] for part in parts)
    product = Genred("ComplexMult(z, Conj(w))", ["z = Vi(2)", "w = Vj(2)"], axis=1)
    found = product(*parts).view(np.complex128)
    np.testing.assert_allclose(found, z * w.conj().sum(), rtol=1e-12)


def test_tensors_and_splines_in_strings() -> None:
    x, y, s = (
        variable(axis, dim, n) for n, (axis, dim) in enumerate([("i", 6), ("j", 6), ("p", 1)])
    )
    known = {"x": x, "y": y, "s": s}
    made = tensors.keops_tensordot(x, y, (2, 3), (3, 2), (1,), (0,), (1, 0))
    assert parse_formula("TensorDot(x, y, [2, 3], [3,2], [1], [0], [1, 0])", known) is made
    assert parse_formula("BSpline(x, s, 2)", known) is tensors.bspline(x, s, 2)
    assert parse_formula("SoftDTW_SqDist(x, y, s)", known) is tensors.softdtw_sqdist(x, y, s)
