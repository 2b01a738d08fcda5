"""A picture of an embedding in two dimensions: the Poincaré disk, as a figure to print.

Needs matplotlib, which is imported when something is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from georeduce.engine.errors import expected

from ..common import POSITIVE_INTEGER, Array, ParameterError
from .ball import PoincareBall

STEPS = 24
"""Points of a geodesic that is drawn."""
LETTER = (0.02, 0.045)
"""Width and height of a letter in radii of the disk, about, in a figure of six inches."""


def direct(relations: Any) -> Any:
    """Return the relations that do not follow from two others, as a matrix.

    Parameters
    ----------
    relations : csr_array of shape (n_nodes, n_nodes)
        Relations, such as a transitive closure.

    Returns
    -------
    csr_array of shape (n_nodes, n_nodes)
        Ones.
    """
    there = (relations != 0).astype(np.int64)
    return (there - there.multiply((there @ there) != 0)).astype(bool).tocsr()


def draw_disk(
    model: Any,
    ax: Any = None,
    *,
    edges: Any = None,
    labels: int | Sequence[Any] = 20,
    names: Any = str,
) -> Any:
    """Draw the nodes of an embedding, their relations as geodesics, and some names.

    Parameters
    ----------
    model : PoincareEmbedding
        Fitted, in two dimensions.
    ax : matplotlib axes, optional
        Where to draw; by default new ones.
    edges : list of (u, v), optional
        Pairs of names; by default the relations that do not follow from two others.
    labels : int or sequence of names, default=20
        Nodes whose names are written: these, or so many of those that most nodes are related to,
        as far as they do not write over each other.
    names : callable, default=str
        From the name of a node to what is written.

    Returns
    -------
    matplotlib axes
        With the drawing.

    Raises
    ------
    ParameterError
        If the embedding is not of two dimensions.
    """
    import matplotlib.pyplot as plt
    from matplotlib import patheffects
    from matplotlib.collections import LineCollection
    from matplotlib.patches import Circle

    x = model._in_ball()
    if x.shape[1] != 2:
        cure = "Fit with n_components=2."
        raise ParameterError(expected("an embedding in 2 dimensions", f"{x.shape[1]}", cure))
    if ax is None:
        ax = plt.figure(figsize=(6, 6), layout="constrained").add_subplot()
    ax.set(aspect="equal", xlim=(-1.02, 1.02), ylim=(-1.02, 1.02))
    ax.set_axis_off()
    ax.add_patch(Circle((0, 0), 1, facecolor="0.97", edgecolor="0.4", linewidth=0.8))

    pairs = _pairs(model, edges)
    if len(pairs):
        t = np.linspace(0, 1, STEPS)
        u, v = (x[pairs[:, end]][:, None] for end in (0, 1))
        arcs: Any = PoincareBall().geodesic(u, v, t[None, :])
        ax.add_collection(LineCollection(arcs, colors="tab:blue", linewidths=0.4, alpha=0.45))
    above = np.bincount(pairs[:, 1], minlength=len(x)) if len(pairs) else np.zeros(len(x))
    ax.scatter(*x.T, s=4 + 4 * np.sqrt(above), c="tab:blue", linewidths=0, zorder=2)

    halo = [patheffects.withStroke(linewidth=2, foreground="white")]
    for row, name in _chosen(model, x, labels, names):
        ax.annotate(
            name,
            x[row],
            xytext=(3, 3),
            textcoords="offset points",
            fontsize=7,
            path_effects=halo,
            zorder=3,
        )
    return ax


def _pairs(model: Any, edges: Any) -> Array:
    """Return rows (n_edges, 2) of the edges to draw."""
    if edges is not None:
        return np.array([[model._index(end) for end in edge[:2]] for edge in edges]).reshape(-1, 2)
    relations = getattr(model, "relations_", None)
    if relations is None:
        return np.empty((0, 2), np.intp)
    return np.stack(direct(relations).nonzero(), axis=1)


def _chosen(model: Any, x: Array, labels: int | Sequence[Any], names: Any) -> list[tuple[int, str]]:
    """Return rows of nodes, and what is written beside them."""
    if not isinstance(labels, int | np.integer):
        rows = [model._index(name) for name in labels]
        return [(row, names(model._name(row))) for row in rows]
    if labels:
        POSITIVE_INTEGER.check("labels", labels)
    relations = getattr(model, "relations_", None)
    related = np.zeros(len(x)) if relations is None else np.diff(relations.tocsc().indptr)
    chosen: list[tuple[int, str]] = []
    width, height = LETTER
    for row in np.argsort(-related, kind="stable"):
        if len(chosen) == labels:
            break
        name = names(model._name(row))
        right, up = x[row] + (width * len(name), height)
        free = all(
            right < x[other][0]
            or x[row][0] > x[other][0] + width * len(written)
            or up < x[other][1]
            or x[row][1] > x[other][1] + height
            for other, written in chosen
        )
        if free:
            chosen.append((int(row), name))
    return chosen
