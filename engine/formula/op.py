"""What an operation is; the table of them is `ops.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import ArgumentError, DTypeError, ShapeError, expected
from .expr import KINDS, Expr, constant, node

Dims = tuple[int, ...]
Params = tuple[Any, ...]

OPS: dict[str, Op] = {}


def broadcast(dims: Dims, params: Params) -> int:
    """Dimension of an elementwise result: all equal, or one."""
    dim = max(dims)
    if any(d not in (1, dim) for d in dims):
        got = " and ".join(map(str, dims))
        raise ShapeError(expected("feature axes of equal length, or of length 1", got))
    return dim


def one(dims: Dims, params: Params) -> int:
    """Dimension of a scalar result."""
    return 1


@dataclass(frozen=True, eq=False)
class Op:
    """One operation on formulas; the module says what kinds of entries there are.

    It should be the case that every backend computes ``numpy`` up to rounding, on components
    drawn from ``domain``, for every ``dim`` that the rule ``dim`` accepts.

    Attributes
    ----------
    name : str
        Name of the method and of the function.
    doc : str
        One sentence, for the documentation.
    args : tuple of str
        Kind of each argument; "same" for arguments that are brought to their common kind,
        "ordered" likewise, but truth values become 0 and 1.
    kind : str
        Kind of the result; "same" for that of the last argument.
    numpy : callable
        What it means: ``numpy(*arrays, *params)`` on arrays whose last axis is the features.
    code : str
        How the C family spells one component.
    vjp : callable, optional
        ``vjp(g, e, *args, *params)``: what the cotangent `g` of the node `e` gives to each of
        its arguments, None for nothing; see `grad.py`. A derived operation has none.
    dim : callable
        Dimension of the result, from those of the arguments and the parameters.
    operands : tuple of str
        Names of the arguments after the first, as the user may write them.
    params : tuple of str
        Static parameters, by name.
    defaults : tuple
        Values of the last operands and parameters, where they may be left out.
    steady : bool
        A small relative error of an argument is no more than that in the result, or in its
        terms: compiled backends may then round an argument twice.
    short : bool
        Whether a function in `code` is an instruction or two on vectors, not some dozen.
    internal : bool
        Only a part of derived operations and casts: users get no method for it.
    index : callable, optional
        ``index(k, params, dim)``: which component of the argument the k-th of the result is.
    fold, span : str and callable, optional
        Name of the reduction, and ``span(k, l, params)``: its l-th term for component k.
    count : callable, optional
        Number of terms of a fold, from the dimension and the parameters.
    parts : callable, optional
        ``parts(dims, params)``: which components of the result those of each argument become;
        all others are 0.
    expand : callable, optional
        The formula that a derived operation stands for.
    domain : tuple of float
        Interval that the tests sample.
    symbol, precedence, dunder : str, int, str
        Infix spelling, and the operator that Python calls.
    """

    name: str
    doc: str
    args: tuple[str, ...] = ("real",)
    kind: str = "real"
    numpy: Callable[..., Any] | None = None
    code: str = ""
    vjp: Callable[..., tuple[Expr | None, ...]] | None = None
    dim: Callable[[Dims, Params], int] = broadcast
    operands: tuple[str, ...] = ("y", "z")
    params: tuple[str, ...] = ()
    defaults: tuple[Any, ...] = ()
    steady: bool = False
    short: bool = False
    internal: bool = False
    index: Callable[..., Any] | None = None
    fold: str = ""
    span: Callable[..., Any] | None = None
    count: Callable[[int, Params], int] | None = None
    parts: Callable[[Dims, Params], tuple[range, ...]] | None = None
    expand: Callable[..., Expr] | None = None
    domain: tuple[float, float] = (-2.0, 2.0)
    symbol: str = ""
    precedence: int = 3
    dunder: str = ""
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.name in OPS:
            raise ValueError(f"Expected a new operation, but got {self.name!r} a second time.")
        OPS[self.name] = self

    def __repr__(self) -> str:
        return f"Op({self.name})"

    def bind(self, operands: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
        """Return all arguments and parameters in order, from those that were given."""
        names = ("x", *self.operands[: len(self.args) - 1], *self.params)
        left = names[len(operands) :]
        if named and set(named) <= set(left):
            defaults = dict(zip(reversed(names), reversed(self.defaults), strict=False))
            values = {**defaults, **named}
            if all(name in values for name in left):
                return operands + tuple(values[name] for name in left)
        elif not named and len(left) <= len(self.defaults) and len(operands) <= len(names):
            return operands + self.defaults[len(self.defaults) - len(left) :] if left else operands
        call = f"x.{self.name}({', '.join(names[1:])})"
        got = [*("..." for _ in operands[1:]), *(f"{name}=..." for name in named)]
        raise ArgumentError(expected(call, f"x.{self.name}({', '.join(got)})"))

    def result_dim(self, dims: Dims, params: Params) -> int:
        """Return the dimension of the result, or raise with the operation's name."""
        try:
            return self.dim(dims, params)
        except ShapeError as error:
            raise ShapeError(f"{self.name}: {error}") from None

    def __call__(self, *operands: Any) -> Expr:
        """Return the formula of this operation; numbers become constants, kinds are cast."""
        n = len(self.args)
        operands = self.bind(operands, {})
        params = operands[n:]
        args = tuple(a if isinstance(a, Expr) else constant(a) for a in operands[:n])
        args = tuple(_cast(self, args))
        if self.expand is not None:
            dims = tuple(a.dim for a in args)
            try:
                return self.expand(*args, *params)
            except ShapeError as error:
                got = " and ".join(map(str, dims))
                raise ShapeError(f"{self.name} (of {got} components): {error.args[0]}") from None
        return node(self, args, params)


def _cast(op: Op, args: tuple[Expr, ...]) -> list[Expr]:
    wanted = list(op.args)
    if "same" in wanted or "ordered" in wanted:
        free = ("same", "ordered")
        ranks = [KINDS.index(a.kind) for a, w in zip(args, wanted, strict=True) if w in free]
        common = KINDS[max([*ranks, 1 if "ordered" in wanted else 0])]
        wanted = [common if w in free else w for w in wanted]
    return [cast(a, kind) for a, kind in zip(args, wanted, strict=True)]


def cast(e: Expr, kind: str) -> Expr:
    """Return `e` as another kind: 0 and 1 for booleans, ``e != 0`` for a boolean."""
    if kind in ("any", e.kind):
        return e
    if e.is_constant and kind != "boolean":
        return constant(e.params[0], e.dim, kind)
    if kind == "real":
        return node(OPS["truth" if e.kind == "boolean" else "to_real"], (e,))
    if kind == "boolean":
        return node(OPS["ne"], (e, constant(0, 1, e.kind)))
    if e.kind == "boolean":
        return node(OPS["to_index"], (e,))
    raise DTypeError(
        expected("an index, such as the result of argmin", "real numbers", "Use one_hot or elem.")
    )
