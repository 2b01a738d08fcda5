"""Linear systems with a symmetric positive definite matrix, by conjugate gradients.

The matrix is only applied: memory is some vectors. Several right-hand sides share each application
and nothing else: every column has steps of its own, and stands still once it is solved.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .arrays import check_array, library_of
from .errors import (
    ArgumentError,
    ConvergenceWarning,
    DTypeError,
    NotPositiveDefiniteError,
    ShapeError,
    expected,
    warn,
)
from .lazy import LazyTensor
from .matrix import _matmul

MAXITER = 1000
RTOL = {"float32": 1e-5, "float64": 1e-6}
"""Tolerance of each dtype."""


# --- Vectors of any library --------------------------------------------------------------------


def _dot(a: Any, b: Any, axes: tuple[int, ...]) -> Any:
    """Return scalar products in float64, of shape (..., 1, E) or (..., 1, 1)."""
    wide: Any = sys.modules["torch"].float64 if library_of(a) == "torch" else np.float64
    return (a * b).sum(axis=axes, keepdims=True, dtype=wide)


def _largest(a: Any, axes: tuple[int, ...]) -> Any:
    """Return the largest size, of the shape of scalar products; 1 where all is zero."""
    size = abs(a)
    torch = library_of(a) == "torch"
    found = size.amax(axes, keepdim=True) if torch else size.max(axis=axes, keepdims=True)
    return found + (found == 0)


def _like(value: Any, x: Any) -> Any:
    return value.to(x.dtype) if library_of(x) == "torch" else value.astype(x.dtype, copy=False)


def _quotient(a: Any, b: Any, where: Any) -> Any:
    """Return a / b where it is wanted, else 0."""
    return a * where / (b * where + ~where)


def _dtype_name(x: Any) -> str:
    return str(x.dtype).removeprefix("torch.")


def _eps(x: Any) -> float:
    return float(np.finfo(_dtype_name(x)).eps)


def _spread(b: Any, batch: tuple[int, ...]) -> Any:
    shape = (*np.broadcast_shapes(batch, tuple(b.shape[:-2])), *b.shape[-2:])
    return b if tuple(b.shape) == shape else sys.modules[library_of(b)].broadcast_to(b, shape)


# --- Conjugate gradients -----------------------------------------------------------------------


@dataclass(frozen=True)
class ConjugateGradients:
    r"""Solves :math:`A x = b` for a symmetric positive definite A.

    It should be the case that the result x has :math:`|b - A x| \leq rtol |b|` for every column, by
    the residual itself and not only by the one that is updated, or there was a warning.

    Attributes
    ----------
    product : callable
        A: of an array (..., M, E), an array of that shape.
    rtol : float
        Tolerance, relative to the norm of a right-hand side.
    maxiter : int
        Most applications of A, but for those that check residuals.
    precondition : callable, optional
        Near to the inverse of A, symmetric and positive definite.
    callback : callable, optional
        Called with x after each iteration.
    axes : tuple of int
        Axes of one right-hand side: (-2,) if columns are independent, else (-2, -1).
    """

    product: Callable[[Any], Any]
    rtol: float
    maxiter: int = MAXITER
    precondition: Callable[[Any], Any] | None = None
    callback: Callable[[Any], Any] | None = None
    axes: tuple[int, ...] = (-2,)

    def solve(self, b: Any, x0: Any = None) -> Any:
        """Return the solutions for right-hand sides of shape (..., M, E), from a first guess."""
        with np.errstate(all="ignore"):
            scale = _largest(
                b, self.axes
            )  # or squares of tiny and of huge numbers vanish, overflow
            return self._solve(b / scale, None if x0 is None else x0 / scale, scale) * scale

    def _solve(self, b: Any, x0: Any, scale: Any) -> Any:
        if x0 is None:
            x, r = b - b, b
        else:
            x, r = x0, b - self.product(x0)
        size = self._norm(b)
        if not bool((size < math.inf).all()):
            raise ArgumentError(expected("a right-hand side of finite numbers", "others"))
        limit = self.rtol * size
        steps, before = 0, math.inf
        while True:
            error = self._norm(r)
            if not bool((error < math.inf).all()):
                raise NotPositiveDefiniteError(_not_finite(steps))
            if bool((error <= limit).all()):
                return x
            far = float(_quotient(error, size, size > 0).max())
            if steps >= self.maxiter or far > before / 2:
                warn(self._complaint(far, steps, b), ConvergenceWarning)
                return x
            # the updated residual drifts from the true one: begin anew from where this is
            before = far
            x, steps = self._descend(x, r, limit, steps, scale)
            r = b - self.product(x)

    def _descend(self, x: Any, r: Any, limit: Any, steps: int, scale: Any) -> tuple[Any, int]:
        """Return x, and the number of steps, once the updated residual is small enough."""
        z = self._near_inverse(r)
        p, rz = z, self._dot(r, z)
        gain = 0.0
        while steps < self.maxiter:
            active = self._norm(r) > limit
            if not bool(active.any()):
                break
            if not bool((rz > 0)[active].all()):
                what = "a symmetric positive definite preconditioner"
                got = f"one with r @ P(r) = {float(rz[active].min()):.3g} at iteration {steps + 1}"
                raise NotPositiveDefiniteError(expected(what, got))
            q = self.product(p)
            steps += 1
            curve = self._dot(p, q)
            gain = max(gain, float(_quotient(self._norm(q), self._norm(p), active).max()))
            if self._is_flat(curve, p, gain, active, steps):
                break
            step = _like(_quotient(rz, curve, active), x)
            x, r = x + step * p, r - step * q
            z = self._near_inverse(r)
            after = self._dot(r, z)
            p = z + _like(_quotient(after, rz, active), x) * p
            rz = after
            if self.callback is not None:
                self.callback(x * scale)
        return x, steps

    def _is_flat(self, curve: Any, p: Any, gain: float, active: Any, steps: int) -> bool:
        """Return whether p @ A @ p is 0 up to rounding; raise where it is below.

        Rounding is in proportion to the norm of A, which is at least `gain`.
        """
        if not bool((abs(curve)[active] < math.inf).all()):
            raise NotPositiveDefiniteError(_not_finite(steps))
        flat = active & (curve <= 0)
        if not bool(flat.any()):
            return False
        rounding = _eps(p) * math.sqrt(p.shape[-2]) * gain * self._dot(p, p)
        if bool((flat & (curve < -rounding)).any()):
            what = "a symmetric positive definite matrix"
            got = f"p @ A @ p = {float(curve[flat].min()):.3g} at iteration {steps}"
            raise NotPositiveDefiniteError(expected(what, got, "A larger alpha may make it so."))
        return True

    def _complaint(self, far: float, steps: int, b: Any) -> str:
        got = f"{far:.2g} |b| after {steps} iterations"
        cure = "Raise alpha or maxiter, or give a preconditioner; the matrix must be symmetric."
        if steps < self.maxiter:
            got += ", where rounding keeps it"
            cure = "Raise alpha or rtol; the matrix must be symmetric."
            if _eps(b) > np.finfo(np.float64).eps:
                cure = f"Use float64, or raise{cure.removeprefix('Raise')}"
        return expected(f"a residual of at most {self.rtol:.2g} |b|", got, cure)

    def _near_inverse(self, r: Any) -> Any:
        if self.precondition is None:
            return r
        z = self.precondition(r)
        if tuple(z.shape) != tuple(r.shape):
            what = f"a preconditioner that returns arrays of shape {tuple(r.shape)}"
            raise ShapeError(expected(what, f"{tuple(z.shape)}"))
        return z

    def _dot(self, a: Any, b: Any) -> Any:
        return _dot(a, b, self.axes)

    def _norm(self, a: Any) -> Any:
        return self._dot(a, a) ** 0.5


def _not_finite(steps: int) -> str:
    where = f"in A @ p at iteration {steps}" if steps else "in A @ x0"
    return expected("a matrix of finite numbers", f"NaN or an infinity {where}")


# --- The method --------------------------------------------------------------------------------


def check_solver(
    b: Any, alpha: Any, rtol: Any, eps: Any, maxiter: Any, preconditioner: Any
) -> tuple[float, float, int, Callable[[Any], Any] | None]:
    """Return alpha, the tolerance, the cap and the preconditioner as a function."""
    if eps is not None and rtol is not None and eps != rtol:
        raise ArgumentError(expected("rtol or eps, which are one", f"rtol={rtol} and eps={eps}"))
    given = eps if rtol is None else rtol
    tolerance = RTOL[_dtype_name(b)] if given is None else given
    if not 0 < tolerance < 1:
        raise ArgumentError(expected("rtol between 0 and 1", f"{tolerance!r}"))
    if not 0 <= alpha < math.inf:
        raise ArgumentError(expected("a finite alpha of at least 0", f"{alpha!r}"))
    try:
        cap = -1 if isinstance(maxiter, bool) else operator.index(maxiter)
    except TypeError:
        cap = -1
    if cap < 1:
        raise ArgumentError(expected("a positive integer maxiter", f"{maxiter!r}"))
    if preconditioner is None or callable(preconditioner):
        return float(alpha), float(tolerance), cap, preconditioner
    M = b.shape[-2]
    what = f"a preconditioner as a function, or an array of shape ({M},) or (..., {M}, E)"
    diagonal = check_array(preconditioner, what, "preconditioner")
    diagonal = diagonal[:, None] if diagonal.ndim == 1 else diagonal
    if diagonal.shape[-2] != M:
        raise ShapeError(expected(what, f"shape {tuple(preconditioner.shape)}"))
    return float(alpha), float(tolerance), cap, lambda r: r / diagonal


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
    alpha : float
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
        Options of the reduction, as of ``K @ b``.

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
    alpha, tolerance, maxiter, precondition = check_solver(
        right, alpha, rtol, eps, maxiter, preconditioner
    )
    right = _spread(right, self.batch)
    guess = None if guess is None else _spread(guess, self.batch)

    def product(p: Any) -> Any:
        return _matmul(self, p, **how) + alpha * p

    solver = ConjugateGradients(product, tolerance, maxiter, precondition, callback)
    x = solver.solve(right, guess)
    return x[..., 0] if vector else x


def _array_of(b: Any) -> Any:
    """Return the array behind a LazyTensor of one, as KeOps's users give it."""
    if not isinstance(b, LazyTensor):
        return b
    if b.expr.is_variable and b.expr.axes in (1, 2):
        return b.slots[b.expr.params[1]].array
    raise ArgumentError(expected("b as an array, or Vi(array)", f"the formula {b.formula}"))


setattr(LazyTensor, "solve", _solve)
