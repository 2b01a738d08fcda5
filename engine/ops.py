"""The operations as functions: ``ops.tanh(x)`` is ``x.tanh()``; made from the table."""

from __future__ import annotations

import inspect
from typing import Any

from .errors import did_you_mean
from .formula.ops import OPS
from .lazy import LazyTensor, promote


def __getattr__(name: str) -> Any:
    method = getattr(LazyTensor, name, None) if name in OPS else None
    if method is None:
        raise AttributeError(f"ops has no operation {name!r}. {did_you_mean(name, OPS)}".rstrip())

    def function(x: Any, *args: Any, **kwargs: Any) -> Any:
        return method(promote(x), *args, **kwargs)

    parameters = list(inspect.signature(method).parameters.values())
    parameters[0] = parameters[0].replace(name="x")
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    function.__name__, function.__doc__ = name, method.__doc__
    return function


def __dir__() -> list[str]:
    return [name for name in OPS if hasattr(LazyTensor, name)]
