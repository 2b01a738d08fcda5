"""Parameters of a mixture that a user gives: checked, in float64."""

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


def forget(X: Any) -> None:
    """Let go of the pages of an array that is mapped from a file: they would count as memory."""
    mapped = getattr(X, "_mmap", None)
    shared = getattr(X, "mode", "") in ("r", "r+")  # a private copy would lose what was written
    if shared and isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
