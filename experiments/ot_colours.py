"""Colour transfer between two photographs: pixels as points, moved by an entropic plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from experiments import harness
from georeduce.apps.ot import SinkhornTransport

Line = dict[str, Any]
FITTED = 20_000
"""Pixels of each picture that potentials are fitted on."""
EPSILON = 0.01
"""Of squared distances between colours, whose components are in [0, 1]."""


def picture(name: str, step: int = 1) -> Any:
    """Return a picture of scikit-learn's, of shape (rows, columns, 3), in [0, 1]."""
    from sklearn.datasets import load_sample_image

    return load_sample_image(name)[::step, ::step].astype(np.float32) / 255


def run(file: Path, fitted: int = FITTED, step: int = 1, write: bool = True) -> Line:
    """Give each of two pictures the colours of the other, draw all four, return times."""
    pictures = [picture(f"{name}.jpg", step) for name in ("china", "flower")]
    pixels = [one.reshape(-1, 3) for one in pictures]
    rng = np.random.default_rng(0)
    samples = [some[rng.choice(len(some), fitted, replace=False)] for some in pixels]
    model = SinkhornTransport(EPSILON, tol=0.01)
    fit_seconds, _ = harness.clock(lambda: model.fit(Xs=samples[0], Xt=samples[1]))
    map_seconds, there = harness.clock(lambda: model.transform(pixels[0]))
    back = model.inverse_transform(pixels[1])
    changed = [
        moved.reshape(one.shape).clip(0, 1)
        for moved, one in zip((there, back), pictures, strict=True)
    ]
    draw(file, pictures, changed)
    line = {
        "experiment": "ot",
        "case": "colours",
        **harness.context([]),
        "sizes": {"M": fitted, "N": fitted, "D": 3, "pixels": len(pixels[0])},
        "dtype": "float32",
        "epsilon": EPSILON,
        "iterations": model.n_iter_,
        "error": float(model.errors_[-1]),
        "fit_seconds": float(f"{fit_seconds:.4g}"),
        "map_seconds": float(f"{map_seconds:.4g}"),
    }
    if write:
        harness.append("ot", line)
    return line


def report(line: Line) -> str:
    """Return the line for people."""
    sizes = line["sizes"]
    return (
        f"colours: fitted on {sizes['M']:,} pixels each in {line['fit_seconds']:.1f} s"
        f" ({line['iterations']} iterations, error {line['error']:.2g}), map of"
        f" {sizes['pixels']:,} pixels {line['map_seconds']:.1f} s"
    )


def draw(file: Path, before: list[Any], after: list[Any]) -> None:
    """Draw two pictures above the same two with each other's colours."""
    import matplotlib as mpl

    mpl.use("Agg")  # no display is needed
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(2, 2, figsize=(13, 9), layout="constrained")
    titles = ("china", "flower", "china in the colours of flower", "flower in those of china")
    for panel, title, one in zip(panels.flat, titles, [*before, *after], strict=True):
        panel.imshow(one)
        panel.set_title(title)
        panel.set_axis_off()
    figure.savefig(file, dpi=100)
    plt.close(figure)
