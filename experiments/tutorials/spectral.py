r"""Spectral embedding: a knot is untied by the eigenvectors of a matrix that nobody has stored.

Points of a closed curve, a trefoil knot, lie in space, unevenly and with noise. How they are
connected is a Gaussian kernel K. With the points' densities d = K 1 divided out on both sides,
W = K / (d d^T), and with the degrees D = W 1, the normalised matrix

.. math:: S = D^{-1/2} W D^{-1/2}

tells, for points ever denser and kernels ever narrower, nothing but the geometry of the curve
(Coifman and Lafon, Diffusion maps, 2006): its eigenvectors, divided by the first one, are those
of the curve's Laplacian. On a closed curve of length L these are a sine and a cosine for every
frequency 2 pi k / L. So two of them place the points on a circle, in the order in which they are on
the curve, and, for a kernel of width s, the eigenvalues are close to those of a circle:

.. math:: \lambda_k = \exp(- (2 \pi k s / L)^2 / 2), \quad k = 0, 1, 1, 2, 2, \ldots

SciPy's eigensolver asks for products with vectors only. A LazyTensor gives them, and
`aslinearoperator` takes it as it is; the weights are part of the formula.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import aslinearoperator, eigsh

from experiments.tutorials import _page
from georeduce.engine import LazyTensor, Vi, Vj

Array = NDArray[Any]
PAIRS = 3
"""Pairs of eigenvectors that are computed, beside the first one."""


def trefoil(t: Array) -> Array:
    """Return the points of the knot at parameters from 0 to 2 pi, (N, 3)."""
    radius = 2 + np.cos(3 * t)
    return np.stack([radius * np.cos(2 * t), radius * np.sin(2 * t), np.sin(3 * t)], 1)


def arc(t: Array) -> tuple[Array, float]:
    """Return how far along the knot parameters are, (N,), and the length of the knot."""
    fine = np.linspace(0, 2 * np.pi, 20_001)
    steps = np.linalg.norm(np.diff(trefoil(fine), axis=0), axis=1)
    along = np.concatenate([[0], np.cumsum(steps)])
    return np.interp(t, fine, along), float(along[-1])


def normalised(x: Array, width: float) -> tuple[LazyTensor, Array]:
    """Return the matrix S of points, symbolic (N, N), and its first eigenvector (N,).

    Parameters
    ----------
    x : array of shape (N, D)
        Points.
    width : float
        The standard deviation of the kernel.
    """
    K = (-Vi(x).sqdist(Vj(x)) / (2 * width**2)).exp()
    density = K.sum(axis=1)  # (N, 1): large where points are crowded
    W = K / (Vi(density) * Vj(density))
    root = W.sum(axis=1) ** -0.5
    first = 1 / root[:, 0]
    return Vi(root) * W * Vj(root), first / np.linalg.norm(first)


def spectrum(x: Array, width: float, count: int) -> tuple[Array, Array]:
    """Return the largest eigenvalues of S, descending, and their vectors over the first one.

    Returns
    -------
    values : array of shape (count,)
    vectors : array of shape (N, count)
        Scaled to have the mean square 1 under the square of the first one; this is the constant 1.
    """
    S, first = normalised(x, width)
    # A fixed start makes the run repeatable; a basis larger than SciPy's default of 20 needs fewer
    # products where eigenvalues are as close to each other as here.
    start = np.random.default_rng(0).standard_normal(len(x))
    basis = min(len(x), 8 * count)
    values, vectors = eigsh(aslinearoperator(S), k=count, which="LA", v0=start, ncv=basis)
    order = np.argsort(-values)
    return values[order], vectors[:, order] / first[:, None]


def on_circle(values: Array, length: float, width: float) -> Array:
    """Return the eigenvalues of a circle of that length, as many as are given."""
    k = (np.arange(len(values)) + 1) // 2
    return np.exp(-((2 * np.pi * k * width / length) ** 2) / 2)


def turns(embedded: Array, along: Array, length: float) -> float:
    """Return the largest error of the embedding's angle, in turns, for the best start and sense.

    Parameters
    ----------
    embedded : array of shape (N, 2)
    along : array of shape (N,)
        True places on the curve.
    length : float
        Of the curve.
    """
    angle = embedded[:, 0] + 1j * embedded[:, 1]
    angle = angle / np.abs(angle)
    worst = []
    for sense in (1, -1):
        apart = angle * np.exp(-2j * np.pi * sense * along / length)
        apart = apart / (mean := apart.mean()) * abs(mean)
        worst.append(np.abs(np.angle(apart)).max() / (2 * np.pi))
    return float(min(worst))


def sample(N: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return parameters (N,), denser on one side of the knot, and noisy points there (N, 3)."""
    t = rng.uniform(0, 2 * np.pi, N)
    t = (t + 0.5 * np.sin(t)) % (2 * np.pi)  # three times as many on one side as on the other
    return t, trefoil(t) + 0.02 * rng.standard_normal((N, 3))


def main(file: Path, quick: bool) -> list[str]:
    N, width = (600, 0.3) if quick else (10_000, 0.15)
    t, x = sample(N, np.random.default_rng(0))
    values, vectors = spectrum(x, width, 1 + 2 * PAIRS)
    along, length = arc(t)
    ideal = on_circle(values, length, width)
    draw(x, along / length, vectors, values, (length, width), file)
    told = ", ".join(
        f"{ours:.5f} ({theirs:.5f})" for ours, theirs in zip(values, ideal, strict=True)
    )
    return [
        f"{N:,} points: the angle is wrong by at most"
        f" {turns(vectors[:, 1:3], along, length):.2%} of a turn",
        f"eigenvalues (those of a circle): {told}",
    ]


def draw(
    x: Array, place: Array, vectors: Array, values: Array, circle: tuple[float, float], file: Path
) -> None:
    """Draw the knot, the circle that it becomes, and the eigenvalues."""
    look = {"c": place, "cmap": "twilight", "s": 1.5, "linewidths": 0}
    kinds = {"A": {"projection": "3d"}}
    with _page.page(file, "ABC", (7.2, 2.7), per_subplot_kw=kinds) as axes:
        axes["A"].scatter(*x.T, **look)
        axes["A"].set_box_aspect((6, 6, 2), zoom=1.3)
        axes["A"].view_init(elev=60)
        axes["A"].set_axis_off()
        axes["A"].set_title(f"{len(x):,} points of a knot")
        axes["B"].scatter(*vectors[:, 1:3].T, **look)
        _page.picture(axes["B"], "second and third eigenvector")
        k = (np.arange(len(values)) + 1) // 2
        fine = np.linspace(0, k[-1], 200)
        length, width = circle
        axes["C"].plot(
            fine, 1 - np.exp(-((2 * np.pi * fine * width / length) ** 2) / 2),
            color=_page.ORANGE, label="of a circle",
        )  # fmt: skip
        axes["C"].plot(k, 1 - values, "o", color=_page.BLACK, markersize=3, label="of the knot")
        axes["C"].set(title="eigenvalues", xlabel="frequency k", ylabel="1 - eigenvalue")
        axes["C"].xaxis.get_major_locator().set_params(integer=True)
        axes["C"].legend()
