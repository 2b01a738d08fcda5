r"""Derivatives of values in PyTorch's graph, by the envelope theorem.

Potentials maximise the dual problem, so that the derivative of its value is the one at fixed
potentials: of the sums of the plan in the points, and in closed form in the weights.

.. math:: \partial_{x_i} = \sum_j \pi_{ij} \, \partial_{x_i} C(x_i, y_j), \qquad
          \partial_{a_i} = -\varphi^*(-f_i) - \varepsilon \, (\pi 1)_i / a_i

(Feydy et al. 2019, Interpolating between optimal transport and MMD using Sinkhorn divergences,
proposition 2; unbalanced: Séjourné et al. 2019, proposition 12.) The derivative of *that* is
another one, in which potentials move, so that second derivatives are refused.

Imported when a tensor comes in, as only then there is PyTorch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from georeduce.engine import ArgumentError
from georeduce.engine.arrays import cast, kind_of
from georeduce.engine.errors import expected

from ._arrays import at_home, namespace

if TYPE_CHECKING:
    from .divergence import Solve, Term

torch: Any = importlib.import_module("torch")


def differentiable(solve: Solve, x: Any, y: Any, a: Any, b: Any) -> Any:
    """Return the value of a loss of tensors as a node of PyTorch's graph."""
    return Value.apply(Once(solve), x, y, a, b)


class Once:
    """How a loss is solved, and then what was."""

    def __init__(self, solve: Solve) -> None:
        self.solve = solve
        self.terms: list[Term] = []


class Value(torch.autograd.Function):  # type: ignore[misc]
    """A loss: ``Value.apply(once, x, y, a, b)`` is a tensor of shape (...)."""

    @staticmethod
    def forward(once: Once, x: Any, y: Any, a: Any, b: Any) -> Any:
        """Return the value in the dtype of the points."""
        value, once.terms = once.solve(x, y, a, b)
        value = namespace(once.terms[0].transport.f).asarray(value)
        return cast(at_home(value, x), kind_of(x)[0])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Save what was solved."""
        once, *tensors = inputs
        ctx.terms = once.terms
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, cotangent: Any) -> tuple[Any, ...]:
        """Return the gradients of those tensors that ask for one."""
        places = tuple(n for n, need in enumerate(ctx.needs_input_grad[1:]) if need)
        slopes = Slopes.apply(ctx.terms, places, cotangent, *ctx.saved_tensors)
        found = dict(zip(places, slopes, strict=True))
        return None, *(found.get(n) for n in range(4))


class Slopes(torch.autograd.Function):  # type: ignore[misc]
    """The gradients of a loss, which have no derivatives themselves."""

    @staticmethod
    def forward(
        terms: list[Term], places: tuple[int, ...], cotangent: Any, *tensors: Any
    ) -> tuple[Any, ...]:
        """Return the gradients of the tensors at some places among x, y, a and b."""
        found = {n: torch.zeros_like(tensors[n]) for n in places}
        for term in terms:
            outer = cotangent * term.factor
            sides = tuple(n for n in term.sides if n in found)
            if sides:
                for n, slope in zip(sides, _of_points(term, tensors, outer, places), strict=True):
                    found[n] += slope
            for k, side in enumerate(term.sides):
                if (weights := found.get(2 + side)) is not None:
                    slope = cast(at_home(_of_weights(term, k), weights), kind_of(weights)[0])
                    weights += slope * outer[..., None]
        return tuple(found.values())

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Save nothing."""

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> tuple[Any, ...]:
        """Raise: these would be derivatives at fixed potentials."""
        what = "first derivatives of what transport costs"
        cure = "Take differences of gradients, of problems that are solved to a small tol."
        raise ArgumentError(expected(what, "second ones", cure))


def _of_points(
    term: Term, tensors: tuple[Any, ...], outer: Any, places: tuple[int, ...]
) -> tuple[Any, ...]:
    """Return gradients, with a cotangent of the value, of those sides that are among the places."""
    plan = term.transport.plan
    leaves = [tensors[side].detach().requires_grad_(side in places) for side in term.sides]
    with torch.enable_grad():
        sums = plan.of(*leaves).sum(axis=plan.ndim - 1)
    # a plan's derivative by a cost is -1 / epsilon of it
    weight = cast(outer * -term.transport.problem.epsilon, kind_of(sums)[0])
    asked = [leaf for leaf in leaves if leaf.requires_grad]
    found: tuple[Any, ...] = torch.autograd.grad(
        sums, asked, weight[..., None, None].expand_as(sums)
    )
    return found


def _of_weights(term: Term, k: int) -> Any:
    """Return derivatives of the value by the weights of the sources (0) or the targets (1)."""
    problem = term.transport.problem
    plan = term.transport.plan.T if k else term.transport.plan
    h, others = (term.transport.g, problem.a) if k else (term.transport.f, problem.b)
    dual = problem.penalties[k].dual(h, namespace(h))
    mass = others.sum(-1)[..., None] if term.mass else 0
    return dual + problem.epsilon * (mass - plan.excess)
