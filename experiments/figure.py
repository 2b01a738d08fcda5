"""The figure of pairs a second over the dimension and over the columns, from measured lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments import harness
from experiments.scaling import FIXED_D, FIXED_N, ROWS

Line = dict[str, Any]
STYLES = {  # colours that are told apart by everyone, and in print by their markers
    harness.OURS: ("#000000", "o"),
    "pykeops": ("#D55E00", "s"),
    "faiss-cpu": ("#0072B2", "D"),
    "scikit-learn": ("#CC79A7", "^"),
    "numpy": ("#009E73", "v"),
}
TITLES = {"sum": "Gaussian sum", "10nn": "10 nearest neighbours"}


def curves(lines: list[Line], kind: str, axis: str) -> dict[str, list[tuple[int, float]]]:
    """Return contestant -> (D or N, Gpairs/s), in ascending order."""
    found: dict[str, list[tuple[int, float]]] = {}
    for line in lines:
        if not line["case"].startswith(f"{kind}-over-{axis}-"):
            continue
        for one in ({"name": harness.OURS, **line}, *line["peers"]):
            found.setdefault(one["name"], []).append((line["sizes"][axis], one["gpairs_per_s"]))
    return {name: sorted(found[name]) for name in STYLES if name in found}


def draw(lines: list[Line], to: Path) -> None:
    """Draw both kinds over both axes."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FuncFormatter, NullLocator

    plain = {
        "font.size": 9,
        "axes.titlesize": 9.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with mpl.rc_context(plain):
        figure, axes = plt.subplots(2, 2, figsize=(7.2, 5.4), sharey="row", layout="constrained")
        handles = {}
        for row, (kind, title) in zip(axes, TITLES.items(), strict=True):
            fixed = {"D": f"N = {FIXED_N:,}", "N": f"D = {FIXED_D[kind]}"}
            for ax, axis in zip(row, "DN", strict=True):
                for name, points in curves(lines, kind, axis).items():
                    colour, marker = STYLES[name]
                    mine = name == harness.OURS
                    (handles[name],) = ax.plot(
                        *zip(*points, strict=True),
                        color=colour, marker=marker, markersize=4.5 if mine else 4,
                        linewidth=2 if mine else 1.2, zorder=3 if mine else 2,
                    )  # fmt: skip
                ax.set(xscale="log", yscale="log", title=f"{title}, {fixed[axis]}")
                ax.set_xlabel({"D": "dimension D", "N": "columns N"}[axis])
                ax.grid(which="major", color="0.9", linewidth=0.6)
                ax.set_axisbelow(True)
                ax.xaxis.set_minor_locator(NullLocator())
                ax.yaxis.set_minor_locator(NullLocator())
                ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
                if axis == "D":
                    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
            row[0].set_ylabel("$10^9$ pairs per second")
        names = [name for name in STYLES if name in handles]
        figure.legend(
            [handles[n] for n in names], names, loc="outside upper center", ncols=len(names),
            frameon=False, handlelength=2.2, columnspacing=1.6,
        )  # fmt: skip
        figure.align_ylabels()
        to.parent.mkdir(exist_ok=True)
        figure.savefig(to, dpi=200, metadata={"Software": None})
        plt.close(figure)


CAPTION = (
    f"Throughput over the dimension and over the columns, {ROWS:,} rows, float32, all threads,"
    " both axes logarithmic; each contestant gets as many rows as it needs to be timed well."
)
