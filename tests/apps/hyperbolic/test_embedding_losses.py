"""Losses of embeddings and ranks against plain NumPy of all pairs; steps against the geometry."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import eps
from scipy import sparse

from georeduce.apps.hyperbolic import Hyperboloid, PoincareBall, ranking, ranks
from georeduce.apps.hyperbolic._losses import NegativeSampling, Softmax, Stress
from georeduce.apps.hyperbolic._optimizers import OPTIMIZERS, Adam
from georeduce.apps.hyperbolic._pairs import RESOLVED, points_of
from georeduce.apps.hyperbolic._points import Placed
from georeduce.apps.hyperbolic._workers import PART, Workers

BALL = PoincareBall()
RUN: dict[str, Any] = {"backend": "numpy"}
N, D = 12, 3
DIFFERENCE = 1e-5
"""Of differences that stand for derivatives, in float64: off by its square, and by eps over it."""
NEAR = 1e3 * DIFFERENCE**2


def seen(x: Any, dtype: Any = np.float64) -> Any:
    return points_of(x, 1 - (x * x).sum(-1), dtype)


def inside(rng: np.random.Generator, n: int = N, radius: float = 4.0, D: int = D) -> Any:
    """Return points with distances up to a radius from the origin."""
    x = rng.normal(size=(n, D))
    r = rng.uniform(0.1, radius, (n, 1))
    return x / np.linalg.norm(x, axis=1, keepdims=True) * np.tanh(r / 2)


def some_relations(rng: np.random.Generator, n: int = N, share: float = 0.3) -> Any:
    """Return weights of relations; the last node has none."""
    matrix = np.where(rng.random((n, n)) < share, rng.uniform(0.5, 2, (n, n)), 0)
    np.fill_diagonal(matrix, 0)
    matrix[0, 1], matrix[-1] = 1, 0
    return sparse.csr_array(matrix)


def all_distances(x: Any) -> Any:
    return BALL.distance(x[:, None], x[None])


def softmax_by_loops(x: Any, relations: Any, rows: Any) -> float:
    d, matrix, total = all_distances(x), relations.toarray(), 0.0
    for u in rows:
        others = [n for n in range(len(x)) if n != u and not matrix[u, n]]
        Z = np.exp(-d[u, others]).sum()
        for v in np.flatnonzero(matrix[u]):
            total += matrix[u, v] * np.log((np.exp(-d[u, v]) + Z) / np.exp(-d[u, v]))
    return float(total)


def test_softmax_is_of_all_nodes_that_are_not_related(rng: np.random.Generator) -> None:
    x, relations = inside(rng), some_relations(rng)
    rows = np.array([0, 3, 4])
    loss, _ = Softmax(relations, RUN)(seen(x), rows, None)
    assert loss == pytest.approx(softmax_by_loops(x, relations, rows), rel=N * N * eps(np.float64))


def test_negatives_are_not_related(rng: np.random.Generator) -> None:
    x, relations = inside(rng), some_relations(rng, share=0.7)
    loss, rows = NegativeSampling(relations, 50), np.arange(N)
    drawn, missing = loss._draw(rows, rows, N, np.random.RandomState(0))
    matrix = relations.toarray()
    for u in rows:
        allowed = {n for n in rows if n != u and not matrix[u, n]}
        assert {*drawn[u][~missing[u]]} == allowed
    assert not missing[-1].any()
    # the same draws, one after the other
    value, _ = loss(seen(x), rows, np.random.RandomState(0))
    e = np.exp(-all_distances(x))
    Z = [e[u, drawn[u][~missing[u]]].sum() for u in rows]
    terms = [
        matrix[u, v] * np.log1p(Z[u] / e[u, v]) for u in rows for v in np.flatnonzero(matrix[u])
    ]
    assert value == pytest.approx(sum(terms), rel=N * N * eps(np.float64))


def test_where_all_nodes_are_related_there_are_no_negatives(rng: np.random.Generator) -> None:
    relations = sparse.csr_array(1 - np.eye(4))
    for loss in (Softmax(relations, RUN), NegativeSampling(relations, 5)):
        value, gradient = loss(seen(inside(rng, 4)), np.arange(4), np.random.RandomState(0))
        assert value == pytest.approx(0, abs=1e-5)
        assert np.isfinite(gradient).all()


def losses(rng: np.random.Generator) -> dict[str, Any]:
    relations, X = some_relations(rng), rng.normal(size=(N, 4))
    distances = np.linalg.norm(X[:, None] - X[None], axis=-1)
    return {
        "softmax": Softmax(relations, RUN),
        "negatives": NegativeSampling(relations, 5),
        "points": Stress((X, X), 0.7, RUN),
        "distances": Stress(distances, 0.7, RUN),
    }


@pytest.mark.parametrize("name", ["softmax", "negatives", "points", "distances"])
def test_gradients_are_slopes_along_geodesics(name: str, rng: np.random.Generator) -> None:
    loss, x = losses(rng)[name], inside(rng)
    all_rows, direction = np.arange(N), rng.normal(size=(N, D))
    _, gradient = loss(seen(x), all_rows, np.random.RandomState(0))

    def at(t: float) -> float:
        moved = BALL.exp(x, t * direction / BALL.conformal_factor(x)[:, None])
        return float(loss(seen(moved), all_rows, np.random.RandomState(0))[0])

    slope = (at(DIFFERENCE) - at(-DIFFERENCE)) / (2 * DIFFERENCE)
    assert (gradient * direction).sum() == pytest.approx(slope, rel=NEAR)


@pytest.mark.parametrize("name", ["softmax", "negatives", "points", "distances"])
def test_gradients_of_new_nodes(name: str, rng: np.random.Generator) -> None:
    loss, x = losses(rng)[name], inside(rng)
    new, direction = inside(rng), rng.normal(size=(N, D))
    _, gradient = loss.attach(seen(new), seen(x), np.random.RandomState(0))

    def at(t: float) -> float:
        moved = BALL.exp(new, t * direction / BALL.conformal_factor(new)[:, None])
        return float(loss.attach(seen(moved), seen(x), np.random.RandomState(0))[0])

    slope = (at(DIFFERENCE) - at(-DIFFERENCE)) / (2 * DIFFERENCE)
    assert (gradient * direction).sum() == pytest.approx(slope, rel=NEAR)


def test_stress_is_that_of_all_pairs(rng: np.random.Generator) -> None:
    x, X = inside(rng), rng.normal(size=(N, 4))
    wanted = 0.7 * np.linalg.norm(X[:, None] - X[None], axis=-1)
    exact = ((all_distances(x) - wanted) ** 2).sum()
    for targets in ((X, X), wanted / 0.7):
        loss, _ = Stress(targets, 0.7, RUN)(seen(x), np.arange(N), None)
        assert loss == pytest.approx(exact, rel=N * N * eps(np.float64))
        total, asked = Stress(targets, 0.7, RUN).squares(seen(x), seen(x))
        assert total == pytest.approx(exact, rel=N * N * eps(np.float64))
        assert asked == pytest.approx((wanted**2).sum(), rel=N * N * eps(np.float64))


def test_float32_tells_neighbours_apart_at_the_largest_radius(rng: np.random.Generator) -> None:
    x = inside(rng, 50, RESOLVED)
    near = BALL.exp(x, rng.normal(size=x.shape) / BALL.conformal_factor(x)[:, None])
    x, relations = np.concatenate([x, near]), some_relations(rng, 100, 0.05)
    rows = np.arange(100)
    for make in (lambda: Softmax(relations, RUN), lambda: NegativeSampling(relations, 5)):
        exact, rounded = (
            make()(seen(x, dtype), rows, np.random.RandomState(0))
            for dtype in (np.float64, np.float32)
        )
        # coordinates near 1 are off by eps / 2, that is gap eps / 2 of the space there
        off = eps(np.float32) * np.cosh(RESOLVED / 2) ** 2
        assert rounded[0] == pytest.approx(exact[0], rel=off)


# --- Points and steps -----------------------------------------------------------------------------


@pytest.mark.parametrize("space", [BALL, Hyperboloid()], ids=["ball", "hyperboloid"])
def test_points_move_along_geodesics_up_to_the_radius(space: Any, rng: np.random.Generator) -> None:
    x, step = inside(rng), rng.normal(size=(N, D))
    placed = Placed(space, BALL.convert(x, space), 25.0)
    placed.move(lambda rows: step[rows], 25.0)
    exact = BALL.exp(x, step / BALL.conformal_factor(x)[:, None])
    assert placed.seen.x == pytest.approx(exact, rel=N * eps(np.float64) * np.cosh(4) ** 2)
    assert space.convert(placed.x, BALL) == pytest.approx(placed.seen.x)
    assert 1 / placed.seen.h[:, 0] == pytest.approx(1 - (exact**2).sum(1), rel=1e-9)
    placed.move(lambda rows: 0 * step[rows], 1.5)
    depths = BALL.distance(placed.seen.x, np.zeros(D))
    before = BALL.distance(exact, np.zeros(D))
    assert depths == pytest.approx(np.minimum(before, 1.5))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_no_step_is_longer_than_some_rates(name: str, rng: np.random.Generator) -> None:
    optimizer = OPTIMIZERS[name]((N, D))
    for scale in (1e-3, 1e3, 1.0):
        gradient = scale * rng.normal(size=(N, D))
        optimizer.begin()
        step = optimizer.step(gradient, 0.1, slice(None))
        longest = 0.1 if name == "sgd" else 0.1 / np.sqrt(1 - 0.99)
        assert np.linalg.norm(step, axis=1).max() <= longest * (1 + N * eps(np.float64))


def test_short_gradients_are_short_steps_of_sgd(rng: np.random.Generator) -> None:
    gradient = rng.normal(size=(N, D))
    gradient *= 0.5 / np.linalg.norm(gradient, axis=1, keepdims=True)
    assert OPTIMIZERS["sgd"]((N, D)).step(gradient, 0.1, slice(None)) == pytest.approx(
        -0.1 * gradient
    )


def test_adam_steps_by_its_rate_at_first(rng: np.random.Generator) -> None:
    optimizer, gradient = Adam((N, D)), rng.normal(size=(N, D))
    optimizer.begin()
    step = optimizer.step(gradient, 0.1, slice(None))
    direction = -gradient / np.linalg.norm(gradient, axis=1, keepdims=True)
    assert step == pytest.approx(0.1 * direction, rel=1e-6)


def test_threads_change_nothing(rng: np.random.Generator) -> None:
    n = PART // 2  # some parts of each array
    x, relations = inside(rng, n), sparse.csr_array(
        (np.ones(3 * n), rng.integers(0, n, 3 * n), np.arange(0, 3 * n + 1, 3)), shape=(n, n)
    )  # fmt: skip
    relations.sum_duplicates()
    found = []
    for n_jobs in (1, 3):
        with Workers(n_jobs) as workers:
            placed = Placed(BALL, x, 12.0, workers)
            loss = NegativeSampling(relations, 5, workers)
            value, gradient = loss(placed.seen, np.arange(n), np.random.RandomState(0))
            placed.move(lambda rows, g=gradient: -0.01 * g[rows], 12.0)
            found.append((value, gradient, placed.x.copy()))
    for one, other in zip(*found, strict=True):
        assert np.array_equal(one, other)


# --- Ranks ----------------------------------------------------------------------------------------


def ranks_by_loops(x: Any, relations: Any, known: Any = None) -> tuple[list[int], list[float]]:
    d, test = all_distances(x), relations.toarray() != 0
    both = test if known is None else test | (known.toarray() != 0)
    found, precisions = [], []
    for u in range(len(x)):
        others = [n for n in range(len(x)) if n != u and not both[u, n]]
        row = [1 + sum(d[u, n] < d[u, v] for n in others) for v in np.flatnonzero(test[u])]
        found += row
        if row:
            order = np.sort(row)
            k = np.arange(1, len(row) + 1)
            precisions.append(float((k / (order - 1 + k)).mean()))
    return found, precisions


@pytest.mark.parametrize("held_out", [False, True], ids=["all", "held out"])
def test_ranks_are_those_of_all_distances(
    held_out: bool, backend: str, rng: np.random.Generator
) -> None:
    x = inside(rng, 30)
    x[5] = x[6] = x[7]  # ties are not nearer
    relations = some_relations(rng, 30, 0.4)  # more than are compared at a time
    known = some_relations(rng, 30, 0.2) if held_out else None
    found, precisions = ranks(x, relations, known, backend=backend)
    exact, exact_precisions = ranks_by_loops(x, relations, known)
    assert found.tolist() == exact
    assert precisions == pytest.approx(exact_precisions)
    assert ranking(x, relations, known, backend=backend) == pytest.approx(
        (np.mean(exact), np.mean(exact_precisions))
    )


def test_average_precision_is_that_of_scikit_learn(rng: np.random.Generator) -> None:
    from sklearn.metrics import average_precision_score

    x, relations = inside(rng, 20), some_relations(rng, 20)
    d, related = all_distances(x), relations.toarray() != 0
    np.fill_diagonal(d, np.inf)
    _, precisions = ranks(x, relations, **RUN)
    others = np.arange(20)
    exact = [
        average_precision_score(related[u][others != u], -d[u][others != u])
        for u in np.flatnonzero(related.any(axis=1))
    ]
    assert precisions == pytest.approx(exact)


def test_ranks_of_some_rows(rng: np.random.Generator) -> None:
    x, relations = inside(rng, 20), some_relations(rng, 20)
    everything, precisions = ranks(x, relations, **RUN)
    rows = np.array([3, 7])
    some, few = ranks(x, relations, rows=rows, **RUN)
    starts = relations.indptr
    assert some.tolist() == [r for u in rows for r in everything[starts[u] : starts[u + 1]]]
    sources = np.flatnonzero(np.diff(starts))
    assert few == pytest.approx(precisions[np.isin(sources, rows)])


def test_ranks_of_relations_in_other_forms(rng: np.random.Generator) -> None:
    x, relations, known = inside(rng, 20), some_relations(rng, 20), some_relations(rng, 20)
    found = ranking(x, relations, known, **RUN)
    zeros = relations.tocoo()
    zeros = sparse.coo_array(
        (np.append(zeros.data, 0), (np.append(zeros.row, 19), np.append(zeros.col, 0)))
    )
    turned = relations.copy()
    for u in range(20):  # columns of a row in no order
        row = slice(turned.indptr[u], turned.indptr[u + 1])
        turned.indices[row], turned.data[row] = turned.indices[row][::-1], turned.data[row][::-1]
    turned.has_canonical_format = turned.has_sorted_indices = False
    for make in (
        lambda: relations.toarray(),
        lambda: relations.toarray().tolist(),
        lambda: relations.tolil(),
        lambda: sparse.csr_matrix(relations),
        lambda: zeros,
        lambda: turned,
    ):
        assert ranking(x.tolist(), make(), known.toarray(), **RUN) == found


@pytest.mark.parametrize(
    ("x", "relations", "known", "words"),
    [
        (2 * np.ones((2, 2)), [[0, 1], [0, 0]], None, "inside of the ball.*norm of 2.8"),
        (np.full((2, 2), np.nan), [[0, 1], [0, 0]], None, "inside of the ball.*norm of nan"),
        (np.zeros((3, 2)), [[0, 1], [0, 0]], None, r"= \(3, 3\), but got shape \(2, 2\)"),
        (np.zeros((2, 2)), [[0, 1], [0, 0]], np.ones((3, 3)), r"but got shape \(3, 3\)"),
        (np.zeros((2, 2)), np.eye(2), None, "different nodes, but got one from node 0 to itself"),
        (np.zeros((2, 2)), np.zeros((2, 2)), None, "at least one relation to rank, but got none"),
    ],
    ids=["outside", "NaN", "shape", "shape of known", "itself", "none"],
)
def test_ranks_that_are_refused(x: Any, relations: Any, known: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ranking(x, relations, known, **RUN)
