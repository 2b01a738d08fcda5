"""Which sums and differences multipliers do: those of loops that keep adders alone busy."""

from __future__ import annotations

import pytest

from georeduce.engine.codegen.balance import as_products
from georeduce.engine.codegen.ir import Let, walk
from georeduce.engine.codegen.lower import lower
from georeduce.engine.formula import derived as d
from georeduce.engine.formula import ops as o
from georeduce.engine.formula.expr import Expr, variable

x, y = variable("i", 5, 0), variable("j", 5, 1)
away = o.abs_(o.sub(x, y))


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        (o.sum_(away), ["add"]),
        (o.max_(away), ["sub"]),
        (o.sum_(o.minimum(x, y)), ["add"]),
        # the products of these are one instruction with the sum, or busier than it
        (d.sqdist(x, y), []),
        (o.sum_(o.mul(x, y)), []),
        (o.sum_(o.mul(away, y)), []),
        (o.sum_(o.mul(o.square(o.mul(x, y)), y)), []),
        (o.sum_(o.exp(o.sub(x, y))), []),
        (o.exp(o.neg(d.sqdist(x, y))), []),
    ],
    ids=str,
)
def test_what_is_done_by_multipliers(formula: Expr, expected: list[str]) -> None:
    program = lower(formula, None)
    names = as_products(program)
    chosen = [s.op.name for s in walk(program.pair) if isinstance(s, Let) and s.name in names]
    assert chosen == expected


def test_code_outside_of_loops_stays() -> None:
    assert not as_products(lower(o.abs_(o.sub(o.sum_(o.mul(x, y)), o.sum_(x))), None))
