"""Embeddings in files: arrays of NumPy with all that was learnt, or text in word2vec's format.

Files are written whole or not at all.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from scipy import sparse

from georeduce.engine.errors import expected

from ..common import Array, ParameterError
from ._graphs import names_of

BROKEN = (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)
"""What NumPy raises for files that are not, or no longer, arrays that it has written."""


def to_write(file: str | Path) -> Path:
    """Return the path of a file that can be written: in a folder, and none itself."""
    path = Path(file)
    if not path.parent.is_dir():
        cure = "Make the folder first."
        raise ParameterError(expected("a file in a folder that exists", repr(str(path)), cure))
    if path.is_dir():
        raise ParameterError(expected("the path of a file", f"the folder {str(path)!r}"))
    return path


def of_python(value: Any) -> Any:
    """Return a parameter as Python's own number, if it is one of NumPy's."""
    return value.item() if isinstance(value, np.generic) else value


@contextmanager
def whole(file: Path) -> Iterator[IO[bytes]]:
    """Open a file to write: what is there before stays until all is written."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with beside.open("wb") as out:
            yield out
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)


def stored(file: Path) -> dict[str, Array]:
    """Return the arrays of a file; if it is none of NumPy's, raise one of `BROKEN`."""
    # opened here, as NumPy 2.3 does not close what it cannot read
    with file.open("rb") as opened, np.load(opened) as arrays:
        return dict(arrays)


def is_text(file: Path) -> bool:
    """Return whether a file is in word2vec's format, by its name."""
    return file.suffix != ".npz"


def write_text(file: Path, nodes: Array, x: Array) -> None:
    """Write a line with the counts, and one for each node with its coordinates, all digits."""
    for name in nodes.tolist():
        if not str(name) or any(c.isspace() for c in str(name)):
            cure = "Save to a file that ends in .npz."
            raise ParameterError(expected("names without white space", repr(name), cure))
    name, count = Counter(map(str, nodes.tolist())).most_common(1)[0]
    if count > 1:
        cure = "Rename the nodes, or save to a file that ends in .npz."
        what = "names that are different as text"
        raise ParameterError(expected(what, f"{name!r} for {count} nodes", cure))
    with whole(file) as out:
        out.write(f"{len(x)} {x.shape[1]}\n".encode())
        for name, row in zip(nodes.tolist(), x.tolist(), strict=True):
            out.write(f"{name} {' '.join(map(repr, row))}\n".encode())


def read_text(file: Path) -> tuple[Array, Array]:
    """Return names, which are strings, and points."""
    with file.open(encoding="utf-8") as text:
        try:
            n, D = map(int, text.readline().split())
            if min(n, D) < 1:
                raise ValueError(f"{n} nodes of {D} numbers in line 1")
            rows = [line.split() for line in text]
            for number, row in enumerate(rows, start=2):
                if len(row) != 1 + D:
                    raise ValueError(
                        f"{len(row)} words for a name and {D} numbers in line {number}"
                    )
            x = np.array([[float(word) for word in row[1:]] for row in rows])
        except ValueError as error:
            raise ParameterError(
                expected(f"word2vec's text format in {file}", str(error))
            ) from error
    if len(x) != n:
        raise ParameterError(expected(f"{n} nodes in {file}, as line 1 says", f"{len(x)}"))
    name, count = Counter(row[0] for row in rows).most_common(1)[0]
    if count > 1:
        raise ParameterError(expected(f"every name once in {file}", f"{name!r} {count} times"))
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
    told = {name: of_python(value) for name, value in told.items()}
    text = json.dumps({"parameters": told, "nodes": nodes.tolist()})
    with whole(file) as out:
        np.savez_compressed(out, text=np.array(text), **flat)


def read_arrays(file: Path) -> tuple[dict[str, Any], Array, dict[str, Any]]:
    """Return parameters, names and arrays of a file of `write_arrays`."""
    try:
        arrays: dict[str, Any] = stored(file)
        told = json.loads(str(arrays.pop("text")))
        nodes = names_of(told["nodes"])
        parts = {name.partition(".")[0] for name in arrays if "." in name}
        for name in parts:
            entries = tuple(arrays.pop(f"{name}.{part}") for part in ("data", "indices", "indptr"))
            arrays[name] = sparse.csr_array(entries, shape=(len(nodes), len(nodes)))
        if arrays["embedding"].shape[:1] != nodes.shape:
            raise ValueError(f"{len(nodes)} nodes at points {arrays['embedding'].shape}")
    except BROKEN as error:
        raise ParameterError(expected(f"a saved embedding in {file}", "another file")) from error
    return told["parameters"], nodes, arrays
