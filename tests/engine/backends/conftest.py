"""Compilers and cache folders of a test's own."""

from __future__ import annotations

import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from georeduce.engine.backends import _cache, _compiler, _store


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache folder of the test's own, not yet made, and nothing loaded or said so far."""
    path = tmp_path / "cache"
    monkeypatch.setenv("GEOREDUCE_CACHE", str(path))
    monkeypatch.delenv("GEOREDUCE_ASSERT_CACHED", raising=False)
    monkeypatch.setattr(_cache, "_loaded", {})
    monkeypatch.setattr(_store, "_told", set())
    return path


@pytest.fixture
def fresh_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Know nothing of any compiler; have a cache and a temporary folder of the test's own."""
    monkeypatch.setenv("GEOREDUCE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(_compiler, "_found", {})
    monkeypatch.setattr(_compiler, "_kept", {})
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str, str], Path]:
    """Make an executable shell script."""

    def make(name: str, text: str) -> Path:
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        # A path of its own: the tests may run with one that has no compiler, nor `sleep`.
        path.write_text("#!/bin/sh\nPATH=/usr/bin:/bin\n" + textwrap.dedent(text))
        path.chmod(0o755)
        return path

    return make
