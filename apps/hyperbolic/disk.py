"""A picture of an embedding in two dimensions: the Poincaré disk, as a figure to print.

Needs matplotlib, which is imported when something is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from georeduce.engine.errors import expected

from ..common import Array, ParameterError, Rule, is_array_like, is_integer
from ._queries import Queries
from .ball import PoincareBall

STEPS = 24
"""Points of a geodesic that is drawn."""
INCHES = 6.0
"""Width and height of a figure."""
LETTER = (0.02, 0.045)
"""Width and height of a letter in radii of the disk, about, in such a figure."""
EDGE = 1.02
"""Where pictures end, in radii of the disk."""

LABELS = Rule(
    "an integer >= 0 or a list of names",
    lambda value: (is_integer(value) and value >= 0) or is_array_like(value),
)


def direct(relations: Any) -> Any:
    """Return the relations that do not follow from two others, as a matrix.

    Others that lead back do not count: of nodes on a cycle, and so of undirected edges, all stay.

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
    up = there - there.multiply(there.T)
    return (there - there.multiply((up @ up) != 0)).astype(bool).tocsr()


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

    Examples
    --------
    >>> from georeduce.apps.hyperbolic import PoincareEmbedding, draw_disk
    >>> edges = [("dog", "canine"), ("wolf", "canine"), ("canine", "animal"), ("cat", "animal")]
    >>> model = PoincareEmbedding(random_state=0, backend="numpy").fit(edges)
    >>> axes = draw_disk(model, labels=["animal", "canine"])
    >>> [text.get_text() for text in axes.texts]
    ['animal', 'canine']
    >>> axes.figure.savefig("disk.pdf")  # doctest: +SKIP
    """
    import matplotlib.pyplot as plt
    from matplotlib import patheffects
    from matplotlib.collections import LineCollection
    from matplotlib.patches import Circle

    if not isinstance(model, Queries):
        raise ParameterError(expected("a fitted PoincareEmbedding", type(model).__name__))
    x = model._in_ball()
    if x.shape[1] != 2:
        cure = "Fit with n_components=2."
        raise ParameterError(expected("an embedding in 2 dimensions", f"{x.shape[1]}", cure))
    shrunk = 1.0
    if ax is None:
        ax = plt.figure(figsize=(INCHES, INCHES), layout="constrained").add_subplot()
    else:
        shrunk = min(ax.get_position().size * ax.figure.get_size_inches()) / INCHES
    ax.set(aspect="equal", xlim=(-EDGE, EDGE), ylim=(-EDGE, EDGE))
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
    letter = np.array(LETTER) / shrunk
    for row, name in _chosen(model, x, labels, names, letter):
        before = _is_before(x[row], name, letter)
        ax.annotate(
            name,
            x[row],
            xytext=(-3 if before else 3, 3),
            textcoords="offset points",
            horizontalalignment="right" if before else "left",
            fontsize=7,
            path_effects=halo,
            zorder=3,
        )
    return ax


def _pairs(model: Queries, edges: Any) -> Array:
    """Return rows (n_edges, 2) of the edges to draw."""
    if edges is not None:
        return model._ends(edges)
    relations = getattr(model, "relations_", None)
    if relations is None:
        return np.empty((0, 2), np.intp)
    return np.stack(direct(relations).nonzero(), axis=1)


def _chosen(
    model: Any, x: Array, labels: int | Sequence[Any], names: Any, letter: Array
) -> list[tuple[int, str]]:
    """Return rows of nodes, and what is written beside them."""
    LABELS.check("labels", labels)
    if not isinstance(labels, int | np.integer):
        rows = model._rows(list(labels))
        return [(row, str(names(model._name(row)))) for row in rows]
    relations = getattr(model, "relations_", None)
    related = np.zeros(len(x)) if relations is None else np.diff(relations.tocsc().indptr)
    chosen: list[tuple[int, str]] = []
    boxes = np.empty((0, 2, 2))
    for row in np.argsort(-related, kind="stable"):
        if len(chosen) == labels:
            break
        name = str(names(model._name(row)))
        box = _box(x[row], name, letter)
        apart = (box[1] < boxes[:, 0]) | (box[0] > boxes[:, 1])
        if apart.any(axis=1).all():
            chosen.append((int(row), name))
            boxes = np.concatenate([boxes, box[None]])
    return chosen


def _is_before(x: Array, name: str, letter: Array) -> bool:
    """Return whether a name stands to the left of a point, as the picture ends to its right."""
    return bool(x[0] + letter[0] * len(name) > EDGE)


def _box(x: Array, name: str, letter: Array) -> Array:
    """Return the lower left and the upper right corner (2, 2) of what is written beside a point."""
    size = letter * (len(name), 1)
    corner = x - (size[0], 0) if _is_before(x, name, letter) else x
    return np.stack([corner, corner + size])
