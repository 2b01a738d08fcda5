"""What a user gives a mixture, checked: parameters, in float64, and samples."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from sklearn.utils.validation import check_array

from georeduce.engine.errors import expected

from ..common import FLOATS, Array, ParameterError, to_host
from ._covariances import Covariance


def given_floats(value: Any, shape: tuple[int, ...], name: str) -> Array | None:
    """Return finite numbers of a shape, None if there are none."""
    if value is None:
        return None
    array: Array = check_array(
        to_host(value),
        dtype=FLOATS,
        ensure_2d=False,
        allow_nd=True,
        ensure_min_samples=0,
        input_name=name,
    )
    if array.shape != shape:
        raise ParameterError(
            f"The parameter {name!r} should have the shape of {shape}, but got {array.shape}."
        )
    return array.astype(np.float64)


def given_above(value: Any, shape: tuple[int, ...], least: float, name: str) -> Array:
    """Return finite numbers of a shape that are all greater than another."""
    array = given_floats(value, shape, name)
    if array is None or not (array > least).all():
        got = "None" if array is None else f"{array.min():.6g}"
        raise ParameterError(expected(f"{name} greater than {least}", got))
    return array


def given_weights(value: Any, K: int, name: str = "weights_init") -> Array | None:
    """Return weights that add up to 1, None if there are none."""
    weights = given_floats(value, (K,), name)
    if weights is None:
        return None
    if weights.min() < 0 or weights.max() > 1:
        got = f"values from {weights.min():.5f} to {weights.max():.5f}"
        raise ParameterError(expected(f"{name} in the range [0, 1]", got))
    # numbers that were float32 may add up to 1 only as far as that resolves
    if abs(weights.sum() - 1) > 1e-6:
        cure = "Divide them by their sum."
        raise ParameterError(expected(f"{name} that add up to 1", f"{weights.sum():.5f}", cure))
    return weights


def given_covariances(
    value: Any, kind: Covariance, shape: tuple[int, ...], name: str
) -> Array | None:
    """Return covariances or precisions of a type, None if there are none."""
    matrices = given_floats(value, shape, name)
    if matrices is None or len(kind.one(1)) < 2:
        return matrices
    if not np.allclose(matrices, matrices.swapaxes(-1, -2)):
        raise ParameterError(expected(f"symmetric matrices in {name}", "others"))
    return matrices


def given_mixture(
    weights: Any, covariances: Any, kind: Covariance, K: int, D: int
) -> tuple[Array, Array, Array]:
    """Return the weights, the covariances and the upper factors of a whole mixture."""
    shares = given_weights(weights, K, "weights")
    given = given_covariances(covariances, kind, kind.shape(K, D), "covariances")
    if shares is None or given is None:
        raise ParameterError(expected("weights and covariances", "None"))
    factor, given, singular = kind.factor(given, 1.0, 0.0)
    if singular.any():
        raise ParameterError(expected("positive definite covariances", "singular ones"))
    return shares, given, factor


def given_factor(value: Any, kind: Covariance, K: int, D: int) -> Array | None:
    """Return the upper factors of given precisions, None if there are none."""
    precisions = given_covariances(value, kind, kind.shape(K, D), "precisions_init")
    if precisions is None:
        return None
    try:
        return kind.factor_of_precisions(precisions)
    except np.linalg.LinAlgError:
        got = "others"
        raise ParameterError(expected("positive definite precisions_init", got)) from None


def inverse(kind: Covariance, factor: Array) -> Array:
    """Return the covariances of upper factors of precisions."""
    precisions = kind.precisions(factor)
    if len(kind.one(1)) < 2:
        return 1 / precisions
    full: Array = np.linalg.inv(precisions)
    return (full + full.swapaxes(-1, -2)) / 2


def check_range(X: Array, total: float, variance: float, reg_covar: float) -> None:
    """Raise if sums of squares of samples, or precisions, leave the range of their dtype.

    `total` is the sum of their weights, `variance` the mean variance of the features.
    """
    info = np.finfo(X.dtype)
    least, most = float(info.tiny / info.eps), float(info.max) / (total * X.shape[1])
    if not variance <= most or (0 < variance < least and reg_covar < least):
        cure = "Divide the features by their largest numbers, as MaxAbsScaler does."
        what = f"samples with a mean variance from {least:.2g} to {most:.2g} for {X.dtype}"
        raise ParameterError(expected(what, f"{variance:.2g}", cure))


def forget(X: Any) -> None:
    """Let go of the pages of an array that is mapped from a file: they would count as memory."""
    mapped = getattr(X, "_mmap", None)
    shared = getattr(X, "mode", "") in ("r", "r+")  # a private copy would lose what was written
    if shared and isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
