"""Formulas as interned immutable nodes.

A node is an operation, its arguments, static parameters (an exponent, an index), and two derived
facts: ``dim``, the length of its feature axis, and ``kind``, what one component is ("real",
"index" or "boolean"). Equal nodes are the same object, so that formulas can be dictionary keys.

Leaves are variables, ``variable("i", 3, 0)``: slot 0 of the arguments, three components, one
point per row; and constants. A number that a user writes is *not* a constant but a parameter
variable: its value is given at launch, so that ``K / 10`` and ``K / 20`` are one formula.
Constants are only numbers with a meaning of their own, such as the 0 and 1 of the rules.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import ShapeError

if TYPE_CHECKING:
    from .ops import Op

KINDS = ("boolean", "index", "real")
AXES = {"p": 0, "i": 1, "j": 2, "s": 4}
"""Bit of each axis in ``Expr.axes``: parameters, rows, columns, states of a reduction."""

PAIR = 3


class Expr:
    """One node of a formula.

    Attributes
    ----------
    op : Op or None
        The entry of the table of operations; None for a leaf.
    args : tuple of Expr
        Arguments.
    params : tuple
        Static parameters; for a variable ``(axis, slot)``, for a constant ``(value,)``.
    dim : int
        Length of the feature axis.
    kind : str
        "real", "index" or "boolean".
    axes : int
        Bits of the axes that it depends on: 1 for i, 2 for j, 3 for both, 4 for states.
    """

    __slots__ = ("__weakref__", "args", "axes", "dim", "kind", "op", "params")

    op: Op | None
    args: tuple[Expr, ...]
    params: tuple[Any, ...]
    dim: int
    kind: str
    axes: int

    @property
    def is_variable(self) -> bool:
        """Whether the node is a variable."""
        return self.op is None and len(self.params) == 2

    @property
    def is_constant(self) -> bool:
        """Whether the node is a constant."""
        return self.op is None and len(self.params) == 1

    @property
    def name(self) -> str:
        """Name of the operation, "variable" or "constant"."""
        if self.op is not None:
            return self.op.name
        return "variable" if self.is_variable else "constant"

    def __repr__(self) -> str:
        return to_string(self)

    def __reduce__(self) -> tuple[Callable[..., Expr], tuple[Any, ...]]:
        # a flat list: nested, a deep formula would exceed the depth that pickle can follow
        place: dict[Expr, int] = {}
        rows: list[tuple[Any, ...]] = []
        for e in postorder(self):
            place[e] = len(rows)
            if e.op is None:
                rows.append((None, e.params, e.dim, e.kind, e.axes))
            else:
                rows.append((e.op.name, tuple(place[a] for a in e.args), e.params))
        return _rebuild, (tuple(rows),)

    # The operators are attached by the table of operations; these lines tell type checkers.
    if TYPE_CHECKING:

        def __add__(self, other: Expr | float) -> Expr: ...
        def __radd__(self, other: Expr | float) -> Expr: ...
        def __sub__(self, other: Expr | float) -> Expr: ...
        def __rsub__(self, other: Expr | float) -> Expr: ...
        def __mul__(self, other: Expr | float) -> Expr: ...
        def __rmul__(self, other: Expr | float) -> Expr: ...
        def __truediv__(self, other: Expr | float) -> Expr: ...
        def __rtruediv__(self, other: Expr | float) -> Expr: ...
        def __neg__(self) -> Expr: ...
        def __lt__(self, other: Expr | float) -> Expr: ...
        def __le__(self, other: Expr | float) -> Expr: ...
        def __gt__(self, other: Expr | float) -> Expr: ...
        def __ge__(self, other: Expr | float) -> Expr: ...
        def __and__(self, other: Expr) -> Expr: ...
        def __or__(self, other: Expr) -> Expr: ...
        def __invert__(self) -> Expr: ...


_NODES: weakref.WeakValueDictionary[tuple[Any, ...], Expr] = weakref.WeakValueDictionary()


def _intern(
    key: tuple[Any, ...],
    op: Op | None,
    args: tuple[Expr, ...],
    params: tuple[Any, ...],
    dim: int,
    kind: str,
    axes: int,
) -> Expr:
    node = Expr()
    node.op, node.args, node.params = op, args, params
    node.dim, node.kind, node.axes = dim, kind, axes
    # setdefault keeps one winner when threads race for the same new node
    return _NODES.setdefault(key, node)


def leaf(params: tuple[Any, ...], dim: int, kind: str, axes: int) -> Expr:
    """Return the leaf with these fields; `variable` and `constant` are the readable ways."""
    # repr tells -0.0 from 0.0 and lets nan equal itself
    key = (None, repr(params), dim, kind, axes)
    return _NODES.get(key) or _intern(key, None, (), params, dim, kind, axes)


def variable(axis: str, dim: int, slot: int, kind: str = "real") -> Expr:
    """Return the variable of an axis ("i", "j", "p" for parameters, "s" for states).

    Examples
    --------
    >>> variable("i", 3, 0)
    x0
    """
    if axis not in AXES:
        raise ValueError(f"Expected an axis 'i', 'j', 'p' or 's', but got {axis!r}.")
    if dim < 1:
        raise ShapeError(f"Expected a feature axis of length 1 or more, but got {dim}.")
    return leaf((axis, slot), int(dim), kind, AXES[axis])


def constant(value: float, dim: int = 1, kind: str = "real") -> Expr:
    """Return a constant; it carries a dim, or ``0 * x`` would lose that of ``x``."""
    value = float(value) if kind == "real" else int(value)
    return leaf((value,), dim, kind, 0)


def node(op: Op, args: tuple[Expr, ...], params: tuple[Any, ...] = ()) -> Expr:
    """Return the node of a primitive operation; `Op.__call__` is the way that checks and casts."""
    key = (op, args, params)
    found = _NODES.get(key)
    if found is not None:
        return found
    dim = op.result_dim(tuple(a.dim for a in args), params)
    axes = 0
    for a in args:
        axes |= a.axes
    kind = op.kind if op.kind != "same" else args[-1].kind
    return _intern(key, op, args, params, dim, kind, axes)


def _rebuild(rows: tuple[tuple[Any, ...], ...]) -> Expr:
    from .ops import OPS

    made: list[Expr] = []
    for name, *fields in rows:
        if name is None:
            made.append(leaf(*fields))
        else:
            args, params = fields
            made.append(node(OPS[name], tuple(made[n] for n in args), params))
    return made[-1]


def postorder(*roots: Expr) -> Iterator[Expr]:
    """Yield every node below the roots once, arguments first; a loop, so depth is no limit."""
    seen: set[Expr] = set()
    stack: list[tuple[Expr, bool]] = [(root, False) for root in reversed(roots)]
    while stack:
        e, ready = stack.pop()
        if e in seen:
            continue
        if ready or not e.args:
            seen.add(e)
            yield e
        else:
            stack.append((e, True))
            stack.extend((a, False) for a in reversed(e.args) if a not in seen)


def rebuild(root: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """Return `root` with `change` applied to every node, arguments first."""
    done: dict[Expr, Expr] = {}
    for e in postorder(root):
        new = e
        if e.args:
            args = tuple(done[a] for a in e.args)
            if args != e.args:
                assert e.op is not None
                new = node(e.op, args, e.params)
        done[e] = change(new)
    return done[root]


def substitute(root: Expr, replacements: Mapping[Expr, Expr]) -> Expr:
    """Return `root` with some nodes replaced.

    Examples
    --------
    >>> x = variable("i", 3, 0)
    >>> substitute(x, {x: variable("j", 3, 1)})
    y1
    """
    return rebuild(root, lambda e: replacements.get(e, e))


def swap_axes(root: Expr) -> Expr:
    """Return `root` with rows and columns exchanged."""
    other = {"i": "j", "j": "i"}

    def change(e: Expr) -> Expr:
        if e.is_variable and e.params[0] in other:
            return variable(other[e.params[0]], e.dim, e.params[1], e.kind)
        return e

    return rebuild(root, change)


def variables(*roots: Expr) -> list[Expr]:
    """Return the variables below the roots, by slot."""
    found = [e for e in postorder(*roots) if e.is_variable]
    return sorted(found, key=lambda e: e.params[1])


_LETTERS = {"i": "x", "j": "y", "p": "p", "s": "s"}


_LONG = 1000


def _shared(root: Expr) -> dict[Expr, str]:
    """Return names for parts that occur several times, if the whole text would be long.

    It would be exponentially so for a formula whose parts share theirs, and theirs again.
    """
    size: dict[Expr, int] = {}
    users: dict[Expr, int] = {}
    for e in postorder(root):
        size[e] = 1 + sum(size[a] for a in e.args)
        for a in e.args:
            users[a] = users.get(a, 0) + 1
    several = [e for e in size if e.args and users.get(e, 0) > 1]
    return {e: f"t{n}" for n, e in enumerate(several)} if size[root] > _LONG else {}


def to_string(root: Expr) -> str:
    """Return a formula as one reads it: ``exp(-sum(square(x0 - y1)))``."""
    text: dict[Expr, tuple[str, int]] = {}  # and precedence: 0 sums, 1 products, 2 signs, 3 atoms
    names = _shared(root)
    parts = []

    def wrap(e: Expr, least: int) -> str:
        s, p = text[e]
        return s if p >= least else f"({s})"

    for e in postorder(root):
        if e.is_variable:
            text[e] = f"{_LETTERS[e.params[0]]}{e.params[1]}", 3
        elif e.is_constant:
            value = e.params[0]
            s = str(int(value)) if math.isfinite(value) and value == int(value) else str(value)
            text[e] = s, 3 if value >= 0 else 2
        else:
            assert e.op is not None
            if e.op.symbol and len(e.args) == 2:
                p = e.op.precedence
                left, right = wrap(e.args[0], p), wrap(e.args[1], p + 1)
                text[e] = f"{left} {e.op.symbol} {right}", p
            elif e.op.symbol:
                text[e] = f"{e.op.symbol}{wrap(e.args[0], 2)}", 2
            else:
                inside = [text[a][0] for a in e.args] + [str(p) for p in e.params]
                text[e] = f"{e.op.name}({', '.join(inside)})", 3
        if e in names:
            parts.append(f"{names[e]} = {text[e][0]}")
            text[e] = names[e], 3
    return text[root][0] + (f" where {', '.join(parts)}" if parts else "")
