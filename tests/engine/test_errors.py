"""Each mistake has its sentence, told at the line where it is made: before anything is computed."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from georeduce.engine import LazyTensor, Pm, Vi, Vj, concatenate, ops
from georeduce.engine.backends import backend_names
from georeduce.engine.errors import ArgumentError, DTypeError, GeoreduceError, ShapeError

x, y = np.zeros((4, 3)), np.zeros((5, 3))
X, Y = Vi(x), Vj(y)
K = X.sqdist(Y)
POINTS = "Expected an array of shape (..., M, 1, D) or (..., 1, N, D)"
CURE = "Write x[:, None, :] for rows, x[None, :, :] for columns, or use Vi(x) and Vj(x)."


def given(dtype: Any) -> Callable[[], LazyTensor]:
    return lambda: LazyTensor(np.zeros((4, 1, 3), dtype))


def floats(got: str, cure: str = "") -> str:
    cure = cure or "Pass x.astype(numpy.float32) or x.astype(numpy.float64)."
    return f"{POINTS} of dtype float32 or float64, but got {got}. {cure}"


OPERAND = "Expected an operand that is a LazyTensor, an array or a real number, but got"

Mistake = tuple[Callable[[], Any], type[Exception], str]

SIZES: list[Mistake] = [
    (
        lambda: X + Vi(np.zeros((5, 3))),
        ShapeError,
        "Expected the same number of rows M, but got 4 and 5.",
    ),
    (
        lambda: K * Vj(np.zeros((6, 1))),
        ShapeError,
        "Expected the same number of columns N, but got 5 and 6.",
    ),
    (
        lambda: X - Vj(np.zeros((5, 2))),
        ShapeError,
        "sub: Expected feature axes of equal length, or of length 1, but got 3 and 2.",
    ),
    (
        lambda: X.sqdist(Vj(np.zeros((5, 2)))),
        ShapeError,
        "sqdist (of 3 and 2 components): sub: Expected feature axes of equal length, or of length "
        "1, but got 3 and 2.",
    ),
    (
        lambda: X - [1.0, 2.0],
        ShapeError,
        "sub: Expected feature axes of equal length, or of length 1, but got 3 and 2.",
    ),
    (
        lambda: Vi(np.zeros((2, 4, 3))) + Vj(np.zeros((3, 5, 3))),
        ShapeError,
        "Expected batch axes that broadcast, but got (2,) and (3,).",
    ),
    (
        lambda: X.matvecmult(Vj(np.zeros((5, 2)))),
        ShapeError,
        "matvecmult (of 3 and 2 components): Expected a matrix of a multiple of 2 components, but "
        "got 3.",
    ),
    (
        lambda: X.weightedsqnorm(Pm([1.0, 2.0])),
        ShapeError,
        "weightedsqnorm (of 3 and 2 components): Expected weights of 1, 3 (diagonal) or 9 (full) "
        "components, but got 2.",
    ),
    (
        lambda: X.concat(Vi(np.zeros((5, 2)))),
        ShapeError,
        "Expected the same number of rows M, but got 4 and 5.",
    ),
    (
        lambda: X.one_hot(4),
        ShapeError,
        "one_hot: Expected a formula of dimension 1, but got 3.",
    ),
]

ARRAYS: list[Mistake] = [
    (given(int), DTypeError, floats("int64")),
    (given(bool), DTypeError, floats("bool")),
    (
        lambda: X.sqdist(np.zeros((4, 1, 3), complex)),
        DTypeError,
        floats("complex128", "Pass x.real and x.imag: formulas are of real numbers."),
    ),
    (given("f2"), DTypeError, floats("float16")),
    (
        given(object),
        DTypeError,
        floats("object", "Pass numpy.asarray(x, dtype=float), if its entries are numbers."),
    ),
    (
        lambda: LazyTensor(np.ma.zeros((4, 1, 3))),
        DTypeError,
        f"{POINTS} as a plain array, but got a masked array. Fill or drop the masked values first.",
    ),
    (lambda: LazyTensor(x), ShapeError, f"{POINTS}, but got shape (4, 3). {CURE}"),
    (
        lambda: LazyTensor(np.zeros((4, 5, 3))),
        ShapeError,
        f"{POINTS}, but got shape (4, 5, 3). {CURE}",
    ),
    (
        lambda: LazyTensor(np.zeros((4, 1, 0))),
        ShapeError,
        f"{POINTS} with D at least 1, but got shape (4, 0).",
    ),
    (
        lambda: LazyTensor("abc"),
        DTypeError,
        f"{POINTS} as a NumPy, PyTorch or CuPy array, but got str.",
    ),
    (lambda: X + None, DTypeError, f"{OPERAND} NoneType."),
    (
        lambda: LazyTensor(x, axis=3),
        ArgumentError,
        "Expected axis=0 (rows), 1 (columns) or 2 (parameters), but got 3.",
    ),
    (
        lambda: Vi(np.zeros(3)),
        ShapeError,
        "Expected points as an array of shape (..., M, D), but got shape (3,). Write x[:, None] "
        "for points with one feature.",
    ),
    (
        lambda: Vj([[1.0]]),
        DTypeError,
        "Expected points as an array of shape (..., N, D) as a NumPy, PyTorch or CuPy array, but "
        "got list. Pass numpy.asarray(x, dtype=float).",
    ),
    (lambda: Pm(x), ShapeError, "Expected a parameter of shape (D,), but got shape (4, 3)."),
    (
        lambda: LazyTensor([]),
        ShapeError,
        "Expected a parameter as a vector of numbers, but got shape (0,).",
    ),
    (
        lambda: X + Vj(y.astype("f4")),
        DTypeError,
        "Expected arrays of one dtype, but got float64 and float32. Convert one of them, with "
        ".astype, or .to of a tensor.",
    ),
]

NAMES: list[Mistake] = [
    (
        lambda: X.sqr(),
        AttributeError,
        "LazyTensor has no operation 'sqr'. Did you mean 'sqrt'?",
    ),
    (
        lambda: X.sqdst(Y),
        AttributeError,
        "LazyTensor has no operation 'sqdst'. Did you mean 'sqdist'?",
    ),
    (lambda: X.wuppety, AttributeError, "LazyTensor has no operation 'wuppety'."),
    (lambda: ops.exmp(X), AttributeError, "ops has no operation 'exmp'. Did you mean 'exp'?"),
    (
        lambda: K.sum(axis=1, backend="opnmp"),
        ArgumentError,
        f"Expected backend to be one of {['auto', *backend_names()]}, but got 'opnmp'. Did you "
        "mean 'openmp'?",
    ),
    (
        lambda: K.sum(axis=1, n_threads=0),
        ArgumentError,
        "Expected n_threads to be a positive integer, a negative one (-1: all processors) or None, "
        "but got 0. Use 1 for a single thread.",
    ),
]

AXES = "Expected axis=0 (rows), 1 (columns) or -1 (features), but got"
REDUCING: list[Mistake] = [
    *(
        (
            lambda k=k: K.argKmin(k, axis=1),  # type: ignore[misc]
            ArgumentError,
            f"Expected argKmin(K) with a positive integer K, but got K={k!r}.",
        )
        for k in (0, -1, 2.5, True, "3", None)
    ),
    (
        lambda: (X - Y).Kmin(2, axis=1),
        ShapeError,
        "Expected a formula of dimension 1 for Kmin, but got 3. Reduce its feature axis first, for "
        "example with .sum(-1).",
    ),
    (
        lambda: K.logsumexp(),
        ArgumentError,
        "Expected logsumexp(axis=0) over rows or logsumexp(axis=1) over columns, but got no axis.",
    ),
    (
        lambda: K.count(axis=-1),
        ArgumentError,
        "Expected axis=0 (rows) or 1 (columns) for count, but got the feature axis.",
    ),
    (lambda: K.sum(axis=5), ArgumentError, f"{AXES} axis=5."),
    (lambda: K.sum(axis=1.5), ArgumentError, f"{AXES} axis=1.5."),
    (lambda: K.sum(axis="j"), ArgumentError, f"{AXES} axis='j'."),
    (
        lambda: K.sum(axis=0, dim=1),
        ArgumentError,
        "Expected axis or dim, which are one, but got axis=0 and dim=1.",
    ),
    (
        lambda: (Vi(np.zeros((2, 4, 3))) - Y).sum(axis=0),
        ArgumentError,
        "Expected axis=1 (rows), 2 (columns) or -1 (features), but got axis=0. Batch axes are not "
        "reduced: reduce the result.",
    ),
    (
        lambda: K.sumsoftmaxweight(np.zeros((4, 2)), axis=1),
        ShapeError,
        "Expected weight as a LazyTensor, or an array of shape (5,) or (..., 5, E), but got shape "
        "(4, 2).",
    ),
    (
        lambda: K.source("summ"),
        ArgumentError,
        "Expected one of ['Kmin',",
    ),
]

COLUMNS = "Expected b of shape (5,) or (..., 5, E) for a matrix of 5 columns"
MATRICES: list[Mistake] = [
    (
        lambda: K @ np.zeros(4),
        ShapeError,
        f"{COLUMNS}, but got shape (4,).",
    ),
    (
        lambda: K @ np.zeros((4, 2)),
        ShapeError,
        f"{COLUMNS}, but got shape (4, 2).",
    ),
    (
        lambda: np.zeros(5) @ K,
        ShapeError,
        "Expected b of shape (4,) or (..., 4, E) for a matrix of 4 columns, but got shape (5,).",
    ),
    (
        lambda: K @ [1.0] * 5,
        DTypeError,
        f"{COLUMNS} as a NumPy, PyTorch or CuPy array, but got list.",
    ),
    (lambda: K @ X, DTypeError, f"{COLUMNS} as an array, but got a LazyTensor."),
    (
        lambda: K @ np.zeros(5, int),
        DTypeError,
        f"{COLUMNS} of dtype float32 or float64, but got int64.",
    ),
    (
        lambda: K @ np.zeros(5, "f4"),
        DTypeError,
        "Expected arrays of one dtype, but got float64 and float32.",
    ),
]

INDEX = "Expected an integer index or a slice, but got"
SLICES: list[Mistake] = [
    (
        lambda: X[3],
        ShapeError,
        "Expected an index from -3 to 2, of 3 components, but got x[3].",
    ),
    (
        lambda: X[-4],
        ShapeError,
        "Expected an index from -3 to 2, of 3 components, but got x[-4].",
    ),
    (lambda: X[1.5], ArgumentError, f"{INDEX} 1.5."),
    (lambda: X["a"], ArgumentError, f"{INDEX} 'a'."),
    (lambda: X[[0, 1]], ArgumentError, f"{INDEX} [0, 1]."),
    (
        lambda: X[5:],
        ShapeError,
        "Expected a slice that keeps some of 3 components, but got 5:None:None.",
    ),
    (
        lambda: X[0, 1],
        ArgumentError,
        "Expected an index of the last axis only, but got (0, 1). Index the arrays before they "
        "become LazyTensors.",
    ),
    (
        lambda: X.extract(2, 2),
        ShapeError,
        "extract (of 3 components): Expected a range inside of 3 components, but got start 2 and "
        "length 2.",
    ),
    (lambda: concatenate([]), ArgumentError, "Expected at least one LazyTensor, but got none."),
    (
        lambda: concatenate([X, Y], axis=0),
        ArgumentError,
        "Expected axis=-1, the feature axis, but got axis=0.",
    ),
    (lambda: X.norm(dim=0), ArgumentError, "Expected dim=-1, the feature axis, but got dim=0."),
    (lambda: X.norm(3), ArgumentError, "Expected norm(p) with p = 1, 2 or inf, but got p=3."),
    (
        lambda: X.round(0.5),
        ArgumentError,
        "Expected an integer number of digits, but got 0.5.",
    ),
]

PYTHON: list[Mistake] = [
    (
        lambda: bool(K),
        ArgumentError,
        "Expected a truth value, but got a LazyTensor. Reduce it first, for example with "
        ".any(axis=1) or .all(axis=1).",
    ),
    (lambda: X == Y and X, ArgumentError, "Expected a truth value, but got a LazyTensor."),
    (
        lambda: np.asarray(K),
        DTypeError,
        "Expected a NumPy array, but got a LazyTensor, which is never stored. Use .dense() for a "
        "small one, or reduce it.",
    ),
    (lambda: list(K), TypeError, "'LazyTensor' object is not iterable"),
    (lambda: np.sin(X), TypeError, "operand 'LazyTensor' does not support ufuncs"),
    (lambda: X.exp(2), ArgumentError, "Expected x.exp(), but got x.exp(...)."),
    (lambda: X.sqdist(), ArgumentError, "Expected x.sqdist(y), but got x.sqdist()."),
]

MISTAKES = [*SIZES, *ARRAYS, *NAMES, *REDUCING, *MATRICES, *SLICES, *PYTHON]


IDS = [sentence[:60] for _, _, sentence in MISTAKES]


@pytest.mark.parametrize(("mistake", "error", "sentence"), MISTAKES, ids=IDS)
def test_sentence(mistake: Callable[[], Any], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(sentence)}") as caught:
        mistake()
    whole = str(caught.value)
    # What a test leaves out at the end is the cure.
    assert (
        whole == sentence
        or whole[len(sentence) :].startswith((" ", ":", "'"))
        or (sentence[-1] not in ".?")
    )
    if isinstance(caught.value, GeoreduceError):
        assert "Expected " in whole
        assert ", but got " in whole
        assert whole[-1] in ".?"


def test_mistakes_are_told_where_they_are_made() -> None:
    """At the operator, not where the result is computed."""
    good = X - Y
    try:
        bad = good + Vi(np.zeros((7, 3)))  # told here
        bad.sum(axis=1)
    except ShapeError as error:
        (frame, *_) = traceback.extract_tb(error.__traceback__)
        assert frame.filename == __file__
        assert str(frame.line).endswith("# told here")
    else:
        pytest.fail("no exception")


@pytest.mark.parametrize("n", [0, -1, 2.5, "a"])
def test_one_hot_of_no_classes(n: Any) -> None:
    with pytest.raises(ArgumentError, match=f"^Expected a positive integer .*, but got {n!r}"):
        X[0].one_hot(n)


def test_a_mistake_leaves_the_operands_as_they_were() -> None:
    before = X.shape, X.formula, len(X.slots)
    with pytest.raises(ShapeError):
        X + Vi(np.zeros((5, 3)))
    assert (X.shape, X.formula, len(X.slots)) == before
