"""Linear systems by conjugate gradients: against SciPy, and what they say when they cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.linalg
from helpers import Array, eps
from scipy.sparse.linalg import aslinearoperator, cg

from georeduce.engine import (
    ArgumentError,
    ConvergenceWarning,
    DTypeError,
    LazyTensor,
    NotPositiveDefiniteError,
    ShapeError,
    Vi,
    Vj,
    options,
)
from georeduce.engine.backends._base import Task
from georeduce.engine.conjugate_gradients import RTOL, ConjugateGradients
from georeduce.engine.methods import build
from georeduce.engine.solve import solve_in_graph

ALPHA = 0.1
M = 70


def kernel(x: Array) -> LazyTensor:
    return (-Vi(x).sqdist(Vj(x)) / 0.1).exp()


def dense(x: Array, alpha: float = ALPHA) -> Array:
    x = x.astype(np.float64)
    d2 = ((x[..., :, None, :] - x[..., None, :, :]) ** 2).sum(-1)
    return np.exp(-d2 / 0.1) + alpha * np.eye(x.shape[-2])


def tasks() -> list[list[Task]]:
    """Return what this module compiles: one column, two and three, in both dtypes."""
    found = []
    for dtype in ("float32", "float64"):
        for E in (1, 2, 3):
            x, b = np.zeros((2, 3), dtype), np.zeros((2, E), dtype)
            found.append(build(kernel(x) * Vj(b), "sum", "j")[0])
    return [found]


def assert_solved(A: Array, x: Array, b: Array, rtol: float) -> None:
    """Assert that residuals are as small as asked for, and the solution as near as that says."""
    assert x.dtype == b.dtype
    assert x.shape == b.shape
    E = (..., None) if b.ndim == 1 else ...
    x, b = x.astype(np.float64)[E], b.astype(np.float64)[E]
    # the engine's own product is off by some roundings of the terms
    slack = A.shape[-1] * eps(x.dtype) * np.linalg.norm(A, axis=(-2, -1), ord=2)[..., None]
    size = np.linalg.norm(b, axis=-2)
    error = np.linalg.norm(A @ x - b, axis=-2)
    assert (error <= rtol * size * 1.01 + slack * np.linalg.norm(x, axis=-2)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(M,), (M, 1), (M, 3)], ids=str)
def test_solutions(
    dtype: str, shape: tuple[int, ...], backend: str, rng: np.random.Generator
) -> None:
    x = rng.uniform(0, 1, (M, 3)).astype(dtype)
    b = rng.standard_normal(shape).astype(dtype)
    with options(backend=backend):
        found = kernel(x).solve(b, alpha=ALPHA)
    A = dense(x)
    assert_solved(A, found, b, RTOL[dtype] + 100 * M * (dtype == "float32") * eps(dtype))
    exact = scipy.linalg.solve(A, b.astype(np.float64), assume_a="pos")
    # a residual moves the solution by at most the condition's share
    far = np.linalg.norm(found - exact, axis=0) / np.linalg.norm(exact, axis=0)
    assert (far <= 2 * RTOL[dtype] * np.linalg.cond(A)).all()


def test_as_scipys_cg(rng: np.random.Generator) -> None:
    """The same method on the same numbers: as many iterations, but for rounding."""
    x, b = rng.uniform(0, 1, (M, 3)), rng.standard_normal(M)
    steps: list[Any] = []
    theirs: list[Any] = []
    K = kernel(x)
    rtol = RTOL["float64"]
    found = K.solve(b, alpha=ALPHA, rtol=rtol, callback=steps.append)
    A = dense(x)
    exact, failed = cg(aslinearoperator(A), b, rtol=rtol, callback=theirs.append)
    assert failed == 0
    assert abs(len(steps) - len(theirs)) <= 2
    assert steps[-1].shape == (M, 1)
    np.testing.assert_allclose(found, exact, atol=2 * rtol * np.linalg.cond(A))


def test_columns_of_very_different_difficulty(rng: np.random.Generator) -> None:
    """One is solved from the start, one by one step, one is tiny, one is zero."""
    x = rng.uniform(0, 1, (M, 3))
    A = dense(x)
    _, vectors = np.linalg.eigh(A)
    first = vectors[:, -1]
    noise = rng.standard_normal(M)
    b = np.stack([first, 1e-200 * noise, 0 * noise, 1e100 * noise, noise], 1)
    found = kernel(x).solve(b, alpha=ALPHA)
    for column in range(b.shape[1]):
        assert_solved(A, found[:, [column]], b[:, [column]], RTOL["float64"])
    assert (found[:, 2] == 0).all()
    scale = found[:, 1] * 1e200
    np.testing.assert_allclose(scale, found[:, 4], atol=RTOL["float64"] * np.linalg.cond(A))


def test_batches(rng: np.random.Generator) -> None:
    x = rng.uniform(0, 1, (2, M, 3))
    b = rng.standard_normal((M, 2))
    K = kernel(x)
    found = K.solve(b, alpha=ALPHA)
    assert_solved(dense(x), found, np.stack([b, b]), RTOL["float64"])
    np.testing.assert_array_equal(K.solve(b[:, 0], alpha=ALPHA).shape, (2, M))
    one = kernel(x[0]).solve(np.stack([b, -b]), alpha=ALPHA)
    np.testing.assert_allclose(one[1], -one[0])


def test_first_guess_and_preconditioners(rng: np.random.Generator) -> None:
    """An exact guess takes no step, the exact inverse one, and a diagonal fewer than without."""
    x = rng.uniform(0, 1, (M, 3))
    weight = np.exp(rng.uniform(0, 6, (M, 1)))
    K = kernel(x) * Vi(weight) * Vj(weight)
    A = dense(x, 0) * weight * weight[:, 0] + ALPHA * np.eye(M)
    b = rng.standard_normal((M, 2))
    exact = np.linalg.solve(A, b)

    def steps(**how: Any) -> int:
        seen: list[Any] = []
        found = K.solve(b, alpha=ALPHA, maxiter=5000, callback=seen.append, **how)
        assert_solved(A, found, b, RTOL["float64"])
        return len(seen)

    plain = steps()
    assert steps(x0=exact) == 0
    assert steps(x0=exact + 1e-5 * np.abs(exact).max() * rng.standard_normal((M, 2))) < plain
    assert steps(preconditioner=lambda r: np.linalg.solve(A, r)) <= 2
    assert steps(preconditioner=np.diagonal(A).copy()) < plain
    assert steps(preconditioner=np.diagonal(A).copy()[:, None]) < plain


def test_a_right_side_of_keops(rng: np.random.Generator) -> None:
    x, b = rng.uniform(0, 1, (M, 3)), rng.standard_normal((M, 2))
    expected = kernel(x).solve(b, alpha=ALPHA, rtol=1e-3)
    np.testing.assert_array_equal(kernel(x).solve(Vi(b), alpha=ALPHA, eps=1e-3), expected)
    np.testing.assert_array_equal(kernel(x).solve(Vj(b), alpha=ALPHA, eps=1e-3), expected)


def test_vectors_of_torch(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    A = dense(rng.uniform(0, 1, (M, 3)))
    b = rng.standard_normal((M, 2))
    for dtype in (torch.float32, torch.float64):
        there = torch.as_tensor(A).to(dtype)
        solver = ConjugateGradients(1e-4)
        found = solver.solve(lambda p, there=there: there @ p, torch.as_tensor(b).to(dtype))
        assert found.dtype == dtype
        theirs = ConjugateGradients(1e-4).solve(lambda p: A @ p, b)
        np.testing.assert_allclose(found.numpy(), theirs, atol=2e-4 * np.linalg.cond(A))


# --- What goes wrong --------------------------------------------------------------------------


def test_the_cap_is_told(rng: np.random.Generator) -> None:
    x, b = rng.uniform(0, 1, (M, 3)), rng.standard_normal(M)
    words = (
        r"^Expected a residual of at most 1e-06 \|b\|, but got .* \|b\| after 3 iterations\. "
        "Raise alpha or maxiter, or give a preconditioner; the matrix must be symmetric"
    )
    with pytest.warns(ConvergenceWarning, match=words) as caught:
        found = kernel(x).solve(b, alpha=ALPHA, maxiter=3)
    assert caught[0].filename == __file__
    assert found @ dense(x) @ found / 2 < b @ found  # what the method makes small; not residuals


def test_rounding_ends_it(rng: np.random.Generator) -> None:
    """Where float32 goes no further it is told, long before the cap."""
    x = rng.uniform(0, 1, (M, 3)).astype("float32")
    b = rng.standard_normal(M).astype("float32")
    words = r"\|b\| after \d\d?\d? iterations, where rounding keeps it\. Use float64, or raise al"
    with pytest.warns(ConvergenceWarning, match=words):
        found = kernel(x).solve(b, alpha=ALPHA, rtol=1e-9)
    assert_solved(dense(x), found, b, 100 * M * eps("float32"))


def test_not_positive_definite(rng: np.random.Generator) -> None:
    x, b = rng.uniform(0, 1, (M, 3)), rng.standard_normal(M)
    words = r"^Expected a symmetric positive definite matrix, but got p @ A @ p = -\S+ at iteration"
    for K in (-kernel(x), Vi(x).sqdist(Vj(x))):
        with pytest.raises(NotPositiveDefiniteError, match=words):
            K.solve(b)
    words = r"^Expected a symmetric positive definite preconditioner, but got one with r @ P\(r\)"
    with pytest.raises(NotPositiveDefiniteError, match=words):
        kernel(x).solve(b, preconditioner=lambda r: -r)


def test_singular_but_solvable(rng: np.random.Generator) -> None:
    """Of rank 3: the right-hand side is in the range, and nothing is added to the diagonal."""
    x = rng.uniform(0, 1, (M, 3))
    K = Vi(x) | Vj(x)
    b = x @ rng.standard_normal(3)
    found = K.solve(b, alpha=0)
    assert_solved(x @ x.T, found, b, RTOL["float64"])


def test_no_solution(rng: np.random.Generator) -> None:
    x = rng.uniform(0, 1, (M, 3))
    with pytest.warns(ConvergenceWarning):
        (Vi(x) | Vj(x)).solve(rng.standard_normal(M), alpha=0)


@pytest.mark.parametrize("bad", [np.nan, np.inf], ids=str)
def test_not_finite(bad: float, rng: np.random.Generator) -> None:
    x, b = rng.uniform(0, 1, (M, 3)), rng.standard_normal(M)
    K = kernel(x)
    with pytest.raises(ArgumentError, match="Expected a right-hand side of finite numbers"):
        K.solve(np.where(np.arange(M) == 3, bad, b))
    words = "^Expected a matrix of finite numbers, but got NaN or an infinity in A @ "
    with pytest.raises(NotPositiveDefiniteError, match=f"{words}p at iteration 1"):
        (K * Vi(np.where(np.arange(M) == 3, bad, 1.0)[:, None])).solve(b)
    with pytest.raises(NotPositiveDefiniteError, match=f"{words}x0"):
        K.solve(b, x0=np.full(M, bad))


X = np.linspace(0, 1, 12).reshape(4, 3)
ONES = np.ones(4)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: Vi(X).sqdist(Vj(X[:3])).solve(ONES), ShapeError, "a square matrix, but got"),
        (lambda: Vi(X).solve(ONES), ShapeError, "a square matrix, but got"),
        (lambda: kernel(X).solve(ONES[:3]), ShapeError, r"b of shape \(4,\) or"),
        (lambda: kernel(X).solve([1.0] * 4), DTypeError, r"b of shape \(4,\) or"),
        (lambda: kernel(X).solve(Vi(X) * 2), ArgumentError, "b as an array, or Vi"),
        (lambda: kernel(X).solve(ONES.astype("float32")), DTypeError, "arrays of one dtype"),
        (lambda: kernel(X).solve(ONES, alpha=-1), ArgumentError, "a finite alpha of at least 0"),
        (lambda: kernel(X).solve(ONES, alpha=np.nan), ArgumentError, "a finite alpha"),
        (lambda: kernel(X).solve(ONES, rtol=0), ArgumentError, "rtol between 0 and 1, but got 0"),
        (lambda: kernel(X).solve(ONES, eps=0.1, rtol=0.2), ArgumentError, "rtol or eps"),
        (lambda: kernel(X).solve(ONES, maxiter=0), ArgumentError, "a positive integer maxiter"),
        (lambda: kernel(X).solve(ONES, maxiter=1.5), ArgumentError, "a positive integer maxiter"),
        (lambda: kernel(X).solve(ONES, x0=ONES[:3]), ShapeError, r"x0 of shape \(4,\)"),
        (
            lambda: kernel(X).solve(ONES, x0=ONES.astype("float32")),
            DTypeError,
            "x0 of dtype float64, but got float32",
        ),
        (lambda: kernel(X).solve(ONES, preconditioner=ONES[:3]), ShapeError, "a preconditioner as"),
        (lambda: kernel(X).solve(ONES, preconditioner=3), DTypeError, "a preconditioner as a func"),
        (
            lambda: kernel(X).solve(ONES, preconditioner=lambda r: r[:2]),
            ShapeError,
            r"a preconditioner that returns arrays of shape \(4, 1\)",
        ),
    ],
)
def test_what_is_refused(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=f"Expected {words}"):
        call()


# --- PyTorch ----------------------------------------------------------------------------------


def test_derivatives_under_torch(rng: np.random.Generator) -> None:
    """Of a matrix that tensors say, by each of them and to second order; the guess has none."""
    torch = pytest.importorskip("torch")
    tight = ConjugateGradients(1e-14, 200)
    points = torch.as_tensor(rng.uniform(0, 1, (6, 2))).requires_grad_()
    alpha = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    b = torch.as_tensor(rng.standard_normal((6, 2))).requires_grad_()

    def matrix(points: Any, alpha: Any) -> Any:
        d2 = ((points[:, None] - points) ** 2).sum(-1)
        return torch.exp(-d2) + alpha * torch.eye(6, dtype=torch.float64)

    def solution(points: Any, alpha: Any, b: Any) -> Any:
        return solve_in_graph(tight, lambda given, p: matrix(*given) @ p, [points, alpha], b)

    exact = torch.linalg.solve(matrix(points, alpha), b)
    torch.testing.assert_close(solution(points, alpha, b), exact)
    inputs = (points, alpha, b)
    assert torch.autograd.gradcheck(solution, inputs)
    assert torch.autograd.gradgradcheck(solution, inputs)
    only = (points.detach(), alpha, b.detach())
    assert torch.autograd.gradcheck(solution, only)
    numbers = solve_in_graph(
        tight,
        lambda given, p: matrix(torch.as_tensor(given[0]), given[1]) @ p,
        [points.detach().numpy(), alpha],
        b,
    )
    torch.testing.assert_close(numbers, exact)
