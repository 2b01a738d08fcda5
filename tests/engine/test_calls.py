"""Options of reductions: every reduction has them, they mean what they say, and nothing less."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import Array, assert_close, eps

from georeduce.engine import ArgumentError, GeoreduceError, LazyTensor, ShapeError, Vi, Vj
from georeduce.engine.backends import KEOPS_NAMES, backend_names, choose_backend
from georeduce.engine.calls import OPTIONS
from georeduce.engine.formula.reductions import REDUCTIONS
from georeduce.engine.places import Deferred

METHODS = [name for name in REDUCTIONS if hasattr(LazyTensor, name)]


def points(dtype: str = "f8") -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    return rng.random((4, 3)).astype(dtype), rng.random((50, 3)).astype(dtype)


def distances(dtype: str = "f8") -> LazyTensor:
    x, y = points(dtype)
    return Vi(x).sqdist(Vj(y))


def call(name: str, **how: Any) -> Any:
    """Return the result of a reduction by name."""
    given = {"K": 2} if REDUCTIONS[name].keep else {}
    if REDUCTIONS[name].weighted:
        given = {"weight": Vj(points()[1])}
    d = distances() < 0.5 if REDUCTIONS[name].of == "boolean" else distances()
    return getattr(d, name)(**given, axis=1, **how)


@pytest.mark.parametrize("name", METHODS)
def test_every_reduction_has_every_option(name: str) -> None:
    method = getattr(LazyTensor, name)
    parameters = inspect.signature(method).parameters
    for option in OPTIONS.values():
        assert parameters[option.name].default is option.default
        assert f"\n{option.name} : {option.doc.splitlines()[0]}\n" in method.__doc__


@pytest.mark.parametrize("name", METHODS)
def test_defaults_change_nothing(name: str) -> None:
    plain = {o.name: o.default for o in OPTIONS.values()} | {"backend": "numpy"}
    expected, result = call(name, backend="numpy"), call(name, **plain)
    np.testing.assert_array_equal(np.asarray(result), np.asarray(expected))


@pytest.mark.parametrize("name", METHODS)
def test_out_and_call(name: str) -> None:
    expected = call(name, backend="numpy")
    many = isinstance(expected, tuple)
    out = tuple(np.zeros_like(e) for e in expected) if many else np.zeros_like(expected)
    assert call(name, backend="numpy", out=out) is out
    later = call(name, backend="numpy", call=False)
    assert isinstance(later, Deferred)
    for got in (out, later()):
        np.testing.assert_array_equal(np.asarray(got), np.asarray(expected))


# --- Sums -------------------------------------------------------------------------------------


def hard_terms() -> tuple[Array, float, float]:
    """Return terms whose sums in float32 lose most digits, their sum, and the bound to keep."""
    terms = np.repeat(np.array([1e8, -1e8, 1], "f4"), [50, 50, 57])
    np.random.default_rng(1).shuffle(terms)
    exact = math.fsum(terms)
    # two roundings of the result; what is lost itself is rounded in float32
    bound = 2 * eps("f4") * exact + len(terms) * eps("f4") ** 2 * float(np.abs(terms).sum())
    return terms[:, None], exact, bound


def total(terms: Array, **how: Any) -> Array:
    x = np.zeros((2, 1), terms.dtype)
    result: Array = (Vj(terms) + Vi(x)).sum(axis=1, **how)
    return result


@pytest.mark.parametrize("name", ["numpy", pytest.param("openmp", marks=pytest.mark.compiler)])
@pytest.mark.parametrize(
    "how",
    [{"dtype_acc": "float64"}, {"use_double_acc": True}, {"sum_scheme": "kahan_scheme"}],
    ids=["dtype_acc", "use_double_acc", "kahan"],
)
def test_sums_are_as_accurate_as_told(name: str, how: dict[str, Any]) -> None:
    terms, exact, bound = hard_terms()
    result = total(terms, backend=name, **how)
    assert result.dtype == np.float32
    assert_close(result, np.full((2, 1), exact), np.full((2, 1), bound))


@pytest.mark.compiler
def test_what_is_told_matters() -> None:
    """So that the test above can fail: the default loses digits of these terms."""
    terms, exact, bound = hard_terms()
    assert (np.abs(total(terms, backend="openmp") - exact) > 10 * bound).all()


def test_schemes_of_blocks_are_the_default() -> None:
    terms, _, _ = hard_terms()
    expected = total(terms, backend="numpy")
    for scheme in ("auto", "direct_sum", "block_sum"):
        np.testing.assert_array_equal(total(terms, backend="numpy", sum_scheme=scheme), expected)


def test_double_sums_of_other_reductions() -> None:
    x, y = points("f4")
    wide = Vi(x.astype("f8")).sqdist(Vj(y.astype("f8")))
    weight = Vj(y)
    for name, arguments, wider in (
        ("logsumexp", {}, {}),
        ("logsumexp", {"weight": weight}, {"weight": Vj(y.astype("f8"))}),
        ("sumsoftmaxweight", {"weight": y}, {"weight": y.astype("f8")}),
        ("min_argmin", {}, {}),
        ("argKmin", {"K": 3}, {"K": 3}),
    ):
        how = {"axis": 1, "backend": "numpy"}
        result = getattr(distances("f4"), name)(**arguments, **how, dtype_acc="float64")
        expected = getattr(wide, name)(**wider, **how)
        many = isinstance(result, tuple)
        for a, b in zip(
            result if many else [result], expected if many else [expected], strict=True
        ):
            kind = np.float32 if b.dtype == np.float64 else np.int64
            assert a.dtype == kind
            np.testing.assert_array_equal(a, b.astype(kind))


# --- Names of backends ------------------------------------------------------------------------


def test_keops_names_of_backends() -> None:
    assert choose_backend("CPU") is choose_backend("auto")
    assert {"GPU", "GPU_1D", "GPU_2D", "GPU_1D_device", "GPU_2D_host"} < set(KEOPS_NAMES)
    np.testing.assert_array_equal(
        distances().sum(axis=1, backend="CPU"), distances().sum(axis=1, backend="auto")
    )


# --- Mistakes ---------------------------------------------------------------------------------

d, d4 = distances(), distances("f4")
MISTAKES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: d.sum(axis=1, bckend="CPU"),
        ArgumentError,
        f"Expected an option of sum among {list(OPTIONS)}, but got 'bckend'. Did you mean "
        "'backend'?",
    ),
    (
        lambda: d.sum(axis=1, backend="GPU_3D"),
        ArgumentError,
        f"Expected backend to be one of {['auto', *backend_names()]}, but got 'GPU_3D'.",
    ),
    (
        lambda: d.sum(axis=-1, out=np.zeros(4)),
        ArgumentError,
        "Expected out only where sum computes, over rows or columns, but got the feature axis.",
    ),
    (
        lambda: d.sum(axis=1, out=np.zeros(4)),
        ShapeError,
        "Expected out of shape (4, 1) and float64, as a ndarray, but got shape (4,) and float64.",
    ),
    (
        lambda: d.sum(axis=1, out=np.zeros((4, 1), "f4")),
        ShapeError,
        "Expected out of shape (4, 1) and float64, as a ndarray, but got shape (4, 1) and float32.",
    ),
    (
        lambda: d.sum(axis=1, out=[[0.0]] * 4),
        ArgumentError,
        "Expected out of shape (4, 1) and float64, as a ndarray, but got list.",
    ),
    (
        lambda: d.min_argmin(axis=1, out=np.zeros((4, 1))),
        ArgumentError,
        "Expected out as a tuple of 2 arrays, one for each result, but got ndarray.",
    ),
    (
        lambda: d.sum(axis=1, dtype_acc="float16"),
        ArgumentError,
        "Expected dtype_acc='auto', 'float32' or 'float64', but got 'float16'. Arrays are of "
        "float32 or float64.",
    ),
    (
        lambda: d.sum(axis=1, dtype_acc="float32"),
        ArgumentError,
        "Expected dtype_acc='float64' for arrays of float64, but got 'float32'. Convert the "
        "arrays to float32 if that is enough.",
    ),
    (
        lambda: d4.sum(axis=1, dtype_acc="float32", use_double_acc=True),
        ArgumentError,
        "Expected use_double_acc or dtype_acc='float32', but got both, which contradict each "
        "other.",
    ),
    (
        lambda: d.sum(axis=1, sum_scheme="kahan"),
        ArgumentError,
        "Expected sum_scheme='auto', 'direct_sum', 'block_sum' or 'kahan_scheme', but got 'kahan'.",
    ),
    (
        lambda: d.logsumexp(axis=1, sum_scheme="kahan_scheme"),
        ArgumentError,
        "Expected sum_scheme='kahan_scheme' for sum, but got it for logsumexp. Use "
        "dtype_acc='float64' for results that are right to the last digits.",
    ),
    (
        lambda: d.sum(axis=1, device_id=3),
        ArgumentError,
        "Expected device_id=-1 or 0, but got 3. Move the arrays to that device: they are reduced "
        "where they are.",
    ),
]


@pytest.mark.parametrize(("mistake", "error", "sentence"), MISTAKES, ids=[m[2] for m in MISTAKES])
def test_mistake(mistake: Callable[[], Any], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match="^" + re.escape(sentence) + "$") as caught:
        mistake()
    assert isinstance(caught.value, GeoreduceError)


def test_out_is_untouched_where_one_of_several_is_wrong() -> None:
    values, indices = np.zeros((4, 1)), np.zeros((4, 1))
    with pytest.raises(ShapeError):
        d.min_argmin(axis=1, backend="numpy", out=(values, indices))
    assert not values.any()
