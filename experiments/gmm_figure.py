"""The figure of mixtures: densities and ellipses of each covariance type; criteria of a search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from experiments import gmm_grid
from georeduce.apps.gmm import BayesianGaussianMixture, GaussianMixture

TYPES = ("full", "tied", "diag", "tied_diag", "spherical", "tied_spherical")
RADII = (1.0, 2.0)
"""Of the ellipses, in standard deviations."""


def samples(n: int = 3000) -> Any:
    """Return three arms of a spiral, of different spreads."""
    rng = np.random.default_rng(0)
    arm, along = rng.integers(0, 3, n), rng.uniform(0.3, 1.0, n)
    angle = 2 * np.pi * arm / 3 + 1.5 * along
    X = 4 * along[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    return X + rng.normal(size=(n, 2)) * (0.1 + 0.1 * arm)[:, None]


def matrix_of(model: Any, k: int) -> Any:
    """Return the covariance of a component as a matrix, whatever the type."""
    given = np.asarray(model.covariances_)
    one = given if model.covariance_type.startswith("tied") else given[k]
    return one if one.ndim == 2 else np.diag(np.broadcast_to(one, model.means_.shape[1]))


def draw(file: Path, found: Any = None, n: int = 3000, K: int = 9) -> None:
    """Draw a panel for each type, and one of a Dirichlet process with more components.

    Their titles tell how many have weight, and the mean log-likelihood. What a search of `gmm_grid`
    found has the last panel.
    """
    import matplotlib as mpl

    mpl.use("Agg")  # no display is needed
    from matplotlib import pyplot as plt
    from matplotlib.patches import Ellipse

    X = samples(n)
    models: list[tuple[str, Any]] = [
        (kind, GaussianMixture(K, covariance_type=kind, random_state=0, max_iter=1000))
        for kind in TYPES
    ]
    process = BayesianGaussianMixture(
        n_components=3 * K, random_state=0, max_iter=3000, weight_concentration_prior=1e-2
    )
    models.append(("Dirichlet process", process))
    figure, panels = plt.subplots(2, 4, figsize=(18, 9), layout="constrained")
    low, high = X.min(axis=0) - 0.5, X.max(axis=0) + 0.5
    x, y = (np.linspace(low[d], high[d], 300) for d in range(2))
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    for panel, (title, model) in zip(panels.flat, models, strict=False):
        model.fit(X)
        density = np.exp(model.score_samples(grid)).reshape(len(y), len(x))
        panel.contourf(x, y, density, levels=20, cmap="Blues")
        panel.plot(*X[::10].T, ".", color="0.4", markersize=2)
        for k in np.flatnonzero(model.weights_ > 0.005):
            values, vectors = np.linalg.eigh(matrix_of(model, k))
            angle = np.degrees(np.arctan2(*vectors[::-1, 1]))
            for radius in RADII:
                width, height = 2 * radius * np.sqrt(values[::-1])
                panel.add_patch(
                    Ellipse(model.means_[k], width, height, angle=angle, fill=False, color="C1")
                )
        used = int((model.weights_ > 0.005).sum())
        panel.set(title=f"{title}: {used} components, {model.score(X):.3f}")
        panel.set_aspect("equal")
    if found is None:
        panels.flat[-1].set_axis_off()
    else:
        _draw_criteria(panels.flat[-1], found)
    figure.savefig(file, dpi=100)
    plt.close(figure)


def _draw_criteria(panel: Any, found: Any) -> None:
    """Draw the criterion over the number of components, a line for each type."""
    components = found.param_grid["n_components"]
    for kind, values in zip(gmm_grid.TYPES, gmm_grid.criteria(found), strict=True):
        panel.plot(components, values / 1e3, "o-", label=kind)
    best = found.best_params_
    panel.plot(best["n_components"], -found.best_score_ / 1e3, "k*", markersize=14)
    panel.set(
        title=f"digits: {best['n_components']} components, {best['covariance_type']}",
        xlabel="components",
        ylabel="BIC / 1000",
    )
    panel.legend()
