"""The lessons hold what they say: closed forms, dense computations, and laws of conservation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from helpers import eps
from numpy.typing import NDArray

from experiments import tutorials
from experiments.tutorials import kmeans, kriging, registration, spectral, transport
from georeduce.engine.conjugate_gradients import RTOL

Array = NDArray[Any]
EPS = eps(np.float64)


@pytest.mark.slow
@pytest.mark.parametrize("name", tutorials.lessons())
def test_lesson_draws(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from matplotlib import image

    monkeypatch.setattr(tutorials, "OUT", tmp_path)
    assert tutorials.main([name, "--quick"]) == 0
    assert image.imread(tmp_path / f"{name}.png").std() > 0
    told = capsys.readouterr().out
    assert told.startswith(f"{name}: ")
    assert "nan" not in told


def test_all_lessons_are_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Lesson:
        """Title."""

        asked: list[tuple[str, bool]] = []  # noqa: RUF012

        @classmethod
        def main(cls, file: Path, quick: bool) -> list[str]:
            cls.asked.append((file.stem, quick))
            return []

    monkeypatch.setattr(tutorials, "OUT", tmp_path)
    monkeypatch.setattr(tutorials.harness, "peer", lambda name: Lesson)
    assert tutorials.main([]) == 0
    names = ["kmeans", "kriging", "registration", "spectral", "transport"]
    assert Lesson.asked == [(name, False) for name in names]


# --- K-means --------------------------------------------------------------------------------------


def test_kmeans_as_scikit_learn(rng: np.random.Generator) -> None:
    x = kmeans.galaxy(2_000, rng)
    start = x[rng.choice(len(x), 20, replace=False)]
    _, inertias = kmeans.lloyd(x, start, 8)
    near = len(x) * EPS
    assert len(inertias) == 9
    assert (np.diff(inertias) <= near * inertias[0]).all()
    assert kmeans.scikit_learn(x, start, 8) == pytest.approx(inertias[-1], rel=near)


def test_kmeans_ends_where_nothing_moves(rng: np.random.Generator) -> None:
    x = kmeans.galaxy(300, rng)
    lost = np.full((1, 2), 1e3)  # next to no point: it must stay
    c, inertias = kmeans.lloyd(x, np.concatenate([x[:9], lost]), 1_000)
    assert len(inertias) < 1_000
    labels, squares = kmeans.assign(x, c)
    d2 = ((x[:, None] - c) ** 2).sum(-1)
    np.testing.assert_array_equal(labels, d2.argmin(1))
    np.testing.assert_allclose(squares, d2.min(1), rtol=4 * EPS)
    for k in range(9):
        np.testing.assert_allclose(c[k], x[labels == k].mean(0), atol=len(x) * EPS)
    np.testing.assert_array_equal(c[9:], lost)


# --- Kriging --------------------------------------------------------------------------------------


@pytest.mark.parametrize("D", [1, 2])
def test_kriging_as_dense(D: int, rng: np.random.Generator) -> None:
    x, t = rng.uniform(0, 1, (120, D)), rng.uniform(0, 1, (30, D))
    b, length, alpha = rng.standard_normal(120), 0.2, 0.05

    def dense(u: Array, v: Array) -> Array:
        return np.exp(-((u[:, None] - v) ** 2).sum(-1) / (2 * length**2))

    K, k = dense(x, x) + alpha * np.eye(120), dense(x, t)
    mean = k.T @ scipy.linalg.solve(K, b, assume_a="pos")
    left = 1 - (k * scipy.linalg.solve(K, k, assume_a="pos")).sum(0)
    # a residual of rtol |b| is an error of the solution of rtol |b| / alpha at most
    reach = RTOL["float64"] / alpha * np.linalg.norm(k, axis=0)
    found = kriging.mean(x, b, t, length, alpha)
    assert (np.abs(found - mean) <= reach * np.linalg.norm(b)).all()
    found = kriging.deviation(x, t, length, alpha)
    assert (np.abs(found**2 - left) <= reach * np.linalg.norm(k, axis=0)).all()


def test_kriging_of_one_sample() -> None:
    x, t, alpha = np.zeros((1, 2)), np.array([[0.0, 0], [0.3, 0.4], [99, 0]]), 0.25
    k = np.exp([0, -0.5, -np.inf])  # the second place is one length away
    near = {"rtol": RTOL["float64"], "atol": 0}
    found = kriging.mean(x, np.array([2.0]), t, 0.5, alpha)
    np.testing.assert_allclose(found, k * 2 / (1 + alpha), **near)
    found = kriging.deviation(x, t, 0.5, alpha)
    np.testing.assert_allclose(found, np.sqrt(1 - k**2 / (1 + alpha)), **near)


# --- Spectral embedding ---------------------------------------------------------------------------


def test_spectrum_as_dense(rng: np.random.Generator) -> None:
    _, x = spectral.sample(150, rng)
    width = 0.8
    values, vectors = spectral.spectrum(x, width, 5)
    K = np.exp(-((x[:, None] - x) ** 2).sum(-1) / (2 * width**2))
    W = K / np.outer(K.sum(0), K.sum(0))
    root = W.sum(0) ** -0.5
    S = root[:, None] * W * root
    near = len(x) * EPS  # roundings of sums; the norm of S is 1
    np.testing.assert_allclose(values, np.linalg.eigvalsh(S)[:-6:-1], atol=near)
    u = vectors / root[:, None]  # of S itself, up to a factor
    assert (np.linalg.norm(S @ u - values * u, axis=0) <= near * np.linalg.norm(u, axis=0)).all()
    np.testing.assert_allclose(np.abs(vectors[:, 0]), 1, atol=near / (1 - values[1]))


def test_circle_is_its_own_embedding() -> None:
    """Of a regular polygon the matrix is circulant: its eigenvalues are a Fourier transform."""
    N, width = 96, 0.3
    angle = 2 * np.pi * np.arange(N) / N
    x = np.stack([np.cos(angle), np.sin(angle)], 1)
    values, vectors = spectral.spectrum(x, width, 7)
    row = np.exp((np.cos(angle) - 1) / width**2)
    exact = np.fft.fft(row).real / row.sum()
    np.testing.assert_allclose(values, exact[[0, 1, 1, 2, 2, 3, 3]], atol=N * EPS)
    gap = values[2] - values[3]
    assert spectral.turns(vectors[:, 1:3], angle, 2 * np.pi) <= N * EPS / gap
    # that chords are shorter than arcs makes a difference of k^2 width^4 / 4, and terms beyond
    bent = np.array([0, 1, 1, 2, 2, 3, 3]) ** 2 * width**4 / 4
    off = np.abs(values - spectral.on_circle(values, 2 * np.pi, width))
    assert (off <= 2 * bent + N * EPS).all()
    assert spectral.turns(x[:, ::-1], angle, 2 * np.pi) <= N * EPS  # of the other sense
    assert spectral.turns(x[::5][:N], (2 * angle)[::5], 2 * np.pi) > 1 / 4


def test_knot_is_untied(rng: np.random.Generator) -> None:
    t, x = spectral.sample(600, rng)
    along, length = spectral.arc(t)
    _, vectors = spectral.spectrum(x, 0.3, 3)
    # strands that pass each other in space are at least a tenth of the knot apart along it
    assert spectral.turns(vectors[:, 1:3], along, length) < 1 / 10
    assert spectral.turns(x[:, :2], along, length) > 1 / 4


# --- Registration ---------------------------------------------------------------------------------


def test_sphere_is_closed() -> None:
    points, faces = registration.sphere(2)
    edges = np.unique(np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]], -1).reshape(-1, 2), axis=0)
    assert len(points) - len(edges) + len(faces) == 2
    S = registration.varifold(torch.from_numpy(points), torch.from_numpy(faces))
    assert ((S.normals * S.centres).sum(1) > 0).all()
    flux = (S.areas[:, None] * S.normals).sum(0)
    assert (flux.abs() <= len(faces) * EPS).all()


def test_lonely_vertex_goes_straight() -> None:
    q, p = torch.tensor([[0.5, -1.0, 2.0]]).double(), torch.tensor([[1.0, 2.0, -3.0]]).double()
    end, momentum = registration.shoot(q, p, 0.5, 4)[-1]
    torch.testing.assert_close(end.detach(), q + p, rtol=8 * EPS, atol=0)
    torch.testing.assert_close(momentum.detach(), p, rtol=0, atol=0)


def test_what_geodesics_conserve(rng: np.random.Generator) -> None:
    """Momentum, as all moves alike in moved space, exactly; energy to the order of the scheme."""
    q, p = (torch.from_numpy(rng.standard_normal((20, 3))) for _ in range(2))
    off = []
    for steps in (16, 32):
        path = registration.shoot(q, p / 4, 1.0, steps)
        energies = [float(registration.energy(*path[t], 1.0).detach()) for t in (0, -1)]
        off.append(abs(energies[1] - energies[0]))
        moved = path[-1][1].sum(0) - p.sum(0) / 4
        assert (moved.detach().abs() <= len(q) * steps * EPS * p.abs().sum()).all()
    assert 3 < off[0] / off[1] < 5  # second order: half the step, a quarter of the error


def test_gradient_of_registration(rng: np.random.Generator) -> None:
    given, _ = registration.problem(0, steps=2)
    p = torch.from_numpy(0.1 * rng.standard_normal(given.q.shape)).requires_grad_()
    assert torch.autograd.gradcheck(given.loss, p)


def test_sphere_reaches_the_target() -> None:
    given, goal = registration.problem(1, steps=4)
    p, losses = given.register(2)
    assert losses[0] == float(given.loss(torch.zeros_like(p)).detach())
    assert losses[2] < losses[1] < losses[0] / 10
    end, _ = registration.shoot(given.q, p, given.width, given.steps)[-1]
    nearest = ((given.q[:, None] - goal) ** 2).sum(-1).min(1).values.mean() ** 0.5
    assert registration.gap(given.q, goal) == pytest.approx(float(nearest), rel=len(goal) * EPS)
    assert registration.gap(end, goal) < registration.gap(given.q, goal) / 2


# --- Transport ------------------------------------------------------------------------------------

SHIFT = torch.tensor([0.6, -0.8], dtype=torch.float64)
WIDE = transport.Sinkhorn(blur=0.7, diameter=2.0, rounds=80)
"""So much blur that Sinkhorn's algorithm converges up to rounding."""


def test_divergence_of_a_shift(rng: np.random.Generator) -> None:
    """It is half the squared length, whatever the blur, and everybody's gradient is the shift."""
    x = torch.from_numpy(rng.uniform(-0.5, 0.5, (40, 2))).requires_grad_()
    value = WIDE.divergence(x, x.detach() + SHIFT)
    assert float(value.detach()) == pytest.approx(0.5, abs=len(x) * EPS)
    (gradient,) = torch.autograd.grad(value, x)
    exact = (-SHIFT / len(x)).expand_as(x)
    torch.testing.assert_close(gradient, exact, rtol=0, atol=len(x) * EPS)


def test_flow_to_a_shifted_cloud(rng: np.random.Generator) -> None:
    """Each step goes a part of the way; the divergence falls with the square of what is left."""
    x = torch.from_numpy(rng.uniform(-0.5, 0.5, (40, 2)))
    path, values = WIDE.flow(x, x + SHIFT, steps=3, rate=0.25)
    left = 0.75 ** np.arange(4)
    np.testing.assert_allclose(values, left**2 / 2, atol=4 * len(x) * EPS)
    for cloud, part in zip(path, left, strict=True):
        far = x + (1 - part) * SHIFT
        torch.testing.assert_close(cloud, far, rtol=0, atol=4 * len(x) ** 2 * EPS)


def test_disc_becomes_rings() -> None:
    x, y = (torch.from_numpy(make(200)) for make in (transport.disc, transport.rings))
    path, values = transport.Sinkhorn(blur=0.1, diameter=2.0).flow(x, y, steps=8, rate=0.25)
    assert (np.diff(values) < 0).all()
    assert values[-1] < values[0] / 10
    assert registration.gap(path[-1], y) < registration.gap(x, y) / 2
