"""The figure of errors against time: ours and its peers, a panel for each case."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments import harness

Line = dict[str, Any]
COLOURS = ("C0", "C1", "C2", "C3")
ERRORS = {"marginal_error": "marginal error", "value_error": "error of the value"}


def draw(lines: Sequence[Line], file: Path) -> None:
    """Draw the curves of lines of `ot_peers`: of marginals above, of values below."""
    import matplotlib as mpl

    mpl.use("Agg")  # no display is needed
    from matplotlib import pyplot as plt
    from matplotlib.ticker import NullFormatter

    shape = (len(ERRORS), len(lines))
    size = (3.6 * len(lines), 6.4)
    figure, panels = plt.subplots(*shape, figsize=size, squeeze=False, layout="constrained")
    for column, line in enumerate(lines):
        for row, (error, title) in enumerate(ERRORS.items()):
            panel = panels[row][column]
            for colour, (name, points) in zip(COLOURS, line["curves"].items(), strict=False):
                seconds, errors = ([point[key] for point in points] for key in ("seconds", error))
                is_ours = name == harness.OURS
                panel.loglog(
                    seconds, errors, "o-", color=colour, label=name, markersize=4,
                    linewidth=2.5 if is_ours else 1.2, zorder=3 if is_ours else 2,
                )  # fmt: skip
            panel.grid(True, which="major", alpha=0.3)
            panel.xaxis.set_minor_formatter(NullFormatter())  # those of a decade write over it
            if row == 0:
                sizes = "N = {N:,}, D = {D}".format(**line["sizes"])
                panel.set_title(f"{sizes}, {line['dtype']}")
                panel.legend(fontsize=8)
            else:
                panel.set_xlabel("seconds")
            if column == 0:
                panel.set_ylabel(title)
    figure.savefig(file, dpi=100)
    plt.close(figure)
