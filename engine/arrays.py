"""Which arrays come in: the library they are from, where they lie, and what is wrong with them.

A library is never imported to find out: an array of a library that is not in ``sys.modules``
cannot exist.
"""

from __future__ import annotations

import contextlib
import numbers
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import numpy as np

from .errors import DTypeError, ShapeError, expected

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
TENSOR_FLOATS = ("torch.float32", "torch.float64")
TENSOR_DEVICES = ("cpu", "cuda")


class Home(NamedTuple):
    """Where arrays live: "numpy", "torch" or "cupy", and the device as that library calls it."""

    library: str
    device: str

    def __str__(self) -> str:
        if self.library == "numpy":
            return "NumPy arrays"
        name = "CuPy arrays" if self.library == "cupy" else "torch tensors"
        return f"{name} on {self.device}"


NUMPY = Home("numpy", "cpu")


F = TypeVar("F", bound=Callable[..., Any])


def not_traced(f: F) -> F:
    """Tell torch.compile to leave a function to Python, as ``torch.compiler.disable`` does.

    These are the two words that it leaves on a function. It is not called, as it imports PyTorch,
    and takes a microsecond at each call.
    """
    reason = "georeduce compiles kernels of its own: what is around them is compiled, they are not"
    f._torchdynamo_disable = True  # type: ignore[attr-defined]
    f._torchdynamo_disable_msg = reason  # type: ignore[attr-defined]
    return f


_told = False


@not_traced
def leave_to_python() -> None:
    """Tell torch.compile, once it is there, to leave all of the engine to Python."""
    global _told
    if _told or "torch._dynamo" not in sys.modules:
        return
    _told = True
    with contextlib.suppress(ImportError, AttributeError):  # no public name for it
        from torch._dynamo import trace_rules

        trace_rules.add(__package__)


def library_of(x: Any) -> str:
    """Return "numpy", "torch", "cupy", "scalar", "sequence" or "unknown"."""
    if isinstance(x, np.ndarray):
        return "numpy" if x.ndim else "scalar"
    if isinstance(x, numbers.Real | np.bool_):
        return "scalar"
    for name, kind in (("torch", "Tensor"), ("cupy", "ndarray")):
        module = sys.modules.get(name)
        if module is not None and isinstance(x, getattr(module, kind, ())):
            leave_to_python()
            return name
    if isinstance(x, list | tuple):
        return "sequence"
    return "unknown"


def kind_of(x: Any) -> tuple[np.dtype[Any], Home]:
    """Return the dtype of an array, as NumPy calls it, and where the array lives."""
    if isinstance(x, np.ndarray):
        return x.dtype, NUMPY
    if isinstance(x.dtype, np.dtype):
        return x.dtype, Home("cupy", f"cuda:{x.device.id}")
    return _tensor_kind(x.dtype, x.device)


@lru_cache(maxsize=64)
def _tensor_kind(dtype: Any, device: Any) -> tuple[np.dtype[Any], Home]:
    return np.dtype(str(dtype).removeprefix("torch.")), Home("torch", str(device))


def cast(x: Any, dtype: np.dtype[Any]) -> Any:
    """Return an array in another dtype, float32 or float64."""
    if x.dtype is dtype:
        return x
    if isinstance(x.dtype, np.dtype):
        with np.errstate(over="ignore"):  # 1e300 in float32 is infinite, as in NumPy's arithmetic
            return x.astype(dtype)
    return x.to(getattr(sys.modules["torch"], dtype.name))


def to_numpy(x: Any) -> np.ndarray[Any, Any]:
    """Return an array of any library as one of NumPy; on a GPU, a copy of it."""
    if isinstance(x, np.ndarray):
        return x
    result: np.ndarray[Any, Any] = x.numpy(force=True) if library_of(x) == "torch" else x.get()
    return result


def from_numpy(x: np.ndarray[Any, Any], home: Home | None) -> Any:
    """Return a NumPy array in another library, on its device: a copy, if it is another."""
    if home is None or home.library == "numpy":
        return x
    if home.library == "torch":
        return sys.modules["torch"].tensor(x, device=home.device)
    cupy = sys.modules["cupy"]
    with cupy.cuda.Device(int(home.device.removeprefix("cuda:"))):
        return cupy.asarray(x)


@not_traced
def check_array(x: Any, what: str, name: str = "x") -> Any:
    """Return an array of floating point numbers, or raise with the cure.

    Parameters
    ----------
    x : array
        What the user gave.
    what : str
        What it is to be, for the message: "x", "an array of shape (M, 1, D)".
    name : str
        The user's word for it, for the cure.
    """
    if type(x) is np.ndarray and x.dtype in FLOATS:
        return x
    library = library_of(x)
    if library == "torch":
        return _check_tensor(x, what, name)
    if library == "cupy" and x.dtype in FLOATS:
        return x
    if library not in ("numpy", "cupy"):
        got = f"{type(x).__name__}"
        cure = f"Pass numpy.asarray({name}, dtype=float)." if library == "sequence" else ""
        raise DTypeError(expected(f"{what} as a NumPy, PyTorch or CuPy array", got, cure))
    if isinstance(x, np.ma.MaskedArray):
        cure = "Fill or drop the masked values first."
        raise DTypeError(expected(f"{what} as a plain array", "a masked array", cure))
    if x.dtype not in FLOATS:
        cure = f"Pass {name}.astype(numpy.float32) or {name}.astype(numpy.float64)."
        if x.dtype.kind == "O":
            cure = f"Pass numpy.asarray({name}, dtype=float), if its entries are numbers."
        elif x.dtype.kind == "c":
            cure = f"Pass {name}.real and {name}.imag: formulas are of real numbers."
        raise DTypeError(expected(f"{what} of dtype float32 or float64", str(x.dtype), cure))
    return np.asarray(x)


def _check_tensor(x: Any, what: str, name: str) -> Any:
    """Return a torch tensor of floating point numbers in plain memory, or raise with the cure."""
    if _is_plain(x.dtype, x.layout, x.device) and not x.is_nested:
        return x
    if str(x.dtype) not in TENSOR_FLOATS:
        cure = f"Pass {name}.float() or {name}.double()."
        if x.dtype.is_complex:
            cure = f"Pass {name}.real and {name}.imag: formulas are of real numbers."
        raise DTypeError(expected(f"{what} of dtype float32 or float64", str(x.dtype), cure))
    if x.device.type not in TENSOR_DEVICES:
        got = f"one on {x.device}"
        raise DTypeError(
            expected(f"{what} on the CPU or a CUDA device", got, f"Pass {name}.cpu().")
        )
    got = "a nested tensor" if x.is_nested else f"one of layout {x.layout}"
    cure = f"Pass {name}.to_padded_tensor(0)." if x.is_nested else f"Pass {name}.to_dense()."
    raise DTypeError(expected(f"{what} as a dense tensor", got, cure))


@lru_cache(maxsize=64)
def _is_plain(dtype: Any, layout: Any, device: Any) -> bool:
    dense = str(layout) == "torch.strided"
    return dense and str(dtype) in TENSOR_FLOATS and device.type in TENSOR_DEVICES


def check_numbers(x: Any, what: str) -> np.ndarray[Any, Any]:
    """Return a number or a list of numbers as a vector, which has no dtype of its own.

    Raises
    ------
    DTypeError
        If it is not made of real numbers.
    ShapeError
        If it is not a vector.
    """
    try:
        values = np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError):
        got = f"{type(x).__name__}"
        raise DTypeError(expected(f"{what} as a number, or a list of numbers", got)) from None
    if values.ndim != 1 or not values.size:
        raise ShapeError(expected(f"{what} as a vector of numbers", f"shape {values.shape}"))
    return values


def scalar_value(x: Any) -> float:
    """Return a number as a Python float."""
    try:
        return float(x)
    except OverflowError:
        raise DTypeError(expected("a number that fits in float64", "a larger one")) from None
