"""Every buffer of a call apart from the others, so that no overflow ends in a neighbour unseen.

The backend takes one allocation for a call and cuts it in pieces. Here the arguments of the
compiled function are read as ``kernel.h`` declares them, and each piece is replaced by memory of
exactly the size that the kernel may use, filled with NaN (bytes 0xff), so that what is read before
it is written shows in the results.
"""

from __future__ import annotations

import ctypes
import mmap
import re
import struct
from collections.abc import Callable
from dataclasses import replace
from threading import local
from typing import Any

import numpy as np

from georeduce.engine.backends import openmp
from georeduce.engine.backends.openmp import Loaded

FILL = 0xFF
PAGE = mmap.PAGESIZE
ALIGNMENT = openmp.ALIGNMENT
Array = np.ndarray[Any, Any]


def rounded(size: int, unit: int) -> int:
    return -(-size // unit) * unit


def declared(name: str) -> list[str]:
    """Return the names of the fields of a struct of ``kernel.h``, in order."""
    text = next(file for file in openmp.HEADERS if file.name == "kernel.h").read_text()
    found = re.search(rf"struct {name} \{{(.*?)\n\}};", text, re.DOTALL)
    assert found, f"kernel.h declares no struct {name}"
    body = re.sub(r"/\*.*?\*/|//[^\n]*", "", found[1], flags=re.DOTALL)
    names = []
    for declaration in body.split(";")[:-1]:
        if declaration.split()[0] == "typedef":
            continue
        # the last word before each comma: "T *parameters, *columns"
        names += [re.findall(r"\w+", part.split("[")[0])[-1] for part in declaration.split(",")]
    return names


SIZES = declared("Sizes")
_call = declared("Call")
assert (_call[0], _call[-2:]) == ("n", ["results", "slots"]), _call
WORDS = [*SIZES, *_call[1:-2]]
"""The words of an argument until the pointers of the results: each takes eight bytes."""


class Heap:
    """Pieces that are heap blocks, or lie in one with poison between them: for AddressSanitizer."""

    GAP = 4096

    def __init__(self, size: int, count: int) -> None:
        self.c = ctypes.CDLL(None)
        self.size, self.count = size, count
        self.stride = rounded(size, ALIGNMENT) + self.GAP
        total = self.stride * (count - 1) + size
        block = ctypes.c_void_p()
        assert not self.c.posix_memalign(
            ctypes.byref(block), ctypes.c_size_t(ALIGNMENT), ctypes.c_size_t(total)
        )
        self.address = block.value or 0
        ctypes.memset(self.address, FILL, total)
        self._gaps("__asan_poison_memory_region")

    def _gaps(self, function: str) -> None:
        call = getattr(self.c, function)
        for k in range(self.count - 1):
            end = self.address + k * self.stride + self.size
            # whole words of eight bytes only: what is left of one belongs to the piece
            end = rounded(end, 8)
            gap = self.address + (k + 1) * self.stride - end
            call(ctypes.c_void_p(end), ctypes.c_size_t(gap))

    def check(self) -> None:
        """Nothing to do: an access would have been reported."""

    def __del__(self) -> None:
        self._gaps("__asan_unpoison_memory_region")
        self.c.free(ctypes.c_void_p(self.address))


class Fence:
    """Pieces that end at pages which nobody may touch, but for less than an alignment."""

    def __init__(self, size: int, count: int, alignment: int = ALIGNMENT) -> None:
        self.size, self.count = size, count
        usable = rounded(size, alignment)
        pages = rounded(usable, PAGE)
        self.stride = pages + PAGE
        self.memory = mmap.mmap(-1, PAGE + count * self.stride)
        self.bytes = np.frombuffer(self.memory, np.uint8)
        self.offset = PAGE + pages - usable  # of the first piece
        base: int = self.bytes.__array_interface__["data"][0]
        self.address = base + self.offset
        self.bytes[:] = FILL
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        for k in range(count + 1):
            page = ctypes.c_void_p(base + k * self.stride)
            assert not protect(page, ctypes.c_size_t(PAGE), 0), ctypes.get_errno()

    def pieces(self) -> list[Array]:
        starts = [self.offset + k * self.stride for k in range(self.count)]
        return [self.bytes[start : start + self.size] for start in starts]

    def check(self) -> None:
        """Assert that what lies between the pages and the pieces is as it was."""
        for k in range(self.count):
            page, start = PAGE + k * self.stride, self.offset + k * self.stride
            end = page + self.stride - PAGE
            assert (self.bytes[page:start] == FILL).all(), "written before a buffer's start"
            assert (self.bytes[start + self.size : end] == FILL).all(), "written past its end"


def fenced(shape: tuple[int, ...], dtype: Any) -> Array:
    """Return an array whose last byte is the last one before a page that nobody may touch."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return Fence(size, 1, alignment=1).pieces()[0].view(dtype).reshape(shape)


def apart(loaded: Loaded, place: Callable[[int, int], Heap | Fence]) -> Loaded:
    """Return a kernel that runs with each of its buffers in a place of its own."""
    # A call may be made in parts, and these in waves. They share what the first one of all has
    # hoisted, but for the states, which outlast the waves of a part.
    mine = local()

    def run(argument: bytes, *blocks: bytes) -> None:
        words = list(struct.unpack(f"{len(argument) // 8}q", argument))
        n = dict(zip(WORDS, words, strict=False))
        needed = needs(loaded, n)
        if n["pack"] == 2:
            mine.places = {name: place(*size) for name, size in needed.items()}
        elif n["from"] == 0:
            mine.places["states"] = place(*needed["states"])
        for name, there in mine.places.items():
            words[WORDS.index(name)] = there.address
        words[WORDS.index("scratch_bytes")] = mine.places["scratch"].stride
        loaded.run(struct.pack(f"{len(words)}q", *words), *blocks)
        for there in mine.places.values():
            there.check()
        if n["unproven"]:  # the backend's own; rows that are yet to come are filled in later
            there = mine.places["unproven"]
            ctypes.memmove(n["unproven"], there.address, there.size)

    return replace(loaded, run=run)


def needs(k: Loaded, n: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Return the bytes of each buffer that ``kernel.h`` may use, and how many there are of it.

    Columns and scratch are as long as the backend made them, which `exact` keeps from rounding.
    """
    rows = n["batches"] * n["M"]
    waves = n["from"] > 0 or n["to"] * k.lanes < n["N"]
    if n["chunks"] > 1:
        states = (n["chunks"] + waves) * rows
    else:
        states = waves * (rows_before(n, n["last"]) - rows_before(n, n["first"]))
    columns = n["scratch"] - n["columns"]
    assert columns >= 0, "the scratch memory follows the columns"
    return {
        "parameters": (k.scalar_bytes * k.n_parameters * n["parameter_batches"], 1),
        "columns": (columns, 1),
        "scratch": (n["scratch_bytes"], n["threads"]),
        "states": (k.row_bytes(n["kept"]) * states, 1),
        "unproven": (rows if n["unproven"] else 0, 1),
    }


def rows_before(n: dict[str, int], block: int) -> int:
    """Return how many rows of all batches the first blocks have."""
    batch, block = divmod(block, -(-n["M"] // n["block"]))
    return batch * n["M"] + min(block * n["block"], n["M"])


def exact(size: int, unit: int) -> int:
    """Stand in for the backend's rounding, which gives scratch memory whole pages."""
    return rounded(size, unit if unit <= ALIGNMENT else 1)
