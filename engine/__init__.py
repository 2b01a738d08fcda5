"""The symbolic-reduction engine: matrices ``F(x_i, y_j)`` that are reduced and never stored.

A `LazyTensor` is a formula of two point clouds. Operators and methods build the formula; a
reduction along an axis compiles it to one fused loop and runs it::

    from georeduce.engine import LazyTensor
    x_i, y_j = LazyTensor(x[:, None, :]), LazyTensor(y[None, :, :])
    K = (-x_i.sqdist(y_j) / 0.1).exp()          # a Gaussian kernel matrix, not computed
    a = K @ b                                   # computed: O(M + N) memory
    nearest = x_i.sqdist(y_j).argKmin(10, axis=1)

`Vi`, `Vj` and `Pm` wrap arrays whose axis is known; `ops` holds the operations as functions;
`options` and `set_options` choose the backend and the threads, `show_config` prints what was found
on this machine. The backends are "numpy", the specification, and "openmp", compiled C++.
"""

from __future__ import annotations

from typing import Any

from . import derivatives as _derivatives
from . import matrix as _matrix
from . import ops
from . import solve as _solve
from .complex import ComplexLazyTensor
from .complex_operands import Pm, Vi, Vj
from .config import Options, get_options, options, set_options, show_config
from .errors import (
    ArgumentError,
    BackendError,
    CacheWarning,
    CompileError,
    ConvergenceWarning,
    DTypeError,
    ForkWarning,
    GeoreduceError,
    GeoreduceWarning,
    NoCompilerWarning,
    NotPositiveDefiniteError,
    ShapeError,
)
from .generic import Genred, generic_argkmin, generic_argmin, generic_logsumexp, generic_sum
from .kernel_solve import KernelSolve
from .lazy import LazyTensor
from .methods import concatenate
from .places import Var
from .ranges import Ranges

del _derivatives, _matrix, _solve


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("georeduce")
    if name == "clear_cache":
        from .backends._cache import clear_cache

        return clear_cache
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "ArgumentError",
    "BackendError",
    "CacheWarning",
    "CompileError",
    "ComplexLazyTensor",
    "ConvergenceWarning",
    "DTypeError",
    "ForkWarning",
    "Genred",
    "GeoreduceError",
    "GeoreduceWarning",
    "KernelSolve",
    "LazyTensor",
    "NoCompilerWarning",
    "NotPositiveDefiniteError",
    "Options",
    "Pm",
    "Ranges",
    "ShapeError",
    "Var",
    "Vi",
    "Vj",
    "clear_cache",
    "concatenate",
    "generic_argkmin",
    "generic_argmin",
    "generic_logsumexp",
    "generic_sum",
    "get_options",
    "ops",
    "options",
    "set_options",
    "show_config",
]
