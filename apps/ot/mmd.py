r"""Maximum mean discrepancies: distances of measures as vectors in the space of a kernel.

The two measures are one, with weights of both signs, so that one reduction is the whole, and what
the measures have in common cancels term by term before it is rounded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from georeduce.engine import LazyTensor, Vi, Vj
from georeduce.engine.arrays import cast, kind_of
from georeduce.engine.errors import did_you_mean, expected

from .._arrays import native, untraced
from ..common import ParameterError
from ._arrays import POSITIVE_NUMBER, at_home, namespace, number
from .problem import Problem, check_same_mass


@dataclass(frozen=True)
class Kernel:
    """A similarity of two points.

    It should be the case that sums of it with weights ``w_i w_j`` are >= 0, if it is not
    `conditional` for all weights, else for those of sum 0.

    Attributes
    ----------
    name : str
        Value of the parameter ``kernel``.
    formula : callable
        Of two LazyTensors, rows and columns.
    scaled : bool
        Whether points are divided by ``scale`` first.
    conditional : bool
        Whether the two measures need equal masses.
    """

    name: str
    formula: Callable[[LazyTensor, LazyTensor], LazyTensor]
    scaled: bool = True
    conditional: bool = False


KERNELS: dict[str, Kernel] = {
    kernel.name: kernel
    for kernel in (
        Kernel("gaussian", lambda x, y: (-0.5 * x.sqdist(y)).exp()),
        Kernel("laplacian", lambda x, y: (-x.sqdist(y).sqrt()).exp()),
        Kernel("energy", lambda x, y: -x.sqdist(y).sqrt(), scaled=False, conditional=True),
    )
}


@untraced
def squared_mmd(
    x: Any,
    y: Any,
    a: Any = None,
    b: Any = None,
    *,
    kernel: Any = "gaussian",
    scale: float = 1.0,
    backend: str | None = None,
    n_threads: int | None = None,
) -> Any:
    r"""Return the squared maximum mean discrepancy of two measures.

    .. math:: \sum_{ij} w_i w_j k(z_i, z_j), \qquad z = (x, y), \quad w = (a, -b)

    (Gretton et al. 2012, A kernel two-sample test, equation 5). For the energy kernel it is the
    energy distance (Székely & Rizzo 2013).

    Parameters
    ----------
    x, y : arrays of shape (..., M, D) and (..., N, D)
        Points, of NumPy, PyTorch or CuPy.
    a, b : arrays of shape (..., M) and (..., N), optional
        Weights >= 0; 1 / M and 1 / N by default.
    kernel : {"gaussian", "laplacian", "energy"} or callable, default "gaussian"
        :math:`\exp(-|x - y|^2 / 2 s^2)`, :math:`\exp(-|x - y| / s)`, :math:`-|x - y|`, or a
        function of two LazyTensors, rows and columns.
    scale : float, default 1.0
        s, of the first two.
    backend, n_threads
        As for reductions.

    Returns
    -------
    array of shape (...)
        In the dtype of the points; a tensor of tensors, with derivatives of any order by points and
        weights.

    Raises
    ------
    ParameterError
        For the energy kernel, if the sums of weights are not equal; see also `Problem`.

    Notes
    -----
    GeomLoss's ``SamplesLoss("gaussian", blur=s)`` and its others are half of this.

    Examples
    --------
    >>> import numpy as np
    >>> from georeduce.apps.ot import squared_mmd
    >>> x, y = np.zeros((1, 1)), np.ones((1, 1))
    >>> print(squared_mmd(x, y, kernel="energy"))
    2.0
    """
    POSITIVE_NUMBER.check("scale", scale)
    scale = float(number(scale))
    known = _resolve(kernel)
    # measures, as those of a problem that lets masses differ
    problem = Problem(x, y, a, b, epsilon=1.0, reach=1.0)
    if known.conditional:
        what = f"a and b of equal sums for kernel={known.name!r}"
        check_same_mass(problem.a, problem.b, what, "Divide each by its sum.")
    xp, dtype = namespace(x), kind_of(x)[0]
    z = xp.concatenate([x, y], axis=-2)
    w = xp.concatenate([_weights(a, problem.a, x), -_weights(b, problem.b, x)], axis=-1)
    w = cast(w, dtype)
    z = z / scale if known.scaled else z
    K = known.formula(Vi(z), Vj(z))
    how = {"backend": backend, "n_threads": n_threads}
    sums = (K * Vj(w[..., None])).sum(axis=z.ndim - 1, **how)
    return (w * sums[..., 0]).sum(-1)


def _resolve(kernel: Any) -> Kernel:
    if callable(kernel):
        return Kernel(getattr(kernel, "__name__", repr(kernel)), kernel, scaled=False)
    if not isinstance(kernel, str) or kernel not in KERNELS:
        what = f"kernel to be one of {sorted(KERNELS)} or a function of two LazyTensors"
        guess = did_you_mean(kernel, KERNELS) if isinstance(kernel, str) else ""
        raise ParameterError(expected(what, repr(kernel), guess))
    return KERNELS[kernel]


def _weights(given: Any, checked: Any, x: Any) -> Any:
    """Return weights as PyTorch follows them, if they are tensors."""
    return at_home(checked, x) if given is None or native(given) is given else given
