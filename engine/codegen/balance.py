"""Additions as products with 1, where a loop keeps adders busy and multipliers idle.

Processors with separate pipes for the two (Zen) do ``sum_d |x_d - y_d|`` at the pace of two
additions a component; ``fma(|t|, 1, sum)``, which is the same number, is done beside the next
difference. Elsewhere the two cost the same. What is chosen here, the dialect spells.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..formula import ops as o
from .ir import Let, Loop, Program, Statement, used, walk

MOVABLE = (o.add, o.sub)
PRODUCTS = (o.mul, o.square)
ADDERS = {
    **dict.fromkeys((o.add, o.sub, o.lesser, o.greater, o.lt, o.le, o.gt, o.ge, o.eq, o.ne), 1),
    **dict.fromkeys((o.minimum, o.maximum), 2),  # with a comparison that finds NaN
}
"""Instructions of an operation in the adders' pipes."""
EITHER = (o.neg, o.abs_, o.where, o.logical_and, o.logical_or, o.logical_not)
"""Operations on bits, which any pipe does."""


def as_products(program: Program) -> frozenset[str]:
    """Return the names of the sums and differences of pairs that are better done by multipliers."""
    loops = [s for s in program.pair if isinstance(s, Loop)]
    return frozenset(name for loop in loops for name in _chosen(loop.body))


def _chosen(body: Sequence[Statement]) -> list[str]:
    lets = [s for s in walk(tuple(body)) if isinstance(s, Let)]
    if any(s.op not in (*ADDERS, *PRODUCTS, *EITHER) for s in lets):
        return []  # functions are products for the most part
    uses = [name for s in walk(tuple(body)) for name in used(s)]
    products = {s.name for s in lets if s.op in PRODUCTS and uses.count(s.name) == 1}
    fused = {s.name for s in lets if s.op in MOVABLE and products.intersection(s.args)}
    multipliers = sum(s.op in PRODUCTS for s in lets)
    adders = sum(ADDERS.get(s.op, 0) for s in lets if s.name not in fused)
    movable = [s.name for s in lets if s.op in MOVABLE and s.name not in fused]
    surplus = (adders - multipliers) // 2
    return movable[-surplus:] if surplus > 0 else []
