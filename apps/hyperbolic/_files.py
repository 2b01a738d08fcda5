"""Embeddings in files: arrays of NumPy with all that was learnt, or text in word2vec's format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from georeduce.engine.errors import expected

from ..common import Array, ParameterError
from ._graphs import names_of


def is_text(file: Path) -> bool:
    """Return whether a file is in word2vec's format, by its name."""
    return file.suffix != ".npz"


def write_text(file: Path, nodes: Array, x: Array) -> None:
    """Write a line with the counts, and one for each node with its coordinates, all digits."""
    for name in nodes.tolist():
        if not str(name) or any(c.isspace() for c in str(name)):
            cure = "Save to a file that ends in .npz."
            raise ParameterError(expected("names without white space", repr(name), cure))
    with file.open("w", encoding="utf-8") as out:
        out.write(f"{len(x)} {x.shape[1]}\n")
        for name, row in zip(nodes.tolist(), x.tolist(), strict=True):
            out.write(f"{name} {' '.join(map(repr, row))}\n")


def read_text(file: Path) -> tuple[Array, Array]:
    """Return names, which are strings, and points."""
    with file.open(encoding="utf-8") as text:
        try:
            n, D = map(int, text.readline().split())
            rows = [line.split() for line in text]
            x = np.array([[float(word) for word in row[1:]] for row in rows])
        except ValueError as error:
            raise ParameterError(
                expected(f"word2vec's text format in {file}", str(error))
            ) from error
    if x.shape != (n, D):
        raise ParameterError(expected(f"{n} nodes of {D} coordinates in {file}", f"{x.shape}"))
    return names_of(row[0] for row in rows), x


def write_arrays(file: Path, told: dict[str, Any], nodes: Array, arrays: dict[str, Any]) -> None:
    """Write parameters, names (strings and integers) and arrays, sparse ones too."""
    for name in nodes.tolist():
        if not isinstance(name, str | int):
            cure = "Rename the nodes."
            raise ParameterError(expected("names that are strings or integers", repr(name), cure))
    flat: dict[str, Any] = {}
    for name, array in arrays.items():
        if sparse.issparse(array):
            flat |= {
                f"{name}.{part}": getattr(array, part) for part in ("data", "indices", "indptr")
            }
        else:
            flat[name] = array
    text = json.dumps({"parameters": told, "nodes": nodes.tolist()})
    with file.open("wb") as out:
        np.savez_compressed(out, text=np.array(text), **flat)


def read_arrays(file: Path) -> tuple[dict[str, Any], Array, dict[str, Any]]:
    """Return parameters, names and arrays of a file of `write_arrays`."""
    try:
        with np.load(file) as stored:
            arrays = dict(stored)
        told = json.loads(str(arrays.pop("text")))
        nodes = names_of(told["nodes"])
        parts = {name.partition(".")[0] for name in arrays if "." in name}
        for name in parts:
            entries = tuple(arrays.pop(f"{name}.{part}") for part in ("data", "indices", "indptr"))
            arrays[name] = sparse.csr_array(entries, shape=(len(nodes), len(nodes)))
    except (ValueError, KeyError, EOFError) as error:
        raise ParameterError(expected(f"a saved embedding in {file}", str(error))) from error
    return told["parameters"], nodes, arrays
