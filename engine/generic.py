"""Reductions of formulas that are strings, as KeOps has them: `Genred` and its short forms.

``Genred("Exp(-SqDist(x, y))", ["x = Vi(3)", "y = Vj(3)"], axis=1)`` is ``K.sum(axis=1)`` of the
LazyTensor K of placeholders that the string says; see `formula.parse` for the language.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Sequence
from typing import Any

from .errors import ArgumentError, ShapeError, did_you_mean, expected
from .formula.expr import Expr, variables
from .formula.parse import parse_formula, parse_variable
from .formula.reductions import REDUCTIONS
from .lazy import LazyTensor, join
from .methods import build, check_count, reduce
from .places import Deferred, MissingArraysError, placeholder

NAMES = {
    "Sum": "sum",
    "LogSumExp": "logsumexp",
    "LogSumExpWeight": "logsumexp_weight",
    "SumSoftMaxWeight": "sumsoftmaxweight",
    "SoftMax": "sumsoftmaxweight",
    "Min": "min",
    "ArgMin": "argmin",
    "Min_ArgMin": "min_argmin",
    "MinArgMin": "min_argmin",
    "Max": "max",
    "ArgMax": "argmax",
    "Max_ArgMax": "max_argmax",
    "MaxArgMax": "max_argmax",
    "KMin": "Kmin",
    "ArgKMin": "argKmin",
    "KMin_ArgKMin": "Kmin_argKmin",
    "KMinArgKMin": "Kmin_argKmin",
}
"""What KeOps calls the reductions of the table; those that it lacks have their own names."""


class Genred:
    """A reduction of a formula that is a string, as a function of arrays.

    Parameters
    ----------
    formula : str
        In the language of KeOps, as ``"Exp(-g * SqDist(x, y)) * b"``; the module
        `georeduce.engine.formula.parse` has its grammar.
    aliases : sequence of str
        The variables, in the order of the arrays: ``"x = Vi(3)"`` (rows), ``"y = Vj(3)"``
        (columns), ``"g = Pm(1)"`` (parameters), with their number of components.
    reduction_op : str
        "Sum", "LogSumExp", "SumSoftMaxWeight", "Min", "ArgMin", "Min_ArgMin", "Max", "ArgMax",
        "Max_ArgMax", "KMin", "ArgKMin", "KMin_ArgKMin", or another reduction of LazyTensors.
    axis : {0, 1}
        The reduced axis: 0, the default as in KeOps, sums over rows i, so that results are by
        columns j; 1 sums over columns.
    dtype, cuda_type : optional
        Without effect, as in KeOps: arrays have a dtype.
    opt_arg : int, optional
        K, for the K smallest.
    formula2 : str, optional
        The weight, for "LogSumExp" and "SumSoftMaxWeight".
    rec_multVar_highdim : bool
        Without effect: sums of long vectors need not be announced.
    **how
        Options of all reductions, such as `dtype_acc`, `use_double_acc`, `sum_scheme` and
        `enable_chunks`: see `LazyTensor.sum`.

    Examples
    --------
    >>> import numpy as np
    >>> density = Genred("Exp(-SqDist(x, y) / s)", ["x = Vi(2)", "y = Vj(2)", "s = Pm(1)"], axis=1)
    >>> density(np.zeros((4, 2)), np.ones((3, 2)), np.array([0.5])).shape
    (4, 1)
    """

    def __init__(
        self,
        formula: str,
        aliases: Sequence[str],
        reduction_op: str = "Sum",
        axis: int = 0,
        dtype: Any = None,
        opt_arg: int | None = None,
        formula2: str | None = None,
        cuda_type: Any = None,
        *,
        rec_multVar_highdim: Any = False,
        **how: Any,
    ) -> None:
        name = _reduction(reduction_op)
        if type(axis) is not int or axis not in (0, 1):
            what = "axis=0 (over rows, results by columns) or 1 (over columns)"
            raise ArgumentError(expected(what, f"axis={axis!r}"))
        declared = _declared(aliases)
        exprs = [parse_formula(f, declared) for f in (formula, formula2) if f]
        x, *weights = _with_placeholders(exprs, declared)
        K = 0
        if REDUCTIONS[name].keep:
            K = check_count(opt_arg, reduction_op, "opt_arg")
        elif opt_arg is not None:
            what = f"no opt_arg, the K of the K smallest, for {reduction_op}"
            raise ArgumentError(expected(what, f"opt_arg={opt_arg!r}"))
        self.formula, self.aliases = formula, list(aliases)
        self.reduction_op, self.axis = reduction_op, axis
        weight = weights[0] if weights else None
        deferred = reduce(x, name, "ij"[axis], K, weight, **{**how, "call": False})
        with contextlib.suppress(MissingArraysError):  # what else is wrong is told now
            build(x, name, "ij"[axis], K, weight)
        self._deferred: Deferred = deferred

    def __call__(
        self,
        *arrays: Any,
        backend: str | None = None,
        device_id: int = -1,
        ranges: Any = None,
        out: Any = None,
        **how: Any,
    ) -> Any:
        """Return the result for some arrays.

        Parameters
        ----------
        *arrays : array
            In the order of the aliases: (..., M, D) for ``Vi(D)``, (..., N, D) for ``Vj(D)``, (D,)
            for ``Pm(D)``.
        backend, device_id, ranges, out, **how
            Options of all reductions, see `LazyTensor.sum`.

        Returns
        -------
        array of shape (..., M, E) or (..., N, E), or a tuple of them
            As the reduction of a LazyTensor.
        """
        given = {"backend": backend, "ranges": ranges, "out": out}
        how |= {option: value for option, value in given.items() if value is not None}
        if device_id != -1:
            how["device_id"] = device_id
        return self._deferred(*arrays, **how)

    def __repr__(self) -> str:
        return f"Genred({self.formula!r}, {self.aliases!r}, {self.reduction_op!r}, {self.axis})"


def _reduction(name: Any) -> str:
    """Return the entry of the table that is called `name`."""
    known = NAMES | {entry: entry for entry in REDUCTIONS}
    if not isinstance(name, str) or name not in known:
        cure = did_you_mean(str(name), known)
        raise ArgumentError(expected(f"reduction_op among {list(known)}", repr(name), cure))
    return known[name]


def _declared(aliases: Sequence[str]) -> dict[str, Expr]:
    """Return the variables by name; those without one by their declaration."""
    if isinstance(aliases, str) or not all(isinstance(a, str) for a in aliases):
        what = "aliases as a list of strings such as 'x = Vi(3)'"
        raise ArgumentError(expected(what, repr(aliases)))
    declared: dict[str, Expr] = {}
    numbers: dict[int, str] = {}
    for position, alias in enumerate(aliases):
        name, e = parse_variable(alias, position)
        name = name or alias
        other = numbers.setdefault(e.params[1], alias)
        if name in declared or other is not alias:
            same = f"the name {name!r}" if name in declared else f"the number {e.params[1]}"
            what = "aliases that differ in their names and numbers"
            raise ArgumentError(expected(what, f"{alias!r}, of which another has {same}"))
        declared[name] = e
    return declared


def _with_placeholders(exprs: Sequence[Expr], declared: dict[str, Expr]) -> list[LazyTensor]:
    """Return formulas as LazyTensors of all that is declared, in use or not, and all in use."""
    found = {e.params[1]: e for e in [*declared.values(), *variables(*exprs)]}
    if sorted(found) != list(range(len(found))):
        what = f"variables of numbers 0 to {len(found) - 1}, one for each array"
        raise ArgumentError(expected(what, f"numbers {sorted(found)}"))
    tensors = [placeholder(n, e.dim, e.params[0]) for n, e in sorted(found.items())]
    if not tensors:
        raise ArgumentError(expected("a formula of some variables", "none"))
    _, shape = join(tensors)
    made = [copy.copy(shape) for _ in exprs]
    for x, e in zip(made, exprs, strict=True):
        x.expr = e
    return made


def _short(
    name: str, formula: str, output: str, aliases: Sequence[str], how: dict[str, Any]
) -> Genred:
    """Return the Genred whose output is declared as a variable."""
    _, e = parse_variable(output, 0)
    if e.params[0] == "p":
        raise ArgumentError(expected("an output as 'a = Vi(3)' or 'a = Vj(3)'", repr(output)))
    keep = name == "ArgKMin"
    made = Genred(
        formula,
        aliases,
        name,
        axis=1 if e.params[0] == "i" else 0,
        opt_arg=e.dim if keep else None,
        **how,
    )
    D = made._deferred.dim
    if not keep and e.dim != D:
        raise ShapeError(expected(f"an output of {D} components, as the formula", repr(output)))
    return made


def generic_sum(formula: str, output: str, *aliases: str, **how: Any) -> Genred:
    """Return the sum of a formula that is a string, as a function of arrays.

    Parameters
    ----------
    formula : str
        As for `Genred`.
    output : str
        ``"a = Vi(3)"`` for results by rows, of 3 components; ``"a = Vj(3)"`` by columns.
    *aliases : str
        The variables, as for `Genred`.
    **how
        Further arguments of `Genred`.

    Returns
    -------
    Genred

    Examples
    --------
    >>> import numpy as np
    >>> kernel = generic_sum("Exp(-SqDist(x, y))", "a = Vi(1)", "x = Vi(2)", "y = Vj(2)")
    >>> kernel(np.zeros((4, 2)), np.ones((3, 2))).shape
    (4, 1)
    """
    return _short("Sum", formula, output, aliases, how)


def generic_logsumexp(formula: str, output: str, *aliases: str, **how: Any) -> Genred:
    """Return the log-sum-exp of a formula that is a string, as a function of arrays.

    See `generic_sum` for the arguments.

    Examples
    --------
    >>> import numpy as np
    >>> soft = generic_logsumexp("-SqDist(x, y)", "a = Vi(1)", "x = Vi(2)", "y = Vj(2)")
    >>> soft(np.zeros((4, 2)), np.ones((3, 2))).shape
    (4, 1)
    """
    return _short("LogSumExp", formula, output, aliases, how)


def generic_argmin(formula: str, output: str, *aliases: str, **how: Any) -> Genred:
    """Return where a formula that is a string is smallest, as a function of arrays.

    See `generic_sum` for the arguments.

    Examples
    --------
    >>> import numpy as np
    >>> nearest = generic_argmin("SqDist(x, y)", "a = Vi(1)", "x = Vi(2)", "y = Vj(2)")
    >>> nearest(np.zeros((4, 2)), np.ones((3, 2)))[0]
    array([0])
    """
    return _short("ArgMin", formula, output, aliases, how)


def generic_argkmin(formula: str, output: str, *aliases: str, **how: Any) -> Genred:
    """Return where a formula that is a string has its K smallest values, as a function of arrays.

    See `generic_sum` for the arguments; the dimension of the output is K.

    Examples
    --------
    >>> import numpy as np
    >>> nearest = generic_argkmin("SqDist(x, y)", "a = Vi(2)", "x = Vi(2)", "y = Vj(2)")
    >>> nearest(np.zeros((4, 2)), np.ones((3, 2)))[0]
    array([0, 1])
    """
    return _short("ArgKMin", formula, output, aliases, how)
