"""The intermediate representation: what lowering emits, what the verifier refuses, the schedule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from georeduce.engine.codegen import ir
from georeduce.engine.codegen.ir import Index, Load, Loop, Program, Store, Yield, verify, walk
from georeduce.engine.codegen.lower import hoist, lower
from georeduce.engine.codegen.schedule import cost, held, schedule
from georeduce.engine.errors import ShapeError
from georeduce.engine.formula import derived as d
from georeduce.engine.formula import ops as o
from georeduce.engine.formula.expr import Expr, constant, variable
from georeduce.engine.formula.ops import OPS
from georeduce.engine.formula.reductions import REDUCTIONS
from georeduce.engine.formula.rewrite import simplify

x, y, p = variable("i", 3, 0), variable("j", 3, 1), variable("p", 1, 2)
GAUSSIAN = o.exp(o.neg(o.div(d.sqdist(x, y), p)))


def loads(body: tuple[ir.Statement, ...], space: str) -> list[Load]:
    return [s for s in walk(body) if isinstance(s, Load) and s.space == space]


def operations(body: tuple[ir.Statement, ...]) -> list[str]:
    return [s.op.name for s in walk(body) if isinstance(s, ir.Let)]


# --- Hoisting ---------------------------------------------------------------------------------


def test_parts_of_one_axis_are_hoisted() -> None:
    e = o.mul(o.exp(x), o.add(o.sin(y), o.cos(p)))
    found = hoist([e])
    # of a column and a parameter: as a whole once for each column, the parameter's part once
    assert found == {"p": [o.cos(p)], "i": [o.exp(x)], "j": [o.add(o.sin(y), o.cos(p))]}


def test_hoisted_parts_are_not_computed_for_pairs() -> None:
    program = lower(o.mul(o.exp(x), o.add(o.sin(y), o.cos(p))), None)
    assert operations(program.rows) == ["exp"]
    assert operations(program.columns) == ["sin", "add"]
    assert operations(program.parameters) == ["cos"]
    assert operations(program.pair) == ["mul"]
    assert (program.n_rows, program.n_columns, program.n_parameters) == (3, 3, 1)


def test_a_division_by_a_parameter_is_a_product_for_pairs() -> None:
    program = lower(simplify(GAUSSIAN), None)
    assert operations(program.parameters) == ["inv"]
    assert "div" not in operations(program.pair)


def test_what_is_longer_than_its_arguments_is_not_stored() -> None:
    """Otherwise a column of 3 + 3 numbers would take 9."""
    z = variable("j", 3, 3)
    e = o.mul(x, d.matvecmult(d.tensorprod(y, z), x))
    assert hoist([e])["j"] == [y, z]


def test_parts_are_not_stored_beside_the_whole() -> None:
    """A triangular product takes one component, two, three of them, and reads them from one y."""
    parts = [o.sum_(o.take(y, 0, 1, n)) * o.take(x, n - 1, 1, 1) for n in (1, 2, 3)]
    products = [o.sum_(o.mul(o.take(y, 0, 1, n), o.take(x, 0, 1, n))) for n in (1, 2, 3)]
    found = hoist([parts[0] + parts[1] + parts[2] + products[0] + products[1] + products[2]])
    assert found["i"] == [x]
    assert y in found["j"]
    assert not any(e.op is o.take for e in found["j"])
    # a single part is shorter than the whole
    assert hoist([o.mul(x, o.take(y, 1, 1, 1))])["j"] == [o.take(y, 1, 1, 1)]


def test_indices_are_not_stored() -> None:
    """Buffers hold real numbers, and float32 ends at 2^24."""
    e = o.add(o.cast(o.argmin(x), "real"), y)
    assert all(n.kind == "real" for nodes in hoist([e]).values() for n in nodes)


def test_one_node_is_computed_once() -> None:
    shared = o.exp(o.sub(x, y))
    program = lower(o.sum_(o.mul(shared, o.add(shared, constant(1)))), None)
    assert operations(program.pair).count("exp") == 1


def test_scalars_leave_the_loop_over_components() -> None:
    s = o.exp(d.sqdist(x, y))
    program = lower(o.mul(s, o.sub(x, y)), None)
    inside = [s for loop in program.pair if isinstance(loop, Loop) for s in walk(loop.body)]
    assert "exp" not in operations(tuple(inside))


# --- Components -------------------------------------------------------------------------------


def evaluate(k: ir.Component, **loops: int) -> int:
    return int(
        eval(ir.index_text(k).replace("/", "//").replace("?", "and").replace(":", "or"), loops)
    )


@pytest.mark.parametrize("value", range(7))
def test_index_arithmetic(value: int) -> None:
    k = Index("d", 0, 6)
    for made, expected in (
        (k + 2, value + 2),
        (k * 3, 3 * value),
        ((k + 1) * 2 + 5, (value + 1) * 2 + 5),
        (k // 2, value // 2),
        (k % 3, value % 3),
        ((k + 4) % 3 * 2, (value + 4) % 3 * 2),
        (k * -1 + 6, 6 - value),
    ):
        assert evaluate(made, d=value) == expected
        low, high = ir.bounds(made)
        assert low <= expected <= high


def test_bounds_are_reached() -> None:
    k = Index("d", 0, 6)
    assert ir.bounds(k % 9) == (0, 6)
    assert ir.bounds(k.at_most(4)) == (0, 4)
    assert ir.bounds(k.at_least(2) + (-2)) == (0, 4)
    assert ir.bounds(5) == (5, 5)


@pytest.mark.parametrize("name", [n for n, op in OPS.items() if op.index is not None])
def test_index_maps_are_what_numpy_says(name: str) -> None:
    """``index`` and ``numpy`` of an entry name the same components."""
    params: dict[str, list[tuple[int, ...]]] = {
        "take": [(0, 1, 3), (4, -2, 2), (1, 2, 2)],
        "repeat": [(1,), (3,)],
        "tile": [(1,), (3,)],
        "complex_real": [()],
        "complex_imag": [()],
        "permute": [((6,), (0,)), ((2, 3), (1, 0)), ((3, 1, 2), (2, 1, 0))],
    }
    op = OPS[name]
    assert op.index is not None
    assert op.numpy is not None
    for some in params[name]:
        whole = np.arange(6)
        expected = op.numpy(whole, *some)
        assert len(expected) == op.result_dim((6,), some)
        assert [op.index(k, some, 6) for k in range(len(expected))] == list(expected)
        symbolic = op.index(Index("d", 0, len(expected) - 1), some, 6)
        assert [evaluate(symbolic, d=k) for k in range(len(expected))] == list(expected)


def test_a_known_component_of_parts_is_not_chosen_among_them() -> None:
    parts = o.concat(o.put(o.mul(x, y), 5, -2, 7), y)
    for k, made_of in {1: "mul", 2: "constant", 5: "mul", 8: "load"}.items():
        body = lower(o.take(parts, k, 1, 1), None).pair
        assert not any(isinstance(s, ir.Choose) for s in walk(body))
        computed = operations(body) or [type(s).__name__.lower() for s in body[:1]]
        assert computed == [made_of]


@pytest.mark.parametrize("start_step", [(0, 0), (1, 3), (2, -2), (-1, 1), (7, 1)])
def test_parts_outside_of_the_result_are_refused(start_step: tuple[int, int]) -> None:
    with pytest.raises(ShapeError, match=r"^put: Expected places from 0 to 6, each another, but"):
        o.put(x, *start_step, 7)


def test_spans_of_folds_are_what_numpy_says() -> None:
    for some in ((2, 2, 1), (3, 1, 2), (6, 6, 1)):
        contract = OPS["contract"]
        assert contract.span is not None
        assert contract.numpy is not None
        assert contract.count is not None
        whole = 2.0 ** np.arange(6)
        sums = [
            sum(whole[contract.span(k, term, some)] for term in range(contract.count(6, some)))
            for k in range(contract.result_dim((6,), some))
        ]
        assert sums == list(contract.numpy(whole, *some))


# --- The verifier -----------------------------------------------------------------------------

PROGRAM = lower(simplify(GAUSSIAN), None)


def changed(part: str, **changes: Any) -> Program:
    """Return the program with the first statement of a kind changed somewhere in a part."""
    kind = changes.pop("kind")
    done = False

    def change(s: Any) -> Any:
        nonlocal done
        if isinstance(s, kind) and not done:
            done = True
            return replace(s, **changes)
        if isinstance(s, Loop):
            return replace(s, body=tuple(map(change, s.body)))
        return s

    body = tuple(map(change, getattr(PROGRAM, part)))
    assert done
    return replace(PROGRAM, **{part: body})


MALFORMED = {
    "an unbound name": lambda: changed("pair", kind=Yield, value="nothing"),
    "a name bound twice": lambda: replace(
        PROGRAM, pair=(*PROGRAM.pair, *(ir.Constant("once", "real", 0),) * 2)
    ),
    "a component past the end": lambda: changed("pair", kind=Load, offset=3),
    "a component before the start": lambda: changed("pair", kind=Load, offset=-1),
    "an argument read by pairs": lambda: changed("pair", kind=Load, space="argument"),
    "columns read by rows": lambda: changed("rows", kind=Load, space="j", offset=0),
    "a store past the end": lambda: changed("rows", kind=Store, offset=3),
    "a store of pairs": lambda: replace(PROGRAM, pair=(*PROGRAM.pair, Store(0, "t9"))),
    "a loop of no turns": lambda: changed("pair", kind=Loop, extent=0),
    "nothing reduced": lambda: replace(PROGRAM, pair=PROGRAM.pair[:-1]),
    "an operand of the wrong kind": lambda: replace(
        PROGRAM,
        pair=(
            ir.Constant("b", "boolean", 1),
            ir.Let("c", "real", OPS["exp"], ("b",)),
            Yield("value", 0, "c"),
        ),
    ),
    "an assignment of the wrong kind": lambda: replace(
        PROGRAM,
        pair=(
            ir.Declare("a", "real", 0),
            ir.Constant("b", "boolean", 1),
            ir.Assign("a", "b"),
            Yield("value", 0, "a"),
        ),
    ),
}


REASONS = {
    "an unbound name": "nothing is used before it is bound",
    "a name bound twice": "once is bound twice",
    "a component past the end": "may be above 2",
    "a component before the start": "may be below 0",
    "an argument read by pairs": "pairs read hoisted values only",
    "columns read by rows": "is out of reach",
    "a store past the end": "may be above 2",
    "a store of pairs": "is in a block that stores nothing",
    "a loop of no turns": "Loop",
    "nothing reduced": "nothing is reduced",
    "an operand of the wrong kind": "has arguments of kinds",
    "an assignment of the wrong kind": "changes the kind",
}


def test_programs_are_verified() -> None:
    verify(PROGRAM)


@pytest.mark.parametrize("mistake", MALFORMED)
def test_malformed_programs_are_refused(mistake: str) -> None:
    with pytest.raises(AssertionError, match=REASONS[mistake]):
        verify(MALFORMED[mistake]())


def test_deep_formulas_are_lowered() -> None:
    e: Expr = o.sub(x, y)
    for _ in range(3000):
        e = o.sin(e)
    assert operations(lower(e, None).pair).count("sin") == 3000


# --- The schedule -----------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", list(REDUCTIONS))
@pytest.mark.parametrize("dim", [1, 3, 17, 100, 784, 5000])
def test_schedules_are_within_bounds(reduction: str, dim: int) -> None:
    a, b = variable("i", dim, 0), variable("j", dim, 1)
    entry = REDUCTIONS[reduction]
    formulas = [d.sqdist(a, b)] if entry.scalar else [d.sqdist(a, b), o.mul(a, b)]
    for e in formulas:
        program = lower(o.cast(e, entry.of), b if entry.weighted else None)
        made = schedule(program, entry)
        assert made.rows >= 1
        assert made.vectors >= 1
        assert 1 <= made.few_vectors <= made.vectors
        assert made.row_block % made.rows == 0
        assert made.row_block % 16 == 0  # whole vectors of every width


def triangular(dim: int, whole: bool) -> Program:
    """The program of a sum of squared sums, or of their pairwise products, which are all held."""
    a, b = variable("i", dim, 0), variable("j", dim, 1)
    sums = [o.sum_(o.mul(o.take(a, 0, 1, n), o.take(b, 0, 1, n))) for n in range(2, dim + 1)]
    e: Any = constant(0)
    for n, term in enumerate(sums):
        e = e + (term * sums[n - 1] if whole else o.square(term))
    return lower(simplify(e * o.sum_(o.add(*sums[:2]))) if whole else simplify(e), None)


def test_sums_that_follow_one_another_get_large_tiles() -> None:
    one, many = triangular(9, whole=False), triangular(9, whole=True)
    assert held(one.pair) == 2  # the sum of those before, and the one that is being added up
    assert held(many.pair) > 3
    entry = REDUCTIONS["logsumexp"]
    large, small = schedule(one, entry), schedule(many, entry)
    assert large.rows * large.vectors > small.rows * small.vectors


def test_cost_counts_the_work_of_pairs() -> None:
    cheap, dear = lower(o.sub(x, y), None), lower(o.exp(o.sub(x, y)), None)
    assert cost(cheap.pair) < cost(dear.pair)
    assert cost(()) == 0
