"""CUDA sources to machine code, by NVRTC through CuPy; needs no GPU. Kept in the cache folder.

CuPy's own compiling is not used: it adds ``-ftz=true``, which turns subnormal numbers into zeros.
"""

from __future__ import annotations

import hashlib
import importlib
import os
from typing import Any

from ..errors import CompileError, expected, first_error
from . import _store
from ._compiler import _keep

OPTIONS = ("-std=c++17", "-diag-suppress=177")
"""Of every kernel; 177 warns of functions that nothing calls, which are most of the headers."""
_FORMAT = "cuda-1"  # changes when what is kept under a key changes its meaning


def compile_cuda(source: str, arch: str) -> bytes:
    """Return the cubin of a source, compiled if it never was on this machine.

    Parameters
    ----------
    source : str
        CUDA C++ that includes nothing.
    arch : str
        Of the device: "sm_90".

    Raises
    ------
    CompileError
        Where NVRTC fails.
    """
    nvrtc = importlib.import_module("cupy").cuda.nvrtc
    version = ".".join(map(str, nvrtc.getVersion()))
    options = (f"-arch={arch}", *OPTIONS)
    key = hashlib.sha256("\0".join((_FORMAT, version, *options, source)).encode()).hexdigest()
    name = f"{key}.cubin"
    content = _store.read(name)
    if content is None:
        if os.environ.get("GEOREDUCE_ASSERT_CACHED", "0") not in ("", "0"):
            got = f"one with no entry {name}, under GEOREDUCE_ASSERT_CACHED, in {_store.folder()}"
            raise AssertionError(expected("a source that is in the cache", got))
        content, _ = compiled(nvrtc, source, options)
        _store.write(name, content)
    return content


def compiled(nvrtc: Any, source: str, options: tuple[str, ...]) -> tuple[bytes, str]:
    """Return the cubin of a source, and what NVRTC said; see `compile_cuda`."""
    program = nvrtc.createProgram(source, "kernel.cu", (), ())
    try:
        nvrtc.compileProgram(program, options)
        # CuPy 14 leaves out the last byte, which belongs to the last header of the file
        return bytes(nvrtc.getCUBIN(program)) + b"\0", str(nvrtc.getProgramLog(program))
    except nvrtc.NVRTCError as error:
        log = nvrtc.getProgramLog(program)
        reason = first_error(log) or str(error)
        raise CompileError(("nvrtc", *options), log, _keep(source, log), reason) from None
    finally:
        nvrtc.destroyProgram(program)
