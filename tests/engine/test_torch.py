"""LazyTensors of torch tensors: the numbers that NumPy arrays give, as tensors, without copies."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import fake_cupy
import numpy as np
import pytest
from cases import ALONG_I, ALONG_J, WEIGHTED, Case, groups
from helpers import eps
from scipy.sparse.linalg import aslinearoperator

from georeduce.engine import LazyTensor, Pm, Vi, Vj, autograd
from georeduce.engine.backends._base import Task
from georeduce.engine.errors import ArgumentError, BackendError, DTypeError, ShapeError
from georeduce.engine.formula.reductions import REDUCTIONS
from georeduce.engine.methods import build, reduce

torch: Any = autograd.torch

ON_CPU = ["numpy", pytest.param("openmp", marks=pytest.mark.compiler)]
CASES = [*ALONG_J, *ALONG_I[::5], *WEIGHTED[:3]]
M, N = 7, 40


def tasks() -> list[list[Task]]:
    """Return what this module compiles: some of what the agreement suite does."""
    return groups(ALONG_J, ALONG_I, WEIGHTED)


def both(case: Case, rng: np.random.Generator, batches: Any = ((), ())) -> list[Any]:
    """Return the formula and the weight of a case, of NumPy arrays and of tensors of these."""
    m, n = (M, N) if case.axis == "j" else (N, M)
    x, y = (case.points(rng, (*b, k, case.D)) for b, k in zip(batches, (m, n), strict=True))
    made = []
    for points in ((x, y), map(torch.from_numpy, (x, y))):
        x_i, y_j = (axis(p) for axis, p in zip((Vi, Vj), points, strict=True))
        made.append((case.formula(x_i, y_j), case.weight(x_i, y_j) if case.weight else None))
    return made


@pytest.mark.parametrize("batches", [((), ()), ((2, 1), (3,))], ids=["one", "batches"])
@pytest.mark.parametrize("backend", ON_CPU)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_results_are_those_of_numpy(
    case: Case, backend: str, batches: Any, rng: np.random.Generator
) -> None:
    (x, weight), (X, W) = both(case, rng, batches)
    K = 3 if REDUCTIONS[case.reduction].keep else 0
    expected = reduce(x, case.reduction, case.axis, K, weight, backend)
    results = reduce(X, case.reduction, case.axis, K, W, backend)
    if not isinstance(expected, tuple):
        expected, results = (expected,), (results,)
    for a, b in zip(expected, results, strict=True):
        assert isinstance(b, torch.Tensor)
        assert str(b.dtype) == f"torch.{a.dtype}"
        np.testing.assert_array_equal(a, b.numpy())
    assert X.dtype == np.dtype(case.dtype)


X, Y = torch.linspace(-1, 1, 3 * M).reshape(M, 3), torch.linspace(-2, 1, 3 * N).reshape(N, 3)
B = torch.linspace(0, 1, N)


def gaussian(x: Any, y: Any) -> LazyTensor:
    return (-Vi(x).sqdist(Vj(y))).exp()


def exact(x: Any = X, y: Any = Y) -> Any:
    return (-((x.double()[:, None] - y.double()) ** 2).sum(-1)).exp()


def assert_near(result: Any, expected: Any) -> None:
    """Assert equality up to the rounding of a sum of N terms of order 1."""
    assert tuple(result.shape) == tuple(expected.shape)
    off = abs(np.asarray(result, dtype=float) - np.asarray(expected, dtype=float))
    assert off.max() <= 4 * N * eps(np.asarray(result).dtype)


VIEWS: dict[str, Callable[[], Any]] = {
    "transposed": lambda: torch.linspace(-1, 1, 3 * M).reshape(3, M).T,
    "sliced": lambda: torch.linspace(-1, 1, 12 * M).reshape(2 * M, 6)[1::2, ::2],
    "expanded": lambda: torch.linspace(-1, 1, 3).expand(M, 3),
    "negative": lambda: torch.linspace(-1, 1, 3 * M).to(torch.complex64).reshape(M, 3).conj().imag,
    "parameter": lambda: torch.nn.Parameter(X.clone()),
    "inference": lambda: torch.inference_mode()(X.clone)(),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=list(VIEWS))
def test_views(view: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    x = view()
    seen: list[Any] = []
    run = autograd.run
    monkeypatch.setattr(autograd, "run", lambda *args: seen.append(args[1]) or run(*args))
    with torch.no_grad():
        result = gaussian(x, Y).sum(axis=1, backend="numpy")
    assert_near(result, exact(x.detach()).sum(1, keepdim=True))
    assert not result.requires_grad
    if not x.is_neg():
        assert seen[0].arrays[0].__array_interface__["data"][0] == x.data_ptr(), "a copy was made"


def test_shapes_tell_axes() -> None:
    x_i, y_j, p = LazyTensor(X[:, None]), LazyTensor(Y[None]), LazyTensor(X[0])
    assert (x_i.shape, y_j.shape, p.shape) == ((M, 1, 3), (1, N, 3), (1, 1, 3))
    assert (x_i - y_j).shape == (M, N, 3)
    assert LazyTensor(X, axis=1).shape == (1, M, 3)
    assert x_i.batch == () and type(x_i.batch) is tuple  # noqa: PT018
    assert "float32" in repr(x_i)
    assert Vi(X).sqdist(Vi(X)).slots[0].array is X, "one array twice is one slot"
    assert (x_i.concat(p)[3] + x_i[torch.tensor(1)]).shape == (M, 1, 1)


def test_operators_with_tensors_on_either_side() -> None:
    K = gaussian(X, Y)
    x = X[:, None, :1]
    for z in (K + x, x + K, K - x, x - K, K * x, x * K, K / x, x / K, K**x, x**K, K | x, x | K):
        assert isinstance(z, LazyTensor)
        assert z.shape == (M, N)
    for z in (x < K, x <= K, x > K, x >= K, x == K, x != K, K < x):
        assert isinstance(z, LazyTensor)
        assert z.expr.kind == "boolean"


@pytest.mark.parametrize(
    "number", [2.0, torch.tensor(2.0), torch.tensor(2.0).double(), torch.tensor(2)]
)
def test_tensors_without_axes_are_numbers(number: Any) -> None:
    """Of any dtype, as Python's; but they are parameters, that gradients reach."""
    for K, expected in (
        (gaussian(X, Y) / number, exact() / 2),
        (number * gaussian(X.double(), Y.double()), exact() * 2),
        (Pm(number) + gaussian(X, Y), exact() + 2),
        (gaussian(X, Y) ** number, exact() ** 2),
    ):
        assert_near(K.sum(axis=1, backend="numpy"), expected.sum(1, keepdim=True))


def test_complex_numbers_without_axes() -> None:
    z = (gaussian(X, Y) * torch.tensor(2j)).sum(axis=1)
    assert_near(z.imag, 2 * exact().sum(1, keepdim=True))


def test_only_numbers() -> None:
    z = Pm(torch.tensor(2.0)) * 3
    assert z.dtype is None
    assert z.sum(axis=1, backend="numpy").item() == 6


@pytest.mark.parametrize("backend", ON_CPU)
def test_products(backend: str) -> None:
    K, matrix = gaussian(X, Y), exact()
    assert_near(K.__matmul__(B, backend=backend), matrix @ B.double())
    assert_near(K @ torch.stack([B, 2 * B], 1), matrix @ torch.stack([B, 2 * B], 1).double())
    assert_near(B[:M] @ K, B[:M].double() @ matrix)
    assert_near(B[None, :M] @ K, B[None, :M].double() @ matrix)
    assert_near(K.sumsoftmaxweight(B, axis=1), matrix.softmax(1) @ B.double()[:, None])
    assert isinstance(K.matvec(B), torch.Tensor)


def test_all_values() -> None:
    assert_near(gaussian(X, Y).dense(), exact())
    z = Vi(X) - Vj(Y)
    assert torch.equal(z.dense(), X[:, None] - Y)
    assert Vi(X).dense().shape == (M, 1, 3)
    batch = (Vi(X.expand(2, 1, M, 3)) + Vj(Y.expand(3, N, 3))).dense()
    assert torch.equal(batch, (X[:, None] + Y).expand(2, 3, M, N, 3))


def test_scipy_gives_and_gets_numpy_arrays() -> None:
    A, b = aslinearoperator(gaussian(X, Y)), B.numpy()
    b.flags.writeable = False
    for product, expected in (
        (A @ b, exact() @ B.double()),
        (A.H @ b[:M], B[:M].double() @ exact()),
    ):
        assert isinstance(product, np.ndarray)
        assert product.dtype == np.float32
        assert_near(product, expected)
    assert (A @ b.astype(float)).dtype == np.float64


def test_huge_numbers_are_scaled() -> None:
    x = X.clone()
    x[0] = 1e25
    d = Vi(x).sqdist(Vj(Y)).sqrt().max(axis=1, backend="numpy")
    assert_near(d[:1] / 1e25, torch.full((1, 1), 3.0).sqrt())


def test_no_points() -> None:
    assert gaussian(X[:0], Y).sum(axis=1).shape == (0, 1)
    assert (gaussian(X, Y[:0]).sum(axis=1) == 0).all()
    value, index = gaussian(X, Y[:0]).min_argmin(axis=1)
    assert value.isinf().all()
    assert (index == -1).all()


WHAT = "Expected points as an array of shape (..., M, D)"
MISTAKES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: Vi(X.int()),
        DTypeError,
        f"{WHAT} of dtype float32 or float64, but got torch.int32. Pass x.float() or x.double().",
    ),
    (
        lambda: Vi(X.half()),
        DTypeError,
        f"{WHAT} of dtype float32 or float64, but got torch.float16.",
    ),
    (
        lambda: Vi(X.to_sparse()),
        DTypeError,
        f"{WHAT} as a dense tensor, but got one of layout torch.sparse_coo. Pass x.to_dense().",
    ),
    (
        lambda: Vi(X.to("meta")),
        DTypeError,
        f"{WHAT} on the CPU or a CUDA device, but got one on meta. Pass x.cpu().",
    ),
    (lambda: Vi(X[0]), ShapeError, f"{WHAT}, but got shape (3,). Write x[:, None]"),
    (lambda: Pm(X), ShapeError, "Expected a parameter of shape (D,), but got shape (7, 3)."),
    (
        lambda: Vi(X) + Vj(Y.double()),
        DTypeError,
        "Expected arrays of one dtype, but got float32 and float64. Convert one of them",
    ),
    (
        lambda: Vi(X) + Vj(Y.numpy()),
        DTypeError,
        "Expected arrays of one library on one device, but got torch tensors on cpu and NumPy "
        "arrays. Convert one of them: torch.from_numpy(x),",
    ),
    (
        lambda: Vi(X.numpy()) / torch.tensor(2.0),
        DTypeError,
        "Expected arrays of one library on one device, but got NumPy arrays and torch tensors on",
    ),
    (
        lambda: gaussian(X, Y) @ B.numpy(),
        DTypeError,
        "Expected arrays of one library on one device, but got torch tensors on cpu and NumPy",
    ),
    (
        lambda: gaussian(X, Y) @ B[1:],
        ShapeError,
        f"Expected b of shape ({N},) or (..., {N}, E) for a matrix of {N} columns, but got shape",
    ),
    (lambda: gaussian(X, Y) @ B.int(), DTypeError, f"Expected b of shape ({N},)"),
    (lambda: Vi(X).sum(axis=0, backend="opnmp"), ArgumentError, "Expected backend to be one of"),
    (lambda: Vi(X).sum(axis=0, n_threads=0), ArgumentError, "Expected n_threads to be a positive"),
    (lambda: Vi(X)[torch.tensor(1.5)], ArgumentError, "Expected an integer index or a slice"),
]


@pytest.mark.parametrize(
    ("mistake", "error", "sentence"),
    MISTAKES,
    ids=[f"{n}-{m[2][9:60]}" for n, m in enumerate(MISTAKES)],
)
def test_sentence(mistake: Callable[[], Any], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(sentence)}"):
        mistake()


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_nested_tensors_are_refused() -> None:
    with pytest.raises(DTypeError, match=r"got a nested tensor. Pass x.to_padded_tensor\(0\)"):
        Vi(torch.nested.nested_tensor([X, Y]))


def on_gpu(x: LazyTensor, **how: Any) -> Any:
    """Return a sum as if its tensors were on the second GPU: this is how those are computed."""
    task, data = build(x, "sum", "j")
    call = autograd.Call(task, data, "auto", None)
    (result,) = call._on_gpu(call.tensors(data.arrays), torch.device("cuda", 1))
    return result


def test_tensors_of_a_gpu_without_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(BackendError, match=r'Expected CuPy.*Install "georeduce\[cuda13\]"'):
        on_gpu(gaussian(X, Y))


@pytest.mark.compiler
def test_tensors_of_a_gpu_through_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The double of CuPy lends the emulator; what it cannot show is that PyTorch's GPU agrees."""
    cupy = fake_cupy.install(monkeypatch)
    stream = cupy.cuda.ExternalStream(7, 1)
    monkeypatch.setattr(cupy.cuda, "ExternalStream", lambda *its: stream if its == (7, 1) else None)
    streams = {torch.device("cuda", 1): type("Stream", (), {"cuda_stream": 7})}
    monkeypatch.setattr(torch.cuda, "current_stream", streams.__getitem__)
    results: list[Any] = []
    monkeypatch.setattr(torch, "from_dlpack", lambda a: results.append(a) or a)
    on_gpu(gaussian(X, Y))
    assert_near(results[0].get(), exact().sum(1, keepdim=True))
    assert results[0].device.id == 1
    assert stream.launched, "on PyTorch's stream"


def test_tensors_of_a_gpu_on_another_backend_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = fake_cupy.install(monkeypatch)
    task, data = build(gaussian(X, Y), "sum", "j")
    call = autograd.Call(task, data, "openmp", None)
    with pytest.raises(ArgumentError, match=r"pass cupy.asnumpy\(x\), or x.cpu\(\) of a tensor"):
        call._run([cupy.asarray(a.numpy()) for a in data.arrays])


@pytest.mark.cuda
@pytest.mark.parametrize("case", CASES, ids=str)
def test_tensors_of_a_real_gpu(case: Case, rng: np.random.Generator) -> None:
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch has no GPU")
    _, (X, W) = both(case, rng)
    task, data = build(X, case.reduction, case.axis, 3, W)
    there = data._replace(arrays=[a.cuda() for a in data.arrays])
    results = autograd.reduce_tensors(task, there, None, None)
    for a, b in zip(results, autograd.reduce_tensors(task, data, "numpy", None), strict=True):
        assert a.device == there.arrays[0].device
        assert (a.shape, a.dtype) == (b.shape, b.dtype)


def run(code: str, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *args], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_numpy_users_do_not_import_torch() -> None:
    run(
        "import sys, numpy as np\n"
        "from georeduce.engine import Vi, Vj\n"
        "K = Vi(np.ones((3, 2))).sqdist(Vj(np.ones((4, 2))))\n"
        "K.sum(axis=1, backend='numpy'), K @ np.ones(4), K.dense()\n"
        "sys.exit('torch' in sys.modules)"
    )


def test_derivatives_as_arrays() -> None:
    """``K.vjp`` and ``K.jvp`` take tensors too, and give tensors."""
    x_i, y_j = Vi(X), Vj(Y)
    u_i, v_j = Vi(X.numpy()), Vj(Y.numpy())
    for name in ("sum", "min"):
        r, grads = x_i.sqdist(y_j).vjp(name, 1, [x_i, y_j], backend="numpy")
        expected, arrays = u_i.sqdist(v_j).vjp(name, 1, [u_i, v_j], backend="numpy")
        for t, array in zip((r, *grads), (expected, *arrays), strict=True):
            assert isinstance(t, torch.Tensor)
            np.testing.assert_array_equal(t.numpy(), array)
    assert x_i.sqdist(y_j).jvp("sum", 1, [x_i], [X], backend="numpy")[1].shape == (M, 1)
