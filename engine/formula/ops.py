"""THE table of operations: one `Op` each, from which everything else follows.

The method of `LazyTensor` and the function of `georeduce.engine.ops`, the NumPy meaning, the code
of every compiled backend, the row of the documentation and the tests are all made from an entry.
An entry is one of four things:

* an **elementwise** operation: ``code``, the C spelling of one component of the result, with
  ``{0}``, ``{1}`` for the components of the arguments and ``{k}`` for the component's index;
* an **index map**: ``index``, which component of the argument a component of the result is;
* a **fold** over the feature axis by an entry of the table of reductions: ``fold`` and ``span``;
* a **derived** operation: ``expand``, a formula made of others.

Only ``concat`` and ``put`` are none of them: their arguments are parts of the result (``parts``).

Derivatives at kinks and limits are finite: 0 for the root at 0, its inverse's limits (``asin``,
``acos`` at 1, ``acosh`` at 1) and ``abs`` at 0; of two equal numbers, ``minimum`` and ``maximum``
take the second; of equal components ``min`` and ``max`` take the first. Where the slope is
infinite and no kink, as of ``log`` at 0, it is infinite.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ArgumentError, ShapeError, expected
from . import slopes
from .op import OPS, Dims, Op, Params, cast, one


def _special(name: str) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        import scipy.special  # 30 ms, and few formulas need it

        return getattr(scipy.special, name)(*args)

    return call


def _sinxdivx(x: Any) -> Any:
    safe = np.where(x == 0, 1, x)
    return np.where(x == 0, 1, np.sin(safe) / safe)


def _softplus(x: Any) -> Any:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _sigmoid(x: Any) -> Any:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


# --- Arithmetic ------------------------------------------------------------------------------

_R2 = ("real", "real")
add = Op("add", "Sum.", _R2, numpy=np.add, code="{0} + {1}", symbol="+", precedence=0,
         dunder="add", steady=True,
         vjp=lambda g, e, x, y: (g, g))  # fmt: skip
sub = Op("sub", "Difference.", _R2, numpy=np.subtract, code="{0} - {1}", symbol="-",
         precedence=0, dunder="sub", steady=True,
         vjp=lambda g, e, x, y: (g, -g))  # fmt: skip
mul = Op("mul", "Product.", _R2, numpy=np.multiply, code="{0} * {1}", symbol="*", precedence=1,
         dunder="mul", steady=True,
         vjp=lambda g, e, x, y: (g * y, g * x))  # fmt: skip
div = Op("div", "Quotient.", _R2, numpy=np.divide, code="{0} / {1}", symbol="/", precedence=1,
         dunder="truediv",
         vjp=lambda g, e, x, y: (g / y, -(g / y * e)))  # fmt: skip
neg = Op("neg", "Opposite.", numpy=np.negative, code="-{0}", symbol="-", precedence=2,
         dunder="neg", steady=True,
         vjp=lambda g, e, x: (-g,))  # fmt: skip
square = Op("square", "Square.", numpy=np.square, code="{0} * {0}", steady=True,
            vjp=lambda g, e, x: (slopes.twice(g) * x,))  # fmt: skip
inv = Op("inv", "Inverse 1 / x.", numpy=np.reciprocal, code="inv({0})", domain=(0.5, 3.0),
         vjp=lambda g, e, x: (-(g * square(e)),))  # fmt: skip
abs_ = Op("abs", "Absolute value.", numpy=np.abs, code="abs({0})", dunder="abs",
          short=True,
          vjp=lambda g, e, x: (g * sign(x),))  # fmt: skip
sign: Op = Op("sign", "Sign: -1, 0 or 1.", numpy=np.sign, code="sign({0})",
          vjp=slopes.flat)  # fmt: skip
step = Op("step", "0 where x < 0, else 1.", numpy=lambda x: np.where(x < 0, 0, 1).astype(x.dtype),
          code="step({0})",
          vjp=slopes.flat)  # fmt: skip
sqrt = Op("sqrt", "Square root.", numpy=np.sqrt, code="sqrt({0})", domain=(0.0, 4.0),
          vjp=lambda g, e, x: (slopes.half(g) * root_inverse(x),))  # fmt: skip
rsqrt = Op("rsqrt", "Inverse square root.", numpy=lambda x: 1 / np.sqrt(x), code="rsqrt({0})",
           domain=(0.1, 4.0),
           vjp=lambda g, e, x: (-(slopes.half(g) * e * square(e)),))  # fmt: skip
root_inverse: Op = Op("root_inverse", "Inverse square root, 0 at 0: the slope of roots.",
                  numpy=lambda x: np.where(x == 0, 0, 1 / np.sqrt(x)).astype(x.dtype),
                  code="where({0} == V{{}}, V{{}}, rsqrt({0}))", domain=(0.1, 4.0), internal=True,
                  vjp=lambda g, e, x: (-(slopes.half(g) * e * square(e)),))  # fmt: skip
pow_ = Op("pow", "Power x ** y with a real exponent.", _R2, numpy=np.power,
          code="pow({0}, {1})", domain=(0.1, 3.0),
          vjp=slopes.powers)  # fmt: skip
minimum = Op("minimum", "Smaller of two; NaN if one is.", _R2, numpy=np.minimum,
             code="minimum({0}, {1})", short=True,
             vjp=lambda g, e, x, y: slopes.chosen(lt(x, y), g))  # fmt: skip
maximum = Op("maximum", "Larger of two; NaN if one is.", _R2, numpy=np.maximum,
             code="maximum({0}, {1})", short=True,
             vjp=lambda g, e, x, y: slopes.chosen(gt(x, y), g))  # fmt: skip
floor = Op("floor", "Largest integer not above.", numpy=np.floor, code="floor({0})",
           vjp=slopes.flat)  # fmt: skip
ceil = Op("ceil", "Smallest integer not below.", numpy=np.ceil, code="ceil({0})",
          vjp=slopes.flat)  # fmt: skip
rint = Op("rint", "Nearest integer, halves to even.", numpy=np.rint, code="round({0})",
          vjp=slopes.flat)  # fmt: skip


# --- Exponentials, trigonometry and their kin -------------------------------------------------

exp = Op("exp", "Exponential.", numpy=np.exp, code="exp({0})", steady=True,
         vjp=lambda g, e, x: (g * e,))  # fmt: skip
expm1 = Op("expm1", "exp(x) - 1 without cancellation.", numpy=np.expm1, code="expm1({0})",
           vjp=lambda g, e, x: (g * exp(x),))  # fmt: skip
log = Op("log", "Natural logarithm.", numpy=np.log, code="log({0})", domain=(0.1, 4.0),
         vjp=lambda g, e, x: (g / x,))  # fmt: skip
log1p = Op("log1p", "log(1 + x) without cancellation.", numpy=np.log1p, code="log1p({0})",
           domain=(-0.9, 2.0),
           vjp=lambda g, e, x: (g / (1 + x),))  # fmt: skip
xlogx = Op("xlogx", "x log(x), 0 at 0.", numpy=lambda x: _special("xlogy")(x, x),
           code="xlogx({0})", domain=(0.0, 3.0),
           vjp=lambda g, e, x: (g * (log(x) + 1),))  # fmt: skip
sin = Op("sin", "Sine.", numpy=np.sin, code="sin({0})",
         vjp=lambda g, e, x: (g * cos(x),))  # fmt: skip
cos: Op = Op("cos", "Cosine.", numpy=np.cos, code="cos({0})",
         vjp=lambda g, e, x: (-(g * sin(x)),))  # fmt: skip
tan = Op("tan", "Tangent.", numpy=np.tan, code="tan({0})", domain=(-1.2, 1.2),
         vjp=lambda g, e, x: (g * (1 + square(e)),))  # fmt: skip
asin = Op("asin", "Inverse sine.", numpy=np.arcsin, code="asin({0})", domain=(-0.95, 0.95),
          vjp=lambda g, e, x: (g * root_inverse((1 - x) * (1 + x)),))  # fmt: skip
acos = Op("acos", "Inverse cosine.", numpy=np.arccos, code="acos({0})", domain=(-0.95, 0.95),
          vjp=lambda g, e, x: (-(g * root_inverse((1 - x) * (1 + x))),))  # fmt: skip
atan = Op("atan", "Inverse tangent.", numpy=np.arctan, code="atan({0})",
          vjp=lambda g, e, x: (g / (1 + square(x)),))  # fmt: skip
atan2 = Op("atan2", "Angle of the point (y, x).", _R2, numpy=np.arctan2, code="atan2({0}, {1})",
           vjp=lambda g, e, y, x: slopes.angle(g, y, x))  # fmt: skip
sinh = Op("sinh", "Hyperbolic sine.", numpy=np.sinh, code="sinh({0})",
          vjp=lambda g, e, x: (g * cosh(x),))  # fmt: skip
cosh: Op = Op("cosh", "Hyperbolic cosine.", numpy=np.cosh, code="cosh({0})",
          vjp=lambda g, e, x: (g * sinh(x),))  # fmt: skip
tanh = Op("tanh", "Hyperbolic tangent.", numpy=np.tanh, code="tanh({0})",
          vjp=lambda g, e, x: (g * (1 - square(e)),))  # fmt: skip
asinh = Op("asinh", "Inverse hyperbolic sine.", numpy=np.arcsinh, code="asinh({0})",
           vjp=lambda g, e, x: (g * rsqrt(1 + square(x)),))  # fmt: skip
acosh = Op("acosh", "Inverse hyperbolic cosine.", numpy=np.arccosh, code="acosh({0})",
           domain=(1.01, 4.0),
           vjp=lambda g, e, x: (g * root_inverse((x - 1) * (x + 1)),))  # fmt: skip
atanh = Op("atanh", "Inverse hyperbolic tangent.", numpy=np.arctanh, code="atanh({0})",
           domain=(-0.9, 0.9),
           vjp=lambda g, e, x: (g / ((1 - x) * (1 + x)),))  # fmt: skip
sinxdivx = Op("sinxdivx", "sin(x) / x, 1 at 0.", numpy=_sinxdivx, code="sinc({0})",
              vjp=lambda g, e, x: (g * slopes.sinc_slope(e, x),))  # fmt: skip
erf = Op("erf", "Error function.", numpy=_special("erf"), code="erf({0})",
         vjp=lambda g, e, x: (g * slopes.bell(x),))  # fmt: skip
erfc = Op("erfc", "1 - erf(x) without cancellation.", numpy=_special("erfc"), code="erfc({0})",
          vjp=lambda g, e, x: (-(g * slopes.bell(x)),))  # fmt: skip
sigmoid = Op("sigmoid", "1 / (1 + exp(-x)).", numpy=_sigmoid, code="sigmoid({0})",
             vjp=lambda g, e, x: (g * e * (1 - e),))  # fmt: skip
softplus = Op("softplus", "log(1 + exp(x)).", numpy=_softplus, code="softplus({0})",
              vjp=lambda g, e, x: (g * sigmoid(x),))  # fmt: skip

# --- Truth ------------------------------------------------------------------------------------

_S2, _O2, _B2 = ("same", "same"), ("ordered", "ordered"), ("boolean", "boolean")
lt: Op = Op("lt", "x < y.", _O2, "boolean", np.less, "{0} < {1}", dunder="lt")
le = Op("le", "x <= y.", _O2, "boolean", np.less_equal, "{0} <= {1}", dunder="le")
gt: Op = Op("gt", "x > y.", _O2, "boolean", np.greater, "{0} > {1}", dunder="gt")
ge = Op("ge", "x >= y.", _O2, "boolean", np.greater_equal, "{0} >= {1}", dunder="ge")
eq = Op("eq", "x == y.", _S2, "boolean", np.equal, "{0} == {1}", dunder="eq")
ne = Op("ne", "x != y.", _S2, "boolean", np.not_equal, "{0} != {1}", dunder="ne")
logical_and = Op("logical_and", "Both.", _B2, "boolean", np.logical_and, "{0} & {1}", dunder="and")
logical_or = Op("logical_or", "One or both; `|` is the scalar product.", _B2, "boolean",
                np.logical_or, "{0} | {1}")  # fmt: skip
logical_not = Op("logical_not", "Not.", ("boolean",), "boolean", np.logical_not, "!{0}",
                 dunder="invert")  # fmt: skip
where = Op("where", "y where x is true, else z.", ("boolean", "same", "same"), "same",
           np.where, "where({0}, {1}, {2})", short=True,
           vjp=lambda g, e, b, x, y: (None, *slopes.chosen(b, g)))  # fmt: skip
lesser = Op("lesser", "x where x < y, else y: y where one is NaN.", _R2,
            numpy=lambda x, y: np.where(x < y, x, y), code="lesser({0}, {1})", short=True,
            internal=True,
            vjp=lambda g, e, x, y: slopes.chosen(lt(x, y), g))  # fmt: skip
greater = Op("greater", "x where x > y, else y: y where one is NaN.", _R2,
             numpy=lambda x, y: np.where(x > y, x, y), code="greater({0}, {1})", short=True,
             internal=True,
             vjp=lambda g, e, x, y: slopes.chosen(gt(x, y), g))  # fmt: skip
to_real = Op("to_real", "An index as a real number.", ("index",), "real", code="to_real({0})",
             numpy=lambda x: x.astype(np.float64), internal=True)  # fmt: skip
truth = Op("truth", "0 or 1 as a real number.", ("boolean",), "real",
           numpy=lambda x: x.astype(np.float32), code="where({0}, one<V>(), V{{}})",
                internal=True)  # fmt: skip
to_index = Op("to_index", "0 or 1 as an index.", ("boolean",), "index",
              lambda x: x.astype(np.int64), "where({0}, one<I>(), I{{}})",
                internal=True)  # fmt: skip
add_index = Op("add_index", "Sum of two indices.", ("index", "index"), "index", np.add,
               "{0} + {1}", internal=True)  # fmt: skip


# --- Over the feature axis --------------------------------------------------------------------


def _fold(
    name: str, doc: str, kind: str = "real", steady: bool = False, vjp: Any = slopes.flat
) -> Op:
    def meaning(x: Any) -> Any:
        from .reductions import REDUCTIONS

        return REDUCTIONS[name].fold_last(x)

    return Op(name, doc, kind=kind, numpy=meaning, dim=one, fold=name,
              span=lambda k, term, params: term, count=lambda dim, params: dim,
              steady=steady, vjp=vjp)  # fmt: skip


sum_ = _fold("sum", "Sum of the components.", steady=True, vjp=lambda g, e, x: (g,))
prod = _fold("prod", "Product of the components.", vjp=lambda g, e, x: (g * slopes.others(x),))
min_ = _fold("min", "Smallest component; NaN never is.",
             vjp=lambda g, e, x: (g * one_hot(argmin(x), x.dim),))  # fmt: skip
max_ = _fold("max", "Largest component; NaN never is.",
             vjp=lambda g, e, x: (g * one_hot(argmax(x), x.dim),))  # fmt: skip
argmin: Op = _fold("argmin", "Index of the smallest component, the first if several.", "index")
argmax: Op = _fold("argmax", "Index of the largest component, the first if several.", "index")


def _contract_numpy(x: Any, n: int, outer: int, inner: int) -> Any:
    k = np.arange(x.shape[-1] // n)
    return x[..., k[:, None] * outer + np.arange(n) * inner].sum(-1)


contract = Op(
    "contract",
    "Sums of n components: component k is the sum over l < n of x[k * outer + l * inner].",
    numpy=_contract_numpy,
    dim=lambda dims, params: dims[0] // params[0],
    params=("n", "outer", "inner"),
    fold="sum",
    span=lambda k, term, params: k * params[1] + term * params[2],
    count=lambda dim, params: params[0],
    steady=True,
    internal=True,
    vjp=slopes.spread,
)

take = Op(
    "take",
    "Components start, start + step, ..., count of them.",
    args=("any",),
    kind="same",
    numpy=lambda x, start, step, count: x[..., start + step * np.arange(count)],
    dim=lambda dims, params: params[2],
    params=("start", "step", "count"),
    index=lambda k, params, dim: k * params[1] + params[0],
    vjp=lambda g, e, x, start, step, count: (put(slopes.full(g, count), start, step, x.dim),),
    steady=True,
    internal=True,
)
repeat = Op(
    "repeat",
    "Each component n times in a row.",
    args=("any",),
    kind="same",
    numpy=lambda x, n: np.repeat(x, n, axis=-1),
    dim=lambda dims, params: dims[0] * params[0],
    params=("n",),
    index=lambda k, params, dim: k // params[0],
    vjp=lambda g, e, x, n: (contract(slopes.full(g, e.dim), n, n, 1),),
    steady=True,
    internal=True,
)
tile = Op(
    "tile",
    "All components, n times over.",
    args=("any",),
    kind="same",
    numpy=lambda x, n: np.concatenate([x] * n, axis=-1),
    dim=lambda dims, params: dims[0] * params[0],
    params=("n",),
    index=lambda k, params, dim: k % dim,
    vjp=lambda g, e, x, n: (contract(slopes.full(g, e.dim), n, 1, x.dim),),
    steady=True,
    internal=True,
)


def _concat_numpy(x: Any, y: Any) -> Any:
    lead = np.broadcast_shapes(x.shape[:-1], y.shape[:-1])
    both = [np.broadcast_to(a, (*lead, a.shape[-1])) for a in (x, y)]
    return np.concatenate(both, axis=-1)


concat = Op(
    "concat",
    "Components of x, then those of y.",
    args=_S2,
    kind="same",
    numpy=_concat_numpy,
    dim=lambda dims, params: dims[0] + dims[1],
    parts=lambda dims, params: (range(dims[0]), range(dims[0], sum(dims))),
    steady=True,
    vjp=lambda g, e, x, y: (
        take(slopes.full(g, e.dim), 0, 1, x.dim),
        take(slopes.full(g, e.dim), x.dim, 1, y.dim),
    ),
)


def _put_dim(dims: Dims, params: Params) -> int:
    start, step, dim = params
    last = start + step * (dims[0] - 1)
    if not (step and 0 <= start < dim and 0 <= last < dim):
        got = f"{start} to {last} in steps of {step}"
        raise ShapeError(expected(f"places from 0 to {dim - 1}, each another", got))
    return int(dim)


def _put_numpy(x: Any, start: int, step: int, dim: int) -> Any:
    result = np.zeros((*x.shape[:-1], dim), x.dtype)
    result[..., start + step * np.arange(x.shape[-1])] = x
    return result


put: Op = Op(
    "put",
    "Component start + n * step is that of x, the other ones of dim are 0: the adjoint of `take`.",
    args=("any",),
    kind="same",
    numpy=_put_numpy,
    dim=_put_dim,
    params=("start", "step", "dim"),
    parts=lambda dims, params: (range(params[0], params[0] + params[1] * dims[0], params[1]),),
    steady=True,
    internal=True,
    vjp=lambda g, e, x, start, step, dim: (take(slopes.full(g, dim), start, step, x.dim),),
)


def _one_hot_dim(dims: Dims, params: Params) -> int:
    n = params[0]
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ArgumentError(expected("a positive integer number of classes", repr(n)))
    if dims[0] != 1:
        raise ShapeError(expected("a formula of dimension 1", str(dims[0])))
    return int(params[0])


one_hot: Op = Op(
    "one_hot",
    "Vector of zeros with a 1 at the rounded x; all zeros if x is out of range.",
    numpy=lambda x, n: (np.rint(x) == np.arange(n)).astype(x.dtype),
    code="where(round({0}) == to_real({k}), one<V>(), V{{}})",
    dim=_one_hot_dim,
    params=("n",),
    domain=(-0.4, 2.4),
    vjp=slopes.flat,
)

from . import complex as _complex  # noqa: E402
from . import derived as _derived  # noqa: E402  (the second half of the table: derived entries)
from . import tensors as _tensors  # noqa: E402
from .derived import power as power  # noqa: E402

__all__ = ["OPS", "Op", "cast", "power"]
del _complex, _derived, _tensors
