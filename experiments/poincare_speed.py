"""Parts of the experiment `poincare` that measure time: training, ranks and neighbours."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from experiments import harness, wordnet
from georeduce.apps.hyperbolic import PoincareBall, PoincareEmbedding, ranks
from georeduce.apps.hyperbolic._setup import problem_of, training_of
from georeduce.apps.knn import NearestNeighbors

NEGATIVES = 10
BATCH = 16_384
"""Nodes u whose relations are in one update of ours; gensim's is its default, 10 relations."""
PART = 20_000
"""Relations that gensim is given for an epoch, of all nodes."""
NODES = 200
"""Nodes whose relations gensim ranks."""
QUERIES, K = 100_000, 10
ALIKE = 1e-3
"""How far distances of neighbours in float32 may be from pykeops's, relatively."""
OTHERS = 0.01
"""Share of the results that may be others: ties, and what rounding makes of near ones."""


def nouns(quick: bool) -> tuple[Any, Any]:
    return wordnet.mammals() if quick else wordnet.relations()


def embedded(asked: argparse.Namespace, n: int, D: int) -> tuple[Any, str]:
    """Return points of the nouns from the part "nouns"; without it, drawn ones."""
    file = asked.folder / f"poincare-nouns-D{D}-nouns-seed{asked.seed or 0}.npz"
    if file.exists() and not asked.quick:
        return PoincareEmbedding.load(file).embedding_, "embedded"
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, D))
    r = rng.uniform(0, 11, (n, 1))
    return x / np.linalg.norm(x, axis=1, keepdims=True) * np.tanh(r / 2), "drawn"


def _how(asked: argparse.Namespace) -> dict[str, Any]:
    return {"rounds": (2, 2), "seconds": 0.0, "write": False} if asked.quick else {
        "rounds": (3, 9), "seconds": 60.0}  # fmt: skip


def speed(asked: argparse.Namespace) -> None:
    """Relations per second of negative sampling, beside gensim's."""
    gensim = harness.peer("gensim.models.poincare")
    names, closure = nouns(asked.quick)
    for D in asked.dimension or (5, 50):
        model = PoincareEmbedding(
            D, loss="negative_sampling", n_negatives=NEGATIVES, batch_size=BATCH,
            max_iter=1, growth=0.0, schedule="constant", random_state=0, n_jobs=asked.n_jobs,
        )  # fmt: skip
        training = training_of(model, problem_of(model, closure))

        def epoch(training: Any = training) -> float:
            training.max_iter = training.epoch + 1
            training.idle = 0
            training.run()
            return float(training.curve[-1])

        contestants = [harness.Contestant(harness.OURS, epoch, float(closure.nnz))]
        if gensim:
            contestants.append(_gensim(gensim, names, closure, D))
        line = harness.compare(
            "poincare", f"speed-D{D}", contestants,
            sizes={"N": len(names), "D": D, "relations": int(closure.nnz), "negatives": NEGATIVES,
                   "batch": BATCH},
            dtype="float32", check=lambda found: {"loss": found[harness.OURS]},
            more=lambda line: {"unit": "relations", "target": 50.0,
                               "met": line.get("ratio", 0) >= 50.0},
            **_how(asked),
        )  # fmt: skip
        rates = [1e3 * each["gpairs_per_s"] for each in (line, *line["peers"])]
        told = " and ".join(f"{rate:.4g}" for rate in rates)
        print(f"speed-D{D}: {told} million relations/s, ratio {line.get('ratio', '-')}, target 50")


def _gensim(gensim: Any, names: Any, closure: Any, D: int) -> harness.Contestant:
    """Return gensim's epoch over some relations, with all nodes in its vocabulary."""
    model = gensim.PoincareModel(
        wordnet.edges_of(names, closure), size=D, negative=NEGATIVES, burn_in=0, seed=0
    )
    rng = np.random.default_rng(0)
    some = rng.permutation(len(model.all_relations))[:PART]
    model.all_relations = [model.all_relations[k] for k in some]

    def epoch() -> Any:
        return model.train(epochs=1, print_every=10**9)

    return harness.Contestant("gensim", epoch, float(len(some)))


def rank_all(asked: argparse.Namespace) -> None:
    """Ranks of all relations over all nodes, beside gensim's for some nodes."""
    names, closure = nouns(asked.quick)
    for D in asked.dimension or (10,):
        x, source = embedded(asked, len(names), D)
        line = _ranked(asked, names, closure, x, {"points": source})
        print(harness.report(line), f"| {source} points, target 15 s")


def _ranked(
    asked: argparse.Namespace, names: Any, closure: Any, x: Any, told: dict[str, Any]
) -> dict[str, Any]:
    gensim = harness.peer("gensim.models.poincare")
    n, D = x.shape
    rows = np.flatnonzero(np.diff(closure.indptr))
    some = np.random.default_rng(0).permutation(rows)[:NODES]

    def ours() -> Any:
        return ranks(x, closure, n_threads=asked.n_jobs)[0]

    contestants = [harness.Contestant(harness.OURS, ours, float(len(rows)) * n)]
    if gensim:
        vectors = gensim.PoincareKeyedVectors(vector_size=D, vector_count=0, dtype=np.float64)
        vectors.add_vectors(list(names), x)

        def theirs() -> Any:
            return _by_gensim(gensim, vectors, closure, some)

        contestants.append(harness.Contestant("gensim", theirs, float(len(some)) * n))

    def check(found: dict[str, Any]) -> dict[str, float]:
        if "gensim" not in found:
            return {}
        starts = np.concatenate([[0], np.cumsum(np.diff(closure.indptr)[rows])])
        places = np.searchsorted(rows, some)
        own = np.concatenate([found[harness.OURS][starts[k] : starts[k + 1]] for k in places])
        # gensim counts the node itself, at a distance of 0, as nearer
        off = float(np.mean(own != np.concatenate(found["gensim"]) - 1))
        assert off <= OTHERS, f"Expected gensim's ranks, but got others for a share of {off}."
        return {"ranks_off_gensim": off}

    return harness.compare(
        "poincare",
        f"ranks-D{D}",
        contestants,
        sizes={"N": n, "D": D, "relations": int(closure.nnz)},
        dtype="float64",
        check=check,
        more=lambda line: {**told, "target_seconds": 15.0, "met": line["seconds"] <= 15.0},
        **_how(asked),
    )


def _by_gensim(gensim: Any, vectors: Any, closure: Any, rows: Any) -> list[Any]:
    rank = gensim.ReconstructionEvaluation.get_positive_relation_ranks_and_avg_prec
    found = []
    for row in rows:
        related = closure.indices[closure.indptr[row] : closure.indptr[row + 1]]
        distances = vectors.distances(vectors.index_to_key[row])
        found.append(np.asarray(rank(np.asarray(distances), list(related))[0]))
    return found


def neighbours(asked: argparse.Namespace) -> None:
    """Ten nearest nouns of points near nouns, beside pykeops."""
    names = nouns(asked.quick)[0]
    for D in asked.dimension or (5, 10):
        x, source = embedded(asked, len(names), D)
        line = _searched(asked, x, 2000 if asked.quick else QUERIES, {"points": source})
        print(harness.report(line), f"| {source} points")


def _searched(
    asked: argparse.Namespace, x: Any, count: int, told: dict[str, Any]
) -> dict[str, Any]:
    pykeops = harness.peer("pykeops.numpy")
    (n, D), rng, ball = x.shape, np.random.default_rng(0), PoincareBall()
    chosen = x[rng.integers(0, n, count)]
    step = 0.1 * rng.standard_normal(chosen.shape) / np.sqrt(D)
    moved = ball.exp(chosen, step / ball.conformal_factor(chosen)[:, None])
    queries, points = (ball.project(a, 1e-6).astype(np.float32) for a in (moved, x))
    model = NearestNeighbors(n_neighbors=K, metric="poincare", n_jobs=asked.n_jobs).fit(points)
    pairs = float(count) * n
    contestants = [harness.Contestant(harness.OURS, lambda: model.kneighbors(queries)[0], pairs)]
    if pykeops:
        contestants.append(_pykeops(pykeops, queries, points, pairs))

    def check(found: dict[str, Any]) -> dict[str, float]:
        if "pykeops" not in found:
            return {}
        theirs = found["pykeops"]
        share = float(np.mean(np.abs(found[harness.OURS] - theirs) > ALIKE * (1 + theirs)))
        assert share <= OTHERS, f"Expected pykeops's distances, but got others: {share} of them."
        return {"distances_off_pykeops": share}

    return harness.compare(
        "poincare",
        f"neighbours-D{D}",
        contestants,
        sizes={"M": count, "N": n, "D": D, "K": K},
        dtype="float32",
        check=check,
        more=lambda line: told,
        **_how(asked),
    )


def _pykeops(pykeops: Any, queries: Any, points: Any, pairs: float) -> harness.Contestant:
    """Return the search of the same increasing function of distances."""
    gaps = [(1 - np.einsum("nd,nd->n", a, a, dtype=np.float64)).astype(np.float32)
            for a in (queries, points)]  # fmt: skip

    def search() -> Any:
        x, gx = pykeops.Vi(queries), pykeops.Vi(gaps[0][:, None])
        y, gy = pykeops.Vj(points), pykeops.Vj(gaps[1][:, None])
        values, _ = (((x - y) ** 2).sum(-1) / (gx * gy)).Kmin_argKmin(K, dim=1)
        return 2 * np.arcsinh(np.sqrt(np.maximum(values, 0)))

    return harness.Contestant("pykeops", search, pairs)
