"""Options, the report of what was found, and the sentences of errors and warnings."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pickle
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from georeduce.engine import __main__ as command
from georeduce.engine import errors
from georeduce.engine.config import (
    Options,
    config,
    get_options,
    options,
    set_options,
    show_config,
)
from georeduce.engine.errors import ArgumentError, CacheWarning, CompileError

# By name: `georeduce.engine.config`, as an attribute, is the function.
configuration = sys.modules["georeduce.engine.config"]


@pytest.fixture(autouse=True)
def same_options_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "_base", get_options())


def test_defaults() -> None:
    assert Options() == Options("auto", None, None, "serial", 64 * 2**20)


def test_options_are_immutable() -> None:
    with pytest.raises(AttributeError, match="cannot assign"):
        get_options().backend = "numpy"  # type: ignore[misc]


def test_blocks_nest_and_end() -> None:
    before = get_options()
    with options(n_threads=3) as outer:
        assert outer is get_options()
        assert get_options().n_threads == 3
        with options(after_fork="parallel"):
            assert (get_options().n_threads, get_options().after_fork) == (3, "parallel")
            with options(n_threads=1):
                assert get_options().n_threads == 1
            assert get_options().n_threads == 3
        assert get_options().after_fork == before.after_fork
    assert get_options() == before


def test_a_block_ends_with_an_exception() -> None:
    def fail() -> None:
        with options(n_threads=3):
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert get_options().n_threads is None


def test_set_options_reaches_every_thread_and_a_block_only_its_own() -> None:
    seen: list[tuple[int | None, int]] = []

    def look() -> None:
        seen.append((get_options().n_threads, get_options().tile_bytes))

    set_options(n_threads=5)
    with options(tile_bytes=1000):
        look()
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    # Only the default of the block's option: the block is not the other thread's. (From Python
    # 3.14 on, some builds let a thread inherit its parent's context.)
    inherits = bool(getattr(sys.flags, "thread_inherit_context", False))
    assert seen == [(5, 1000), (5, 1000 if inherits else 64 * 2**20)]


def test_set_options_inside_a_block_leaves_what_the_block_changed() -> None:
    with options(n_threads=1):
        set_options(n_threads=7, tile_bytes=99)
        assert (get_options().n_threads, get_options().tile_bytes) == (1, 99)
    assert (get_options().n_threads, get_options().tile_bytes) == (7, 99)


def test_a_block_belongs_to_its_asynchronous_task() -> None:
    async def task(n: int) -> int | None:
        with options(n_threads=n):
            await asyncio.sleep(0)
            return get_options().n_threads

    async def both() -> list[int | None]:
        return list(await asyncio.gather(task(2), task(3)))

    assert asyncio.run(both()) == [2, 3]


def test_values_are_normalised() -> None:
    with options(n_threads=np.int64(-1), cache_folder="~/kernels", tile_bytes=np.int32(8)):
        found = get_options()
    assert type(found.n_threads) is int
    assert type(found.tile_bytes) is int
    assert found.cache_folder == Path.home() / "kernels"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"n_thread": 2}, r"Expected an option among \[.*\], but got 'n_thread'\. Did you mean '"),
        ({"backend": "nunpy"}, r"Expected backend to be one of \['auto'.*Did you mean 'numpy'\?"),
        ({"backend": 3}, r"Expected backend to be one of \['auto'.*, but got 3\."),
        ({"backend": "_cache"}, r"Expected backend to be one of \['auto'.*, but got '_cache'\."),
        ({"n_threads": 0}, r"Expected n_threads to be a positive integer, .*but got 0\. Use 1"),
        ({"n_threads": 1.5}, r"Expected n_threads to be a positive integer, .*but got 1\.5\."),
        ({"n_threads": True}, r"Expected n_threads to be a positive integer, .*but got True\."),
        ({"cache_folder": 5}, r"Expected cache_folder to be a path or None, but got 5\."),
        ({"cache_folder": ""}, r"Expected cache_folder to be a path or None, but got ''\."),
        ({"after_fork": "seriel"}, r"but got 'seriel'\. Did you mean 'serial'\?"),
        ({"tile_bytes": 0}, r"Expected tile_bytes to be a positive integer.*, but got 0\."),
        ({"tile_bytes": "1GB"}, r"Expected tile_bytes to be a positive integer.*got '1GB'\."),
    ],
    ids=lambda p: "-".join(f"{k}={v}" for k, v in p.items()) if isinstance(p, dict) else "",
)
@pytest.mark.parametrize("change", [options, set_options], ids=["options", "set_options"])
def test_mistakes_are_told_at_the_call(change: Any, changes: dict[str, Any], sentence: str) -> None:
    before = get_options()
    with pytest.raises(ArgumentError, match=sentence):
        change(**changes)  # not entered: the call itself raises
    assert get_options() is before


def test_backends_are_named_by_their_files() -> None:
    folder = Path(errors.__file__).parent / "backends"
    with options(backend="numpy"):
        assert get_options().backend == "numpy"
    for file in folder.glob("[!_]*.py"):
        assert Options(backend=file.stem).backend == file.stem


def test_config_is_json_and_complete() -> None:
    found = json.loads(json.dumps(config()))
    assert found["numpy"] == np.__version__
    assert found["threads"] >= 1
    assert found["threads_from"]
    assert (found["compiler"] is None) != (found["no_compiler"] is None)
    assert set(found["cache"]) >= {"folder", "files", "bytes"}
    assert found["options"]["backend"] == "auto"


def test_show_config_prints_what_config_says() -> None:
    text = io.StringIO()
    with options(n_threads=11):
        show_config(text)
    assert f"numpy        : {np.__version__}" in text.getvalue()
    assert "threads      : 11" in text.getvalue()
    assert "options: n_threads=11" in text.getvalue()
    assert "None" not in text.getvalue()


def test_show_config_tells_why_there_is_no_compiler(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    show_config()
    assert "Expected CXX to name a C++ compiler that works" in capsys.readouterr().out


def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--json"]) == 0
    assert json.loads(capsys.readouterr().out)["numpy"] == np.__version__
    assert command.main([]) == 0
    assert f": {np.__version__}\n" in capsys.readouterr().out


def test_python_m_runs_the_command() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "georeduce.engine", "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "CXX": "no-such-compiler"},
    )
    assert ran.returncode == 0, ran.stderr
    assert "no-such-compiler" in json.loads(ran.stdout)["no_compiler"]


def test_these_modules_import_nothing_heavy() -> None:
    script = (
        "import sys; import georeduce.engine.config;"
        "import georeduce.engine.backends._threads, georeduce.engine.backends._cache;"
        "heavy = {'torch', 'cupy', 'sklearn', 'scipy.sparse', 'difflib'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


# Errors and warnings.


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("a", "b"), "Expected a, but got b."),
        (("a", "b."), "Expected a, but got b."),
        (("a", "b", "Do c."), "Expected a, but got b. Do c."),
    ],
    ids=["plain", "full-stop", "cure"],
)
def test_expected(arguments: tuple[str, ...], sentence: str) -> None:
    assert errors.expected(*arguments) == sentence


def test_did_you_mean() -> None:
    assert errors.did_you_mean("sqr", ["exp", "sqrt"]) == "Did you mean 'sqrt'?"
    assert errors.did_you_mean("zzz", ["exp", "sqrt"]) == ""


@pytest.mark.parametrize(
    ("stderr", "line"),
    [
        ("In file included\nk.cpp:1:2: error: no\nk.cpp:2:2: error: more", "k.cpp:1:2: error: no"),
        (
            "k.cpp:3: warning: hm\nk.h:1:9: fatal error: x.h: none\n",
            "k.h:1:9: fatal error: x.h: none",
        ),
        (
            "/usr/bin/ld: k.o: undefined reference to `f'",
            "/usr/bin/ld: k.o: undefined reference to `f'",
        ),
        (
            "ld: final link failed: No space left on device\ncollect2: error: ld returned 1 exit",
            "ld: final link failed: No space left on device",
        ),
        ("collect2: error: ld returned 1 exit", "collect2: error: ld returned 1 exit"),
        ("\nKilled\nmore\n", "Killed"),
        ("", ""),
    ],
    ids=["first-of-two", "fatal", "linker", "full", "linker-alone", "other", "silent"],
)
def test_first_error(stderr: str, line: str) -> None:
    assert errors.first_error(stderr) == line


def test_compile_error_tells_its_parts_and_crosses_processes() -> None:
    error = CompileError(["c++", "-O3"], "a\nk.cpp:1:1: error: bad\n", "/tmp/k.cpp")
    said = "Expected c++ to compile a kernel, but got k.cpp:1:1: error: bad. "
    assert str(error) == said + "The source was kept in /tmp/k.cpp."
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error)
    assert (copy.command, copy.stderr, copy.source_path) == (
        ("c++", "-O3"),
        error.stderr,
        "/tmp/k.cpp",
    )


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.ShapeError, ValueError),
        (errors.ArgumentError, ValueError),
        (errors.DTypeError, TypeError),
        (errors.CompileError, RuntimeError),
        (errors.BackendError, RuntimeError),
    ],
    ids=lambda p: p.__name__,
)
def test_errors_are_also_builtin_ones(error: type[Exception], builtin: type[Exception]) -> None:
    assert issubclass(error, errors.GeoreduceError)
    assert issubclass(error, builtin)


def test_a_warning_points_at_the_users_line() -> None:
    # A function that says it is georeduce's calls `warn`; the line blamed is the one that calls it.
    inside = {"__name__": "georeduce.engine.somewhere", "warn": errors.warn, "kind": CacheWarning}
    exec("def ours():\n    warn('hm', kind)\ndef outer():\n    ours()", inside)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        inside["outer"]()  # type: ignore[operator]
        line = sys._getframe().f_lineno - 1
    assert [(w.filename, w.lineno, w.category) for w in caught] == [(__file__, line, CacheWarning)]
