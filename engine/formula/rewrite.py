"""Applies the table of rules to a formula until none fits. Knows no rule itself."""

from __future__ import annotations

from functools import lru_cache

from .expr import Expr, node, postorder, rebuild, substitute
from .rules import RULES, WILDCARDS, Rule

_BY_OP: dict[str, list[Rule]] = {}
for _rule in RULES:
    _BY_OP.setdefault(_rule.left.name, []).append(_rule)


def match(pattern: Expr, e: Expr) -> dict[Expr, Expr] | None:
    """Return what each wildcard stands for if `e` has the form of `pattern`, else None."""
    found: dict[Expr, Expr] = {}
    todo = [(pattern, e)]
    while todo:
        p, e = todo.pop()
        if p in WILDCARDS:
            if p.kind != e.kind or found.setdefault(p, e) is not e:
                return None
        elif p.is_constant:
            if not (e.is_constant and e.params == p.params and e.kind == p.kind):
                return None
        elif p.op is not e.op or p.params != e.params:
            return None
        else:
            todo.extend(zip(p.args, e.args, strict=True))
    return found


def apply_rule(rule: Rule, e: Expr) -> Expr | None:
    """Return what a rule makes of `e`, or None where it does not fit or would lose the dim."""
    found = match(rule.left, e)
    if found is None or not rule.when(found):
        return None
    new = substitute(rule.right, found)
    return new if new.dim == e.dim and new.kind == e.kind else None


def _step(e: Expr) -> Expr:
    """Apply rules to the root of `e`, whose arguments are simple already."""
    for _ in range(100):  # every rule shrinks or reorders towards a normal form; a bound is cheap
        for rule in _BY_OP.get(e.name, ()):
            new = apply_rule(rule, e)
            if new is not None:
                # the new root's arguments may fit rules in turn
                e = rebuild_once(new, e)
                break
        else:
            return e
    return e


def rebuild_once(new: Expr, old: Expr) -> Expr:
    """Return `new` with the nodes that `old` did not have simplified, except its root."""
    if not new.args or new.op is None:
        return new
    known = set(postorder(old))
    args = tuple(a if a in known else _step(rebuild_once(a, old)) for a in new.args)
    return node(new.op, args, new.params)


@lru_cache(maxsize=4096)
def simplify(root: Expr) -> Expr:
    """Return an equal formula to which no rule applies.

    Examples
    --------
    >>> from georeduce.engine.formula.expr import constant, variable
    >>> from georeduce.engine.formula import ops
    >>> x = variable("i", 3, 0)
    >>> simplify(ops.log(ops.exp(x * constant(1))))
    x0
    """
    return rebuild(root, _step)
