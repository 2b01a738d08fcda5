"""Arrays of NumPy, PyTorch and CuPy: what an estimator sees of them, and what it gives back.

Inside of a method that is `at_home` there are NumPy arrays, and CuPy arrays where data lies on a
GPU: NumPy's operators, methods and functions work on both, though not on both at once. What is as
large as the parameters is NumPy's; it is `put` beside the data when a reduction needs it, and what
a reduction gives of that size comes back by `to_host`.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, TypeVar, cast

import numpy as np
from sklearn.utils import assert_all_finite
from sklearn.utils.validation import validate_data

from georeduce.engine.arrays import (
    NUMPY,
    Home,
    check_array,
    from_numpy,
    kind_of,
    library_of,
    not_traced,
    to_numpy,
)

from .common import FLOATS, Array, to_host

M = TypeVar("M", bound=Callable[..., Any])


def at_home(method: M) -> M:
    """Let a method of an estimator see X as an array of NumPy or CuPy, and give back what X is.

    Results come in the library and on the device of X or, where none is given, of the X that the
    estimator was fitted to. A method that returns the estimator is one that fitted it. Tensors that
    want gradients are detached: an estimate is no part of PyTorch's graph.
    """
    of_data = "X" in inspect.signature(method).parameters

    @functools.wraps(method)
    def there(self: Any, *args: Any, **kwargs: Any) -> Any:
        X = args[0] if of_data and args else kwargs.get("X")
        home = getattr(self, "_home", NUMPY) if X is None else _home_of(X)
        with ExitStack() as stack:
            X = _lent(X, self, stack)
            if of_data and args:
                args = (X, *args[1:])
            elif "X" in kwargs:
                kwargs["X"] = X
            result = method(self, *args, **kwargs)
            if result is self:
                self._home = home
                return self
            return returned(result, home)

    return cast(M, not_traced(there))


def _home_of(X: Any) -> Home:
    """Return where an array lives; what is of no library becomes an array of NumPy."""
    return kind_of(X)[1] if library_of(X) in ("torch", "cupy") else NUMPY


def _lent(X: Any, estimator: Any, stack: ExitStack) -> Any:
    """Return X as the inside knows it, a view where it can be, and make its GPU the current one.

    That of the data that the estimator keeps is, where X is not on a GPU.
    """
    if library_of(X) == "torch":
        if X.dtype.is_floating_point or X.dtype.is_complex or X.layout != _torch().strided:
            check_array(X, "X", "X")
        if X.device.type == "cuda":
            autograd = importlib.import_module("georeduce.engine.autograd")
            cupy = stack.enter_context(autograd.on_stream(X.device))
            return cupy.from_dlpack(X.detach().resolve_neg())
        X = X.numpy(force=True)
    x: Any
    for x in (X, getattr(estimator, "_fit_X", None)):
        if library_of(x) == "cupy":
            stack.enter_context(sys.modules["cupy"].cuda.Device(x.device.id))
            break
    return X


def _torch() -> Any:
    return importlib.import_module("torch")


def returned(result: Any, home: Home) -> Any:
    """Return arrays of a result in a library and on a device.

    Labels that are no numbers remain arrays of NumPy, as no other library has them.
    """
    if isinstance(result, tuple | list):
        return type(result)(returned(a, home) for a in result)
    if not isinstance(result, np.ndarray) and library_of(result) != "cupy":
        return result
    if isinstance(result, np.ndarray) and (home == NUMPY or result.dtype.kind not in "biuf"):
        return result
    if kind_of(result)[1] == home:
        return result
    if home.library == "torch":
        if home.device != "cpu" and not isinstance(result, np.ndarray):
            return _torch().from_dlpack(result)
        host = np.require(to_host(result), requirements=["C", "W"])
        return _torch().from_numpy(host).to(home.device)
    return from_numpy(to_host(result), home)


def validated(
    estimator: Any,
    X: Any,
    y: Any = "no_validation",
    dtype: Any = FLOATS,
    reset: bool = True,
    **checks: Any,
) -> Any:
    """Return X, or X and y, as scikit-learn's ``validate_data`` does, also if X is on a GPU.

    There a single number stands in for X, so that what is wrong with it is told in the same words.

    Parameters
    ----------
    estimator : estimator
        Whose features are counted.
    X : array-like
        As a method that is `at_home` sees it.
    y : array-like, optional
        Targets, of any library.
    dtype : dtype or list of dtypes
        What X may be; else it becomes the first of them.
    reset : bool
        Whether the estimator is being fitted.
    **checks
        Others of ``validate_data``.

    Returns
    -------
    X : array of shape (n_samples, n_features)
        Where it was, in rows if it is of NumPy.
    y : ndarray
        Only if targets were given.
    """
    y = to_host(y)
    if library_of(X) != "cupy":
        return validate_data(estimator, X, y, dtype=dtype, order="C", reset=reset, **checks)
    stand_in = np.broadcast_to(np.zeros((), X.dtype), X.shape) if X.ndim == 2 else to_numpy(X)
    checks |= {"dtype": None, "ensure_all_finite": False, "reset": reset}
    found = validate_data(estimator, stand_in, y, **checks)
    dtypes = dtype if isinstance(dtype, list) else [dtype]
    if X.dtype not in dtypes:
        X = X.astype(dtypes[0])
    extremes = np.array([float(X.max()), float(X.min())])  # NaN if there is one
    assert_all_finite(extremes, estimator_name=type(estimator).__name__, input_name="X")
    return (X, found[1]) if isinstance(found, tuple) else X


def on_gpu(x: Any) -> bool:
    """Return whether an array, as the inside knows it, is on a GPU."""
    return not isinstance(x, np.ndarray)


def put(x: Array, beside: Array) -> Any:
    """Return an array of NumPy where another one is."""
    return from_numpy(x, kind_of(beside)[1])


def fill(place: Any, values: Array) -> None:
    """Overwrite an array, wherever it is, by numbers of NumPy."""
    if on_gpu(place):
        place.set(np.ascontiguousarray(np.broadcast_to(values, place.shape), place.dtype))
    else:
        place[...] = values


def together(a: Any, b: Any) -> tuple[Any, Any]:
    """Return two arrays in the wider of their dtypes, on a GPU if one of them is there."""
    dtype = np.result_type(a.dtype, b.dtype)
    if on_gpu(b) and not on_gpu(a):
        a = put(a, b)
    elif on_gpu(a) and not on_gpu(b):
        b = put(b, a)
    return a.astype(dtype, copy=False), b.astype(dtype, copy=False)


def weighted_mean(values: Any, weights: Array | None) -> float:
    """Return the mean of numbers, in float64, under weights of NumPy."""
    if weights is None:
        return float(values.mean(dtype=np.float64))
    weights = weights.astype(np.float64, copy=False)
    return float((values * put(weights, values)).sum()) / float(weights.sum())
