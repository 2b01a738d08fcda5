"""Each sanitizer reports the faults that are planted for it, and nothing where there is none.

The agreement suite under the sanitizers is `make sanitize`.
"""

from __future__ import annotations

import functools
import json
import re
import sys
from pathlib import Path

import pytest
from sanitize.planted import FAULTS
from sanitize.sanitizers import SANITIZERS

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
