"""Gradients beside the peers: forward and backward passes under PyTorch's autograd."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

import numpy as np

from experiments import harness
from georeduce.engine import LazyTensor

Line = dict[str, Any]
SIZE = 20_000
DIMS = (3, 10, 50)
TARGET = 10.0
"""What the ratio to pykeops must be at least."""
ROWS = {"pykeops": 2.5e8, "torch": 4e8}
"""Pairs that a peer gets at most in 3 dimensions; it is given fewer rows, not fewer columns."""
EPS = 0.5
"""Regularisation of the Sinkhorn-like loss: four half steps, all of them differentiated."""
SPARE = 60e6
"""Bytes above the data that PyTorch, stacks and pools may take."""

Tensors = tuple[Any, Any, Any]


@dataclass(frozen=True)
class Loss:
    """A scalar function of points x (M, D), y (N, D) and numbers b (N, 1)."""

    name: str
    lazy: Callable[..., Any]
    dense: Callable[..., Any]


def _pairs(lazy: Any, x: Any, y: Any) -> Any:
    return lazy(x[:, None, :]).sqdist(lazy(y[None, :, :]))


def gauss(lazy: Any, x: Any, y: Any, b: Any) -> Any:
    return (((-_pairs(lazy, x, y)).exp() @ b) ** 2).sum()


def gauss_dense(C: Any, b: Any) -> Any:
    return (((-C).exp() @ b) ** 2).sum()


def logsumexp(lazy: Any, x: Any, y: Any, b: Any) -> Any:
    return (lazy(b[None, :, :]) - _pairs(lazy, x, y)).logsumexp(1).sum()


def logsumexp_dense(C: Any, b: Any) -> Any:
    return (b[:, 0] - C).logsumexp(1).sum()


def sinkhorn(lazy: Any, x: Any, y: Any, b: Any) -> Any:
    """Return the sum of potentials after four half steps from `b`."""
    C, g = _pairs(lazy, x, y), b
    for _ in range(2):
        f = -EPS * ((lazy(g[None, :, :]) - C) / EPS).logsumexp(1)
        g = -EPS * ((lazy(f[:, None, :]) - C) / EPS).logsumexp(0)
    return f.sum() + g.sum()


def sinkhorn_dense(C: Any, b: Any) -> Any:
    g = b[:, 0]
    for _ in range(2):
        f = -EPS * ((g - C) / EPS).logsumexp(1)
        g = -EPS * ((f[:, None] - C) / EPS).logsumexp(0)
    return f.sum() + g.sum()


LOSSES = (
    Loss("gauss", gauss, gauss_dense),
    Loss("logsumexp", logsumexp, logsumexp_dense),
    Loss("sinkhorn", sinkhorn, sinkhorn_dense),
)


def data(M: int, N: int, D: int, dtype: str = "float32") -> Tensors:
    """Return random points whose squared distances are near 1/6 whatever D is."""
    torch = harness.peer("torch")
    assert torch is not None
    rng = np.random.default_rng(D)
    x, y = (rng.random((n, D)) / np.sqrt(D) for n in (M, N))
    b = 0.1 * rng.standard_normal((N, 1))
    return tuple(torch.from_numpy(a.astype(dtype)).requires_grad_() for a in (x, y, b))  # type: ignore[return-value]


def both_passes(value: Callable[..., Any], tensors: Tensors) -> tuple[Any, ...]:
    """Return the gradients of a loss."""
    torch = harness.peer("torch")
    assert torch is not None
    return tuple(torch.autograd.grad(value(*tensors), tensors))


def dense(loss: Loss) -> Callable[..., Any]:
    """Return the loss by matrices that PyTorch holds in memory."""

    def value(x: Any, y: Any, b: Any) -> Any:
        C = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * (x @ y.T)
        return loss.dense(C, b)

    return value


def contestants(loss: Loss, D: int, size: int) -> Iterator[harness.Contestant]:
    def one(name: str, value: Callable[..., Any], M: int) -> harness.Contestant:
        tensors = data(M, size, D)
        return harness.Contestant(name, lambda: both_passes(value, tensors), float(M) * size)

    yield one(harness.OURS, lambda *t: loss.lazy(LazyTensor, *t), size)
    if peer := harness.peer("pykeops.torch"):
        harness.peer("pykeops").set_verbose(False)  # type: ignore[union-attr]
        M = min(size, int(ROWS["pykeops"] / size * 3 / D))
        yield one("pykeops", lambda *t: loss.lazy(peer.LazyTensor, *t), M)
    yield one("torch", dense(loss), min(size, int(ROWS["torch"] / size)))


def check(loss: Loss, D: int, size: int) -> Line:
    """Return the largest error of gradients, beside float64, relative to the largest or to 1.

    The gradient of a Sinkhorn-like loss by where it begins is a sum that almost cancels, of numbers
    of order 1.
    """
    small = min(size, 2000)
    exact = both_passes(dense(loss), data(small, small, D, "float64"))
    ours = both_passes(lambda *t: loss.lazy(LazyTensor, *t), data(small, small, D))
    errors = {}
    for name, a, e in zip("xyb", ours, exact, strict=True):
        error = (a - e).abs().max() / e.abs().max().clamp(min=1)
        errors[name] = float(f"{float(error.detach()):.2g}")
    if not max(errors.values()) < 1e-4:
        raise AssertionError(f"Expected gradients within 1e-4 of float64's, but got {errors}.")
    return {f"relative_error_{name}": error for name, error in errors.items()}


MEMORY = """
import json
from experiments import autograd
from experiments.autograd import LOSSES, both_passes, data
from georeduce.engine import LazyTensor
{held}loss = next(one for one in LOSSES if one.name == {name!r})
both_passes(lambda *t: loss.lazy(LazyTensor, *t), data(200, 200, {D}))
tensors = data({size}, {size}, {D})
before = held("VmRSS:")
both_passes(lambda *t: loss.lazy(LazyTensor, *t), tensors)
print(json.dumps(held("VmHWM:") - before))
"""


def peak(loss: Loss, D: int, size: int) -> int:
    """Return the bytes that both passes take beside the data, in a process of their own."""
    code = MEMORY.format(held=harness.HELD, name=loss.name, D=D, size=size)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=harness.ROOT, env=os.environ, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return int(json.loads(done.stdout.splitlines()[-1]))


def run(loss: Loss, D: int, size: int = SIZE, write: bool = True, **how: Any) -> Line:
    """Measure a loss and return its line."""

    def more(line: Line) -> Line:
        matrix = 4 * size * size
        return {"target": TARGET, "peak_bytes": peak(loss, D, size), "matrix_bytes": matrix}

    return harness.compare(
        "autograd",
        f"{loss.name}-D{D}",
        list(contestants(loss, D, size)),
        sizes={"M": size, "N": size, "D": D},
        dtype="float32",
        check=lambda results: check(loss, D, size),
        against=("pykeops",),
        more=more,
        write=write,
        **how,
    )


def main(arguments: list[str]) -> int:
    """Measure all losses in all dimensions; 1 if one misses the target or holds a matrix."""
    options = harness.parser(__doc__, "autograd")
    options.add_argument("--size", type=int, default=SIZE, help="points of each cloud")
    asked = options.parse_args(arguments)
    if harness.peer("torch") is None:
        return 1
    print(f"{'case':16} {'seconds':>9} {'pykeops':>8} {'torch':>8} {'target':>7} {'memory':>10}")
    wrong = 0
    for loss in LOSSES:
        for D in DIMS:
            if not fnmatch(f"{loss.name}-D{D}", asked.case):
                continue
            size = 1000 if asked.quick else asked.size
            line = run(loss, D, size, write=not asked.quick, rounds=(3, 9), seconds=20.0)
            ratios = {p["name"]: p["ratio"] for p in line["peers"]}
            print(
                f"{line['case']:16} {line['seconds']:9.3f} {ratios.get('pykeops', 0):8.1f}"
                f" {ratios.get('torch', 0):8.1f} {TARGET:7.0f} {line['peak_bytes'] / 1e6:7.1f} MB",
                flush=True,
            )
            wrong |= ratios.get("pykeops", TARGET) < TARGET
            wrong |= line["peak_bytes"] > SPARE + 40 * size * D
    return int(wrong)
