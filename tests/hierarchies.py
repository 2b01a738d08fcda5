"""Hierarchies to embed, and estimators that are quick."""

from __future__ import annotations

from typing import Any

from georeduce.apps.hyperbolic import PoincareEmbedding

EDGES = [("dog", "canine"), ("wolf", "canine"), ("canine", "animal"), ("cat", "animal")]


def tree(depth: int = 4, children: int = 2) -> list[tuple[int, int]]:
    """Return edges from each node of a balanced tree to its parent."""
    n = sum(children**level for level in range(depth))
    return [(node, (node - 1) // children) for node in range(1, n)]


def quick(**how: Any) -> Any:
    chosen = {"n_components": 3, "max_iter": 60, "random_state": 0, "backend": "numpy"} | how
    return PoincareEmbedding(**chosen)
