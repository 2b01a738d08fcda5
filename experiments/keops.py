"""Write KEOPS.md, what of KeOps's names is here: `python -m experiments keops`.

What is here is found by asking pykeops's own objects and ours; only reasons are written by hand.
A test checks that no reason is stale: a name that comes needs no edit here, but its reason must go.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from experiments import harness

FILE = harness.ROOT / "KEOPS.md"
YET = "Not yet."


@dataclass(frozen=True)
class Reason:
    """Why a name is not here, or how it differs; `here` is what there is instead or under it."""

    text: str
    here: str = ""


_INTERNAL = Reason("A part of how KeOps works inside.")
_INSIDE = """fixvariables formula2 get_tools init join lt_constructor new_variable_index promote
    separate_kwargs tools axis __max__ __min__"""
_PYTHON = """__init__ __new__ __module__ __dict__ __doc__ __weakref__ __hash__ __slots__
    __annotations__ __firstlineno__ __static_attributes__ __array_ufunc__"""
_TYPE = "Operators and methods call the table of operations: use those, or `ops`."

REASONS: dict[str, Reason] = {
    # modules
    "pykeops.numpy.GenredR": Reason("Listed by pykeops, but not there either."),
    "pykeops.set_verbose": Reason("Nothing is printed unless something is wrong."),
    "pykeops.clean_pykeops": Reason("`clear_cache()`.", "clear_cache"),
    "pykeops.get_build_folder": Reason("`get_options().cache_folder`.", "get_options"),
    "pykeops.set_build_folder": Reason("`set_options(cache_folder=...)`.", "set_options"),
    "pykeops.check_health": Reason("`show_config()`.", "show_config"),
    "pykeops.test_numpy_bindings": Reason("`show_config()` says what works.", "show_config"),
    "pykeops.test_torch_bindings": Reason("`show_config()` says what works.", "show_config"),
    # LazyTensor
    "LazyTensor.dim": Reason(
        "The number of axes of `shape`, which is (..., M, N) for a matrix; KeOps counts one more.",
        "dim",
    ),
    "LazyTensor.ndim": Reason("The number of axes, as NumPy's; KeOps's is our `D`.", "ndim"),
    "LazyTensor.shape": Reason(
        "(..., M, N) only for formulas of dimension 1 that vary along both rows and columns; "
        "`full_shape` is always (..., M, N, D).",
        "shape",
    ),
    "LazyTensor._shape": Reason("`full_shape`.", "full_shape"),
    "LazyTensor._dtype": Reason("`dtype`, as NumPy's.", "dtype"),
    "LazyTensor.dtype": Reason("A NumPy dtype, where KeOps has a string.", "dtype"),
    "LazyTensor.formula": Reason("In our notation.", "formula"),
    "LazyTensor.norm": Reason("One number is the order; -1 is the axis, as in KeOps.", "norm"),
    "LazyTensor.round": Reason("Halves go to even, as in NumPy; KeOps's go away from 0.", "round"),
    "LazyTensor.rsqrt": Reason("Infinite at 0, as 1 / 0 is; KeOps's is 0 there.", "rsqrt"),
    "LazyTensor.normalize": Reason("NaN for a vector of zeros; KeOps's is 0.", "normalize"),
    "LazyTensor.ni": Reason("`M`.", "M"),
    "LazyTensor.nj": Reason("`N`.", "N"),
    "LazyTensor.batchdims": Reason("`batch`.", "batch"),
    "LazyTensor.nbatchdims": Reason("`len(K.batch)`.", "batch"),
    "LazyTensor.backend": Reason("`with options(backend=...)`, or the keyword.", "options"),
    "LazyTensor.__call__": Reason("What `call=False` gives is called; see `Deferred`.", "Var"),
    "LazyTensor.symbolic_variables": Reason("A `Deferred` lists what it needs.", "Var"),
    "LazyTensor.variables": Reason("`slots`, each with its array.", "slots"),
    "LazyTensor.is_complex": Reason("`isinstance(z, ComplexLazyTensor)`.", "ComplexLazyTensor"),
    "KernelSolve.__call__, eps=": Reason(
        "Relative to the norm of the right-hand sides; KeOps's is of the residual itself.",
        "KernelSolve",
    ),
    "LazyTensor.difference_matrix": Reason("KeOps has no formula of that name: it fails there."),
    "LazyTensor.Genred": Reason("`Genred` of the module.", "Genred"),
    "LazyTensor.__str__": Reason("Python's, of `repr`.", "__repr__"),
    "LazyTensor.reduction": Reason("The reductions have methods, such as `sum`.", "sum"),
    **dict.fromkeys(
        [f"LazyTensor.{n}" for n in ("unary", "binary", "ternary")], Reason(_TYPE, "ops")
    ),
    **dict.fromkeys(
        [f"LazyTensor.{n}" for n in ("addop", "subop", "mulop", "divop")],
        Reason("Operators, as `x + y`.", "__add__"),
    ),
    **dict.fromkeys([f"LazyTensor.{n}" for n in _INSIDE.split()], _INTERNAL),
    # keywords
    "Genred, dtype=": Reason("Without effect, as in KeOps: arrays have a dtype.", "Genred"),
    "Genred, cuda_type=": Reason("Without effect, as in KeOps.", "Genred"),
    "Genred, enable_chunks=": Reason("Without effect: any dimension is fast.", "Genred"),
    "Genred, rec_multVar_highdim=": Reason("Without effect: any dimension is fast.", "Genred"),
    "Genred, use_fast_math=": Reason("Without effect: functions are always accurate.", "Genred"),
    "Genred, dtype_acc=": Reason(
        'By default sums of float32 are in float64 beyond 64 terms; "float64" computes all in it.',
        "Genred",
    ),
    "Genred, use_double_acc=": Reason('As `dtype_acc="float64"`.', "Genred"),
    "Genred, sum_scheme=": Reason(
        "All but Kahan's are one, by blocks; Kahan's is for sums only, as `K.sum_kahan(axis)`.",
        "Genred",
    ),
    "Genred.__call__, backend=": Reason(
        "KeOps's names are known; the schemes 1D and 2D are one.", "Genred"
    ),
    "Genred.__call__, device_id=": Reason("Arrays are reduced where they are.", "Genred"),
    # names in formulas
    "formula.DiffClampInt": Reason("A part of the gradient of `ClampInt`."),
    "formula.AdjointOperator": Reason("A part of the gradients of linear operators."),
    "formula.SumLinOperator": Reason("A part of the gradients of linear operators."),
    "formula.Round": Reason("Halves go to even.", "round"),
    **dict.fromkeys(["formula.Diff_WithSavedForward", "formula.Grad_WithSavedForward"], _INTERNAL),
}

REMARKS = """\
* One import is for arrays of NumPy, PyTorch and CuPy, and nothing is compiled at import.
* Indices are of dtype int64, exact for any number of points.
* float16 is not there: convert to float32.
* A number in a formula is a parameter, so that `K / 10` and `K / 20` are compiled once.
* `Kmin`, `argKmin` and `Kmin_argKmin` are of formulas of dimension 1.
* Comparisons give truth values, which count as 0 and 1, and `&`, `|` and `~` combine them.
* NaN is never the smallest nor the largest; sizes and dtypes that disagree raise where they meet.
* Strings are parsed, never evaluated; an error shows the place.
"""


EXAMPLE = """\
import numpy as np
from georeduce.engine import Genred, LazyTensor, Vi, Vj, generic_argkmin

x, y, b = np.random.rand(1000, 3), np.random.rand(2000, 3), np.random.rand(2000, 1)
x_i, y_j = LazyTensor(x[:, None, :]), LazyTensor(y[None, :, :])
K = (-((x_i - y_j) ** 2).sum(-1)).exp()
a = K @ b  # (1000, 1)
c = K.t() @ a  # (2000, 1)
s = K.sum_reduction(axis=1)  # (1000, 1)

later = (-Vi(0, 3).sqdist(Vj(1, 3))).exp().sum(axis=1)  # arrays come when it is called
kernel = Genred("Exp(-SqDist(x, y)) * b", ["x = Vi(3)", "y = Vj(3)", "b = Vj(1)"], axis=1)
nearest = generic_argkmin("SqDist(x, y)", "i = Vi(5)", "x = Vi(3)", "y = Vj(3)")
s, a, i = later(x, y), kernel(x, y, b), nearest(x, y)
"""


def peer(name: str) -> Any:
    """Return a module of pykeops."""
    return importlib.import_module(f"pykeops{'.' if name else ''}{name}")


def attributes(*classes: type) -> set[str]:
    """Return what classes have, but for what every object has."""
    return {n for c in classes for k in c.__mro__ if k is not object for n in vars(k)}


def public(names: Iterable[str]) -> list[str]:
    """Return the names that users may write, without those that Python asks for."""
    private = ("_shape", "_dtype")  # which users write all the same
    kept = [n for n in names if n in private or n[:1] != "_" or n[:2] == "__"]
    return sorted(n for n in kept if n not in _PYTHON.split())


Group = tuple[str, str, dict[str, bool]]
"""Title, prefix of the names in `REASONS`, and each name with whether it is here."""


def groups() -> list[Group]:
    """Return the names of pykeops, and whether each is here."""
    from georeduce import engine
    from georeduce.engine import LazyTensor

    lazy = peer("common.lazy_tensor")
    ours = attributes(LazyTensor, engine.ComplexLazyTensor)
    theirs = attributes(
        lazy.GenericLazyTensor, lazy.ComplexGenericLazyTensor, peer("numpy").LazyTensor
    )
    engine_names = {n for n in engine.__all__ if hasattr(engine, n)}
    found: list[Group] = []
    clusters = engine_names
    if importlib.util.find_spec("georeduce.engine.cluster"):
        clusters = {*clusters, *importlib.import_module("georeduce.engine.cluster").__all__}
    for part, here in (("", engine_names), (".cluster", clusters)):
        names = {n for m in ("numpy", "torch") for n in peer(m + part).__all__}
        title = f"`pykeops.numpy{part}` and `pykeops.torch{part}`"
        found.append((title, f"pykeops.numpy{part}.", {n: n in here for n in public(names)}))
    top = vars(peer(""))
    names = {n for n in public(top) if inspect.isfunction(top[n]) and "keops_" not in n}
    found.append(("`pykeops`", "pykeops.", {n: n in engine_names for n in sorted(names)}))
    found.append(("`LazyTensor`", "LazyTensor.", {n: n in ours for n in public(theirs)}))
    for name in ("Genred", "KernelSolve"):
        for method, prefix in (("__init__", name), ("__call__", f"{name}.__call__")):
            mine = parameters(getattr(engine, name, None), method)
            if mine:
                them = parameters(getattr(peer("numpy"), name), method)
                here = {f"{n}=": n in mine for n in them}
                found.append((f"Arguments of `{prefix}`", f"{prefix}, ", here))
    return [*found, formula_names()]


def parameters(of: Any, method: str) -> list[str]:
    """Return the names of a method's arguments; ``**how`` are the options of reductions."""
    from georeduce.engine.calls import OPTIONS

    if of is None:
        return []
    found = list(inspect.signature(getattr(of, method)).parameters.values())[1:]
    names = [p.name for p in found if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    return names + (list(OPTIONS) if any(p.kind is p.VAR_KEYWORD for p in found) else [])


def formula_names() -> Group:
    """Return the operations of KeOps's formulas."""
    from georeduce.engine.formula.keops import names

    found = {}
    for folder in ("maths", "variables", "autodiff", "LinearOperators", "complex", "factorization"):
        module = importlib.import_module(f"keopscore.formulas.{folder}")
        found |= dict.fromkeys(
            n for n in getattr(module, "__all__", dir(module)) if n[:1].isupper()
        )
    return "Formulas as strings", "formula.", {n: names(n) is not None for n in sorted(found)}


def resolves(here: str) -> bool:
    """Return whether what a reason names exists."""
    from georeduce import engine

    return hasattr(engine, here) or here in attributes(engine.LazyTensor) | {"round"}


def stale(found: list[Group]) -> list[str]:
    """Return the reasons that are of no name, or of one that has come meanwhile."""
    known = {prefix + name: here for _, prefix, names in found for name, here in names.items()}
    wrong = [f"{name}: not a name of pykeops" for name in REASONS if name not in known]
    for name, reason in REASONS.items():
        if known.get(name) and not reason.here:
            wrong.append(f"{name}: it is here")
        if reason.here and not resolves(reason.here):
            wrong.append(f"{name}: nothing here is called {reason.here}")
    return wrong


def render() -> str:
    """Return the text of KEOPS.md."""
    version = peer("").__version__
    lines = [
        "# From KeOps",
        "",
        f"What of the public names of pykeops {version} is here, found by asking both libraries: "
        "`python -m experiments keops` writes this file.",
        "",
        "## What to know",
        "",
        REMARKS,
        f"```python\n{EXAMPLE}```",
        "",
    ]
    for title, prefix, names in groups():
        here = [n for n, is_here in names.items() if is_here and prefix + n not in REASONS]
        lines += [f"## {title}", ""]
        if here:
            lines += ["Here: " + ", ".join(f"`{n}`" for n in here) + ".", ""]
        rows = []
        for n, is_here in names.items():
            reason = REASONS.get(prefix + n)
            if n not in here:
                state = "different" if is_here or (reason and reason.here) else "not"
                rows.append(f"| `{n}` | {state} | {reason.text if reason else YET} |")
        if rows:
            lines += ["| name | | |", "|---|---|---|", *rows, ""]
    return "\n".join(lines).rstrip() + "\n"


def main(arguments: list[str]) -> int:
    """Write KEOPS.md."""
    harness.parser(__doc__ or "", "keops").parse_args(arguments)
    wrong = stale(groups())
    if wrong:
        print("\n".join(["Expected reasons of names that are not here, but got:", *wrong]))
        return 1
    FILE.write_text(render(), encoding="utf-8")
    print(f"{FILE}: written.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
