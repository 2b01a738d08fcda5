"""Make the README's tables, and its figure, from the results: `python -m experiments plot`."""

from __future__ import annotations

from typing import Any

from experiments import figure, growth, harness, ot_shapes, poincare_tables

Line = dict[str, Any]
README = harness.ROOT / "README.md"
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
FIGURE = harness.RESULTS / "scaling.png"
NAMES = {
    "gauss": "Gaussian sum",
    "logsumexp": "log-sum-exp of a weighted kernel",
    "10nn": "10 nearest neighbours",
    "20nn": "20 nearest neighbours",
    "100nn": "100 nearest neighbours",
    "1000nn": "1000 nearest neighbours",
    "10nn-cosine": "10-NN, cosine",
    "10nn-inner": "10-NN, scalar product",
    "10nn-manhattan": "10-NN, manhattan",
    "10nn-chebyshev": "10-NN, chebyshev",
    "10nn-poincare": "10-NN, Poincaré",
    "kmeans-assign": "K-means assignment",
    "sinkhorn": "four half steps of Sinkhorn's algorithm",
    "small": "small Gaussian sum",
    "few-rows-sum": "Gaussian sum, few rows",
    "few-rows-10nn": "10-NN, few rows",
    "import": "`import georeduce.engine`",
    "compile": "first call: compile a formula",
    "warm-call": "warm call, 10 x 10 points",
    "torch-call:plain": "warm call of tensors, above that of arrays",
    "torch-call:gradients": "the same, where gradients are wanted",
    "memory:sum": "memory of a sum, above its inputs",
    "memory:10nn": "memory of 10-NN, above its inputs",
    "gmm-full": "EM, full covariances",
    "gmm-diag": "EM, diagonal covariances",
    "gmm-tied": "EM, one full covariance",
    "gmm-spherical": "EM, spherical covariances",
    "gmm-grid-digits": "grid search of mixtures by BIC, digits",
    "gmm-memory:fit": "memory of a mixture's fit (10^6 x 200, D=10), above its samples",
    "gmm-memory:mapped": "all memory of a fit to a mapped file (10^7 x 50, D=10: 800 MB)",
    "kmeans": "K-means, Lloyd's iteration",
    "kmeans-seeds": "K-means, k-means++ and an iteration",
    "kde-gaussian": "Gaussian kernel density",
    "kde-exponential": "exponential kernel density",
}
ESTIMATORS = ("gmm", "kmeans", "kde")
"""Experiments whose lines are of estimators."""


def times(ratio: float) -> str:
    """Return a ratio with two digits: 1.9, 14, 110."""
    return f"{ratio:.1f}" if ratio < 9.95 else f"{float(f'{ratio:.2g}'):.0f}"


def latest() -> dict[str, dict[tuple[str, str], Line]]:
    """Return experiment -> case and dtype -> its last line, in the order in which they came.

    Of a case with seeds, the last line of each.
    """
    found: dict[str, dict[tuple[str, str], Line]] = {}
    for line in harness.results():
        told = f"{line.get('dtype', '')}{line.get('seed', '')}"
        found.setdefault(line["experiment"], {})[line["case"], told] = line
    return found


def title(line: Line) -> str:
    case, _, dim = line["case"].partition("-D")
    return f"{NAMES.get(case, case)}, D={dim}" if dim else NAMES.get(case, case)


def amount(value: float, unit: str) -> str:
    if unit == "bytes":
        return f"{value / 1e6:.0f} MB"
    if value < 1e-3:
        return f"{value * 1e6:.0f} µs"
    return f"{value * 1e3:.0f} ms" if value < 1 else f"{value:.2f} s"


def share(line: Line) -> str:
    """Return how near a line is to the limit of the machine that acts on it."""
    if line.get("share_of_copy") is not None:
        return f"{line['share_of_copy']:.0%} of a copy"
    return "" if line.get("share_of_peak") is None else f"{line['share_of_peak']:.0%}"


def instructions(line: Line) -> str:
    both = line.get("instructions_per_pair"), line.get("instructions_needed")
    return "" if None in both else "{:.0f} / {:.0f}".format(*both)


def speeds(lines: dict[tuple[str, str], Line]) -> list[str]:
    """Return the table of cases: a row for both dtypes, the peer that counts first."""
    columns = ("case", "M x N", "dtype", "Gpairs/s", "spread", "ours is faster than", "of peak")
    rows = [f"| {' | '.join(columns)} | instructions |", "|---|---|---|---:|---:|---|---:|---:|"]
    for line in sorted(
        lines.values(), key=lambda line: [case for case, _ in lines].index(line["case"])
    ):
        sizes = "{M:,} x {N:,}".format(**line["sizes"])
        peers = sorted(line["peers"], key=lambda p: p["name"] != line.get("peer"))
        told = ", ".join(f"{p['name']} x {times(p['ratio'])}" for p in peers)
        speed = f"{line['dtype']} | {line['gpairs_per_s']:.2f} | {line['spread']:.0%}"
        rows.append(
            f"| {title(line)} | {sizes} | {speed} | {told} | {share(line)} | {instructions(line)} |"
        )
    return rows


def estimators(lines: list[Line]) -> list[str]:
    """Return the table of mixtures, k-means and densities: an iteration, or all of a call."""
    rows = [
        "| estimator | M x N | D | dtype | time | ours is faster than | target |",
        "|---|---|---:|---|---:|---|---:|",
    ]
    for line in lines:
        name = NAMES[line["case"].partition("-D")[0]]
        sizes = "{M:,} x {N:,} | {D}".format(**line["sizes"])
        time = amount(line.get("seconds_per_iteration", line["seconds"]), "s")
        told = f"{line['peer']} x {times(line['ratio'])}"
        target = f"{line['target']:g}" if line.get("target") else ""
        rows.append(f"| {name} | {sizes} | {line['dtype']} | {time} | {told} | {target} |")
    return rows


def gradients(lines: list[Line]) -> list[str]:
    """Return the table of losses with their gradients."""
    rows = [
        "| loss, and its gradients | M x N | seconds | ours is faster than | memory besides |",
        "|---|---|---:|---|---:|",
    ]
    for line in lines:
        sizes = "{M:,} x {N:,}".format(**line["sizes"])
        told = ", ".join(f"{p['name']} x {times(p['ratio'])}" for p in line["peers"])
        memory = f"{line['peak_bytes'] / 1e6:.1f} MB (a matrix: {line['matrix_bytes'] / 1e6:,.0f})"
        rows.append(f"| {title(line)} | {sizes} | {line['seconds']:.3f} | {told} | {memory} |")
    return rows


def transports(lines: list[Line]) -> list[str]:
    """Return the table of transport: seconds to a marginal error, ours and the peers'."""
    rows = [
        "| transport | dtype | marginal error | seconds | ours is faster than |",
        "|---|---|---:|---:|---|",
    ]
    for line in lines:
        sizes = "{M:,} x {N:,}, D={D}".format(**line["sizes"])
        for error, seconds in line["seconds_to"].items():
            mine = seconds[harness.OURS]
            told = ", ".join(
                f"{name} x {times(s / mine)}"
                for name, s in seconds.items()
                if name != harness.OURS and mine is not None and s is not None
            )
            if told:
                rows.append(f"| {sizes} | {line['dtype']} | {error} | {mine:.3f} | {told} |")
    note = (
        "Of two potentials at one epsilon, whose marginals are measured in float64, alike for all; "
        "times are read off curves of time against error. A peer is given no more iterations, and "
        "GeomLoss no slower scaling, once a run has taken 100 s. Figures of `python -m experiments "
        "ot` are drawn to `out/`."
    )
    return [*rows, "", note]


def budgets(lines: list[Line]) -> list[str]:
    rows = ["| what | measured | budget | peer |", "|---|---:|---:|---|"]
    for line in lines:
        mine, limit = (amount(line[key], line["unit"]) for key in ("value", "limit"))
        peers = ", ".join(f"{p['name']} {amount(p['value'], line['unit'])}" for p in line["peers"])
        rows.append(f"| {title(line)} | {mine} | {limit} | {peers} |")
    return rows


def grown(lines: list[Line]) -> str:
    """Say how time and memory grow with the columns."""
    told = []
    for kind in growth.KINDS:
        of = [line for line in lines if line["case"].startswith(f"{kind}-N")]
        if len(of) > 1:
            ratio, memory = growth.flat(of)
            name = title({"case": kind})
            told.append(f"{name}: {ratio:.2f} times, memory within {memory / 1e6:.0f} MB")
    span = [line["sizes"]["N"] for line in lines]
    if not told:
        return ""
    return (
        f"As the columns grow from {min(span):,} to {max(span):,}, the slowest pair costs, of the"
        f" fastest ({'; '.join(told)}, beyond one copy of the columns)."
    )


def where(lines: list[Line]) -> str:
    """Say on what machine and with which versions the lines were measured."""
    machines = {"{cores} cores of {cpu} ({isa})".format(**line["machine"]): None for line in lines}
    versions: dict[str, dict[str, None]] = {}
    for line in lines:
        for name, version in line["versions"].items():
            if name != harness.OURS:
                versions.setdefault(name, {})[version] = None
    told = ", ".join(f"{name} {' / '.join(vs)}" for name, vs in sorted(versions.items()))
    return f"All threads, on {'; '.join(machines)}; {told}."


def render() -> str:
    """Return the README's section of results."""
    found = latest()
    fast, rest = found.get("cpu", {}), list(found.get("budgets", {}).values())
    of_estimators = [line for name in ESTIMATORS for line in found.get(name, {}).values()]
    rest += [line for line in of_estimators if "limit" in line]
    fits = [line for line in of_estimators if "seconds" in line]
    parts = ["\n".join(speeds(fast))] if fast else []
    if found.get("scaling"):
        path = f"experiments/results/{FIGURE.name}"
        parts.append(f"![Pairs a second over D and over N, beside the peers]({path})")
        parts.append(figure.CAPTION)
    if sentence := grown(list(found.get("growth", {}).values())):
        parts.append(sentence)
    losses = list(found.get("autograd", {}).values())
    if losses:
        parts.append("\n".join(gradients(losses)))
        parts.append(
            "Forward and backward under PyTorch's autograd, float32; `torch` holds the matrices."
        )
    if fits:
        parts.append("\n".join(estimators(fits)))
        parts.append(
            "An iteration of EM or of Lloyd's algorithm from equal starts, or all of the call; N is"
            " the number of components, of centers, or of samples whose kernels are summed."
            " scikit-learn's densities, on its one thread, are of 500 queries: that ratio is of the"
            " times for a pair."
        )
    moved = list(found.get("ot", {}).values())
    solved = [line for line in moved if "seconds_to" in line]
    parts += ["\n".join(transports(solved))] if solved else []
    parts += [ot_shapes.report(line) + "." for line in moved if line["case"] == "bunny"]
    embedded = list(found.get("poincare", {}).values())
    parts += poincare_tables.parts(embedded)
    parts += ["\n".join(budgets(rest))] if rest else []
    if not parts:
        return "No results yet: `python -m experiments cpu` makes some."
    lines = [*fast.values(), *losses, *fits, *solved, *embedded, *rest]
    return "\n\n".join([*parts, where(lines)])


def updated(text: str) -> str:
    """Return the README's text with its section of results as it should be."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{render()}\n{END}{tail}"


def main(arguments: list[str]) -> int:
    """Write the README's section and the figure."""
    harness.parser(__doc__, "plot").parse_args(arguments)
    before = README.read_text(encoding="utf-8")
    after = updated(before)
    if after != before:
        README.write_text(after, encoding="utf-8")
    print(f"{README}: the results are {'up to date' if after == before else 'brought up to date'}.")
    if lines := list(latest().get("scaling", {}).values()):
        figure.draw(lines, FIGURE)
        print(FIGURE)
    return 0
