r"""Roots of sums of squares where squares would overflow or vanish: the same formula at a scale.

The square of 1e20 is no float32, though the length of a vector with such components is one. So a
formula with roots of sums of squares has a second form, for data that asks for it:

.. math:: \sqrt{\sum_d (x_d - y_d)^2} = 2^k \sqrt{\sum_d (2^{-k} x_d - 2^{-k} y_d)^2}

where `k` is chosen at launch, by the largest component. Powers of two are exact. Slots whose
variables are added to each other share a `k`; they are a *class*. In the second form every node is
known as ``e * 2**(sum of power[c] * k[c])``, and the power goes along through all operations that
let it: it cancels in a cosine ``(x | y) / (|x| |y|)``, and is multiplied out where an exponential
needs the value.

The scale is one for all points of a class: norms below ``m * 2**-110`` (float32; ``2**-1000`` in
float64) lose digits beside a point of size m. In the plain range, where nothing is scaled, norms
below ``2**-63`` (``2**-511``) lose them, where squares are no normal numbers.

Knows no arrays: what is huge or tiny is found, and `k` chosen, at launch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from . import complex as complex_
from . import ops as o
from . import tensors
from .expr import Expr, node, postorder, variable

Power = tuple[tuple[int, int], ...]
"""Degree in each class that has one: ``((class, degree), ...)``."""
Degrees = tuple[tuple[int, float], ...]
"""Degree in each slot that has one."""


class Term(NamedTuple):
    """A product of powers of slots, times ``2 ** offset``."""

    offset: float
    degrees: Degrees


class Root(NamedTuple):
    """A root that has a second form: the sizes of what is below it, and its power there.

    What is below is as large as the largest of `terms`, with slots as large as their largest.
    """

    terms: tuple[Term, ...]
    power: Power


@dataclass(frozen=True)
class Scaled:
    """The second form.

    Attributes
    ----------
    formula, weight : Expr
        With new slots, which begin at `first`.
    first : int
        The first new slot: one for each scaled variable, then two for each of `powers`.
    scaled : tuple of (int, int)
        Slot of each variable that is scaled, and its class: divided by ``2 ** k[class]``.
    powers : tuple of Power
        Two parameters for each, whose product is ``2 ** sum(power[c] * k[c])``: one alone may be
        out of range.
    roots : tuple of Root
        From which `k` is chosen.
    slots : tuple of int
        Of what is below the roots: the sizes that have to be known.
    """

    formula: Expr
    weight: Expr | None
    first: int
    scaled: tuple[tuple[int, int], ...]
    powers: tuple[Power, ...]
    roots: tuple[Root, ...]
    slots: tuple[int, ...]


MAX_TERMS = 64
"""Products of more terms are not followed; only absurd formulas have them below a root."""

_ALIKE = (o.neg, o.abs_, o.sum_, o.min_, o.max_, o.contract, o.take, o.put, o.repeat,
          o.tile, tensors.permute, complex_.complex_real, complex_.complex_imag)  # fmt: skip
"""A multiple of the argument gives that multiple of the result."""
_SUMS = (o.add, o.sub, o.minimum, o.maximum, o.concat, o.where, complex_.interleave)
"""Likewise, if all arguments (but a condition) are multiplied."""
_DEGREES = {o.square: (2, 1), o.inv: (-1, 1), o.sqrt: (1, 2), o.rsqrt: (-1, 2),
            o.root_inverse: (-1, 2),
            o.mul: (1, 1), o.div: (1, 1)}  # fmt: skip
"""Degree of the result, as a fraction, in the argument or the first of two."""
_ROOTS = (o.sqrt, o.rsqrt, o.root_inverse)


@lru_cache
def plain(dtype: Any) -> tuple[int, int]:
    """Return exponents between which the largest of some numbers leaves their squares in range.

    Squares neither of the smallest difference of numbers of that size vanish, nor of sums of
    some thousand components overflow.
    """
    info = np.finfo(dtype)
    return int(info.minexp // 2 + info.nmant + 1), int(info.maxexp // 2 - 14)


@lru_cache(maxsize=4096)
def scaled_form(formula: Expr, weight: Expr | None) -> Scaled | None:
    """Return the second form of a formula and a weight, None if it has no such root."""
    nodes = list(postorder(*([formula] if weight is None else [formula, weight])))
    if not any(e.op in _ROOTS for e in nodes):
        return None
    terms = _terms(nodes)
    slots = {e.params[1]: e for e in nodes if e.is_variable}
    classes = _classes([terms[e.args[0]] for e in nodes if e.op in _ROOTS], slots)
    if not classes:
        return None
    form = _Form(slots, classes, terms)
    form.add(nodes)
    if not form.roots:
        return None
    roots = tuple(dict.fromkeys(form.roots))
    below = {slot for root in roots for t in root.terms for slot, _ in t.degrees}
    return Scaled(
        form.value(formula),
        None if weight is None else form.value(weight),
        form.first,
        tuple(sorted(classes.items())),
        tuple(form.factors),
        roots,
        tuple(sorted(below)),
    )


# --- How large a formula is -------------------------------------------------------------------


def _terms(nodes: Iterable[Expr]) -> dict[Expr, tuple[Term, ...] | None]:
    """Return for each node terms of which the largest is its size; None for too many.

    Functions that are not followed are taken as of size 1.
    """
    found: dict[Expr, tuple[Term, ...] | None] = {}
    for e in nodes:
        if e.is_variable:
            found[e] = (Term(0.0, ((e.params[1], 1.0),)),)
        elif e.is_constant:
            size = abs(e.params[0])
            known = 0 < size < math.inf
            found[e] = (Term(math.log2(size), ()),) if known else () if size == 0 else _ONE
        else:
            args = [found[a] for a in _summands(e)]
            known_args = [a for a in args if a is not None]
            few = math.prod(len(a) for a in known_args) <= MAX_TERMS
            followed = few and len(known_args) == len(args)
            found[e] = _made_terms(e, known_args) if followed else None
    return found


_ONE = (Term(0.0, ()),)


def _summands(e: Expr) -> tuple[Expr, ...]:
    return e.args[1:] if e.op is o.where else e.args


def _made_terms(e: Expr, args: Sequence[tuple[Term, ...]]) -> tuple[Term, ...]:
    if e.op in _ALIKE:
        return args[0]
    if e.op in _SUMS:
        return tuple(dict.fromkeys(t for a in args for t in a))
    if e.op not in _DEGREES:
        return _ONE
    above, below = _DEGREES[e.op]
    first = tuple(_to_power(t, above / below) for t in args[0])
    if len(args) == 1:
        return first
    sign = -1 if e.op is o.div else 1
    return tuple(dict.fromkeys(_product(a, _to_power(b, sign)) for a in first for b in args[1]))


def _to_power(t: Term, n: float) -> Term:
    return Term(t.offset * n, tuple((slot, d * n) for slot, d in t.degrees))


def _product(a: Term, b: Term) -> Term:
    degrees = dict(a.degrees)
    for slot, d in b.degrees:
        degrees[slot] = degrees.get(slot, 0) + d
    left = tuple(sorted((slot, d) for slot, d in degrees.items() if d))
    return Term(a.offset + b.offset, left)


def _classes(below: Sequence[tuple[Term, ...] | None], slots: dict[int, Expr]) -> dict[int, int]:
    """Return the slots that are scaled, and the class of each.

    Below a root that is the slot of an even degree in each term, points before parameters and
    vectors before numbers. All others are factors, or terms of their own like the 1 of
    ``sqrt(1 + |x|^2)``.
    """
    groups: list[set[int]] = []
    for terms in below:
        group: set[int] = set()
        for t in terms or ():
            even = [slot for slot, d in t.degrees if d > 0 and d % 2 == 0]
            if even and not group.intersection(even):
                group.add(max(even, key=lambda n: (slots[n].axes != 0, slots[n].dim, -n)))
        if group:
            for other in [g for g in groups if g & group]:
                groups.remove(other)
                group |= other
            groups.append(group)
    return {slot: n for n, group in enumerate(groups) for slot in group}


# --- The second form --------------------------------------------------------------------------


class _Form:
    """Nodes of the second form under construction."""

    def __init__(
        self,
        slots: dict[int, Expr],
        classes: dict[int, int],
        terms: dict[Expr, tuple[Term, ...] | None],
    ) -> None:
        self.classes, self.terms = classes, terms
        self.first = 1 + max(slots)
        self.place = {slot: self.first + n for n, slot in enumerate(sorted(classes))}
        self.factors: dict[Power, tuple[Expr, Expr]] = {}
        self.roots: list[Root] = []
        self.known: dict[Expr, tuple[Expr, Power]] = {}
        self.changed: set[Expr] = set()  # what has a root below: the others are right as they are

    def add(self, nodes: Iterable[Expr]) -> None:
        """Make the second form of nodes, arguments first."""
        for e in nodes:
            self.known[e] = self._new(e)
            if any(a in self.changed for a in e.args):
                self.changed.add(e)

    def value(self, e: Expr) -> Expr:
        """Return a node with its power multiplied out."""
        if e not in self.changed:
            return e
        new, power = self.known[e]
        return self._times(new, power) if power else new

    def _times(self, e: Expr, power: Power) -> Expr:
        if power not in self.factors:
            slot = self.first + len(self.place) + 2 * len(self.factors)
            self.factors[power] = variable("p", 1, slot), variable("p", 1, slot + 1)
        a, b = self.factors[power]
        return o.mul(o.mul(e, a), b)

    def _new(self, e: Expr) -> tuple[Expr, Power]:
        op = e.op
        if op is None:
            slot = e.params[1] if e.is_variable else None
            if slot not in self.place:
                return e, ()
            axis = e.params[0]
            return variable(axis, e.dim, self.place[slot], e.kind), ((self.classes[slot], 1),)
        args = [self.known[a] for a in e.args]
        if op in _ROOTS:
            half = _to_degree(args[0][1], _DEGREES[op])
            terms = self.terms[e.args[0]]
            if half and terms:
                self.changed.add(e)
                # that of a quotient follows what the others ask for
                if all(d > 0 for _, d in args[0][1]):
                    self.roots.append(Root(terms, args[0][1]))
                return node(op, (args[0][0],)), half
        elif op in _ALIKE:
            return node(op, (args[0][0],), e.params), args[0][1]
        elif op in _SUMS:
            made = self._sum(e)
            if made is not None:
                return made
        elif op in (o.mul, o.div):
            return self._product(e)
        elif op in _DEGREES:
            power = _to_degree(args[0][1], _DEGREES[op])
            if power:
                return node(op, (args[0][0],)), power
        return node(op, tuple(self.value(a) for a in e.args), e.params), ()

    def _sum(self, e: Expr) -> tuple[Expr, Power] | None:
        """Return a sum of what has one power; below roots, numbers are brought to it."""
        assert e.op is not None
        terms = _summands(e)
        powers = {self.known[a][1] for a in terms}
        mixed = len(powers) == 2 and () in powers and self.changed.isdisjoint(terms)
        if len(powers) != 1 and not mixed:
            return None
        power = max(powers)
        back = tuple((c, -d) for c, d in power)
        parts = [self.value(e.args[0])] if e.op is o.where else []
        for a in terms:
            new, its = self.known[a]
            parts.append(new if its == power else self._times(new, back))
        return node(e.op, tuple(parts), e.params), power

    def _product(self, e: Expr) -> tuple[Expr, Power]:
        """Return a product or a quotient.

        A factor without a root is scaled where this leaves less to multiply out: ``x / |x|``
        takes x scaled, ``x * |x|`` does not. What meets a number has its power multiplied out
        before: the number may be as huge or tiny.
        """
        assert e.op is not None
        sign = -1 if e.op is o.div else 1
        ways = [[self.known[a]] for a in e.args]
        if self.changed.intersection(e.args):
            for a, way in zip(e.args, ways, strict=True):
                if a not in self.changed:
                    way.append((a, ()))
        pairs = [(x, y) for x in ways[0] for y in ways[1]]
        (x, p), (y, q) = min(pairs, key=lambda w: _degree(_joined(w[0][1], w[1][1], sign)))
        if (len(pairs) > 1 or self.changed.issuperset(e.args)) and not (p and q):
            return node(e.op, tuple(self.value(a) for a in e.args)), ()
        return node(e.op, (x, y)), _joined(p, q, sign)


def _to_degree(power: Power, n: tuple[int, int]) -> Power:
    """Return a power to a degree, a fraction; empty if it is none of whole numbers."""
    above, below = n
    if any(d * above % below for _, d in power):
        return ()
    return tuple((c, d * above // below) for c, d in power)


def _degree(power: Power) -> int:
    return sum(abs(d) for _, d in power)


def _joined(a: Power, b: Power, sign: int) -> Power:
    degrees = dict(a)
    for c, d in b:
        degrees[c] = degrees.get(c, 0) + sign * d
    return tuple(sorted((c, d) for c, d in degrees.items() if d))
