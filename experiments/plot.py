"""Make the README's table, and a figure, from the results: `python -m experiments plot`."""

from __future__ import annotations

from typing import Any

from experiments import harness

README = harness.ROOT / "README.md"
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
FIGURE = harness.ROOT / "out" / "results.png"
NAMES = {
    "gauss": "Gaussian sum",
    "logsumexp": "log-sum-exp",
    "10nn": "10 nearest neighbours",
    "import": "`import georeduce.engine`",
    "compile": "first call: compile a formula",
    "warm-call": "warm call, 10 x 10 points",
    "memory:sum": "memory of a sum, above its inputs",
    "memory:10nn": "memory of 10-NN, above its inputs",
}


def times(ratio: float) -> str:
    """Return a ratio with two digits: 1.9, 14, 110."""
    return f"{ratio:.1f}" if ratio < 9.95 else f"{float(f'{ratio:.2g}'):.0f}"


def latest() -> dict[str, dict[str, dict[str, Any]]]:
    """Return experiment -> case -> its last line, in the order in which cases first came."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for line in harness.results():
        found.setdefault(line["experiment"], {})[line["case"]] = line
    return found


def title(line: dict[str, Any]) -> str:
    kind, _, dim = line["case"].partition("-D")
    return f"{NAMES.get(kind, kind)}, D={dim}" if dim else NAMES.get(kind, kind)


def amount(value: float, unit: str) -> str:
    if unit == "bytes":
        return f"{value / 1e6:.0f} MB"
    if value < 1e-3:
        return f"{value * 1e6:.0f} µs"
    return f"{value * 1e3:.0f} ms" if value < 1 else f"{value:.2f} s"


def speeds(lines: list[dict[str, Any]]) -> list[str]:
    rows = ["| case | sizes | seconds | Gpairs/s | peers: Gpairs/s (ours is faster by) |"]
    rows.append("|---|---|---:|---:|---|")
    for line in lines:
        sizes = "{M:,} x {N:,}".format(**line["sizes"])
        peers = ", ".join(
            f"{p['name']} {p['gpairs_per_s']:.2g} (x {times(p['ratio'])})" for p in line["peers"]
        )
        speed = f"{line['seconds']:.3f} | {line['gpairs_per_s']:.2f}"
        rows.append(f"| {title(line)} | {sizes} | {speed} | {peers} |")
    return rows


def budgets(lines: list[dict[str, Any]]) -> list[str]:
    rows = ["| what | measured | budget | peer |", "|---|---:|---:|---|"]
    for line in lines:
        mine, limit = (amount(line[key], line["unit"]) for key in ("value", "limit"))
        peers = ", ".join(f"{p['name']} {amount(p['value'], line['unit'])}" for p in line["peers"])
        rows.append(f"| {title(line)} | {mine} | {limit} | {peers} |")
    return rows


def where(lines: list[dict[str, Any]]) -> str:
    """Say on what machine and with which versions the lines were measured."""
    machines = {"{cores} cores of {cpu} ({isa})".format(**line["machine"]): None for line in lines}
    versions: dict[str, dict[str, None]] = {}
    for line in lines:
        for name, version in line["versions"].items():
            if name != harness.OURS:
                versions.setdefault(name, {})[version] = None
    told = ", ".join(f"{name} {' / '.join(vs)}" for name, vs in sorted(versions.items()))
    return f"float32, all threads, on {'; '.join(machines)}; {told}."


def render() -> str:
    """Return the README's section of results."""
    found = latest()
    fast = [line for name in ("kernels", "knn") for line in found.get(name, {}).values()]
    rest = list(found.get("budgets", {}).values())
    if not fast + rest:
        return "No results yet: `python -m experiments kernels` makes some."
    parts = [speeds(fast)] if fast else []
    parts += [budgets(rest)] if rest else []
    return "\n\n".join(["\n".join(rows) for rows in parts] + [where(fast + rest)])


def updated(text: str) -> str:
    """Return the README's text with its section of results as it should be."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{render()}\n{END}{tail}"


def draw(lines: list[dict[str, Any]]) -> None:
    """Draw the throughput of everyone, case by case."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    everyone = list(dict.fromkeys([harness.OURS, *(p["name"] for x in lines for p in x["peers"])]))
    figure, axes = plt.subplots(figsize=(9, 0.7 * len(lines) + 1), layout="constrained")
    height = 0.8 / len(everyone)
    for place, name in enumerate(everyone):
        speed = [
            next((p["gpairs_per_s"] for p in [{**x, "name": harness.OURS}, *x["peers"]]
                  if p["name"] == name), float("nan"))
            for x in lines
        ]  # fmt: skip
        axes.barh([i + place * height for i in range(len(lines))], speed, height, label=name)
    axes.set_yticks([i + 0.4 - height / 2 for i in range(len(lines))], [title(x) for x in lines])
    axes.set(xscale="log", xlabel="Gpairs/s (logarithmic)")
    axes.invert_yaxis()
    axes.legend()
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, dpi=120)
    plt.close(figure)


def main(arguments: list[str]) -> int:
    """Write the README's section and the figure."""
    harness.parser(__doc__, "plot").parse_args(arguments)
    before = README.read_text(encoding="utf-8")
    after = updated(before)
    if after != before:
        README.write_text(after, encoding="utf-8")
    print(f"{README}: the results are {'up to date' if after == before else 'brought up to date'}.")
    found = latest()
    lines = [line for name in ("kernels", "knn") for line in found.get(name, {}).values()]
    if lines:
        draw(lines)
        print(FIGURE)
    return 0
