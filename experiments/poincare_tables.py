"""The README's tables of Poincaré embeddings, from their lines of results."""

from __future__ import annotations

from typing import Any

Line = dict[str, Any]
NAMES = {"mammals": "mammals", "nouns": "nouns", "links": "nouns, held-out relations"}
GENSIM = (
    "gensim's own evaluation counts a node itself among those that are nearer to it than its "
    "relations, which adds one to each rank."
)


def between(values: list[float], form: str) -> str:
    """Return a number, or the least and the largest of several, one for each seed."""
    ends = [form.format(value) for value in (min(values), max(values))]
    return " to ".join(dict.fromkeys(ends))


def reached(lines: list[Line]) -> list[str]:
    """Return the table of embeddings: what each case reached, and what was published."""
    rows = [
        "| WordNet | D | relations | mean rank | MAP | seconds | published: mean rank, MAP |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    cases: dict[str, list[Line]] = {}
    for line in lines:
        if "map" in line:
            cases.setdefault(line["case"], []).append(line)
    for case, seeds in cases.items():
        first = seeds[0]
        found = [line.get("links", line) for line in seeds]
        peers = "; ".join(
            f"{peer['name']} {peer['mean_rank']:g}, {peer['map']:g}" for peer in first["peers"]
        )
        told = [
            NAMES[case.partition("-")[0]],
            first["sizes"]["D"],
            f"{found[0].get('relations', first['sizes']['relations']):,}",
            between([each["mean_rank"] for each in found], "{:.2f}"),
            between([each["map"] for each in found], "{:.3f}"),
            between([line["seconds"] for line in seeds], "{:,.0f}"),
            peers,
        ]
        rows.append(f"| {' | '.join(map(str, told))} |")
    return rows


def links(lines: list[Line]) -> str:
    """Say what was held out, and how well what others imply was found."""
    for line in lines:
        if held := line.get("links"):
            return (
                f"Held out are {held['relations']:,} relations, neither from leaves nor to the "
                "root, as in the paper; they are ranked among the nodes that in training are not "
                f"related to u, in whichever direction. For those that follow from others "
                f"({1 - held['basic_share']:.0%}) MAP is {held['map_of_implied']:.3f}, and for the "
                f"relations of training {line['map']:.3f}. Where the kinds of u count as nearer, "
                f"as in gensim's evaluation (98.8, 0.25), mean rank and MAP are "
                f"{held['directed']['mean_rank']:.2f} and {held['directed']['map']:.3f}."
            )
    return ""


def measured(lines: list[Line]) -> list[str]:
    """Return the table of times, beside peers."""
    rows = ["| embeddings | D | ours | ours is faster than |", "|---|---:|---:|---|"]
    units = {
        "speed": ("negative sampling, million relations/s", "{:.2f}", 1e-6),
        "ranks": ("ranks of all relations over all nouns, seconds", "{:.2f}", None),
        "neighbours": ("10-NN of 100,000 points, seconds", "{:.2f}", None),
    }
    for line in lines:
        name, form, scale = units.get(line["case"].partition("-")[0], ("", "", None))
        if not name:
            continue
        value = scale * line["pairs"] / line["seconds"] if scale else line["seconds"]
        peers = ", ".join(f"{peer['name']} x {peer['ratio']:.0f}" for peer in line["peers"])
        rows.append(f"| {name} | {line['sizes']['D']} | {form.format(value)} | {peers} |")
    return rows


def parts(lines: list[Line]) -> list[str]:
    """Return the section's paragraphs, none without lines."""
    if not lines:
        return []
    tables = [table for table in (reached(lines), measured(lines)) if len(table) > 2]
    first, *more = ["\n".join(table) for table in tables]
    return [part for part in (first, links(lines), GENSIM, *more) if part]
