"""A test double of the part of CuPy that the engine uses; its GPUs are the checked emulator.

What CuPy refuses is refused here: NumPy arrays among those of a GPU, kernels and arrays of another
device, arguments of other types. Memory of the host is none that kernels may access.
"""

from __future__ import annotations

import sys
import types
import weakref
from typing import Any

import numpy as np

from georeduce.engine.backends import _nvrtc, get_backend
from georeduce.engine.backends.emulator import Program

DEVICES = 2
_memory: dict[int, tuple[int, int, int]] = {}  # key -> (begin, end, device)
_current = [0]


def install(monkeypatch: Any, devices: int = DEVICES) -> FakeCupy:
    """Make ``import cupy`` find a new double, and nothing that it compiles reach the real cache.

    What the emulator makes of it is in the cache like everything else.
    """
    module = FakeCupy(devices)
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setattr(get_backend("cuda"), "_loaded", {})
    monkeypatch.delenv("GEOREDUCE_ASSERT_CACHED", raising=False)
    kept: dict[str, bytes] = {}
    store = types.SimpleNamespace(read=kept.get, write=kept.__setitem__, folder=lambda: "none")
    monkeypatch.setattr(_nvrtc, "_store", store)
    _current[:] = [0]
    return module


UFUNCS = {"exp", "expm1", "isfinite", "log", "log1p", "maximum", "minimum", "sqrt"}
"""Of NumPy: what CuPy has as functions of the same names."""
FUNCTIONS = {
    "amax",
    "average",
    "argpartition",
    "argsort",
    "bincount",
    "broadcast_to",
    "concatenate",
    "cumsum",
    "einsum",
    "searchsorted",
    "where",
}
"""Of NumPy: what CuPy's functions of the same names answer for arrays of a device."""


def _plain(x: Any) -> Any:
    """Return what NumPy computes with instead of an array of a device; numbers are themselves."""
    if isinstance(x, ndarray):
        assert x._device == _current[-1], "an array of another device"
        return x._host
    if isinstance(x, tuple | list):
        return type(x)(map(_plain, x))
    if isinstance(x, np.ndarray) and x.ndim:
        raise TypeError(f"Unsupported type {type(x)}")
    return x


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):  # noqa: N801  (CuPy's name)
    """An array on a device."""

    def __init__(self, host: np.ndarray[Any, Any], device: int, base: Any = None) -> None:
        self._host, self._device, self._base = host, device, base
        if base is None:
            begin = host.ctypes.data
            _memory[id(self)] = begin, begin + host.nbytes, device
            weakref.finalize(self, _memory.pop, id(self))

    def __getattr__(self, name: str) -> Any:
        if name not in ("shape", "dtype", "strides", "itemsize", "size", "ndim", "nbytes"):
            raise AttributeError(f"the double has no {name}")
        return getattr(self._host, name)

    @property
    def data(self) -> Any:
        return types.SimpleNamespace(ptr=self._host.ctypes.data)

    @property
    def device(self) -> Any:
        return types.SimpleNamespace(id=self._device)

    def _view(self, host: np.ndarray[Any, Any]) -> ndarray:
        return ndarray(host, self._device, self if self._base is None else self._base)

    def _method(self, name: str, *args: Any, **kwargs: Any) -> ndarray:
        found = getattr(_plain(self), name)(*map(_plain, args), **kwargs)
        return ndarray(np.asarray(found), self._device)

    def copy(self) -> ndarray:
        return ndarray(self._host.copy(), self._device)

    def __len__(self) -> int:
        return len(self._host)

    def __bool__(self) -> bool:
        return bool(self._host)

    def __float__(self) -> float:
        return float(self._host)

    def __int__(self) -> int:
        return int(self._host)

    @property
    def T(self) -> ndarray:
        return self._view(self._host.T)

    def __getitem__(self, key: Any) -> ndarray:
        result = self._host[_plain(key)]
        if np.shares_memory(result, self._host):
            return self._view(result)
        return ndarray(np.asarray(result), self._device)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._host[_plain(key)] = _plain(value)

    def reshape(self, *shape: Any) -> ndarray:
        result = self._host.reshape(*shape)
        shared = np.shares_memory(result, self._host)
        return self._view(result) if shared else ndarray(result, self._device)

    def astype(self, dtype: Any, copy: bool = True) -> ndarray:
        if not copy and self.dtype == dtype:
            return self
        return ndarray(self._host.astype(dtype), self._device)

    def view(self, dtype: Any) -> ndarray:
        return self._view(self._host.view(dtype))

    def set(self, host: np.ndarray[Any, Any]) -> None:
        assert type(host) is np.ndarray
        assert (host.shape, host.dtype) == (self.shape, self.dtype)
        assert self._device == _current[-1]
        self._host[...] = host

    def get(self) -> np.ndarray[Any, Any]:
        return self._host.copy()

    def sum(self, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> ndarray:
        return self._method("sum", axis=axis, dtype=dtype, keepdims=keepdims)

    def mean(self, axis: Any = None, dtype: Any = None) -> ndarray:
        return self._method("mean", axis=axis, dtype=dtype)

    def var(self, axis: Any = None, dtype: Any = None) -> ndarray:
        return self._method("var", axis=axis, dtype=dtype)

    def max(self, axis: Any = None, keepdims: bool = False) -> ndarray:
        return self._method("max", axis=axis, keepdims=keepdims)

    def min(self, axis: Any = None, keepdims: bool = False) -> ndarray:
        return self._method("min", axis=axis, keepdims=keepdims)

    def any(self, axis: Any = None, keepdims: bool = False) -> ndarray:
        return self._method("any", axis=axis, keepdims=keepdims)

    def all(self, axis: Any = None, keepdims: bool = False) -> ndarray:
        return self._method("all", axis=axis, keepdims=keepdims)

    def clip(self, min: Any = None, max: Any = None) -> ndarray:
        return self._method("clip", min, max)

    def argmin(self, axis: Any = None) -> ndarray:
        return self._method("argmin", axis=axis)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> ndarray:
        out = kwargs.pop("out", None)
        if out is not None:
            kwargs["out"] = tuple(map(_plain, out))
        found = getattr(ufunc, method)(*map(_plain, inputs), **kwargs)
        return out[0] if out is not None else ndarray(np.asarray(found), self._device)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function.__name__ not in FUNCTIONS or not all(issubclass(t, ndarray) for t in types):
            return NotImplemented
        found = function(*map(_plain, args), **{k: _plain(v) for k, v in kwargs.items()})
        return ndarray(np.asarray(found), self._device)


class Device:
    """A device, to be the current one within a ``with``."""

    compute_capability = "90"

    def __init__(self, number: int | None = None) -> None:
        self.id = _current[-1] if number is None else number

    def __enter__(self) -> Device:
        _current.append(self.id)
        return self

    def __exit__(self, *_: Any) -> None:
        _current.pop()

    def synchronize(self) -> None:
        pass


class Stream:
    """A stream, to be the current one within a ``with``; knows what was launched on it."""

    current: Stream

    def __init__(self) -> None:
        self.launched: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = []

    def __enter__(self) -> Stream:
        self._before, Stream.current = Stream.current, self
        return self

    def __exit__(self, *_: Any) -> None:
        Stream.current = self._before


class ExternalStream(Stream):
    """A stream that another library made."""

    def __init__(self, pointer: int, device: int) -> None:
        super().__init__()
        self.ptr, self.device_id = pointer, device


class RawModule:
    """Kernels from a file, for the device that is the current one at the first of them."""

    def __init__(self, *, path: str) -> None:
        self._path, self._program = path, None
        self._device = _current[-1]

    def get_function(self, name: str) -> Any:
        if self._program is None:
            with open(self._path, encoding="utf-8") as file:
                arch, source = file.read().removesuffix("\0").split("\n", 1)
            kind, number = arch.split("_")
            mine = int(Device().compute_capability)
            assert int(number) == mine if kind == "sm" else int(number) <= mine
            self._program = Program(source, checked=True)

        def run(grid: Any, block: Any, args: Any) -> None:
            call, step = args
            assert (type(call), type(step)) == (np.uint64, np.int64)
            assert all(type(n) is int for n in (*grid, *block))
            assert 1 <= grid[0] < 2**31
            assert len(grid) == 1
            assert len(block) == 2
            assert 1 <= block[0] * block[1] <= 1024
            assert self._device == _current[-1], "a kernel of another device"
            Stream.current.launched.append((name, grid, block))
            mine = [(a, b) for a, b, device in _memory.values() if device == _current[-1] and a < b]
            self._program.launch(name, grid[0], block, int(call), int(step), mine)

        return run


class NVRTCError(Exception):
    """What NVRTC says."""


class FakeNvrtc(types.ModuleType):
    """Compiles nothing: machine code is the architecture and the source."""

    NVRTCError = NVRTCError

    def __init__(self) -> None:
        super().__init__("nvrtc")
        self.compiled: list[tuple[str, ...]] = []
        self.fails = ""

    def getVersion(self) -> tuple[int, int]:
        return 13, 0

    def getSupportedArchs(self) -> tuple[int, ...]:
        return 75, 80, 90, 120

    def createProgram(self, source: str, name: str, headers: Any, include_names: Any) -> list[str]:
        assert "#include" not in source
        return [source, ""]

    def compileProgram(self, program: list[str], options: tuple[str, ...]) -> None:
        if self.fails:
            raise NVRTCError("NVRTC_ERROR_COMPILATION (6)")
        self.compiled.append(options)
        program[1] = options[0].removeprefix("-arch=")

    def getCUBIN(self, program: list[str]) -> bytes:
        assert program[1].startswith("sm_")
        return f"{program[1]}\n{program[0]}".encode()

    def getPTX(self, program: list[str]) -> bytes:
        assert program[1].startswith("compute_")
        return f"{program[1]}\n{program[0]}".encode()

    def getProgramLog(self, program: list[str]) -> str:
        return self.fails

    def destroyProgram(self, program: list[str]) -> None:
        program.clear()


class FakeCupy(types.ModuleType):
    """The module."""

    ndarray = ndarray
    RawModule = RawModule

    def __init__(self, devices: int) -> None:
        super().__init__("cupy")
        self.cuda = types.SimpleNamespace(
            Device=Device,
            Stream=Stream,
            ExternalStream=ExternalStream,
            nvrtc=FakeNvrtc(),
            runtime=types.SimpleNamespace(
                getDeviceCount=lambda: devices,
                getDeviceProperties=lambda n: {"name": b"an emulated device"},
            ),
        )
        Stream.current = Stream()

    def __getattr__(self, name: str) -> Any:
        if name in UFUNCS | FUNCTIONS:
            return getattr(np, name)
        raise AttributeError(f"the double has no function {name}")

    def full(self, shape: Any, value: Any, dtype: Any = np.float64) -> ndarray:
        made = self.empty(shape, dtype)
        made[...] = value
        return made

    def zeros(self, shape: Any, dtype: Any = np.float64) -> ndarray:
        return self.full(shape, 0, dtype)

    def empty(self, shape: Any, dtype: Any = np.float64) -> ndarray:
        host = np.empty(shape, dtype)
        room = np.empty(host.nbytes + 16, np.uint8)
        start = -room.ctypes.data % 16
        room[...] = 0xA5  # memory of a GPU is not clean
        host = room[start : start + host.nbytes].view(dtype).reshape(shape)
        return ndarray(host, _current[-1])

    def asarray(self, x: Any) -> ndarray:
        if isinstance(x, ndarray):
            return x
        assert type(x) is np.ndarray
        copy = self.empty(x.shape, x.dtype)
        copy.set(np.ascontiguousarray(x).reshape(x.shape))
        return copy

    def from_dlpack(self, x: Any) -> ndarray:
        return ndarray(np.from_dlpack(x), _current[-1])

    def asnumpy(self, x: ndarray) -> np.ndarray[Any, Any]:
        return x.get()
