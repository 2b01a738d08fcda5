"""From the parameters of an estimator to a problem, its training, and places for new nodes."""

from __future__ import annotations

import importlib
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse
from sklearn import get_config
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import validate_data

from georeduce.engine import GeoreduceWarning
from georeduce.engine.errors import expected, warn

from ..common import FLOATS, Array, ParameterError, running, to_host
from ._checkpoints import fingerprint
from ._files import to_write
from ._graphs import kind_of, read_distances, read_graph
from ._optimizers import OPTIMIZERS, Adam
from ._pairs import Points
from ._points import Placed
from ._problems import Distances, Relations
from ._schedule import Schedule
from ._space import HyperbolicSpace
from ._training import Training
from ._workers import Workers
from .ball import PoincareBall
from .hyperboloid import Hyperboloid

MODELS: dict[str, type[HyperbolicSpace]] = {"ball": PoincareBall, "hyperboloid": Hyperboloid}
"""Whose coordinates points are kept and returned in."""
START = 1e-3
"""Points start uniformly in a cube of twice this edge around the origin, as in the paper."""
ATTACHING = 300
"""Updates of new nodes."""
METRIC = ("distances", "points")
"""Kinds of input for "stress"."""
UNKEYED = ("checkpoint", "checkpoint_interval", "verbose", "n_jobs", "init", "random_state")
"""Parameters of which what is learnt does not depend, or by more than their names."""


def problem_of(estimator: Any, X: Any) -> Any:
    """Return what is to be embedded, checked against the parameters."""
    kind = kind_of(X, estimator.input)
    metric, loss = kind in METRIC, estimator.loss
    if loss == "auto":
        loss = "stress" if metric else "softmax"
    if metric != (loss == "stress"):
        if metric:
            what, cure = "edges, an adjacency or a graph", "Name what X is by input."
        else:
            what = "distances or points"
            cure = "scipy.sparse.csgraph.shortest_path gives distances of nodes."
        raise ParameterError(expected(f"{what} for loss={loss!r}", kind, cure))
    run = running(estimator)
    if not metric:
        if estimator.input == "auto" and kind == "edges" and hasattr(X, "shape"):
            _tell_of_pairs(np.asarray(X), kind)
        graph = read_graph(X, kind, estimator.closure)
        return Relations(graph, loss, estimator.n_negatives, run)
    if sparse.issparse(X):
        what, cure = "a dense matrix", "X.toarray() makes it one; relations are input='adjacency'."
        raise ParameterError(expected(f"{what} for input={kind!r}", "a sparse one", cure))
    finite = kind != "distances"  # which have a sentence of their own
    X = validate_data(estimator, to_host(X), dtype=FLOATS, order="C", ensure_all_finite=finite)
    if kind == "distances":
        X = read_distances(X)
    elif estimator.input == "auto":
        _tell_of_pairs(X, kind)
    return Distances(X, kind == "distances", estimator.scale, estimator.max_radius, run)


def _tell_of_pairs(X: Array, kind: str) -> None:
    """Warn where edges or points look like what is between nodes: square, zeros where i = j."""
    if X.dtype.kind not in "iuf" or X.shape[0] != X.shape[1]:
        return
    if (X >= 0).all() and X.any() and not np.diag(X).any():
        what = f"a matrix of shape {X.shape} with zeros on its diagonal"
        got = f"{what}, as distances and adjacencies have"
        cure = f"Name what X is by input: 'distances', 'adjacency' or {kind!r}."
        warn(expected(f"{kind}, as input is 'auto'", got, cure), GeoreduceWarning)


def training_of(estimator: Any, problem: Any) -> Training:
    """Return the training that an estimator asks for."""
    random = check_random_state(estimator.random_state)
    x, opened = _start(estimator, problem, random)
    n_rows, batch = len(problem.rows), estimator.batch_size
    batch = min(max(n_rows // 32, 16), 1024) if batch == "auto" else batch
    file = None if estimator.checkpoint is None else to_write(estimator.checkpoint)
    space, workers = MODELS[estimator.model](), Workers(estimator.n_jobs)
    return Training(
        points=Placed(space, PoincareBall().convert(x, space), estimator.max_radius, workers),
        loss=problem.loss(workers=workers),
        optimizer=OPTIMIZERS[estimator.optimizer](x.shape),
        rows=problem.rows,
        terms=problem.terms,
        batch_size=min(batch, n_rows),
        max_iter=estimator.max_iter,
        schedule=Schedule(
            kind=estimator.schedule,
            rate=estimator.learning_rate,
            burn_in=estimator.burn_in,
            radius=estimator.max_radius,
            growth=0.0 if opened or isinstance(problem, Distances) else estimator.growth,
        ),
        tol=estimator.tol,
        n_iter_no_change=estimator.n_iter_no_change,
        random=random,
        checkpoint=file,
        checkpoint_interval=estimator.checkpoint_interval,
        key="" if file is None else _key(estimator, problem, x, opened),
        verbose=int(estimator.verbose),
        figures=problem.figures,
    )


def _start(estimator: Any, problem: Any, random: Any) -> tuple[Array, bool]:
    """Return where points start in the ball, and whether it is open from the beginning."""
    shape = (len(problem.nodes), estimator.n_components)
    x: Array = random.uniform(-START, START, shape)
    if estimator.warm_start and hasattr(estimator, "embedding_"):
        before = estimator._in_ball()
        if before.shape[1] != shape[1]:
            what = f"n_components={before.shape[1]}, as in the fit to start from"
            raise ParameterError(expected(what, f"{shape[1]}"))
        rows = {name: k for k, name in enumerate(estimator.nodes_.tolist())}
        known = np.array([rows.get(name, -1) for name in problem.nodes.tolist()])
        x[known >= 0] = before[known[known >= 0]]
        return x, bool((known >= 0).any())
    if isinstance(estimator.init, str):
        return x, False
    x = check_array(estimator.init, dtype=np.float64, input_name="init", copy=True)
    if x.shape != shape:
        what = f"init of shape (n_nodes, n_components) = {shape}"
        raise ParameterError(expected(what, f"shape {x.shape}"))
    return x, True


def _key(estimator: Any, problem: Any, x: Array, opened: bool) -> str:
    """Return what tells the checkpoints of this fit from those of others.

    Where points start, or an integer seed, is part of it; a seed of None is not, so that such a fit
    too may go on.
    """
    told = {k: v for k, v in estimator.get_params().items() if k not in UNKEYED}
    seed = estimator.random_state
    told["random_state"] = int(seed) if isinstance(seed, int | np.integer) else None
    return fingerprint(told, [*problem.arrays, x] if opened else problem.arrays)


def _step(optimizer: Adam, gradient: Array, rate: float, rows: slice) -> Array:
    return optimizer.step(gradient[rows], rate, rows)


def seen(estimator: Any, x: Array) -> Points:
    """Return points in the coordinates of an estimator's points as reductions see them."""
    return Placed(estimator._space_, x.astype(np.float64), estimator.max_radius).seen


def attached(estimator: Any, problem: Any, X: Any, kind: str) -> Any:
    """Return points of new nodes, which minimise their own terms while the known ones stay."""
    loss, start, same, names = problem.attached(X, kind, estimator._in_ball())
    embedding, space = estimator.embedding_, estimator._space_
    known, radius = seen(estimator, embedding), estimator.max_radius
    new = Placed(space, PoincareBall().convert(start, space), radius)
    seed = estimator.random_state
    random = check_random_state(seed if isinstance(seed, int | np.integer) else 0)
    optimizer = Adam(start.shape)
    schedule = Schedule("cosine", 2 * estimator.learning_rate, 0.0, radius, 0.0)
    for update in range(ATTACHING if (same < 0).any() else 0):
        _, gradient = loss.attach(new.seen, known, random)
        rate = schedule.rate_at(update / ATTACHING)
        optimizer.begin()
        new.move(partial(_step, optimizer, gradient, rate), radius)
    found = np.where((same >= 0)[:, None], embedding[same], rounded(space, new.x, embedding.dtype))
    return framed(estimator, found, names)


def rounded(space: HyperbolicSpace, x: Array, dtype: Any) -> Array:
    """Return points in a dtype, in which those at the border are points still."""
    found: Array = x if x.dtype == dtype else space.project(x.astype(dtype))
    return found


def framed(estimator: Any, x: Array, names: Array | None) -> Any:
    """Return points of nodes with names as scikit-learn is to return them from `transform`.

    That is a data frame only for pandas, and where it would take its index from X, which is one of
    edges; else it makes of an array what users asked for.
    """
    own = getattr(estimator, "_sklearn_output_config", {})
    if names is None or own.get("transform", get_config()["transform_output"]) != "pandas":
        return x
    return importlib.import_module("pandas").DataFrame(x, index=names)
