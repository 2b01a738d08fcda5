"""The sanitizers: what kernels are compiled with, and the process that they run in.

A sanitizer's runtime has to be in the process before anything else, so it is preloaded into Python,
which itself is not instrumented; only kernels are.

``address``   AddressSanitizer and UndefinedBehaviorSanitizer. Each buffer of a call is a heap block
              of its exact size (see guard.py), so that neighbours are no part of one allocation.
``thread``    ThreadSanitizer. GNU's OpenMP runtime synchronises in ways that it cannot see, so an
              instrumented one of our own (gomp.cpp) stands in front of it.
``fence``     No sanitizer: kernels as users have them, with all optimisations. Each buffer ends at
              a page that nobody may touch.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from georeduce.engine.backends import _compiler

HERE = Path(__file__).parent
TESTS = HERE.parent
SUITE = tuple(
    str(TESTS / "engine" / name)
    for name in (
        *("test_agree.py", "test_special_values.py", "test_determinism.py"),
        *("test_bounds.py", "test_waves.py", "test_ranges.py"),
    )
)
NAME = "GEOREDUCE_SANITIZER"
"""The variable that tells a child which sanitizer it runs under; see plugin.py."""


@dataclass(frozen=True)
class Sanitizer:
    """One way to look at kernels as they run.

    Parameters
    ----------
    name : str
        As in the table below.
    flags : tuple of str
        What is added to the flags of kernels; -O1 keeps compile times within minutes.
    runtimes : tuple of str
        Libraries of the compiler's to preload.
    options : mapping
        Environment of the runtimes.
    threads : int
        That kernels run on, whatever their size; 0: as usual.
    """

    name: str
    flags: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    threads: int = 0

    def libraries(self) -> list[str]:
        """Return the paths of the runtimes; one that is missing is left as its name."""
        compiler = _compiler.find_compiler()
        assert compiler is not None
        return [ask(compiler.command[0], f"-print-file-name={name}") for name in self.runtimes]

    def missing(self) -> str:
        """Return why this one cannot be used here, "" if it can."""
        if sys.platform != "linux":
            return "needs Linux, where a runtime can be preloaded"
        compiler = _compiler.find_compiler()
        if compiler is None:
            return _compiler.why_no_compiler()
        if self.runtimes and "__clang__" in macros(compiler.command[0]):
            return "needs g++: clang's runtimes are not made to be preloaded"
        for path in self.libraries():
            if not os.path.isabs(path):
                return f"needs {path}, which comes with g++"
        if self.threads and not compiler.openmp:
            return "needs a compiler with OpenMP"
        if self.runtimes:
            with tempfile.TemporaryDirectory(prefix="georeduce-") as folder:
                tried = self.run([sys.executable, "-c", "print(6 * 7)"], Path(folder))
            if tried.stdout != "42\n":
                return f"{self.name} does not start: {tried.stderr.strip()[:500]}"
        return ""

    def run(
        self, command: Sequence[str], cache: Path, show: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run a command under the sanitizer; what it writes is captured, or else shown."""
        environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
        environment |= self.options
        paths = os.environ.get("PYTHONPATH", "")
        environment |= {
            NAME: self.name,
            "GEOREDUCE_CACHE": str(cache),
            "PYTHONMALLOC": "malloc",  # or small blocks of Python's lie in one of the allocator's
            "PYTHONPATH": os.pathsep.join(filter(None, [str(TESTS), str(TESTS.parent), paths])),
        }
        environment.pop("GEOREDUCE_ASSERT_CACHED", None)
        libraries = self.libraries()
        if self.threads:
            libraries.append(str(stand_in(cache, self.flags)))
        if libraries:
            environment["LD_PRELOAD"] = " ".join(libraries)
        if self.threads and shutil.which("setarch"):
            # The runtime knows where programs are mapped only if that is not randomised much.
            command = ["setarch", "-R", *command]
        return subprocess.run(command, env=environment, capture_output=not show, text=True)


SANITIZERS = {
    s.name: s
    for s in (
        Sanitizer(
            "address",
            (
                *("-O1", "-g1", "-fno-omit-frame-pointer"),
                *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
            ),
            ("libasan.so", "libubsan.so"),
            {
                # Python frees little as it ends, and is not linked with the runtime itself
                "ASAN_OPTIONS": "detect_leaks=0:verify_asan_link_order=0:exitcode=66",
                "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=66",
            },
        ),
        Sanitizer(
            "thread",
            ("-O1", "-g1", "-fno-omit-frame-pointer", "-fsanitize=thread"),
            ("libtsan.so",),
            {"TSAN_OPTIONS": "halt_on_error=1:exitcode=66:report_signal_unsafe=0"},
            threads=4,
        ),
        Sanitizer("fence"),
    )
}


def ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def macros(command: str) -> str:
    return ask(command, "-dM", "-E", "-x", "c++", os.devnull)


def stand_in(folder: Path, flags: Sequence[str]) -> Path:
    """Return the OpenMP runtime that stands in for GNU's, compiled as kernels are."""
    compiler = _compiler.find_compiler()
    assert compiler is not None
    folder.mkdir(parents=True, exist_ok=True)
    target, source = folder / "gomp.so", HERE / "gomp.cpp"
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        unfinished = target.with_suffix(f".{os.getpid()}.so")
        ask(
            *(compiler.command[0], "-std=c++17", "-Wall", "-Wextra", "-Werror"),
            *(*flags, "-fPIC", "-shared", "-pthread", str(source), "-o", str(unfinished)),
        )
        unfinished.replace(target)
    return target
