r"""Solutions of linear systems in PyTorch's graph. Imported when a tensor comes in.

.. math:: x = A^{-1} b, \qquad \bar b = A^{-1} \bar x, \qquad \bar A = - \bar b x^T

The derivative of a solution is another solution with the same symmetric matrix, and a product with
it that PyTorch differentiates; nothing of the iterations is kept.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

torch: Any = importlib.import_module("torch")

Tensor = Any
"""A torch tensor; type checkers do not see PyTorch."""


class System:
    """A family of symmetric matrices, given by tensors.

    Parameters
    ----------
    product : callable
        ``product(tensors, p)``: the matrix applied to p, in PyTorch's graph.
    solve : callable
        ``solve(tensors, b, x0)``: the solution, in no graph.
    """

    def __init__(
        self,
        product: Callable[[Sequence[Tensor], Tensor], Tensor],
        solve: Callable[[Sequence[Tensor], Tensor, Tensor | None], Tensor],
    ) -> None:
        self.product, self.solve = product, solve

    def solution(self, tensors: Sequence[Tensor], b: Tensor, x0: Tensor | None = None) -> Tensor:
        """Return the solution for b, which derivatives by b and the tensors reach."""
        return Solution.apply(self, x0, b, *tensors)


class Solution(torch.autograd.Function):  # type: ignore[misc]
    """A solution in PyTorch's graph: ``Solution.apply(system, x0, b, *tensors)``.

    It should be the case that its derivative is made of nodes of the same kind.
    """

    @staticmethod
    def forward(system: System, x0: Tensor | None, b: Tensor, *tensors: Tensor) -> Tensor:
        """Return the solution."""
        return system.solve(tensors, b, x0)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Save what the derivative needs."""
        ctx.system, _, _, *tensors = inputs
        ctx.save_for_backward(output, *tensors)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients by b and by those tensors that ask for one."""
        x, *tensors = ctx.saved_tensors
        needed = ctx.needs_input_grad[3:]
        bar = ctx.system.solution(tensors, cotangent)
        again = torch.is_grad_enabled()
        with torch.enable_grad():
            # others than the tensors themselves: x depends on these too, and is held fixed here
            own = [
                (t.view_as(t) if again else t.detach().requires_grad_()) if need else t
                for t, need in zip(tensors, needed, strict=True)
            ]
            wanted = [t for t, need in zip(own, needed, strict=True) if need]
            found = iter(_gradients(ctx.system.product(own, x), wanted, -bar, again))
        return (None, None, bar, *(next(found) if need else None for need in needed))


def _gradients(
    value: Tensor, wanted: Sequence[Tensor], cotangent: Tensor, again: bool
) -> Sequence[Tensor | None]:
    if not wanted:
        return ()
    found: Sequence[Tensor | None] = torch.autograd.grad(
        value, wanted, cotangent, create_graph=again, allow_unused=True
    )
    return found
