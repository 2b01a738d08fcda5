"""LazyTensors as matrices, and arrays of every layout in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import DTYPES, Case
from helpers import Array, assert_close, check, tensor_values
from scipy.sparse.linalg import LinearOperator, aslinearoperator, cg, eigsh

from georeduce.engine import LazyTensor, Vi, Vj, options
from georeduce.engine.backends._base import Task
from georeduce.engine.errors import GeoreduceError
from georeduce.engine.methods import build

M, N = 40, 70


def gaussian(x: LazyTensor, y: LazyTensor) -> LazyTensor:
    return (-x.sqdist(y) / 0.5).exp()


def kernel(rng: np.random.Generator, dtype: str, M: int = M, N: int = N) -> LazyTensor:
    x, y = rng.uniform(-1, 1, (M, 3)).astype(dtype), rng.uniform(-1, 1, (N, 3)).astype(dtype)
    return gaussian(LazyTensor(x[:, None, :]), LazyTensor(y[None, :, :]))


def tasks() -> list[list[Task]]:
    """Return what this module compiles."""
    found = []
    for dtype in DTYPES:
        K = kernel(np.random.default_rng(0), dtype, 2, 3)
        for matrix in (K, K.T):
            for E in (1, 4):
                b = Vj(np.zeros((2 if matrix is not K else 3, E), dtype))
                found.append(build(matrix * b, "sum", "j")[0])
    layouts = [layout_case(name, dtype).task() for name in ("sum", "argKmin") for dtype in DTYPES]
    return [found, layouts]


def assert_product(result: Array, K: LazyTensor, b: Array) -> None:
    """Assert that a result is the product of a matrix with b, within what rounding explains."""
    matrix = b.reshape(len(b), -1)
    ((value, bound),), _ = tensor_values(K * Vj(matrix), "sum", "j")
    dtype = np.dtype(b.dtype)
    error = bound.sum(-2) + np.finfo(dtype).eps / 2 * len(b) * np.abs(value).sum(-2)
    assert result.dtype == dtype
    assert_close(result.reshape(len(result), -1), value.sum(-2), error)


@pytest.mark.parametrize("dtype", DTYPES)
def test_products(dtype: str, backend: str, rng: np.random.Generator) -> None:
    K = kernel(rng, dtype)
    b, B = (rng.standard_normal(shape).astype(dtype) for shape in ((N,), (N, 4)))
    c, C = (rng.standard_normal(shape).astype(dtype) for shape in ((M,), (M, 4)))
    assert K.shape == (M, N)
    assert K.T.shape == K.t().shape == (N, M)
    with options(backend=backend):
        for product in (K @ b, K.matvec(b), aslinearoperator(K) @ b):
            assert product.shape == (M,)
            assert_product(product, K, b)
        for product in (K @ B, K.matmat(B), aslinearoperator(K) @ B):
            assert product.shape == (M, 4)
            assert_product(product, K, B)
        for product in (K.T @ c, c @ K, K.rmatvec(c), aslinearoperator(K).rmatvec(c)):
            assert product.shape == (N,)
            assert_product(product, K.T, c)
        for product in (K.T @ C, (C.T @ K).T, K.rmatmat(C), aslinearoperator(K).H @ C):
            assert product.shape == (N, 4)
            assert_product(product, K.T, C)


def test_products_of_batches(backend: str, rng: np.random.Generator) -> None:
    x, y = rng.uniform(-1, 1, (2, M, 3)), rng.uniform(-1, 1, (2, N, 3))
    K = gaussian(Vi(x), Vj(y))
    b = rng.standard_normal((2, N, 4))
    with options(backend=backend):
        result = K @ b
    for n in range(2):
        assert_product(result[n], gaussian(Vi(x[n]), Vj(y[n])), b[n])


def test_transposing_twice_is_the_matrix(rng: np.random.Generator) -> None:
    K = kernel(rng, "float64")
    assert K.T.T.expr is K.expr
    np.testing.assert_array_equal(K.T.T.dense(), K.dense())
    np.testing.assert_array_equal(K.T.dense(), K.dense().T)


def test_dense(rng: np.random.Generator) -> None:
    x, y = rng.uniform(-1, 1, (4, 3)), rng.uniform(-1, 1, (5, 3))
    exact = np.exp(-((x[:, None] - y) ** 2).sum(-1) / 0.5)
    # the difference, the square, the sum and the quotient: the exponential of a number of order 10
    near = {"rtol": 40 * np.finfo("float64").eps}
    np.testing.assert_allclose(gaussian(Vi(x), Vj(y)).dense(), exact, **near)
    np.testing.assert_array_equal((Vi(x) - Vj(y)).dense(), x[:, None] - y)
    np.testing.assert_array_equal(Vi(x).dense(), x[:, None])
    assert (Vi(x) < Vj(y)).dense().shape == (4, 5, 3)
    batched = Vi(np.stack([x, -x])) * Vj(y)
    np.testing.assert_array_equal(batched.dense()[1], -x[:, None] * y)


def solvable(K: LazyTensor) -> LinearOperator:
    return aslinearoperator(K) + LinearOperator(K.shape, lambda b: b, dtype=K.dtype)


@pytest.mark.parametrize("n", [60])
def test_scipy_solvers(n: int, backend: str, rng: np.random.Generator) -> None:
    x = rng.uniform(-1, 1, (n, 3))
    K = gaussian(Vi(x), Vj(x))
    dense = K.dense()
    b = rng.standard_normal(n)
    with options(backend=backend):
        tolerance = 1e-10  # what the solvers are asked for
        solution, failed = cg(solvable(K), b, rtol=tolerance)
        values = eigsh(aslinearoperator(K), k=3, return_eigenvectors=False, tol=tolerance)
    assert failed == 0
    residual = (dense + np.eye(n)) @ solution - b
    # the residual that cg keeps drifts from the true one by rounding, a few times n * eps
    slack = 100 * n * np.finfo("float64").eps
    assert np.linalg.norm(residual) <= (tolerance + slack) * np.linalg.norm(b)
    exact = np.linalg.eigvalsh(dense)[-3:]
    np.testing.assert_allclose(values, exact, rtol=tolerance + slack)


# --- Layouts ----------------------------------------------------------------------------------


def misaligned(x: Array) -> Array:
    """Return a copy whose numbers start one byte behind where they should."""
    buffer = np.empty(x.nbytes + 1, np.uint8)
    view = buffer[1:].view(x.dtype).reshape(x.shape)
    view[...] = x
    assert not view.flags.aligned
    return view


def within(x: Array, key: Any, shape: tuple[int, ...]) -> Array:
    """Return a copy as part of a larger array."""
    whole = np.full(shape, np.nan, x.dtype)
    whole[key] = x
    return whole[key]


def read_only(x: Array) -> Array:
    x = x.copy()
    x.flags.writeable = False
    return x


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "fortran": np.asfortranarray,
    "every second point": lambda x: within(x, np.s_[::2], (2 * len(x), 3)),
    "reversed points": lambda x: within(x, np.s_[::-1], (len(x), 3)),
    "reversed components": lambda x: within(x, np.s_[:, ::-1], (len(x), 3)),
    "some columns": lambda x: within(x, np.s_[:, 2:5], (len(x), 8)),
    "every third column": lambda x: within(x, np.s_[:, ::3], (len(x), 9)),
    "read-only": read_only,
    "misaligned": misaligned,
    "one point repeated": lambda x: np.broadcast_to(x[:1], x.shape),
    "one column repeated": lambda x: np.broadcast_to(x[:, :1], x.shape),
    "field of records": lambda x: np.rec.fromarrays(
        [np.zeros(len(x), np.uint8), x], dtype=[("a", "u1"), ("x", x.dtype, (3,))]
    )["x"],
    "subclass": lambda x: x.view(type("Points", (np.ndarray,), {})),
}


def layout_case(reduction: str, dtype: str) -> Case:
    return Case("layout", lambda x, y: ((x - y) ** 2).sum(-1), reduction, 3, dtype)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("reduction", ["sum", "argKmin"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_layout(
    layout: Callable[[Array], Array],
    reduction: str,
    dtype: str,
    backend: str,
    rng: np.random.Generator,
) -> None:
    case = layout_case(reduction, dtype)
    x, y = layout(case.points(rng, (M, 3))), layout(case.points(rng, (N, 3)))
    before = x.copy()
    K = 4 if reduction == "argKmin" else 0
    check(case.formula(Vi(x), Vj(y)), reduction, K=K, backend=backend)
    check(case.formula(Vi(x), Vj(np.ascontiguousarray(y))), reduction, K=K, backend=backend)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("dtype", DTYPES)
def test_layout_of_batches(dtype: str, backend: str, rng: np.random.Generator) -> None:
    case = layout_case("sum", dtype)
    x = case.points(rng, (3, M, 2, 3)).transpose(2, 0, 1, 3)
    y = np.broadcast_to(case.points(rng, (3, N, 3)), (2, 3, N, 3))
    assert not x.flags.c_contiguous
    check(case.formula(Vi(x), Vj(y)), "sum", backend=backend)
    check(case.formula(Vi(x[:, ::-1]), Vj(y[:, :1])), "sum", backend=backend)


def test_constructors_agree(rng: np.random.Generator) -> None:
    x = rng.uniform(-1, 1, (2, M, 3))
    for a, b in (
        (LazyTensor(x[:, :, None, :]), Vi(x)),
        (LazyTensor(x[:, None, :, :]), Vj(x)),
        (LazyTensor(x, axis=0), Vi(x)),
        (LazyTensor(x, axis=1), Vj(x)),
    ):
        assert a.shape == b.shape
        assert a.expr is b.expr
        np.testing.assert_array_equal(a.dense(), b.dense())


def test_other_byte_order_is_refused() -> None:
    with pytest.raises(GeoreduceError, match=r"^Expected points .* of dtype float32"):
        Vi(np.zeros((3, 2), np.dtype("f4").newbyteorder()))
