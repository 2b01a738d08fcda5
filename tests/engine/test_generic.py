"""Genred and its short forms: as dense NumPy, as LazyTensors, and as pykeops itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import Array, assert_close, check, eps

from georeduce.engine import (
    ArgumentError,
    Genred,
    LazyTensor,
    Pm,
    ShapeError,
    Vi,
    Vj,
    generic_argkmin,
    generic_argmin,
    generic_logsumexp,
    generic_sum,
)
from georeduce.engine.formula.reductions import REDUCTIONS
from georeduce.engine.generic import NAMES

GAUSSIAN = "Exp(-g * SqDist(x, y)) * b"
ALIASES = ["x = Vi(3)", "y = Vj(3)", "b = Vj(2)", "g = Pm(1)"]

Arrays = tuple[Array, Array, Array, Array]


@pytest.fixture
def arrays(rng: np.random.Generator) -> Arrays:
    return rng.random((6, 3)), rng.random((9, 3)), rng.random((9, 2)), np.array([0.7])


def gaussian(x: Array, y: Array, b: Array, g: Array) -> LazyTensor:
    return (-Pm(g) * Vi(x).sqdist(Vj(y))).exp() * Vj(b)


def test_sum(arrays: Arrays) -> None:
    x, y, b, g = arrays
    terms = np.exp(-g * ((x[:, None] - y) ** 2).sum(-1))[..., None] * b
    # of 9 positive terms, whose arguments have some 10 roundings of numbers below 3
    rtol = 50 * eps("f8")
    for axis in (0, 1):
        result = Genred(GAUSSIAN, ALIASES, axis=axis)(*arrays, backend="numpy")
        np.testing.assert_allclose(result, terms.sum(axis), rtol=rtol)
    by_default = Genred(GAUSSIAN, ALIASES)(*arrays, backend="numpy")
    assert by_default.shape == (9, 2), "axis=0, as in KeOps"


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", [n for n in NAMES if n != "LogSumExpWeight"])
def test_every_reduction_is_that_of_lazytensors(name: str, axis: int, arrays: Arrays) -> None:
    entry = REDUCTIONS[NAMES[name]]
    d, how = Vi(arrays[0]).sqdist(Vj(arrays[1])), {"axis": axis, "backend": "numpy"}
    given: dict[str, Any] = {"K": 2} if entry.keep else {}
    if entry.weighted:
        given = {"weight": Vi(arrays[0]) - Vj(arrays[1])}
    expected = getattr(d, NAMES[name])(**given, **how)
    f = Genred(
        "SqDist(x, y)",
        ALIASES[:2],
        name,
        axis=axis,
        opt_arg=2 if entry.keep else None,
        formula2="x - y" if entry.weighted else None,
    )
    result = f(*arrays[:2], backend="numpy")
    many = isinstance(expected, tuple)
    for a, b in zip(result if many else [result], expected if many else [expected], strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


def test_weighted_log_sum_exp(arrays: Arrays) -> None:
    x, y, b, _ = arrays
    d = -Vi(x).sqdist(Vj(y))
    expected = d.logsumexp(axis=1, weight=b, backend="numpy")
    for name in ("LogSumExp", "LogSumExpWeight"):
        f = Genred("-SqDist(x, y)", ALIASES[:3], name, axis=1, formula2="b")
        np.testing.assert_array_equal(f(x, y, b, backend="numpy"), expected)


def test_variables_of_the_formula_and_of_no_formula(arrays: Arrays) -> None:
    x, y, _, _ = arrays
    how = {"backend": "numpy"}
    expected = Vi(x).sqdist(Vj(y)).sum(axis=1, **how)
    inside = Genred("SqDist(Var(0,3,0), Var(1,3,1))", [], axis=1)
    mixed = Genred("SqDist(x, Var(1,3,1))", ["x = Vi(3)"], axis=1)
    turned = Genred("SqDist(x, y)", ["y = Vj(1, 3)", "x = Vi(0, 3)"], axis=1)
    for f in (inside, mixed, turned):
        np.testing.assert_array_equal(f(x, y, **how), expected)
    unused = Genred("SqDist(x, x)", ["x = Vi(3)", "y = Vj(3)"], axis=1)
    assert unused(x, y, **how).shape == (6, 1)
    with pytest.raises(ArgumentError, match=r"^Expected 2 arrays, for Vi\(0, 3\) and Vj\(1, 3\)"):
        unused(x)


def test_options_and_batches(arrays: Arrays) -> None:
    x, y, b, g = arrays
    how = {"backend": "CPU"}
    f = Genred(GAUSSIAN, ALIASES, axis=1, dtype="float64", enable_chunks=False, cuda_type="")
    out = np.empty((6, 2))
    assert f(*arrays, **how, out=out, device_id=0) is out
    np.testing.assert_array_equal(out, f(*arrays, **how))
    both = f(np.stack([x, 2 * x]), y, b, g, **how)
    assert both.shape == (2, 6, 2)
    np.testing.assert_array_equal(both[0], out)
    kahan = Genred(GAUSSIAN, ALIASES, axis=1, sum_scheme="kahan_scheme")
    check(gaussian(*arrays), "sum_kahan", backend="numpy")
    expected = gaussian(*arrays).sum_kahan(axis=1, backend="numpy")
    np.testing.assert_array_equal(kahan(*arrays, backend="numpy"), expected)


def test_ranges_are_passed_on(arrays: Arrays) -> None:
    """The first three rows with some columns, as a matrix that keeps no others."""
    rows, columns = np.array([[0, 3]]), np.array([[0, 2], [5, 9]])
    ranges = (rows, np.array([2]), columns, columns, np.array([1, 2]), np.array([[0, 3], [0, 3]]))
    how = {"backend": "numpy", "ranges": ranges}
    expected = gaussian(*arrays).sum(axis=1, **how)
    result = Genred(GAUSSIAN, ALIASES, axis=1)(*arrays, **how)
    np.testing.assert_array_equal(result, expected)
    assert not result[3:].any()
    assert result[:3].all()
    later = (-Pm(3, 1) * Vi(0, 3).sqdist(Vj(1, 3))).exp() * Vj(2, 2)
    np.testing.assert_array_equal(later.sum(axis=1, **how)(*arrays), expected)


def test_short_forms(arrays: Arrays) -> None:
    x, y, _, _ = arrays
    how = {"backend": "numpy"}
    d = Vi(x).sqdist(Vj(y))
    points = ("x = Vi(3)", "y = Vj(3)")
    for made, expected in (
        (generic_sum(GAUSSIAN, "a = Vi(2)", *ALIASES), gaussian(*arrays).sum(axis=1, **how)),
        (generic_sum(GAUSSIAN, "a = Vj(2)", *ALIASES), gaussian(*arrays).sum(axis=0, **how)),
        (
            generic_logsumexp("SqDist(x, y)", "a = Vj(1)", *points),
            d.logsumexp(axis=0, **how),
        ),
        (generic_argmin("SqDist(x, y)", "a = Vi(1)", *points), d.argmin(axis=1, **how)),
        (generic_argkmin("SqDist(x, y)", "a = Vi(4)", *points), d.argKmin(4, axis=1, **how)),
    ):
        np.testing.assert_array_equal(made(*arrays[: len(made.aliases)], **how), expected)


def test_repr() -> None:
    f = Genred("x * y", ["x = Vi(3)", "y = Vj(3)"], "Max", axis=1)
    assert repr(f) == "Genred('x * y', ['x = Vi(3)', 'y = Vj(3)'], 'Max', 1)"


XY = ["x = Vi(3)", "y = Vj(3)"]
MISTAKES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: Genred("x * y", XY, "Summ"),
        ArgumentError,
        f"Expected reduction_op among {[*NAMES, *REDUCTIONS]}, but got 'Summ'. Did you mean 'Sum'?",
    ),
    (
        lambda: Genred("x * y", XY, axis=2),
        ArgumentError,
        "Expected axis=0 (over rows, results by columns) or 1 (over columns), but got axis=2.",
    ),
    (
        lambda: Genred("x * y", "x = Vi(3)"),
        ArgumentError,
        "Expected aliases as a list of strings such as 'x = Vi(3)', but got 'x = Vi(3)'.",
    ),
    (
        lambda: Genred("x * y", ["x = Vi(3)", "x = Vj(3)"]),
        ArgumentError,
        "Expected aliases that differ in their names and numbers, but got 'x = Vj(3)', of which "
        "another has the name 'x'.",
    ),
    (
        lambda: Genred("x * y", ["x = Vi(3)", "y = Vj(0, 3)"]),
        ArgumentError,
        "Expected aliases that differ in their names and numbers, but got 'y = Vj(0, 3)', of "
        "which another has the number 0.",
    ),
    (
        lambda: Genred("x * y", ["x = Vi(3)", "y = Vj(5, 3)"]),
        ArgumentError,
        "Expected variables of numbers 0 to 1, one for each array, but got numbers [0, 5].",
    ),
    (
        lambda: Genred("IntCst(2)", []),
        ArgumentError,
        "Expected a formula of some variables, but got none.",
    ),
    (
        lambda: Genred("x * y", XY, "KMin", opt_arg=1),
        ShapeError,
        "Expected a formula of dimension 1 for Kmin, but got 3. Reduce",
    ),
    (
        lambda: Genred("SqDist(x, y)", XY, "KMin"),
        ArgumentError,
        "Expected KMin(opt_arg) with a positive integer opt_arg, but got opt_arg=None.",
    ),
    (
        lambda: Genred("x * y", XY, opt_arg=3),
        ArgumentError,
        "Expected no opt_arg, the K of the K smallest, for Sum, but got opt_arg=3.",
    ),
    (
        lambda: Genred("SqDist(x, y)", XY, "SumSoftMaxWeight"),
        ArgumentError,
        "Expected a weight for sumsoftmaxweight, but got None.",
    ),
    (
        lambda: Genred("x * y", XY, formula2="x"),
        ArgumentError,
        "Expected no weight for sum, but got one.",
    ),
    (
        lambda: Genred("x * y", XY, sum_schme="auto"),
        ArgumentError,
        "Expected an option of sum among",
    ),
    (
        lambda: Genred("x * z", XY),
        ArgumentError,
        "Expected an operation or one of the variables x, y, but got 'z'.\n    x * z\n        ^",
    ),
    (
        lambda: generic_sum("x * y", "a = Vi(2)", *XY),
        ShapeError,
        "Expected an output of 3 components, as the formula, but got 'a = Vi(2)'.",
    ),
    (
        lambda: generic_sum("x * y", "a = Pm(3)", *XY),
        ArgumentError,
        "Expected an output as 'a = Vi(3)' or 'a = Vj(3)', but got 'a = Pm(3)'.",
    ),
]


@pytest.mark.parametrize(("mistake", "error", "sentence"), MISTAKES, ids=[m[2] for m in MISTAKES])
def test_mistake(mistake: Callable[[], Any], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match="^" + re.escape(sentence)):
        mistake()


# --- pykeops ----------------------------------------------------------------------------------

PEER: dict[str, tuple[str, str, dict[str, Any]]] = {
    "precedence": (
        "-Square(x) + 2 * (x|y) / g - Exp(-x * y) * Elem(b, 0)",
        "Sum",
        {},
    ),
    "order of weights": ("WeightedSqDist(g, x, y) + WeightedSqNorm(x * x, y)", "LogSumExp", {}),
    "pieces": (
        "Concat(Elem(x, 1) * y, Extract(x, 1, 2)) + ElemT(g, 5, 2)",
        "Max_ArgMax",
        {},
    ),
    "steps": (
        "Sum(Mod(x, IntCst(2), g) + Clamp(y, Elem(b, 1), Elem(b, 1) + g) + IfElse(x - y, x, y))",
        "KMin",
        {"opt_arg": 3},
    ),
    "gradient": ("Grad(Exp(-SqDist(x, y) / g) * b, x, b)", "Sum", {"axis": 1}),
}


@pytest.mark.slow
@pytest.mark.compiles
@pytest.mark.compiler
@pytest.mark.parametrize("case", PEER)
def test_as_pykeops(case: str, arrays: Arrays) -> None:
    """The same strings, of the same arrays: pykeops takes some 5 s to compile each."""
    pykeops = pytest.importorskip("pykeops.numpy")
    formula, name, how = PEER[case]
    expected = pykeops.Genred(formula, list(ALIASES), reduction_op=name, **how)(*arrays)
    result = Genred(formula, ALIASES, reduction_op=name, **how)(*arrays, backend="numpy")
    many = isinstance(result, tuple)
    for a, b in zip(result if many else [result], expected if many else [expected], strict=True):
        assert a.shape == b.shape
        # both are off by some roundings of numbers of order 10, in sums of 9 terms
        assert_close(a, b, np.full(a.shape, 1000 * eps("f8")))
