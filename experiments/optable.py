"""Bring the README's tables of the engine up to date: `python -m experiments optable`."""

from __future__ import annotations

import sys

from experiments import harness
from georeduce.engine import LazyTensor
from georeduce.engine.formula.ops import OPS, Op
from georeduce.engine.formula.reductions import REDUCTIONS

README = harness.ROOT / "README.md"
BEGIN, END = "<!-- ops:begin -->", "<!-- ops:end -->"
OPERATORS = {
    "add": "x + y",
    "sub": "x - y",
    "mul": "x * y",
    "truediv": "x / y",
    "neg": "-x",
    "abs": "abs(x)",
    "or": "(x | y)",
    "and": "x & y",
    "invert": "~x",
    "lt": "x < y",
    "le": "x <= y",
    "gt": "x > y",
    "ge": "x >= y",
    "eq": "x == y",
    "ne": "x != y",
}
ARGUMENTS = {"logsumexp": "axis, weight=None", "sumsoftmaxweight": "weight, axis"}


def call(op: Op) -> str:
    """Return how an operation is called."""
    names = [*op.operands[: len(op.args) - 1], *op.params]
    given = len(names) - len(op.defaults)
    names = names[:given] + [f"{n}={v}" for n, v in zip(names[given:], op.defaults, strict=True)]
    spelled = [f"`x.{name}({', '.join(names)})`" for name in (op.name, *op.aliases)]
    if op.dunder:
        spelled.append(f"`{OPERATORS.get(op.dunder, op.dunder)}`")
    spelled += {"pow": ["`x ** y`"], "elem": ["`x[i]`"], "mod": ["`x % y`"]}.get(op.name, [])
    return ", ".join(spelled)


def row(*cells: str) -> str:
    """Return a row of a table, in which a bar would end a cell."""
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def render() -> str:
    """Return both tables."""
    rows = ["| operation | meaning |", "|---|---|"]
    rows += [row(call(op), op.doc) for op in OPS.values() if hasattr(LazyTensor, op.name)]
    rows += ["", "| reduction | meaning |", "|---|---|"]
    for name, entry in REDUCTIONS.items():
        if not hasattr(LazyTensor, name):
            continue
        arguments = "K, axis" if entry.keep else ARGUMENTS.get(name, "axis")
        rows.append(row(f"`x.{name}({arguments})`", entry.doc))
    rows.append(
        row("`K @ b`, `b @ K`, `K.T`", "Products with vectors and matrices; the transpose.")
    )
    numbers = (
        "Complex LazyTensors, as of complex arrays: `z.real`, `z.imag`, `z.abs()`, `z.angle()`, "
    )
    numbers += "`z.conj()`, `z.exp()`, `z.sum(axis)`, `K @ b` and arithmetic."
    rows.append(row("`x.real2complex()`, `x.imag2complex()`, `x.exp1j()`", numbers))
    solve = "The x with `(K + alpha I) @ x = b`, K positive definite: conjugate gradients."
    rows.append(row("`K.solve(b, alpha=1e-10)`", solve))
    return "\n".join(rows)


def updated(text: str) -> str:
    """Return the README's text with its tables as they should be."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{render()}\n{END}{tail}"


def main(arguments: list[str]) -> int:
    """Write the README's tables."""
    harness.parser(__doc__, "optable").parse_args(arguments)
    before = README.read_text(encoding="utf-8")
    after = updated(before)
    if after != before:
        README.write_text(after, encoding="utf-8")
    print(f"{README}: the tables are {'up to date' if after == before else 'brought up to date'}.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
