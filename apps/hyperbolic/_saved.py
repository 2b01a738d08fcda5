"""How an estimator is written to a file and read from it; the formats are in `_files.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from ..common import Array, running
from ._files import is_text, read_arrays, read_text, to_write, write_arrays, write_text
from ._graphs import Graph
from ._problems import Distances, Relations
from ._setup import MODELS
from .ball import PoincareBall

UNSAVED = ("init", "checkpoint", "random_state")
"""Parameters that files do not have."""


class Saved:
    """An embedding that can be saved and loaded."""

    embedding_: Array
    nodes_: Array
    loss_curve_: list[float]
    rank_curve_: list[tuple[int, float]]
    feature_names_in_: Array
    _problem_: Any
    _space_: Any
    _in_ball: Any
    get_params: Any

    def save(self, file: str | Path) -> None:
        """Write the embedding to a file.

        Parameters
        ----------
        file : path
            If it ends in .npz, all that was learnt is written, names of nodes being strings or
            integers; else points of the ball and names without white space, in word2vec's text
            format. gensim's ``PoincareKeyedVectors`` reads that; its ``distances`` are
            those of the ball, while its ``most_similar`` ranks by cosines.
        """
        x, path = self._in_ball(), to_write(file)
        if is_text(path):
            write_text(path, self.nodes_, x)
            return
        told = {k: v for k, v in self.get_params().items() if k not in UNSAVED}
        told["model"] = next(k for k, kind in MODELS.items() if isinstance(self._space_, kind))
        arrays = {
            "embedding": self.embedding_,
            "curve": np.array(self.loss_curve_),
            "ranks": np.array(self.rank_curve_).reshape(-1, 2),
        }
        if hasattr(self, "feature_names_in_"):
            arrays["features"] = self.feature_names_in_.astype(str)
        problem = self._problem_
        if isinstance(problem, Distances):
            arrays |= {"X": problem.X, "scale": np.array(problem.scale)}
            told["input"] = "distances" if problem.precomputed else "points"
        else:
            arrays["relations"] = problem.graph.relations
        write_arrays(path, told, self.nodes_, arrays)

    @classmethod
    def load(cls, file: str | Path) -> Any:
        """Return the embedding of a file.

        Parameters
        ----------
        file : path
            Of `save`, or word2vec's text format of points in the ball.

        Returns
        -------
        model : the estimator
            From a text it knows no relations, and names are strings.

        Examples
        --------
        >>> import tempfile
        >>> from georeduce.apps.hyperbolic import PoincareEmbedding
        >>> model = PoincareEmbedding(random_state=0, backend="numpy").fit([("dog", "animal")])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(f"{folder}/model.txt")
        ...     again = PoincareEmbedding.load(f"{folder}/model.txt")
        >>> again.distance("dog", "animal") == model.distance("dog", "animal")
        True
        """
        path = Path(file)
        arrays: dict[str, Any]
        if is_text(path):
            nodes, x = read_text(path)
            PoincareBall().features(x)  # raises for points outside
            told: dict[str, Any] = {"n_components": x.shape[1]}
            arrays = {"embedding": x, "curve": np.array([np.nan])}
        else:
            told, nodes, arrays = read_arrays(path)
        model = cls(**told)
        _restore(model, nodes, arrays)
        return model


def _restore(estimator: Any, nodes: Array, arrays: dict[str, Any]) -> None:
    """Give an estimator what a file has of its fit."""
    x = arrays["embedding"]
    estimator.nodes_, estimator.embedding_ = nodes, x
    estimator._space_ = MODELS[estimator.model]()
    estimator.loss_curve_ = arrays["curve"].tolist()
    estimator.loss_, estimator.n_iter_ = estimator.loss_curve_[-1], len(estimator.loss_curve_)
    estimator.rank_curve_ = [(int(n), float(rank)) for n, rank in arrays.get("ranks", [])]
    estimator._n_features_out = x.shape[1]
    run = running(estimator)
    if "X" in arrays:
        scale = float(arrays["scale"])
        precomputed = estimator.input == "distances"
        estimator._problem_ = Distances(arrays["X"], precomputed, scale, estimator.max_radius, run)
        estimator.scale_, estimator.n_features_in_ = scale, arrays["X"].shape[1]
        if "features" in arrays:
            estimator.feature_names_in_ = arrays["features"].astype(object)
        return
    relations = arrays.get("relations")
    if relations is not None:
        estimator.relations_ = relations
    else:
        relations = sparse.csr_array((len(nodes), len(nodes)))
    loss = "softmax" if estimator.loss == "auto" else estimator.loss
    estimator._problem_ = Relations(Graph(nodes, relations), loss, estimator.n_negatives, run)
