"""The cache of compiled kernels: what it saves, and that nothing done to its folder does harm."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from georeduce.engine.backends import _cache, _compiler, _library, _store
from georeduce.engine.backends._cache import clear_cache, clear_memory, compile_count, load
from georeduce.engine.config import options
from georeduce.engine.errors import ArgumentError, BackendError, CacheWarning, CompileError

TIME_LIMIT_S = 60
NEEDS_COMPILER = [pytest.mark.compiler, pytest.mark.compiles]
EXPORT = 'extern "C" __attribute__((visibility("default")))'


def kernel(value: int) -> str:
    return f"{EXPORT} int get() {{ return {value}; }}\n"


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the sources that are compiled."""
    sources: list[str] = []
    really = _cache.compile_source

    def counted(compiler: Any, source: str, include_folder: Path | None) -> bytes:
        sources.append(source)
        return really(compiler, source, include_folder)

    monkeypatch.setattr(_cache, "compile_source", counted)
    return sources


def libraries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.so"))


# Kernels.


class TestLoad:
    pytestmark = NEEDS_COMPILER

    def test_compiles_once(self, folder: Path, compiled: list[str]) -> None:
        before = compile_count()
        library = load(kernel(1))
        assert library.get() == 1
        assert load(kernel(1)) is library
        clear_memory()  # as a new process
        again = load(kernel(1))
        assert again is not library
        assert again.get() == 1
        assert len(compiled) == 1
        assert compile_count() == before + 1
        assert load(kernel(2)).get() == 2
        assert len(libraries(folder)) == 2

    def test_folder_is_ones_own(self, folder: Path) -> None:
        load(kernel(3))
        assert folder.stat().st_mode & 0o777 == 0o700
        assert [p.stat().st_mode & 0o777 for p in libraries(folder)] == [0o600]
        assert all(_store._NAME.fullmatch(name) for name in os.listdir(folder))

    def test_headers_are_part_of_the_key(
        self, folder: Path, compiled: list[str], tmp_path: Path
    ) -> None:
        header = tmp_path / "value.h"
        source = f'#include "value.h"\n{EXPORT} int get() {{ return VALUE; }}'
        found = []
        for value in ("4", "55", "4"):
            header.write_text(f"#define VALUE {value}\n")
            os.utime(header, ns=(0, len(value)))
            clear_memory()
            found.append(load(source, (header,)).get())
        assert found == [4, 55, 4]
        assert len(compiled) == 2

    def test_headers_of_two_folders_are_refused(self, folder: Path, tmp_path: Path) -> None:
        with pytest.raises(ArgumentError, match="Expected headers in one folder, but got "):
            load(kernel(1), (tmp_path / "a.h", tmp_path / "b" / "b.h"))

    def test_the_option_wins_over_the_environment(self, folder: Path, tmp_path: Path) -> None:
        with options(cache_folder=tmp_path / "chosen"):
            load(kernel(5))
        assert len(libraries(tmp_path / "chosen")) == 1
        assert not folder.exists()

    def test_clear_cache(self, folder: Path, compiled: list[str]) -> None:
        library = load(kernel(6))
        (folder / "mine.so").write_text("not ours")
        clear_cache()
        assert os.listdir(folder) == ["mine.so"]
        assert library.get() == 6  # what is in use stays
        assert load(kernel(6)).get() == 6
        assert len(compiled) == 2

    def test_folder_removed_meanwhile(self, folder: Path) -> None:
        load(kernel(7))
        shutil.rmtree(folder)
        assert load(kernel(8)).get() == 8
        assert len(libraries(folder)) == 1

    def test_assert_cached(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        load(kernel(9))
        clear_memory()
        monkeypatch.setenv("GEOREDUCE_ASSERT_CACHED", "1")
        assert load(kernel(9)).get() == 9
        with pytest.raises(AssertionError, match="Expected a source that is in the cache, but got"):
            load(kernel(10))

    def test_a_failing_compiler_leaves_nothing(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where the source is kept
        before = compile_count()
        with pytest.raises(CompileError, match="error"):
            load("not C++")
        with pytest.raises(CompileError, match="error"):  # not taken for a kernel
            load("not C++")
        assert libraries(folder) == []
        assert compile_count() == before

    def test_nothing_is_left_in_the_temporary_folder(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "tmp").mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
        assert load(kernel(11)).get() == 11
        assert os.listdir(tmp_path / "tmp") == []


def test_no_compiler(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "false")
    monkeypatch.setattr(_compiler, "_found", {})
    with pytest.raises(BackendError, match="Expected CXX to name a C\\+\\+ compiler that works"):
        load(kernel(1))


# Damage. Every way is done to the file of a kernel that is in use, too: it must go on working.


def truncate_at(share: float) -> Callable[[Path, Path], None]:
    def damage(path: Path, other: Path) -> None:
        os.truncate(path, int(path.stat().st_size * share))

    return damage


def cut_last_byte(path: Path, other: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def flip_a_bit(path: Path, other: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def garbage(path: Path, other: Path) -> None:
    path.write_bytes(b"\x7fELF" + os.urandom(500))


def another_kernel(path: Path, other: Path) -> None:
    shutil.copy(other, path)


def a_folder(path: Path, other: Path) -> None:
    path.unlink()
    path.mkdir()


def a_link_to_nothing(path: Path, other: Path) -> None:
    path.unlink()
    path.symlink_to("/no/such/file")


def writable_by_others(path: Path, other: Path) -> None:
    path.chmod(0o666)


DAMAGE = {
    "empty": truncate_at(0),
    "half": truncate_at(0.5),
    "one-byte-short": cut_last_byte,
    "flipped-bit": flip_a_bit,
    "garbage": garbage,
    "another-kernel": another_kernel,
    "dangling-link": a_link_to_nothing,
    "writable-by-others": writable_by_others,
}


@pytest.mark.compiler
@pytest.mark.compiles
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_file_is_compiled_anew(
    folder: Path, compiled: list[str], damage: Callable[[Path, Path], None]
) -> None:
    in_use = load(kernel(1))
    (path,) = libraries(folder)
    load(kernel(2))
    (other,) = set(libraries(folder)) - {path}
    damage(path, other)
    assert in_use.get() == 1
    clear_memory()
    assert load(kernel(1)).get() == 1
    assert compiled == [kernel(1), kernel(2), kernel(1)]
    clear_memory()  # and was replaced by a good one
    assert load(kernel(1)).get() == 1
    assert len(compiled) == 3


@pytest.mark.compiler
@pytest.mark.compiles
def test_a_folder_in_place_of_a_file_does_no_harm(folder: Path) -> None:
    load(kernel(1))
    a_folder(libraries(folder)[0], folder)
    clear_memory()
    with pytest.warns(CacheWarning, match="Expected a cache folder that can be written to"):
        assert load(kernel(1)).get() == 1


@pytest.mark.compiler
@pytest.mark.compiles
def test_a_temporary_folder_that_forbids_execution(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    really = _library.ctypes.CDLL
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    forbidden = [str(tmp_path / "tmp")]

    def open_library(path: str) -> Any:
        if any(path.startswith(place) for place in forbidden):
            raise OSError(f"{path}: failed to map segment from shared object")
        return really(path)

    monkeypatch.setattr(_compiler, "_found", {})
    monkeypatch.setattr(_library.ctypes, "CDLL", open_library)
    assert load(kernel(1)).get() == 1
    forbidden.append(str(folder))
    with pytest.raises(BackendError, match=r"Expected to load a compiled kernel.*Set TMPDIR"):
        load(kernel(2))
    assert {p.suffix for p in folder.iterdir()} <= {".so", ".probe"}


# Many at once.


@pytest.mark.compiler
@pytest.mark.compiles
def test_threads_compile_a_source_once(folder: Path, compiled: list[str]) -> None:
    start = threading.Barrier(8)
    found: list[tuple[int, Any]] = []

    def ask(n: int) -> None:
        start.wait()
        library = load(kernel(n % 2))
        found.append((n % 2, library))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(n for n, _ in found) == [0] * 4 + [1] * 4
    assert all(library.get() == n for n, library in found)
    assert len({id(library) for _, library in found}) == 2
    assert sorted(compiled) == [kernel(0), kernel(1)]


@pytest.mark.compiler
@pytest.mark.compiles
def test_eight_processes_at_once(folder: Path) -> None:
    # Two kernels each, in a folder that none has made yet; all start to load at the same moment.
    at = time.time() + 1.5
    code = f"""
        import time
        from georeduce.engine.backends import _cache
        time.sleep(max(0, {at} - time.time()))
        print(_cache.load({kernel(1)!r}).get(), _cache.load({kernel(2)!r}).get())
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(8)]
    said = [process.communicate(timeout=TIME_LIMIT_S) for process in processes]
    assert said == [("1 2\n", "")] * 8
    assert [process.returncode for process in processes] == [0] * 8
    assert len(libraries(folder)) == 2
    assert {p.suffix for p in folder.iterdir()} <= {".so", ".probe"}  # nothing unfinished is left
    for path in libraries(folder):
        assert _store.read(path.name) is not None


@pytest.mark.compiler
@pytest.mark.compiles
def test_a_forked_child_can_compile_while_a_thread_of_the_parent_does(folder: Path) -> None:
    code = f"""
        import os, threading, time
        from georeduce.engine.backends import _cache
        _cache.find_compiler()
        held = _cache._lock_of("a"), _cache._lock
        for lock in held:
            lock.acquire()
        child = os.fork()
        if child == 0:
            print(_cache.load({kernel(1)!r}).get(), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_S,
        check=False,
    )
    assert ran.stdout == "1\n", ran.stderr
