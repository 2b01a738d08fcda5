"""How a reduction is called: the options that every reduction takes, each declared once.

Signatures and docstrings of all reductions are made from the table. `reduce` in `methods.py` acts
on the first ones itself; the others, most of them KeOps's, come here, so that calls without them
cost nothing.
"""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .arrays import library_of
from .errors import ArgumentError, ShapeError, did_you_mean, expected
from .formula.reductions import REDUCTIONS
from .lazy import LazyTensor, check_dtype
from .places import Deferred, waits
from .slots import Slot

OPTIONS: dict[str, Option] = {}


@dataclass(frozen=True)
class Option:
    """One option of all reductions, given by keyword.

    Attributes
    ----------
    name : str
        The keyword.
    default : object
        Its value where it is not given.
    doc : str
        Its type, and on the next lines what it means.
    values : tuple
        All that it may be; empty if there is more to it.
    cure : str
        What to do where it is none of them.
    plain : bool
        Whether `reduce` itself acts on it.
    """

    name: str
    default: Any
    doc: str
    values: tuple[Any, ...] = ()
    cure: str = ""
    plain: bool = False

    def __post_init__(self) -> None:
        OPTIONS[self.name] = self

    def check(self, value: Any) -> None:
        """Raise for what the option cannot be."""
        if self.values and not any(value is v or value == v for v in self.values):
            one_of = " or ".join([", ".join(map(repr, self.values[:-1])), repr(self.values[-1])])
            raise ArgumentError(expected(f"{self.name}={one_of}", repr(value), self.cure))


Option(
    "backend",
    None,
    """str, optional
    Name of a backend; None is the option in force. KeOps's names are known: "CPU", "GPU".""",
    plain=True,
)
Option(
    "n_threads",
    None,
    "int, optional\n    Threads, counted as scikit-learn's ``n_jobs``.",
    plain=True,
)
Option(
    "ranges",
    None,
    "Ranges, or tuple of six integer arrays, optional\n    Blocks that alone are reduced, see"
    " `Ranges`; None is the tensor's own ``ranges``.",
    plain=True,
)
Option(
    "call",
    True,
    """bool, default True
    False: nothing is computed; the result is a function that does, of the arrays that
    placeholders such as ``Vi(0, 3)`` stand for.""",
    (True, False),
)
Option(
    "out",
    None,
    """array or tuple of arrays, optional
    Where to write the results, of their shapes and dtypes; it is returned.""",
)
Option(
    "dtype_acc",
    "auto",
    """{"auto", "float32", "float64"}, default "auto"
    In which type sums of float32 are accumulated. "auto" and "float32": in float32 over at most
    64 terms, and in float64 from there on, so that errors do not grow. "float64": the
    whole formula is computed in float64, and the result rounded, for about twice the time.""",
    ("auto", "float32", "float64"),
    "Arrays are of float32 or float64.",
)
Option(
    "use_double_acc",
    False,
    """bool, default False
    Another way to say ``dtype_acc="float64"``.""",
    (True, False),
)
Option(
    "sum_scheme",
    "auto",
    """{"auto", "direct_sum", "block_sum", "kahan_scheme"}, default "auto"
    The first three are one: sums by blocks, as `dtype_acc` says, which is at least as
    accurate as any of KeOps's that they name. "kahan_scheme", of `sum` only: `sum_kahan`.""",
    ("auto", "direct_sum", "block_sum", "kahan_scheme"),
)
Option(
    "device_id",
    -1,
    """int, default -1
    Arrays are reduced on the device where they are; nothing but this default says more.""",
    (-1, 0),
    "Move the arrays to that device: they are reduced where they are.",
)
Option(
    "enable_chunks",
    True,
    """bool, default True
    Has no effect, nor has `use_fast_math`: features of any number are reduced fast, and
    all functions are accurate to a few units in the last place.""",
    (True, False),
)
Option("use_fast_math", True, "bool, default True\n    See `enable_chunks`.", (True, False))


def check_options(given: Iterable[str], name: str) -> None:
    """Raise for an option that the reduction `name` does not have."""
    for option in given:
        if option not in OPTIONS:
            what = f"an option of {name} among {list(OPTIONS)}"
            raise ArgumentError(expected(what, repr(option), did_you_mean(option, OPTIONS)))


def signature(*leading: inspect.Parameter) -> inspect.Signature:
    """Return the signature of a method that takes some arguments, then the options."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    options = [inspect.Parameter(o.name, keyword, default=o.default) for o in OPTIONS.values()]
    return inspect.Signature([*leading, *options])


def options_doc() -> str:
    """Return what a docstring says of the options."""
    return "\n".join(f"{o.name} : {o.doc}" for o in OPTIONS.values())


def reduce_as_told(
    reduce: Callable[..., Any],
    x: LazyTensor,
    name: str,
    axis: str,
    K: int,
    weight: LazyTensor | None,
    how: Mapping[str, Any],
) -> Any:
    """Return the result of a reduction by `reduce`, which acts on fewer options."""
    check_options(how, name)
    told = {option: how.get(option, o.default) for option, o in OPTIONS.items()}
    for option, value in how.items():
        OPTIONS[option].check(value)
    rest = {option: value for option, value in how.items() if OPTIONS[option].plain}
    dtype = check_dtype(x)
    name, wide = _summation(name, dtype, told)
    if not told["call"] or waits(x, weight):
        return Deferred(reduce, x, name, axis, K, weight, {**how, "call": True})
    if wide:
        x = _as_dtype(x, np.dtype(np.float64))
        weight = None if weight is None else _as_dtype(weight, np.dtype(np.float64))
    results = reduce(x, name, axis, K, weight, **rest)
    if wide:
        results = _each(lambda r: _cast(r, dtype), results)
    return results if told["out"] is None else _write(results, told["out"])


def _summation(name: str, dtype: np.dtype[Any], told: Mapping[str, Any]) -> tuple[str, bool]:
    """Return the reduction that keeps what was told of sums, and whether to run it in float64."""
    acc, double = told["dtype_acc"], told["use_double_acc"]
    if double and acc == "float32":
        what = "use_double_acc or dtype_acc='float32'"
        raise ArgumentError(expected(what, "both, which contradict each other"))
    if acc == "float32" and dtype == np.float64:
        cure = "Convert the arrays to float32 if that is enough."
        raise ArgumentError(expected("dtype_acc='float64' for arrays of float64", repr(acc), cure))
    if told["sum_scheme"] == "kahan_scheme" and not name.endswith("_kahan"):
        if f"{name}_kahan" not in REDUCTIONS:
            cure = "Use dtype_acc='float64' for results that are right to the last digits."
            raise ArgumentError(
                expected("sum_scheme='kahan_scheme' for sum", f"it for {name}", cure)
            )
        name = f"{name}_kahan"
    return name, dtype == np.float32 and (double or acc == "float64")


def _as_dtype(x: LazyTensor, dtype: np.dtype[Any]) -> LazyTensor:
    """Return a formula of arrays in another dtype."""
    new = copy.copy(x)
    new.slots = tuple(Slot(_cast(s.array, dtype), s.axis, s.dtype_free) for s in x.slots)
    new.dtype = dtype
    return new


def _cast(array: Any, dtype: np.dtype[Any]) -> Any:
    """Return an array of any library in another dtype, if it is of real numbers."""
    if "float" not in str(array.dtype):
        return array
    if isinstance(array.dtype, np.dtype):
        return array.astype(dtype, copy=False)
    return array.to(getattr(sys.modules["torch"], dtype.name))  # so that gradients reach it


def _each(change: Callable[[Any], Any], results: Any) -> Any:
    return tuple(map(change, results)) if isinstance(results, tuple) else change(results)


def _write(results: Any, out: Any) -> Any:
    """Write results where the user wants them."""
    many = isinstance(results, tuple)
    to = out if many else (out,)
    if many and not (isinstance(out, tuple | list) and len(out) == len(results)):
        what = f"out as a tuple of {len(results)} arrays, one for each result"
        raise ArgumentError(expected(what, type(out).__name__))
    pairs = list(zip(results if many else (results,), to, strict=True))
    for r, o in pairs:
        what = f"out of shape {tuple(r.shape)} and {r.dtype}, as a {type(r).__name__}"
        if library_of(o) != library_of(r):
            raise ArgumentError(expected(what, type(o).__name__))
        if tuple(o.shape) != tuple(r.shape) or o.dtype != r.dtype:
            raise ShapeError(expected(what, f"shape {tuple(o.shape)} and {o.dtype}"))
    for r, o in pairs:
        o[...] = r
    return out
