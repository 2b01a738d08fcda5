"""Launching on a GPU: on a test double of CuPy everywhere, on a device where there is one."""

from __future__ import annotations

import builtins
import subprocess
import sys
from pathlib import Path
from typing import Any

import fake_cupy
import numpy as np
import pytest
from cases import ALONG_I, ALONG_J, FORMS, WEIGHTED, Case
from helpers import assert_close, tensor_values

from georeduce.engine import LazyTensor, Vi, Vj
from georeduce.engine.backends import _nvrtc, _store, get_backend, run
from georeduce.engine.cluster import from_matrix
from georeduce.engine.errors import ArgumentError, BackendError, CompileError, DTypeError
from georeduce.engine.methods import build

CASES = [c for c in (*ALONG_J, *ALONG_I[::5], *WEIGHTED[:2], *FORMS[::4]) if c.dtype == "float32"]
WIDE = ("sum", "argmin", "Kmin_argKmin", "logsumexp")
CASES += [c for c in ALONG_J if c.dtype == "float64" and c.reduction in WIDE]


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A double with two devices."""
    return fake_cupy.install(monkeypatch)


def gaussian(x: Any, y: Any) -> LazyTensor:
    return (-(Vi(x).sqdist(Vj(y)))).exp()


def points(rng: np.random.Generator, *shape: int) -> Any:
    return rng.uniform(-1, 1, shape).astype(np.float32)


@pytest.mark.compiler
@pytest.mark.parametrize("case", CASES, ids=str)
def test_numpy_arrays_are_copied_there_and_back(
    case: Case, cupy: Any, rng: np.random.Generator
) -> None:
    for M, N in ((17, 40), (2, 3000), (0, 3), (3, 0)):
        case.check("cuda", *case.tensors(rng, M, N))
    case.check("cuda", *case.tensors(rng, 5, 9, ((2, 1), (3,))))


@pytest.mark.compiler
@pytest.mark.parametrize("backend", [None, "auto", "cuda"])
def test_arrays_of_a_gpu_are_used_there(
    backend: str | None, cupy: Any, rng: np.random.Generator
) -> None:
    x, y = points(rng, 30, 3), points(rng, 50, 3)
    with cupy.cuda.Device(1):
        there = [cupy.asarray(a) for a in (x, y)]
    result = gaussian(*there).sum(axis=1, backend=backend)
    assert isinstance(result, cupy.ndarray)
    assert result.device.id == 1
    expected = gaussian(x, y).sum(axis=1, backend="numpy")
    np.testing.assert_allclose(result.get(), expected, rtol=60 * np.finfo(np.float32).eps)


@pytest.mark.compiler
def test_views_batches_and_parameters(cupy: Any, rng: np.random.Generator) -> None:
    wide = points(rng, 3, 40, 7)
    views = wide[:, ::2, ::3], wide[:1, ::-1, 1:7:2]
    there = [cupy.asarray(wide)[:, ::2, ::3], cupy.asarray(wide)[:1, ::-1, 1:7:2]]
    for a, b in zip(views, there, strict=True):
        assert (a == b.get()).all()
    expected, result = (gaussian(*v) * 3.5 for v in (views, there))
    np.testing.assert_allclose(
        result.sum(axis=2).get(),
        expected.sum(axis=2, backend="numpy"),
        rtol=60 * np.finfo(np.float32).eps,
    )


@pytest.mark.compiler
def test_ranges_of_a_gpu(cupy: Any, rng: np.random.Generator) -> None:
    x, y = points(rng, 30, 3), points(rng, 50, 3)
    cuts = np.array([[0, 11], [11, 30]]), np.array([[1, 20], [25, 50]])
    ranges = from_matrix(*(cupy.asarray(a) for a in cuts), cupy.asarray(np.eye(2, dtype=bool)))
    there = gaussian(cupy.asarray(x), cupy.asarray(y))
    for axis in (0, 1):
        result = there.sum(axis=axis, ranges=tuple(map(cupy.asarray, ranges)))
        expected = gaussian(x, y).sum(axis=axis, ranges=ranges, backend="numpy")
        np.testing.assert_allclose(result.get(), expected, rtol=60 * np.finfo(np.float32).eps)
        found = there.argmin(axis=axis, ranges=ranges).get()
        assert (found == gaussian(x, y).argmin(axis=axis, ranges=ranges, backend="numpy")).all()


@pytest.mark.compiler
def test_huge_numbers_are_scaled_on_the_device(cupy: Any, rng: np.random.Generator) -> None:
    x, y = points(rng, 5, 3) * np.float32(1e25), points(rng, 6, 3)
    result = (Vi(cupy.asarray(x)).sqdist(Vj(cupy.asarray(y)))).sqrt().sum(axis=1).get()
    exact = np.sqrt(((x[:, None].astype(float) - y) ** 2).sum(-1)).sum(1)
    np.testing.assert_allclose(result[:, 0], exact, rtol=20 * np.finfo(np.float32).eps)


@pytest.mark.compiler
def test_kernels_run_on_the_current_stream(cupy: Any, rng: np.random.Generator) -> None:
    z = gaussian(points(rng, 1, 3), points(rng, 100_000, 3))
    with cupy.cuda.Stream() as stream:
        z.sum(axis=1, backend="cuda")
    launched = [name.rsplit("_kernel_", 1)[0] for name, _, _ in stream.launched]
    assert launched[:3] == ["pack_rows", "pack_columns", "run"]
    assert set(launched[3:]) == {"merge"}
    grids = {
        name.rsplit("_kernel_", 1)[0]: (grid[0], block) for name, grid, block in stream.launched
    }
    assert grids["run"][0] > 100, "few rows are to keep a GPU busy too"
    assert grids["run"][1] == (1, 16)
    assert not fake_cupy.Stream.current.launched


@pytest.mark.compiler
def test_a_second_call_compiles_and_loads_nothing(cupy: Any, rng: np.random.Generator) -> None:
    compiled = cupy.cuda.nvrtc.compiled
    for n in (10, 20):
        gaussian(points(rng, n, 3), points(rng, 7, 3)).sum(axis=1, backend="cuda")
    assert len(compiled) == 1
    assert "-arch=sm_90" in compiled[0]
    assert not any("fast" in option or "ftz" in option for option in compiled[0])
    with cupy.cuda.Device(1):
        gaussian(points(rng, 5, 3), points(rng, 7, 3)).sum(axis=1, backend="cuda")
    assert len(compiled) == 1, "another device of the same kind takes what is kept"
    assert len(get_backend("cuda")._loaded) == 2  # type: ignore[attr-defined]


def test_machine_code_is_kept(cupy: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its source, the options, the version of NVRTC and the kind of device."""
    monkeypatch.setattr(_nvrtc, "_store", _store)
    compiled = cupy.cuda.nvrtc.compiled
    made = _nvrtc.compile_cuda("a", "sm_90")
    assert _nvrtc.compile_cuda("a", "sm_90") == made
    assert len(compiled) == 1
    (file,) = folder.iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    assert _nvrtc.compile_cuda("a", "sm_90") == made
    assert len(compiled) == 2, "a file that is damaged is made anew"
    for source, arch in (("b", "sm_90"), ("a", "sm_80")):
        assert _nvrtc.compile_cuda(source, arch) != made
    monkeypatch.setattr(cupy.cuda.nvrtc, "getVersion", lambda: (13, 1))
    _nvrtc.compile_cuda("a", "sm_90")
    monkeypatch.setattr(_nvrtc, "OPTIONS", ("-std=c++20",))
    _nvrtc.compile_cuda("a", "sm_90")
    assert len(compiled) == 6
    monkeypatch.setenv("GEOREDUCE_ASSERT_CACHED", "1")
    _nvrtc.compile_cuda("a", "sm_90")
    with pytest.raises(AssertionError, match="Expected a source that is in the cache"):
        _nvrtc.compile_cuda("c", "sm_90")


@pytest.mark.compiler
@pytest.mark.parametrize(
    ("capability", "arch"), [("121", "compute_120"), ("89", "compute_80"), ("70", "sm_70")]
)
def test_a_device_that_nvrtc_does_not_know_gets_ptx(
    capability: str, arch: str, cupy: Any, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cupy.cuda.Device, "compute_capability", capability)
    gaussian(points(rng, 5, 3), points(rng, 7, 3)).sum(axis=1, backend="cuda")
    assert cupy.cuda.nvrtc.compiled[-1][0] == f"-arch={arch}", "NVRTC says of an older one itself"


def test_arrays_on_two_devices_are_refused(cupy: Any, rng: np.random.Generator) -> None:
    with cupy.cuda.Device(1):
        y = cupy.asarray(points(rng, 4, 3))
    match = "on one device, but got CuPy arrays on cuda:0 and CuPy arrays on cuda:1"
    with pytest.raises(DTypeError, match=match):
        gaussian(cupy.asarray(points(rng, 4, 3)), y)


def test_arrays_of_two_libraries_are_refused(cupy: Any, rng: np.random.Generator) -> None:
    match = "but got NumPy arrays and CuPy arrays on cuda:0. Convert one of them: .*cupy.asnumpy"
    with pytest.raises(DTypeError, match=match):
        gaussian(points(rng, 4, 3), cupy.asarray(points(rng, 4, 3)))


@pytest.mark.compiler
def test_all_values_of_arrays_of_a_gpu(cupy: Any, rng: np.random.Generator) -> None:
    x, y = points(rng, 4, 3), points(rng, 5, 3)
    with cupy.cuda.Device(1):
        dense = gaussian(cupy.asarray(x), cupy.asarray(y)).dense()
    assert dense.device.id == 1
    ((exact, bound),) = tensor_values(gaussian(x, y), "sum", "j")[0]
    assert_close(dense.get(), exact[..., 0], bound[..., 0])


@pytest.mark.compiler
def test_scipy_works_with_arrays_of_a_gpu(cupy: Any, rng: np.random.Generator) -> None:
    x, y, b = points(rng, 4, 3), points(rng, 5, 3), points(rng, 5)
    product = gaussian(cupy.asarray(x), cupy.asarray(y)).matvec(b.astype("float64"))
    assert product.dtype == np.float64
    expected = gaussian(x, y).dense() @ b
    np.testing.assert_allclose(product, expected, atol=60 * np.finfo(np.float32).eps)


def test_arrays_of_a_gpu_on_another_backend_are_refused(cupy: Any, rng: Any) -> None:
    z = gaussian(*(cupy.asarray(points(rng, 4, 3)) for _ in range(2)))
    with pytest.raises(ArgumentError, match="arrays of a GPU with backend='numpy'"):
        z.sum(axis=1, backend="numpy")


def test_other_dtypes_of_a_gpu_are_refused(cupy: Any) -> None:
    with pytest.raises(DTypeError, match=r"astype\(numpy.float32\)"):
        Vi(cupy.asarray(np.zeros((3, 2), np.int64)))


def test_errors_of_the_compiler_are_shown(cupy: Any, rng: np.random.Generator) -> None:
    cupy.cuda.nvrtc.fails = 'kernel.cu(7): error: identifier "ex3" is undefined\n'
    with pytest.raises(CompileError, match='identifier "ex3" is undefined'):
        gaussian(points(rng, 2, 3), points(rng, 3, 3)).sum(axis=1, backend="cuda")


def test_without_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    imported = builtins.__import__

    def refuse(name: str, *args: Any) -> Any:
        if name.split(".")[0] == "cupy":
            raise ModuleNotFoundError("No module named 'cupy'")
        return imported(name, *args)

    monkeypatch.setattr("importlib.import_module", lambda name, *args: refuse(name))
    with pytest.raises(
        BackendError, match=r'No module named .cupy.. Install "georeduce\[cuda13\]"'
    ):
        LazyTensor(np.zeros((2, 1, 3))).sum(axis=1, backend="cuda")


@pytest.mark.parametrize("broken", [False, True])
def test_without_a_device(broken: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    module = fake_cupy.install(monkeypatch, devices=0)
    if broken:

        def fail() -> int:
            raise RuntimeError("cudaErrorInsufficientDriver")

        monkeypatch.setattr(module.cuda.runtime, "getDeviceCount", fail)
    match = "NVIDIA GPU and its driver.*cudaErrorInsufficientDriver" if broken else "but got none"
    with pytest.raises(BackendError, match=match):
        LazyTensor(np.zeros((2, 1, 3))).sum(axis=1, backend="cuda")


def test_cupy_is_not_imported_before_it_is_used() -> None:
    code = "import sys, georeduce.engine.backends.cuda; sys.exit('cupy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.cuda
@pytest.mark.parametrize("case", CASES, ids=str)
def test_arrays_of_a_real_gpu(case: Case, rng: np.random.Generator) -> None:
    import cupy

    x, weight = case.tensors(rng, 300, 500)
    task, data = build(x, case.reduction, case.axis, 3, weight)
    there = data._replace(arrays=[cupy.asarray(a) for a in data.arrays])
    for a, b in zip(run(task, there), run(task, data, "numpy"), strict=True):
        assert isinstance(a, cupy.ndarray)
        assert a.shape == b.shape


def test_sources_are_shown_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    z = LazyTensor(np.zeros((2, 1, 3), np.float32)).sqdist(np.zeros((1, 3, 3), np.float32))
    source = z.source("argKmin", backend="cuda")
    assert "__global__" in source
    assert "Sorted<T, 16, int>" in source
    assert source == z.source("argKmin", backend="emulator")
