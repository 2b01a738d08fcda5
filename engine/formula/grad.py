r"""Derivatives of formulas, as formulas again.

There is one table, that of operations: `Op.vjp` says what a cotangent of a node gives to its
arguments. All else follows:

* `vjp`, the product of a cotangent with the Jacobian: the table, from the root to the variables;
* `jvp`, the product of the Jacobian with tangents: `vjp(e, v, u)` is linear in `u`, and its own
  product with the tangent of v, taken by `u`, is the transpose of the transpose;
* `grad_matrix`, `divergence`, `laplacian`, `trace_operator`: made of the two.

.. math:: \\bar v = \\sum_k g_k \\frac{\\partial e_k}{\\partial v}, \\qquad
          \\dot e = \\sum_d \\frac{\\partial e}{\\partial v_d} \\dot v_d

Knows formulas only; those of reductions are in `backward.py`.
"""

from __future__ import annotations

from functools import lru_cache, reduce

from ..errors import ArgumentError, ShapeError, expected
from . import ops as o
from .expr import Expr, constant, postorder, substitute, variable
from .rewrite import simplify
from .slopes import full

DUMMY = 10**6
"""Slot of the variable that a linear formula is a formula of, and of no other."""


@lru_cache(maxsize=2048)
def vjp(root: Expr, wanted: tuple[Expr, ...], g: Expr) -> tuple[Expr, ...]:
    """Return the cotangents of some nodes of a formula.

    Parameters
    ----------
    root : Expr
        The formula.
    wanted : tuple of Expr
        Nodes of it, as a rule variables.
    g : Expr
        Cotangent of the formula: as many components, or one that stands for all.

    Returns
    -------
    tuple of Expr
        Of the dimensions of what is wanted; zeros where the formula does not depend on it.

    Examples
    --------
    >>> x, y, g = variable("i", 3, 0), variable("j", 3, 1), variable("i", 1, 2)
    >>> simplify(vjp(o.sum_(x * y), (x,), g)[0])
    x2 * y1
    """
    if g.dim not in (1, root.dim):
        raise ShapeError(expected(f"a cotangent of {root.dim} components, or 1", f"{g.dim}"))
    order = list(postorder(root))
    along = set(wanted)
    for e in order:
        if e.kind == "real" and any(a in along for a in e.args):
            along.add(e)
    found: dict[Expr, Expr] = {}
    if root in along:
        found[root] = g
    for e in reversed(order):
        bar = found.get(e)
        if bar is None or e.op is None:
            continue
        assert e.op.vjp is not None, f"{e.op} has no derivative"
        for a, part in zip(e.args, e.op.vjp(bar, e, *e.args, *e.params), strict=True):
            if part is not None and a in along:
                part = summed(part, a, e.dim) if e.op.code else part
                found[a] = found[a] + part if a in found else part
    return tuple(full(found[w], w.dim) if w in found else constant(0, w.dim) for w in wanted)


def summed(part: Expr, a: Expr, dim: int) -> Expr:
    """Return the cotangent of an argument that was broadcast to `dim` components."""
    if a.dim == dim:
        return part
    return o.sum_(part) if part.dim > 1 else constant(dim) * part


@lru_cache(maxsize=2048)
def jvp(root: Expr, tangents: tuple[tuple[Expr, Expr], ...]) -> Expr:
    """Return the directional derivative of a formula.

    Parameters
    ----------
    root : Expr
        The formula.
    tangents : tuple of (Expr, Expr)
        Nodes of it, as a rule variables, and the tangent of each.

    Returns
    -------
    Expr of root.dim components

    Examples
    --------
    >>> x, t = variable("i", 3, 0), variable("i", 3, 1)
    >>> simplify(jvp(o.exp(x), ((x, t),)))
    x1 * exp(x0)
    """
    u = variable("s", root.dim, DUMMY)
    bars = vjp(root, tuple(v for v, _ in tangents), u)
    parts = [
        vjp(bar, (u,), t)[0] for bar, (_, t) in zip(bars, tangents, strict=True) if _uses(bar, u)
    ]
    return reduce(o.add, parts) if parts else constant(0, root.dim)


def _uses(e: Expr, v: Expr) -> bool:
    return any(n is v for n in postorder(e))


def grad(e: Expr, v: Expr, g: Expr) -> Expr:
    """Return the gradient of ``(g | e)`` by a variable."""
    return simplify(vjp(e, (v,), g)[0])


def diff(e: Expr, v: Expr, t: Expr) -> Expr:
    """Return the derivative of a formula in the direction `t` of a variable."""
    if t.dim != v.dim:
        raise ShapeError(expected(f"a tangent of {v.dim} components, as the variable", f"{t.dim}"))
    return simplify(jvp(e, ((v, t),)))


def grad_matrix(e: Expr, v: Expr) -> Expr:
    """Return the Jacobian, row by row: the gradient of each component of the formula."""
    u = variable("s", e.dim, DUMMY)
    (bar,) = vjp(e, (v,), u)
    rows = [substitute(bar, {u: _unit(k, e.dim)}) for k in range(e.dim)]
    return simplify(reduce(o.concat, rows))


def divergence(e: Expr, v: Expr) -> Expr:
    """Return the sum of the derivatives of each component by the same component of a variable."""
    if e.dim != v.dim:
        raise ShapeError(expected(f"a formula of {v.dim} components, as the variable", f"{e.dim}"))
    u = variable("s", e.dim, DUMMY)
    return simplify(_trace(vjp(e, (v,), u)[0], u))


def laplacian(e: Expr, v: Expr) -> Expr:
    """Return the divergence of the gradient of a formula of one component."""
    if e.dim != 1:
        raise ShapeError(expected("a formula of dimension 1", f"{e.dim}"))
    return divergence(grad(e, v, constant(1)), v)


def trace_operator(e: Expr, v: Expr) -> Expr:
    """Return the trace of the matrix of a formula that is linear in a variable.

    A formula of one component is what KeOps takes it for: each row of the matrix is its gradient.
    """
    if e.dim not in (1, v.dim):
        got = f"{e.dim}"
        raise ShapeError(expected(f"a formula of 1 or {v.dim} components, as the variable", got))
    if _uses(vjp(e, (v,), variable("s", e.dim, DUMMY))[0], v):
        raise ArgumentError(expected("a formula that is linear in the variable", "another one"))
    return simplify(_trace(e, v))


def _trace(e: Expr, u: Expr) -> Expr:
    return summed(_diagonal(e, u), constant(1), u.dim)


def _unit(k: int, dim: int) -> Expr:
    return o.one_hot(constant(k), dim)


def _diagonal(e: Expr, u: Expr) -> Expr:
    """Return the diagonal of the matrix of a formula that is linear in u, at most u.dim long.

    Taken apart where components do not mix; a scalar that spreads over the components has its
    gradient there. What is left is done component by component.
    """
    done: dict[Expr, Expr] = {}
    for n in postorder(e):
        if n is u:
            done[n] = constant(1)
        elif not _uses(n, u):
            continue
        elif n.dim == 1 and u.dim > 1:
            done[n] = vjp(n, (u,), constant(1))[0]
        elif n.op in _COMPONENTWISE and all(a in done for a in n.args if _uses(a, u)):
            done[n] = n.op(*(done.get(a, a) for a in n.args))
        elif n.dim == u.dim:
            parts = [o.take(substitute(n, {u: _unit(k, u.dim)}), k, 1, 1) for k in range(u.dim)]
            done[n] = reduce(o.concat, parts)
    return done.get(e, constant(0))


_COMPONENTWISE = (o.add, o.sub, o.neg, o.mul, o.div, o.where)
