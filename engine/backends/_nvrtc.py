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
_MACHINE = "-arch=sm_"
_FORMAT = "cuda-1"  # changes when what is kept under a key changes its meaning


def compile_cuda(source: str, arch: str) -> bytes:
    """Return what a device loads for a source, compiled if it never was on this machine.

    Parameters
    ----------
    source : str
        CUDA C++ that includes nothing.
    arch : str
        Of the device: "sm_90".

    Returns
    -------
    bytes
        A cubin; for a device that is newer than NVRTC, PTX, which its driver compiles.

    Raises
    ------
    CompileError
        Where NVRTC fails.
    """
    nvrtc = importlib.import_module("cupy").cuda.nvrtc
    version = ".".join(map(str, nvrtc.getVersion()))
    options = (f"-arch={target(nvrtc, arch)}", *OPTIONS)
    key = hashlib.sha256("\0".join((_FORMAT, version, *options, source)).encode()).hexdigest()
    name = f"{key}.{'cubin' if options[0].startswith(_MACHINE) else 'ptx'}"
    content = _store.read(name)
    if content is None:
        if os.environ.get("GEOREDUCE_ASSERT_CACHED", "0") not in ("", "0"):
            got = f"one with no entry {name}, under GEOREDUCE_ASSERT_CACHED, in {_store.folder()}"
            raise AssertionError(expected("a source that is in the cache", got))
        content, _ = compiled(nvrtc, source, options)
        _store.write(name, content)
    return content


def target(nvrtc: Any, arch: str) -> str:
    """Return the architecture itself, or the newest one before it that NVRTC knows, as PTX."""
    known = [f"sm_{n}" for n in sorted(nvrtc.getSupportedArchs()) if n <= int(arch[3:])]
    return arch if not known or arch in known else known[-1].replace("sm_", "compute_")


def compiled(nvrtc: Any, source: str, options: tuple[str, ...]) -> tuple[bytes, str]:
    """Return the cubin of a source, or its PTX, and what NVRTC said; see `compile_cuda`."""
    program = nvrtc.createProgram(source, "kernel.cu", (), ())
    try:
        nvrtc.compileProgram(program, options)
        log = str(nvrtc.getProgramLog(program))
        if not options[0].startswith(_MACHINE):
            return bytes(nvrtc.getPTX(program)), log
        # CuPy 14 leaves out the last byte, which belongs to the last header of the file
        return bytes(nvrtc.getCUBIN(program)) + b"\0", log
    except nvrtc.NVRTCError as error:
        log = nvrtc.getProgramLog(program)
        reason = first_error(log) or str(error)
        raise CompileError(("nvrtc", *options), log, _keep(source, log), reason) from None
    finally:
        nvrtc.destroyProgram(program)
