"""How tensors are compared."""

from __future__ import annotations

from typing import Any

from helpers import eps

from georeduce.engine import autograd

torch: Any = autograd.torch
ANY = {"allow_unused": True, "materialize_grads": True}
"""For gradients by what may not be used."""


def flat(results: Any) -> list[Any]:
    """Return the tensors of nested tuples."""
    return [results] if isinstance(results, torch.Tensor) else [t for r in results for t in flat(r)]


def assert_same(results: Any, expected: Any) -> None:
    """Assert equality up to half of the digits: a wrong derivative is off by more than that."""
    results, expected = flat(results), flat(expected)
    assert len(results) == len(expected)
    for a, b in zip(results, expected, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        if b.numel():
            off, scale = (float(t.detach().abs().max()) for t in (a - b, b))
            assert off <= eps("float64") ** 0.5 * (1 + scale)
