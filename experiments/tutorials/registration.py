r"""Registration of surfaces: the geodesic of diffeomorphisms that takes a sphere to another shape.

Vertices q of a surface move along a smooth field of velocities, so that it neither tears nor
folds. Fields have a norm, that of the Gaussian kernel K, and paths that are shortest by it are
those of a mechanical system with momenta p and the energy

.. math:: H(q, p) = \tfrac12 p^T K(q, q) p, \qquad
          \dot q = \partial H / \partial p, \quad \dot p = - \partial H / \partial q.

Thus the initial momenta say all of a path, and registration is a search for those whose path ends
close to the target and is not long (LDDMM by geodesic shooting):

.. math:: \min_p \; \lambda H(q_0, p) + |S(q_1(p)) - T|^2.

How close surfaces are must not depend on how they are triangulated. Varifolds (Charon and Trouvé,
2013) are sums over faces, with centres c, areas a and unit normals u; their scalar product,

.. math:: \langle S, T \rangle = \sum_{ij} a_i b_j \, e^{-|c_i - d_j|^2 / 2 s^2} (u_i \cdot v_j)^2,

does not mind the side to which normals point.

Nothing here is derived by hand. Velocities are gradients of H, and L-BFGS asks for the gradient of
what comes of them, so that reductions are differentiated twice: each derivative is a reduction
again, and the memory is that of vertices, not of pairs of them.
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


def gaussian(x: Tensor, y: Tensor, width: float) -> LazyTensor:
    """Return the kernel of points (M, D) and (N, D), symbolic: (M, N)."""
    return (-Vi(x).sqdist(Vj(y)) / (2 * width**2)).exp()


# --- The flow ---------------------------------------------------------------------------------


def energy(q: Tensor, p: Tensor, width: float) -> Tensor:
    """Return the Hamiltonian of positions and momenta, both (N, D): a number."""
    return (p * (gaussian(q, q, width) @ p)).sum() / 2


def velocities(q: Tensor, p: Tensor, width: float) -> tuple[Tensor, Tensor]:
    """Return the derivatives of positions and momenta by time: Hamilton's equations."""
    by_q, by_p = torch.autograd.grad(energy(q, p, width), (q, p), create_graph=True)
    return by_p, -by_q


def shoot(q: Tensor, p: Tensor, width: float, steps: int) -> list[tuple[Tensor, Tensor]]:
    """Return positions and momenta at times 0, 1 / steps, ..., 1, by the midpoint rule.

    Parameters
    ----------
    q, p : tensors of shape (N, D)
        Initial positions and momenta.
    width : float
        Of the kernel: how far a vertex takes others along.
    steps : int
        Errors fall with their square.
    """
    q = q if q.requires_grad else q.clone().requires_grad_()
    p = p if p.requires_grad else p.clone().requires_grad_()
    path, h = [(q, p)], 1 / steps
    for _ in range(steps):
        v, f = velocities(q, p, width)
        v, f = velocities(q + h / 2 * v, p + h / 2 * f, width)
        q, p = q + h * v, p + h * f
        path.append((q, p))
    return path


# --- How close surfaces are -------------------------------------------------------------------


@dataclass(frozen=True)
class Varifold:
    """A surface as its faces: centres (F, 3), unit normals (F, 3), areas (F,)."""

    centres: Tensor
    normals: Tensor
    areas: Tensor

    def dot(self, other: Varifold, width: float) -> Tensor:
        """Return the scalar product with another surface: a number."""
        near = gaussian(self.centres, other.centres, width)
        aligned = (Vi(self.normals) | Vj(other.normals)) ** 2
        return (self.areas * ((near * aligned) @ other.areas)).sum()


def varifold(q: Tensor, faces: Tensor) -> Varifold:
    """Return the varifold of vertices (N, 3) and triangles (F, 3), which are indices."""
    a, b, c = (q[corner] for corner in faces.T)
    normal = torch.linalg.cross(b - a, c - a) / 2
    area = normal.norm(dim=1)
    return Varifold((a + b + c) / 3, normal / area[:, None], area)


def apart(S: Varifold, T: Varifold, width: float) -> Tensor:
    """Return the squared distance of two surfaces."""
    return S.dot(S, width) - 2 * S.dot(T, width) + T.dot(T, width)


# --- The search -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """What is to be registered, and how.

    Attributes
    ----------
    q, faces : tensors of shapes (N, 3) and (F, 3)
        Vertices and triangles of what moves.
    target : Varifold
        Where it is to go.
    width, scale : float
        Of the kernel of velocities, and of the one that compares surfaces.
    weight : float
        What a path's energy counts beside the squared distance of surfaces.
    steps : int
        Of time.
    """

    q: Tensor
    faces: Tensor
    target: Varifold
    width: float = 0.5
    scale: float = 0.25
    weight: float = 1e-3
    steps: int = 8

    def loss(self, p: Tensor) -> Tensor:
        """Return what initial momenta cost: a number."""
        q = self.q.clone().requires_grad_()
        end, _ = shoot(q, p, self.width, self.steps)[-1]
        distance = apart(varifold(end, self.faces), self.target, self.scale)
        return self.weight * energy(q, p, self.width) + distance

    def register(self, rounds: int) -> tuple[Tensor, list[float]]:
        """Return the best initial momenta, and the loss before each round and after the last."""
        p = torch.zeros_like(self.q, requires_grad=True)
        search = torch.optim.LBFGS([p], max_iter=10, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            search.zero_grad()
            loss = self.loss(p)
            loss.backward()
            return loss

        # A step makes ten iterations, and returns the loss before them.
        losses = [float(search.step(closure).detach()) for _ in range(rounds)]
        losses.append(float(self.loss(p).detach()))
        return p.detach(), losses


def gap(q: Tensor, target: Tensor) -> float:
    """Return the root mean square of the distances from points to the nearest of the target's."""
    return float(Vi(q.detach()).sqdist(Vj(target)).min(axis=1).mean() ** 0.5)


# --- Shapes -----------------------------------------------------------------------------------


def sphere(level: int) -> tuple[Array, Array]:
    """Return vertices (N, 3) and faces (F, 3) of an icosahedron whose faces are split in four."""
    g = (1 + 5**0.5) / 2
    corners = [(0, a, b * g) for a in (-1, 1) for b in (-1, 1)]
    points = np.array([np.roll(c, turn) for turn in range(3) for c in corners], float)
    near = ((points[:, None] - points) ** 2).sum(-1) == 4  # edges of the icosahedron have length 2
    faces = np.array([
        (i, j, k) for i in range(12) for j in range(i) for k in range(j)
        if near[i, j] and near[j, k] and near[i, k]
    ])  # fmt: skip
    inwards = np.linalg.det(points[faces]) < 0
    faces[inwards] = faces[inwards, ::-1]  # all go round in the same sense, seen from outside
    for _ in range(level):
        edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]], -1)
        unique, at = np.unique(edges.reshape(-1, 2), axis=0, return_inverse=True)
        a, b, c = faces.T
        ab, bc, ca = len(points) + at.reshape(-1, 3).T
        points = np.concatenate([points, points[unique].mean(1)])
        new = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
        faces = np.concatenate([np.stack(f, 1) for f in new])
    return points / np.linalg.norm(points, axis=1, keepdims=True), faces


def peanut(u: Array) -> Array:
    """Return the points of a bent peanut for those of a sphere, (N, 3)."""
    x, y, z = u.T
    waist = 0.4 + 0.6 * np.abs(x) ** 1.5
    return np.stack([1.5 * x, waist * y, waist * z + 0.7 * x**2 - 0.3], 1)


def problem(level: int, **how: Any) -> tuple[Problem, Tensor]:
    """Return the registration of a sphere to the peanut, and the vertices of the latter.

    The peanut is made of a sphere that was turned first, so that no vertex of one belongs to one of
    the other.
    """
    points, faces = sphere(level)
    turned, _ = np.linalg.qr(np.array([[3.0, 1, 2], [1, 4, 1], [2, 1, 5]]))
    turned *= np.linalg.det(turned)  # a rotation, not a reflection
    q, goal = torch.from_numpy(points), torch.from_numpy(peanut(points @ turned))
    triangles = torch.from_numpy(faces)
    return Problem(q, triangles, varifold(goal, triangles), **how), goal


def main(file: Path, quick: bool) -> list[str]:
    level, rounds, steps = (2, 2, 4) if quick else (3, 8, 8)
    given, goal = problem(level, steps=steps)
    p, losses = given.register(rounds)
    path = shoot(given.q, p, given.width, given.steps)
    draw([q.detach().numpy() for q, _ in path], given.faces.numpy(), goal.numpy(), file)
    before, after = (float(energy(*path[t], given.width).detach()) for t in (0, -1))
    return [
        f"{len(given.q):,} vertices, {len(given.faces):,} faces: the loss falls from"
        f" {losses[0]:.4f} to {losses[-1]:.4f}",
        f"from vertices to the nearest of the target: {gap(given.q, goal):.3f} before,"
        f" {gap(path[-1][0], goal):.3f} after, {gap(given.target.centres, goal):.3f} from the"
        " centres of the target's own faces",
        f"energy, which is conserved: {before:.5f} at the start, {after:.5f} at the end",
    ]


def draw(path: list[Array], faces: Array, goal: Array, file: Path) -> None:
    """Draw the surface as it moves, in the colours of where its faces come from, and the target."""
    import matplotlib as mpl

    times = [0, len(path) // 3, 2 * len(path) // 3, len(path) - 1]
    origin = path[0][faces].mean(1)[:, 0]
    paint = mpl.colormaps["Spectral"]((origin + 1) / 2)[:, :3]
    shown = [(path[t], f"t = {t / (len(path) - 1):.2g}", paint) for t in times]
    shown.append((goal, "target", np.full_like(paint, 0.85)))
    kinds = {letter: {"projection": "3d"} for letter in "ABCDE"}
    with _page.page(file, "ABCDE", (7.2, 1.5), per_subplot_kw=kinds) as axes:
        for ax, (q, title, colours) in zip(axes.values(), shown, strict=True):
            a, b, c = np.moveaxis(q[faces], 1, 0)
            normal = np.cross(b - a, c - a)
            light = normal @ (0.3, -0.6, 0.74) / np.linalg.norm(normal, axis=1)
            shade = 0.55 + 0.45 * np.clip(light, 0, 1)
            surface = ax.plot_trisurf(*q.T, triangles=faces, linewidth=0.1, edgecolor="0.4")
            surface.set_facecolors(colours * shade[:, None])
            ax.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), zlim=(-1, 1.2))
            ax.set_box_aspect((3.2, 3.2, 2.2), zoom=1.45)
            ax.view_init(elev=15, azim=-80)
            ax.set_axis_off()
            ax.set_title(title, y=1)
