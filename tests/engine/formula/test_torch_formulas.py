"""Gradients of random formulas, beside those of PyTorch on arrays in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from formulas import grow, leaves
from hypothesis import given, settings
from hypothesis import strategies as st
from tensors import ANY, assert_same

from georeduce.engine import LazyTensor, Vi, Vj, autograd
from georeduce.engine.formula.expr import PAIR, Expr, postorder
from georeduce.engine.lazy import apply

torch: Any = autograd.torch
M, N = 4, 6


def fold(name: str) -> Callable[[Any], Any]:
    return lambda x: getattr(x, name)(-1, keepdim=True)


def joined(x: Any, y: Any) -> Any:
    lead = torch.broadcast_shapes(x.shape[:-1], y.shape[:-1])
    return torch.cat([a.expand(*lead, a.shape[-1]) for a in (x, y)], -1)


def one_hot(x: Any, n: int) -> Any:
    return (x.round() == torch.arange(n)).double()


def put(x: Any, start: int, step: int, dim: int) -> Any:
    at = start + step * torch.arange(x.shape[-1])
    return torch.zeros(*x.shape[:-1], dim, dtype=x.dtype).index_copy(-1, at, x)


def contract(x: Any, n: int, outer: int, inner: int) -> Any:
    at = torch.arange(x.shape[-1] // n)[:, None] * outer + torch.arange(n) * inner
    return x[..., at].sum(-1)


def permuted(x: Any, dims: tuple[int, ...], order: tuple[int, ...]) -> Any:
    lead = x.shape[:-1]
    axes = (*range(len(lead)), *(len(lead) + n for n in order))
    return x.reshape(*lead, *dims).permute(axes).reshape(*lead, -1)


MEANINGS: dict[str, Callable[..., Any]] = {
    "inv": torch.reciprocal,
    "step": lambda x: torch.where(x < 0, 0.0, 1.0).double(),
    "root_inverse": lambda x: torch.where(x == 0, 0.0, x.rsqrt()),
    "rint": torch.round,
    "xlogx": lambda x: torch.xlogy(x, x),
    "sinxdivx": lambda x: torch.sinc(x / torch.pi),
    "softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
    "lesser": lambda x, y: torch.where(x < y, x, y),
    "greater": lambda x, y: torch.where(x > y, x, y),
    "to_real": lambda x: x.double(),
    "truth": lambda x: x.double(),
    "to_index": lambda x: x.long(),
    "add_index": torch.add,
    "sum": fold("sum"),
    "prod": fold("prod"),
    "min": fold("amin"),
    "max": fold("amax"),
    "argmin": fold("argmin"),
    "argmax": fold("argmax"),
    "contract": contract,
    "take": lambda x, start, step, count: x[..., start + step * torch.arange(count)],
    "put": put,
    "repeat": lambda x, n: x.repeat_interleave(n, -1),
    "tile": lambda x, n: torch.cat([x] * n, -1),
    "concat": joined,
    "one_hot": one_hot,
    "permute": permuted,
    "interleave": lambda x, y: torch.stack(torch.broadcast_tensors(x, y), -1).flatten(-2),
    "complex_real": lambda z: z[..., ::2],
    "complex_imag": lambda z: z[..., 1::2],
}
"""Where PyTorch has no function of the name."""


def value(e: Expr, arrays: list[Any]) -> Any:
    """Return a formula on arrays in memory, (M, N, dim)."""
    known: dict[Expr, Any] = {}
    for n in postorder(e):
        if n.is_variable:
            axis, slot = n.params
            a = arrays[slot]
            known[n] = a[:, None] if axis == "i" else a[None]
        elif n.is_constant:
            kind = {"index": torch.int64, "boolean": torch.bool}.get(n.kind, torch.float64)
            known[n] = torch.full((1, 1, n.dim), n.params[0], dtype=kind)
        else:
            assert n.op is not None
            meaning = MEANINGS.get(n.op.name) or getattr(torch, n.op.name)
            known[n] = meaning(*(known[a] for a in n.args), *n.params)
    return known[e].expand(M, N, e.dim)


@settings(max_examples=1000)
@given(seed=st.integers(0, 2**32 - 1), depth=st.integers(1, 4), dim=st.integers(1, 3))
def test_random_formulas(seed: int, depth: int, dim: int) -> None:
    # not drawn one by one, which prefers the first entries of the table
    choose = np.random.default_rng(seed).integers
    e = grow(lambda n: int(choose(n)), depth, dim)
    if e.axes != PAIR:
        return
    rng = np.random.default_rng(0)
    arrays = []
    for v in leaves(dim):
        n = {"i": M, "j": N, "p": 1}[v.params[0]]
        arrays.append(torch.from_numpy(rng.uniform(-2, 2, (n, v.dim))).requires_grad_())
    makes = {"i": Vi, "j": Vj, "p": lambda a: LazyTensor(a[None])}
    tensors = [makes[v.params[0]](a) for v, a in zip(leaves(dim), arrays, strict=True)]
    result = apply(lambda *_: e, tensors).sum(axis=1, backend="numpy")
    expected = value(e, arrays).sum(1)
    grads = torch.autograd.grad(result.sum(), arrays, **ANY)
    whole = expected.sum() + sum(0 * a.sum() for a in arrays)  # it may depend on none of them
    for g, h in zip(grads, torch.autograd.grad(whole, arrays, **ANY), strict=True):
        known = h.isfinite()  # at its kinks PyTorch may have infinities where ours are finite
        assert_same(g[known], h[known])
