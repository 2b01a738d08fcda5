"""Formulas as strings: what they mean, and what is said of those that mean nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from formulas import PARAMS, leaves
from helpers import Array, analyse, assert_close
from hypothesis import given, settings
from hypothesis import strategies as st

from georeduce.engine.errors import ArgumentError, GeoreduceError, ShapeError
from georeduce.engine.formula import ops as o
from georeduce.engine.formula.evaluate import evaluate
from georeduce.engine.formula.expr import Expr, constant, variable
from georeduce.engine.formula.keops import NAMES, Name, names
from georeduce.engine.formula.ops import OPS, Op
from georeduce.engine.formula.parse import NESTING, parse_formula, parse_variable

X, Y, B, G = (
    variable(a, d, n) for n, (a, d) in enumerate([("i", 3), ("j", 3), ("j", 1), ("p", 1)])
)
DECLARED = {"x": X, "y": Y, "b": B, "g": G, "m": variable("i", 9, 4)}

# --- Precedence, exactly: as nodes ------------------------------------------------------------

SAME = [
    ("x - y - b", "(x - y) - b"),
    ("x - y * b", "x - (y * b)"),
    ("x / y * b", "(x / y) * b"),
    ("-x ** 2", "-(x ** 2)"),
    ("-x * y", "(-x) * y"),
    ("x ** -y", "x ** (-y)"),
    ("x ** y ** b", "x ** (y ** b)"),
    ("x | y + b", "x | (y + b)"),
    ("(x | y) < b", "x | y < b"),
    ("x + +y", "x + y"),
    ("+x ** 2", "x ** 2"),
    ("x - -y", "x - (-y)"),
    ("x*y", "  x\n *\ty  "),
    ("x ** 2", "Square(x)"),
    ("x ** 3", "Pow(x, 3)"),
    ("x ** 0.5", "Sqrt(x)"),
    ("x ** y", "Powf(x, y)"),
    ("1e-1 * x", "0.1 * x"),
    ("2 * x", "IntCst(2) * x"),
    ("-2 * x", "IntCst(-2) * x"),
    ("x[1]", "Elem(x, 1)"),
    ("x[-1]", "Elem(x, 2)"),
    ("x[1:3]", "Extract(x, 1, 2)"),
    ("(x + y)[0] * b[0]", "Elem(Add(x, y), 0) * Elem(b, 0)"),
    ("Var(0,3,0) * Vj(1,3)", "Vi(0,3) * y"),
    ("Pm(3,1) * Vx(0,3) - Vy(1,3)", "g * x - y"),
    ("sqdist(x, y)", "SqDist(x, y)"),
    ("one_hot(b, 3)", "OneHot(b, 3)"),
    ("Factorize(x * y, x)", "AutoFactorize(Mult(x, y))"),
    ("Kron(x, y, [3], [3])", "TensorDot(x, y, [3], [3], [], [])"),
    ("SqNormIso(g, x)", "WeightedSqNorm(g, x)"),
    ("SqNormDiag(y, x)", "WeightedSqNorm(y, x)"),
    ("SymSqNorm(m, x)", "WeightedSqNorm(m, x)"),
    ("Grad(Sum(x * y), x)", "Grad(Sum(x * y), x, 1)"),
    ("(x < y) | (y < x)", "LogicalOr(LessThan(x, y), LessThan(y, x))"),
]


@pytest.mark.parametrize(("text", "other"), SAME, ids=[a.strip() for a, _ in SAME])
def test_same_formula(text: str, other: str) -> None:
    assert parse_formula(text, DECLARED) is parse_formula(other, DECLARED)


# --- Meanings, as NumPy has them --------------------------------------------------------------


def last(v: Array, how: Callable[..., Array]) -> Array:
    return how(v, axis=-1, keepdims=True)


def sq(v: Array) -> Array:
    return last(v * v, np.sum)


def eye(v: Array) -> Array:
    return np.broadcast_to(np.eye(3).reshape(-1), (*v.shape[:-1], 9))


MEANINGS: dict[str, Callable[..., Any]] = {
    "x - y": lambda x, y, b, g, m: x - y,
    "x / (1 + y * y)": lambda x, y, b, g, m: x / (1 + y * y),
    "(x | y)": lambda x, y, b, g, m: last(x * y, np.sum),
    "Scalprod(x, y)": lambda x, y, b, g, m: last(x * y, np.sum),
    "Minus(Subtract(x, Divide(y, g)))": lambda x, y, b, g, m: y / g - x,
    "x < y": lambda x, y, b, g, m: x < y,
    "LessOrEqual(x, y) + Equal(x, x) * 2": lambda x, y, b, g, m: (x <= y) + 2.0,
    "NotEqual(x, x)": lambda x, y, b, g, m: np.zeros_like(x),
    "Exp(-SqDist(x, y) / g) * b": lambda x, y, b, g, m: np.exp(-sq(x - y) / g) * b,
    "Clamp(x, -0.5, b)": lambda x, y, b, g, m: np.minimum(np.maximum(x, -0.5), b),
    "ClampInt(x, 0, 1)": lambda x, y, b, g, m: np.clip(x, 0, 1),
    "IfElse(x, y, b)": lambda x, y, b, g, m: np.where(x >= 0, y, b),
    "Mod(x, 2, 1)": lambda x, y, b, g, m: x - 2 * np.floor((x - 1) / 2),
    "Round(x, 1)": lambda x, y, b, g, m: np.round(x * 10) / 10,
    "RatCst(1, 2) * x + IntInv(4)": lambda x, y, b, g, m: x / 2 + 0.25,
    "Zero(3) + x": lambda x, y, b, g, m: x,
    "WeightedSqDist(g, x, y)": lambda x, y, b, g, m: g * sq(x - y),
    "WeightedSqDist(y * y, x, y)": lambda x, y, b, g, m: last(y * y * (x - y) ** 2, np.sum),
    "WeightedSqNorm(m, x)": lambda x, y, b, g, m: quadratic(m, x),
    "SumT(b, 3)": lambda x, y, b, g, m: np.repeat(b, 3, axis=-1),
    "ElemT(b, 4, 1)": lambda x, y, b, g, m: np.concatenate([0 * b, b, 0 * b, 0 * b], -1),
    "ExtractT(x, 0, 3)": lambda x, y, b, g, m: x,
    "ExtractT(x, 1, 5)": lambda x, y, b, g, m: np.pad(x, [(0, 0)] * (x.ndim - 1) + [(1, 1)]),
    "Concat(x, b)[2:4]": lambda x, y, b, g, m: np.concatenate(
        np.broadcast_arrays(x[..., 2:], b), axis=-1
    ),
    "MatVecMult(m, x)": lambda x, y, b, g, m: (square_of(m) @ x[..., None])[..., 0],
    "VecMatMult(x, m)": lambda x, y, b, g, m: (x[..., None, :] @ square_of(m))[..., 0, :],
    "TensorProd(x, y)": lambda x, y, b, g, m: np.concatenate(
        [x[..., k : k + 1] * y for k in range(3)], -1
    ),
    "OneHot(ArgMax(x), 3)": lambda x, y, b, g, m: np.eye(3)[x.argmax(-1)],
    "Max(x) - Min(x) + ArgMin(x)": lambda x, y, b, g, m: (
        last(x, np.max) - last(x, np.min) + last(x, np.argmin)
    ),
    "Norm2(x) * Rsqrt(SqNorm2(x))": lambda x, y, b, g, m: np.ones_like(b + x[..., :1]),
    "Atan2(x, y) + SinXDivX(x)": lambda x, y, b, g, m: np.arctan2(x, y) + np.sin(x) / x,
    "XLogX(x * x) + ReLU(x) + Step(x) + Sign(x)": lambda x, y, b, g, m: (
        x * x * np.log(x * x) + np.maximum(x, 0) + (x >= 0) + np.sign(x)
    ),
    "Grad(Exp(-SqDist(x, y)), x, b)": lambda x, y, b, g, m: -2 * (x - y) * np.exp(-sq(x - y)) * b,
    "Diff(SqDist(x, y), x, y)": lambda x, y, b, g, m: 2 * last((x - y) * y, np.sum),
    "Divergence(x * b, x)": lambda x, y, b, g, m: 3 * b,
    "Laplacian(SqDist(x, y), x)": lambda x, y, b, g, m: np.full_like(b, 6.0),
    "GradMatrix(b * x, x)": lambda x, y, b, g, m: b * eye(x),
    "TraceOperator(b * x, x)": lambda x, y, b, g, m: 3 * b,
}


def square_of(m: Array) -> Array:
    return m.reshape(*m.shape[:-1], 3, 3)


def quadratic(m: Array, x: Array) -> Array:
    return (x[..., None, :] @ square_of(m) @ x[..., :, None])[..., 0]


@pytest.mark.parametrize("text", MEANINGS)
def test_meaning(text: str, rng: np.random.Generator) -> None:
    values = {
        e: rng.uniform(-1.5, 1.5, (4, 1, e.dim) if e.params[0] == "i" else (1, 5, e.dim))
        for e in DECLARED.values()
    }
    e = parse_formula(text, DECLARED)
    expected = MEANINGS[text](*values.values())
    result = np.broadcast_to(evaluate(e, values, np.float64), (4, 5, e.dim))
    # NumPy's own arithmetic has errors of the same size
    bound = 2 * np.broadcast_to(analyse([e], values, np.float64)[0][1], result.shape)
    assert_close(result, np.broadcast_to(np.asarray(expected, np.float64), result.shape), bound)


def test_every_name_is_tested() -> None:
    texts = " ".join([*MEANINGS, *(text for pair in SAME for text in pair)])
    assert [name for name in NAMES if f"{name}(" not in texts] == []


def test_operations_of_the_table_are_names() -> None:
    for op in OPS.values():
        if not op.internal:
            assert names(op.name) is not None
    assert names("take") is None, "a part of others"


# --- Any formula ------------------------------------------------------------------------------

WRITTEN = {op.symbol: op for op in OPS.values() if op.symbol and len(op.args) == 2}
LETTERS = {"i": "Vi", "j": "Vj", "p": "Pm"}


def keeps_its_name(op: Op) -> bool:
    """Return whether an operation's name means it, with its own order of arguments."""
    kinds = ("formula",) * len(op.args) + ("number",) * len(op.params)
    return names(op.name) == Name(op, kinds, len(kinds) - len(op.defaults))


@st.composite
def written(draw: Callable[..., Any], depth: int = 4) -> tuple[str, Expr]:
    """Draw a string, and the formula that it says."""
    choose = lambda n: draw(st.integers(0, n - 1))  # noqa: E731
    if depth == 0 or choose(5) == 0:
        number = choose(40)
        if number < 30:
            axis, slot = (leaf := leaves(3)[number % 10]).params
            return f"{LETTERS[axis]}({slot},{leaf.dim})", leaf
        return f"{number / 4:g}", constant(number / 4)
    known = [op for op in OPS.values() if keeps_its_name(op)]
    op = known[choose(len(known))]
    args = [_argument(draw, kind, depth) for kind in op.args]
    params = PARAMS[op.name](choose, args[0][1].dim) if op.name in PARAMS else ()
    try:
        made = op(*(e for _, e in args), *params)
    except GeoreduceError:
        return args[0]
    if made.dim > 30:
        return args[0]
    if op.symbol in WRITTEN and WRITTEN[op.symbol] is op:
        return f"({args[0][0]} {op.symbol} {args[1][0]})", made
    given = [text for text, _ in args] + [f"{p:g}" for p in params]
    return f"{''.join(map(str.title, op.name.split('_')))}({', '.join(given)})", made


def _argument(draw: Callable[..., Any], kind: str, depth: int) -> tuple[str, Expr]:
    text, e = draw(written(depth - 1))
    if kind == "boolean":
        return f"({text} > 0)", o.gt(e, constant(0))
    if kind == "index":
        return f"ArgMin({text})", o.argmin(e)
    return text, e


@settings(max_examples=300)
@given(both=written())
def test_what_is_written_is_read(both: tuple[str, Expr]) -> None:
    text, e = both
    assert parse_formula(text) is e


@settings(max_examples=300)
@given(text=st.text("xyb0.12 ()[],+-*/|<>=!:$SumExp\n\t", max_size=12))
def test_any_string_is_a_formula_or_an_error_that_shows_it(text: str) -> None:
    try:
        assert isinstance(parse_formula(text, DECLARED), Expr)
    except GeoreduceError as error:
        sentence, line, carets = str(error).split("\n")
        assert re.fullmatch(r"(.*: )?Expected .*, but got .*[.?]", sentence)
        assert set(carets.strip()) == {"^"}
        assert line[4:] in text.expandtabs()


# --- Mistakes ---------------------------------------------------------------------------------

VARIABLES = "an operation or one of the variables x, y, b, g, m"
MISTAKES: list[tuple[str, type[Exception], str]] = [
    (
        "Exp(-SqDst(x, y))",
        ArgumentError,
        f"Expected {VARIABLES}, but got 'SqDst'. Did you mean 'SqDist'?\n"
        "    Exp(-SqDst(x, y))\n"
        "         ^^^^^",
    ),
    (
        "Exp(x, y)",
        ArgumentError,
        "Expected Exp of 1 argument, but got 2.\n    Exp(x, y)\n    ^^^^^^^^^",
    ),
    (
        "Sum(x - TensorProd(y))",
        ArgumentError,
        "Expected TensorProd of 2 arguments, but got 1.\n"
        "    Sum(x - TensorProd(y))\n"
        "            ^^^^^^^^^^^^^",
    ),
    (
        "Exp(x * (y + b)",
        ArgumentError,
        "Expected ',' or ')', but got a formula that ends before '(' is closed.\n"
        "    Exp(x * (y + b)\n"
        "       ^",
    ),
    (
        "(x + y",
        ArgumentError,
        "Expected ')', but got a formula that ends before '(' is closed.\n    (x + y\n    ^",
    ),
    (
        "x + y)",
        ArgumentError,
        "Expected an operator or the end of the formula, but got ')'.\n    x + y)\n         ^",
    ),
    (
        "x +",
        ArgumentError,
        "Expected a number, a name or '(', but got the end of the formula.\n    x +\n       ^",
    ),
    ("", ArgumentError, "Expected a number, a name or '(', but got the end of the formula.\n"),
    (
        "x ? y",
        ArgumentError,
        "Expected a number, a name, an operator or a parenthesis, but got '?'.\n    x ? y\n      ^",
    ),
    ("x y", ArgumentError, "Expected an operator or the end of the formula, but got 'y'.\n"),
    ("x < y < b", ArgumentError, "Expected one comparison, or parentheses around the first, but"),
    ("Exp", ArgumentError, "Expected '(' after Exp, but got the end of the formula.\n"),
    ("Elem(x, b)", ArgumentError, "Expected a number as argument 2 of Elem, but got a formula.\n"),
    ("IntCst(0.5)", ArgumentError, "Expected an integer as argument 1 of IntCst, but got '0.5'.\n"),
    ("Grad(x, x + y)", ArgumentError, "Expected a variable as argument 2 of Grad, but got a form"),
    (
        "b * (x - Concat(x, y))",
        ShapeError,
        "sub: Expected feature axes of equal length, or of length 1, but got 3 and 6.\n"
        "    b * (x - Concat(x, y))\n"
        "           ^",
    ),
    (
        "Exp(x\n    + MatVecMult(x, m))",
        ShapeError,
        "matvecmult (of 3 and 9 components): Expected a matrix of a multiple of 9 components, but "
        "got 3.\n"
        "        + MatVecMult(x, m))\n"
        "          ^^^^^^^^^^",
    ),
    ("SqNormDiag(g, x)", ShapeError, "Expected weights of 3 components, but got 1.\n"),
    ("x[5]", ShapeError, "elem (of 3 components): Expected an index from -3 to 2, but got 5.\n"),
    ("x[g]", ArgumentError, "Expected an integer as an index, but got 'g'.\n"),
    ("x[1", ArgumentError, "Expected ']', but got a formula that ends before '[' is closed.\n"),
    ("Var(0, 4, 1)", ArgumentError, "Expected variable 0 to be Vi(0, 3), but got Vj(0, 4).\n"),
    ("Var(7, 4, 3)", ArgumentError, "Expected Var(ind, dim, cat) of a category 0, 1 or 2, but got"),
    ("Vi(7, 0)", ArgumentError, "Expected Vi(ind, dim), but got Vi(7, 0).\n"),
    ("__import__", ArgumentError, f"Expected {VARIABLES}, but got '__import__'.\n"),
    ("take(x, 0, 1, 1)", ArgumentError, f"Expected {VARIABLES}, but got 'take'."),
]


@pytest.mark.parametrize(("text", "error", "message"), MISTAKES, ids=[t for t, _, _ in MISTAKES])
def test_mistake(text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match="^" + re.escape(message)):
        parse_formula(text, DECLARED)


@pytest.mark.parametrize(("opening", "closing"), [("(", ")"), ("Exp(-", ")"), ("-(+", ")")])
def test_depth(opening: str, closing: str) -> None:
    assert parse_formula(opening * NESTING + "x" + closing * NESTING, DECLARED).dim == 3
    with pytest.raises(ArgumentError, match=f"^Expected at most {NESTING} parentheses"):
        parse_formula(opening * 10_000 + "x" + closing * 10_000, DECLARED)
    assert parse_formula("-" * 10_000 + "x" + " + x" * 10_000, DECLARED).dim == 3


def test_a_formula_is_a_string() -> None:
    with pytest.raises(ArgumentError, match=r"^Expected a formula as a string, but got int\.$"):
        parse_formula(3)  # type: ignore[arg-type]


# --- Variables --------------------------------------------------------------------------------

DECLARATIONS = {
    "x = Vi(3)": ("x", variable("i", 3, 7)),
    "x=Vj(0,3)": ("x", variable("j", 3, 0)),
    " Pm( 1 ) ": ("", variable("p", 1, 7)),
    "a_1 = Var(2, 3, 1)": ("a_1", variable("j", 3, 2)),
    "x = Vx(3)": ("x", variable("i", 3, 7)),
    "y = Vy(3)": ("y", variable("j", 3, 7)),
}


@pytest.mark.parametrize("text", DECLARATIONS)
def test_declaration(text: str) -> None:
    assert parse_variable(text, 7) == DECLARATIONS[text]


WHAT = "Expected a variable as 'x = Vi(3)', 'Vj(1, 3)', 'p = Pm(1)' or 'Var(0, 3, 0)', but got"
WRONG = {
    "x = Vk(3)": f"{WHAT} 'Vk'.",
    "x = Var3(3)": f"{WHAT} 'Var3'. Did you mean 'Var'?",
    "x = Vi(1, 2, 3)": f"{WHAT} 'Vi'.\n    x = Vi(1, 2, 3)\n        ^^",
    "x = Var(1, 2)": f"{WHAT} 'Var'.",
    "3 = Vi(3)": f"{WHAT} '3'.",
    "x = Vi(3": "Expected ')', but got the end of the formula.",
    "x = Vi(a)": "Expected an integer as the number or the dimension of a variable, but got 'a'.",
    "x = Vi(3) + 1": "Expected an operator or the end of the formula, but got '+'.",
    "x = Vi(0)": "Expected Vi(ind, dim), but got Vi(7, 0).",
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_declaration(text: str) -> None:
    with pytest.raises(ArgumentError, match="^" + re.escape(WRONG[text])):
        parse_variable(text, 7)


def test_no_spelling_changes_the_order_of_arguments() -> None:
    kept, swapped = parse_formula("WeightedSqNorm(g, x)", DECLARED), "weighted_sqnorm(g, x)"
    assert parse_formula(swapped, DECLARED) is kept
    with pytest.raises(ShapeError, match=r"^Expected weights of 1 components, but got 3\."):
        parse_formula("weightedsqnorm(x, g)", DECLARED)
