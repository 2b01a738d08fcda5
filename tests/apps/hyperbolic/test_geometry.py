"""The laws of hyperbolic geometry in all three models."""

from __future__ import annotations

import pickle
from typing import Any

import fake_cupy
import numpy as np
import pytest
from helpers import eps
from hyperbolic_truth import DIMENSIONS, SEEDS, directions, in_ball, near_pairs
from hypothesis import given, settings
from hypothesis import strategies as st

from georeduce.apps.exact import gaps
from georeduce.apps.hyperbolic import HalfSpace, Hyperboloid, PoincareBall
from georeduce.engine import DTypeError, LazyTensor, Vi, Vj

EPS = eps(float)
N = 12
MODELS = [PoincareBall, Hyperboloid, HalfSpace]
each_model = pytest.mark.parametrize("model", MODELS, ids=[m.__name__ for m in MODELS])
curvatures = st.sampled_from([-1.0, -0.3, -7.0])
few = settings(max_examples=25)


def moved(x: Any, D: int, R: float = 1.0) -> Any:
    """Return how far roundings of ball coordinates move points, in the metric there.

    Those of a formula: some D + 12 of numbers up to R.
    """
    return 2 * R * (D + 12) * EPS / gaps(x / R)[..., 0]


@given(SEEDS, DIMENSIONS, curvatures)
@few
def test_translations_and_rotations_keep_distances(seed: int, D: int, K: float) -> None:
    rng = np.random.default_rng(seed)
    ball = PoincareBall(K)
    R = ball.radius
    x, y = near_pairs(rng, N, D, 12, R)
    d = ball.distance(x, y)
    z = in_ball(rng, N, D, 3, R)
    tx, ty = ball.mobius_add(z, x), ball.mobius_add(z, y)
    off = moved(tx, D, R) + moved(ty, D, R)
    assert (abs(ball.distance(tx, ty) - d) <= off + (D + 24) * EPS * d).all()
    turn = np.linalg.qr(rng.standard_normal((D, D)))[0]
    tx, ty = x @ turn, y @ turn
    off = moved(tx, D, R) + moved(ty, D, R)
    assert (abs(ball.distance(tx, ty) - d) <= off + (D + 24) * EPS * d).all()


@given(SEEDS, DIMENSIONS, curvatures)
@few
def test_conversions_keep_distances(seed: int, D: int, K: float) -> None:
    rng = np.random.default_rng(seed)
    ball = PoincareBall(K)
    R = ball.radius
    x, y = near_pairs(rng, N, D, 12, R)
    d = ball.distance(x, y)
    off = moved(x, D, R) + moved(y, D, R) + (D + 24) * EPS * d
    for other in (Hyperboloid(K), HalfSpace(K)):
        u, v = ball.convert(x, other), ball.convert(y, other)
        # a rounding of coordinates as large as 2 / gap moves points on the hyperboloid as far, and
        # one of coordinates of the order of 1 at heights of the order of gap in the half-space
        assert (abs(other.distance(u, v) - d) <= off).all()
        back = other.convert(u, ball)
        assert (np.linalg.norm(back - x, axis=1) <= 2 * (D + 12) * EPS * R).all()


@given(SEEDS, DIMENSIONS)
@few
def test_the_triangle_inequality(seed: int, D: int) -> None:
    rng = np.random.default_rng(seed)
    for model in MODELS:
        x, y = near_pairs(rng, N, D, 12)
        z = PoincareBall().geodesic(x, y, rng.uniform(-0.5, 1.5, N))
        z[: N // 2] = in_ball(rng, N // 2, D)
        x, y, z = (PoincareBall().convert(a, model()) for a in (x, y, z))
        xy, yz, xz = (model().distance(*p) for p in ((x, y), (y, z), (x, z)))
        # distances of the points as they are now, each off by a part of itself
        assert (xz <= (xy + yz) * (1 + 4 * (D / 2 + 12) * EPS)).all()
        assert (xy == model().distance(y, x)).all()


@given(SEEDS, DIMENSIONS, curvatures)
@few
def test_exp_is_the_inverse_of_log(seed: int, D: int, K: float) -> None:
    """Up to what a rounding of a tangent vector moves its end by.

    Which is ``2 sinh(d)`` times as much for its direction, in the metric at y, so that coordinates
    move by ``e^d g_y = 4 |x - y|^2 / g_x``.
    """
    rng = np.random.default_rng(seed)
    ball = PoincareBall(K)
    R = ball.radius
    x, y = near_pairs(rng, N, D, 12, R)
    v = ball.log(x, y)
    d = ball.distance(x, y)
    assert (abs(ball.norm(x, v) - d) <= 2 * (D + 12) * EPS * d).all()
    far = np.linalg.norm(x - y, axis=1) / R
    off = (D + 12) * EPS * (1 + d / R + 4 * far**2 / gaps(x / R)[:, 0])
    assert (np.linalg.norm(ball.exp(x, v) - y, axis=1) <= 2 * off * R).all()


@given(SEEDS, DIMENSIONS, curvatures)
@few
def test_maps_of_all_models(seed: int, D: int, K: float) -> None:
    """Inverse, as long as distances, isometric, along the geodesics, at moderate distances."""
    rng = np.random.default_rng(seed)
    ball = PoincareBall(K)
    R = ball.radius
    xb, yb = near_pairs(rng, N, D, 1, R)
    u, w = rng.standard_normal((2, N, D)) * R
    # gaps are 0.1 and more: distances up to 8 R, coordinates of the hyperboloid and of the
    # half-space up to 20 R; e^8 is what a direction's rounding grows to
    grown = 4 * (D + 12) * EPS * np.exp(8)
    for model in MODELS:
        space = model(K)
        x, y = ball.convert(xb, space), ball.convert(yb, space)
        d, v = space.distance(x, y), space.log(x, y)
        assert (abs(space.norm(x, v) - d) <= grown * R).all()
        assert (space.distance(space.exp(x, v), y) <= grown * R).all()
        u_x, w_x = (space._from_frame(space.features(x), a) for a in (u, w))
        assert (abs(space.inner(x, u_x, w_x) - (u * w).sum(1)) <= grown * R**2).all()
        u_y, w_y = space.transport(x, y, u_x), space.transport(x, y, w_x)
        assert (abs(space.inner(y, u_y, w_y) - (u * w).sum(1)) <= grown * D * R**2).all()
        back = space.transport(y, x, u_y)
        assert (space.norm(x, back - u_x) <= grown * D * R).all()
        along = space.transport(x, y, v)
        assert (space.norm(y, along + space.log(y, x)) <= grown * R).all()
        for t in (0.0, 0.25, 1.0):
            z = space.geodesic(x, y, t)
            assert (abs(space.distance(x, z) - t * d) <= grown * R).all()
            assert (abs(space.distance(z, y) - (1 - t) * d) <= grown * R).all()
        assert (space.distance(space.geodesic(x, y, 1.5), space.exp(x, 1.5 * v))
                <= grown * np.exp(4) * R).all()  # fmt: skip


@each_model
def test_points_that_are_equal_or_at_the_centre(model: Any) -> None:
    space = model()
    o = space.origin(3)
    x = PoincareBall().convert([0.3, -0.2, 0.1], space)
    for p in (o, x):
        assert space.distance(p, p) == 0
        assert not space.log(p, p).any()
        assert space.geodesic(p, p, [0.0, 0.5]) == pytest.approx(np.stack([p, p]), abs=4 * EPS)
        v = space._from_frame(space.features(p), np.array([1.0, 2.0, 3.0]))
        assert space.transport(p, p, v) == pytest.approx(v, rel=8 * EPS)
        assert space.exp(p, 0 * v) == pytest.approx(p, rel=4 * EPS)
    assert PoincareBall().convert(np.zeros(3), space) == pytest.approx(o, abs=4 * EPS)
    # through the centre, and back
    y = space.geodesic(x, o, 2.0)
    assert space.distance(x, y) == pytest.approx(2 * space.distance(x, o), rel=64 * EPS)
    v = space.log(x, y)
    assert space.norm(y, space.transport(x, y, v) + space.log(y, x)) <= 64 * EPS


@each_model
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_formulas_are_what_arrays_give(model: Any, dtype: Any, rng: Any) -> None:
    ball, space = PoincareBall(), model()
    x, y = (in_ball(rng, n, 3, 2) for n in (5, 7))
    y[3] = 0.1  # the centre is among the others
    x, y = (ball.convert(a, space).astype(dtype) for a in (x, y))
    off = 200 * eps(dtype)  # gaps are 0.01 and more
    for name in ("distance", "half_sinh"):
        f = getattr(space, name)
        formula, matrix = f(Vi(x), Vj(y)), f(x[:, None], y)
        assert isinstance(formula, LazyTensor)
        assert formula.dtype == matrix.dtype == dtype
        assert abs(formula.dense() / matrix - 1).max() <= off
        assert abs(f(Vj(x), Vi(y)).T.dense() / matrix - 1).max() <= off
    logs = space.log(x[:, None], y)
    sums = space.log(Vi(x), Vj(y)).sum(axis=1)
    assert sums.shape == x.shape
    assert abs(sums - logs.sum(1)).max() <= off * abs(logs).max() * len(y)
    s = space.half_sinh(x, x[::-1])
    assert (s + np.sqrt(1 + s * s)) ** -2 == pytest.approx(np.exp(-space.distance(x, x[::-1])),
                                                           rel=float(off))  # fmt: skip


def test_a_parameter_and_a_batch_of_points(rng: Any) -> None:
    ball = PoincareBall()
    x, y = in_ball(rng, 6, 2, 2).reshape(2, 3, 2), in_ball(rng, 8, 2, 2).reshape(2, 4, 2)
    found = ball.distance(Vi(x), Vj(y)).dense()
    assert found == pytest.approx(ball.distance(x[:, :, None], y[:, None]), rel=32 * EPS)
    p = LazyTensor(y[0, 0], 2)
    found = ball.distance(Vi(x[0]), p).sum(axis=0)
    assert found == pytest.approx(ball.distance(x[0], y[0, 0]).sum(), rel=32 * EPS)


@each_model
def test_tensors_of_pytorch_and_their_gradients(model: Any, rng: Any) -> None:
    """The gradient of a distance is minus the log map over it, by arrays and by formulas."""
    torch = pytest.importorskip("torch")
    ball, space = PoincareBall(), model()
    x, y = in_ball(rng, 6, 2, 2), in_ball(rng, 6, 2, 2)
    y[3] = 0.1
    x, y = ball.convert(x, space), ball.convert(y, space)
    pairs = -space.log(x, y) / space.distance(x, y)[:, None]
    each = -space.log(x[:, None], y) / space.distance(x[:, None], y)[..., None]
    v = space._from_frame(space.features(x), rng.standard_normal((6, 2)))
    s, t = torch.tensor(x, requires_grad=True), torch.tensor(y)
    for d, slopes in (
        (space.distance(s, t), pairs),
        (space.distance(s[:, None], t).sum(1), each.sum(1)),
        (space.distance(Vi(s), Vj(t)).sum(axis=1), each.sum(1)),
    ):
        (g,) = torch.autograd.grad(d.sum(), s)
        # a derivative along a tangent vector is its product with the Riemannian gradient
        exact = space.inner(x, slopes, v)
        if model is Hyperboloid:  # directions have no derivative at the centre
            exact[3] = 0
        off = 1000 * EPS * len(y)  # gaps are 0.01 and more
        assert abs((g.numpy() * v).sum(1) - exact).max() <= off * abs(exact).max()
    (g,) = torch.autograd.grad(space.distance(s, s.detach()).sum(), s)
    assert not g.any()  # a kink
    assert space.exp(s, torch.tensor(v)).dtype == torch.float64
    assert space.exp(s, torch.tensor(v)).detach().numpy() == pytest.approx(space.exp(x, v))


@each_model
@pytest.mark.parametrize("K", [-1.0, -0.3])
def test_gradients_where_points_meet(model: Any, K: float, rng: Any) -> None:
    """Smooth maps are smooth there: only the distance itself has a kink."""
    torch = pytest.importorskip("torch")
    space, ball = model(K), PoincareBall(K)
    x = torch.tensor(ball.convert(in_ball(rng, 6, 3, 1, ball.radius)[[0, 1, 4]], space))
    v = torch.tensor(space._from_frame(space.features(x.numpy()), rng.standard_normal((3, 3))))
    maps = {
        "square": (lambda a: space.distance(space.project(a), x) ** 2, x),
        "log": (lambda a: space.log(space.project(a), x), x),
        "log-to": (lambda a: space.log(x, space.project(a)), x),
        "exp": (lambda w: space.exp(x, w), torch.zeros_like(v)),
        "geodesic": (lambda a: space.geodesic(space.project(a), x, 0.3), x),
        "transport": (lambda a: space.transport(space.project(a), x, v), x),
    }
    for name, (f, at) in maps.items():
        at = at.clone().requires_grad_()
        # difference quotients of step h are off by h^2 and, divided by it, by roundings; gaps are
        # 0.1 and more, so that third derivatives are of the order of a thousand
        off = {"eps": EPS ** (1 / 3), "atol": 1e4 * EPS ** (2 / 3), "rtol": 0.0}
        assert torch.autograd.gradcheck(f, [at], **off), name


def test_tensors_meet_lists_but_no_arrays() -> None:
    torch = pytest.importorskip("torch")
    d = PoincareBall().distance(torch.zeros(2), [0.5, 0.0])
    assert d.dtype == torch.float32
    assert float(d) == pytest.approx(np.log(3))
    middle = PoincareBall().geodesic(torch.zeros(2), [0.5, 0.0], torch.tensor([0.0, 1.0]))
    assert middle.numpy() == pytest.approx(np.array([[0, 0], [0.5, 0]]), abs=4 * eps(np.float32))
    with pytest.raises(DTypeError, match="but got torch tensors on cpu and NumPy arrays"):
        PoincareBall().distance(torch.zeros(2), np.zeros(2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_projected_points_are_inside(dtype: Any, rng: Any) -> None:
    for K in (-1.0, -0.3):
        for D in (1, 3, 50):
            ball = PoincareBall(K)
            x = (directions(rng, 200, D) * 10.0 ** rng.uniform(-10, 10, (200, 1))).astype(dtype)
            x[:100] = directions(rng, 100, D).astype(dtype) * dtype(ball.radius)
            found = ball.project(x)
            assert found.dtype == dtype
            norms = np.linalg.norm(found.astype(float), axis=1) / ball.radius
            assert (norms <= 1 - 2 * eps(dtype)).all()
            assert (gaps(found, K) > 0).all()
            stays = np.linalg.norm(x.astype(float), axis=1) / ball.radius < 1 - 4 * eps(dtype)
            assert 0 < stays.sum() < 200
            assert (found[stays] == x[stays]).all()
            huge = ball.project(directions(rng, 5, D).astype(dtype) * (np.finfo(dtype).max / 4))
            assert (gaps(huge, K) > 0).all()
            norms = np.linalg.norm(ball.project(x, 1e-2).astype(float), axis=1) / ball.radius
            assert (norms <= 0.99 * (1 + eps(dtype))).all()


def test_results_stay_inside_however_far_one_goes(rng: Any) -> None:
    for dtype in (np.float32, np.float64):
        ball = PoincareBall()
        x = in_ball(rng, 50, 3, 5).astype(dtype)
        v = directions(rng, 50, 3).astype(dtype) * dtype(1e4)
        assert (gaps(ball.exp(x, v)) > 0).all()
        assert (gaps(ball.mobius_add(ball.exp(x, v), ball.exp(x, -v))) > 0).all()


def test_models_are_values() -> None:
    assert PoincareBall(-2.0) == PoincareBall(-2.0) != PoincareBall()
    assert len({PoincareBall(), PoincareBall(-1.0), HalfSpace(), Hyperboloid()}) == 3
    assert pickle.loads(pickle.dumps(Hyperboloid(-3.0))) == Hyperboloid(-3.0)
    assert repr(HalfSpace()) == "HalfSpace(curvature=-1.0)"


def test_integers_and_lists_are_points() -> None:
    assert PoincareBall().distance([0, 0], [[0, 0]]).dtype == np.float64
    assert PoincareBall().distance(np.zeros(2, int), [0.5, 0.0]) == pytest.approx(np.log(3))
    a, b = np.zeros(2, np.float32), np.array([0.5, 0.0])
    assert PoincareBall().distance(a, [0.5, 0.0]).dtype == np.float32
    assert PoincareBall().distance(a, b).dtype == np.float64
    assert PoincareBall().conformal_factor([[0.0, 0.0], [0.6, 0.0]]) == pytest.approx([2, 3.125])


@each_model
def test_arrays_of_cupy(model: Any, monkeypatch: pytest.MonkeyPatch, rng: Any) -> None:
    """By the double of CuPy: arrays stay where they are, with the same numbers."""
    cupy = fake_cupy.install(monkeypatch)
    space = model()
    x, y = (PoincareBall().convert(in_ball(rng, 6, 2, 2), space) for _ in range(2))
    v = space.log(x, y)
    there, other, w = map(cupy.asarray, (x, y, v))
    for name, here, found in (
        ("distance", space.distance(x, y), space.distance(there, other)),
        ("log", v, space.log(there, other)),
        ("exp", space.exp(x, v), space.exp(there, w)),
        ("transport", space.transport(x, y, v), space.transport(there, other, w)),
        ("geodesic", space.geodesic(x, y, 0.3), space.geodesic(there, other, 0.3)),
        ("convert", space.convert(x, HalfSpace()), space.convert(there, HalfSpace())),
    ):
        assert isinstance(found, cupy.ndarray), name
        # other blocks of points, the same operations
        assert found.get() == pytest.approx(here, rel=8 * EPS, abs=8 * EPS), name
