"""Hyperbolic geometry, and learning in the Poincaré ball."""

from __future__ import annotations

from .ball import PoincareBall

__all__ = ["PoincareBall"]
