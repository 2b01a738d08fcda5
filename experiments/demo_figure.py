"""The figure of the demo: accuracy over k for each metric, and the seconds, of both libraries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

STYLES = {
    "georeduce": {"marker": "o", "linestyle": "-"},
    "scikit-learn": {"marker": "x", "ls": ":"},
}


def draw(rows: Sequence[Any], file: Path) -> None:
    """Draw `demo.Row`s: a panel of accuracies for each data set searched, then the seconds."""
    import matplotlib as mpl

    mpl.use("Agg")  # no display is needed
    from matplotlib import pyplot as plt

    searched = list(dict.fromkeys(row.data for row in rows if row.curves))
    width = len(searched) + 1
    figure, panels = plt.subplots(1, width, figsize=(4.5 * width, 4), layout="constrained")
    for panel, data in zip(panels, searched, strict=False):
        for row in (row for row in rows if row.data == data):
            for place, (metric, points) in enumerate(row.curves.items()):
                label = metric if row.library == "georeduce" else None
                ks, accuracies = zip(*points, strict=True)
                style = {"color": f"C{place}", "label": label} | STYLES[row.library]
                panel.plot(ks, accuracies, **style)
        panel.set(title=data, xlabel="k", ylabel="accuracy (cross-validation, uniform weights)")
        panel.legend(title="o georeduce, x scikit-learn")
    times = panels[-1]
    names = list(dict.fromkeys(row.data for row in rows))
    for place, library in enumerate(STYLES):
        seconds = [row.seconds for row in rows if row.library == library]
        bars = times.bar([i + 0.4 * place for i in range(len(names))], seconds, 0.4, label=library)
        times.bar_label(bars, fmt="%.1f")
    times.set_xticks([i + 0.2 for i in range(len(names))], names)
    times.set(title="seconds", yscale="log")
    times.legend()
    figure.savefig(file, dpi=120)
    plt.close(figure)
