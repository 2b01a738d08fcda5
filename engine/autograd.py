"""The bridge to PyTorch: its tensors as arrays of the engine, and its derivatives.

Imported when a tensor comes in, as only then there is PyTorch. What a derivative is, is said in
`pullback.py`; here each reduction becomes a node of PyTorch's graph. Derivatives are made of such
nodes again, so that any order works, and forward and reverse mode in any nesting.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .backends import get_backend, run
from .backends._base import Data, Task, make_task
from .config import get_options, options
from .errors import ArgumentError, BackendError, expected
from .formula.backward import differentiable
from .formula.expr import Expr
from .matrix import every_pair
from .pullback import Compute, Picks, pull_back, push_forward, with_indices

torch: Any = importlib.import_module("torch")

Tensor = Any
"""A torch tensor; type checkers do not see PyTorch."""

# What PyTorch asks itself, for which there are no public names: were it gone, the general way
# would be taken, which is longer.
transforming: Callable[[], bool] = getattr(
    torch._C, "_are_functorch_transforms_active", lambda: True
)
forward_ad: Any = torch.autograd.forward_ad


def reduce_tensors(
    task: Task, data: Data, backend: str | None, n_threads: int | None
) -> tuple[Tensor, ...]:
    """Return the results of a task as tensors, where those of its data are.

    Parameters
    ----------
    task, data : Task, Data
        With tensors, all on one device, among the arrays.
    backend, n_threads : str and int, or None
        As the user gave them; None for the options in force, also when derivatives are computed.
    """
    now = get_options()
    backend = now.backend if backend is None else backend
    call = Call(task, data, backend, now.n_threads if n_threads is None else n_threads)
    tensors = call.tensors(data.arrays)
    if not followed(tensors):
        return call.results(tensors)
    if task.entry.slopes is not None:
        return call.node(data.arrays)
    fixed = [a.detach() if isinstance(a, torch.Tensor) else a for a in data.arrays]
    if not differentiable(task.reduction) or not data.N:
        return call.node(fixed)
    return _picked(call, data, fixed)


def followed(tensors: Sequence[Tensor]) -> bool:
    """Whether PyTorch wants to know what happens to one of the tensors."""
    if transforming():
        return True
    if getattr(forward_ad, "_current_level", 0) >= 0:
        return True
    return torch.is_grad_enabled() and any(t.requires_grad for t in tensors)


def refuse_tracing() -> None:
    """Raise where a program is recorded from one run: it would hold our results as constants."""
    tracer = sys.modules.get("torch.fx.experimental.proxy_tensor")
    if tracer is not None and tracer.get_proxy_mode() is not None:
        cure = "Use torch.func.jvp or vjp instead of linearize, torch.compile instead of make_fx."
        raise ArgumentError(expected("tensors to compute with", "a recording of operations", cure))


def _picked(call: Call, data: Data, fixed: Sequence[Any]) -> tuple[Tensor, ...]:
    """Return the results of a reduction that picks: found as ever, then computed for the picked.

    What is found has no derivatives; all others follow from how it is gathered and computed.
    """
    searched = with_indices(call.task)
    found, indices = Call(searched, data, call.backend, call.n_threads).node(fixed)
    picks = Picks(searched, data.arrays, indices)
    pairs = Data(picks.arrays, data.batch, picks.rows, 1)
    (again,) = Call(picks.task, pairs, call.backend, call.n_threads).node(picks.arrays)
    values = torch.where(indices < 0, found, again.reshape(indices.shape))
    return (values, indices)[: len(call.task.results)]


def dense(task: Task, data: Data) -> Tensor:
    """Return all values of a formula, as a tensor of shape (*batch, M * N, D).

    They are the rows of one column: what is computed of them has derivatives as all else.
    """
    every, pairs = every_pair(task, data, lambda a, shape: a.expand(*shape))
    on_cpu = all(a.device.type == "cpu" for a in pairs.arrays if isinstance(a, torch.Tensor))
    return reduce_tensors(every, pairs, "numpy" if on_cpu else "cuda", None)[0]


@contextmanager
def on_stream(device: Any) -> Iterator[Any]:
    """Let CuPy, which is what it gives, work on a device and PyTorch's current stream there.

    Parameters
    ----------
    device : torch.device
        A GPU.
    """
    if why := get_backend("cuda").missing():
        raise BackendError(why)
    cupy = importlib.import_module("cupy")
    stream = torch.cuda.current_stream(device).cuda_stream
    with cupy.cuda.Device(device.index), cupy.cuda.ExternalStream(stream, device.index):
        yield cupy


class Call:
    """A task, and its data but for the tensors, in whose places there is None.

    Attributes
    ----------
    slots : list of int
        Where the tensors belong.
    """

    def __init__(self, task: Task, data: Data, backend: str, n_threads: int | None) -> None:
        self.task, self.backend, self.n_threads = task, backend, n_threads
        numbers: list[Any] = list(data.arrays)
        slots = []
        for slot, a in enumerate(numbers):
            if isinstance(a, torch.Tensor):
                numbers[slot] = None
                slots.append(slot)
        self.slots, self.data = slots, Data(numbers, *data[1:])

    def tensors(self, arrays: Sequence[Any]) -> list[Tensor]:
        """Return those of the arrays that are tensors."""
        return [arrays[slot] for slot in self.slots]

    def arrays(self, tensors: Sequence[Any]) -> list[Any]:
        """Return all arrays, given those that are tensors."""
        whole = list(self.data.arrays)
        for slot, t in zip(self.slots, tensors, strict=True):
            whole[slot] = t
        return whole

    def node(self, arrays: Sequence[Any]) -> tuple[Tensor, ...]:
        """Return the results as a node of PyTorch's graph."""
        results: tuple[Tensor, ...] = Reduce.apply(self, *self.tensors(arrays))
        return results

    def results(self, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the results, without derivatives."""
        refuse_tracing()
        device = tensors[0].device
        if device.type == "cuda":
            return self._on_gpu(tensors, device)
        results = self._run([t.numpy(force=True) for t in tensors])
        return tuple(map(torch.from_numpy, results))

    def _on_gpu(self, tensors: Sequence[Tensor], device: Any) -> tuple[Tensor, ...]:
        """Return the results on PyTorch's current stream, through CuPy; nothing is copied."""
        with on_stream(device) as cupy:
            there = [cupy.from_dlpack(t.detach().resolve_neg()) for t in tensors]
            return tuple(map(torch.from_dlpack, self._run(there)))

    def _run(self, arrays: Sequence[Any]) -> tuple[Any, ...]:
        data = Data(self.arrays(arrays), *self.data[1:])
        if self.n_threads == get_options().n_threads:
            return run(self.task, data, self.backend)
        with options(n_threads=self.n_threads):
            return run(self.task, data, self.backend)

    def compute(self) -> Compute:
        """Return how derivatives compute reductions: as nodes, in the way of this call."""

        def compute(
            formula: Expr, weight: Expr | None, reduction: str, axis: str, arrays: Sequence[Any]
        ) -> Tensor:
            task = make_task(formula, weight, reduction, axis, self.task.dtype)
            data = self.data.along(axis, arrays)
            (result,) = Call(task, data, self.backend, self.n_threads).node(arrays)
            return result

        return compute

    def batched(self, length: int) -> Call:
        """Return the call with one more batch axis, the first."""
        numbers = [None if a is None else a[None] for a in self.data.arrays]
        data = self.data.batched(length, numbers)
        new = object.__new__(Call)
        new.task, new.backend, new.n_threads = self.task, self.backend, self.n_threads
        new.slots, new.data = self.slots, data
        return new


class Reduce(torch.autograd.Function):  # type: ignore[misc]
    """A reduction in PyTorch's graph: ``Reduce.apply(call, *tensors)`` is a tuple of tensors.

    It should be the case that what it saves is what it was given and what it returned, and that
    its derivatives are nodes of the same kind.
    """

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Return the results; as PyTorch's own, which looks up signatures for 15 microseconds."""
        if transforming():
            return super().apply(*args)
        return super(torch.autograd.Function, cls).apply(*args)

    @staticmethod
    def forward(call: Call, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Return the results."""
        return call.results(tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Save what derivatives need."""
        ctx.call, *tensors = inputs
        ctx.set_materialize_grads(False)
        if ctx.call.task.entry.slopes is None:
            ctx.mark_non_differentiable(*output)
        else:
            ctx.save_for_backward(*tensors, *output)
            ctx.save_for_forward(*tensors, *output)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of those tensors that ask for one."""
        call, needed = ctx.call, ctx.needs_input_grad[1:]
        nothing = (None,) * (1 + len(needed))
        if cotangents[0] is None or call.task.entry.slopes is None:
            return nothing
        *tensors, result = ctx.saved_tensors
        wanted = tuple(s for s, need in zip(call.slots, needed, strict=True) if need)
        arrays, g = call.arrays(tensors), cotangents[0]
        found = pull_back(call.task, arrays, wanted, g, result, call.compute())
        return (None, *(found.get(slot) for slot in call.slots))

    @staticmethod
    def jvp(ctx: Any, _: None, *tangents: Tensor) -> tuple[Tensor | None, ...]:
        """Return the derivatives of the results in a direction."""
        call = ctx.call
        given = {s: t for s, t in zip(call.slots, tangents, strict=True) if t is not None}
        if call.task.entry.slopes is None or not given:
            return (None,) * len(call.task.results)
        *tensors, result = ctx.saved_tensors
        arrays = call.arrays(tensors)
        return (push_forward(call.task, arrays, given, result, call.compute()),)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], call: Call, *tensors: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        """Return the results for one more batch axis, and where it is: it is the first."""
        ahead = [
            t[None] if dim is None else t.movedim(dim, 0)
            for t, dim in zip(tensors, in_dims[1:], strict=True)
        ]
        results = Reduce.apply(call.batched(info.batch_size), *ahead)
        return results, (0,) * len(results)
