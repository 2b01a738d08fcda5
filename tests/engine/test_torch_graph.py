"""PyTorch's graph and ours: transforms in any nesting, what is saved and when it goes, options."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from helpers import eps
from tensors import ANY, assert_same

from georeduce.engine import Pm, Ranges, Vi, Vj, autograd, options
from georeduce.engine.errors import ArgumentError

torch: Any = autograd.torch
func: Any = torch.func

M, N, D = 4, 6, 3
Loss = Callable[..., Any]


@pytest.fixture(autouse=True)
def on_numpy() -> Iterator[None]:
    """Run on the specification: nothing here is about kernels."""
    with options(backend="numpy"):
        yield


@pytest.fixture
def points(rng: np.random.Generator) -> list[Any]:
    """Rows, columns, and a number."""
    return [torch.from_numpy(rng.uniform(-1, 1, s)) for s in ((M, D), (N, D))] + [
        torch.tensor(0.7, dtype=torch.float64)
    ]


def asked(points: list[Any]) -> list[Any]:
    return [p.clone().requires_grad_() for p in points]


def ours(x: Any, y: Any, s: Any) -> Any:
    return (-Vi(x).sqdist(Vj(y)) / s).logsumexp(axis=1)[:, 0]


def dense(x: Any, y: Any, s: Any) -> Any:
    return (-((x[:, None] - y) ** 2).sum(-1) / s).logsumexp(1)


ALL = (0, 1, 2)
TRANSFORMS: dict[str, Callable[[Loss], Loss]] = {
    "grad": lambda f: func.grad(lambda *a: f(*a).sum(), ALL),
    "grad_and_value": lambda f: func.grad_and_value(lambda *a: f(*a).square().sum(), ALL),
    "vjp": lambda f: lambda *a: func.vjp(f, *a)[1](torch.arange(M).double()),
    "jvp": lambda f: lambda *a: func.jvp(f, a, a),
    "jacrev": lambda f: func.jacrev(f, ALL),
    "jacfwd": lambda f: func.jacfwd(f, ALL),
    "hessian": lambda f: func.hessian(lambda *a: f(*a).square().sum(), ALL),
    "jacrev of jacrev": lambda f: func.jacrev(func.jacrev(f, 1), 2),
    "jacfwd of jacfwd": lambda f: func.jacfwd(func.jacfwd(f, 2), 0),
    "jacrev of jacfwd": lambda f: func.jacrev(func.jacfwd(f, 0), 1),
    "grad of grad of grad": lambda f: func.grad(
        lambda x, y, s: func.grad(
            lambda s: func.grad(lambda y: f(x, y, s).prod())(y).square().sum()
        )(s)
    ),
    "vmap of rows": lambda f: lambda x, y, s: func.vmap(lambda a: f(a[None], y, s))(x),
    "vmap of all": lambda f: (
        lambda x, y, s: func.vmap(f, (None, 1, 0))(
            x, y[:, None].expand(N, 5, D), s * torch.arange(1, 6)
        )
    ),
    "vmap of vmap": lambda f: (
        lambda x, y, s: func.vmap(func.vmap(f, (0, None, None)), (None, 0, 0))(
            x.expand(2, M, D), y.expand(3, N, D), s * torch.arange(1, 4)
        )
    ),
    "vmap of grad": lambda f: (
        lambda x, y, s: func.vmap(func.grad(lambda *a: f(*a).sum(), ALL), (None, None, 0))(
            x, y, s * torch.arange(1, 4)
        )
    ),
    "grad of vmap": lambda f: func.grad(
        lambda x, y, s: func.vmap(f, (None, None, 0))(x, y, s * torch.arange(1, 4)).sum()
    ),
}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=list(TRANSFORMS))
def test_transforms(transform: Callable[[Loss], Loss], points: list[Any]) -> None:
    assert_same(transform(ours)(*points), transform(dense)(*points))


def test_recordings_are_refused(points: list[Any]) -> None:
    """What is recorded would give the results of this run for ever."""
    with pytest.raises(ArgumentError, match=r"a recording of operations. Use torch.func.jvp"):
        func.linearize(ours, *points)


PICKS: dict[str, tuple[Loss, Loss]] = {
    "Kmin": (
        lambda x, y, s: (Vi(x).sqdist(Vj(y)) / s).Kmin(2, axis=1),
        lambda x, y, s: ((x[:, None] - y).square().sum(-1) / s).topk(2, largest=False)[0],
    ),
    "max": (
        lambda x, y, s: (Vi(x) * Vj(y) / s).max(axis=1),
        lambda x, y, s: (x[:, None] * y / s).amax(1),
    ),
}


@pytest.mark.parametrize(
    "transform", ["jacrev", "jacfwd", "hessian", "vmap of all", "vmap of grad"]
)
@pytest.mark.parametrize("pick", PICKS.values(), ids=list(PICKS))
def test_transforms_of_what_is_picked(
    pick: tuple[Loss, Loss], transform: str, points: list[Any]
) -> None:
    made = TRANSFORMS[transform]
    assert_same(made(pick[0])(*points), made(pick[1])(*points))


def test_transforms_of_indices(points: list[Any]) -> None:
    x, y, s = points

    def nearest(y: Any) -> Any:
        return Vi(x).sqdist(Vj(y)).argmin(axis=1)[:, 0]

    many = torch.stack([y, -y, 2 * y])
    assert torch.equal(func.vmap(nearest)(many), torch.stack([nearest(a) for a in many]))
    inside = func.vmap(lambda y: (Vi(x).sqdist(Vj(y)) < s).any(axis=1))(many)
    assert inside.dtype == torch.bool


def test_forward_mode_without_transforms(points: list[Any]) -> None:
    forward_ad = torch.autograd.forward_ad
    tangents = [torch.ones_like(p) for p in points]
    for f, g in ((ours, dense), *PICKS.values()):
        with forward_ad.dual_level(), torch.no_grad():
            duals = [forward_ad.make_dual(p, t) for p, t in zip(points, tangents, strict=True)]
            results = [forward_ad.unpack_dual(h(*duals)).tangent for h in (f, g)]
        assert_same(results[0], results[1])


def test_blocks(points: list[Any]) -> None:
    """Derivatives, and batches of them, are confined to the blocks of the reduction."""
    rows, columns, ends = np.array([[0, 1], [1, M]]), np.array([[0, 4], [4, N]]), np.array([1, 2])
    ranges = Ranges((rows, ends, columns, columns, ends, rows))
    inside = torch.zeros(M, N, dtype=torch.bool)
    inside[:1, :4] = inside[1:, 4:] = True

    def blocks(x: Any, y: Any, s: Any) -> Any:
        return (-Vi(x).sqdist(Vj(y)) / s).logsumexp(axis=1, ranges=ranges)[:, 0]

    def masked(x: Any, y: Any, s: Any) -> Any:
        d = -((x[:, None] - y) ** 2).sum(-1) / s
        return torch.where(inside, d, -torch.inf).logsumexp(1)

    for name in ("grad", "hessian", "vmap of all", "vmap of grad"):
        transform = TRANSFORMS[name]
        assert_same(transform(blocks)(*points), transform(masked)(*points))


@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (0, 2)], ids=str)
def test_only_what_is_asked_for(wanted: tuple[int, ...], points: list[Any]) -> None:
    for n in wanted:
        points[n].requires_grad_()
    grads = torch.autograd.grad(ours(*points).sum(), [points[n] for n in wanted])
    assert_same(grads, torch.autograd.grad(dense(*points).sum(), [points[n] for n in wanted]))


def test_weights_products_and_values(points: list[Any]) -> None:
    x, y, s = asked(points)
    K, matrix = (-Vi(x).sqdist(Vj(y)) / s).exp(), (-(x[:, None] - y).square().sum(-1) / s).exp()
    for a, b in (
        (K @ y, matrix @ y),
        (K @ y[:, 0], matrix @ y[:, 0]),
        (x[:, 0] @ K, x[:, 0] @ matrix),
        (K.sumsoftmaxweight(y, axis=1), matrix.softmax(1) @ y),
        (K.dense(), matrix),
        ((Vi(x) * Pm(y[0])).sum(axis=0), (x * y[0]).sum(0, keepdim=True)),
    ):
        grads = [
            torch.autograd.grad((r * r).sum(), (x, y, s), retain_graph=True, **ANY) for r in (a, b)
        ]
        assert_same(a, b)
        assert_same(*grads)


def test_gradients_in_float32(points: list[Any]) -> None:
    x, y, s = (p.requires_grad_() for p in (points[0].float(), points[1].float(), points[2]))
    grads = torch.autograd.grad(ours(x, y, s).sum(), (x, y, s))
    assert [g.dtype for g in grads] == [torch.float32, torch.float32, torch.float64]
    expected = torch.autograd.grad(dense(x.double(), y.double(), s).sum(), (x, y, s))
    for g, e in zip(grads, expected, strict=True):
        assert float((g - e).abs().max()) <= eps("float32") ** 0.5


def test_what_has_no_derivative(points: list[Any]) -> None:
    x, y, s = asked(points)
    d = Vi(x).sqdist(Vj(y)) / s
    for r in (d.argmin(axis=1), d.argKmin(2, axis=1), (d < 1).count(axis=1), (d < 1).any(axis=1)):
        assert not r.requires_grad
    values, indices = d.Kmin_argKmin(2, axis=1)
    assert values.requires_grad
    assert not indices.requires_grad
    with torch.no_grad():
        assert not d.sum(axis=1).requires_grad


def test_fewer_than_K_values(points: list[Any]) -> None:
    """What was not found is infinite, and moves nothing."""
    x, y, _ = asked(points)
    values = Vi(x).sqdist(Vj(y)).Kmin(N + 2, axis=1)
    assert values[:, N:].isinf().all()
    grads = torch.autograd.grad(values[:, :N].sum(), (x, y))
    assert_same(grads, torch.autograd.grad((x[:, None] - y).square().sum(), (x, y)))
    (g,) = torch.autograd.grad(Vi(x).sqdist(Vj(y)).Kmin(N + 2, axis=1).sum(), x)
    assert g.isfinite().all()
    assert Vi(x).sqdist(Vj(y[:0])).min(axis=1).isinf().all()


# --- What is saved ------------------------------------------------------------------------------


def test_inputs_and_results_are_saved_and_no_more(points: list[Any]) -> None:
    points = asked(points)
    saved: list[Any] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        result = Vi(points[0]).sqdist(Vj(points[1])).sum(axis=1)
    owners = [t.data_ptr() for t in (*points[:2], result)]
    assert [t.data_ptr() for t in saved] == owners, "nothing is copied"


def test_a_change_in_place_is_noticed(points: list[Any]) -> None:
    x, y, s = asked(points)
    inner = x * 1
    result = ours(inner, y, s)
    inner.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        result.sum().backward()


def test_a_graph_is_gone_after_backward(points: list[Any]) -> None:
    x, y, s = asked(points)
    result = ours(x, y, s).sum()
    result.backward()
    with pytest.raises(RuntimeError, match="second time"):
        result.backward()


@pytest.mark.parametrize("order", [0, 1, 2])
def test_no_cycles(order: int, points: list[Any]) -> None:
    """Without the garbage collector: all is gone with the last name of it."""
    gc.collect()
    gc.disable()
    try:
        points = asked(points)
        inner = [p * 1 for p in points]
        result = (
            Vi(inner[0]).sqdist(Vj(inner[1])).Kmin(2, axis=1) / inner[2] + ours(*inner)[:, None]
        )
        node = ours(*inner).grad_fn.next_functions[0][0]
        kept = [weakref.ref(t) for t in (*inner, result, node, node.call)]
        for _ in range(order):
            grads = torch.autograd.grad(result.square().sum(), points, create_graph=True)
            result = sum(g.square().sum() for g in grads)
        if order:
            result.backward()
        del result, node, inner, points
        if order:
            del grads
        assert [ref() for ref in kept] == [None] * len(kept)
    finally:
        gc.enable()


def test_checkpoints(points: list[Any]) -> None:
    from torch.utils.checkpoint import checkpoint

    expected = torch.autograd.grad(ours(*(its := asked(points))).sum(), its)
    for reentrant in (False, True):
        its = asked(points)
        checkpoint(ours, *its, use_reentrant=reentrant).sum().backward()
        assert_same([p.grad for p in its], expected)


def test_derivatives_run_where_the_result_did(
    points: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the options that were in force, and as many threads, wherever backward is called."""
    seen: list[tuple[str, int | None]] = []
    run = autograd.run

    def run_and_tell(task: Any, data: Any, backend: str) -> Any:
        seen.append((backend, autograd.get_options().n_threads))
        return run(task, data, backend)

    monkeypatch.setattr(autograd, "run", run_and_tell)
    x, y, _ = asked(points)
    with options(backend="auto"):
        result = Vi(x).sqdist(Vj(y)).sum(axis=1, backend="numpy", n_threads=1)
        with options(n_threads=3, backend="numpy"):
            other = Vi(x).sqdist(Vj(y)).sum(axis=1)
        result.sum().backward()
        other.sum().backward()
    assert seen == [("numpy", 1), ("numpy", 3), *[("numpy", 1)] * 2, *[("numpy", 3)] * 2]


def test_modules(points: list[Any]) -> None:
    """A step of gradient descent on a parameter of a module, as in a training loop."""

    class Kernel(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.centres = torch.nn.Parameter(points[1].clone())
            self.scale = torch.nn.Parameter(points[2].clone())

        def forward(self, x: Any) -> Any:
            return ours(x, self.centres, self.scale)

    model = Kernel()
    steps = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(3):
        steps.zero_grad()
        loss = -model(points[0]).sum()
        loss.backward()
        steps.step()
        losses.append(loss.item())
    assert losses[2] < losses[1] < losses[0]
