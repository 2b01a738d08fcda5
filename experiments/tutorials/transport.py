r"""Optimal transport: a cloud of points flows into a shape along the gradient of a divergence.

Between clouds x with weights a and y with weights b, for the cost C = |x - y|^2 / 2, entropic
optimal transport is a maximum over two potentials:

.. math:: OT(a, b) = \max_{f, g} \; \langle a, f \rangle + \langle b, g \rangle
          - \varepsilon \sum_{ij} a_i b_j \left(e^{(f_i + g_j - C_{ij}) / \varepsilon} - 1\right).

For one potential fixed, the best other one is a log-sum-exp; Sinkhorn's algorithm takes turns. What
entropy blurs is taken off again by the debiased *Sinkhorn divergence* (Feydy et al., 2019),

.. math:: S(a, b) = OT(a, b) - OT(a, a) / 2 - OT(b, b) / 2,

which is positive, and zero only if both clouds are the same. Its gradient is a velocity for
every point. The derivative of a maximum is that of the function at the place of the maximum: so
potentials are computed without derivatives, and PyTorch only sees the sum above, one reduction.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from experiments.tutorials import _page
from georeduce.engine import LazyTensor, Vi, Vj

Array = NDArray[Any]
Tensor = torch.Tensor


def cost(x: Tensor, y: Tensor) -> LazyTensor:
    """Return half the squared distances of points (M, D) and (N, D), symbolic: (M, N)."""
    return Vi(x).sqdist(Vj(y)) / 2


@dataclass(frozen=True)
class Sinkhorn:
    """The divergence of clouds whose points count alike.

    Attributes
    ----------
    blur : float
        The length below which transport is blurred: the root of epsilon.
    diameter : float
        Of both clouds together: epsilon begins with its square, and falls.
    rounds : int
        Updates of both potentials at the last epsilon.
    """

    blur: float
    diameter: float
    rounds: int = 20

    def potentials(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the potentials of clouds (M, D) and (N, D): (M, 1) and (N, 1)."""
        levels = int(np.ceil(2 * np.log2(self.diameter / self.blur)))
        # A large epsilon converges at once, and its potentials are a good start for half of it.
        scales = [self.blur**2 * 2.0**k for k in range(levels, 0, -1)]
        f, g = torch.zeros_like(x[:, :1]), torch.zeros_like(y[:, :1])
        for eps in scales + [self.blur**2] * self.rounds:
            # Means with what was: of x to itself, f and g then stay the same, and converge fast.
            f, g = (f + self._best(x, y, g, eps)) / 2, (g + self._best(y, x, f, eps)) / 2
        return self._best(x, y, g, self.blur**2), g

    @staticmethod
    def _best(x: Tensor, y: Tensor, g: Tensor, eps: float) -> Tensor:
        """Return the best potential of x for that of y: a smoothed minimum of cost - g."""
        total = ((Vj(g) - cost(x, y)) / eps).logsumexp(axis=1)
        return -eps * (total - float(np.log(len(y))))

    def transport(self, x: Tensor, y: Tensor) -> Tensor:
        """Return OT: a number, of which the derivatives by x and y are known."""
        f, g = self.potentials(x.detach(), y.detach())
        eps = self.blur**2
        plan = ((Vi(f) + Vj(g) - cost(x, y)) / eps).exp().sum(axis=1).mean() / len(y)
        return f.mean() + g.mean() - eps * (plan - 1)

    def divergence(self, x: Tensor, y: Tensor) -> Tensor:
        """Return S: a number."""
        return self.transport(x, y) - (self.transport(x, x) + self.transport(y, y)) / 2

    def flow(self, x: Tensor, y: Tensor, steps: int, rate: float) -> tuple[list[Tensor], Array]:
        """Return the cloud x at each time as it flows to y, and the divergence at these.

        A point's velocity is minus its part of the gradient over its weight, 1 / M. For clouds that
        are far from each other it is close to the way from a point to where it belongs, so that a
        `rate` is the part of this way that a step goes.
        """
        path, values = [x], []
        while True:
            x = path[-1].clone().requires_grad_()
            value = self.divergence(x, y)
            values.append(float(value.detach()))
            if len(values) > steps:
                return path, np.array(values)
            (gradient,) = torch.autograd.grad(value, x)
            path.append((x - rate * len(x) * gradient).detach())


def disc(N: int) -> Array:
    """Return points of a disc, (N, 2): a sunflower's, evenly spread without a lattice."""
    k = np.arange(N) + 0.5
    radius, angle = np.sqrt(k / N), np.pi * (1 + 5**0.5) * k
    return 0.6 * radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)


def rings(N: int) -> Array:
    """Return points of two rings that are linked, (N, 2): a disc must be torn to fill them."""
    k = np.arange(N // 2)
    radius = 0.5 + 0.12 * (k * (5**0.5 - 1) / 2 % 1)
    angle = 2 * np.pi * (k + 0.5) / len(k)
    ring = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    aside = np.array([0.4, -0.25])
    return np.concatenate([ring - aside, ring + aside])


def main(file: Path, quick: bool) -> list[str]:
    N, steps = (400, 10) if quick else (2_000, 30)
    x, y = torch.from_numpy(disc(N)), torch.from_numpy(rings(N))
    how = Sinkhorn(blur=0.04, diameter=2.0)
    path, values = how.flow(x, y, steps, rate=0.25)
    draw([p.numpy() for p in path], y.numpy(), values, file)
    return [
        f"{N:,} points: the divergence falls from {values[0]:.4f} to {values[-1]:.2e}"
        f" in {steps} steps",
    ]


def draw(path: list[Array], y: Array, values: Array, file: Path) -> None:
    """Draw the cloud as it flows, in colours of where its points come from, and the divergence."""
    last = len(path) - 1
    times = [0, last // 15, last // 5, last]
    with _page.page(file, "ABCD;EEEE", (7.2, 3.5), height_ratios=(1, 0.75)) as axes:
        for ax, t in zip((axes[letter] for letter in "ABCD"), times, strict=True):
            ax.scatter(*y.T, s=1.5, color="0.8", linewidths=0)
            ax.scatter(*path[t].T, s=1.5, c=path[0][:, 1], cmap="Spectral", linewidths=0)
            ax.set(xlim=(-1.1, 1.1), ylim=(-1, 1))
            _page.picture(ax, f"step {t}")
        ax = axes["E"]
        ax.semilogy(values, ".-", color=_page.BLACK)
        ax.set(title="Sinkhorn divergence to the target", xlabel="step")
