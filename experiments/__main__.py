"""Run an experiment by name: `python -m experiments NAME [options]`; without a name, list them."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path

HERE = Path(__file__).parent


def experiments() -> dict[str, str]:
    """Return each experiment (a module with a `main`) and the first line of its docstring."""
    found = {}
    for file in sorted([*HERE.glob("[!_]*.py"), *HERE.glob("*/__init__.py")]):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            name = file.parent.name if file.stem == "__init__" else file.stem
            found[name] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def main(arguments: list[str]) -> int:
    found = experiments()
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        print()
        for name, line in found.items():
            print(f"  {name:10} {line}")
        return 0
    name, *rest = arguments
    if name not in found:
        print(f"Expected an experiment among {sorted(found)}, but got {name!r}.", file=sys.stderr)
        return 2
    return int(importlib.import_module(f"experiments.{name}").main(rest) or 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
