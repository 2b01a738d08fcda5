"""Random formulas over the whole table of operations, from any source of choices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from georeduce.engine import LazyTensor, Pm, Vi, Vj
from georeduce.engine.errors import GeoreduceError
from georeduce.engine.formula import ops as o
from georeduce.engine.formula.expr import Expr, constant, variable, variables
from georeduce.engine.formula.ops import OPS, Op
from georeduce.engine.lazy import apply

Choose = Callable[[int], int]
"""``choose(n)`` is one of 0, ..., n - 1."""

AXES = "iijjp"
# By their parameters: what each is called with when it is drawn.
PARAMS: dict[str, Callable[[Choose, int], tuple[float, ...]]] = {
    "power": lambda choose, dim: ((2, 3, 0.5, -1, 1.7)[choose(5)],),
    "round": lambda choose, dim: (choose(2),),
    "elem": lambda choose, dim: (choose(dim),),
    "extract": lambda choose, dim: (0, 1 + choose(dim)),
    "take": lambda choose, dim: (choose(dim), 1, 1),
    "put": lambda choose, dim: (choose(2), 1 + choose(2), 2 * dim),
    "repeat": lambda choose, dim: (2,),
    "tile": lambda choose, dim: (2,),
    "permute": lambda choose, dim: ((1, dim), (1, 0)),
    "elem_t": lambda choose, dim: (3, choose(3)),
    "extract_t": lambda choose, dim: (choose(3), dim + 2),
    "sum_t": lambda choose, dim: (3,),
    "keops_tensordot": lambda choose, dim: ((dim,), (dim,), (0,), (0,), None),
    "keops_kron": lambda choose, dim: ((dim, 1), (1, dim)),
    "complex_sum_t": lambda choose, dim: (4,),
    "bspline": lambda choose, dim: (choose(2),),
    "contract": lambda choose, dim: (dim, dim, 1),
    "one_hot": lambda choose, dim: (3,),
}


def leaves(dim: int) -> list[Expr]:
    """Return the variables of a formula: vectors of `dim` components, and scalars."""
    return [
        variable(axis, dim if n % 2 else 1, n)
        for n, axis in enumerate(a for a in AXES for _ in "12")
    ]


def grow(choose: Choose, depth: int, dim: int) -> Expr:
    """Return a random formula of real numbers, of at most some depth."""
    known = leaves(dim)
    if depth == 0 or choose(8) == 0:
        pick = choose(len(known) + 1)
        return known[pick] if pick < len(known) else constant((0, 1, -1)[choose(3)])
    names = list(OPS)
    for _ in range(20):
        op = OPS[names[choose(len(names))]]
        args = [_argument(op, kind, choose, depth, dim) for kind in op.args]
        params = PARAMS[op.name](choose, args[0].dim) if op.name in PARAMS else ()
        try:
            made = op(*args, *params)
        except GeoreduceError:  # dimensions that do not fit: another one
            continue
        if made.dim <= 12:
            return o.cast(made, "real")
    return known[0]


def _argument(op: Op, kind: str, choose: Choose, depth: int, dim: int) -> Expr:
    a = grow(choose, depth - 1, dim)
    if kind == "boolean":
        return o.gt(a, constant(0))
    if kind == "index":
        return o.argmin(a)
    low, high = op.domain
    outside = (low, high) != Op.domain
    if outside or (a.args and choose(2)):  # into the domain, or else most numbers would be NaN
        return o.add(o.mul(o.sigmoid(a), constant(high - low)), constant(low))
    return a


def tensor(e: Expr, rng: np.random.Generator, M: int, N: int, dtype: str) -> LazyTensor:
    """Return a formula of `grow` on random points."""
    dim = max([a.dim for a in variables(e)], default=1)
    tensors = []
    for leaf in leaves(dim):
        make, n = {"i": (Vi, (M,)), "j": (Vj, (N,)), "p": (Pm, ())}[leaf.params[0]]
        tensors.append(make(rng.uniform(-2, 2, (*n, leaf.dim)).astype(dtype)))
    return apply(lambda *_: e, tensors)
