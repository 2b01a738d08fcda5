"""Every rule of the table of simplifications, both sides on numbers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
from helpers import Array, analyse, assert_close

from georeduce.engine.formula import ops as o
from georeduce.engine.formula.expr import Expr, constant, postorder, substitute, variable
from georeduce.engine.formula.rewrite import apply_rule, match, simplify
from georeduce.engine.formula.rules import RULES, WILDCARDS, Rule, b, x, y

SPECIAL = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -2.0)


def instances(rule: Rule) -> Iterator[tuple[Expr, Expr]]:
    """Yield formulas of all axes and dimensions that a rule fits, and what it makes of them."""
    used = [e for e in postorder(rule.left, rule.right) if e in WILDCARDS]
    for choice in product([("i", 1), ("i", 3), ("j", 1), ("j", 3), ("p", 1)], repeat=len(used)):
        put = {
            wild: variable(axis, dim, n, wild.kind)
            for n, (wild, (axis, dim)) in enumerate(zip(used, choice, strict=True))
        }
        left = substitute(rule.left, put)
        right = apply_rule(rule, left)
        if right is not None:
            yield left, right


def points(e: Expr, numbers: Array) -> dict[Expr, Array]:
    """Return values for the variables of a formula, each in an order of its own."""
    found = {}
    for leaf in postorder(e):
        if leaf.is_variable:
            rng = np.random.default_rng(leaf.params[1])
            values = rng.choice(numbers, (400, leaf.dim))
            found[leaf] = values > 0 if leaf.kind == "boolean" else values
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.left} = {rule.right}")
class TestRule:
    def test_fits_something(self, rule: Rule) -> None:
        for left, right in instances(rule):
            assert (left.dim, left.kind) == (right.dim, right.kind)
            assert right is not left
        assert any(True for _ in instances(rule))

    def test_sides_are_equal(self, rule: Rule) -> None:
        for low in (-2.0, 0.0):
            numbers = np.random.default_rng(0).uniform(low, 2, 1000)
            for left, right in instances(rule):
                values = points(left, numbers)
                (one, error), (other, other_error) = analyse([left, right], values, "float64")
                one, other = np.asarray(one, float), np.asarray(other, float)
                other = np.where(np.isfinite(one), other, one)  # where the left side is defined
                bound = np.broadcast_to(error + other_error, one.shape)
                assert_close(other, one, bound, unclear=0)

    def test_no_number_comes_of_what_is_none(self, rule: Rule) -> None:
        """A NaN or an infinity of the arguments stays one."""
        for left, right in instances(rule):
            values = points(left, np.array(SPECIAL))
            none = np.zeros((400, left.dim), bool)
            for array in values.values():
                bad = ~np.isfinite(array)
                none |= bad if left.dim > 1 else bad.any(-1, keepdims=True)
            (one, _), (other, _) = analyse([left, right], values, "float64")
            one, other = np.asarray(one, float), np.asarray(other, float)
            undefined = none & ~np.isfinite(one)
            assert not (undefined & np.isfinite(other)).any()
            same = (one == other) | ~np.isfinite(one) | np.isnan(other)
            assert same[np.broadcast_to(none, same.shape)].all()

    def test_does_not_apply_to_its_own_result_for_ever(self, rule: Rule) -> None:
        for left, _ in instances(rule):
            simple = simplify(left)
            assert simplify(simple) is simple


def test_nothing_times_zero_is_simplified() -> None:
    """It would turn a NaN into 0, and lose the dimension."""
    e = o.mul(constant(0), variable("i", 3, 0))
    assert simplify(e) is e
    assert e.dim == 3


def test_wildcards_stand_for_one_formula() -> None:
    i, j = variable("i", 2, 0), variable("j", 2, 1)
    assert match(o.add(x, x), o.add(i, i)) == {x: i}
    assert match(o.add(x, x), o.add(i, j)) is None
    assert match(o.add(x, y), o.sub(i, j)) is None
    assert match(o.logical_not(b), o.logical_not(o.lt(i, j))) is not None
    assert match(o.add(x, constant(1)), o.add(i, constant(0))) is None


def test_a_rule_that_would_lose_the_dimension_does_not_apply() -> None:
    scalar, vector = variable("i", 1, 0), constant(1, 3)
    assert simplify(o.mul(scalar, vector)).dim == 3
    assert simplify(o.mul(vector, scalar)).dim == 3


def test_simplifying_a_deep_formula() -> None:
    e = variable("i", 1, 0)
    for _ in range(3000):
        e = o.neg(o.add(e, constant(0)))
    assert simplify(e) is variable("i", 1, 0)
