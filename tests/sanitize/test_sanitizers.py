"""Each sanitizer reports the faults that are planted for it, and nothing where there is none.

The agreement suite under the sanitizers is `make sanitize`.
"""

from __future__ import annotations

import functools
import json
import platform
import re
import sys
from importlib import resources
from pathlib import Path

import pytest
from sanitize.planted import FAULTS
from sanitize.sanitizers import SANITIZERS, ask, macros

from georeduce.engine.backends import _compiler

pytestmark = [pytest.mark.compiler, pytest.mark.compiles]

REPORTS = {
    "reads points past the last": "AddressSanitizer: heap-buffer-overflow",
    "writes columns past the last": "AddressSanitizer: heap-buffer-overflow",
    # the first of several threads to do so: before another's memory, or after the last
    "clears the state of a row too many": "AddressSanitizer: (use-after-poison|heap-buffer-over)",
    "packs a vector too many of a block": "AddressSanitizer: (use-after-poison|heap-buffer-over)",
    "keeps the states of rows too many": "AddressSanitizer: heap-buffer-overflow",
    "overflows an integer": r"kernel\.h:\d+:\d+: runtime error: signed integer overflow",
    "uses columns before all are there": "ThreadSanitizer: data race",
    "shares its scratch": "ThreadSanitizer: data race",
}
SEGMENTATION_FAULT = -11


@functools.cache
def ends(name: str, cache: Path) -> dict[str, tuple[int, str]]:
    """Return how the faults of a sanitizer end, and what it says of them."""
    done = SANITIZERS[name].run([sys.executable, "-m", "sanitize.planted"], cache)
    assert done.returncode == 0, done.stderr
    found: dict[str, tuple[int, str]] = json.loads(done.stdout)
    return found


def end(name: str, fault: str, folder: Path) -> tuple[int, str]:
    if why := SANITIZERS[name].missing():
        pytest.skip(why)
    return ends(name, folder)[fault]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sanitize")


@pytest.mark.parametrize("name", SANITIZERS)
def test_a_sound_kernel_is_clean(name: str, folder: Path) -> None:
    status, said = end(name, "", folder / name)
    assert (status, said) == (0, "")


@pytest.mark.parametrize(("name", "fault"), [(n, f) for n in FAULTS for f in FAULTS[n]])
def test_a_planted_fault_is_found(name: str, fault: str, folder: Path) -> None:
    status, said = end(name, fault, folder / name)
    if name == "fence":
        assert status == SEGMENTATION_FAULT, said
    else:
        assert status not in (0, 77), said
        assert re.search(REPORTS[fault], said), said
        assert "kernel.h:" in said, "the report names lines"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the instruction is of x86-64")
@pytest.mark.parametrize(
    ("flag", "left_out"),
    [("-fsanitize=address", True), ("-D__has_feature(x)=1", True), ("-D__has_feature(x)=0", False)],
    ids=["by its flag", "where the compiler has the feature", "without"],
)
def test_no_assembly_hides_what_it_reads(flag: str, left_out: bool) -> None:
    compiler = _compiler.find_compiler()
    assert compiler is not None
    if "__clang__" in macros(compiler.command[0]) and flag.startswith("-D"):
        pytest.skip("Clang has the feature of its own")
    header = resources.files("georeduce.engine.codegen") / "fixed.h"
    target = ("-march=x86-64", "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vnni")
    text = ask(compiler.command[0], "-std=c++17", *target, flag, "-E", "-x", "c++", str(header))
    assert ("vpdpwssd" not in text) == left_out
