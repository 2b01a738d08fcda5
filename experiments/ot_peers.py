"""Sinkhorn's algorithm beside POT, GeomLoss and OTT-JAX: curves of the error against the time.

A *contestant* solves a problem with some effort (iterations, a tolerance, or how slowly epsilon is
lowered) and returns potentials. Their errors are measured here, in float64 and for all alike: of
the plan that they stand for, how far both marginals are from the weights, together and relative to
the mass; and of the value, beside that of a solution far more exact. The time to an error is read
off a contestant's curve, between two efforts, so that nobody pays for a coarse choice of efforts.
"""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from experiments import harness
from georeduce.apps.ot import Problem, Transport, solve

Line = dict[str, Any]
Potentials = tuple[Any, Any]
ERRORS = (1e-1, 1e-2, 1e-3)
"""At which times are compared, where both come so far; the ratio of a line is at the second."""
TARGET = ERRORS[1]
EXACT = 1e-5
"""Marginal error of the reference: values are of second order in it."""
SLOWEST = 100.0
"""Seconds after which a contestant's efforts are not raised any more."""
STEPS = (2, 5, 10, 20, 35, 50, 75, 100, 150, 200, 300, 500, 700, 1000, 1500, 2000)
TOLERANCES = (0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 5e-4)
SCALINGS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998)


@dataclass(frozen=True)
class Case:
    """Points of a cube to as many points of a shell in it, at a regularisation below their spacing.

    Attributes
    ----------
    name : str
        The case's name.
    n, D : int
        Points of each cloud, features.
    epsilon : float
        Regularisation of squared distances.
    dtype : str
        In which all solve.
    peers : tuple of str
        Names in `CONTESTANTS`; the fastest is the one that counts.
    target : float
        What the ratio to it must be at least.
    """

    name: str
    n: int
    D: int
    epsilon: float
    dtype: str
    peers: tuple[str, ...]
    target: float

    def quick(self) -> Case:
        return replace(self, n=self.n // 20)

    def points(self) -> tuple[Any, Any]:
        rng = np.random.default_rng(0)
        x, y = rng.random((self.n, self.D)), rng.standard_normal((self.n, self.D))
        radii = 0.3 + 0.2 * rng.random((self.n, 1))
        y *= radii / np.linalg.norm(y, axis=1, keepdims=True)
        return x.astype(self.dtype), (y + 0.5).astype(self.dtype)


CASES = (
    Case("pot", 5000, 3, 0.01, "float64", ("POT",), 30),
    Case("pot-lazy", 5000, 3, 0.01, "float64", ("POT lazy",), 30),
    Case("geomloss", 5000, 3, 0.01, "float32", ("GeomLoss",), 15),
    Case("geomloss-online", 20_000, 3, 0.01, "float32", ("GeomLoss online",), 15),
    Case("ott", 8192, 6, 0.01, "float32", ("OTT-JAX", "OTT-JAX matrix"), 3),
)


# --- Contestants ------------------------------------------------------------------------------


def ours(case: Case, x: Any, y: Any) -> Callable[[float], Potentials]:
    problem = Problem(x, y, epsilon=case.epsilon)

    def run(tol: float) -> Potentials:
        solved = solve(problem, tol=tol, max_iter=10_000)
        return solved.f, solved.g

    return run


def pot(case: Case, x: Any, y: Any) -> Callable[[float], Potentials]:
    """Of a matrix of costs, which is made within the time: its user starts from points too."""
    import ot

    weights = np.full(case.n, 1 / case.n)

    def run(steps: float) -> Potentials:
        _, log = ot.sinkhorn(
            weights, weights, ot.dist(x, y), case.epsilon, method="sinkhorn_log",
            numItermax=int(steps), stopThr=0, warn=False, log=True,
        )  # fmt: skip
        f, g = (case.epsilon * (log[name] + math.log(case.n)) for name in ("log_u", "log_v"))
        return f, g

    return run


def pot_lazy(case: Case, x: Any, y: Any) -> Callable[[float], Potentials]:
    """In batches of a thousand rows, which is faster than its default of a hundred."""
    import ot

    def run(steps: float) -> Potentials:
        u, v = ot.bregman.empirical_sinkhorn(
            x, y, case.epsilon, isLazy=True, batchSize=1000,
            numIterMax=int(steps), stopThr=0, warn=False,
        )  # fmt: skip
        return tuple(case.epsilon * (h + math.log(case.n)) for h in (u, v))  # type: ignore[return-value]

    return run


def geomloss(case: Case, x: Any, y: Any, backend: str = "tensorized") -> Callable[..., Potentials]:
    """Without debiasing, so that it finds as many potentials as the others: two."""
    import torch
    from geomloss import SamplesLoss

    clouds = torch.from_numpy(x), torch.from_numpy(y)

    def run(scaling: float) -> Potentials:
        # its cost is half a squared distance, its regularisation the square of a blur
        blur = math.sqrt(case.epsilon / 2)
        loss = SamplesLoss(
            "sinkhorn", p=2, blur=blur, scaling=scaling, debias=False, potentials=True,
            backend=backend,
        )  # fmt: skip
        f, g = (2 * h.numpy().ravel().astype(np.float64) for h in loss(*clouds))
        return f, g

    return run


def geomloss_online(case: Case, x: Any, y: Any) -> Callable[[float], Potentials]:
    return geomloss(case, x, y, "online")


def ott(case: Case, x: Any, y: Any, matrix: bool = False) -> Callable[[float], Potentials]:
    """Compiled ahead, for each number of iterations; errors are looked at once, at the end.

    With a matrix of costs, which is made within the time, or without.
    """
    import jax
    from ott.geometry import geometry, pointcloud
    from ott.solvers import linear

    found: dict[float, Any] = {}

    def solved(x: Any, y: Any, steps: int) -> Any:
        cloud = pointcloud.PointCloud(x, y, epsilon=case.epsilon, scale_cost=1.0)
        geom = geometry.Geometry(cloud.cost_matrix, epsilon=case.epsilon) if matrix else cloud
        out = linear.solve(geom, threshold=0.0, max_iterations=steps, inner_iterations=steps)
        return out.f, out.g

    def run(steps: float) -> Potentials:
        f, g = (np.asarray(h, np.float64) for h in found[steps](x, y))
        shift = case.epsilon * math.log(case.n)
        return f + shift, g + shift

    def prepare(steps: float) -> None:
        found[steps] = jax.jit(lambda x, y: solved(x, y, int(steps))).lower(x, y).compile()

    run.prepare = prepare  # type: ignore[attr-defined]
    return run


def ott_matrix(case: Case, x: Any, y: Any) -> Callable[[float], Potentials]:
    return ott(case, x, y, matrix=True)


@dataclass(frozen=True)
class Contestant:
    """A solver: from a case and its points to a function of the effort, and which efforts."""

    name: str
    solver: Callable[[Case, Any, Any], Callable[[float], Potentials]]
    efforts: tuple[float, ...]
    module: str = "numpy"


CONTESTANTS = {
    one.name: one
    for one in (
        Contestant(harness.OURS, ours, TOLERANCES),
        Contestant("POT", pot, STEPS, "ot"),
        Contestant("POT lazy", pot_lazy, STEPS, "ot"),
        Contestant("GeomLoss", geomloss, SCALINGS, "geomloss"),
        Contestant("GeomLoss online", geomloss_online, SCALINGS, "geomloss"),
        Contestant("OTT-JAX", ott, STEPS, "ott"),
        Contestant("OTT-JAX matrix", ott_matrix, STEPS, "ott"),
    )
}
PACKAGES = {"POT": "POT", "GeomLoss": "geomloss", "OTT-JAX": "ott-jax"}


# --- Curves -----------------------------------------------------------------------------------


@dataclass
class Point:
    """What an effort gives: errors, and the seconds of each round."""

    effort: float
    marginal_error: float
    value_error: float
    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def told(self) -> dict[str, float]:
        told = {"effort": self.effort, "seconds": float(f"{self.median:.5g}")}
        errors = {"marginal_error": self.marginal_error, "value_error": self.value_error}
        return told | {name: float(f"{error:.4g}") for name, error in errors.items()}


def exactly(case: Case, x: Any, y: Any) -> tuple[Problem, float]:
    """Return the problem in float64, and its value."""
    problem = Problem(x.astype(np.float64), y.astype(np.float64), epsilon=case.epsilon)
    return problem, float(solve(problem, tol=EXACT, max_iter=100_000).value)


def errors_of(problem: Problem, value: float, found: Potentials) -> tuple[float, float]:
    """Return the error of both marginals and that of the value, relatively; of NaN infinities."""
    f, g = (np.asarray(h, np.float64) for h in found)
    solved = Transport(problem, f, g, (), True)
    rows, columns = (np.asarray(solved.plan.sum(axis=axis)).ravel() for axis in (1, 0))
    off = abs(rows - problem.a).sum() + abs(columns - problem.b).sum()
    errors = float(off / problem.a.sum()), abs(float(solved.value) / value - 1)
    return tuple(e if math.isfinite(e) else math.inf for e in errors)  # type: ignore[return-value]


def curves(
    case: Case,
    contestants: Sequence[Contestant],
    rounds: int = 3,
    slowest: float = SLOWEST,
    tell: Callable[[str], object] = lambda text: None,
) -> dict[str, list[Point]]:
    """Return the points of each contestant, efforts ascending until the last error is reached.

    Each is warmed up by its least effort, or compiled ahead. Then efforts are tried, of all
    contestants in turn, round after round; from the second on, of those that are not slow.
    """
    x, y = case.points()
    problem, value = exactly(case, x, y)
    runs = {one.name: one.solver(case, x, y) for one in contestants}
    found: dict[str, list[Point]] = {}
    for one in contestants:
        run, points = runs[one.name], found.setdefault(one.name, [])
        prepare = getattr(run, "prepare", None)
        if prepare is None:
            run(one.efforts[0])
        for effort in one.efforts:
            tell(f"{one.name}: effort {effort:g}")
            if prepare is not None:
                prepare(effort)
            seconds, potentials = harness.clock(lambda: run(effort))  # noqa: B023
            points.append(Point(effort, *errors_of(problem, value, potentials), [seconds]))
            if points[-1].marginal_error <= min(ERRORS) or seconds > slowest:
                break
    for again in range(1, rounds):
        for one in contestants:
            for point in found[one.name]:
                if point.seconds[0] <= slowest / 4:
                    tell(f"{one.name}: round {again + 1}")
                    point.seconds.append(harness.clock(lambda: runs[one.name](point.effort))[0])  # noqa: B023
    return found


def seconds_to(points: Sequence[Point], error: float) -> float | None:
    """Return the time to a marginal error, between two efforts by the logarithm of their errors.

    None if no effort came so far.
    """
    for k, point in enumerate(points):
        if point.marginal_error > error:
            continue
        if k == 0 or not points[k - 1].marginal_error < math.inf:
            return point.median
        before = points[k - 1]
        span = math.log(before.marginal_error / point.marginal_error)
        share = math.log(before.marginal_error / error) / span
        return before.median + share * (point.median - before.median)
    return None


def run(case: Case, write: bool = True, **how: Any) -> Line:
    """Measure a case, with the peers that are installed, and return its line."""
    contestants = [CONTESTANTS[harness.OURS]]
    contestants += [
        CONTESTANTS[name] for name in case.peers if harness.peer(CONTESTANTS[name].module)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is stopped on purpose
        found = curves(case, contestants, **how)
    line: Line = {
        "experiment": "ot",
        "case": case.name,
        **harness.context([PACKAGES[name.partition(" ")[0]] for name in case.peers]),
        "sizes": {"M": case.n, "N": case.n, "D": case.D},
        "dtype": case.dtype,
        "epsilon": case.epsilon,
        "curves": {name: [point.told() for point in points] for name, points in found.items()},
        "seconds_to": {
            f"{error:g}": {name: seconds_to(points, error) for name, points in found.items()}
            for error in ERRORS
        },
        "target": case.target,
    }
    line |= compared(line["seconds_to"], case)
    if write:
        harness.append("ot", line)
    return line


def compared(seconds: dict[str, dict[str, float | None]], case: Case) -> Line:
    """Return the ratio of the fastest peer's time to ours, at every error and at the target's."""
    ratios = {}
    for error, times in seconds.items():
        peers = {name: s for name, s in times.items() if name != harness.OURS and s is not None}
        if peers and times[harness.OURS] is not None:
            ratios[error] = round(min(peers.values()) / times[harness.OURS], 2)  # type: ignore[operator]
    ratio = ratios.get(f"{TARGET:g}")
    return {"ratios": ratios, "ratio": ratio, "met": ratio is not None and ratio >= case.target}


def report(line: Line) -> str:
    """Return a case's table for people: seconds to each error."""
    rows = [f"{line['case']}: ratio {line['ratio']} at {TARGET:g}, target {line['target']:g}"]
    for error, times in line["seconds_to"].items():
        told = ", ".join(
            f"{name} {'-' if s is None else format(s, '.3g') + ' s'}" for name, s in times.items()
        )
        rows.append(f"  error {error}: {told} (x {line['ratios'].get(error, '-')})")
    return "\n".join(rows)
