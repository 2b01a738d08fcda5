"""Arrays of NumPy, PyTorch and CuPy: what an estimator sees of them, and what it gives back.

Inside of a method that is `at_home` there are NumPy arrays, and CuPy arrays where data lies on a
GPU: NumPy's operators, methods and functions work on both, though not on both at once. What is as
large as the parameters is NumPy's; it is `put` beside the data when a reduction needs it, and what
a reduction gives of that size comes back by `to_host`. A method that is `differentiable` may find
tensors, which know no more than reductions and the functions of this module.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import typing
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, TypeVar

import numpy as np
from sklearn.utils import assert_all_finite
from sklearn.utils.validation import validate_data

from georeduce.engine.arrays import (
    NUMPY,
    Home,
    cast,
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
    want gradients are detached.
    """
    return _at_home(method, False)


def differentiable(method: M) -> M:
    """Do as `at_home`, but let tensors that want gradients be tensors inside, too."""
    return _at_home(method, True)


def _at_home(method: M, follow: bool) -> M:
    of_data = "X" in inspect.signature(method).parameters

    def inside(self: Any, *args: Any, **kwargs: Any) -> Any:
        X: Any = args[0] if of_data and args else kwargs.get("X")
        if library_of(X) == "torch":
            _check_tensor(X)
            if follow and X.requires_grad and _torch().is_grad_enabled():
                return method(self, *args, **kwargs)
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

    return untraced(typing.cast(M, functools.wraps(method)(inside)))


def untraced(function: M) -> M:
    """Let torch.compile leave a function, and all that it calls, to Python.

    It would trace into scikit-learn, and fail there.
    """

    @functools.wraps(function)
    def there(*args: Any, **kwargs: Any) -> Any:
        run = _torch().compiler.disable(function) if "torch._dynamo" in sys.modules else function
        return run(*args, **kwargs)

    return not_traced(typing.cast(M, there))


def _home_of(X: Any) -> Home:
    """Return where an array lives; what is of no library becomes an array of NumPy."""
    return kind_of(X)[1] if library_of(X) in ("torch", "cupy") else NUMPY


def _check_tensor(X: Any) -> None:
    """Raise for a tensor that has no plain array of numbers; integers become floats later."""
    if X.dtype.is_floating_point or X.dtype.is_complex or X.layout != _torch().strided:
        check_array(X, "X", "X")


def _lent(X: Any, estimator: Any, stack: ExitStack) -> Any:
    """Return X as the inside knows it, a view where it can be, and make its GPU the current one.

    That of the data that the estimator keeps is, where X is not on a GPU.
    """
    if library_of(X) == "torch":
        if X.device.type == "cuda":
            autograd = importlib.import_module("georeduce.engine.autograd")
            stack.enter_context(autograd.on_stream(X.device))
        X = native(X)
    x: Any
    for x in (X, getattr(estimator, "_fit_X", None)):
        if library_of(x) == "cupy":
            stack.enter_context(sys.modules["cupy"].cuda.Device(x.device.id))
            break
    return X


def native(x: Any) -> Any:
    """Return an array of any library as NumPy's or CuPy's on its device, without a copy."""
    if library_of(x) != "torch":
        return x
    if x.device.type == "cpu":
        return x.numpy(force=True)
    return importlib.import_module("cupy").from_dlpack(x.detach().resolve_neg())


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
    """Return X, or X and y, as scikit-learn's ``validate_data`` does, of any library.

    Where X is not of NumPy, a single number stands in for it, so that what is wrong is told in the
    same words.

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
        Of the same library, where it was.
    y : ndarray
        Only if targets were given.
    """
    y = to_host(y)
    if library_of(X) not in ("cupy", "torch"):
        return validate_data(estimator, X, y, dtype=dtype, order="C", reset=reset, **checks)
    own = kind_of(X)[0]
    plain = X.ndim == 2 and own.kind != "c"  # else scikit-learn shows its numbers
    stand_in = np.broadcast_to(np.zeros((), own), X.shape) if plain else to_numpy(X)
    checks |= {"dtype": None, "ensure_all_finite": False, "reset": reset}
    found = validate_data(estimator, stand_in, y, **checks)
    dtypes = [np.dtype(kind) for kind in (dtype if isinstance(dtype, list) else [dtype])]
    if own not in dtypes:
        X = cast(X, dtypes[0])
    extremes = np.array([float(to_host(a)) for a in (X.max(), X.min())])  # NaN if there is one
    assert_all_finite(extremes, estimator_name=type(estimator).__name__, input_name="X")
    return (X, found[1]) if isinstance(found, tuple) else X


def on_gpu(x: Any) -> bool:
    """Return whether an array, as the inside knows it, is on a GPU."""
    return library_of(x) == "cupy"


def put(x: Array, beside: Array) -> Any:
    """Return an array of NumPy where another one is."""
    return from_numpy(x, kind_of(beside)[1])


def fill(place: Any, values: Array) -> None:
    """Overwrite an array, wherever it is, by numbers of NumPy."""
    dtype, home = kind_of(place)
    if home == NUMPY:
        place[...] = values
        return
    values = np.ascontiguousarray(np.broadcast_to(values, place.shape), dtype)
    if home.library == "cupy":
        place.set(values)
    else:
        place.copy_(from_numpy(values, home))


def log(x: Any) -> Any:
    """Return logarithms, of tensors too."""
    return x.log() if library_of(x) == "torch" else np.log(x)


def together(a: Any, b: Any) -> tuple[Any, Any]:
    """Return two arrays in the wider of their dtypes, where the one is that is not of NumPy."""
    (dtype, home), (other, kept) = kind_of(a), kind_of(b)
    if home == NUMPY:
        a = from_numpy(a, kept)
    elif kept == NUMPY or home.library == "torch":
        b = returned(b, home)
    dtype = np.result_type(dtype, other)
    return cast(a, dtype), cast(b, dtype)


def weighted_mean(values: Any, weights: Array | None) -> float:
    """Return the mean of numbers, in float64, under weights of NumPy."""
    if weights is None:
        return float(values.mean(dtype=np.float64))
    weights = weights.astype(np.float64, copy=False)
    return float((values * put(weights, values)).sum()) / float(weights.sum())
