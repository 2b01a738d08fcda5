"""Linear systems of formulas that are strings, as KeOps has them: `KernelSolve`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .arrays import check_array
from .conjugate_gradients import MAXITER, ConjugateGradients, spread
from .errors import ArgumentError, ShapeError, did_you_mean, expected
from .formula.expr import Expr, postorder, variable
from .formula.grad import DUMMY, vjp
from .formula.parse import parse_formula, parse_variable
from .generic import Genred
from .solve import check_inner_options, check_solver, solve_in_graph


class KernelSolve:
    """Solves for the variable that a sum, a formula that is a string, is linear in.

    The solution a has ``sum_j F(x_i, y_j, a_j) + alpha a_i = b_i``, where the matrix is symmetric
    and positive definite; see `LazyTensor.solve`.

    Parameters
    ----------
    formula : str
        In the language of KeOps, see `Genred`: linear in one of the variables.
    aliases : sequence of str
        The variables, in the order of the arrays.
    varinvalias : str
        Name of the variable that is solved for: ``"a"`` for ``"a = Vj(2)"``. Right-hand sides are
        given in its place.
    axis : {0, 1}
        The summed axis: 0, the default as in KeOps, for a variable along i, 1 for one along j.
    dtype, opt_arg, rec_multVar_highdim : optional
        Without effect.
    **how
        Options of all reductions, see `LazyTensor.sum`.

    Examples
    --------
    >>> import numpy as np
    >>> inverse = KernelSolve("Exp(-SqDist(x, y)) * a", ["x = Vi(1)", "y = Vj(1)", "a = Vj(2)"],
    ...                       "a", axis=1)
    >>> x = np.linspace(0, 1, 5)[:, None]
    >>> inverse(x, x, np.ones((5, 2)), alpha=0.1).shape
    (5, 2)
    """

    def __init__(
        self,
        formula: str,
        aliases: Sequence[str],
        varinvalias: str,
        axis: int = 0,
        dtype: Any = None,
        opt_arg: Any = None,
        *,
        rec_multVar_highdim: Any = None,
        **how: Any,
    ) -> None:
        self.product = Genred(formula, aliases, "Sum", axis, **how)
        named = [parse_variable(alias, n) for n, alias in enumerate(aliases)]
        declared = {name or alias: v for (name, v), alias in zip(named, aliases, strict=True)}
        if varinvalias not in declared:
            cure = did_you_mean(str(varinvalias), declared)
            what = f"varinvalias among {list(declared)}"
            raise ArgumentError(expected(what, repr(varinvalias), cure))
        unknown = declared[varinvalias]
        kind, number = unknown.params
        if kind != "ij"[axis]:
            what = f"{varinvalias} along {'ij'[axis]}, as the sum for axis={axis}"
            raise ArgumentError(expected(what, f"a variable along {kind}"))
        whole = parse_formula(formula, declared)
        if whole.dim != unknown.dim:
            what = f"a formula of {unknown.dim} components, as {varinvalias}"
            raise ShapeError(expected(what, str(whole.dim)))
        if not _is_linear(whole, unknown):
            raise ArgumentError(expected(f"a formula that is linear in {varinvalias}", formula))
        self.formula, self.aliases, self.varinvalias = formula, list(aliases), varinvalias
        self.axis, self.position = axis, number
        self._batched = [v.params[1] for v in declared.values() if v.params[0] != "p"]

    def __call__(
        self,
        *arrays: Any,
        backend: str | None = None,
        device_id: int = -1,
        alpha: float = 1e-10,
        eps: float | None = None,
        ranges: Any = None,
        rtol: float | None = None,
        maxiter: int = MAXITER,
        preconditioner: Any = None,
        x0: Any = None,
        callback: Callable[[Any], Any] | None = None,
        **how: Any,
    ) -> Any:
        """Return the solution.

        Parameters
        ----------
        *arrays : array
            In the order of the aliases: (..., M, D) or (D,); in the place of the unknown variable
            the right-hand sides b.
        backend, device_id, ranges, **how
            Options of all reductions, see `LazyTensor.sum`.
        alpha, eps, rtol, maxiter, preconditioner, x0, callback
            As of `LazyTensor.solve`; the tolerance is relative to the norm of all of b, as the
            formula may mix its columns.

        Returns
        -------
        array of the shape of b
        """
        if len(arrays) <= self.position:
            raise ArgumentError(expected(f"{len(self.aliases)} arrays", f"{len(arrays)}"))
        given = {"backend": backend, "ranges": ranges}
        how |= {option: value for option, value in given.items() if value is not None}
        if device_id != -1:
            how["device_id"] = device_id
        before, b, after = self._split(arrays)
        what = f"right-hand sides of shape (..., n, D) in the place of {self.varinvalias}"
        b = check_array(b, what, "b")
        if b.ndim < 2:
            raise ShapeError(expected(what, f"shape {tuple(b.shape)}"))
        shapes = [np.shape(arrays[n])[:-2] for n in self._batched if n < len(arrays)]
        b = spread(b, np.broadcast_shapes(*shapes))
        check_inner_options(how)
        shift, tolerance, maxiter, precondition = check_solver(
            b, alpha, rtol, eps, maxiter, preconditioner
        )

        def product(others: Sequence[Any], p: Any) -> Any:
            *own, shift = others
            found = self.product(*own[: len(before)], p, *own[len(before) :], **how)
            if tuple(found.shape) != tuple(p.shape):
                what = f"a square matrix, for {self.varinvalias} of shape {tuple(p.shape)}"
                raise ShapeError(expected(what, f"results of shape {tuple(found.shape)}"))
            return found + shift * p

        solver = ConjugateGradients(tolerance, maxiter, precondition, callback, (-2, -1))
        return solve_in_graph(solver, product, [*before, *after, shift], b, x0)

    def _split(self, arrays: Sequence[Any]) -> tuple[list[Any], Any, list[Any]]:
        return (
            list(arrays[: self.position]),
            arrays[self.position],
            list(arrays[self.position + 1 :]),
        )

    def __repr__(self) -> str:
        names = f"{self.formula!r}, {self.aliases!r}, {self.varinvalias!r}"
        return f"KernelSolve({names}, {self.axis})"


def _is_linear(e: Expr, v: Expr) -> bool:
    """Return whether the slope of a formula by a variable does not depend on it."""
    (slope,) = vjp(e, (v,), variable("s", e.dim, DUMMY))
    return v not in set(postorder(slope))
