"""THE table of reductions: one `Reduction` each, from which all backends follow.

A reduction folds the values ``v`` of a formula along an axis into a small *state*, and finishes
the state into its results. All of it is written as formulas on scalars, so that a compiled backend
prints them as it prints any formula: what a single value contributes (``single``), how two states
become one (``merge``), and the results (``finish``).

NaN and infinities: ``sum``, ``prod``, ``logsumexp`` and ``sumsoftmaxweight`` follow arithmetic, so
that a NaN makes the result NaN. For the others NaN is never the smallest or the largest, as in
``numpy.fmin``: a row that has nothing else gives the value of the empty axis. Infinities are
ordinary values. The empty axis gives the identity of ``merge``: 0 for a sum, 1 for a product,
+inf and the index -1 for a minimum, -inf for a maximum or a log-sum-exp, NaN for a weighted
softmax, 0, False and True for count, any and all. Ties go to the lowest index. When fewer than K
values exist, K smallest are filled up with +inf and the index -1.

Compiled backends add float32 values in float32 within a block of columns, and in double from there
on: a sum or a product whose partial results leave the range of float32 overflows, though the whole
may not.

Norms, distances and other roots of sums of squares neither overflow nor vanish where only the
squares leave the range: formulas with such roots are computed at another scale where data asks for
it (`scaling.py`), one for all points, chosen by the largest. Norms that are far smaller than the
largest, by a factor of 2**-110 in float32 and 2**-1000 in float64, lose digits; and so do, where
nothing is scaled because the largest is near 1, norms below 2**-63 and 2**-511.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from . import compensated, slopes
from . import ops as o
from .evaluate import evaluate
from .expr import Expr, constant, postorder, variable
from .slopes import finite_pivot as finite_pivot

INF = float("inf")

v = variable("s", 1, 0)
"""The value that is folded in."""
w = variable("s", 1, 1)
"""Its weight."""
j = variable("s", 1, 2, "index")
"""Its index."""
t = variable("s", 1, 3, "boolean")
"""The value, where values are true or false."""
mass = variable("s", 1, 4)
"""exp(value - pivot), for reductions that have a pivot."""

REDUCTIONS: dict[str, Reduction] = {}


@dataclass(frozen=True, eq=False)
class State:
    """One component of a state.

    Attributes
    ----------
    kind : str
        "real", "index" or "boolean".
    init : float
        Its value in the identity of ``merge``.
    single : Expr
        Its value for one value, in terms of `v`, `w`, `j`, `t` and, relative to a pivot, `mass`.
    per : str
        "value" if there is one for each component of the formula, "weight" for each of the weight.
    """

    kind: str
    init: float
    single: Expr
    per: str = "value"


def state_a(n: int, kind: str = "real") -> Expr:
    """Variable of the n-th component of the state that is updated (a)."""
    return variable("s", 1, 10 + n, kind)


def state_b(n: int, kind: str = "real") -> Expr:
    """Variable of the n-th component of the state that is merged into it (b)."""
    return variable("s", 1, 20 + n, kind)


@dataclass(frozen=True, eq=False)
class Reduction:
    """One reduction.

    It should be the case that ``merge`` is associative with the identity ``init``, that folding
    ``update`` over values equals merging their ``single`` states in order (but see ``repair``),
    and that ``numpy`` gives the state of many values at once.

    Attributes
    ----------
    name, doc : str
        Name of the method, and one sentence.
    state : tuple of State
        Components of the state.
    merge : tuple of Expr
        State of a and b together, where all indices of a are or may be below those of b.
    finish : tuple of Expr
        Results, in terms of a.
    numpy : callable
        ``numpy(v, w, j0)`` on arrays (..., m, n, E): the state of n values, each (..., m, E).
    update : tuple of Expr, optional
        a with one value folded in; made of ``single`` and ``merge`` where it is not given.
    pivoted : bool
        State 0 is a maximum, and every other component is a sum of terms relative to it: its
        ``single`` is in terms of `mass`. Backends fold the maximum of many values first and
        rescale once.
    keep : tuple of str
        For the K smallest, which keep a list: results out of "values" and "indices".
    of : str
        Kind of values.
    weighted : bool
        Whether there is a weight.
    scalar : bool
        Whether the formula must have dimension 1.
    repair : bool
        A row whose index comes out as -1 on a nonempty axis is done again in full: the fast
        ``update`` compares with < and so never takes a first infinity.
    least : tuple of str
        For the smallest value: results out of "values" and "indices".
    slopes : callable, optional
        ``slopes(v, w, r, others)``, its derivatives by a value and by the weight, in terms of
        the formula, the weight, the result and what `others` gives.
    others : callable, optional
        ``others(v, w)``: reductions that `slopes` needs, as (name, formula).
    picks : bool
        The results are values of the formula, or their indices: the derivative is the formula's,
        where they were found.
    """

    name: str
    doc: str
    state: tuple[State, ...] = ()
    merge: tuple[Expr, ...] = ()
    finish: tuple[Expr, ...] = ()
    numpy: Callable[..., Any] | None = None
    update: tuple[Expr, ...] = ()
    pivoted: bool = False
    keep: tuple[str, ...] = ()
    of: str = "real"
    weighted: bool = False
    scalar: bool = False
    repair: bool = False
    least: tuple[str, ...] = ()
    slopes: Callable[..., tuple[Expr, Expr | None]] | None = None
    others: Callable[..., tuple[tuple[str, Expr], ...]] = lambda v, w: ()
    picks: bool = False

    def __post_init__(self) -> None:
        if not self.update and self.state and not self.pivoted:
            from .expr import substitute

            singles = {state_b(n, s.kind): s.single for n, s in enumerate(self.state)}
            folded = tuple(substitute(m, singles) for m in self.merge)
            object.__setattr__(self, "update", folded)
        REDUCTIONS[self.name] = self

    def result_kinds(self) -> tuple[str, ...]:
        """Return the kind of each result."""
        if self.keep:
            return tuple("real" if k == "values" else "index" for k in self.keep)
        return tuple(f.kind for f in self.finish)

    def holds_indices(self) -> tuple[bool, ...]:
        """Return for each result whether it is made of indices along the reduced axis."""
        if self.keep:
            return tuple(k == "indices" for k in self.keep)
        own = {state_a(n, s.kind) for n, s in enumerate(self.state) if j in postorder(s.single)}
        return tuple(not own.isdisjoint(postorder(f)) for f in self.finish)

    def finished(self, state: tuple[Any, ...], dtype: Any) -> tuple[Any, ...]:
        """Return the results of a state of NumPy arrays."""
        values = {state_a(n, s.kind): state[n] for n, s in enumerate(self.state)}
        return tuple(evaluate(f, values, dtype) for f in self.finish)

    def merged(self, a: tuple[Any, ...], b: tuple[Any, ...], dtype: Any) -> tuple[Any, ...]:
        """Return the state of a and b together, as NumPy arrays."""
        values = {}
        for n, s in enumerate(self.state):
            values[state_a(n, s.kind)], values[state_b(n, s.kind)] = a[n], b[n]
        done: dict[Expr, Any] = {}
        return tuple(evaluate(m, values, dtype, done) for m in self.merge)

    def fold_last(self, x: Any) -> Any:
        """Return the one result of folding the last axis of an array, kept with length 1."""
        assert self.numpy is not None
        (result,) = self.finished(self.numpy(x[..., None], None, 0), x.dtype)
        return result


def _wide(x: Any) -> Any:
    return np.float64 if x.dtype == np.float32 else x.dtype


a0, b0, a1, b1 = state_a(0), state_b(0), state_a(1), state_b(1)
_value = State("real", 0, v)

Reduction(
    "sum",
    "Sum.",
    (_value,),
    merge=(a0 + b0,),
    finish=(a0,),
    numpy=lambda v, w, j0: (v.sum(-2, dtype=_wide(v)),),
    slopes=lambda v, w, r, others: (constant(1), None),
)
Reduction(
    "sum_kahan",
    "Sum whose roundings are compensated: its error does not grow with the number of terms.",
    (_value, State("real", 0, constant(0))),
    merge=(a0 + b0, a1 + b1 + compensated.lost(a0, b0)),
    finish=(compensated.whole(a0, a1),),
    numpy=compensated.meaning,
    slopes=lambda v, w, r, others: (constant(1), None),
)
Reduction(
    "prod",
    "Product.",
    (State("real", 1, v),),
    merge=(a0 * b0,),
    finish=(a0,),
    numpy=lambda v, w, j0: (v.prod(-2, dtype=_wide(v)),),
    slopes=slopes.prod_slopes,
    others=slopes.prod_others,
)


def _extremum(sign: int) -> tuple[Callable[..., Any], o.Op, o.Op, float]:
    """Meaning in NumPy, comparison, choice and identity of a minimum (1) or a maximum (-1)."""

    def meaning(v: Any, w: Any, j0: int) -> Any:
        if v.shape[-2] == 0:
            shape = (*v.shape[:-2], v.shape[-1])
            return np.full(shape, sign * INF, v.dtype), np.full(shape, -1)
        known = sign * np.where(np.isnan(v), sign * INF, v)
        k = known.argmin(-2)
        best = np.take_along_axis(known, k[..., None, :], -2)[..., 0, :]
        # an infinite minimum: the first true infinity, not a NaN that was replaced by one
        k = np.where(np.isinf(best), (sign * v == best[..., None, :]).argmax(-2), k)
        k = np.where(np.isnan(v).all(-2), -1, k + j0)
        return sign * best, k

    if sign > 0:
        return meaning, o.lt, o.lesser, INF
    return meaning, o.gt, o.greater, -INF


def _make_extremum(name: str, sign: int) -> None:
    meaning, better, choice, worst = _extremum(sign)
    word = "Smallest" if sign > 0 else "Largest"
    ka, kb = state_a(1, "index"), state_b(1, "index")
    known = o.eq(v, v)  # false for NaN
    none = constant(-1, 1, "index")
    alone = State("real", worst, o.where(known, v, constant(worst)))
    Reduction(
        name,
        f"{word} value.",
        (alone,),
        merge=(choice(b0, a0),),
        finish=(a0,),
        update=(choice(v, a0),),
        numpy=lambda v, w, j0: meaning(v, w, j0)[:1],
        least=("values",) if sign > 0 else (),
        picks=True,
    )
    tie = o.eq(b0, a0) & o.ne(kb, none) & (o.eq(ka, none) | o.lt(kb, ka))
    take_b = better(b0, a0) | tie
    both = Reduction(
        f"{name}_arg{name}",
        f"{word} value, and its index.",
        (alone, State("index", -1, o.where(known, j, none))),
        merge=(choice(b0, a0), o.where(take_b, kb, ka)),
        finish=(a0, ka),
        update=(choice(v, a0), o.where(better(v, a0), j, ka)),
        numpy=meaning,
        repair=True,
        least=("values", "indices") if sign > 0 else (),
        picks=True,
    )
    least = ("indices",) if sign > 0 else ()
    doc = f"Index of the {word.lower()} value."
    replace(both, name=f"arg{name}", doc=doc, finish=(ka,), least=least)


_make_extremum("min", 1)
_make_extremum("max", -1)


# --- Log-sum-exp and softmax ------------------------------------------------------------------

_top = State("real", -INF, v)
_m = o.greater(b0, a0)
_mass = State("real", 0, mass)
_weighed = State("real", 0, mass * w, "weight")


def _relative(n: int) -> Expr:
    """Sum n of a and b together, both brought to the common pivot."""
    scale_a, scale_b = o.exp(a0 - finite_pivot(_m)), o.exp(b0 - finite_pivot(_m))
    return state_a(n) * scale_a + state_b(n) * scale_b


def _pivoted(weighted: bool, mass: bool) -> Callable[..., Any]:
    def meaning(v: Any, w: Any, j0: int) -> Any:
        with np.errstate(all="ignore"):
            m = np.fmax.reduce(v, axis=-2, initial=-INF)
            safe = np.where(np.isfinite(m), m, 0)
            e = np.exp(v - safe[..., None, :])
            terms = [e] if mass else []
            terms += [e * w] if weighted else []
            return (m, *(x.sum(-2, dtype=_wide(v)) for x in terms))

    return meaning


Reduction(
    "logsumexp",
    "Logarithm of the sum of exponentials, without overflow.",
    (_top, _mass),
    merge=(_m, _relative(1)),
    finish=(finite_pivot(a0) + o.log(state_a(1)),),
    numpy=_pivoted(False, True),
    pivoted=True,
    slopes=lambda v, w, r, others: (slopes.share(v, r), None),
)
Reduction(
    "logsumexp_weight",
    "Logarithm of the weighted sum of exponentials, without overflow.",
    (_top, _weighed),
    merge=(_m, _relative(1)),
    finish=(finite_pivot(a0) + o.log(state_a(1)),),
    numpy=_pivoted(True, False),
    pivoted=True,
    slopes=slopes.weighted_slopes,
    weighted=True,
    scalar=True,
)
Reduction(
    "sumsoftmaxweight",
    "Mean of the weights under the softmax of the formula.",
    (_top, _mass, _weighed),
    merge=(_m, _relative(1), _relative(2)),
    finish=(state_a(2) / state_a(1),),
    numpy=_pivoted(True, True),
    pivoted=True,
    slopes=slopes.mean_slopes,
    others=lambda v, w: (("logsumexp", v),),
    weighted=True,
    scalar=True,
)

# --- Truth ------------------------------------------------------------------------------------

_ca, _cb = state_a(0, "index"), state_b(0, "index")
_ta, _tb = state_a(0, "boolean"), state_b(0, "boolean")
_zero, _one = constant(0, 1, "index"), constant(1, 1, "index")
Reduction(
    "count",
    "Number of true values.",
    (State("index", 0, o.to_index(t)),),
    merge=(o.add_index(_ca, _cb),),
    finish=(_ca,),
    numpy=lambda v, w, j0: (np.count_nonzero(v, axis=-2),),
    of="boolean",
)
Reduction(
    "any",
    "Whether a value is true.",
    (State("boolean", 0, t),),
    merge=(_ta | _tb,),
    finish=(_ta,),
    numpy=lambda v, w, j0: (v.any(-2),),
    of="boolean",
)
Reduction(
    "all",
    "Whether all values are true.",
    (State("boolean", 1, t),),
    merge=(_ta & _tb,),
    finish=(_ta,),
    numpy=lambda v, w, j0: (v.all(-2),),
    of="boolean",
)

# --- The K smallest ---------------------------------------------------------------------------

for _name, _keep, _doc in (
    ("Kmin", ("values",), "K smallest values, in ascending order."),
    ("argKmin", ("indices",), "Indices of the K smallest values, in ascending order of value."),
    ("Kmin_argKmin", ("values", "indices"), "K smallest values, and their indices."),
):
    Reduction(_name, _doc, keep=_keep, scalar=True, picks=True)
