r"""Kernel interpolation (kriging): what lies between noisy samples, by one linear system.

Let a function be Gaussian and its values correlated as the kernel says,

.. math:: k(x, y) = \exp(- |x - y|^2 / 2 s^2).

Of noisy samples b at points x, its mean at any other place is a sum of kernels around the points,
and its variance is what the samples leave of the prior's, which is 1:

.. math:: m(t) = k(t, x) (K + \alpha I)^{-1} b, \qquad
          v(t) = 1 - k(t, x) (K + \alpha I)^{-1} k(x, t),

where alpha is the variance of the noise as a part of the function's. Dense solvers store K and
take time N^3. Conjugate gradients only multiply by K, which is a reduction; alpha is also what
bounds the number of their iterations.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.tutorials import _page
from georeduce.engine import LazyTensor, Vi, Vj

Array = NDArray[Any]


def kernel(x: Array, y: Array, length: float) -> LazyTensor:
    """Return the Gaussian kernel of points (M, D) and (N, D), symbolic: (M, N)."""
    return (-Vi(x).sqdist(Vj(y)) / (2 * length**2)).exp()


def mean(x: Array, b: Array, t: Array, length: float, alpha: float) -> Array:
    """Return the interpolated values at some places.

    Parameters
    ----------
    x, b : arrays of shapes (N, D) and (N,)
        Points, and samples there.
    t : array of shape (P, D)
        Places.
    length, alpha : float
        Of the kernel; the noise's share of the variance.

    Returns
    -------
    array of shape (P,)
    """
    coefficients = kernel(x, x, length).solve(b, alpha=alpha)
    return kernel(t, x, length) @ coefficients


def deviation(x: Array, t: Array, length: float, alpha: float) -> Array:
    """Return the standard deviation that is left at some places, (P,).

    Every place is a right-hand side of its own. All P of them share one reduction in each
    iteration, which computes the kernel once; a column that is solved stands still.
    """
    sides = kernel(x, t, length).dense()  # (N, P): as many numbers as the solutions have
    solved = kernel(x, x, length).solve(sides, alpha=alpha)
    return np.sqrt(np.maximum(1 - (sides * solved).sum(0), 0))


def signal(t: Array) -> Array:
    """Return a function of one variable, of places (N, 1): a chirp that fades."""
    (s,) = t.T
    return np.sin(2 * np.pi * (1 + 4 * s) * s) * np.exp(-s)


def landscape(t: Array) -> Array:
    """Return Franke's function, two hills, a peak and a dip, of places (N, 2)."""
    a, b = 9 * t.T
    return np.asarray(
        0.75 * np.exp(-((a - 2) ** 2 + (b - 2) ** 2) / 4)
        + 0.75 * np.exp(-((a + 1) ** 2) / 49 - (b + 1) / 10)
        + 0.5 * np.exp(-((a - 7) ** 2 + (b - 3) ** 2) / 4)
        - 0.2 * np.exp(-((a - 4) ** 2) - (b - 7) ** 2)
    )


def grid(n: int) -> Array:
    """Return n x n places of the unit square, (n^2, 2), row by row."""
    side = np.linspace(0, 1, n)
    return np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)


def main(file: Path, quick: bool) -> list[str]:
    N1, N2, n = (300, 400, 20) if quick else (3_000, 10_000, 100)
    rng = np.random.default_rng(0)

    # Samples of the line have a gap, where the deviation must grow back to the prior's.
    noise, length = 0.3, 0.06
    x = rng.uniform(0, 1, (N1, 1))
    x = x[(x[:, 0] < 0.55) | (x[:, 0] > 0.75)]
    b = signal(x) + noise * rng.standard_normal(len(x))
    t = np.linspace(-0.1, 1.1, 240)[:, None]
    line = (mean(x, b, t, length, noise**2), deviation(x, t, length, noise**2))
    covered = np.abs(line[0] - signal(t)) <= 2 * line[1]

    noise, length = 0.1, 0.12
    z = rng.uniform(0, 1, (N2, 2))
    c = landscape(z) + noise * rng.standard_normal(N2)
    plane = mean(z, c, grid(n), length, noise**2)
    error = plane - landscape(grid(n))

    draw((x, b, t, *line), (z, c, plane, error), file)
    return [
        f"on the line, {len(x):,} samples: {covered.mean():.0%} of the places are within two"
        " deviations",
        f"in the plane, {N2:,} samples with noise {noise}: root mean square error"
        f" {np.sqrt(np.mean(error**2)):.4f}",
    ]


def draw(line: tuple[Array, ...], plane: tuple[Array, ...], file: Path) -> None:
    """Draw mean and deviation on the line; samples, mean and error in the plane."""
    x, b, t, middle, far = line
    z, c, values, error = plane
    n = round(len(values) ** 0.5)
    with _page.page(file, "LLL;ABC", (7.2, 5.0), height_ratios=(1, 1.15)) as axes:
        ax, s = axes["L"], t[:, 0]
        ax.plot(x[:, 0], b, ".", color="0.75", markersize=1.5, label="samples", zorder=0)
        ax.fill_between(
            s, middle - 2 * far, middle + 2 * far, color=_page.BLUE, alpha=0.25, linewidth=0,
            label="two deviations",
        )  # fmt: skip
        ax.plot(s, signal(t), "--", color=_page.BLACK, label="truth")
        ax.plot(s, middle, color=_page.BLUE, label="mean")
        ax.set(
            xlim=(s[0], s[-1]), ylim=(-2.2, 2.2), title=f"{len(x):,} samples on a line, with a gap"
        )
        ax.legend(ncols=4, loc="upper center", markerscale=5)
        square = {"origin": "lower", "extent": (0, 1, 0, 1)}
        colours = {"vmin": -0.1, "vmax": 1.3, "cmap": "viridis"}
        axes["A"].scatter(*z.T, c=c, s=1, linewidths=0, **colours)
        axes["A"].set(xlim=(0, 1), ylim=(0, 1))
        _page.picture(axes["A"], f"{len(z):,} samples in a square")
        shown = axes["B"].imshow(values.reshape(n, n), **square, **colours)
        axes["B"].contour(
            values.reshape(n, n), levels=10, colors="white", linewidths=0.4, extent=(0, 1, 0, 1)
        )
        _page.picture(axes["B"], "mean")
        top = np.abs(error).max()
        wrong = axes["C"].imshow(
            error.reshape(n, n), **square, vmin=-top, vmax=top, cmap="RdBu_r"
        )  # fmt: skip
        _page.picture(axes["C"], "mean - truth")
        for ax, image in ((axes["B"], shown), (axes["C"], wrong)):
            ax.figure.colorbar(image, ax=ax, orientation="horizontal", shrink=0.8, aspect=30)
