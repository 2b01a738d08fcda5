"""The laws that every entry of the table of reductions promises, on NumPy's own arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import EXPECT, Array, assert_close, check_indices
from hypothesis import example, given
from hypothesis import strategies as st

from georeduce.engine import LazyTensor, Vi, Vj
from georeduce.engine.config import options
from georeduce.engine.formula.evaluate import evaluate
from georeduce.engine.formula.reductions import (
    INF,
    REDUCTIONS,
    Reduction,
    j,
    mass,
    state_a,
    t,
    v,
    w,
)
from georeduce.engine.methods import reduce

NAN = np.nan
FOLDED = [name for name, entry in REDUCTIONS.items() if entry.state]
ONE_RESULT = [n for n in FOLDED if len(REDUCTIONS[n].finish) == 1 and not REDUCTIONS[n].weighted]
WIDE = np.dtype(np.float64)

State = tuple[Array, ...]

# Few distinct numbers, so that ties are frequent; none so small that products underflow.
others = st.floats(-40, 40).map(lambda x: round(x, 3))
numbers = st.lists(
    st.sampled_from([0.0, 1.0, -1.0, 2.5, -3.0, NAN, INF, -INF]) | others, max_size=8
)
finite = st.lists(st.sampled_from([0.0, 1.0, -1.0, 2.5]) | others, max_size=8)


def values_of(entry: Reduction, numbers: list[float]) -> Array:
    """Return values along the reduced axis, (n, 1), of the kind that the entry reduces."""
    array = np.array(numbers, WIDE)[:, None]
    return array > 0 if entry.of == "boolean" else array


def weights_of(n: int, first: int = 0) -> Array:
    """Return positive weights that differ from index to index, (n, 1)."""
    return 0.5 + (np.arange(first, first + n) % 7)[:, None] / 3


def initial(entry: Reduction) -> State:
    """Return the identity of ``merge``."""
    kinds = {"real": WIDE, "index": np.dtype(np.int64), "boolean": np.dtype(np.bool_)}
    return tuple(np.array([s.init]).astype(kinds[s.kind]) for s in entry.state)


def meaning(entry: Reduction, numbers: list[float], first: int = 0) -> State:
    """Return the state of values at once."""
    assert entry.numpy is not None
    x = values_of(entry, numbers)
    with np.errstate(all="ignore"):
        state = entry.numpy(x, weights_of(len(x), first), first)
    return tuple(np.asarray(s) for s in state)


def inputs(x: float, weight: float, index: int) -> dict[Any, Array]:
    pivot = x if np.isfinite(x) else 0.0
    with np.errstate(all="ignore"):
        known = {v: x, w: weight, mass: np.exp(np.float64(x) - pivot)}
    arrays = {e: np.array([value]) for e, value in known.items()}
    return arrays | {j: np.array([index]), t: np.array([x > 0])}


def single(entry: Reduction, x: float, weight: float, index: int) -> State:
    """Return the state of one value, as its formulas say."""
    known = inputs(x, weight, index)
    return tuple(evaluate(s.single, known, WIDE) for s in entry.state)


def updated(entry: Reduction, state: State, x: float, weight: float, index: int) -> State:
    """Return a state with one value folded in, as the formulas of ``update`` say."""
    known = inputs(x, weight, index)
    for n, s in enumerate(entry.state):
        known[state_a(n, s.kind)] = state[n]
    return tuple(evaluate(u, known, WIDE) for u in entry.update)


def assert_same(entry: Reduction, a: State, b: State, numbers: list[float]) -> None:
    """Assert that two states of the same values finish as the same results, but for rounding."""
    x = values_of(entry, numbers)[None]
    zero = np.zeros(x.shape)
    bound: Any = [0.0]
    with np.errstate(all="ignore"):
        if entry.name in EXPECT:
            weights = weights_of(len(numbers))[None]
            ((_, bound),) = EXPECT[entry.name](x, zero, weights, zero, WIDE)
        left, right = entry.finished(a, WIDE), entry.finished(b, WIDE)
    for n, (one, other) in enumerate(zip(left, right, strict=True)):
        bounds = np.broadcast_to(bound[0] if n == 0 else 0.0, one.shape)
        assert_close(one, other, bounds, unclear=0)


@pytest.mark.parametrize("name", FOLDED)
@given(numbers=numbers)
@example(numbers=[])
@example(numbers=[NAN])
@example(numbers=[-INF])
def test_init_is_the_identity(name: str, numbers: list[float]) -> None:
    entry = REDUCTIONS[name]
    state = meaning(entry, numbers)
    assert_same(entry, entry.merged(initial(entry), state, WIDE), state, numbers)
    assert_same(entry, entry.merged(state, initial(entry), WIDE), state, numbers)


@pytest.mark.parametrize("name", FOLDED)
@given(a=numbers, b=numbers, c=numbers)
def test_merge_is_associative(name: str, a: list[float], b: list[float], c: list[float]) -> None:
    entry = REDUCTIONS[name]
    x, y = meaning(entry, a), meaning(entry, b, len(a))
    z = meaning(entry, c, len(a) + len(b))
    with np.errstate(all="ignore"):
        left = entry.merged(entry.merged(x, y, WIDE), z, WIDE)
        right = entry.merged(x, entry.merged(y, z, WIDE), WIDE)
    assert_same(entry, left, right, a + b + c)


@pytest.mark.parametrize("name", FOLDED)
@given(a=numbers, b=numbers)
def test_merging_parts_is_the_whole(name: str, a: list[float], b: list[float]) -> None:
    entry = REDUCTIONS[name]
    merged = entry.merged(meaning(entry, a), meaning(entry, b, len(a)), WIDE)
    assert_same(entry, merged, meaning(entry, a + b), a + b)


@pytest.mark.parametrize("name", FOLDED)
@given(numbers=numbers)
@example(numbers=[INF, NAN, INF])
def test_merging_singles_is_the_meaning(name: str, numbers: list[float]) -> None:
    entry = REDUCTIONS[name]
    state = initial(entry)
    with np.errstate(all="ignore"):
        for n, x in enumerate(numbers):
            one = single(entry, x, float(weights_of(1, n)[0, 0]), n)
            state = entry.merged(state, one, WIDE)
    assert_same(entry, state, meaning(entry, numbers), numbers)


@pytest.mark.parametrize("name", [n for n in FOLDED if REDUCTIONS[n].update])
@given(data=st.data())
def test_folding_update_is_the_meaning(name: str, data: st.DataObject) -> None:
    entry = REDUCTIONS[name]
    # `repair` is for those whose update never takes a first infinity
    numbers_ = data.draw(finite if entry.repair else numbers)
    state = initial(entry)
    with np.errstate(all="ignore"):
        for n, x in enumerate(numbers_):
            state = updated(entry, state, x, float(weights_of(1, n)[0, 0]), n)
    assert_same(entry, state, meaning(entry, numbers_), numbers_)


@pytest.mark.parametrize("name", [n for n in FOLDED if REDUCTIONS[n].repair])
@given(numbers=numbers)
def test_repair_is_only_wanted_where_it_is_seen(name: str, numbers: list[float]) -> None:
    """An update that misses an infinity leaves the index -1, which is how backends find it."""
    entry = REDUCTIONS[name]
    state = initial(entry)
    for n, x in enumerate(numbers):
        state = updated(entry, state, x, 1.0, n)
    if state[-1] != -1:
        assert_same(entry, state, meaning(entry, numbers), numbers)


@pytest.mark.parametrize("name", [n for n in FOLDED if not REDUCTIONS[n].weighted])
@given(numbers=numbers)
def test_meaning_is_what_numpy_says(name: str, numbers: list[float]) -> None:
    entry = REDUCTIONS[name]
    x = values_of(entry, numbers)[None]
    zero = np.zeros(x.shape)
    with np.errstate(all="ignore"):
        results = entry.finished(meaning(entry, numbers), WIDE)
        if name in EXPECT:
            ((expected, bound),) = EXPECT[name](x, zero, x, zero, WIDE)
            assert_close(results[0], expected[0], bound[0], unclear=0)
    if "arg" in name:
        sign = -1 if "max" in name else 1
        check_indices(results[-1], sign * x[:, :, 0], zero[:, :, 0])


@pytest.mark.parametrize("name", ONE_RESULT)
def test_fold_over_the_last_axis(name: str, rng: np.random.Generator) -> None:
    entry = REDUCTIONS[name]
    x = rng.uniform(-1, 1, (4, 6))
    values = x > 0 if entry.of == "boolean" else x
    result = entry.fold_last(values)
    assert result.shape == (4, 1)
    for row, one in zip(x, result, strict=True):
        expected = entry.finished(meaning(entry, list(row)), WIDE)[0]
        np.testing.assert_array_equal(one, expected)


# --- The specification in tiles ---------------------------------------------------------------


@pytest.mark.parametrize("name", list(REDUCTIONS))
def test_tiles_change_nothing(name: str, rng: np.random.Generator) -> None:
    """The NumPy backend in one tile, and in tiles of few points: ties, NaN and infinities too."""
    alphabet = [NAN, INF, -INF, 0.0, 1.0, -1.0, 2.0]
    for some in (alphabet, alphabet[3:]):
        x, y = rng.choice(some, (12, 1)), rng.choice(some, (23, 1))
        z = Vi(x) + Vj(y)
        weight = Vj(rng.uniform(0.5, 2, (23, 2))) if REDUCTIONS[name].weighted else None
        K = 4 if REDUCTIONS[name].keep else 0
        whole = reduce(z, name, "j", K, weight, "numpy")
        for tile_bytes in (1, 200, 1000):
            with options(tile_bytes=tile_bytes):
                tiled = reduce(z, name, "j", K, weight, "numpy")
            for a, b in zip(np.atleast_1d(whole), np.atleast_1d(tiled), strict=True):
                # sums of 23 terms in double, in another order
                np.testing.assert_allclose(a, b, rtol=23 * np.finfo(WIDE).eps, equal_nan=True)


# --- The table --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(REDUCTIONS))
def test_entry_is_complete(name: str) -> None:
    entry = REDUCTIONS[name]
    assert entry.doc[0].isupper()
    assert entry.doc.endswith(".")
    assert bool(entry.keep) != bool(entry.state)
    if name != "logsumexp_weight":  # logsumexp(weight=...)
        assert entry.doc in str(getattr(LazyTensor, name).__doc__)
    if entry.state:
        assert len(entry.merge) == len(entry.state)
        assert entry.pivoted != bool(entry.update)
        assert [m.kind for m in entry.merge] == [s.kind for s in entry.state]


def test_every_reduction_has_a_meaning_of_its_own_in_the_tests() -> None:
    indices = {name for name in REDUCTIONS if name in ("argmin", "argmax")}
    smallest = {name for name, entry in REDUCTIONS.items() if entry.keep}
    assert set(EXPECT) | indices | smallest == set(REDUCTIONS), (
        "write its meaning in helpers.EXPECT"
    )
