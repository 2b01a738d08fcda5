"""CUDA kernels without a GPU: their source, compiled for the processor. For debugging and tests.

Slow, and never chosen by "auto". It runs the very text that NVRTC gets; ``emulator.h`` stands in
for CUDA, and `EmulatorBackend.checked` makes it look for what a GPU would punish.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from ..codegen import gpu
from ..errors import BackendError, expected
from ._base import Array, Data, Task, empty_results
from ._cache import load
from ._compiler import find_compiler, why_no_compiler
from ._gpu import GpuBackend, launch
from ._threads import mark_used, thread_count

HEADERS = (Path(gpu.__file__).parent / "emulator.h",)


class Program:
    """Kernels that are compiled for the processor.

    Parameters
    ----------
    source : str
        CUDA.
    checked : bool
        Whether accesses are checked.
    """

    def __init__(self, source: str, checked: bool) -> None:
        head = "#define GR_CHECKED 1\n" if checked else ""
        self._library = load(f'{head}#include "emulator.h"\n{source}', HEADERS)

    def launch(
        self,
        name: str,
        grid: int,
        block: tuple[int, int],
        call: int,
        step: int,
        arrays: Sequence[tuple[int, int]],
    ) -> None:
        """Run a kernel on the arguments at `call`.

        Parameters
        ----------
        name : str
            Of the kernel.
        grid, block : int, tuple of int
            Number of blocks, and threads of a block along x and y.
        call, step : int
            Its arguments: where they lie, and a number.
        arrays : sequence of tuple of int
            Where each array begins and ends that it may access.

        Raises
        ------
        BackendError
            If a GPU would punish what the kernel does.
        """
        words = np.array([(begin, end, 0) for begin, end in arrays], np.int64)
        threads = max(1, min(thread_count(None), grid))
        mark_used(threads)
        message = ctypes.create_string_buffer(512)
        kernel = ctypes.cast(getattr(self._library, name), ctypes.c_void_p)
        failed = self._library.gr_emulate(
            kernel,
            ctypes.c_void_p(call),
            ctypes.c_int64(step),
            ctypes.c_int64(grid),
            *block,
            threads,
            ctypes.c_void_p(words.ctypes.data),
            ctypes.c_int64(len(arrays)),
            message,
        )
        if failed:
            cause = message.value.decode()
            raise BackendError(expected(f"the kernel {name} to keep to CUDA's rules", cause))


class Host:
    """A `Machine` whose memory is the processor's.

    Parameters
    ----------
    program : Program
        The kernels.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        self._arrays: list[Any] = []

    def allocate(self, size: int) -> Array:
        """Return an array of bytes."""
        room = np.empty(size + 16, np.uint8)
        start = -room.ctypes.data % 16
        room = room[start : start + size]
        self._arrays.append(room)
        return room

    def upload(self, words: Array, to: Array) -> None:
        """Copy words to the start of an array."""
        to[: words.nbytes] = words.view(np.uint8)

    def pointer(self, a: Array) -> int:
        """Return where an array begins."""
        self._arrays.append(a)
        return int(a.ctypes.data)

    def launch(self, name: str, grid: int, block: tuple[int, int], call: int, step: int) -> None:
        """Run a kernel."""
        arrays = [byte_bounds(a) for a in self._arrays if a.size]
        self._program.launch(name, grid, block, call, step, arrays)


class EmulatorBackend(GpuBackend):
    """Runs CUDA kernels on the processor.

    Parameters
    ----------
    checked : bool
        Whether accesses are checked, which takes several times as long.
    """

    name = "emulator"

    def __init__(self, checked: bool = False) -> None:
        self.checked = checked
        self._loaded: dict[tuple[Any, bool], Program] = {}

    def missing(self) -> str:
        """Return why there is no compiler, "" if there is one."""
        return "" if self._loaded or find_compiler() is not None else why_no_compiler()

    def prepare(self, tasks: Sequence[Task], K: Sequence[int] = (3,), sparse: bool = False) -> None:
        """Compile many tasks together, with lists for these numbers of neighbours."""
        kernels = dict.fromkeys(self.kernel(task, n, sparse) for task in tasks for n in K)
        self._prepare([k for k in kernels if (k, self.checked) not in self._loaded])

    def _prepare(self, kernels: Sequence[gpu.GpuKernel]) -> None:
        if kernels:
            sources = dict.fromkeys(k.source for k in kernels)
            program = Program(gpu.preamble() + "\n".join(sources), self.checked)
            self._loaded.update({(k, self.checked): program for k in kernels})

    def run(self, task: Task, data: Data) -> tuple[Array, ...]:
        """Return the results, see `Backend.run`."""
        kernel = self.kernel(task, data.K, data.ranges is not None)
        if (kernel, self.checked) not in self._loaded:
            self._prepare([kernel])
        results = empty_results(task, data)
        if data.M and 0 not in data.batch:
            launch(kernel, data, results, Host(self._loaded[kernel, self.checked]))
        return results


BACKEND = EmulatorBackend()
