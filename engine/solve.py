"""Linear systems of LazyTensors with a symmetric positive definite matrix."""

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .arrays import check_array, library_of
from .calls import OPTIONS
from .conjugate_gradients import MAXITER, RTOL, ConjugateGradients, dtype_name, spread
from .errors import ArgumentError, DTypeError, ShapeError, expected
from .lazy import LazyTensor
from .matrix import _matmul


def check_solver(
    b: Any, alpha: Any, rtol: Any, eps: Any, maxiter: Any, preconditioner: Any
) -> tuple[Any, float, int, Callable[[Any], Any] | None]:
    """Return alpha, the tolerance, the cap and the preconditioner as a function.

    An alpha that is a tensor, as b is, stays one: it is to have its gradient.
    """
    if eps is not None and rtol is not None and eps != rtol:
        raise ArgumentError(expected("rtol or eps, which are one", f"rtol={rtol} and eps={eps}"))
    given = eps if rtol is None else rtol
    tolerance = RTOL[dtype_name(b)] if given is None else given
    if not 0 < tolerance < 1:
        raise ArgumentError(expected("rtol between 0 and 1", f"{tolerance!r}"))
    if not 0 <= alpha < math.inf:
        raise ArgumentError(expected("a finite alpha of at least 0", f"{alpha!r}"))
    shift = alpha if library_of(alpha) == library_of(b) == "torch" else float(alpha)
    try:
        cap = -1 if isinstance(maxiter, bool) else operator.index(maxiter)
    except TypeError:
        cap = -1
    if cap < 1:
        raise ArgumentError(expected("a positive integer maxiter", f"{maxiter!r}"))
    if preconditioner is None or callable(preconditioner):
        return shift, float(tolerance), cap, preconditioner
    M = b.shape[-2]
    what = f"a preconditioner as a function, or an array of shape ({M},) or (..., {M}, E)"
    diagonal = check_array(preconditioner, what, "preconditioner")
    diagonal = diagonal[:, None] if diagonal.ndim == 1 else diagonal
    if diagonal.shape[-2] != M:
        raise ShapeError(expected(what, f"shape {tuple(preconditioner.shape)}"))
    return shift, float(tolerance), cap, lambda r: r / diagonal


def check_inner_options(how: Mapping[str, Any]) -> None:
    """Raise for options of reductions that are none of the products in a solution."""
    known = [option for option in OPTIONS if option not in ("out", "call")]
    if wrong := [option for option in how if option not in known]:
        raise ArgumentError(expected(f"options of solve among {known}", f"{wrong}"))


def _solve(
    self: LazyTensor,
    b: Any,
    alpha: float = 1e-10,
    eps: float | None = None,
    *,
    rtol: float | None = None,
    maxiter: int = MAXITER,
    preconditioner: Any = None,
    x0: Any = None,
    callback: Callable[[Any], Any] | None = None,
    **how: Any,
) -> Any:
    r"""Return the x with ``(K + alpha I) @ x = b``, for a symmetric positive definite matrix K.

    By conjugate gradients: all right-hand sides share one reduction for each iteration. A matrix
    with features is one for each of them.

    Parameters
    ----------
    b : array of shape (M,) or (..., M, E), or LazyTensor of one
        Right-hand sides.
    alpha : float, or tensor with one
        Added to the diagonal, at least 0. Large enough, it makes a matrix positive definite, and
        convergence fast.
    eps, rtol : float, optional
        The residual of every column is at most ``rtol`` times the norm of its right-hand side;
        by default 1e-6, and 1e-5 for float32. KeOps's `eps` is another name for it (there, it
        bounds the root mean square of the residual itself).
    maxiter : int
        Most iterations; a warning says how far the result is if they were not enough.
    preconditioner : callable or array, optional
        A symmetric positive definite function of residuals (..., M, E), near to the inverse of
        ``K + alpha I``; or the diagonal of a matrix near to that itself, of shape (M,) or
        (..., M, E).
    x0 : array of the shape of b, optional
        Where to begin; zeros by default.
    callback : callable, optional
        Called with the x of each iteration, of shape (..., M, E).
    **how
        Options of the reduction, as of ``K @ b``, but for ``out`` and ``call``.

    Returns
    -------
    array of the shape of b, after the batch axes of K

    Raises
    ------
    NotPositiveDefiniteError
        If K or the preconditioner is seen not to be positive definite, or gives NaN.
    ShapeError, DTypeError, ArgumentError
        If sizes, dtypes or parameters are wrong.

    Warns
    -----
    ConvergenceWarning
        If the tolerance was not met in `maxiter` iterations, or rounding does not let it be.

    Examples
    --------
    >>> import numpy as np
    >>> from georeduce.engine import Vi, Vj
    >>> x = np.linspace(0, 1, 5)[:, None]
    >>> K = (-Vi(x).sqdist(Vj(x))).exp()
    >>> a = K.solve(np.ones(5), alpha=0.1)
    >>> np.allclose(K @ a + 0.1 * a, 1)
    True
    """
    M = 1 if self.M is None else self.M
    if self.M is None or self.N is None or self.M != self.N:
        cure = "Its rows and its columns are points of one set."
        raise ShapeError(expected("a square matrix", f"shape {self.shape}", cure))
    what = f"b of shape ({M},) or (..., {M}, E) for a matrix of {M} rows"
    right = check_array(_array_of(b), what, "b")
    vector = right.ndim == 1
    if right.ndim == 0 or right.shape[0 if vector else -2] != M:
        raise ShapeError(expected(what, f"shape {tuple(right.shape)}"))
    guess = None if x0 is None else check_array(x0, "x0", "x0")
    if guess is not None and tuple(guess.shape) != tuple(right.shape):
        raise ShapeError(expected(f"x0 of shape {tuple(right.shape)}", f"{tuple(guess.shape)}"))
    if guess is not None and guess.dtype != right.dtype:
        raise DTypeError(expected(f"x0 of dtype {right.dtype}", f"{guess.dtype}"))
    if vector:
        right, guess = right[:, None], None if guess is None else guess[:, None]
    shift, tolerance, maxiter, precondition = check_solver(
        right, alpha, rtol, eps, maxiter, preconditioner
    )
    check_inner_options(how)
    right = spread(right, self.batch)
    guess = None if guess is None else spread(guess, self.batch)

    def product(arrays: Sequence[Any], p: Any) -> Any:
        *own, shift = arrays
        return _matmul(_with_arrays(self, own), p, **how) + shift * p

    solver = ConjugateGradients(tolerance, maxiter, precondition, callback)
    x = solve_in_graph(solver, product, [*(s.array for s in self.slots), shift], right, guess)
    return x[..., 0] if vector else x


def solve_in_graph(
    solver: ConjugateGradients,
    product: Callable[[Sequence[Any], Any], Any],
    arrays: Sequence[Any],
    b: Any,
    x0: Any = None,
) -> Any:
    """Return the solution for the matrix that arrays say; of tensors, in PyTorch's graph.

    Parameters
    ----------
    solver : ConjugateGradients
        Its parameters.
    product : callable
        ``product(arrays, p)``: the matrix of some arrays, applied to p.
    arrays : sequence of array
        Those of the matrix.
    b, x0 : array of shape (..., M, E)
        Right-hand sides, and where to begin.
    """

    def solve(arrays: Sequence[Any], b: Any, x0: Any) -> Any:
        return solver.solve(lambda p: product(arrays, p), b, x0)

    if library_of(b) != "torch":
        return solve(arrays, b, x0)
    from .solve_torch import System

    places = [n for n, a in enumerate(arrays) if library_of(a) == "torch"]

    def whole(tensors: Sequence[Any]) -> list[Any]:
        found = list(arrays)
        for n, t in zip(places, tensors, strict=True):
            found[n] = t
        return found

    system = System(
        lambda tensors, p: product(whole(tensors), p),
        lambda tensors, b, x0: solve(whole(tensors), b, x0),
    )
    return system.solution([arrays[n] for n in places], b, x0)


def _with_arrays(K: LazyTensor, arrays: Sequence[Any]) -> LazyTensor:
    new = copy.copy(K)
    new.slots = tuple(
        slot if a is slot.array else type(slot)(a, slot.axis, slot.dtype_free)
        for slot, a in zip(K.slots, arrays, strict=True)
    )
    return new


def _array_of(b: Any) -> Any:
    """Return the array behind a LazyTensor of one, as KeOps's users give it."""
    if not isinstance(b, LazyTensor):
        return b
    if b.expr.is_variable and b.expr.axes in (1, 2):
        return b.slots[b.expr.params[1]].array
    raise ArgumentError(expected("b as an array, or Vi(array)", f"the formula {b.formula}"))


setattr(LazyTensor, "solve", _solve)
