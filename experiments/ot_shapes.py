"""Surfaces as points: the Stanford bunny to a sphere, its time and its memory, and a figure."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from experiments import harness
from georeduce.apps.ot import Problem, solve

Line = dict[str, Any]
POINTS = 100_000
ERROR = 0.01
BLUR = 0.02
"""Of the diameter: root of epsilon."""
SECONDS, BYTES = 360.0, 300e6
"""What the transport of all the points may take."""


def mesh() -> tuple[Any, Any]:
    """Return the vertices (V, 3) and the triangles (T, 3) of the bunny in the package pymeshfix."""
    package = importlib.util.find_spec("pymeshfix")  # its import would want a viewer
    if package is None or package.origin is None:
        raise ModuleNotFoundError("No bunny: pip install 'georeduce[peers]' brings pymeshfix.")
    data = (Path(package.origin).parent / "examples" / "StanfordBunny.ply").read_bytes()
    header, _, body = data.partition(b"end_header\n")
    counts = [int(line.split()[2]) for line in header.splitlines() if line.startswith(b"element")]
    vertices = np.frombuffer(body, "<f4", 3 * counts[0]).reshape(-1, 3)
    triangle = np.dtype([("corners", "u1"), ("at", "<i4", 3)])
    triangles = np.frombuffer(body, triangle, counts[1], offset=vertices.nbytes)
    return vertices.astype(np.float64), triangles["at"]


def bunny(n: int, rng: np.random.Generator) -> Any:
    """Return points (n, 3) of the bunny, uniform by area, upright in a ball of radius 1."""
    vertices, triangles = mesh()
    corners = vertices[triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.linalg.norm(normals, axis=1)
    chosen = corners[rng.choice(len(areas), n, p=areas / areas.sum())]
    u = np.sort(rng.random((n, 2)), axis=1)
    shares = np.column_stack([u[:, 0], u[:, 1] - u[:, 0], 1 - u[:, 1]])
    points = (shares[:, :, None] * chosen).sum(axis=1)
    points -= (points.max(axis=0) + points.min(axis=0)) / 2
    points = points[:, [0, 2, 1]] * [1, 1, -1]  # its ears up, its face to who looks along z
    return points / np.linalg.norm(points, axis=1).max()


def sphere(n: int, rng: np.random.Generator) -> Any:
    """Return points (n, 3) of a sphere of radius 1, uniform."""
    points = rng.standard_normal((n, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


# What the whole process holds at its peak, libraries and threads included, above what it holds
# once the points are read. The kernels are compiled already: a compiler is not what is measured.
MEASURED = """
import json, time, numpy
from georeduce.apps.ot import Problem, solve
{held}x, y = numpy.load({x!r}), numpy.load({y!r})
before = held("VmRSS:")
start = time.perf_counter()
solved = solve(Problem(x, y, epsilon={epsilon}), tol={tol})
seconds = time.perf_counter() - start
print(json.dumps({{
    "seconds": seconds, "peak_bytes": held("VmHWM:") - before, "iterations": len(solved.errors),
    "error": float(solved.errors[-1]), "converged": solved.converged, "value": float(solved.value),
}}))
"""


def run(n: int = POINTS, write: bool = True) -> Line:
    """Solve the transport of the bunny to the sphere in a process of its own; return its line."""
    rng = np.random.default_rng(0)
    clouds = {"x": bunny(n, rng), "y": sphere(n, rng)}
    epsilon = (2 * BLUR) ** 2
    warm = {name: cloud[:100].astype(np.float32) for name, cloud in clouds.items()}
    solve(Problem(**warm, epsilon=epsilon), tol=0.5)
    with tempfile.TemporaryDirectory() as folder:
        files = {name: os.path.join(folder, f"{name}.npy") for name in clouds}
        for name, cloud in clouds.items():
            np.save(files[name], cloud.astype(np.float32))
        code = MEASURED.format(held=harness.HELD, epsilon=epsilon, tol=ERROR, **files)
        done = subprocess.run(
            [sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True,
            cwd=harness.ROOT,
        )  # fmt: skip
    told = json.loads(done.stdout.splitlines()[-1])
    line = {
        "experiment": "ot",
        "case": "bunny",
        **harness.context([]),
        "sizes": {"M": n, "N": n, "D": 3},
        "dtype": "float32",
        "epsilon": epsilon,
        "tol": ERROR,
        **told,
        "limits": {"seconds": SECONDS, "bytes": BYTES},
        "met": told["converged"] and told["seconds"] <= SECONDS and told["peak_bytes"] <= BYTES,
    }
    if write:
        harness.append("ot", line)
    return line


def report(line: Line) -> str:
    """Return the line for people."""
    return (
        f"The surface of a bunny to a sphere, {line['sizes']['M']:,} points to as many: a marginal"
        f" error of {line['error']:.2g} after {line['iterations']} iterations in"
        f" {line['seconds']:.0f} s (at most {SECONDS:g}), {line['peak_bytes'] / 1e6:.0f} MB above"
        f" the inputs (at most {BYTES / 1e6:g})"
    )


# --- The figure -------------------------------------------------------------------------------


def matched(n: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """Return points (n, 3) of the bunny, and where the plan takes each of them on the sphere."""
    x, y = bunny(n, rng), sphere(n, rng)
    solved = solve(Problem(x, y, epsilon=5e-4), tol=1e-2)
    return x, solved.plan.conditional().mean()


def draw(file: Path, n: int = 30_000) -> None:
    """Draw the bunny becoming a sphere, along the lines on which its points are moved."""
    import matplotlib as mpl

    mpl.use("Agg")  # no display is needed
    from matplotlib import pyplot as plt

    x, moved = matched(n, np.random.default_rng(0))
    low, high = x.min(axis=0), x.max(axis=0)
    colours = (x - low) / (high - low)
    shares = (0.0, 0.33, 0.67, 1.0)
    figure, panels = plt.subplots(1, len(shares), figsize=(18, 5), layout="constrained")
    for panel, share in zip(panels, shares, strict=True):
        at = (1 - share) * x + share * moved
        order = np.argsort(at[:, 2])  # the nearest last, and the brightest
        light = 0.4 + 0.6 * np.linspace(0, 1, len(order))[:, None]
        area = 22 * (1 + 2 * share)  # what is stretched must not show what is behind
        panel.scatter(*at[order, :2].T, c=light * colours[order], s=area, linewidths=0)
        panel.set(title=f"t = {share:g}", xlim=(-1.05, 1.05), ylim=(-1.05, 1.05))
        panel.set_aspect("equal")
        panel.set_axis_off()
    figure.savefig(file, dpi=100)
    plt.close(figure)
