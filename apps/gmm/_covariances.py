r"""THE table of covariance types: one class each, with its log-density, M-step and parameter count.

A component is a Gaussian :math:`N(m, \Sigma)` with the precision :math:`\Sigma^{-1} = U U^T`, where
U is upper triangular: ``precisions_cholesky_``. A type knows

* the formula of :math:`|U^T (y - m)|^2 / 2`, the part of the log-density that depends on pairs;
* the components of :math:`r (y - m) (y - m)^T` that the M-step sums over samples;
* how many free parameters a covariance has.

Tied types have one covariance for all components, the mean of theirs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from .._arrays import put
from ..common import Array

COVARIANCES: dict[str, Covariance] = {}
"""By name, the value of the parameter ``covariance_type``."""


class Covariance(ABC):
    """One covariance type.

    It should be the case that ``half_square`` is :math:`|U^T (y - m)|^2 / 2` of what
    ``coefficients`` gives; that ``outer`` of points has the components of ``terms`` with r = 1; and
    that ``covariances`` of the mean scatter of samples, by ``outer``, is their covariance of this
    type.

    K is the number of components, D of features. Without `tied`, arrays of factors and covariances
    have a leading axis of length K, which tied types lack.
    """

    name: ClassVar[str]
    tied: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        if "name" in vars(cls):
            COVARIANCES[cls.name] = cls()

    def shape(self, K: int, D: int) -> tuple[int, ...]:
        """Return the shape of the covariances, and of all that stands for them."""
        one = self.one(D)
        return one if self.tied else (K, *one)

    def count(self, K: int, D: int) -> int:
        """Return the number of free parameters of the covariances."""
        return self.free(D) * (1 if self.tied else K)

    @abstractmethod
    def one(self, D: int) -> tuple[int, ...]:
        """Return the shape of one covariance."""

    @abstractmethod
    def free(self, D: int) -> int:
        """Return the number of free parameters of one covariance."""

    @abstractmethod
    def half_square(self, y: Any, u: Any, b: Any) -> Any:
        """Return the formula of half the squared Mahalanobis distance.

        Parameters
        ----------
        y : LazyTensor
            Samples, of dimension D.
        u : LazyTensor
            Coefficients, parameters if tied.
        b : LazyTensor
            ``project`` of the means, of dimension D.
        """

    @abstractmethod
    def terms(self, r: Any, d: Any) -> list[Any]:
        """Return the formulas of the second moments of d with the weight r, to be concatenated."""

    @abstractmethod
    def outer(self, d: Array) -> Array:
        """Return the second moments of points (n, D), wherever they are, as (n, P)."""

    @abstractmethod
    def assemble(self, scatter: Array, D: int) -> Array:
        """Return covariances of the components' mean scatters (n, P)."""

    @abstractmethod
    def coefficients(self, U: Array) -> Array:
        """Return the numbers that the formula reads, (K, p), or (1, p) if tied."""

    @abstractmethod
    def project(self, means: Array, U: Array) -> Array:
        """Return U^T m of each component, (K, D)."""

    @abstractmethod
    def regularised(self, covariances: Array, reg_covar: float) -> Array:
        """Return covariances with a number added to the variance of every feature."""

    @abstractmethod
    def factor(self, covariances: Array, floor: float, eps: float) -> tuple[Array, Array, Array]:
        """Return U, the covariances, and which of them were singular, whose floor is raised.

        Parameters
        ----------
        covariances : ndarray
            In the shape of the type.
        floor : float
            The least variance along any direction of a covariance that is singular.
        eps : float
            Relative rounding of the covariances.
        """

    @abstractmethod
    def factor_of_precisions(self, precisions: Array) -> Array:
        """Return U for given precisions; raises LinAlgError where they are not positive."""

    @abstractmethod
    def precisions(self, U: Array) -> Array:
        """Return U U^T."""

    @abstractmethod
    def log_det(self, U: Array, D: int) -> Array:
        """Return the logarithm of the determinant of U, for each component or for all."""

    @abstractmethod
    def draw(self, covariance: Array, mean: Array, n: int, rng: Any) -> Array:
        """Return n samples of one component, in the order in which scikit-learn draws them."""

    def of(self, covariances: Array, k: int) -> Array:
        """Return the covariance of component k."""
        return covariances if self.tied else covariances[k]

    def pooled(self, scatters: Array, masses: Array, D: int) -> Array:
        """Return the covariances of components from the sums of their scatter, (K, P)."""
        if self.tied:
            total = scatters.sum(axis=0, keepdims=True) / masses.sum()
            pooled: Array = self.assemble(total, D)[0]
            return pooled
        each: Array = scatters / masses[:, None]
        return self.assemble(each, D)


class Full(Covariance):
    """Any covariance: U is a triangle for each component."""

    name = "full"

    def one(self, D: int) -> tuple[int, ...]:
        return D, D

    def free(self, D: int) -> int:
        return D * (D + 1) // 2

    def half_square(self, y: Any, u: Any, b: Any) -> Any:
        # D (D + 1) / 2 products. An expansion in products of features has as many, but cancels.
        D = y.D
        squares: Any = 0
        for a in range(D):
            row = u.extract(a * (a + 1) // 2, a + 1)
            squares = squares + ((row * y.extract(0, a + 1)).sum(-1) - b.elem(a)).square()
        return squares

    def terms(self, r: Any, d: Any) -> list[Any]:
        return [(r * d.elem(a)) * d.extract(a, d.D - a) for a in range(d.D)]

    def outer(self, d: Array) -> Array:
        a, b = (put(at, d) for at in np.triu_indices(d.shape[1]))
        return d[:, a] * d[:, b]

    def assemble(self, scatter: Array, D: int) -> Array:
        a, b = np.triu_indices(D)
        full = np.empty((len(scatter), D, D))
        full[:, a, b] = full[:, b, a] = scatter
        return full

    def coefficients(self, U: Array) -> Array:
        a, c = np.tril_indices(U.shape[-1])
        return U[:, c, a]

    def project(self, means: Array, U: Array) -> Array:
        projected: Array = np.einsum("kc,kca->ka", means, U)
        return projected

    def regularised(self, covariances: Array, reg_covar: float) -> Array:
        return covariances + reg_covar * np.eye(covariances.shape[-1])

    def factor(self, covariances: Array, floor: float, eps: float) -> tuple[Array, Array, Array]:
        try:
            L = np.linalg.cholesky(covariances)
            singular = _dependent(L, covariances, eps)
        except np.linalg.LinAlgError:
            singular = np.array([_is_singular(c, eps) for c in covariances])
        if singular.any():
            covariances = covariances.copy()
            for k in np.flatnonzero(singular):
                covariances[k] = _floored(covariances[k], floor)
            L = np.linalg.cholesky(covariances)
        U = np.triu(np.linalg.inv(L).swapaxes(-1, -2))
        return U, covariances, singular

    def factor_of_precisions(self, precisions: Array) -> Array:
        # the precision is U U^T with an upper triangle: a Cholesky factor of the reversed matrix
        return np.linalg.cholesky(precisions[..., ::-1, ::-1])[..., ::-1, ::-1]

    def precisions(self, U: Array) -> Array:
        return U @ U.swapaxes(-1, -2)

    def log_det(self, U: Array, D: int) -> Array:
        logs: Array = np.log(np.diagonal(U, axis1=-2, axis2=-1)).sum(-1)
        return logs

    def draw(self, covariance: Array, mean: Array, n: int, rng: Any) -> Array:
        # what it would check is an absolute tolerance: wrong for features of different scales
        drawn: Array = rng.multivariate_normal(mean, covariance, n, check_valid="ignore")
        return drawn


class Tied(Full):
    """One covariance for all components: samples are whitened once, and not for each of them."""

    name = "tied"
    tied = True

    def half_square(self, y: Any, u: Any, b: Any) -> Any:
        return (u.matvecmult(y) - b).sqnorm2()

    def coefficients(self, U: Array) -> Array:
        return U.T.reshape(1, -1)

    def project(self, means: Array, U: Array) -> Array:
        return means @ U

    def factor(self, covariances: Array, floor: float, eps: float) -> tuple[Array, Array, Array]:
        U, full, singular = super().factor(covariances[None], floor, eps)
        return U[0], full[0], singular


class Diag(Covariance):
    """Uncorrelated features: U is a vector for each component."""

    name = "diag"

    def one(self, D: int) -> tuple[int, ...]:
        return (D,)

    def free(self, D: int) -> int:
        return D

    def half_square(self, y: Any, u: Any, b: Any) -> Any:
        return (y * u - b).sqnorm2()

    def terms(self, r: Any, d: Any) -> list[Any]:
        return [r * d.square()]

    def outer(self, d: Array) -> Array:
        return np.square(d)

    def assemble(self, scatter: Array, D: int) -> Array:
        return np.maximum(scatter, 0)  # rounding may have left less

    def coefficients(self, U: Array) -> Array:
        return U.reshape(-1, U.shape[-1])

    def project(self, means: Array, U: Array) -> Array:
        return means * U

    def regularised(self, covariances: Array, reg_covar: float) -> Array:
        return covariances + reg_covar

    def factor(self, covariances: Array, floor: float, eps: float) -> tuple[Array, Array, Array]:
        small = covariances <= eps * floor
        covariances = np.where(small, floor, covariances)
        return 1 / np.sqrt(covariances), covariances, np.any(np.atleast_2d(small), axis=1)

    def factor_of_precisions(self, precisions: Array) -> Array:
        if (precisions <= 0).any():
            raise np.linalg.LinAlgError
        return np.sqrt(precisions)

    def precisions(self, U: Array) -> Array:
        return np.square(U)

    def log_det(self, U: Array, D: int) -> Array:
        logs: Array = np.log(U).sum(-1)
        return logs

    def draw(self, covariance: Array, mean: Array, n: int, rng: Any) -> Array:
        drawn: Array = mean + rng.standard_normal(size=(n, len(mean))) * np.sqrt(covariance)
        return drawn


class TiedDiag(Diag):
    """The same variances of features in all components."""

    name = "tied_diag"
    tied = True


class Spherical(Diag):
    """One variance for all features: U is a number for each component."""

    name = "spherical"

    def one(self, D: int) -> tuple[int, ...]:
        return ()

    def free(self, D: int) -> int:
        return 1

    def terms(self, r: Any, d: Any) -> list[Any]:
        return [r * d.sqnorm2()]

    def outer(self, d: Array) -> Array:
        squares: Array = np.square(d).sum(axis=1, keepdims=True)
        return squares

    def assemble(self, scatter: Array, D: int) -> Array:
        return np.maximum(scatter[:, 0] / D, 0)

    def coefficients(self, U: Array) -> Array:
        return np.reshape(U, (-1, 1))

    def project(self, means: Array, U: Array) -> Array:
        projected: Array = means * np.reshape(U, (-1, 1))
        return projected

    def factor(self, covariances: Array, floor: float, eps: float) -> tuple[Array, Array, Array]:
        small = covariances <= eps * floor
        covariances = np.where(small, floor, covariances)
        return 1 / np.sqrt(covariances), covariances, np.atleast_1d(small)

    def log_det(self, U: Array, D: int) -> Array:
        logs: Array = D * np.log(U)
        return logs


class TiedSpherical(Spherical):
    """One variance for all features of all components, as in k-means."""

    name = "tied_spherical"
    tied = True


def _dependent(L: Array, covariances: Array, eps: float) -> Array:
    """Return where a feature is, up to rounding, a combination of those before it."""
    own = np.diagonal(covariances, axis1=-2, axis2=-1)
    left = np.square(np.diagonal(L, axis1=-2, axis2=-1))
    found: Array = (left <= own.shape[-1] * eps * own).any(axis=-1)
    return found


def _is_singular(covariance: Array, eps: float) -> bool:
    try:
        L = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        return True
    return bool(_dependent(L, covariance, eps))


def _floored(covariance: Array, floor: float) -> Array:
    """Return the nearest covariance with no variance below a floor, along any direction."""
    values, vectors = np.linalg.eigh(covariance)
    # what an eigenvalue decomposition resolves of the largest is a floor, too
    least = max(floor, values[-1] * len(values) * 4 * float(np.finfo(np.float64).eps))
    full: Array = (vectors * np.maximum(values, least)) @ vectors.T
    return (full + full.T) / 2
