"""The Hausdorff distance of two clouds: how far the loneliest point of both is from the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from georeduce.engine import LazyTensor, Vi, Vj
from georeduce.engine.arrays import cast, kind_of
from georeduce.engine.errors import expected

from .._arrays import untraced
from ..common import ParameterError
from ._arrays import at_home, namespace
from .problem import Problem


@untraced
def hausdorff(
    x: Any,
    y: Any,
    a: Any = None,
    b: Any = None,
    *,
    cost: Any = "euclidean",
    backend: str | None = None,
    n_threads: int | None = None,
) -> Any:
    r"""Return the Hausdorff distance of two clouds.

    .. math:: \max \bigl( \max_{i: a_i > 0} \min_{j: b_j > 0} C(x_i, y_j), \;
              \max_{j: b_j > 0} \min_{i: a_i > 0} C(x_i, y_j) \bigr)

    Parameters
    ----------
    x, y : arrays of shape (..., M, D) and (..., N, D)
        Points, of NumPy, PyTorch or CuPy.
    a, b : arrays of shape (..., M) and (..., N), optional
        Weights >= 0. Points of weight 0 do not count, all others do, alike.
    cost : str, Cost or callable, default "euclidean"
        How far two points are from each other, see `Problem`.
    backend, n_threads
        As for reductions.

    Returns
    -------
    array of shape (...)
        In the dtype of the points; a tensor of tensors, with derivatives of any order by the points
        of the pair that it is the distance of.

    Raises
    ------
    ParameterError
        If a cloud has no point; see also `Problem`.

    Examples
    --------
    >>> import numpy as np
    >>> from georeduce.apps.ot import hausdorff
    >>> x, y = np.array([[0.0], [1.0]]), np.array([[0.0], [1.0], [5.0]])
    >>> print(hausdorff(x, y), hausdorff(x, y, b=np.array([1.0, 1.0, 0.0])))
    4.0 0.0
    """
    # clouds, as those of a problem that lets masses differ
    problem = Problem(x, y, a, b, cost=cost, epsilon=1.0, reach=1.0)
    for name, weights in (("x", problem.a), ("y", problem.b)):
        if not bool((weights > 0).any(-1).all()):
            raise ParameterError(expected(f"a point of positive weight in {name}", "none"))
    how = {"backend": backend, "n_threads": n_threads}
    axis, xp = x.ndim - 2, namespace(x)
    C = problem.cost.between(x, y)
    of_x = _without(C, problem.b, Vj, x).min(axis=axis + 1, **how)[..., 0]
    of_y = _without(C, problem.a, Vi, x).min(axis=axis, **how)[..., 0]
    farthest = [
        xp.amax(xp.where(at_home(weights > 0, x), nearest, -np.inf), -1)
        for weights, nearest in ((problem.a, of_x), (problem.b, of_y))
    ]
    return xp.maximum(*farthest)


def _without(C: LazyTensor, weights: Any, along: Any, x: Any) -> LazyTensor:
    """Return costs that are infinite where a weight is 0."""
    if bool((weights > 0).all()):
        return C
    flags = cast(at_home(weights, x), kind_of(x)[0])[..., None]
    kept: LazyTensor = (along(flags) > 0).where(C, np.inf)
    return kept
