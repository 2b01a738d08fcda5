"""Complex LazyTensors against NumPy's complex arrays."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import Array, eps
from scipy.sparse.linalg import aslinearoperator, eigs

from georeduce.engine import (
    ArgumentError,
    ComplexLazyTensor,
    DTypeError,
    LazyTensor,
    Pm,
    ShapeError,
    Vi,
    Vj,
    options,
)
from georeduce.engine.backends._base import Task
from georeduce.engine.methods import build

M, N, D = 4, 5, 3
DTYPES = ("complex64", "complex128")


def numbers(rng: np.random.Generator, *shape: int, dtype: str = "complex128") -> Array:
    parts = rng.uniform(-1, 1, (2, *shape))
    return (parts[0] + 1j * parts[1]).astype(dtype)


def assert_near(found: Any, exact: Array, terms: int = 1) -> None:
    """Assert that numbers of order 1 agree after some operations, or the sum of as many."""
    assert found.shape == exact.shape
    assert np.abs(found - exact).max() <= 30 * terms * eps(found.real.dtype)


def wave(x: LazyTensor, y: LazyTensor) -> ComplexLazyTensor:
    """Return a formula of real points whose values are complex."""
    wave: ComplexLazyTensor = (x | y).exp1j() / (x.sqdist(y) + 1)
    return wave


def mixed(z: Any, w: Any) -> Any:
    """Return a formula with most operations: each part bounded, for LazyTensors and arrays."""
    absolute = abs(z) + 1
    return (z * w.conj() - 2j * z) / (w + 3) + absolute * w - z / absolute


def tasks() -> list[list[Task]]:
    """Return what this module compiles for all backends."""
    found = []
    for dtype in DTYPES:
        real = np.zeros((2, D), np.dtype(dtype).char.lower())
        z = np.zeros((2, D), dtype)
        found.append(build(mixed(Vi(z), Vj(z)).components, "sum", "j")[0])
        K = wave(Vi(real), Vj(real))
        found += [build((K * Vj(z[:, :E])).components, "sum", "j")[0] for E in (1, 2)]
    return [found]


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums(dtype: str, backend: str, rng: np.random.Generator) -> None:
    z, w = numbers(rng, M, D, dtype=dtype), numbers(rng, N, D, dtype=dtype)
    exact = mixed(z[:, None], w[None])
    with options(backend=backend):
        rows = mixed(Vi(z), Vj(w)).sum(axis=1)
        columns = mixed(Vj(z), Vi(w)).sum_reduction(axis=0)
    assert rows.dtype == columns.dtype == dtype
    assert_near(rows, exact.sum(1), N)
    assert_near(columns, exact.sum(1), N)


@pytest.mark.parametrize("dtype", DTYPES)
def test_products(dtype: str, backend: str, rng: np.random.Generator) -> None:
    x, y = (rng.uniform(-1, 1, (n, D)).astype(np.dtype(dtype).char.lower()) for n in (M, N))
    exact = np.exp(1j * (x @ y.T)) / (((x[:, None] - y) ** 2).sum(-1) + 1)
    K = wave(Vi(x), Vj(y))
    assert K.shape == (M, N)
    b = numbers(rng, N, 2, dtype=dtype)
    with options(backend=backend):
        for right in (b, b[:, 0]):
            assert (K @ right).dtype == dtype
            assert_near(K @ right, exact @ right, N)


def test_products_of_all_kinds(rng: np.random.Generator) -> None:
    x, y = rng.uniform(-1, 1, (M, D)), rng.uniform(-1, 1, (N, D))
    b, c = numbers(rng, N, 2), numbers(rng, M)
    with options(backend="numpy"):
        K = wave(Vi(x), Vj(y))
        dense = K.dense()
        assert_near(K @ b.real, dense @ b.real, N)
        assert_near(c @ K, c @ dense, M)
        assert_near(np.stack([c, c]) @ K, np.stack([c, c]) @ dense, M)
        assert_near(K.T @ c, dense.T @ c, M)
        real = Vi(x) | Vj(y)
        assert_near(real @ b, x @ y.T @ b, N)
        assert_near(real @ b[:, 0], x @ y.T @ b[:, 0], N)
        batched = wave(Vi(np.stack([x, -x])), Vj(y))
        both = np.stack([dense, wave(Vi(-x), Vj(y)).dense()])
        assert_near(batched @ b, both @ b, N)


def test_scipys_operators(rng: np.random.Generator) -> None:
    x = rng.uniform(-1, 1, (20, D))
    b = numbers(rng, 20, 2)
    with options(backend="numpy"):
        K = wave(Vi(x), Vj(x))
        operator, dense = aslinearoperator(K), K.dense()
        assert operator.dtype == np.complex128
        for vectors in (b, b[:, 0]):
            assert_near(operator @ vectors, dense @ vectors, 20)
            assert_near(operator.H @ vectors, dense.conj().T @ vectors, 20)
        largest = eigs(operator, k=1, return_eigenvectors=False, v0=b[:, 0])[0]
        real = aslinearoperator(Vi(x) | Vj(x))
        assert_near(real @ b[:, 0], x @ x.T @ b[:, 0], 20)
        assert_near(real.H @ b, x @ x.T @ b, 20)
    exact = np.linalg.eigvals(dense)
    assert np.abs(largest - exact[np.abs(exact).argmax()]) <= 1000 * 20 * eps("float64")


z, w = (numbers(np.random.default_rng(seed), n, D) for seed, n in enumerate((M, N)))
x = np.random.default_rng(2).uniform(0.5, 2, (M, D))
Z, W, X = Vi(z), Vj(w), Vi(x)
pairs = np.broadcast_arrays(z[:, None], w[None])
CALLS: dict[str, tuple[Callable[[], Any], Any]] = {
    "real": (lambda: Z.real, z.real[:, None]),
    "imag": (lambda: Z.imag, z.imag[:, None]),
    "abs": (lambda: Z.abs(), np.abs(z)[:, None]),
    "abs()": (lambda: abs(Z), np.abs(z)[:, None]),
    "angle": (lambda: Z.angle(), np.angle(z)[:, None]),
    "conj": (lambda: Z.conj(), z.conj()[:, None]),
    "exp": (lambda: Z.exp(), np.exp(z)[:, None]),
    "exp1j": (lambda: X.exp1j(), np.exp(1j * x)[:, None]),
    "real2complex": (lambda: X.real2complex(), x[:, None] + 0j),
    "imag2complex": (lambda: X.imag2complex(), 1j * x[:, None]),
    "-z": (lambda: -Z, -z[:, None]),
    "+z": (lambda: +Z, z[:, None]),
    "z + w": (lambda: Z + W, pairs[0] + pairs[1]),
    "z - w": (lambda: Z - W, pairs[0] - pairs[1]),
    "z * w": (lambda: Z * W, pairs[0] * pairs[1]),
    "z / w": (lambda: Z / W, pairs[0] / pairs[1]),
    "z + x": (lambda: Z + X, (z + x)[:, None]),
    "x + z": (lambda: X + Z, (z + x)[:, None]),
    "x - z": (lambda: X - Z, (x - z)[:, None]),
    "z - x": (lambda: Z - X, (z - x)[:, None]),
    "x * z": (lambda: X * Z, (x * z)[:, None]),
    "z / x": (lambda: Z / X, (z / x)[:, None]),
    "x / z": (lambda: X / Z, (x / z)[:, None]),
    "x * 1j": (lambda: X * 1j, 1j * x[:, None]),
    "1j - x": (lambda: 1j - X, (1j - x)[:, None]),
    "1j / z": (lambda: 1j / Z, (1j / z)[:, None]),
    "2 - z": (lambda: 2 - Z, (2 - z)[:, None]),
    "2 / z": (lambda: 2 / Z, (2 / z)[:, None]),
    "z / 2": (lambda: Z / 2, (z / 2)[:, None]),
    "number of numpy": (lambda: np.complex128(1 + 2j) * X, (1 + 2j) * x[:, None]),
    "list": (lambda: Z * [1j, 2, 3 - 1j], (z * [1j, 2, 3 - 1j])[:, None]),
    "array": (lambda: X + w[None], x[:, None] + w),
    "Pm": (lambda: Z + Pm(w[0]), (z + w[0])[:, None]),
    "vector and scalar": (lambda: Z * W[1], pairs[0] * pairs[1][..., 1:2]),
    "scalar and vector": (lambda: Z[-1] - W, pairs[0][..., -1:] - pairs[1]),
    "real vector, complex scalar": (lambda: X * W[1], x[:, None] * pairs[1][..., 1:2]),
    "slice": (lambda: Z[1:], z[:, None, 1:]),
    "concat": (lambda: Z.concat(W), np.concatenate(pairs, -1)),
    "sum": (lambda: Z.sum(-1), z.sum(-1)[:, None, None]),
    "dim": (lambda: Z.sum(dim=2), z.sum(-1)[:, None, None]),
    "T": (lambda: (Z - W).T, np.swapaxes(pairs[0] - pairs[1], 0, 1)),
    "t()": (lambda: Z.t(), z[None]),
    "LazyTensor": (lambda: LazyTensor(z[:, None]) * LazyTensor(w, axis=1), pairs[0] * pairs[1]),
    "of parts that are not beside each other": (lambda: Vi(w.T[:, :D]), w.T[:, None, :D]),
}


@pytest.mark.parametrize("name", CALLS)
def test_values(name: str) -> None:
    call, exact = CALLS[name]
    found = call()
    assert found.full_shape == exact.shape
    assert np.iscomplexobj(exact) == isinstance(found, ComplexLazyTensor)
    assert found.dtype == exact.dtype
    with options(backend="numpy"):
        values = found.dense().reshape(exact.shape)
    # quotients of small numbers are large
    assert np.abs(values - exact).max() <= 30 * eps("float64") * max(1, np.abs(exact).max())


def test_equality() -> None:
    other = np.where(np.arange(D) == 1, z + 1, z)
    both = (Vi(z) == Vi(other)).dense()[:, 0]
    np.testing.assert_array_equal(both, z == other)
    np.testing.assert_array_equal((Vi(z) != Vi(other)).dense()[:, 0], z != other)
    np.testing.assert_array_equal((X == X.real2complex()).dense()[:, 0], True)


@pytest.mark.parametrize("size", [1e-300, 1e300])
def test_quotients_and_sizes_of_huge_and_tiny_numbers(size: float) -> None:
    large = Vi(z * size)
    with options(backend="numpy"):
        assert_near((large / Vi(w[:M] * size)).dense(), (z / w[:M])[:, None], 10)
        assert_near(large.abs().sum(axis=1) / size, np.abs(z))


def test_what_it_is() -> None:
    assert (Z.D, Z.ndim, Z.dim(), len(Z), Z.batch) == (D, 3, 3, M, ())
    assert (Z[0] * W[0]).shape == (M, N)
    assert repr(Z) == f"ComplexLazyTensor of shape ({M}, 1, {D}), complex128: x0"
    assert Vi(z.astype("complex64")).dtype == np.complex64
    assert Pm(1j).dtype is None
    assert repr(Pm([1j, 2])) == "ComplexLazyTensor of shape (1, 1, 2), complex numbers: p0"
    assert ComplexLazyTensor(Z).components is Z.components
    assert hash(Z) == hash(Z)
    assert (Z * 2).formula
    np.testing.assert_array_equal(copy.copy(X).dense(), X.dense())
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(X)).dense(), X.dense())


def test_one_kernel_for_all_numbers() -> None:
    """A complex number is a parameter, as real ones are."""
    one, other = (build((Z * number).components, "sum", "j")[0] for number in (1j, 2 + 3j))
    assert one is other


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: Z.argmin(axis=1), AttributeError, "ComplexLazyTensor has no 'argmin': it is of r"),
        (lambda: Z.max(axis=1), AttributeError, r"no 'max': .* Take \.real, \.imag, \.abs\(\) or"),
        (lambda: Z.conji(), AttributeError, r"no operation 'conji'\. Did you mean 'conj'\?"),
        (lambda: Z < W, TypeError, "not supported between instances"),
        (lambda: bool(Z), DTypeError, "a truth value"),
        (lambda: ComplexLazyTensor(x), DTypeError, r"complex numbers, but got ndarray\. Write x\."),
        (lambda: Vi(z.astype(np.clongdouble)), DTypeError, "dtype complex64 or complex128"),
        (lambda: Z + W.real[:2], ShapeError, "feature axes of equal length"),
        (lambda: Z.components[0].real2complex() @ w, ShapeError, "b of shape"),
        (lambda: Vi(z[0]), ShapeError, "points as an array of shape"),
        (lambda: Z * Vj(w.astype("complex64")), DTypeError, "arrays of one dtype"),
        (lambda: Z.sum(axis=3), ArgumentError, "axis=0"),
    ],
)
def test_what_is_refused(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()
