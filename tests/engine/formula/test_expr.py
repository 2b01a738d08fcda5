"""Formulas as interned immutable nodes: identity, dimensions, kinds, printing, casts."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
from typing import Any

import pytest

from georeduce.engine.errors import DTypeError, ShapeError
from georeduce.engine.formula import derived as d
from georeduce.engine.formula import expr
from georeduce.engine.formula import ops as o
from georeduce.engine.formula.expr import (
    PAIR,
    Expr,
    constant,
    postorder,
    substitute,
    swap_axes,
    to_string,
    variable,
    variables,
)
from georeduce.engine.formula.ops import OPS, cast

x, y, p = variable("i", 3, 0), variable("j", 3, 1), variable("p", 1, 2)


def test_equal_formulas_are_one_object() -> None:
    assert variable("i", 3, 0) is x
    assert o.exp(o.sub(x, y)) is o.exp(o.sub(x, y))
    assert constant(2) is constant(2.0)
    assert constant(float("nan")) is constant(float("nan"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (x, variable("i", 3, 1)),
        (x, variable("j", 3, 0)),
        (x, variable("i", 2, 0)),
        (constant(0.0), constant(-0.0)),
        (constant(1), constant(1, 3)),
        (constant(1), constant(1, 1, "index")),
        (o.sub(x, y), o.sub(y, x)),
        (o.take(x, 0, 1, 2), o.take(x, 1, 1, 2)),
    ],
)
def test_other_formulas_are_other_objects(one: Expr, other: Expr) -> None:
    assert one is not other


def test_nodes_that_nobody_has_are_forgotten() -> None:
    gc.collect()
    before = len(expr._NODES)
    e = o.sub(variable("i", 7, 70), variable("j", 7, 71))
    assert len(expr._NODES) == before + 3
    del e
    gc.collect()
    assert len(expr._NODES) == before


def test_threads_that_race_get_one_object() -> None:
    made: list[Expr] = []
    start = threading.Barrier(8)

    def make() -> None:
        start.wait()
        made.append(o.exp(o.mul(variable("i", 5, 80), variable("j", 5, 81))))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, made))) == 1


@pytest.mark.parametrize("e", [x, constant(0.5, 2), o.take(o.exp(x), 0, 1, 2), d.sqdist(x, y)])
def test_copies_are_the_same_object(e: Expr) -> None:
    assert pickle.loads(pickle.dumps(e)) is e
    assert copy.deepcopy(e) is e


@pytest.mark.parametrize(
    ("e", "dim", "kind", "axes"),
    [
        (o.sub(x, y), 3, "real", PAIR),
        (o.mul(x, p), 3, "real", 1),
        (o.mul(p, constant(2)), 1, "real", 0),
        (d.sqdist(x, y), 1, "real", PAIR),
        (o.lt(x, y), 3, "boolean", PAIR),
        (o.argmin(y), 1, "index", 2),
        (o.where(o.lt(x, y), o.argmin(x), o.argmax(x)), 3, "index", PAIR),
        (o.where(o.lt(x, y), o.argmin(x), p), 3, "real", PAIR),
        (o.where(o.lt(x, y), o.lt(y, x), o.lt(x, p)), 3, "boolean", PAIR),
        (o.concat(x, o.lt(x, y)), 6, "real", PAIR),
        (o.one_hot(p, 4), 4, "real", 0),
        (d.tensorprod(x, y), 9, "real", PAIR),
        (constant(2, 3), 3, "real", 0),
    ],
)
def test_dimension_kind_and_axes(e: Expr, dim: int, kind: str, axes: int) -> None:
    assert (e.dim, e.kind, e.axes) == (dim, kind, axes)


def test_casts() -> None:
    truth, index = o.lt(x, y), o.argmin(x)
    assert cast(x, "real") is x
    assert cast(truth, "real").kind == "real"
    assert cast(truth, "index").kind == "index"
    assert cast(index, "real").kind == "real"
    assert cast(index, "boolean").kind == cast(x, "boolean").kind == "boolean"
    assert cast(constant(2, 3), "index") is constant(2, 3, "index")
    with pytest.raises(DTypeError, match=r"^Expected an index, such as the result of argmin"):
        cast(x, "index")


@pytest.mark.parametrize(
    ("e", "text"),
    [
        (o.exp(o.neg(d.sqdist(x, y))), "exp(-sum(square(x0 - y1)))"),
        (o.sub(x, o.sub(y, p)), "x0 - (y1 - p2)"),
        (o.sub(o.sub(x, y), p), "x0 - y1 - p2"),
        (o.mul(o.add(x, y), p), "(x0 + y1) * p2"),
        (o.div(x, o.mul(y, p)), "x0 / (y1 * p2)"),
        (o.neg(o.neg(x)), "--x0"),
        (o.neg(o.mul(x, y)), "-(x0 * y1)"),
        (o.mul(constant(-1), x), "-1 * x0"),
        (o.add(constant(0.5), constant(float("inf"))), "0.5 + inf"),
        (o.take(x, 0, 1, 2), "take(x0, 0, 1, 2)"),
    ],
)
def test_text(e: Expr, text: str) -> None:
    assert to_string(e) == repr(e) == text


def test_traversals() -> None:
    e = o.mul(o.exp(x), o.add(o.exp(x), y))
    order = list(postorder(e))
    assert len(order) == len(set(order)) == 5
    for n, node in enumerate(order):
        assert all(a in order[:n] for a in node.args), "arguments come first"
    assert variables(e) == [x, y]
    assert substitute(e, {x: p}) is o.mul(o.exp(p), o.add(o.exp(p), y))
    assert substitute(e, {}) is e
    swapped = swap_axes(e)
    assert [v.params[0] for v in variables(swapped)] == ["j", "i"]
    assert swap_axes(swapped) is e


def test_depth_is_no_limit() -> None:
    e: Any = x
    for _ in range(20_000):
        e = o.sin(e)
    assert sum(1 for _ in postorder(e)) == 20_001
    assert swap_axes(swap_axes(e)) is e
    assert to_string(e).count("sin") == 20_000


def test_leaves_are_checked() -> None:
    with pytest.raises(ShapeError, match=r"^Expected a feature axis of length 1 or more"):
        variable("i", 0, 0)
    with pytest.raises(ValueError, match=r"^Expected an axis 'i', 'j', 'p' or 's', but got 'k'"):
        variable("k", 1, 0)


@pytest.mark.parametrize("name", [n for n, op in OPS.items() if op.dunder not in ("", "eq", "ne")])
def test_operators_of_formulas(name: str) -> None:
    """The tables of rules and reductions are written with Python's operators."""
    op = OPS[name]
    method = getattr(x, f"__{op.dunder}__")
    args = (y,) * (len(op.args) - 1)
    if name == "dot":  # on formulas | is "or"
        assert method(y) is o.logical_or(x, y)
    else:
        assert method(*args) is op(x, *args)


def test_text_of_a_formula_whose_parts_share_theirs() -> None:
    """Written out, it would be exponentially long."""
    e = x
    for _ in range(60):
        e = o.exp(o.add(e, o.neg(e)))
    text = to_string(e)
    assert len(text) < 60 * 30
    assert text.startswith("exp(t58 + -t58) where t0 = exp(x0 + -x0), t1 = exp(t0 + -t0), ")
