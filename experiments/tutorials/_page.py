"""How the figures of the lessons look: plain, in print as on a screen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BLACK, ORANGE, BLUE, GREEN = "#000000", "#D55E00", "#0072B2", "#009E73"
"""Colours that everyone tells apart."""
LOOK = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.2,
    "legend.frameon": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
}


@contextmanager
def page(
    file: Path, panels: str, size: tuple[float, float], **how: Any
) -> Iterator[dict[str, Any]]:
    """Give the panels of a figure by their letters, and write it once they are drawn.

    Parameters
    ----------
    file : Path
        The PNG.
    panels : str
        Their places, as matplotlib's `subplot_mosaic` takes them: "AB", "AAA;BCD".
    size : tuple of float
        Width and height in inches; a page of a paper is some 7 inches wide.
    **how
        For `subplot_mosaic`.
    """
    import matplotlib as mpl

    mpl.use("Agg")  # no display is needed
    from matplotlib import pyplot as plt

    with mpl.rc_context(LOOK):
        figure, axes = plt.subplot_mosaic(panels, figsize=size, layout="constrained", **how)
        yield axes
        figure.savefig(file, dpi=200, metadata={"Software": None})
        plt.close(figure)


def picture(ax: Any, title: str) -> None:
    """Make a panel one that shows places: equal scales, no ticks."""
    ax.set(title=title, aspect="equal", xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_visible(True)
