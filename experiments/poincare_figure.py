"""The figure of Poincaré embeddings: mammals on the disk."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from experiments import harness, wordnet
from georeduce.apps.hyperbolic import PoincareEmbedding, draw_disk

RADIUS = 7.0
"""Of the ball: in a larger one most nodes would stand on the circle."""


def draw(file: Path, names: Any, closure: Any, epochs: int, n_jobs: int | None = None) -> str:
    """Draw an embedding of some nouns, and return what it reaches."""
    import matplotlib as mpl

    mpl.use("Agg")  # no display is needed
    import matplotlib.pyplot as plt

    model = PoincareEmbedding(
        2, max_iter=epochs, batch_size=256, max_radius=RADIUS, random_state=0, n_jobs=n_jobs
    ).fit(wordnet.edges_of(names, closure))
    reached = model.evaluate()
    ax = draw_disk(model, labels=40, names=lambda name: name.rpartition(".")[0].replace("_", " "))
    told = f"mean rank {reached.mean_rank:.2f}, MAP {reached.mean_average_precision:.3f}"
    ax.set_title(f"{len(model.nodes_):,} nouns of WordNet in the Poincaré disk: {told}", size=9)
    for kind in (file, file.with_suffix(".pdf")):
        ax.figure.savefig(kind, dpi=200)
    plt.close(ax.figure)
    return told


def disk(asked: argparse.Namespace) -> None:
    """Draw the mammals; the canines, quickly."""
    names, closure = wordnet.mammals()
    if asked.quick:
        names, closure = wordnet.below(names, closure, "canine")
    file = asked.folder / "poincare-disk.png"
    told = draw(file, names, closure, asked.epochs or (20 if asked.quick else 1500), asked.n_jobs)
    inside = file.is_relative_to(harness.ROOT)
    print(f"Figure: {file.relative_to(harness.ROOT) if inside else file} ({told})")
