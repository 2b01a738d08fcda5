"""CUDA kernels on an NVIDIA GPU, through CuPy, which is imported when it is used.

CuPy arrays are used where they lie, on their device and the current stream, and results are CuPy
arrays there; NumPy arrays are copied to the current device and the results back.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..codegen.gpu import GpuKernel, preamble
from ..errors import expected
from ._base import Array, Data, Task
from ._gpu import GpuBackend, launch
from ._nvrtc import compile_cuda


class Device:
    """A `Machine` that is the current device of CuPy.

    Parameters
    ----------
    cupy : module
        CuPy.
    functions : dict
        The kernels, by name.
    """

    def __init__(self, cupy: Any, functions: dict[str, Any]) -> None:
        self._cupy = cupy
        self._functions = functions

    def allocate(self, size: int) -> Any:
        """Return an array of bytes, from CuPy's pool, which frees it in the order of the stream."""
        return self._cupy.empty(size, np.uint8)

    def upload(self, words: Array, to: Any) -> None:
        """Copy words to the start of an array."""
        to[: words.nbytes].set(words.view(np.uint8))

    def pointer(self, a: Any) -> int:
        """Return where an array begins."""
        return int(a.data.ptr)

    def launch(self, name: str, grid: int, block: tuple[int, int], call: int, step: int) -> None:
        """Start a kernel on the current stream."""
        self._functions[name]((grid,), block, (np.uint64(call), np.int64(step)))


class CudaBackend(GpuBackend):
    """Compiles a task with NVRTC, once for each kind of device, and launches it."""

    name = "cuda"

    def __init__(self) -> None:
        self._loaded: dict[tuple[GpuKernel, int], dict[str, Any]] = {}

    def missing(self) -> str:
        """Return why there is no CuPy or no device, "" if there are."""
        try:
            cupy = importlib.import_module("cupy")
        except ImportError as error:
            cure = 'Install "georeduce[cuda13]", or "georeduce[cuda12]" for a CUDA 12 driver.'
            return expected("CuPy", str(error), cure)
        try:
            count = cupy.cuda.runtime.getDeviceCount()
        except Exception as error:  # CuPy's own class, of an error of the driver
            return expected("an NVIDIA GPU and its driver", str(error))
        return "" if count else expected("an NVIDIA GPU", "none")

    def run(self, task: Task, data: Data) -> tuple[Any, ...]:
        """Return the results, see `Backend.run`: CuPy arrays if one of the arrays is."""
        kernel = self.kernel(task, data.K, data.ranges is not None)
        cupy = importlib.import_module("cupy")
        arrays: Sequence[Any] = data.arrays
        devices = {a.device.id for a in arrays if not isinstance(a, np.ndarray)}
        with cupy.cuda.Device(*devices):
            there = data._replace(arrays=[cupy.asarray(a) for a in arrays])
            lead = (*data.batch, data.M)
            results = tuple(
                cupy.empty((*lead, dim or data.K), dtype) for dim, dtype in task.results
            )
            if data.M and 0 not in data.batch:
                launch(kernel, there, results, Device(cupy, self._functions(cupy, kernel)))
            return results if devices else tuple(cupy.asnumpy(r) for r in results)

    def prepare(self, tasks: Sequence[Task]) -> None:
        """Compile for the current device what these tasks need, with lists of 10 numbers."""
        cupy = importlib.import_module("cupy")
        for task in tasks:
            self._functions(cupy, self.kernel(task, 10))

    def _functions(self, cupy: Any, kernel: GpuKernel) -> dict[str, Any]:
        """Return the kernels as functions of the current device."""
        device = cupy.cuda.Device()
        key = kernel, device.id
        if key not in self._loaded:
            code = compile_cuda(preamble() + kernel.source, f"sm_{device.compute_capability}")
            with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
                file.write(code)
                file.flush()
                module = cupy.RawModule(path=file.name)
                names = [f"{what}_{kernel.name}" for what in kernel.entries()]
                # the file is read here, at the first of them
                self._loaded[key] = {name: module.get_function(name) for name in names}
        return self._loaded[key]


BACKEND = CudaBackend()
