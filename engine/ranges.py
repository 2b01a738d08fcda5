"""Which blocks of a matrix a reduction uses, as KeOps's ``ranges``: checked once, then shared.

Block-sparse reductions pass, for the rows of a cluster, over the columns of some clusters only. All
other pairs are as if they did not exist: they are neither computed nor counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .arrays import library_of
from .errors import ArgumentError, DTypeError, ShapeError, expected

Indices = npt.NDArray[np.int64]

_NAMES = ("ranges_i", "slices_i", "redranges_j", "ranges_j", "slices_j", "redranges_i")


class Blocks:
    """Ranges of rows, each with the intervals of columns that its rows are reduced over.

    Rows and columns of a call with batch axes are counted through all batches.

    Parameters
    ----------
    rows : array of shape (n, 2)
        First row of each range, and the one past its last; no two overlap.
    slices : array of shape (n,)
        Where the intervals of each range end among `columns`.
    columns : array of shape (k, 2)
        First column of each interval, and the one past its last.
    names : tuple of str
        What the user calls these three.

    Attributes
    ----------
    rows : array of shape (n, 2)
        In ascending order, none of them empty.
    offsets : array of shape (n + 1,)
        Intervals ``offsets[k]`` to ``offsets[k + 1]`` belong to range k.
    columns : array of shape (k, 2)
        In ascending order within a range, neither empty nor touching each other.
    layouts : dict
        What was found for calls of some sizes, for those that come again.
    """

    layouts: dict[tuple[int, ...], Any]

    def __init__(
        self, rows: Indices, slices: Indices, columns: Indices, names: tuple[str, str, str]
    ) -> None:
        self._names = names
        self._ends = [int(a.max(initial=0)) for a in (rows, columns)]
        self.layouts = {}
        starts = np.concatenate([np.zeros(1, np.int64), slices[:-1]])
        counts = (slices - starts)[: len(rows)]
        full = rows[:, 1] > rows[:, 0]
        order = np.flatnonzero(full)[np.argsort(rows[full, 0], kind="stable")]
        self.rows = rows[order]
        again = np.flatnonzero(self.rows[1:, 0] < self.rows[:-1, 1])
        if again.size:
            a, b = (self.rows[again[0] + n].tolist() for n in (0, 1))
            cure = "Put all columns of a row into one range."
            raise ArgumentError(expected(f"{names[0]} that do not overlap", f"{a} and {b}", cure))
        counts, starts = counts[order], starts[order]
        owner = np.repeat(np.arange(len(order)), counts)
        within = np.arange(owner.size) - np.repeat(np.cumsum(counts) - counts, counts)
        self.columns, owner = _merged(columns[np.repeat(starts, counts) + within], owner)
        self.offsets = np.searchsorted(owner, np.arange(len(order) + 1)).astype(np.int64)

    @property
    def lengths(self) -> Indices:
        """How many columns each range of rows is reduced over, of shape (n,)."""
        total = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.diff(self.columns)[:, 0])])
        return np.diff(total[self.offsets])

    def check(self, M: int, N: int, batches: int) -> None:
        """Raise if these are no blocks of matrices of M rows and N columns, one for each batch.

        Raises
        ------
        ShapeError
            If an index is too large, or a block is not inside of one batch.
        """
        for end, n, name in zip(self._ends, (M, N), self._names[::2], strict=True):
            if end > n * batches:
                what = f"{name} that end at {n * batches} or before"
                raise ShapeError(expected(what, f"an end of {end}"))
        if batches > 1 and (M, N, batches) not in self.layouts:
            first, last = self.rows[:, 0] // M, (self.rows[:, 1] - 1) // M
            owners = np.repeat(first, np.diff(self.offsets))
            low, high = self.columns[:, 0] // N, (self.columns[:, 1] - 1) // N
            for name, wrong in (
                (self._names[0], first != last),
                (self._names[2], (low != owners) | (high != owners)),
            ):
                if wrong.any():
                    a = (self.rows if name == self._names[0] else self.columns)[wrong.argmax()]
                    what = f"{name} within one batch, the same for rows and their columns"
                    cure = f"Rows and columns are counted through all {batches} batches."
                    raise ShapeError(expected(what, f"{a.tolist()}", cure))
            self.layouts[M, N, batches] = True

    def of_batch(self, b: int, M: int, N: int) -> Blocks:
        """Return the blocks of one batch, whose rows and columns are counted from its start."""
        k0, k1 = np.searchsorted(self.rows[:, 0], (b * M, (b + 1) * M))
        part = self._part(self.rows[k0:k1] - b * M, np.arange(k0, k1))
        part.columns = part.columns - b * N
        return part

    def find(self, rows: Indices) -> Indices:
        """Return the number of the range that each row is in, -1 if it is in none."""
        k = np.searchsorted(self.rows[:, 0], rows, side="right") - 1
        inside = k >= 0
        inside[inside] = rows[inside] < self.rows[k[inside], 1]
        return np.where(inside, k, -1)

    def has_columns(self, rows: Indices) -> npt.NDArray[np.bool_]:
        """Return for each row whether it is reduced over any column."""
        some = np.append(np.diff(self.offsets) > 0, False)
        return some[self.find(rows)]

    def of_rows(self, rows: Indices) -> Blocks:
        """Return blocks for some rows, which become rows 0, 1, ..."""
        k = self.find(rows)
        number = np.flatnonzero(k >= 0)
        return self._part(np.stack([number, number + 1], axis=1), k[number])

    def _part(self, rows: Indices, which: Indices) -> Blocks:
        """Return blocks of other rows with the columns of some of these."""
        new = object.__new__(Blocks)
        counts = np.diff(self.offsets)[which]
        new.rows, new._names, new.layouts = rows, self._names, {}
        new.offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        within = np.arange(new.offsets[-1]) - np.repeat(new.offsets[:-1], counts)
        new.columns = self.columns[np.repeat(self.offsets[which], counts) + within]
        new._ends = [int(a.max(initial=0)) for a in (new.rows, new.columns)]
        return new


def _merged(columns: Indices, owner: Indices) -> tuple[Indices, Indices]:
    """Return the unions of the intervals of each owner, in order, and their owners."""
    full = columns[:, 1] > columns[:, 0]
    columns, owner = columns[full], owner[full]
    order = np.lexsort((columns[:, 0], owner))
    columns, owner = columns[order], owner[order]
    # how far an owner's intervals reach until here: each owner has numbers of its own
    own = owner * (int(columns.max(initial=0)) + 2)
    reach = np.maximum.accumulate(columns[:, 1] + own) - own
    new = np.ones(len(columns) + 1, np.bool_)
    new[1:-1] = (owner[1:] != owner[:-1]) | (columns[1:, 0] > reach[:-1])
    return np.stack([columns[new[:-1], 0], reach[new[1:]]], axis=1), owner[new[:-1]]


class _Halves(NamedTuple):
    """The same pairs by rows, for reductions over j, and by columns, for reductions over i."""

    along_j: Blocks
    along_i: Blocks


class Ranges:
    """Blocks of a matrix to which reductions are confined: checked once, for any number of them.

    Rows ``ranges_i[k, 0]`` to ``ranges_i[k, 1] - 1`` are reduced over the columns in the intervals
    ``redranges_j[slices_i[k - 1]:slices_i[k]]``, of which the union counts. Rows that are in no
    range, and those without columns, get the value of the empty axis. The other three arrays say
    the same of reductions over rows, and are to describe the same pairs.

    Parameters
    ----------
    arrays : sequence of six integer arrays, or Ranges
        ``(ranges_i, slices_i, redranges_j, ranges_j, slices_j, redranges_i)``, of shapes (n, 2),
        (n,), (k, 2), (m, 2), (m,), (l, 2). With batch axes, row i of batch b is counted as
        ``b * M + i`` and column j as ``b * N + j``.

    Notes
    -----
    It is immutable, and unpacks to the six arrays. Arrays given to a reduction are checked at every
    call, a `Ranges` once.

    KeOps counts a pair twice that lies in two intervals of a row, gives rows without columns the
    index 0 and has no ranges with batch axes.

    Examples
    --------
    >>> import numpy as np
    >>> from georeduce.engine import Ranges, Vi, Vj
    >>> halves = np.array([[0, 2], [2, 4]])
    >>> diagonal = Ranges((halves, [1, 2], halves, halves, [1, 2], halves))
    >>> x = np.arange(4.0)[:, None]
    >>> (Vi(x) - Vj(x)).abs().sum(axis=1, ranges=diagonal)[:, 0]
    array([1., 1., 1., 1.])
    """

    __slots__ = ("_arrays", "_halves", "_transposed")

    _arrays: tuple[Indices, ...]
    _halves: _Halves
    _transposed: Ranges | None

    def __init__(self, arrays: Any) -> None:
        if isinstance(arrays, Ranges):
            self._arrays, self._halves = arrays._arrays, arrays._halves
            self._transposed = arrays._transposed
            return
        what = f"ranges as six arrays of integers, ({', '.join(_NAMES)})"
        if not isinstance(arrays, tuple | list):
            raise ArgumentError(expected(what, type(arrays).__name__))
        if len(arrays) != 6:
            raise ArgumentError(expected(what, f"{len(arrays)}"))
        own = [indices(a, name) for a, name in zip(arrays, _NAMES, strict=True)]
        self._arrays = tuple(own)
        self._halves = _Halves(_blocks(own[:3], _NAMES[:3]), _blocks(own[3:], _NAMES[3:]))
        self._transposed = None

    @property
    def along_j(self) -> Blocks:
        """Ranges of rows i, and the columns that each of them is reduced over."""
        return self._halves.along_j

    @property
    def along_i(self) -> Blocks:
        """Ranges of columns j, and the rows that each of them is reduced over."""
        return self._halves.along_i

    @property
    def T(self) -> Ranges:
        """The blocks of the transpose."""
        if self._transposed is None:
            other = object.__new__(Ranges)
            other._arrays = self._arrays[3:] + self._arrays[:3]
            other._halves = _Halves(self.along_i, self.along_j)
            other._transposed = None
            self._transposed = other
        return self._transposed

    def repeated(self, number: int, M: int, N: int) -> Ranges:
        """Return the ranges of `number` times as many batches.

        Parameters
        ----------
        number : int
            Length of one more batch axis, the first.
        M, N : int
            Rows and columns of all batches that there are.
        """
        ri, si, cj, rj, sj, ci = self._arrays
        cj, ci = cj[: si.max(initial=0)], ci[: sj.max(initial=0)]  # the others are of no range
        steps = ((ri, M), (si, len(cj)), (cj, N), (rj, N), (sj, len(ci)), (ci, M))
        shift = np.arange(number)
        return Ranges(
            [
                (a + step * shift.reshape(-1, *[1] * a.ndim)).reshape(-1, *a.shape[1:])
                for a, step in steps
            ]
        )

    @classmethod
    def over_j(cls, blocks: Blocks) -> Ranges:
        """Return ranges of which only reductions over j are asked."""
        none = np.zeros((0, 2), np.int64)
        new = object.__new__(cls)
        new._arrays, new._transposed = (), None
        new._halves = _Halves(blocks, Blocks(none, none[:, 0], none, ("", "", "")))
        return new

    def __len__(self) -> int:
        return 6

    def __iter__(self) -> Iterator[Indices]:
        return iter(self._arrays)

    def __getitem__(self, key: Any) -> Any:
        return self._arrays[key]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Ranges):
            return NotImplemented
        if self.along_j is other.along_j and self.along_i is other.along_i:
            return True
        pairs = zip(self._arrays, other._arrays, strict=True)
        return all(np.array_equal(a, b) for a, b in pairs)

    def __hash__(self) -> int:
        return hash(tuple(a.shape for a in self._arrays))

    def __repr__(self) -> str:
        i, j = (len(half.rows) for half in self._halves)
        return f"Ranges of {i} blocks of rows and {j} of columns"

    def __reduce__(self) -> Any:
        return Ranges, (self._arrays,)


def as_ranges(ranges: Any) -> Ranges | None:
    """Return ranges as an object of their own, None as it is."""
    return ranges if ranges is None or isinstance(ranges, Ranges) else Ranges(ranges)


def common(a: Ranges | None, b: Ranges | None) -> Ranges | None:
    """Return the ranges of what two tensors make together.

    Raises
    ------
    ArgumentError
        If each has its own.
    """
    if a is not None and b is not None and a != b:
        cure = "Give the ranges to the reduction, or to the result."
        raise ArgumentError(expected("tensors with the same ranges", f"{a!r} and {b!r}", cure))
    return b if a is None else a


def on_host(a: Any) -> npt.NDArray[Any]:
    """Return an array of any library, or a list, as one of NumPy."""
    library = library_of(a)
    if library == "torch":
        a = a.detach().cpu().numpy()
    elif library == "cupy":
        a = a.get()
    return np.asarray(a)


def integers(a: Any, name: str) -> Indices:
    """Return a copy of an array of integers, of any library, as int64 in NumPy.

    Raises
    ------
    DTypeError
        If it holds something else.
    """
    try:
        made = on_host(a)
    except ValueError:  # lists of different lengths
        raise DTypeError(expected(f"{name} as an array of integers", repr(a))) from None
    if made.dtype.kind not in "iu" and made.size:
        got = type(a).__name__ if made.dtype.kind == "O" else f"dtype {made.dtype}"
        raise DTypeError(expected(f"{name} as an array of integers", got))
    return made.astype(np.int64)


def indices(a: Any, name: str) -> Indices:
    """Return one of the six arrays, after a look at the shape and the numbers of its name."""
    own = integers(a, name)
    if name.startswith("slices"):
        what, shape = f"{name} of shape (n,)", own.ndim == 1
    else:
        what, shape = f"{name} of shape (n, 2)", own.ndim == 2 and own.shape[1] == 2
        if not own.size:
            own, shape = own.reshape(0, 2), True
    if not shape:
        raise ShapeError(expected(what, f"shape {own.shape}"))
    if own.min(initial=0) < 0:
        raise ArgumentError(expected(f"{name} without negative numbers", f"{own.min()}"))
    own.flags.writeable = False
    return own


def _blocks(arrays: list[Indices], names: tuple[str, ...]) -> Blocks:
    """Return the blocks of three arrays that were given, after a look at what they say."""
    rows, slices, columns = arrays
    a, b, c = names
    for ends, name in ((rows, a), (columns, c)):
        wrong = ends[:, 0] > ends[:, 1]
        if wrong.any():
            got = f"{ends[wrong.argmax()].tolist()}"
            raise ArgumentError(expected(f"{name} as pairs of a start and an end", got))
    if len(slices) != len(rows):
        raise ShapeError(expected(f"{b} of as many numbers as {a} has", _two(slices, rows)))
    if (np.diff(slices) < 0).any():
        raise ArgumentError(expected(f"{b} in ascending order", f"{slices.tolist()[:8]}"))
    if len(slices) and slices[-1] > len(columns):
        got = f"{slices[-1]} for {len(columns)}"
        raise ArgumentError(expected(f"{b} that end at most at the length of {c}", got))
    return Blocks(rows, slices, columns, (a, b, c))


def _two(a: Indices, b: Indices) -> str:
    return f"{len(a)} and {len(b)}"
