r"""Plans that are never stored: what is asked of one is a reduction over pairs.

.. math:: \pi_{ij} = \exp(u_i + v_j - C_{ij} / \varepsilon), \qquad
          u = f / \varepsilon + \log a, \quad v = g / \varepsilon + \log b

(Peyré & Cuturi 2019, Computational Optimal Transport, proposition 4.3). Of float32 points pairs are
computed in float32, unless exponents are so large that digits of them would be lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NoReturn

import numpy as np

from georeduce.engine import DTypeError, LazyTensor, ShapeError, Vi, Vj
from georeduce.engine.arrays import cast, check_array, kind_of
from georeduce.engine.errors import expected

from .._arrays import native
from ..common import ParameterError, is_integer
from ._arrays import LARGE, SMALL, at_home, constant, namespace
from .conditional import Conditional
from .problem import Problem, check_finite

LARGEST = 1 << 26
"""Numbers that are stored at most: half a gigabyte in float64."""
DIGITS = 1e-4
"""Relative error of entries above which pairs are computed in float64, if none is given."""


@dataclass(frozen=True, eq=False)
class Plan:
    """The plan of a solved problem: a matrix (..., M, N), sources by targets, that is not stored.

    What it returns is in the library, on the device and in the dtype of the points, unless said
    otherwise. Nothing has derivatives with respect to the points: see `transport_value`.

    Parameters
    ----------
    problem : Problem
        What was solved.
    f : array of shape (..., M)
        Potential of the sources.
    g : array of shape (..., N)
        Potential of the targets.
    transposed : bool
        Whether rows are targets and columns sources.
    accuracy : float
        What the rounding of pairs may add to the relative error of its numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from georeduce.apps.ot import Problem, solve
    >>> x, y = np.array([[0.0], [1.0]]), np.array([[0.2], [0.9], [1.0], [0.1]])
    >>> plan = solve(Problem(x, y, epsilon=0.01), tol=1e-9).plan
    >>> plan
    Plan of shape (2, 4)
    >>> plan.sum(axis=1).round(6)
    array([0.5, 0.5])
    >>> (plan @ y).round(3)
    array([[0.075],
           [0.475]])
    >>> plan.T.argmax()
    array([0, 1, 1, 0])
    """

    problem: Problem
    f: Any
    g: Any
    transposed: bool = False
    accuracy: float = DIGITS

    # NumPy would take a plan for a number; so arrays leave products to it
    __array_ufunc__ = None

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        cure = "Use .dense() for a small one, or reduce it."
        raise DTypeError(expected("a NumPy array", "a Plan, which is never stored", cure))

    def __mul__(self, other: Any) -> NoReturn:
        cure = (
            "Use plan.matrix, a LazyTensor, to compute with pair by pair and to reduce, or .dense()"
            " for a small one; plan.cost is what moving costs."
        )
        raise DTypeError(expected("factors that are arrays", "a Plan, which is never stored", cure))

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return f"Plan of shape {self.shape}"

    @property
    def shape(self) -> tuple[int, ...]:
        """(..., M, N); (..., N, M) of the transpose."""
        (x, _), (y, _) = self._sides
        return (*x.shape[:-1], y.shape[-2])

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @cached_property
    def T(self) -> Plan:
        """The transpose: targets by sources."""
        return replace(self, transposed=not self.transposed)

    @cached_property
    def matrix(self) -> LazyTensor:
        """The plan as a LazyTensor (..., M, N), in the dtype in which pairs are computed."""
        (x, _), (y, _) = self._sides
        return self.of(x, y)

    def __matmul__(self, values: Any) -> Any:
        """Return sums over the columns, of the plan times values of theirs.

        Parameters
        ----------
        values : array of shape (N,) or (..., N, E)
            Of the library and device of the points.

        Returns
        -------
        array of shape (..., M) or (..., M, E)
            Of the dtype of the points.
        """
        found = (self.matrix * self.values(values)).sum(axis=self.ndim - 1)
        return self.returned(found[..., 0] if values.ndim == 1 else found)

    def __rmatmul__(self, values: Any) -> Any:
        """Return values (M,) or (..., E, M) times the plan: sums over the rows."""
        values = check_array(values, "values of the rows of the plan", "values")
        if values.ndim < 2:
            return self.T @ values
        return (self.T @ values.swapaxes(-1, -2)).swapaxes(-1, -2)

    def sum(self, axis: int | None = None, dtype: None = None, out: None = None) -> Any:
        """Return the marginals, or the mass.

        Parameters
        ----------
        axis : int, optional
            What is summed up: the last axis, for the marginal of the rows, or the one before; by
            default both.
        dtype, out : None
            As `numpy.sum` passes them: sums have the dtype that is said here, and are new arrays.

        Returns
        -------
        array of shape (..., M), (..., N) or (...)
            The mass is NumPy's or CuPy's, in float64.
        """
        for name, value in (("dtype", dtype), ("out", out)):
            if value is not None:
                raise ParameterError(expected(f"{name}=None for a Plan", repr(value)))
        if axis is None:
            return self.marginal.sum(-1)
        plans = {-1: self, self.ndim - 1: self, -2: self.T, self.ndim - 2: self.T}
        if not is_integer(axis) or axis not in plans:
            what = f"axis={self.ndim - 2} (over rows), {self.ndim - 1} (over columns) or None"
            raise ParameterError(expected(what, repr(axis)))
        return self.returned(at_home(plans[axis].marginal, self.problem.x))

    def argmax(self) -> Any:
        """Return the likeliest column of each row: integers of shape (..., M).

        Of a row without weight it is that of its law: see `conditional`. Those of the columns are
        ``plan.T.argmax()``.
        """
        return self.conditional().argmax()

    def sample(self, random_state: Any = None) -> Any:
        """Draw a column for each row, from the law of its mass.

        Parameters
        ----------
        random_state : int, RandomState or None
            Draws one uniform number for each row.

        Returns
        -------
        array of integers, of shape (..., M)
            Columns; -1 where there is no law. See `Conditional.sample`.
        """
        return self.conditional().sample(random_state)

    def conditional(self, x: Any = None) -> Conditional:
        """Return the law of the target of each source; of the transpose, that of the source.

        Parameters
        ----------
        x : array of shape (..., n, D), optional
            Where mass comes from: any points; by default the rows of the plan.

        Returns
        -------
        Conditional
            A matrix (..., n, N) whose rows sum up to 1.
        """
        (own, _), (y, v) = self._sides
        if x is not None:
            x = constant(check_array(x, "x of shape (..., points, features)", "x"))
            check_finite(x, "x")
            if x.shape[:-2] != own.shape[:-2] or x.shape[-1] != own.shape[-1] or x.ndim < 2:
                batch = "".join(f"{n}, " for n in own.shape[:-2])
                what = f"points of shape ({batch}n, {own.shape[-1]})"
                raise ShapeError(expected(what, f"shape {tuple(x.shape)}"))
        return Conditional(self, own if x is None else x, y, v)

    def dense(self) -> Any:
        """Return all numbers of the plan, if they are not too many.

        Returns
        -------
        array of shape (..., M, N)
            The plan.

        Raises
        ------
        ShapeError
            If there are more than 2^26.
        """
        self.check_small(self.shape)
        return self.returned(self.matrix.dense())

    # --- Parts of the value -----------------------------------------------------------------------

    @cached_property
    def cost(self) -> Any:
        r"""What moving costs, :math:`\sum_{ij} \pi_{ij} C_{ij}`: (...), float64, NumPy or CuPy."""
        (x, _), (y, _) = self._sides
        costs = self.costs_of(x, y, self.dtype)
        # no mass goes where it cannot, and 0 times infinity is not a number
        moved = (costs < np.inf).where(self.matrix * costs, 0.0)
        return _wide(moved.sum(axis=self.ndim - 1)).sum(-1) * self.problem.epsilon

    @cached_property
    def divergence(self) -> Any:
        r""":math:`KL(\pi | a \otimes b)`: (...), float64, NumPy or CuPy."""
        p = self.problem
        h, k = (self.g, self.f) if self.transposed else (self.f, self.g)
        along = (self.marginal * h).sum(-1) + (self.T.marginal * k).sum(-1)
        return (along - self.cost) / p.epsilon - self.sum() + p.a.sum(-1) * p.b.sum(-1)

    @cached_property
    def marginal(self) -> Any:
        """Sums of the rows: (..., M), float64, NumPy or CuPy."""
        return _wide(self.matrix.sum(axis=self.ndim - 1))

    @cached_property
    def excess(self) -> Any:
        """Sums of the rows over their weights: (..., M), float64, NumPy or CuPy.

        They are known where weights are 0 too.
        """
        p = self.problem
        h, k, weights = (self.g, self.f, p.a) if self.transposed else (self.f, self.g, p.b)
        xp = namespace(h)
        with np.errstate(divide="ignore"):
            top = _top(k / p.epsilon + xp.log(weights))
        totals = native(self.conditional().totals).astype(np.float64)
        return xp.exp(h / p.epsilon + top + totals)

    # --- What reductions are of -------------------------------------------------------------------

    @cached_property
    def _sides(self) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
        """Points and exponents of the rows, and of the columns, whose largest one is 0.

        So a law of the columns has what digits there are.
        """
        p = self.problem
        xp = namespace(self.f)
        with np.errstate(divide="ignore"):
            u, v = self.f / p.epsilon + xp.log(p.a), self.g / p.epsilon + xp.log(p.b)
        u, v = (v, u) if self.transposed else (u, v)
        x, y = (p.y, p.x) if self.transposed else (p.x, p.y)
        top = _top(v)
        return (constant(x), u + top), (constant(y), v - top)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """In which pairs are computed."""
        own, epsilon = kind_of(self.problem.x)[0], self.problem.epsilon
        # where mass is, C / epsilon is about the sum of the two
        size = sum(_largest(exponents) for _, exponents in self._sides)
        is_exact = size * float(np.finfo(own).eps) <= self.accuracy
        # that float32 has numbers for all costs that matter
        is_usual = SMALL < epsilon < LARGE / (1 + size)
        return own if is_exact and is_usual else self.widest

    @cached_property
    def widest(self) -> np.dtype[Any]:
        """float64, but for a cost that holds arrays of its own, of the dtype of the points."""
        (x, _), (y, _) = self._sides
        try:
            self.costs_of(x, y, np.dtype(np.float64))
        except DTypeError:
            return kind_of(x)[0]
        return np.dtype(np.float64)

    def costs_of(self, x: Any, y: Any, dtype: np.dtype[Any]) -> LazyTensor:
        """Return costs over epsilon, of rows x (..., M, D) and columns y, in a dtype."""
        x, y = cast(x, dtype), cast(y, dtype)
        p = self.problem
        C = p.cost.between(y, x).T if self.transposed else p.cost.between(x, y)
        over: LazyTensor = C * (1 / p.epsilon)
        return over

    def of(self, x: Any, y: Any) -> LazyTensor:
        """Return the matrix as a formula of points of the rows and columns, instead of its own.

        Of tensors that PyTorch follows it has derivatives, at fixed potentials.
        """
        (_, u), (_, v) = self._sides
        u, v = (cast(at_home(h, x), self.dtype)[..., None] for h in (u, v))
        pi: LazyTensor = (Vi(u) + Vj(v) - self.costs_of(x, y, self.dtype)).exp()
        return pi

    def values(self, values: Any) -> LazyTensor:
        """Return what the user wants to be summed up as columns."""
        N = self.shape[-1]
        what = f"values of shape ({N},) or (..., {N}, E), for the {N} columns of the plan"
        values = check_array(values, what, "values")
        if values.ndim == 0 or values.shape[0 if values.ndim == 1 else -2] != N:
            raise ShapeError(expected(what, f"shape {tuple(values.shape)}"))
        columns: LazyTensor = Vj(cast(values[:, None] if values.ndim == 1 else values, self.dtype))
        return columns

    def returned(self, found: Any) -> Any:
        """Return what was found in the dtype of the points."""
        return cast(found, kind_of(self.problem.x)[0])

    def check_small(self, shape: tuple[int, ...]) -> None:
        """Raise if an array of this shape would be too large to store."""
        size = int(np.prod(shape, dtype=object))
        if size > LARGEST:
            got = f"shape {shape}, {8 * size / 2**30:.3g} GiB in float64"
            cure = "Apply the plan, `plan @ values`, or reduce plan.matrix: neither stores it."
            raise ShapeError(expected(f"at most {LARGEST} numbers for dense()", got, cure))


def _top(exponents: Any) -> Any:
    """Return the largest of the last axis, 0 if there is none."""
    xp = namespace(exponents)
    if not exponents.shape[-1]:
        return xp.zeros((*exponents.shape[:-1], 1))
    top = exponents.max(axis=-1, keepdims=True)
    return xp.where(xp.isfinite(top), top, 0)


def _largest(exponents: Any) -> float:
    """Return the largest absolute value of those that are finite."""
    sizes = abs(exponents[namespace(exponents).isfinite(exponents)])
    return float(sizes.max()) if sizes.size else 0.0


def _wide(found: Any) -> Any:
    """Return sums (..., n, 1) as native ones (..., n) in float64."""
    return native(found)[..., 0].astype(np.float64)
