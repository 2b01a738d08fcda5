"""State of a training in a file, from which it goes on bit by bit as if it had never stopped."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from georeduce.engine.errors import expected

from ..common import Array, ParameterError
from ._files import BROKEN, of_python, stored, whole


def fingerprint(parameters: dict[str, Any], arrays: list[Array]) -> str:
    """Return a digest of what a training depends on: parameters and data."""
    told = {name: repr(of_python(value)) for name, value in sorted(parameters.items())}
    digest = hashlib.sha256(json.dumps(told).encode())
    for array in arrays:
        plain = np.ascontiguousarray(array)
        digest.update(f"{plain.dtype}{plain.shape}".encode())
        digest.update(repr(plain.tolist()).encode() if plain.dtype == object else plain.tobytes())
    return digest.hexdigest()


def write(file: Path, arrays: dict[str, Array], random: np.random.RandomState, key: str) -> None:
    """Write a state: a whole file, or, if that fails, the one before."""
    name, words, position, has_gauss, gauss = random.get_state(legacy=True)
    assert name == "MT19937", "what RandomState is"
    state: dict[str, Any] = {"key": np.array(key), "words": np.asarray(words), **arrays}
    state["position"] = np.array([position, has_gauss])
    state["gauss"] = np.array(gauss)
    with whole(file) as out:
        np.savez(out, **state)


def read(file: Path, random: np.random.RandomState, key: str) -> dict[str, Array]:
    """Return the arrays of a state, and put the random numbers where they were.

    Raises
    ------
    ParameterError
        If the file is no checkpoint, or one of another training.
    """
    try:
        arrays = stored(file)
        found = str(arrays.pop("key"))
        words, position, gauss = (arrays.pop(word) for word in ("words", "position", "gauss"))
    except BROKEN as error:
        cure = "Name another file, or remove it."
        raise ParameterError(expected(f"a checkpoint in {file}", "another file", cure)) from error
    if found != key:
        what = f"the checkpoint {file} of a fit with the same parameters and data"
        cure = "Remove it to begin anew, or name another file."
        raise ParameterError(expected(what, "one of another fit", cure))
    random.set_state(("MT19937", words, int(position[0]), int(position[1]), float(gauss)))
    return arrays
