"""Conjugate gradients for symmetric positive definite matrices, on vectors of any library.

The matrix is only applied: memory is some vectors. Several right-hand sides share each application
and nothing else: every column has steps of its own, and stands still once it is solved.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .arrays import library_of
from .errors import (
    ArgumentError,
    ConvergenceWarning,
    NotPositiveDefiniteError,
    ShapeError,
    expected,
    warn,
)

Product = Callable[[Any], Any]

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


def dtype_name(x: Any) -> str:
    """Return "float32" or "float64"."""
    return str(x.dtype).removeprefix("torch.")


def _eps(x: Any) -> float:
    return float(np.finfo(dtype_name(x)).eps)


def spread(b: Any, batch: tuple[int, ...]) -> Any:
    """Return right-hand sides for each of a batch of matrices."""
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

    rtol: float
    maxiter: int = MAXITER
    precondition: Callable[[Any], Any] | None = None
    callback: Callable[[Any], Any] | None = None
    axes: tuple[int, ...] = (-2,)

    def solve(self, product: Product, b: Any, x0: Any = None) -> Any:
        """Return the solutions of a matrix for right-hand sides.

        Parameters
        ----------
        product : callable
            The matrix A: a function of an array (..., M, E) that returns one of that shape.
        b, x0 : array of shape (..., M, E)
            Right-hand sides, and where to begin: zeros by default.
        """
        with np.errstate(all="ignore"):
            scale = _largest(
                b, self.axes
            )  # or squares of tiny and of huge numbers vanish, overflow
            guess = None if x0 is None else x0 / scale
            return self._solve(product, b / scale, guess, scale) * scale

    def _solve(self, product: Product, b: Any, x0: Any, scale: Any) -> Any:
        if x0 is None:
            x, r = b - b, b
        else:
            x, r = x0, b - product(x0)
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
            x, steps = self._descend(product, x, r, limit, steps, scale)
            r = b - product(x)

    def _descend(
        self, product: Product, x: Any, r: Any, limit: Any, steps: int, scale: Any
    ) -> tuple[Any, int]:
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
            q = product(p)
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
