"""Without a C++ compiler everything works, on NumPy, and one warning says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CODE = """
import numpy as np
from georeduce.apps.knn import NearestNeighbors
from georeduce.engine import LazyTensor
x = np.random.default_rng(0).random((50, 3))
x_i, x_j = LazyTensor(x[:, None, :]), LazyTensor(x[None, :, :])
d2 = ((x[:, None, :] - x) ** 2).sum(-1)
for _ in range(2):
    indices = x_i.sqdist(x_j).argKmin(3, axis=1)
    assert (indices == np.argsort(d2, axis=1)[:, :3]).all()
    assert ((-x_i.sqdist(x_j)).exp().sum(axis=1) > 1).all()
assert (NearestNeighbors(n_neighbors=3).fit(x).kneighbors(x)[1] == indices).all()
"""


def test_one_warning(tmp_path: Path) -> None:
    environment = os.environ | {
        "PATH": "",
        "CXX": str(tmp_path / "none"),
        "GEOREDUCE_CACHE": str(tmp_path / "cache"),
        "LOKY_MAX_CPU_COUNT": "1",  # else joblib looks for cores with commands of the PATH
    }
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", CODE],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Warning") == 1, done.stderr
    assert "NoCompilerWarning" in done.stderr
    assert str(tmp_path / "none") in done.stderr
