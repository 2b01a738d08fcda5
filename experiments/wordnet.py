"""The nouns of WordNet 3.0 from Debian's files, as synsets and what they are kinds of.

A line of `data.noun` is a synset: its offset, its words, and pointers to other synsets, of which
"@" leads to what it is a kind of and "@i" to what it is an instance of (wndb(5WN)).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from georeduce.apps.hyperbolic._graphs import closed, graph_of

FILE = Path("/usr/share/wordnet/data.noun")
KINDS, INSTANCES = "@", "@i"


def synsets(file: Path = FILE) -> Iterator[tuple[str, str, list[tuple[str, str]]]]:
    """Yield of each synset its offset, its first word, and pointers as symbol and offset."""
    if not file.exists():
        raise SystemExit(f"Expected WordNet in {file}, but it is not there: "
                         "apt-get install wordnet-base.")  # fmt: skip
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("  "):  # the licence
                continue
            words = line.partition(" | ")[0].split()
            first = 4 + 2 * int(words[3], 16)
            count = int(words[first])
            fields = words[first + 1 : first + 1 + 4 * count]
            pointers = zip(fields[::4], fields[1::4], fields[2::4], strict=True)
            yield words[0], words[4], [(s, to) for s, to, part in pointers if part == "n"]


def relations(symbols: tuple[str, ...] = (KINDS, INSTANCES), file: Path = FILE) -> tuple[Any, Any]:
    """Return the names of all nouns and their transitive closure.

    Parameters
    ----------
    symbols : tuple of str
        Pointers that are followed.
    file : Path
        `data.noun`.

    Returns
    -------
    names : array of str
        Such as "dog.02084071".
    closure : csr_array of shape (n_nouns, n_nouns)
        Ones: row for the special, column for the general.
    """
    found = list(synsets(file))
    index = {offset: row for row, (offset, _, _) in enumerate(found)}
    ends = [(row, index[to]) for row, (*_, pointers) in enumerate(found)
            for symbol, to in pointers if symbol in symbols]  # fmt: skip
    names = np.array([f"{word}.{offset}" for offset, word, _ in found], dtype=object)
    pairs = np.unique(np.array(ends), axis=0)
    return names, closed(graph_of(names, pairs, None, closure=False).relations)


def below(names: Any, closure: Any, root: str) -> tuple[Any, Any]:
    """Return names and closure of a noun, by its first word, and of all that is a kind of it."""
    row = next(row for row, name in enumerate(names) if name.partition(".")[0] == root)
    kept = np.union1d(closure[:, [row]].nonzero()[0], [row])
    return names[kept], closure[kept][:, kept]


def mammals(file: Path = FILE) -> tuple[Any, Any]:
    """Return the kinds of mammals, without named individuals: 1,170 and 6,448 relations."""
    return below(*relations((KINDS,), file), "mammal")


def edges_of(names: Any, closure: Any) -> list[tuple[str, str]]:
    """Return a closure as pairs of names."""
    u, v = closure.nonzero()
    return list(zip(names[u].tolist(), names[v].tolist(), strict=True))
