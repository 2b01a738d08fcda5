"""What the README and the docstrings show is true: examples run, tables are up to date."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import eps

from experiments import plot

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def example(name: str) -> dict[str, Any]:
    """Run an example of the README and return what it defines."""
    found = re.search(rf"<!-- example:{name} -->\n```python\n(.*?)```", README, re.DOTALL)
    assert found is not None
    names: dict[str, Any] = {}
    exec(compile(found[1], f"README.md, {name}", "exec"), names)
    return names


@pytest.mark.slow
def test_engine_example() -> None:
    shown = example("engine")
    x, y, b = shown["x"], shown["y"], shown["b"]
    d2 = ((x[:5, None, :] - y) ** 2).sum(-1)
    k = np.exp(-d2 / 0.02)
    # Sums of up to 30,000 positive terms in float64, of which each has a few roundings.
    near = {"rtol": len(y) * np.finfo(np.float64).eps}
    np.testing.assert_allclose(shown["potential"][:5], k @ b, **near)
    np.testing.assert_allclose(shown["log_density"][:5, 0], np.log(k.sum(1)), **near)
    np.testing.assert_array_equal(shown["indices"][:5], np.argsort(d2, axis=1)[:, :10])
    assert shown["values"].shape == (len(x), 10)


@pytest.mark.slow
def test_torch_example() -> None:
    shown = example("torch")
    x, y, scale = (shown[name].detach().double() for name in ("x", "y", "scale"))
    d2 = ((x[:, None, :] - y) ** 2).sum(-1)
    share = (-d2 / scale).softmax(1)
    expected = (share * d2).sum() / scale**2
    assert shown["scale"].grad.item() == pytest.approx(expected.item(), rel=len(x) * eps("float32"))
    bars = -2 * (share @ (torch.ones_like(y)) * x - share @ y) / scale
    off = (shown["x"].grad - bars).abs().max()
    assert off <= len(x) * eps("float32") * bars.abs().max()


@pytest.mark.slow
def test_losses_example() -> None:
    shown = example("losses")
    x, y, images = (shown[name].detach() for name in ("x", "y", "images"))
    assert shown["loss"].item() == pytest.approx(
        (y.mean(0) - x.mean(0)).square().sum().item(), rel=0.1
    )
    # downhill is where the plan goes
    assert ((images - x) * -shown["x"].grad).sum() > 0
    assert images.shape == x.shape


@pytest.mark.slow
def test_knn_example(capsys: pytest.CaptureFixture[str]) -> None:
    example("knn")
    assert "kneighborsclassifier__metric" in capsys.readouterr().out


@pytest.mark.slow
def test_mixture_example() -> None:
    from sklearn.mixture import GaussianMixture

    shown = example("mixture")
    theirs = {
        K: GaussianMixture(K, covariance_type="diag", random_state=0)
        .fit(shown["X"])
        .bic(shown["X"])
        for K in shown["models"]
    }
    assert shown["best"] == min(theirs, key=theirs.__getitem__)
    np.testing.assert_allclose(shown["responsibilities"].sum(1), 1, rtol=8 * eps("float64"))


@pytest.mark.slow
def test_density_example() -> None:
    shown = example("density")
    assert shown["density"].bandwidth_ in (0.1, 0.2, 0.4)
    assert np.isfinite(shown["density"].cv_scores_).all()
    assert len(set(shown["clusters"].labels_)) == 8


@pytest.mark.slow
def test_hierarchy_example() -> None:
    model = example("hierarchy")["model"]
    assert model.evaluate().mean_average_precision > 0.9
    fox = model.transform([("fox", "canine")])
    assert model.nodes_[np.linalg.norm(model.embedding_ - fox, axis=1).argmin()] == "canine"


@pytest.mark.slow
def test_transport_example() -> None:
    shown = example("transport")
    assert shown["adapted"].converged_
    assert shown["model"].score(shown["clouds"], shown["labels"]) > 0.9


def test_results_are_up_to_date() -> None:
    assert plot.updated(README) == README, "run: python -m experiments plot"


def modules() -> list[str]:
    found = []
    for root in ("georeduce.engine", "georeduce.apps"):
        package = importlib.import_module(root)
        walk = pkgutil.walk_packages(package.__path__, root + ".")
        found += [root, *(m.name for m in walk if not m.name.endswith("__main__"))]
    return [m for m in found if m != "georeduce.engine.backends.cuda"]  # needs CuPy to import


@pytest.mark.parametrize("name", modules())
def test_docstring_examples(name: str) -> None:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.testmod(importlib.import_module(name), optionflags=flags).failed == 0
