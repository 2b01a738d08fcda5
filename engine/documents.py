"""Docstrings of what is made from the tables: methods for operations and for reductions."""

from __future__ import annotations

import inspect
from typing import Any

from .calls import options_doc
from .formula.ops import OPS, Op
from .formula.reductions import REDUCTIONS, Reduction

_ORDINALS = ("x", "y", "z")
_VALUES = {"n": 2, "digits": 1, "i": 0, "d": 1, "m": 1, "start": 1, "dim": 4, "k": 1,
           "dimfa": (1, 2), "dimfb": (2, 1), "contfa": (1,), "contfb": (0,), "permute": (1, 0),
           "dimfself": (1, 2), "dimfother": (2, 1)}  # fmt: skip
"""Static parameters of examples."""
_DIMS = {"one_hot": (1, 2, 2), "bspline": (4, 1, 2), "softdtw_sqdist": (2, 2, 1),
         "elem_t": (1, 2, 2), "sum_t": (1, 2, 2)}  # fmt: skip
"""Dimensions of the arguments of examples, where they are not 2."""

_SECTION = """
Parameters
----------
{}
"""
_OPERATION = """{doc}
{parameters}
Returns
-------
LazyTensor
    Nothing is computed yet.

Raises
------
ShapeError
    If sizes or feature axes disagree.
DTypeError
    If dtypes do, or an array is not of floating point numbers.

Examples
--------
>>> import numpy as np
>>> from georeduce.engine import Pm, Vi, Vj
>>> x, y, z = Vi(np.ones((4, {D[0]}))), Vj(np.ones((3, {D[1]}))), Pm([1.0, 2.0][: {D[2]}])
>>> {call}.full_shape
{shape}
"""

_REDUCTION = """{doc}

NaN, infinities, ties and empty axes: see ``georeduce.engine.formula.reductions``.

Parameters
----------
{parameters}axis : int
    Axis to reduce, counted from the front: after the batch axes, rows i come first, then
    columns j{features}. `dim` is another name for it.
{options}

Returns
-------
{returns}

Raises
------
ArgumentError
    If the axis, K or the backend does not exist.
ShapeError, DTypeError
    If the formula or the weight has a wrong shape or dtype.

Examples
--------
>>> import numpy as np
>>> from georeduce.engine import Vi, Vj
>>> x, y = np.zeros((4, 2)), np.array([[3.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
>>> d = Vi(x).sqdist(Vj(y))
>>> {call}
{shape}
"""


def operation_doc(op: Op) -> str:
    """Return the docstring of an operation's method, with an example that runs."""
    n = len(op.args)
    names = (*op.operands[: n - 1], *op.params)
    defaults = dict(zip(reversed(names), reversed(op.defaults), strict=False))
    parameters = [
        f"{name} : LazyTensor, array or number{_default(defaults, name)}\n    {_kind(kind)}"
        for name, kind in zip(names[: n - 1], op.args[1:], strict=True)
    ]
    for name in op.params:
        kind = "float" if op.name == "power" else _type(name)
        default = _default(defaults, name)
        parameters.append(f"{name} : {kind}{default}\n    Fixed when the formula is written.")
    D = _DIMS.get(op.name, (2, 2, 2))
    values = [*_ORDINALS[1:n], *(str(_VALUES[p]) for p in op.params)]
    return inspect.cleandoc(
        _OPERATION.format(
            doc=op.doc,
            parameters=_SECTION.format("\n".join(parameters)) if parameters else "",
            D=D,
            call=f"x.{op.name}({', '.join(values)})",
            shape=(4, 3 if n > 1 else 1, _example_dim(op)),
        )
    )


def _default(defaults: dict[str, Any], name: str) -> str:
    return f", default {defaults[name]}" if name in defaults else ""


def _type(name: str) -> str:
    return "sequence of int" if isinstance(_VALUES[name], tuple) else "int"


def _kind(kind: str) -> str:
    words = {"real": "Real numbers", "boolean": "Truth values", "index": "Indices"}
    return (
        f"{words.get(kind, 'Of the same kind as the other')}; its feature axis may have length 1."
    )


def _example_dim(op: Op) -> int:
    from .formula.expr import variable

    D = _DIMS.get(op.name, (2, 2, 2))
    args = [variable(axis, d, n) for n, (axis, d) in enumerate(zip("ijp", D, strict=True))]
    return op(*args[: len(op.args)], *(_VALUES[p] for p in op.params)).dim


def reduction_doc(entry: Reduction) -> str:
    """Return the docstring of a reduction's method, with an example that runs."""
    name = entry.name
    parameters, arguments = "", "axis=1"
    if entry.keep:
        parameters, arguments = "K : int\n    How many.\n", "2, axis=1"
    elif entry.weighted:
        parameters = "weight : LazyTensor, or array of shape (n, E)\n    Along the reduced axis.\n"
        arguments = "Vj(y), axis=1"
    elif f"{name}_weight" in REDUCTIONS:
        parameters = "weight : LazyTensor, or array of shape (n, E), optional\n    Weights.\n"
    subject = "(d < 2)" if entry.of == "boolean" else "d"
    call = f"{subject}.{name}({arguments})"
    kinds = entry.result_kinds()
    last = 2 if entry.keep or entry.weighted else 1
    shape = f"(4, {last})"
    returns = []
    for kind in kinds:
        dtype = {"index": "int64", "boolean": "bool"}.get(kind, "the dtype of the data")
        E = "K" if entry.keep else "E"
        returns.append(f"array of shape (..., M, {E})\n    Of {dtype}.")
    many = len(kinds) > 1
    return inspect.cleandoc(
        _REDUCTION.format(
            doc=entry.doc,
            parameters=parameters,
            options=options_doc(),
            features=", then features: -1, the default, for a matrix too" if name in OPS else "",
            returns="\n".join(returns),
            call=f"[r.shape for r in {call}]" if many else f"{call}.shape",
            shape=f"[{shape}, {shape}]" if many else shape,
        )
    )
