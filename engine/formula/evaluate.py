"""The NumPy meaning of a formula: an interpreter of the tree, and so the specification."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .expr import Expr, postorder

NUMPY_KINDS = {"index": np.int64, "boolean": np.bool_}


def evaluate(
    root: Expr, values: Mapping[Expr, Any], dtype: Any, done: dict[Expr, Any] | None = None
) -> Any:
    """Return the array of a formula; the features are the last axis of every array.

    Parameters
    ----------
    root : Expr
        The formula.
    values : mapping of Expr to array
        Arrays of its variables, which broadcast against each other.
    dtype : dtype
        Of real numbers.
    done : dict, optional
        Nodes that are known already; filled with the new ones.

    Returns
    -------
    array of shape (..., root.dim)
    """
    known: dict[Expr, Any] = {} if done is None else done
    with np.errstate(all="ignore"):
        for e in postorder(root):
            if e in known:
                continue
            if e.is_variable:
                known[e] = values[e]
            elif e.is_constant:
                known[e] = np.full(e.dim, e.params[0], NUMPY_KINDS.get(e.kind, dtype))
            else:
                assert e.op is not None
                assert e.op.numpy is not None
                result = np.asarray(e.op.numpy(*(known[a] for a in e.args), *e.params))
                if e.kind == "real" and result.dtype != dtype:
                    result = result.astype(dtype)
                known[e] = result
    return known[root]
