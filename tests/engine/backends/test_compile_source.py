"""Running a compiler on a source, and every way in which that fails."""

from __future__ import annotations

import ctypes
import dataclasses
import glob
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from georeduce.engine.backends import _compiler
from georeduce.engine.backends._compiler import compile_source, find_compiler
from georeduce.engine.errors import CompileError

pytestmark = pytest.mark.usefixtures("fresh_compiler")
TIME_LIMIT_S = 60
EXPORT = 'extern "C" __attribute__((visibility("default")))'
ANSWER = EXPORT + " int answer(int x) { return x + 41; }\n"


def load(content: bytes, tmp_path: Path) -> ctypes.CDLL:
    path = tmp_path / f"{hashlib.sha256(content).hexdigest()}.so"
    path.write_bytes(content)
    return ctypes.CDLL(str(path))


@pytest.mark.compiler
def test_compiling_is_a_pure_function(tmp_path: Path) -> None:
    compiler = find_compiler()
    assert compiler is not None
    content = compile_source(compiler, ANSWER)
    assert load(content, tmp_path).answer(1) == 42
    assert compile_source(compiler, ANSWER) == content
    assert not os.listdir(tmp_path / "tmp")


@pytest.mark.compiler
def test_headers_are_found_from_any_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    compiler = find_compiler()
    assert compiler is not None
    (tmp_path / "in clude").mkdir()
    (tmp_path / "in clude" / "four.h").write_text("enum { four = 4 };\n")
    monkeypatch.chdir(tmp_path)
    source = f'#include "four.h"\n{EXPORT} int get() {{ return four; }}'
    content = compile_source(compiler, source, Path("in clude"))
    assert load(content, tmp_path).get() == 4


@pytest.mark.compiler
def test_only_what_is_exported_is_visible(tmp_path: Path) -> None:
    compiler = find_compiler()
    assert compiler is not None
    library = load(
        compile_source(compiler, ANSWER + 'extern "C" int hidden() { return 1; }'), tmp_path
    )
    with pytest.raises(AttributeError, match="hidden"):
        _ = library.hidden


@pytest.mark.compiler
def test_infinities_and_nan_survive_the_flags(tmp_path: Path) -> None:
    compiler = find_compiler()
    assert compiler is not None
    source = f"""
        #include <cmath>
        {EXPORT} int kinds(double x) {{
            return std::isnan(x) | std::isinf(x) << 1 | std::isnan(x - x) << 2 | (x != x) << 3;
        }}
    """
    library = load(compile_source(compiler, source), tmp_path)
    library.kinds.argtypes = [ctypes.c_double]
    found = [library.kinds(x) for x in (1.0, float("inf"), float("nan"))]
    assert found == [0b0000, 0b0110, 0b1101]


@pytest.mark.compiler
def test_a_mistake_shows_its_first_error_and_keeps_the_source(tmp_path: Path) -> None:
    compiler = find_compiler()
    assert compiler is not None
    source = (
        "#warning early\nint f() { return undeclared_one; }\nint g() { return undeclared_two; }\n"
    )
    with pytest.raises(CompileError) as caught:
        compile_source(compiler, source)
    error = caught.value
    assert "kernel.cpp:2:" in str(error)
    assert "undeclared_one" in str(error)
    assert "undeclared_two" not in str(error)
    assert "undeclared_two" in error.stderr
    assert error.command[0] == compiler.command[0]
    assert Path(error.source_path).read_text() == source
    assert f"The source was kept in {error.source_path}." in str(error)
    # Once, however often it is tried, and nothing else is left.
    with pytest.raises(CompileError) as again:
        compile_source(compiler, source)
    assert again.value.source_path == error.source_path
    assert os.listdir(tmp_path / "tmp") == [Path(error.source_path).parent.name]


@pytest.fixture
def any_compiler() -> _compiler.Compiler:
    return _compiler.Compiler(("false",), "1", "any", ("-O3",), "cpu", (), 16, False)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("exit 7", "it ended with status 7"),
        ("kill -9 $$", "it ended with status -9"),
        ("echo 'kernel.cpp:1:1: error: disliked' >&2; exit 1", "kernel.cpp:1:1: error: disliked"),
        ("printf '\\377 error: \\376' >&2; exit 1", "error:"),
        ("exit 0", "No such file or directory"),
        ("sleep 60", "it did not end within 0 s"),
    ],
    ids=["silent", "killed", "complains", "not-text", "writes-nothing", "hangs"],
)
def test_a_compiler_that_fails_later(
    monkeypatch: pytest.MonkeyPatch,
    script: Callable[[str, str], Path],
    any_compiler: _compiler.Compiler,
    text: str,
    why: str,
) -> None:
    monkeypatch.setattr(_compiler, "TIMEOUT_S", 0.2 if "sleep" in text else 30.0)
    compiler = dataclasses.replace(any_compiler, command=(str(script("cxx", text)),))
    with pytest.raises(CompileError) as caught:
        compile_source(compiler, "int x;")
    assert why in str(caught.value)
    assert Path(caught.value.source_path).read_text() == "int x;"


def test_a_compiler_that_is_gone(any_compiler: _compiler.Compiler) -> None:
    compiler = dataclasses.replace(any_compiler, command=("/no/such/c++",))
    with pytest.raises(CompileError, match=r"No such file.*'/no/such/c\+\+'.*was kept in"):
        compile_source(compiler, "int x;")


def test_no_temporary_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, any_compiler: _compiler.Compiler
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(CompileError, match="No such file or directory") as caught:
        compile_source(any_compiler, "int x;")
    assert caught.value.source_path == ""
    assert "kept" not in str(caught.value)


def test_an_interrupt_ends_the_compiler_and_leaves_nothing(
    script: Callable[[str, str], Path], tmp_path: Path
) -> None:
    # The compiler starts a child, as g++ starts cc1plus; both must go.
    ids = tmp_path / "ids"
    path = script("cxx", f"sleep 300 & echo $$ $! > {ids}.part; mv {ids}.part {ids}; wait")
    # A shell's background job starts with SIGINT ignored, and so would Python.
    code = f"""
        import signal
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from georeduce.engine.backends import _compiler
        slow = _compiler.Compiler(({str(path)!r},), "1", "any", (), "cpu", (), 16, False)
        _compiler.compile_source(slow, "int x;")
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + TIME_LIMIT_S
        while not ids.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert os.listdir(tmp_path / "tmp")
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=TIME_LIMIT_S)
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()
    assert stderr.rstrip().endswith("KeyboardInterrupt")
    for number in ids.read_text().split():
        while not _gone(number) and time.monotonic() < deadline + TIME_LIMIT_S:
            time.sleep(0.01)
        assert _gone(number), f"process {number} still runs"
    assert glob.glob(str(tmp_path / "tmp" / "*")) == []


def _gone(number: str) -> bool:
    """Return whether a process has ended; a child of nobody may stay as a zombie."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
