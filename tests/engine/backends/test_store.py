"""The cache folder: damage, eviction, and every reason for which one cannot be used."""

from __future__ import annotations

import errno
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

from georeduce.engine.backends import _cache, _store
from georeduce.engine.backends._cache import load
from georeduce.engine.errors import CacheWarning


def kernel(value: int) -> str:
    return f"""
        extern "C" __attribute__((visibility("default"))) int get() {{ return {value}; }}
    """


def name_of(n: int, kind: str = "so") -> str:
    return f"{n:064x}.{kind}"


def test_what_is_written_is_read(folder: Path) -> None:
    for content in (b"", b"x", os.urandom(5000)):
        _store.write(name_of(1), content)
        assert _store.read(name_of(1)) == content
    assert _store.read(name_of(2)) is None


def test_every_truncation_is_noticed(folder: Path) -> None:
    _store.write(name_of(1), b"content")
    whole = (folder / name_of(1)).read_bytes()
    for size in range(len(whole)):
        (folder / name_of(1)).write_bytes(whole[:size])
        assert _store.read(name_of(1)) is None
    (folder / name_of(1)).write_bytes(whole + b"\0")
    assert _store.read(name_of(1)) is None


def test_the_least_recently_used_go_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytes(1000)
    each = len(content) + _store._TRAILER
    monkeypatch.setattr(_store, "MAX_BYTES", 3 * each)
    for n in range(3):
        _store.write(name_of(n), content)
        os.utime(folder / name_of(n), (1000 + n, 1000 + n))
    (folder / "mine.so").write_bytes(bytes(10 * each))  # neither counted nor removed
    assert _store.read(name_of(0)) == content  # now the last to be used
    _store.write(name_of(3), content)
    assert sorted(os.listdir(folder)) == sorted([*map(name_of, (0, 2, 3)), "mine.so"])


def test_the_newest_stays_however_large(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_store, "MAX_BYTES", 10)
    _store.write(name_of(1), bytes(100))
    _store.write(name_of(2), bytes(200))
    assert os.listdir(folder) == [name_of(2)]


def test_what_dead_processes_left_is_removed(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    for n, age in ((1, 2 * _store._STALE_S), (2, 0)):
        path = folder / f"{name_of(n)}.{n:016x}.tmp"
        path.write_bytes(b"part")
        os.utime(path, (time.time() - age,) * 2)
    _store.write(name_of(3), b"x")
    assert sorted(os.listdir(folder)) == [f"{name_of(2)}.{2:016x}.tmp", name_of(3)]


def test_eviction_survives_what_it_cannot_remove(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: Any) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    _store.write(name_of(1), b"x")
    monkeypatch.setattr(_store, "MAX_BYTES", 1)
    monkeypatch.setattr(os, "unlink", fails)
    _store.write(name_of(2), b"y")
    assert _store.read(name_of(2)) == b"y"


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({"GEOREDUCE_CACHE": "/a/b", "XDG_CACHE_HOME": "/x"}, "/a/b"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/georeduce"),
        ({"XDG_CACHE_HOME": "relative"}, "/home/me/.cache/georeduce"),
        ({"XDG_CACHE_HOME": ""}, "/home/me/.cache/georeduce"),
        ({"GEOREDUCE_CACHE": ""}, "/home/me/.cache/georeduce"),
        ({"GEOREDUCE_CACHE": "~/k"}, "/home/me/k"),
    ],
    ids=["named", "xdg", "xdg-relative", "xdg-empty", "named-empty", "home"],
)
def test_location(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], found: str) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("GEOREDUCE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **environment}.items():
        monkeypatch.setenv(name, value)
    assert str(_store.location()) == found


def test_describing_makes_nothing(folder: Path) -> None:
    found = _cache.describe()
    assert (found["folder"], found["files"], found["bytes"]) == (str(folder), 0, 0)
    assert not folder.exists()
    _store.write(name_of(1), b"12345")
    found = _cache.describe()
    assert (found["files"], found["bytes"]) == (1, 5 + _store._TRAILER)
    assert "problem" not in found
    folder.chmod(0o777)
    assert "which others can write to" in str(_cache.describe()["problem"])


# Folders that cannot be used: one warning, and right results.


def loads_with_one_warning(sentence: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert [load(kernel(n)).get() for n in (1, 2, 1)] == [1, 2, 1]
    assert [w.category for w in caught] == [CacheWarning]
    assert sentence in str(caught[0].message)
    assert "GEOREDUCE_CACHE" in str(caught[0].message) or "chmod" in str(caught[0].message)
    assert caught[0].filename == __file__


@pytest.mark.compiler
@pytest.mark.compiles
class TestUnusableFolder:
    def test_is_a_file(self, folder: Path) -> None:
        folder.write_text("")
        loads_with_one_warning(f"but got {folder}, which is not a folder.")

    def test_is_below_a_file(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("GEOREDUCE_CACHE", str(tmp_path / "file" / "cache"))
        loads_with_one_warning("Expected a cache folder that can be used, but got ")

    @pytest.mark.parametrize("mode", [0o770, 0o707, 0o777], ids=oct)
    def test_others_can_write(self, folder: Path, mode: int) -> None:
        folder.mkdir()
        folder.chmod(mode)
        loads_with_one_warning(f"but got {folder}, which others can write to. Run: chmod go-w")
        assert os.listdir(folder) == []

    def test_links_to_one_that_others_can_write(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "open").mkdir()
        (tmp_path / "open").chmod(0o777)
        folder.symlink_to(tmp_path / "open")
        loads_with_one_warning("which others can write to")
        assert os.listdir(tmp_path / "open") == []

    def test_belongs_to_another_user(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder.mkdir(mode=0o700)
        mine = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
        loads_with_one_warning(f"which belongs to user {mine}.")
        assert os.listdir(folder) == []

    @pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES], ids=["read-only", "forbidden"])
    def test_cannot_be_written(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, code: int
    ) -> None:
        # By an error, not by chmod: the superuser may write to any folder.
        folder.mkdir(mode=0o700)
        really = os.open

        def fails(path: Any, *arguments: Any, **keywords: Any) -> int:
            if str(path).startswith(str(folder)):
                raise OSError(code, os.strerror(code), str(path))
            return really(path, *arguments, **keywords)

        monkeypatch.setattr(os, "open", fails)
        loads_with_one_warning(os.strerror(code))

    def test_is_full(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        # Full halfway through a file, as a disk is.
        really = _store._trailer

        def full(name: str, content: bytes) -> bytes:
            if sys._getframe(1).f_code.co_name == "write":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return really(name, content)

        monkeypatch.setattr(_store, "_trailer", full)
        loads_with_one_warning("No space left on device")
        assert os.listdir(folder) == []

    def test_cannot_be_renamed_in(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fails(*arguments: Any) -> None:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        monkeypatch.setattr(os, "replace", fails)
        loads_with_one_warning("Read-only file system")
        assert os.listdir(folder) == []

    def test_there_is_no_home(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def homeless() -> Path:
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.delenv("GEOREDUCE_CACHE")
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setattr(Path, "home", homeless)
        loads_with_one_warning("but got Could not determine home directory.")
        assert "problem" in _cache.describe()


@pytest.mark.compiler
@pytest.mark.compiles
def test_a_link_to_ones_own_folder_is_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "own")
    assert load(kernel(1)).get() == 1
    assert len(list((tmp_path / "own").glob("*.so"))) == 1
