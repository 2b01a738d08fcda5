r"""The derivative of a reduction as reductions again; arrays come to it in `derivatives.py`.

A reduction over j has one result for each row, ``r_i = R_j v_ij``, and its entry in the table says
what the result's slope by a value is: 1 for a sum, ``exp(v_ij - r_i)`` for a log-sum-exp. So with
a cotangent g of the result

.. math:: \bar x_i = \sum_j \partial_x v_{ij}^\top (g_i s_{ij}), \quad
          \bar y_j = \sum_i \partial_y v_{ij}^\top (g_i s_{ij}), \quad
          \dot r_i = \sum_j s_{ij} \dot v_{ij}

are sums of formulas of the old variables and a few new ones: the cotangent, the result, and what
else the slope needs. All gradients along one axis are one formula, hence one kernel, in which
what they have in common is computed once.

A minimum, or the K smallest, *picks* pairs (i, j): its derivative is that of the formula there,
and no other pair has to be looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, reduce

from . import ops as o
from .expr import Expr, substitute, variable, variables
from .grad import jvp, summed, vjp
from .reductions import REDUCTIONS

Other = tuple[str, Expr]
"""A reduction over j that has to be known first: its name, and of which formula."""


@dataclass(frozen=True)
class Group:
    """Gradients that one sum gives: over j for rows ("i") and parameters ("p"), else over i.

    Attributes
    ----------
    axis : str
        Of the variables.
    slots, dims : tuple of int
        Of the variables, in the order of the components of the formula.
    formula : Expr
        Their gradients, one after the other; of parameters, those of one row.
    """

    axis: str
    slots: tuple[int, ...]
    dims: tuple[int, ...]
    formula: Expr


@dataclass(frozen=True)
class Backward:
    """What gradients of a reduction are made of.

    The formulas have new slots, all of rows: the cotangent, the result, one for each of `others`.
    """

    others: tuple[Other, ...]
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Forward:
    """What a directional derivative of a reduction is made of.

    The formula has new slots: a tangent for each of the variables asked for, then, of rows, the
    result, and one for each of `others`. It is summed over j.
    """

    others: tuple[Other, ...]
    formula: Expr


@lru_cache(maxsize=2048)
def reduction_vjp(
    formula: Expr, weight: Expr | None, reduction: str, wanted: tuple[int, ...], first: int
) -> Backward:
    """Return what the gradients of a reduction over j are made of.

    Parameters
    ----------
    formula, weight : Expr
        What is reduced.
    reduction : str
        Name of a reduction that has slopes.
    wanted : tuple of int
        Slots by which to differentiate.
    first : int
        The first new slot.
    """
    others, value, weigh = _slopes(formula, weight, reduction, first + 1)
    g = variable("i", _result_dim(formula, weight), first)
    roots = [(formula, value)] if weight is None else [(formula, value), (weight, weigh)]
    inside = [v for v in variables(*(root for root, _ in roots)) if v.params[1] in wanted]
    bars: dict[Expr, list[Expr]] = {v: [] for v in inside}
    for root, slope in roots:
        assert slope is not None
        own = tuple(v for v in inside if v in variables(root))
        bar = summed(g * slope, root, g.dim)
        for v, part in zip(own, vjp(root, own, bar), strict=True):
            bars[v].append(part)
    groups = []
    for axis in "ijp":
        those = [v for v in inside if v.params[0] == axis]
        if those:
            parts = [reduce(o.add, bars[v]) for v in those]
            slots, dims = tuple(v.params[1] for v in those), tuple(v.dim for v in those)
            groups.append(Group(axis, slots, dims, reduce(o.concat, parts)))
    return Backward(others, tuple(groups))


@lru_cache(maxsize=2048)
def reduction_jvp(
    formula: Expr, weight: Expr | None, reduction: str, wanted: tuple[int, ...], first: int
) -> Forward:
    """Return what a directional derivative of a reduction over j is made of.

    Parameters are as those of `reduction_vjp`; the slots in `wanted` have tangents, in that order.
    """
    others, value, weigh = _slopes(formula, weight, reduction, first + len(wanted))
    parts = []
    for root, slope in ((formula, value), (weight, weigh)):
        if root is None:
            continue
        assert slope is not None
        tangents = []
        for v in variables(root):
            axis, slot = v.params
            if slot in wanted:
                tangents.append((v, variable(axis, v.dim, first + wanted.index(slot))))
        parts.append(slope * jvp(root, tuple(tangents)))
    return Forward(others, reduce(o.add, parts))


def _slopes(
    formula: Expr, weight: Expr | None, reduction: str, first: int
) -> tuple[tuple[Other, ...], Expr, Expr | None]:
    """Return what the slopes need, and the slopes by the value and by the weight."""
    entry = REDUCTIONS[reduction]
    assert entry.slopes is not None, f"{reduction} has no slopes"
    result = variable("i", _result_dim(formula, weight), first)
    others = entry.others(formula, weight)
    known = tuple(variable("i", e.dim, first + 1 + n) for n, (_, e) in enumerate(others))
    value, weigh = entry.slopes(formula, weight, result, known)
    return others, value, weigh


def _result_dim(formula: Expr, weight: Expr | None) -> int:
    return formula.dim if weight is None else max(formula.dim, weight.dim)


@lru_cache(maxsize=1024)
def picked(formula: Expr, component: int) -> Expr:
    """Return the formula of picked pairs: all variables are rows, one for each pair.

    Of a formula with several components one is picked: the one that the variable of rows in the
    slot `component` has the number of.
    """
    rows = {v: variable("i", v.dim, v.params[1]) for v in variables(formula) if v.params[0] == "j"}
    e = substitute(formula, rows)
    return e if e.dim == 1 else o.sum_(e * o.one_hot(variable("i", 1, component), e.dim))


def differentiable(reduction: str) -> bool:
    """Whether a result of a reduction has derivatives."""
    entry = REDUCTIONS[reduction]
    return entry.slopes is not None or (entry.picks and "real" in entry.result_kinds())
