"""Hyperbolic geometry, and learning in the Poincaré ball."""

from __future__ import annotations

from .ball import PoincareBall
from .half_space import HalfSpace
from .hyperboloid import Hyperboloid
from .interop import from_geomstats, to_geomstats

__all__ = ["HalfSpace", "Hyperboloid", "PoincareBall", "from_geomstats", "to_geomstats"]
