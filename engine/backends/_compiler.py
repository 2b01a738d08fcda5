"""The C++ compiler: found once per process, and run as a pure function from source to bytes.

``CXX`` may carry arguments: ``CXX="g++ -march=x86-64-v3"`` makes kernels for every processor with
AVX2, ``CXX="g++ -march=x86-64-v2"`` for those with SSE 4.2 alone. Without an ``-march`` or
``-mcpu`` of the user's, kernels are made for the processor at hand. Knows nothing of formulas, nor
of where compiled kernels are kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import CompileError, expected, first_error
from . import _store
from ._library import open_library

TIMEOUT_S = 300.0
_PROBE_TIMEOUT_S = 60.0
_PROBE_FORMAT = 2
_NO_OPENMP_S = 86400.0  # a compiler without OpenMP is asked again after a day: it can be installed

# One by one, not -ffast-math: that assumes finite numbers, which breaks the infinities that the
# neutral elements of reductions need, and deletes the range reduction of exp.
_FLAGS = (
    "-std=c++17",
    "-O3",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-fno-exceptions",  # kernels throw nothing, and need nothing of the C++ runtime
    "-fno-rtti",
    "-fno-asynchronous-unwind-tables",
    "-fPIC",
    "-shared",
    "-fvisibility=hidden",
    "-w",
)
_NATIVE = ("-march=native", "-mcpu=native", "")  # the first that the compiler knows
_MACHINES = ("-march=", "-mcpu=")  # how a user names another: the last one given would win
_CANDIDATES = ("c++", "g++", "clang++")

# What a compiler's answers depend on besides itself: an include path, a toolchain's prefix.
_ENVIRONMENT = (
    "CPATH",
    "CPLUS_INCLUDE_PATH",
    "LIBRARY_PATH",
    "LD_LIBRARY_PATH",
    "COMPILER_PATH",
    "GCC_EXEC_PREFIX",
    "SDKROOT",
)

_FEATURES = {  # predefined macro -> the name of what the processor can do
    "__AVX512F__": "avx512f",
    "__AVX512BW__": "avx512bw",
    "__AVX512DQ__": "avx512dq",
    "__AVX512VL__": "avx512vl",
    "__AVX2__": "avx2",
    "__AVX__": "avx",
    "__FMA__": "fma",
    "__SSE4_2__": "sse4.2",
    "__SSE2__": "sse2",
    "__ARM_FEATURE_SVE": "sve",
    "__ARM_NEON": "neon",
    "__VSX__": "vsx",
}
# Bytes of a vector with these features, as simd.h has it; 16 for all others.
_WIDTHS = (({"avx512f", "avx512dq"}, 64), ({"avx2"}, 32))

_TRIAL = """\
#include <cmath>
extern "C" int omp_get_max_threads(void);
extern "C" __attribute__((visibility("default"))) double georeduce_trial(const float *x, int n) {
    double total = 0;
#ifdef _OPENMP
    n = n < omp_get_max_threads() ? n : omp_get_max_threads();
#pragma omp parallel for reduction(+ : total)
#endif
    for (int i = 0; i < n; ++i) total += std::sqrt(x[i]);
    return total;
}
"""


@dataclass(frozen=True)
class Compiler:
    """A compiler that works, and what it makes for this machine.

    Parameters
    ----------
    command : tuple of str
        Its absolute path, then the arguments that ``CXX`` gave.
    version : str
        The first line of ``--version``.
    target : str
        The machine it compiles for, such as ``x86_64-linux-gnu``.
    flags : tuple of str
        What every kernel is compiled with.
    cpu : str
        Hash of the macros predefined under these flags: differs where the processor does.
    features : tuple of str
        Instruction sets of interest, such as ``avx2``.
    vector_bytes : int
        Width of the vectors that kernels are made of.
    openmp : bool
        Whether kernels may use several threads.
    """

    command: tuple[str, ...]
    version: str
    target: str
    flags: tuple[str, ...]
    cpu: str
    features: tuple[str, ...]
    vector_bytes: int
    openmp: bool

    def fingerprint(self) -> str:
        """Return all that the bytes made from a source depend on."""
        return json.dumps([self.command[1:], self.version, self.target, self.flags, self.cpu])

    def describe(self) -> dict[str, Any]:
        """Return the fields that a user wants to see."""
        return {
            "command": shlex.join(self.command),
            "version": self.version,
            "target": self.target,
            "flags": list(self.flags),
            "features": list(self.features),
            "vector_bytes": self.vector_bytes,
            "openmp": "yes" if self.openmp else "no: kernels run on one thread",
        }


class _BrokenError(Exception):
    """A compiler that does not work, and why."""


# By CXX and PATH, the two that a program may change as it runs; a str says why there is none.
_found: dict[tuple[str | None, str | None], Compiler | str] = {}


def find_compiler() -> Compiler | None:
    """Return the compiler that ``CXX`` names, else the first of c++, g++, clang++ that works."""
    found = _find()
    return found if isinstance(found, Compiler) else None


def why_no_compiler() -> str:
    """Return why `find_compiler` found none, "" if it found one."""
    found = _find()
    return found if isinstance(found, str) else ""


def _find() -> Compiler | str:
    environment = os.environ.get("CXX"), os.environ.get("PATH")
    found = _found.get(environment)
    if found is None:
        with _lock:
            found = _found.get(environment)
            if found is None:
                found = _found[environment] = _search()
    return found


def _search() -> Compiler | str:
    if named := os.environ.get("CXX", "").strip():
        what, cure = "CXX to name a C++ compiler that works", "Correct or unset CXX."
        try:
            return _probe(shlex.split(named))
        except (_BrokenError, ValueError) as error:  # ValueError: a quotation is not closed
            return expected(what, f"{named!r}: {error}", cure)
    problems = []
    for name in _CANDIDATES:
        try:
            return _probe([name])
        except _BrokenError as error:
            problems.append(f"{name}: {error}")
    cure = "Install g++ or clang++, or set CXX."
    return expected("a C++ compiler that works", "; ".join(problems), cure)


def _probe(command: Sequence[str]) -> Compiler:
    """Return what is known of a compiler, from an earlier process where nothing has changed."""
    path = shutil.which(command[0])
    if path is None:
        raise _BrokenError("there is no such command")
    command = (os.path.abspath(path), *command[1:])
    name = _probe_name(command)
    kept = _store.read(name)
    if kept is not None:
        with contextlib.suppress(ValueError, TypeError, KeyError):
            record = json.loads(kept)
            fields: dict[str, Any] = record["is"]  # JSON has no tuples
            tuples = {k: tuple(v) for k, v in fields.items() if isinstance(v, list)}
            compiler = Compiler(**(fields | tuples))
            if compiler.openmp or time.time() - record["asked"] < _NO_OPENMP_S:
                return compiler
    compiler = _ask(command)
    _store.write(name, json.dumps({"asked": time.time(), "is": asdict(compiler)}).encode())
    return compiler


def _probe_name(command: Sequence[str]) -> str:
    """Return a name that changes whenever what the compiler says of itself may change."""
    files = []
    for word in command:  # more than one file in "ccache g++"
        if found := shutil.which(word):
            real = os.path.realpath(found)
            status = os.stat(real)
            files.append((real, status.st_mtime_ns, status.st_size))
    environment = [os.environ.get(name) for name in _ENVIRONMENT]
    now = [_PROBE_FORMAT, command, files, environment, _FLAGS, _NATIVE, _TRIAL, _processor()]
    key = json.dumps(now)
    return hashlib.sha256(key.encode()).hexdigest() + ".probe"


def _processor() -> str:
    """Return what tells this processor from another that may share the home folder."""
    try:
        with open("/proc/cpuinfo") as file:  # lines on the first processor, not on all 200
            first = file.read(16384).split("\n\n")[0].splitlines()
    except OSError:
        return repr(os.uname())  # includes the machine's name
    varies = ("MHz", "bogomips", "apicid", "core id", "physical id", "processor", "BogoMIPS")
    return "\n".join(line for line in first if not line.startswith(varies) and "MHz" not in line)


def _ask(command: Sequence[str]) -> Compiler:
    """Run the compiler: version, target, macros, and a trial library that is loaded."""
    with tempfile.TemporaryDirectory(prefix="georeduce-") as temporary:
        place = Path(temporary)

        def ask(*arguments: str) -> str:
            try:
                code, said, complaint = _run([*command, *arguments], place, _PROBE_TIMEOUT_S)
            except OSError as error:
                raise _BrokenError(str(error)) from None
            except subprocess.TimeoutExpired:
                raise _BrokenError(f"it did not answer within {_PROBE_TIMEOUT_S:.0f} s") from None
            if code != 0:
                raise _BrokenError(first_error(complaint) or f"it ended with status {code}")
            return said

        version = next(iter(ask("--version").splitlines()), "")
        target = ask("-dumpmachine").strip()
        named = any(word.startswith(_MACHINES) for word in command[1:])
        for native in [""] if named else _NATIVE:
            flags = [*_FLAGS, native] if native else list(_FLAGS)
            try:
                macros = ask(*flags, "-dM", "-E", "-x", "c++", os.devnull)
                break
            except _BrokenError:
                if not native:
                    raise
        (place / "trial.cpp").write_text(_TRIAL)
        openmp = True
        try:
            ask(*flags, "-fopenmp", "-o", "trial.so", "trial.cpp")
            flags.append("-fopenmp")
        except _BrokenError:
            openmp = False  # Apple's clang; a failure that is not OpenMP's shows again
            ask(*flags, "-o", "trial.so", "trial.cpp")
        try:
            # Loaded, not called: a used pool of threads would not survive a fork.
            _ = open_library((place / "trial.so").read_bytes()).georeduce_trial
        except (OSError, AttributeError) as error:
            cure = "if the temporary folder forbids execution, set TMPDIR to another"
            raise _BrokenError(f"what it compiles cannot be loaded ({error}); {cure}") from None
    names = {line.split()[1] for line in macros.splitlines() if line.startswith("#define ")}
    features = tuple(name for macro, name in _FEATURES.items() if macro in names)
    return Compiler(
        command=tuple(command),
        version=version,
        target=target,
        flags=tuple(flags),
        cpu=hashlib.sha256("\n".join(sorted(macros.splitlines())).encode()).hexdigest(),
        features=features,
        vector_bytes=next((width for needs, width in _WIDTHS if needs <= set(features)), 16),
        openmp=openmp,
    )


def compile_source(compiler: Compiler, source: str, include_folder: Path | None = None) -> bytes:
    """Return the shared object made from a source; depends on the arguments, changes nothing.

    Parameters
    ----------
    compiler : Compiler
        From `find_compiler`.
    source : str
        C++; what it exports is ``extern "C"`` with default visibility.
    include_folder : path, optional
        Where its headers are.

    Returns
    -------
    bytes
        The content of the shared object.

    Raises
    ------
    CompileError
        With the compiler's first error, and where the source was kept.
    """
    include = ["-I", str(Path(include_folder).absolute())] if include_folder else []
    # Relative names, so that neither messages nor bytes depend on the temporary folder's name.
    command = [*compiler.command, *compiler.flags, *include, "-o", "kernel.so", "kernel.cpp"]
    stderr = ""
    try:
        with tempfile.TemporaryDirectory(prefix="georeduce-") as temporary:
            place = Path(temporary)
            (place / "kernel.cpp").write_text(source, encoding="utf-8")
            code, _, stderr = _run(command, place, TIMEOUT_S)
            if code == 0:
                return (place / "kernel.so").read_bytes()
            reason = first_error(stderr) or f"it ended with status {code}"
    except subprocess.TimeoutExpired:
        reason = f"it did not end within {TIMEOUT_S:.0f} s"
    except OSError as error:  # no compiler any more, a full disk, or success without a library
        reason = str(error)
    raise CompileError(command, stderr, _keep(source, stderr), reason)


def _run(command: Sequence[str], place: Path, timeout: float) -> tuple[int, str, str]:
    """Run a command in `place`; on any exception it and its children are gone, as are its files."""
    # TMPDIR: what the compiler leaves behind when killed is removed with `place`.
    environment = {**os.environ, "LC_ALL": "C", "LANGUAGE": "C", "TMPDIR": str(place)}
    process = subprocess.Popen(
        command,
        cwd=place,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,  # a group of its own, so that cc1plus and ld die with the driver
    )
    try:
        said, complaint = process.communicate(timeout=timeout)
    except BaseException:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return process.returncode, said, complaint


_kept: dict[str, str] = {}  # hash of a source that failed -> where it is, to keep each once


def _keep(source: str, stderr: str) -> str:
    """Keep a source that did not compile, with what the compiler said; return its path."""
    key = hashlib.sha256(source.encode()).hexdigest()
    try:
        if not os.path.exists(_kept.get(key, "")):
            place = Path(tempfile.mkdtemp(prefix="georeduce-failed-"))
            (place / "messages.txt").write_text(stderr, encoding="utf-8")
            (place / "kernel.cpp").write_text(source, encoding="utf-8")
            _kept[key] = str(place / "kernel.cpp")
        return _kept[key]
    except OSError:
        return ""


_lock = threading.Lock()


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # a thread that is not in the child may have held it


os.register_at_fork(after_in_child=_after_fork)
