"""Whole programs of PyTorch: loaders with workers, torch.compile. Each is a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SETUP = """
import warnings
import torch
from georeduce.engine import LazyTensor, Vi, Vj, options

x = torch.linspace(-1, 1, 30, dtype=torch.float64).reshape(10, 3)
y = torch.linspace(-2, 1, 36, dtype=torch.float64).reshape(12, 3)

def loss(x, y):
    return (-Vi(x).sqdist(Vj(y)) / 0.5).exp().sum(axis=1).sum()
"""


def run(code: str, folder: Path) -> str:
    file = folder / "program.py"
    file.write_text(SETUP + code, encoding="utf-8")
    command = [sys.executable, "-W", "error", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.compiler
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_a_loader(method: str, tmp_path: Path) -> None:
    """Which compute and differentiate, after the parent did on threads."""
    run(
        f"""
warnings.filterwarnings("ignore", "A forked process")  # runs on one thread, and says so

class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, n):
        a = (x + n).requires_grad_()
        value = loss(a, y)
        (g,) = torch.autograd.grad(value, a)
        return torch.cat([value.detach().reshape(1), g.reshape(-1)])

if __name__ == "__main__":
    with options(backend="openmp"):
        Vi(x.repeat(2000, 1)).sqdist(Vj(y.repeat(50, 1))).exp().sum(axis=1)
    alone = [Data()[n] for n in range(6)]
    loader = torch.utils.data.DataLoader(
        Data(), batch_size=2, num_workers=2, multiprocessing_context="{method}"
    )
    assert torch.equal(torch.cat(list(loader)), torch.stack(alone))
""",
        tmp_path,
    )


FIRST = {
    "all inside": "loss",
    "a reduction from outside": "lambda x, y: (K.sum(axis=1) * 2).sum() + x.sum()",
    "its transpose": "lambda x, y: (x.T @ K).sum() + (K.T @ x).sum()",
}
"""What torch.compile may meet first; these and the others it may meet then."""
OTHERS = [
    "lambda x, y: (K @ y).sin().sum() + x.sum()",
    "lambda x, y: LazyTensor(x[:, None] * 2).sqdist(y[None]).min(axis=0).sum()",
    "lambda x, y: (x[0, 0] * K).logsumexp(axis=1).sum()",
    "lambda x, y: (K.dense() @ y).sum() + x.sum()",
]


@pytest.mark.slow
@pytest.mark.parametrize("first", FIRST.values(), ids=list(FIRST))
def test_torch_compile_leaves_us_alone(first: str, tmp_path: Path) -> None:
    """What is around is compiled; nothing of ours is, and nobody is warned."""
    functions = [first, *OTHERS] if first == "loss" else [first]
    out = run(
        f"""
# PyTorch's own, of tensors that are not leaves, where a graph ends
warnings.filterwarnings("ignore", "The .grad attribute")
x.requires_grad_()
K = (-Vi(x).sqdist(Vj(y))).exp()
for f in ({", ".join(functions)},):
    with options(backend="numpy"):
        expected = f(x, y)
        compiled = torch.compile(f, backend="eager")
        for _ in range(2):
            result = compiled(x, y)
            assert torch.equal(result, expected)
            (g,) = torch.autograd.grad(result, x, retain_graph=True)
            (h,) = torch.autograd.grad(expected, x, retain_graph=True)
            assert torch.equal(g, h)
torch._dynamo.reset()
try:
    torch.compile(loss, backend="eager", fullgraph=True)(x, y)
except torch._dynamo.exc.Unsupported as error:
    print(error)
""",
        tmp_path,
    )
    assert "reason: georeduce compiles kernels of its own" in out
