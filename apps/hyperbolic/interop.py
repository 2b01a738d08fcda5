"""Geomstats: its hyperbolic spaces as ours, and ours with its interface, for its learners.

Points are the same arrays in both. Geomstats is imported when asked for: the extra `hyperbolic`.
"""

from __future__ import annotations

import importlib
from typing import Any

from georeduce.engine.errors import did_you_mean, expected

from ..common import ParameterError
from ._model import MODEL
from ._space import HyperbolicSpace
from .ball import PoincareBall
from .half_space import HalfSpace
from .hyperboloid import Hyperboloid

MODELS: dict[str, type[HyperbolicSpace]] = {
    "PoincareBall": PoincareBall,
    "PoincareHalfSpace": HalfSpace,
    "Hyperboloid": Hyperboloid,
}
"""By the names of geomstats's classes."""
_MODULES = {"PoincareBall": "poincare_ball", "PoincareHalfSpace": "poincare_half_space"}


def from_geomstats(space: Any) -> HyperbolicSpace:
    """Return the model of a hyperbolic space of geomstats.

    Parameters
    ----------
    space : geomstats space, or its metric
        A ``PoincareBall``, ``PoincareHalfSpace`` or ``Hyperboloid``, which ``Hyperbolic`` also
        makes.

    Returns
    -------
    HyperbolicSpace
        Of curvature -1, in the same coordinates.

    Examples
    --------
    >>> from types import SimpleNamespace  # instead of geomstats.geometry.poincare_ball
    >>> from georeduce.apps.hyperbolic import from_geomstats
    >>> class PoincareBall(SimpleNamespace): ...
    >>> from_geomstats(PoincareBall(dim=2))
    PoincareBall(curvature=-1.0)
    """
    held = getattr(space, "_space", space)
    names = [cls.__name__ for cls in type(held).__mro__]
    for name in names:
        if name in MODELS:
            return MODELS[name]()
    what = f"one of geomstats's hyperbolic spaces, {', '.join(MODELS)}, or its metric"
    raise ParameterError(expected(what, names[0], did_you_mean(names[0], MODELS)))


def to_geomstats(space: HyperbolicSpace, D: int) -> Any:
    """Return a space of geomstats whose metric has this model's distances and maps.

    Parameters
    ----------
    space : HyperbolicSpace
        Of curvature -1, as all of geomstats's are.
    D : int
        Dimension.

    Returns
    -------
    geomstats space
        Of the class for these coordinates. Of its metric ``dist``, ``squared_dist``, ``exp``,
        ``log`` and ``parallel_transport`` are ours; the rest is geomstats's.

    Raises
    ------
    ModuleNotFoundError
        If geomstats is not installed.
    """
    MODEL.check("space", space)
    if space.curvature != -1:
        cure = "Divide points by the radius, and multiply distances by it."
        raise ParameterError(expected("curvature -1 for geomstats", f"{space.curvature}", cure))
    name = next(name for name, model in MODELS.items() if isinstance(space, model))
    module = "geomstats.geometry." + _MODULES.get(name, name.lower())
    try:
        Space = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        error.add_note("Install georeduce[hyperbolic].")
        raise
    made = Space(D, equip=False)
    made.equip_with_metric(_metric_class(Space.default_metric(), space))
    return made


def _metric_class(base: type, space: HyperbolicSpace) -> type:
    """Return a class of metrics of geomstats with methods of a space."""

    def parallel_transport(
        self: Any, tangent_vec: Any, base_point: Any, direction: Any = None, end_point: Any = None
    ) -> Any:
        if end_point is None:
            end_point = space.exp(base_point, direction)
        return space.transport(base_point, end_point, tangent_vec)

    methods = {
        "dist": lambda self, point_a, point_b: space.distance(point_a, point_b),
        "squared_dist": lambda self, point_a, point_b: space.distance(point_a, point_b) ** 2,
        "exp": lambda self, tangent_vec, base_point: space.exp(base_point, tangent_vec),
        "log": lambda self, point, base_point: space.log(base_point, point),
        "parallel_transport": parallel_transport,
    }
    return type(base.__name__, (base,), methods)
