"""The names of KeOps's formulas, and what they mean here.

Every operation of the table is known by its own name, in any case and without underscores: ``Exp``,
``SqDist``, ``OneHot`` are ``exp``, ``sqdist``, ``one_hot``. `NAMES` holds the others: those that
KeOps calls otherwise, and those whose arguments come in another order there, which is then the
order of the name however it is spelled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..errors import ShapeError, expected
from . import complex as complex_
from . import grad
from . import ops as o
from .expr import Expr, constant
from .ops import OPS

AXES = {"Vi": "i", "Vj": "j", "Pm": "p", "Var": "", "Vx": "i", "Vy": "j"}
"""Kinds of variables; the axis of a Var is its third argument."""
LISTS = ("dimfa", "dimfb", "contfa", "contfb", "permute", "dimfself", "dimfother")
"""Parameters of operations that are lists of integers."""


@dataclass(frozen=True)
class Name:
    """A name of the language.

    Attributes
    ----------
    build : callable
        The formula of its arguments.
    kinds : tuple of str
        What each argument is: "formula", "variable", "integer", "integers" (a list in brackets)
        or "number".
    least : int
        How many arguments there must be.
    """

    build: Callable[..., Expr]
    kinds: tuple[str, ...]
    least: int


def _like(name: str) -> Name:
    """Return the name of an operation of the table."""
    op = OPS[name]
    params = ("integers" if name in LISTS else "number" for name in op.params)
    kinds = (*("formula",) * len(op.args), *params)
    return Name(op, kinds, len(kinds) - len(op.defaults))


def _of(build: Callable[..., Expr], kinds: str, least: int = -1) -> Name:
    split = tuple(kinds.split())
    return Name(build, split, len(split) if least < 0 else least)


def _one(e: Expr, what: str) -> Expr:
    if e.dim != 1:
        raise ShapeError(expected(f"{what} of dimension 1", str(e.dim)))
    return e


def _weighted(least: int, most: int) -> Name:
    """Squared norms with weights of a power of the dimension: KeOps puts the weights first."""

    def build(s: Expr, x: Expr) -> Expr:
        fits = [x.dim**n for n in range(least, most + 1)]
        if s.dim not in fits:
            wanted = " or ".join(map(str, dict.fromkeys(fits)))
            raise ShapeError(expected(f"weights of {wanted} components", str(s.dim)))
        return OPS["weightedsqnorm"](x, s)

    return _of(build, "formula formula")


def power(x: Expr, y: Expr) -> Expr:
    """Return a power: with a fixed exponent where it is a number."""
    return o.power(x, y.params[0]) if y.is_constant and y.dim == 1 else o.pow_(x, y)


def _grad(e: Expr, v: Expr, g: Expr | None = None) -> Expr:
    return grad.grad(e, v, constant(1) if g is None else g)


NAMES: dict[str, Name] = {
    "Subtract": _like("sub"),
    "Mult": _like("mul"),
    "Divide": _like("div"),
    "Minus": _like("neg"),
    "Scalprod": _like("dot"),
    "Powf": _like("pow"),
    "Pow": _of(power, "formula formula"),
    "LessThan": _like("lt"),
    "LessOrEqual": _like("le"),
    "Equal": _like("eq"),
    "NotEqual": _like("ne"),
    "ClampInt": _like("clamp"),
    "WeightedSqDist": _of(
        lambda s, x, y: OPS["weightedsqdist"](x, y, s), "formula formula formula"
    ),
    "WeightedSqNorm": _weighted(0, 2),
    "SqNormIso": _weighted(0, 0),
    "SqNormDiag": _weighted(1, 1),
    "SymSqNorm": _weighted(2, 2),
    "IntCst": _of(constant, "integer"),
    "RatCst": _of(lambda p, q: o.div(constant(p), constant(q)), "integer integer"),
    "IntInv": _of(lambda n: o.inv(constant(n)), "integer"),
    "Zero": _of(lambda dim: constant(0, dim), "integer"),
    "SumT": _of(lambda x, n: o.repeat(_one(x, "a formula"), n), "formula integer"),
    "ElemT": _of(lambda x, n, i: _placed(_one(x, "a formula"), i, n), "formula integer integer"),
    "ExtractT": _of(lambda x, i, n: _placed(x, i, n), "formula integer integer"),
    "TensorDot": _like("keops_tensordot"),
    "Kron": _like("keops_kron"),
    # what stands twice in a formula is computed once anyway
    "Factorize": _of(lambda x, part: x, "formula formula"),
    "AutoFactorize": _of(lambda x: x, "formula"),
    "Grad": _of(_grad, "formula variable formula", 2),
    "Diff": _of(grad.diff, "formula variable formula"),
    "GradMatrix": _of(grad.grad_matrix, "formula variable"),
    "Divergence": _of(grad.divergence, "formula variable"),
    "Laplacian": _of(grad.laplacian, "formula variable"),
    "TraceOperator": _of(grad.trace_operator, "formula variable"),
    "Var": _of(constant, "integer integer integer"),  # variables are the parser's
} | dict.fromkeys([axis for axis in AXES if axis != "Var"], _of(constant, "integer integer"))

SPELLINGS = (
    *("SqDist", "SqNorm2", "MatVecMult", "VecMatMult", "TensorProd", "TensorDot", "OneHot"),
    *("IfElse", "XLogX", "ReLU", "SinXDivX", "BSpline"),
)
"""As KeOps writes names of the table, for those who mistype them."""


def _placed(x: Expr, start: int, dim: int) -> Expr:
    """Return x at `start` of `dim` components, zeros elsewhere."""
    after = dim - start - x.dim
    if start < 0 or after < 0:
        raise ShapeError(expected(f"{x.dim} components inside of {dim}", f"a start of {start}"))
    e = o.concat(constant(0, start), x) if start else x
    return o.concat(e, constant(0, after)) if after else e


@lru_cache(maxsize=1)
def _table() -> dict[str, Name]:
    """Return what names mean, by their letters and digits: KeOps's meaning first."""
    found = {}
    for op in OPS.values():
        for name in (op.name, *op.aliases):
            if not op.internal or op in complex_.OPERATIONS:
                found[_bare(name)] = _like(op.name)
    return found | {_bare(name): known for name, known in NAMES.items()}


def _bare(name: str) -> str:
    return name.replace("_", "").lower()


def names(name: str) -> Name | None:
    """Return what a name means, None if it means nothing."""
    return _table().get(_bare(name))


def suggestions() -> list[str]:
    """Return the names as one may have meant them."""
    spelled = {_bare(name): name for name in (*NAMES, *SPELLINGS)}
    titles = ("".join(map(str.title, n.split("_"))) for n in _any_names())
    return list(dict.fromkeys([*NAMES, *(spelled.get(_bare(t), t) for t in titles)]))


def _any_names() -> list[Any]:
    known = [op for op in OPS.values() if not op.internal or op in complex_.OPERATIONS]
    return [name for op in known for name in (op.name, *op.aliases)]
