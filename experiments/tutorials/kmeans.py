"""K-means on a million points: the nearest of K centroids, without a matrix of distances.

Lloyd's algorithm repeats two steps, of which neither can make the inertia (the sum of the squared
distances from points to their centroids) larger:

1. each point goes to the centroid next to it;
2. each centroid moves to the mean of its points.

The second step is linear in the points and NumPy does it well. The first one looks at all pairs:
a million points and 500 centroids make 5 10^8 distances, four gigabytes of doubles, of which only
the smallest of each row is wanted. It is therefore written as a reduction, and nothing of that size
is ever stored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.tutorials import _page
from georeduce.engine import Vi, Vj

Array = NDArray[Any]


def galaxy(M: int, rng: np.random.Generator) -> Array:
    """Return points of two arms of a logarithmic spiral and of the bulge between them, (M, 2).

    The density varies a hundredfold, so that cells do too.
    """
    turn = 1.5 * np.pi * rng.uniform(0, 1, M) ** 0.7  # how far along its arm a point is
    radius = 0.2 * np.exp(0.35 * turn)
    angle = turn + np.pi * rng.integers(0, 2, M)
    arms = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    bulge = 0.12 * rng.standard_normal((M, 2))
    spread = 0.15 * radius[:, None] * rng.standard_normal((M, 2))
    return np.where(rng.random((M, 1)) < 0.2, bulge, arms + spread)


def assign(x: Array, c: Array) -> tuple[Array, Array]:
    """Return the centroid next to each point, and the squared distance to it: the first step.

    Parameters
    ----------
    x : array of shape (M, D)
        Points.
    c : array of shape (K, D)
        Centroids.

    Returns
    -------
    labels : array of shape (M,)
    squares : array of shape (M,)
    """
    d2 = Vi(x).sqdist(Vj(c))  # (M, K), symbolic: a formula and two arrays
    squares, labels = d2.min_argmin(axis=1)  # one loop, which keeps the best of each row
    return labels[:, 0], squares[:, 0]


def update(x: Array, labels: Array, c: Array) -> Array:
    """Return the means of the points of each centroid: the second step.

    A centroid that has lost all its points stays where it is.
    """
    counts = np.bincount(labels, minlength=len(c))
    sums = [np.bincount(labels, weights=column, minlength=len(c)) for column in x.T]
    means = np.stack(sums, 1) / np.maximum(counts, 1)[:, None]
    return np.where(counts[:, None] > 0, means, c)


def lloyd(x: Array, c: Array, rounds: int) -> tuple[Array, list[float]]:
    """Return the centroids after some rounds, and the inertia before each and after the last."""
    labels, squares = assign(x, c)
    inertias = [float(squares.sum())]
    for _ in range(rounds):
        c = update(x, labels, c)
        before = labels
        labels, squares = assign(x, c)
        inertias.append(float(squares.sum()))
        if np.array_equal(labels, before):  # nobody has moved, so nobody ever will
            break
    return c, inertias


def scikit_learn(x: Array, c: Array, rounds: int) -> float:
    """Return the inertia that scikit-learn comes to by the same algorithm from the same start."""
    from sklearn.cluster import KMeans

    model = KMeans(len(c), init=c, n_init=1, max_iter=rounds, tol=0, algorithm="lloyd")
    return float(model.fit(x).inertia_)


def main(file: Path, quick: bool) -> list[str]:
    M, K, rounds = (5_000, 50, 10) if quick else (1_000_000, 500, 30)
    rng = np.random.default_rng(0)
    x = galaxy(M, rng)
    start = x[rng.choice(M, K, replace=False)]
    c, inertias = lloyd(x, start, rounds)
    theirs = scikit_learn(x, start, rounds)
    draw(x, c, inertias, theirs, file)
    return [
        f"{M:,} points, {K} centroids: inertia {inertias[0]:.6g} at the start,"
        f" {inertias[-1]:.6g} after {len(inertias) - 1} rounds",
        f"scikit-learn's from the same start: {theirs:.6g},"
        f" which differs by {abs(theirs / inertias[-1] - 1):.1e} of it",
    ]


def draw(x: Array, c: Array, inertias: list[float], theirs: float, file: Path) -> None:
    """Draw the cells of the centroids over the density of the points, and how inertia falls."""
    from matplotlib.colors import LogNorm
    from scipy.spatial import Voronoi, voronoi_plot_2d

    with _page.page(file, "AB", (7.2, 3.6)) as axes:
        cells, falls = axes["A"], axes["B"]
        extent = [[-1.3, 1.3]] * 2
        cells.hist2d(*x.T, bins=200, range=extent, cmap="Blues", norm=LogNorm(), zorder=0)
        voronoi_plot_2d(
            Voronoi(c), cells, show_points=False, show_vertices=False,
            line_colors="0.25", line_width=0.35,
        )  # fmt: skip
        cells.plot(*c.T, ".", color=_page.ORANGE, markersize=2)
        cells.set(xlim=(-1.3, 1.3), ylim=(-1.3, 1.3))
        _page.picture(cells, f"{len(x):,} points, {len(c)} centroids and their cells")
        falls.plot(np.array(inertias) / len(x), ".-", color=_page.BLACK, label="georeduce")
        falls.plot(
            len(inertias) - 1, theirs / len(x), "o", markersize=9, markerfacecolor="none",
            color=_page.ORANGE, label="scikit-learn, same start",
        )  # fmt: skip
        falls.set(title="Lloyd's algorithm", xlabel="round", ylabel="mean squared distance")
        falls.legend()
