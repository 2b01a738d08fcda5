"""Finding a compiler, and every way in which one fails."""

from __future__ import annotations

import json
import os
import pickle
import platform
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from georeduce.engine.backends import _compiler, _store
from georeduce.engine.backends._compiler import compile_source, find_compiler, why_no_compiler

pytestmark = pytest.mark.usefixtures("fresh_compiler")
EXPORT = 'extern "C" __attribute__((visibility("default")))'
ANSWER = EXPORT + " int answer(int x) { return x + 41; }\n"


@pytest.fixture
def count_runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record every command that is started."""
    ran: list[str] = []
    run = _compiler._run

    def counted(command: list[str], place: Path, timeout: float) -> tuple[int, str, str]:
        ran.append(command[0])
        return run(command, place, timeout)

    monkeypatch.setattr(_compiler, "_run", counted)
    return ran


# Compilers that do not work.


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("exit 1", "it ended with status 1"),
        ("echo 'cc: error: no licence' >&2; exit 3", "cc: error: no licence"),
        ("exit 0", "cannot be loaded"),
        (
            "case $* in *trial.cpp*) echo 'ld: error: no crt' >&2; exit 1;; esac",
            "ld: error: no crt",
        ),
        ("case $* in *trial.cpp*) echo text > trial.so;; esac", "cannot be loaded"),
        ("sleep 60", "it did not answer within 0 s"),
    ],
    ids=["fails", "complains", "does-nothing", "cannot-link", "writes-text", "hangs"],
)
def test_a_broken_cxx_is_told(
    monkeypatch: pytest.MonkeyPatch, script: Callable[[str, str], Path], text: str, why: str
) -> None:
    if "sleep" in text:
        monkeypatch.setattr(_compiler, "_PROBE_TIMEOUT_S", 0.2)
    path = script("cxx", text)
    monkeypatch.setenv("CXX", str(path))
    assert find_compiler() is None
    said = why_no_compiler()
    assert said.startswith(f"Expected CXX to name a C++ compiler that works, but got '{path}': ")
    assert why in said
    assert said.endswith("Correct or unset CXX.")


@pytest.mark.parametrize(
    ("named", "why"),
    [("/bin/no-such", "there is no such command"), ("g++ 'x", "No closing quotation")],
    ids=["missing", "quotation"],
)
def test_a_cxx_that_is_no_command_is_told(
    monkeypatch: pytest.MonkeyPatch, named: str, why: str
) -> None:
    monkeypatch.setenv("CXX", named)
    assert find_compiler() is None
    assert why in why_no_compiler()


def test_cxx_is_not_replaced_by_another_compiler(
    monkeypatch: pytest.MonkeyPatch, script: Callable[[str, str], Path], count_runs: list[str]
) -> None:
    path = script("cxx", "exit 1")
    monkeypatch.setenv("CXX", str(path))
    assert find_compiler() is None
    assert count_runs == [str(path)]


def test_no_compiler_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_compiler() is None
    missing = "; ".join(f"{n}: there is no such command" for n in ("c++", "g++", "clang++"))
    assert why_no_compiler() == (
        f"Expected a C++ compiler that works, but got {missing}. "
        "Install g++ or clang++, or set CXX."
    )


def test_a_failure_is_asked_once_per_process_and_not_kept(
    monkeypatch: pytest.MonkeyPatch,
    script: Callable[[str, str], Path],
    count_runs: list[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("CXX", str(script("cxx", "exit 1")))
    assert [find_compiler(), find_compiler(), bool(why_no_compiler())] == [None, None, True]
    assert len(count_runs) == 1
    assert not list((tmp_path / "cache").glob("*.probe"))


# The compiler of this machine.


def header_width(compiler: _compiler.Compiler) -> int:
    """Return how wide the vectors of simd.h are under a compiler's flags."""
    header = Path(_compiler.__file__).parents[1] / "codegen" / "simd.h"
    source = f'#include "{header.name}"\nextern "C" const char width[];\n'
    source += f"{EXPORT} const char width[] = {{'<', 'w', '=', GEOREDUCE_VECTOR_BYTES, '>'}};\n"
    content = compile_source(compiler, source, header.parent)
    return content.split(b"<w=", 1)[1][0]  # not run: it may be for another processor


@pytest.mark.compiler
def test_what_is_found() -> None:
    compiler = find_compiler()
    assert compiler is not None
    assert why_no_compiler() == ""
    assert os.path.isabs(compiler.command[0])
    assert compiler.vector_bytes in (16, 32, 64)
    assert {"-O3", "-fno-math-errno", "-fPIC"} <= set(compiler.flags)
    assert not {"-ffast-math", "-Ofast", "-ffinite-math-only"} & set(compiler.flags)
    assert compiler.openmp == ("-fopenmp" in compiler.flags)
    assert compiler.vector_bytes == header_width(compiler)
    assert pickle.loads(pickle.dumps(compiler)) == compiler
    assert json.dumps(compiler.describe())


@pytest.mark.compiler
def test_cxx_may_carry_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = find_compiler()
    assert plain is not None
    monkeypatch.setenv("CXX", f"{plain.command[0]} -DEXTRA='\"a b\"'")
    compiler = find_compiler()
    assert compiler is not None
    assert compiler.command == (plain.command[0], '-DEXTRA="a b"')
    assert compiler.fingerprint() != plain.fingerprint()
    source = f"{EXPORT} const char *extra() {{ return EXTRA; }}"
    assert b"a b\0" in compile_source(compiler, source)


@pytest.mark.compiler
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names x86 processors")
@pytest.mark.parametrize(
    ("arguments", "width", "has", "has_not"),
    [
        ("-march=x86-64", 16, {"sse2"}, {"sse4.2", "avx", "fma"}),
        ("-march=x86-64 -msse4.2", 16, {"sse4.2"}, {"avx", "fma"}),
        # wide registers for floats, but no integers in them: simd.h wants AVX2
        ("-march=sandybridge", 16, {"avx"}, {"avx2", "fma"}),
        ("-march=haswell", 32, {"avx2", "fma"}, {"avx512f"}),
        # Knights Landing: no AVX512DQ
        ("-march=x86-64 -mavx2 -mavx512f", 32, {"avx512f"}, {"avx512dq"}),
        ("-march=skylake-avx512", 64, {"avx512f", "avx512dq", "fma"}, set()),
    ],
)
def test_a_processor_that_cxx_names_is_compiled_for(
    monkeypatch: pytest.MonkeyPatch, arguments: str, width: int, has: set[str], has_not: set[str]
) -> None:
    native = find_compiler()
    assert native is not None
    monkeypatch.setenv("CXX", f"{native.command[0]} {arguments}")
    compiler = find_compiler()
    assert compiler is not None
    assert not [f for f in compiler.flags if f.endswith("=native")], "the last one would win"
    assert has <= set(compiler.features)
    assert not has_not & set(compiler.features)
    assert compiler.vector_bytes == width == header_width(compiler)
    assert (compiler.cpu, compiler.fingerprint()) != (native.cpu, native.fingerprint())


@pytest.mark.compiler
def test_other_arguments_leave_the_processor_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    native = find_compiler()
    assert native is not None
    monkeypatch.setenv("CXX", f"{native.command[0]} -DMACHINE=-march=none -mtune=generic")
    compiler = find_compiler()
    assert compiler is not None
    assert compiler.flags == native.flags
    assert compiler.features == native.features


@pytest.mark.compiler
def test_a_compiler_without_openmp_is_used_without(
    monkeypatch: pytest.MonkeyPatch, script: Callable[[str, str], Path], count_runs: list[str]
) -> None:
    real = find_compiler()
    assert real is not None
    text = f"""
        case $* in *-fopenmp*) echo "error: unsupported option '-fopenmp'" >&2; exit 1;; esac
        exec {real.command[0]} "$@"
    """
    monkeypatch.setenv("CXX", str(script("cxx", text)))
    compiler = find_compiler()
    assert compiler is not None
    assert not compiler.openmp
    assert "-fopenmp" not in compiler.flags
    assert compiler.describe()["openmp"] == "no: kernels run on one thread"
    assert compile_source(compiler, ANSWER)
    # Asked again after a day: the runtime may have been installed.
    now = time.time()
    for later, runs in ((3600, False), (90000, True)):
        monkeypatch.setattr(_compiler, "_found", {})
        monkeypatch.setattr(time, "time", lambda later=later: now + later)
        count_runs.clear()
        assert find_compiler() == compiler
        assert bool(count_runs) == runs


@pytest.mark.compiler
@pytest.mark.parametrize(
    ("refused", "used"),
    [("-march=native", "-mcpu=native"), ("-m*=native", None)],
    ids=["mcpu", "neither"],
)
def test_flags_for_this_processor_are_tried_in_turn(
    monkeypatch: pytest.MonkeyPatch,
    script: Callable[[str, str], Path],
    refused: str,
    used: str | None,
) -> None:
    real = find_compiler()
    assert real is not None
    # Where the real compiler knows no -mcpu, it is dropped on the way.
    text = f"""
        case "$*" in *{refused}*) echo "error: unknown flag" >&2; exit 1;; esac
        for argument do
            shift
            [ "$argument" = -mcpu=native ] || set -- "$@" "$argument"
        done
        exec {real.command[0]} "$@"
    """
    monkeypatch.setenv("CXX", str(script("cxx", text)))
    compiler = find_compiler()
    assert compiler is not None
    assert [f for f in compiler.flags if f.endswith("=native")] == ([used] if used else [])


@pytest.mark.compiler
def test_a_second_process_starts_no_compiler(
    monkeypatch: pytest.MonkeyPatch, count_runs: list[str], tmp_path: Path
) -> None:
    first = find_compiler()
    assert count_runs
    count_runs.clear()
    monkeypatch.setattr(_compiler, "_found", {})  # as a new process
    assert find_compiler() == first
    assert not count_runs
    (kept,) = (tmp_path / "cache").glob("*.probe")
    kept.write_bytes(kept.read_bytes()[:-1])
    monkeypatch.setattr(_compiler, "_found", {})
    assert find_compiler() == first
    assert count_runs


@pytest.mark.compiler
@pytest.mark.parametrize("record", [b"", b"[]", b"{}", b'{"is": {"command": []}, "asked": 0}'])
def test_a_record_of_another_shape_is_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, record: bytes
) -> None:
    first = find_compiler()
    (kept,) = (tmp_path / "cache").glob("*.probe")
    _store.write(kept.name, record)  # intact as a file
    monkeypatch.setattr(_compiler, "_found", {})
    assert find_compiler() == first


@pytest.mark.compiler
def test_another_processor_or_compiler_is_asked_anew(
    monkeypatch: pytest.MonkeyPatch, script: Callable[[str, str], Path], count_runs: list[str]
) -> None:
    real = find_compiler()
    assert real is not None
    path = script("cxx", f'exec {real.command[0]} "$@"')
    monkeypatch.setenv("CXX", str(path))

    def asked() -> bool:
        monkeypatch.setattr(_compiler, "_found", {})
        count_runs.clear()
        assert find_compiler() is not None
        return bool(count_runs)

    assert [asked(), asked()] == [True, False]
    os.utime(path, (1, 1))  # upgraded
    assert [asked(), asked()] == [True, False]
    monkeypatch.setattr(_compiler, "_processor", lambda: "another")
    assert [asked(), asked()] == [True, False]
