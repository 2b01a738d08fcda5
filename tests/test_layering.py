"""The structure of the source: imports go one way and stay cheap, files stay small."""

from __future__ import annotations

import ast
import json
import re
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("engine", "apps", "tests", "experiments")
SOURCES = sorted(file for folder in ("engine", "apps") for file in (ROOT / folder).rglob("*.py"))

# Whoever stands right may import what stands left. What lies at the top of engine/ and is none of
# the others (lazy.py, autograd.py, __init__.py, ...) is the layer `lazy`.
LAYERS = ("errors", "config", "arrays", "ranges", "formula", "codegen", "backends", "lazy", "apps")
# A layer -> what it must not import although it stands left of it: a formula knows no arrays.
UNKNOWN_TO = {"formula": {"config", "arrays", "ranges"}, "codegen": {"arrays", "ranges"}}
# The report of what was found asks the backends; it does so when called, not when imported.
LATE_IMPORTS = {("config", "backends")}
# Too slow or too big to import for someone who may not use them.
NEVER_AT_IMPORT = ("torch", "cupy", "sklearn", "scipy", "pykeops", "faiss", "matplotlib", "tqdm")
IMPORT_BUDGET = 0.2  # seconds above `import numpy`: design section 4
WORDS = ("age" + "nt", "ll" + "m", "chat" + "bot", "assis" + "tant")
PLACES = ("/wo" + "rk/", "/ro" + "ot/", "/tmp/bri" + "efs", "py" + "pi.org", "python" + "hosted")


def layer_of(module: str) -> str | None:
    """Return the layer of a module by its full name, None if it is not one of ours."""
    parts = module.split(".")
    if parts[0] != "georeduce" or len(parts) < 2:
        return None
    if parts[1] == "apps":
        return "apps"
    return parts[2] if len(parts) > 2 and parts[2] in LAYERS else "lazy"


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(("georeduce", *(p for p in parts if p != "__init__")))


def imports_of(file: Path) -> list[tuple[str, int, bool]]:
    """Return (module, line, runs when imported?) for each import statement of a file.

    ``from .codegen import clike`` gives ``...codegen.clike``: one name too deep does no harm,
    while the name alone would hide that ``from . import lazy`` imports a layer.
    """
    package = module_of(file) if file.name == "__init__.py" else module_of(file).rpartition(".")[0]
    found: list[tuple[str, int, bool]] = []

    def visit(node: ast.AST, now: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend((alias.name, node.lineno, now) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(up if node.level else []), *([node.module] if node.module else [])])
            found.extend((f"{base}.{alias.name}", node.lineno, now) for alias in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.orelse:
                visit(child, now)
            return
        now = now and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, now)

    visit(ast.parse(file.read_text(encoding="utf-8")), True)
    return found


def wrong_imports(file: Path) -> list[str]:
    mine = layer_of(module_of(file))
    assert mine is not None
    wrong = []
    for module, line, now in imports_of(file):
        other = layer_of(module)
        top = module.split(".")[0]
        where = f"{file.relative_to(ROOT)}:{line}: {mine} imports {module}"
        if other is not None:
            upwards = LAYERS.index(other) > LAYERS.index(mine)
            late = not now and (mine, other) in LATE_IMPORTS
            if (upwards and not late) or other in UNKNOWN_TO.get(mine, ()):
                wrong.append(where)
        elif mine == "formula" and top not in {*sys.stdlib_module_names, "numpy"} and now:
            wrong.append(where)
        elif mine != "apps" and now and top in NEVER_AT_IMPORT:
            wrong.append(where)
    return wrong


@pytest.mark.parametrize("file", SOURCES, ids=[str(f.relative_to(ROOT)) for f in SOURCES])
def test_imports_go_one_way(file: Path) -> None:
    assert wrong_imports(file) == []


def test_a_wrong_import_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    cases = {
        "engine/formula/expr.py": [
            "from ..codegen import ir",
            "from .. import lazy",
            "import cffi",
        ],
        "engine/codegen/ir.py": ["from ..backends._base import Backend", "import georeduce.apps"],
        "engine/config.py": ["from .backends import _cache", "def f():\n    from . import lazy"],
        "engine/lazy.py": [
            "from georeduce.apps.knn import _base",
            "import torch",
            "import sklearn",
        ],
    }
    for name, lines in cases.items():
        for line in lines:
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"import math\n{line}\n", encoding="utf-8")
            assert len(wrong_imports(file)) == 1, (name, line)
    file.write_text(
        "def f():\n    import torch\n    from .backends import _base\n", encoding="utf-8"
    )
    assert wrong_imports(file) == []


def run(code: str) -> str:
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_import_is_light() -> None:
    found = json.loads(run("import json, sys, georeduce.engine; print(json.dumps([*sys.modules]))"))
    assert "georeduce.engine" in found
    assert set(found) & set(NEVER_AT_IMPORT) == set()


def test_import_is_quick() -> None:
    code = (
        "import time, numpy; start = time.perf_counter();"
        "import georeduce.engine; print(time.perf_counter() - start)"
    )
    seconds = statistics.median(float(run(code)) for _ in range(5))
    assert seconds < IMPORT_BUDGET


def text_files() -> list[Path]:
    found = [file for folder in FOLDERS for file in (ROOT / folder).rglob("*") if file.is_file()]
    found += [f for f in ROOT.iterdir() if f.suffix in {".md", ".toml", ".txt"}]
    found += [ROOT / "Makefile", ROOT / ".ci" / "run"]
    return [f for f in found if "__pycache__" not in f.parts and f.suffix not in {".png", ".pyc"}]


def test_files_are_short() -> None:
    limits = {".py": 400, ".h": 500}
    lines = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in text_files()}
    assert lines
    long = {f: n for f, n in lines.items() if n > limits.get(f.suffix, n)}
    assert long == {}


def test_no_file_names_what_it_must_not() -> None:
    words = re.compile(rf"\b({'|'.join(WORDS)})s?\b", re.IGNORECASE)
    assert words.search("Two " + WORDS[0].title() + "s.")
    wrong = {}
    for file in text_files():
        text = file.read_text(encoding="utf-8")
        if found := [*words.findall(text), *(p for p in PLACES if p in text)]:
            wrong[str(file.relative_to(ROOT))] = found
    assert wrong == {}


def test_every_package_is_installed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    folders = {file.parent for file in SOURCES}
    assert set(settings["setuptools"]["packages"]) == {
        module_of(f / "__init__.py") for f in folders
    }
