"""Hyperbolic geometry, and learning in the Poincaré ball."""
