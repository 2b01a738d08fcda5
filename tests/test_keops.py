"""KEOPS.md says what is so: of each name of pykeops, and in its example."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from experiments import keops


@pytest.fixture(scope="module")
def groups() -> list[keops.Group]:
    for library in ("pykeops", "torch"):
        pytest.importorskip(library)
    return keops.groups()


def test_it_is_up_to_date(groups: list[keops.Group]) -> None:
    assert keops.FILE.read_text(encoding="utf-8") == keops.render(), (
        "run: python -m experiments keops"
    )


def test_no_reason_is_stale(groups: list[keops.Group], monkeypatch: pytest.MonkeyPatch) -> None:
    assert keops.stale(groups) == []
    wrong = {
        "LazyTensor.exp": keops.Reason("It is there."),
        "LazyTensor.expp": keops.Reason("KeOps has no such name."),
        "LazyTensor.ni": keops.Reason("Something else.", "nothing"),
    }
    monkeypatch.setattr(keops, "REASONS", wrong)
    assert [line.split(":")[0] for line in keops.stale(groups)] == [
        "LazyTensor.expp",
        "LazyTensor.exp",
        "LazyTensor.ni",
    ]


@pytest.mark.slow
def test_example() -> None:
    names: dict[str, Any] = {}
    exec(compile(keops.EXAMPLE, "KEOPS.md", "exec"), names)
    x, y = names["x"], names["y"]
    k = np.exp(-((x[:, None] - y) ** 2).sum(-1))
    # sums of 2000 positive terms
    near = {"rtol": len(y) * np.finfo(np.float64).eps}
    np.testing.assert_allclose(names["a"], k @ names["b"], **near)
    np.testing.assert_allclose(names["c"], k.T @ names["a"], **near)
    np.testing.assert_allclose(names["s"][:, 0], k.sum(1), **near)
    np.testing.assert_array_equal(names["i"], np.argsort(-k, axis=1, kind="stable")[:, :5])
