"""Linear systems and complex numbers of torch tensors, and the derivatives of solutions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from georeduce.engine import ComplexLazyTensor, LazyTensor, Pm, Vi, Vj, options

torch = pytest.importorskip("torch")


def kernel(x: Any, scale: Any) -> LazyTensor:
    return (-Vi(x).sqdist(Vj(x)) * Pm(scale)).exp()


def dense(x: Any, scale: Any) -> Any:
    return torch.exp(-((x[:, None] - x) ** 2).sum(-1) * scale)


@pytest.fixture(autouse=True)
def numpy_backend() -> Any:
    with options(backend="numpy"):
        yield


def test_derivatives_of_solutions(rng: np.random.Generator) -> None:
    """By points and right-hand sides, to second order; a batch shares what it shares."""
    x = torch.as_tensor(rng.uniform(0, 1, (6, 2))).requires_grad_()
    scale = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
    b = torch.as_tensor(rng.standard_normal((6, 2))).requires_grad_()

    def solution(x: Any, scale: Any, b: Any) -> Any:
        return kernel(x, scale).solve(b, alpha=0.5, rtol=1e-13)

    exact = torch.linalg.solve(dense(x, scale) + 0.5 * torch.eye(6), b)
    found = solution(x, scale, b)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, exact)
    assert torch.autograd.gradcheck(solution, (x, scale, b))
    assert torch.autograd.gradgradcheck(solution, (x, scale, b))
    one = torch.autograd.gradcheck(solution, (x, scale, b[:, 0].detach().requires_grad_()))
    assert one


def test_derivative_by_alpha(rng: np.random.Generator) -> None:
    x = torch.as_tensor(rng.uniform(0, 1, (6, 2)))
    b = torch.as_tensor(rng.standard_normal((6, 2))).requires_grad_()
    alpha = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    K = kernel(x, torch.tensor([2.0], dtype=torch.float64))
    solution = lambda alpha, b: K.solve(b, alpha=alpha, rtol=1e-13)  # noqa: E731
    assert torch.autograd.gradcheck(solution, (alpha, b))
    assert torch.autograd.gradgradcheck(solution, (alpha, b))


def test_batches(rng: np.random.Generator) -> None:
    x = torch.as_tensor(rng.uniform(0, 1, (2, 6, 2))).requires_grad_()
    b = torch.as_tensor(rng.standard_normal((6, 1))).requires_grad_()

    def solution(x: Any, b: Any) -> Any:
        return (-Vi(x).sqdist(Vj(x))).exp().solve(b, alpha=0.5, rtol=1e-13)

    assert solution(x, b).shape == (2, 6, 1)
    assert torch.autograd.gradcheck(solution, (x, b))


def test_preconditioner_guess_and_float32(rng: np.random.Generator) -> None:
    x = torch.as_tensor(rng.uniform(0, 1, (6, 2))).float()
    b = torch.as_tensor(rng.standard_normal(6)).float()
    K = kernel(x, torch.tensor([2.0]))
    plain = K.solve(b, alpha=0.5)
    assert plain.dtype == torch.float32
    again = K.solve(b, alpha=0.5, x0=plain, preconditioner=torch.full((6,), 2.0))
    torch.testing.assert_close(again, plain, rtol=1e-3, atol=1e-3)


def test_complex_tensors(rng: np.random.Generator) -> None:
    parts = rng.uniform(-1, 1, (4, 5, 3))
    z, w = (torch.as_tensor(a + 1j * b).requires_grad_() for a, b in (parts[:2], parts[2:]))

    def product(z: Any, w: Any) -> Any:
        K = (Vi(z) * Vj(w).conj()).sum(-1).exp()
        assert isinstance(K, ComplexLazyTensor)
        return K @ w

    exact = torch.exp(z @ w.conj().T) @ w
    found = product(z, w)
    assert found.dtype == torch.complex128
    torch.testing.assert_close(found, exact)
    assert torch.autograd.gradcheck(product, (z, w))
    real = (Vi(z.real) | Vj(w.imag)) @ w
    torch.testing.assert_close(real, (z.real @ w.imag.T).to(w.dtype) @ w)
