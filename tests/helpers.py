"""How far a result may be from the exact one: derived from the dtype, the formula and the data.

`analyse` is a running error analysis. It evaluates a formula in float64 and carries along, for
every node, a bound on the distance to what a backend gets in its own dtype:

* an argument is exact, as given;
* an elementwise operation adds its own rounding, `ULPS` units in the last place, to what the
  errors of its arguments can do: the largest change of the result when each argument moves to
  either end of its interval. Where an interval holds a jump (a comparison, `floor`), the bound is
  the height of the jump;
* a sum of n terms adds at most ``n * eps / 2`` times the sum of their absolute values.

`EXPECT` continues it through the reductions. There float32 sums are flushed into double at the
latest after `FLUSH` terms, so that n stops counting there. Where a bound is infinite the value is
not checked; `check` insists that this stays rare.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from compensated import exact_sum
from scipy.special import logsumexp

from georeduce.engine import LazyTensor
from georeduce.engine.backends._base import Data
from georeduce.engine.codegen.schedule import FLUSH
from georeduce.engine.formula import ops as o
from georeduce.engine.formula.expr import Expr, postorder, swap_axes, variables
from georeduce.engine.formula.reductions import REDUCTIONS
from georeduce.engine.lazy import join
from georeduce.engine.methods import _as_weight, build, reduce

Array = np.ndarray[Any, Any]

FUNCTION_ULPS = 4.0
"""Of a transcendental function: ours keep 2, NumPy's float32 ones up to 4."""
_EXACT = """neg abs sign step minimum maximum floor ceil rint where lt le gt ge eq ne truth to_real
    to_index add_index logical_and logical_or logical_not one_hot"""
# Rounded correctly: half an ulp. Quotients may be taken as products with an inverse.
ULPS = dict.fromkeys(_EXACT.split(), 0.0)
ULPS |= {"add": 0.5, "sub": 0.5, "mul": 0.5, "square": 0.5, "sqrt": 0.5, "inv": 0.5}
ULPS |= {"div": 1.5, "rsqrt": 1.5}


def eps(dtype: Any) -> float:
    """Return the distance from 1 to the next number."""
    return float(np.finfo(dtype).eps)


def sum_error(dtype: Any, terms: int) -> float:
    """Return the bound on the error of a sum, relative to the sum of absolute values.

    One rounding, eps / 2, for each term until sums are flushed into double, one in double for
    each, and one of the result.
    """
    return (min(terms, FLUSH) + 1) * eps(dtype) / 2 + terms * eps(np.float64) / 2


# --- Formulas ---------------------------------------------------------------------------------


def analyse(
    roots: Sequence[Expr], values: Mapping[Expr, Array], dtype: Any
) -> list[tuple[Array, Array]]:
    """Return for each root its value in float64 and the bound on the error in `dtype`."""
    known: dict[Expr, tuple[Array, Array]] = {}
    with np.errstate(all="ignore"):
        for e in postorder(*roots):
            if e.is_variable:
                value = values[e].astype(np.float64)
                known[e] = value, np.zeros_like(value)
            elif e.is_constant:
                kind = {"index": np.int64, "boolean": np.bool_}.get(e.kind, np.float64)
                known[e] = np.full(e.dim, e.params[0], kind), np.zeros(e.dim)
            else:
                known[e] = _node(e, [known[a] for a in e.args], dtype)
    return [known[root] for root in roots]


def _node(e: Expr, args: list[tuple[Array, Array]], dtype: Any) -> tuple[Array, Array]:
    op = e.op
    assert op is not None
    assert op.numpy is not None
    value = op.numpy(*(a for a, _ in args), *e.params)
    if e.kind == "real":  # truth values come as float32
        value = np.asarray(value, np.float64)
    if op.index is not None or op.parts is not None:
        return value, op.numpy(*(error for _, error in args), *e.params)
    if op.fold:
        return value, _fold_error(e, *args[0], dtype)
    own = ULPS.get(op.name, FUNCTION_ULPS)
    ends = [_ends(a, error) for a, error in args]
    error = np.zeros(np.shape(value))
    real = np.asarray(value, np.float64)
    for corner in product(*ends):
        moved = np.asarray(op.numpy(*corner, *e.params), np.float64)
        change = np.where((moved == real) | (np.isnan(moved) & np.isnan(real)), 0, moved - real)
        change = np.abs(np.where(np.isnan(change), np.inf, change))
        error = np.maximum(error, change)
    return value, _rounded(real, error, own, dtype) if own else error


def _ends(a: Array, error: Array) -> list[Array]:
    if not np.any(error):
        return [a]
    if a.dtype == np.bool_:
        return [a & (error == 0), a | (error != 0)]
    error = np.where(error == 0, 0, error)  # inf - inf must not spoil what is exact
    return [np.where(error == 0, a, a - error), np.where(error == 0, a, a + error)]


def _rounded(value: Array, error: Array, ulps: float, dtype: Any) -> Array:
    """Return the bound with a rounding of some ulps; infinite where the dtype may overflow."""
    info = np.finfo(dtype)
    finite = np.isfinite(value)
    size = np.abs(np.where(finite, value, 0))
    error = error + ulps * (float(info.eps) * size + float(info.smallest_subnormal))
    return np.where(finite & (size + error >= float(info.max) / 2), np.inf, error)


def _fold_error(e: Expr, a: Array, error: Array, dtype: Any) -> Array:
    op = e.op
    assert op is not None
    assert op.numpy is not None
    assert op.count is not None
    n = op.count(a.shape[-1], e.params)
    if op.fold == "sum":
        size = op.numpy(np.abs(a).astype(np.float64), *e.params)
        inherited = op.numpy(error, *e.params)
        return _rounded(size, inherited, n / 2, dtype)
    if op.fold == "prod":
        return product_error(a, error, n, dtype, -1, keepdims=True)
    if op.fold in ("min", "max"):
        return error.max(-1, keepdims=True)
    sign = 1 if op.fold == "argmin" else -1
    unclear = ~is_only_choice(sign * a, error)
    return np.where(unclear, float(a.shape[-1]), 0.0)


def product_error(
    a: Array, error: Array, n: int, dtype: Any, axis: int, keepdims: bool = False
) -> Array:
    """Return the bound on the error of a product of n factors."""
    size = np.abs(a)
    exact = size.prod(axis, keepdims=keepdims)
    return _rounded(exact, (size + error).prod(axis, keepdims=keepdims) - exact, n, dtype)


def is_only_choice(a: Array, error: Array) -> Array:
    """Return where the first minimum of the last axis is the only one that errors permit."""
    if a.shape[-1] == 0:
        return np.ones((*a.shape[:-1], 1), bool)
    known = np.where(np.isnan(a), np.inf, a)
    k = known.argmin(-1)[..., None]
    top = np.take_along_axis(known, k, -1) + np.take_along_axis(error, k, -1)
    with np.errstate(invalid="ignore"):
        rival = (known - error <= top) & ((error > 0) | np.take_along_axis(error > 0, k, -1))
    np.put_along_axis(rival, k, False, -1)
    return ~rival.any(-1, keepdims=True)


# --- Reductions -------------------------------------------------------------------------------

Expectation = tuple[Array, Array]
"""What a result is, and how far it may be off: both of shape (..., M, E)."""


def _sum(v: Array, error: Array, w: Array, w_error: Array, dtype: Any) -> list[Expectation]:
    size = np.abs(v).sum(-2)
    return [(v.sum(-2), error.sum(-2) + sum_error(dtype, v.shape[-2]) * size)]


def _prod(v: Array, error: Array, w: Array, w_error: Array, dtype: Any) -> list[Expectation]:
    return [(v.prod(-2), product_error(v, error, v.shape[-2], dtype, -2))]


def _extremum(sign: int) -> Callable[..., list[Expectation]]:
    def expect(v: Array, error: Array, w: Array, w_error: Array, dtype: Any) -> list[Expectation]:
        known = np.where(np.isnan(v), np.inf, sign * v)
        low, best, high = (
            (known + shift).min(-2, initial=np.inf) for shift in (-error, 0 * error, error)
        )
        bound = np.where(best == low, 0, best - low)
        return [(sign * best, np.maximum(bound, np.where(best == high, 0, high - best)))]

    return expect


def _softmax(v: Array, error: Array, dtype: Any) -> tuple[Array, Array, Array]:
    """Return the pivot, exp(v - pivot), and the relative error of each of these terms in a sum.

    Beside the errors of values: the rounding of v - pivot; the exponential; and, until the sum is
    flushed, one rescaling by an exponential for each vector that brings a new maximum.
    """
    top = v.max(-2, initial=-np.inf)
    pivot = np.where(np.isfinite(top), top, 0)
    e = np.exp(v - pivot[..., None, :])
    below = np.where(np.isfinite(v), np.abs(v - pivot[..., None, :]), 0)
    turns = 1 + min(v.shape[-2], FLUSH)
    relative = np.expm1(error) + eps(dtype) * (below + turns * FUNCTION_ULPS)
    return pivot, e, relative + sum_error(dtype, v.shape[-2])


def _log_of(pivot: Array, total: Array, error: Array, dtype: Any) -> list[Expectation]:
    result = pivot + np.log(total)
    # |log(t + d) - log(t)| <= |log(1 - d / t)|, and the rounding of the result
    bound = -np.log1p(-np.minimum(error / np.abs(total), 1))
    return [(result, np.where(total == 0, 0, bound) + eps(dtype) * np.abs(result))]


def _logsumexp(v: Array, error: Array, w: Array, w_error: Array, dtype: Any) -> list[Expectation]:
    pivot, e, relative = _softmax(v, error, dtype)
    ((_, bound),) = _log_of(pivot, e.sum(-2), (e * relative).sum(-2), dtype)
    exact = logsumexp(v, axis=-2) if v.shape[-2] else np.full_like(pivot, -np.inf)
    return [(exact, bound)]


def _logsumexp_weight(
    v: Array, error: Array, w: Array, w_error: Array, dtype: Any
) -> list[Expectation]:
    pivot, e, relative = _softmax(v, error, dtype)
    terms = e * (np.abs(w) * relative + w_error)
    return _log_of(pivot, (e * w).sum(-2), terms.sum(-2), dtype)


def _mean(v: Array, error: Array, w: Array, w_error: Array, dtype: Any) -> list[Expectation]:
    _, e, relative = _softmax(v, error, dtype)
    total = e.sum(-2)
    mean = (e * w).sum(-2) / total
    terms = e * ((np.abs(w) + np.abs(mean)[..., None, :]) * relative + w_error)
    return [(mean, terms.sum(-2) / total + eps(dtype) * np.abs(mean))]


def _truth(how: Callable[..., Array]) -> Callable[..., list[Expectation]]:
    def expect(v: Array, error: Array, w: Array, w_error: Array, dtype: Any) -> list[Expectation]:
        least, exact, most = (how(a, axis=-2) for a in (v & (error == 0), v, v | (error != 0)))
        return [(exact, most.astype(np.int64) - least)]

    return expect


EXPECT: dict[str, Callable[..., list[Expectation]]] = {
    "sum": _sum,
    "sum_kahan": exact_sum,
    "prod": _prod,
    "min": _extremum(1),
    "max": _extremum(-1),
    "min_argmin": _extremum(1),
    "max_argmax": _extremum(-1),
    "logsumexp": _logsumexp,
    "logsumexp_weight": _logsumexp_weight,
    "sumsoftmaxweight": _mean,
    "count": _truth(np.count_nonzero),
    "any": _truth(np.any),
    "all": _truth(np.all),
}
"""What the reductions mean, written without the engine's table. Indices are checked by `check`."""


def tensor_values(
    x: LazyTensor, name: str, axis: str, weight: Any = None, K: int = 0
) -> tuple[list[tuple[Array, Array]], Data]:
    """Return values and bounds of the formula and the weight, (..., M, N, E), j reduced."""
    task, data = build(x, name, axis, K, weight)
    tensors = [x]
    if weight is not None:
        tensors.append(_as_weight(weight, x, axis))
    exprs, _ = join(tensors)  # as the user wrote them: not simplified
    exprs[0] = o.cast(exprs[0], REDUCTIONS[name].of)
    if axis == "i":
        exprs = [swap_axes(e) for e in exprs]
    arrays: dict[Expr, Array] = {}
    for e in variables(*exprs):
        a = data.arrays[e.params[1]]
        arrays[e] = a[..., None, :, :] if e.params[0] == "j" else a[..., None, :]
    lead = (*data.batch, data.M, data.N)
    found = []
    for e, (value, error) in zip(exprs, analyse(exprs, arrays, task.dtype), strict=True):
        found.append(tuple(np.broadcast_to(a, (*lead, e.dim)) for a in (value, error)))
    return found, data  # type: ignore[return-value]


def check(
    x: LazyTensor,
    name: str,
    axis: str = "j",
    K: int = 0,
    weight: Any = None,
    backend: str | None = None,
    unclear: float = 0.1,
    **run: Any,
) -> Any:
    """Assert that a reduction is what float64 NumPy says of all its values, and return it.

    Parameters
    ----------
    unclear : float
        Share of the results whose bound may be infinite.
    """
    result = reduce(x, name, axis, K, weight, backend, **run)
    results = result if isinstance(result, tuple) else (result,)
    found, data = tensor_values(x, name, axis, weight, K)
    dtype = build(x, name, axis, K, weight)[0].dtype
    check_results(name, results, found, K, dtype, unclear)
    for part, kind in zip(results, REDUCTIONS[name].result_kinds(), strict=True):
        assert part.shape[:-1] == (*data.batch, data.M)
        assert part.dtype == {"real": dtype, "index": np.int64, "boolean": np.bool_}[kind]
    return result


def check_results(
    name: str, results: Sequence[Array], found: Any, K: int, dtype: Any, unclear: float = 0.1
) -> None:
    """Assert that results (..., M, E) are those of the values and bounds of `tensor_values`."""
    entry = REDUCTIONS[name]
    (v, error), (w, w_error) = found[0], found[-1]
    kinds = entry.result_kinds()
    assert len(results) == len(kinds)
    with np.errstate(all="ignore"):
        if entry.keep:
            check_smallest(dict(zip(entry.keep, results, strict=True)), v[..., 0], error[..., 0], K)
        elif name in EXPECT:
            ((expected, bound),) = EXPECT[name](v, error, w, w_error, dtype)
            assert results[0].shape == expected.shape
            assert_close(results[0], expected, bound, unclear)
        if kinds[-1] == "index" and not entry.keep and name != "count":
            sign = -1 if "max" in name else 1
            check_indices(results[-1], np.moveaxis(sign * v, -2, -1), np.moveaxis(error, -2, -1))


def assert_close(result: Array, expected: Array, bound: Array, unclear: float = 0.1) -> None:
    """Assert that each number is within its bound, and that not too many bounds are infinite.

    What is not finite must be met exactly.
    """
    result, expected = np.asarray(result, np.float64), np.asarray(expected, np.float64)
    with np.errstate(invalid="ignore"):
        off = np.abs(result - expected)
    same = (result == expected) | (np.isnan(result) & np.isnan(expected))
    off = np.where(same, 0, np.where(np.isnan(off), np.inf, off))
    bound = np.where(np.isfinite(expected), bound, 0)
    free = (np.isposinf(bound) | np.isnan(bound)) & ~same
    assert free.size == 0 or free.mean() <= unclear, "too many results are beyond the analysis"
    wrong = (off > bound) & ~free
    if wrong.any():
        at = tuple(int(n) for n in np.argwhere(wrong)[0])
        raise AssertionError(
            f"{wrong.sum()} of {wrong.size} differ; first at {at}: got {result[at]!r}, "
            f"expected {expected[at]!r} within {np.broadcast_to(bound, wrong.shape)[at]:.3g}"
        )


def check_indices(indices: Array, v: Array, error: Array) -> None:
    """Assert that indices are of minima of v's last axis, the first if nothing is unclear."""
    assert indices.shape == v.shape[:-1]
    some = ~np.isnan(v).all(-1)
    assert ((indices == -1) == ~some).all(), "the index -1 is that of nothing"
    if not some.any():
        return
    known = np.where(np.isnan(v), np.inf, v)
    exact = np.where(np.isnan(v), np.inf, known).argmin(-1)
    # an infinite minimum: the first that is not NaN
    exact = np.where(np.isinf(known.min(-1)), (v == known.min(-1)[..., None]).argmax(-1), exact)
    certain = is_only_choice(v, error)[..., 0] & some
    assert (indices == exact)[certain].all()
    at = np.where(indices < 0, 0, indices)[..., None]
    chosen = (np.take_along_axis(v, at, -1) - np.take_along_axis(error, at, -1))[..., 0]
    assert (chosen <= (known + error).min(-1))[some].all()


def check_smallest(results: dict[str, Array], v: Array, error: Array, K: int) -> None:
    """Assert that results are the K smallest of the last axis of v."""
    missing = max(0, K - v.shape[-1])
    pad = [(0, 0)] * (v.ndim - 1) + [(0, missing)]
    known = np.pad(np.where(np.isnan(v), np.inf, v), pad, constant_values=np.inf)
    nothing = np.pad(np.isnan(v), pad, constant_values=True)
    order = np.lexsort((nothing, known), axis=-1)[..., :K]  # stable; NaN behind infinities
    exact = np.take_along_axis(known, order, -1)
    exact_at = np.where(np.take_along_axis(nothing, order, -1), -1, order)
    # an order statistic moves by no more than the largest of the moves
    bound = np.broadcast_to(error.max(-1, initial=0)[..., None], exact.shape)
    if "values" in results:
        assert_close(results["values"], exact, bound)
    if "indices" not in results:
        return
    at = results["indices"]
    assert at.shape == exact.shape
    assert ((at < 0) == (exact_at < 0)).all()
    ranked = np.sort(np.where(at < 0, -1 - np.arange(K), at), -1)
    assert (np.diff(ranked, axis=-1) > 0).all(), "an index stands twice"
    certain = np.broadcast_to(bound == 0, at.shape)
    assert (at == exact_at)[certain].all()
    padded = np.where(at < 0, np.inf, np.take_along_axis(known, np.maximum(at, 0), -1))
    assert_close(padded, exact, 2 * bound)
