"""Derivatives of LazyTensors: as formulas, and of reductions, as arrays.

``K.grad(x_i, g)``, ``K.laplacian(x_i)`` and the like are LazyTensors again; ``K.vjp`` and ``K.jvp``
run reductions and return arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .backends._base import Data, Task, make_task
from .errors import ArgumentError, ShapeError, did_you_mean, expected
from .formula import grad as symbolic
from .formula.backward import differentiable
from .formula.expr import Expr, variables
from .formula.reductions import REDUCTIONS
from .lazy import LazyTensor, apply, join
from .methods import build_at_home, pair_axis, run_at_home
from .pullback import Compute, Picks, filled, pull_back, push_forward, with_indices

# --- Of reductions, as arrays -------------------------------------------------------------------


def vjp(
    self: LazyTensor,
    reduction: str,
    axis: int,
    wrt: Sequence[LazyTensor],
    cotangent: Any = None,
    weight: Any = None,
    K: int = 0,
    *,
    backend: str | None = None,
    n_threads: int | None = None,
    ranges: Any = None,
) -> tuple[Any, tuple[Any, ...]]:
    r"""Return the result of a reduction and gradients of its product with a cotangent.

    .. math:: \bar v = \sum_{ie} g_{ie} \, \partial r_{ie} / \partial v

    All gradients along one axis are one reduction, whatever their number.

    Parameters
    ----------
    reduction : str
        Name of a reduction: "sum", "logsumexp", "Kmin", ...
    axis : int
        Along which to reduce, as in ``K.sum(axis=1)``.
    wrt : sequence of LazyTensor
        Variables of the formula: LazyTensors of arrays, as `Vi(x)`.
    cotangent : array of the result's shape, optional
        Ones by default.
    weight : array or LazyTensor, optional
        For reductions that have one.
    K : int
        For the K smallest.
    backend, n_threads, ranges
        As for reductions.

    Returns
    -------
    result : array, of shape (..., M, E)
        Of several results, the values.
    gradients : tuple of array
        Of the shapes of the variables' arrays: (..., n, D).

    Raises
    ------
    ArgumentError
        If the reduction has no derivative, or `wrt` are no variables of the formula.

    Examples
    --------
    >>> import numpy as np
    >>> from georeduce.engine import Vi, Vj
    >>> x_i, y_j = Vi(np.zeros((4, 2))), Vj(np.ones((5, 2)))
    >>> result, (x_bar,) = x_i.sqdist(y_j).vjp("sum", axis=1, wrt=[x_i])
    >>> x_bar[0]
    array([-10., -10.])
    """
    task, data, slots, run = _prepared(
        self, reduction, axis, wrt, weight, K, ranges, backend, n_threads
    )
    entry = REDUCTIONS[task.reduction]
    arrays: Sequence[Any] = data.arrays
    if entry.slopes is None:
        task = with_indices(task)
        result, indices = run(task, data)
        picks = Picks(task, arrays, indices)
        bar = _checked(cotangent, result)
        compute = _compute(picks.task.dtype, _of_pairs(data, picks), run)
        values = result.reshape(*data.batch, -1, 1)
        found = pull_back(picks.task, picks.arrays, slots, picks.flat(bar), values, compute)
        found = {slot: picks.scatter(part, slot) for slot, part in found.items()}
    else:
        (result,) = run(task, data)
        bar = _checked(cotangent, result)
        found = pull_back(task, arrays, slots, bar, result, _compute(task.dtype, data, run))
    gradients = []
    for slot, v in zip(slots, wrt, strict=True):
        whole = found[slot] if slot in found else filled(arrays[slot], 0)
        gradients.append(whole.reshape(v.slots[0].shape))
    return result, tuple(gradients)


def jvp(
    self: LazyTensor,
    reduction: str,
    axis: int,
    wrt: Sequence[LazyTensor],
    tangents: Sequence[Any],
    weight: Any = None,
    K: int = 0,
    *,
    backend: str | None = None,
    n_threads: int | None = None,
    ranges: Any = None,
) -> tuple[Any, Any]:
    r"""Return the result of a reduction and its derivative in a direction.

    .. math:: \dot r_{ie} = \sum_{v} \langle \partial r_{ie} / \partial v, \dot v \rangle

    Parameters
    ----------
    reduction, axis, wrt, weight, K, backend, n_threads, ranges
        As those of `vjp`.
    tangents : sequence of array
        One for each of `wrt`, of the same shape (..., n, D).

    Returns
    -------
    result, derivative : array of shape (..., M, E)
        Of several results, the values.

    Raises
    ------
    ArgumentError
        If the reduction has no derivative, or `wrt` are no variables of the formula.
    ShapeError
        If a tangent has not the shape of its variable.

    Examples
    --------
    >>> import numpy as np
    >>> from georeduce.engine import Vi, Vj
    >>> x_i, y_j = Vi(np.zeros((4, 2))), Vj(np.ones((5, 2)))
    >>> result, slope = x_i.sqdist(y_j).jvp("sum", 1, [x_i], [np.ones((4, 2))])
    >>> slope[0]
    array([-20.])
    """
    task, data, slots, run = _prepared(
        self, reduction, axis, wrt, weight, K, ranges, backend, n_threads
    )
    arrays: Sequence[Any] = data.arrays
    if len(tangents) != len(slots):
        raise ArgumentError(
            expected(f"{len(slots)} tangents, one for each of wrt", f"{len(tangents)}")
        )
    given = {}
    for slot, v, tangent in zip(slots, wrt, tangents, strict=True):
        shape = tuple(v.slots[0].shape)
        if tuple(np.shape(tangent)) != shape:
            raise ShapeError(expected(f"a tangent of shape {shape}", f"{np.shape(tangent)}"))
        given[slot] = tangent.reshape(arrays[slot].shape)
    if REDUCTIONS[task.reduction].slopes is None:
        task = with_indices(task)
        result, indices = run(task, data)
        picks = Picks(task, arrays, indices)
        there = {slot: picks.gather(t, slot) for slot, t in given.items()}
        compute = _compute(picks.task.dtype, _of_pairs(data, picks), run)
        values = result.reshape(*data.batch, -1, 1)
        slope = push_forward(picks.task, picks.arrays, there, values, compute)
        return result, picks.flat(slope).reshape(result.shape)
    (result,) = run(task, data)
    slope = push_forward(task, arrays, given, result, _compute(task.dtype, data, run))
    return result, slope


Run = Callable[[Task, Data], tuple[Any, ...]]


def _prepared(
    x: LazyTensor,
    reduction: str,
    axis: int,
    wrt: Sequence[LazyTensor],
    weight: Any,
    K: int,
    ranges: Any,
    backend: str | None,
    n_threads: int | None,
) -> tuple[Task, Data, tuple[int, ...], Run]:
    """Return the task, its data, the slots of the variables, and what runs tasks.

    Data takes the ranges.
    """
    known = [name for name in REDUCTIONS if differentiable(name)]
    if reduction not in known:
        what = f"a reduction with derivatives, one of {known}"
        raise ArgumentError(expected(what, repr(reduction), did_you_mean(str(reduction), known)))
    along = pair_axis(x, axis, None, reduction)
    task, data, home = build_at_home(x, reduction, along, K, weight, ranges)
    tensors = [x, weight] if isinstance(weight, LazyTensor) else [x]
    slots = [_slot_of(tensors, v) for v in wrt]
    return (
        task,
        data,
        tuple(slots),
        lambda task, data: run_at_home(task, data, home, backend, n_threads),
    )


def _slot_of(tensors: Sequence[LazyTensor], v: Any) -> int:
    """Return the slot of a LazyTensor that is a variable of one of the formulas."""
    if not isinstance(v, LazyTensor) or not v.expr.is_variable:
        got = f"{v!r}" if isinstance(v, LazyTensor) else type(v).__name__
        cure = "Differentiate by the LazyTensor that an array was made to."
        raise ArgumentError(expected("a variable, such as Vi(x)", got, cure))
    (*formulas, found), _ = join([*tensors, v])
    if found not in variables(*formulas):
        text = " or ".join(x.formula for x in tensors)
        raise ArgumentError(expected(f"a variable of {text}", f"{v!r}"))
    return int(found.params[1])


def _checked(cotangent: Any, result: Any) -> Any:
    if cotangent is None:
        return filled(result, 1)
    if tuple(np.shape(cotangent)) != tuple(result.shape):
        what = f"a cotangent of shape {tuple(result.shape)}, as the result"
        raise ShapeError(expected(what, f"{np.shape(cotangent)}"))
    return cotangent


def _of_pairs(data: Data, picks: Picks) -> Data:
    return data._replace(M=picks.rows, N=1, K=0, ranges=None)


def _compute(dtype: np.dtype[Any], data: Data, run: Run) -> Compute:
    """Return how reductions are computed where nobody differentiates them."""

    def compute(
        formula: Expr, weight: Expr | None, reduction: str, axis: str, arrays: Sequence[Any]
    ) -> Any:
        task = make_task(formula, weight, reduction, axis, dtype)
        (result,) = run(task, data.along(axis, list(arrays)))
        return result

    return compute


# --- Formulas ----------------------------------------------------------------------------------


def _grad(self: LazyTensor, v: LazyTensor, g: Any = 1) -> LazyTensor:
    """Return the gradient of ``(self | g)`` by a variable, as a formula.

    Parameters
    ----------
    v : LazyTensor
        A variable of the formula, as `Vi(x)`.
    g : LazyTensor, array or number
        Cotangent: as many components as the formula, or one.

    Returns
    -------
    LazyTensor of shape (..., M, N, v.D)

    Raises
    ------
    ArgumentError
        If `v` is no variable of the formula.
    ShapeError
        If `g` has another number of components.

    Examples
    --------
    >>> import numpy as np
    >>> from georeduce.engine import Vi, Vj
    >>> x_i, y_j = Vi(np.zeros((4, 2))), Vj(np.ones((5, 2)))
    >>> x_i.sqdist(y_j).grad(x_i).sum(axis=1)[0]
    array([-10., -10.])
    """
    _slot_of([self], v)
    return apply(symbolic.grad, (self, v, g))


def _diff(self: LazyTensor, v: LazyTensor, t: Any) -> LazyTensor:
    """Return the derivative in the direction `t` of a variable, as a formula.

    Parameters
    ----------
    v : LazyTensor
        A variable of the formula, as `Vi(x)`.
    t : LazyTensor or array
        Of as many components as `v`.

    Returns
    -------
    LazyTensor of shape (..., M, N, self.D)

    Raises
    ------
    ArgumentError
        If `v` is no variable of the formula.
    ShapeError
        If `t` has another number of components.

    Examples
    --------
    >>> import numpy as np
    >>> from georeduce.engine import Vi, Vj
    >>> x_i, y_j = Vi(np.zeros((4, 2))), Vj(np.ones((5, 2)))
    >>> x_i.sqdist(y_j).diff(x_i, Vi(np.ones((4, 2)))).sum(axis=1)[0]
    array([-20.])
    """
    _slot_of([self], v)
    return apply(symbolic.diff, (self, v, t))


_FORMULAS = {
    "grad_matrix": (
        "the Jacobian by a variable, row by row: the gradient of each component",
        "self.D * v.D",
        symbolic.grad_matrix,
    ),
    "divergence": (
        "the sum of the derivatives of each component by that of a variable",
        "1",
        symbolic.divergence,
    ),
    "laplacian": (
        "the divergence of the gradient by a variable, of a formula of dimension 1",
        "1",
        symbolic.laplacian,
    ),
    "trace_operator": (
        "the trace of a formula that is linear in a variable",
        "1",
        symbolic.trace_operator,
    ),
}


def _formula_method(name: str) -> Callable[[LazyTensor, LazyTensor], LazyTensor]:
    text, dim, meaning = _FORMULAS[name]

    def method(self: LazyTensor, v: LazyTensor) -> LazyTensor:
        _slot_of([self], v)
        return apply(meaning, (self, v))

    method.__name__, method.__qualname__ = name, f"LazyTensor.{name}"
    method.__doc__ = f"""Return {text}, as a formula.

    Parameters
    ----------
    v : LazyTensor
        A variable of the formula, as `Vi(x)`.

    Returns
    -------
    LazyTensor of shape (..., M, N, {dim})

    Raises
    ------
    ArgumentError
        If `v` is no variable of the formula.
    ShapeError
        If the dimensions do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from georeduce.engine import Vi, Vj
    >>> x_i, y_j = Vi(np.zeros((4, 1))), Vj(np.ones((5, 1)))
    >>> x_i.sqdist(y_j).{name}(x_i).D
    1
    """
    return method


for _name in _FORMULAS:
    setattr(LazyTensor, _name, _formula_method(_name))
for _name, _method in {"grad": _grad, "diff": _diff, "vjp": vjp, "jvp": jvp}.items():
    setattr(LazyTensor, _name, _method)
