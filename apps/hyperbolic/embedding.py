"""Embeddings of relations or distances in hyperbolic space: the estimator.

A fit goes through parts that know nothing of each other: `_graphs.py` reads what the user has into
relations or distances; `_problems.py` makes a loss of them (`_losses.py`, whose pairs are in
`_pairs.py`); `_training.py` has the loop over epochs and batches, with steps by `_optimizers.py` at
the rates of `_schedule.py`; `_points.py` keeps the points, in a model of the space, and
`_checkpoints.py` the state.

Points start at the origin, and the ball in which they may be grows from there to ``max_radius``
while they are learnt. At once they would run to the border, where a point that got into the wrong
branch of the hierarchy stays for ever, as all ways out lead through the middle; in a small ball
they can still pass each other. On the mammals of WordNet in five dimensions that is the difference
between mean ranks of 1.6 and 1.1 after as many updates.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from georeduce.engine.errors import expected

from .._arrays import at_home
from ..common import FLOATS, Array, ParameterError, Rule, check_parameters, running, to_host
from ._graphs import check_distances, kind_of
from ._parameters import RULES
from ._problems import Distances, Relations
from ._queries import Queries
from ._saved import Saved
from ._setup import METRIC, attached, framed, problem_of, rounded, seen, training_of
from ._training import Training


class PoincareEmbedding(
    Queries,
    Saved,
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    r"""Embed a hierarchy, or distances, in the Poincaré ball.

    For relations (u, v), such as of a kind u to a kind v that it is of, points are found with v
    nearer to u than all nodes that u is not related to:

    .. math:: -\sum_{uv} w_{uv} \log
        \frac{e^{-d(u,v)}}{e^{-d(u,v)} + \sum_{n \in N(u)} e^{-d(u,n)}}

    where N(u) are *all* of these nodes (Nickel and Kiela, NeurIPS 2017, eq. 5, draw ten). The inner
    sums, and their derivatives, are reductions that hold nothing of the size of nodes times nodes.

    Parameters
    ----------
    n_components : int, default=2
        Dimension of the space.
    input : {"auto", "edges", "adjacency", "graph", "distances", "points"}, default="auto"
        What X is. "edges" are pairs (u, v) or triples (u, v, weight) of names, strings or integers;
        "adjacency" is a matrix, sparse or dense, whose entry (u, v) is the weight of a relation;
        "graph" is one of networkx, of which undirected edges count in both directions; "distances"
        is a symmetric matrix; "points" are samples whose Euclidean distances are embedded. "auto"
        takes graphs and sparse matrices for what they are, lists of pairs, and arrays and data
        frames of two or three columns whose first two have integers or strings, as edges, and all
        else as points: a matrix of distances and a dense adjacency have to be named. Edges lead
        from u up to v: a graph whose edges lead down is passed as ``graph.reverse()``.
    loss : {"auto", "softmax", "negative_sampling", "stress"}, default="auto"
        "softmax" is the one above, "negative_sampling" draws some nodes of N(u) for each relation,
        and "stress" is the sum of squared differences of distances. "auto" is "softmax" for
        relations and "stress" for distances.
    closure : bool, default=False
        Whether relations are completed: where u is related to v and v to w, u is to w.
    model : {"ball", "hyperboloid"}, default="ball"
        The model of the space in whose coordinates points are learnt and returned.
    optimizer : {"adam", "sgd"}, default="adam"
        Riemannian Adam, or Riemannian gradient descent with steps no longer than the rate.
    learning_rate : float, default=0.1
        How far points move in an update, about, in units of the space.
    batch_size : int or "auto", default="auto"
        Nodes u whose relations are in one update. "auto" is a 32nd of them, 16 to 1024.
    max_iter : int, default=100
        Epochs: how often all relations are gone through.
    burn_in : float, default=0
        Share of the updates, the first ones, with a tenth of the rate, as in the paper: for
        ``growth=0``. A ball that grows does the same, and leaves slow points behind.
    schedule : {"cosine", "linear", "constant"}, default="cosine"
        How the rate falls in the last fifth of the updates.
    max_radius : float, default=11.5
        Largest distance of points from the origin. Up to 12.5 pairs are computed in float32,
        beyond in float64.
    growth : float, default=1
        Share of the updates in which that distance grows from 0, as the cube of their number. With
        0, for distances, and where points start from other ones, it is what it is from the
        beginning.
    n_negatives : int, default=10
        Nodes that are drawn for each relation by "negative_sampling".
    scale : float or "auto", default="auto"
        By which distances are multiplied for "stress". "auto" is 1, or less where the largest would
        otherwise be more than `max_radius`.
    tol : float, default=0
        Least part of the loss by which an epoch must improve it, once the ball has grown. With 0
        it goes on to the last epoch, as the rate falls shortly before.
    n_iter_no_change : int, default=10
        After how many epochs in turn that do not it stops.
    init : "uniform" or array of shape (n_nodes, n_components), default="uniform"
        Where points start: near the origin, or at these points of the ball.
    warm_start : bool, default=False
        Whether points start where the last fit left the nodes of the same names. Others start
        near the origin.
    checkpoint : path or None, default=None
        A file for the state of a fit. Where it exists, the fit goes on from it, with the result
        that it would have had.
    checkpoint_interval : int, default=1
        After every so many epochs it is written.
    verbose : int, default=0
        Whether to show how far a fit is, and after how many epochs in turn the mean rank of some
        nodes is computed.
    random_state : int, RandomState or None, default=None
        Draws where points start, the order of nodes, and negatives. With an int all is
        reproducible, on any number of threads.
    n_jobs : int or None, default=None
        Number of threads; -1 for all processors. None leaves it to the engine's options.
    backend : str, default="auto"
        Backend of the engine.

    Attributes
    ----------
    embedding_ : ndarray of shape (n_nodes, n_components)
        Points, with one more coordinate on the hyperboloid. In the dtype of samples; else float64.
    nodes_ : ndarray of shape (n_nodes,)
        Names of the nodes: of edges and graphs; else 0, 1, ...
    relations_ : csr_array of shape (n_nodes, n_nodes)
        Weights of the relations; only where there are some.
    scale_ : float
        By which distances were multiplied; only for "stress".
    loss_curve_ : list of float
        Loss of each epoch: its mean over relations, or Kruskal's stress, squared.
    loss_ : float
        The last one.
    rank_curve_ : list of (int, float)
        Where `verbose` asks for ranks, epochs and the mean rank of relations of some nodes.
    n_iter_ : int
        Epochs.
    n_features_in_ : int
        Number of columns of samples or distances; only where X is of these.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if `X` had names that are strings.

    See Also
    --------
    georeduce.apps.hyperbolic.ranking : Mean rank and MAP of held-out relations.
    georeduce.apps.hyperbolic.draw_disk : A picture of two dimensions.
    HyperbolicKMeans : With ``coordinates="ball"``, clusters of the nodes.

    Notes
    -----
    Self-loops are left out, and so are edges that come again, with a warning; weights of these
    add up. Parts of a graph without a path between them push each other apart. It learns on the
    host: samples and distances on a GPU are copied there, and results back.

    Large graphs take more epochs with larger steps, such as ``max_iter=400, learning_rate=0.2`` for
    the 82,115 nouns of WordNet. Relations that are missing are pushed away with all else: to
    predict them, take fewer and smaller steps, there ``max_iter=45, learning_rate=0.1``.

    Examples
    --------
    >>> from georeduce.apps.hyperbolic import PoincareEmbedding
    >>> edges = [("dog", "canine"), ("wolf", "canine"), ("canine", "animal"), ("cat", "animal")]
    >>> model = PoincareEmbedding(closure=True, random_state=0, backend="numpy").fit(edges)
    >>> model.nodes_.tolist()
    ['dog', 'canine', 'wolf', 'animal', 'cat']
    >>> model.embedding_.shape
    (5, 2)
    >>> model.score(edges)
    1.0
    """

    _rules: ClassVar[dict[str, Rule]] = RULES

    def __init__(
        self,
        n_components: int = 2,
        *,
        input: str = "auto",
        loss: str = "auto",
        closure: bool = False,
        model: str = "ball",
        optimizer: str = "adam",
        learning_rate: float = 0.1,
        batch_size: Any = "auto",
        max_iter: int = 100,
        burn_in: float = 0.0,
        schedule: str = "cosine",
        max_radius: float = 11.5,
        growth: float = 1.0,
        n_negatives: int = 10,
        scale: Any = "auto",
        tol: float = 0.0,
        n_iter_no_change: int = 10,
        init: Any = "uniform",
        warm_start: bool = False,
        checkpoint: Any = None,
        checkpoint_interval: int = 1,
        verbose: int = 0,
        random_state: Any = None,
        n_jobs: int | None = None,
        backend: str = "auto",
    ) -> None:
        self.n_components = n_components
        self.input = input
        self.loss = loss
        self.closure = closure
        self.model = model
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.burn_in = burn_in
        self.schedule = schedule
        self.max_radius = max_radius
        self.growth = growth
        self.n_negatives = n_negatives
        self.scale = scale
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.init = init
        self.warm_start = warm_start
        self.checkpoint = checkpoint
        self.checkpoint_interval = checkpoint_interval
        self.verbose = verbose
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.backend = backend

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self.input == "distances"
        tags.input_tags.sparse = self.input == "adjacency"
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    # --- Learning -----------------------------------------------------------------------------

    @at_home
    def fit(self, X: Any, y: Any = None) -> PoincareEmbedding:
        """Find a point for each node.

        Parameters
        ----------
        X : edges, graph, sparse matrix or array-like
            Relations, distances or samples: see the parameter `input`.
        y : Ignored
            For pipelines.

        Returns
        -------
        self : PoincareEmbedding
            The fitted estimator.
        """
        check_parameters(self, self._rules)
        problem = problem_of(self, X)
        training = training_of(self, problem)
        training.run()
        self._keep(problem, training)
        return self

    def _keep(self, problem: Any, training: Training) -> None:
        self.nodes_ = problem.nodes
        self._n_features_out = training.points.x.shape[1]
        self.loss_curve_, self.rank_curve_ = training.curve, training.ranks
        self.loss_, self.n_iter_ = training.curve[-1], len(training.curve)
        self._problem_, self._space_ = problem, training.points.space
        self.embedding_ = training.points.x
        if isinstance(problem, Distances):
            self.scale_ = problem.scale
            self.embedding_ = rounded(self._space_, self.embedding_, problem.X.dtype)
        else:
            self.relations_ = problem.graph.relations

    @at_home
    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Find a point for each node, and return them.

        Parameters
        ----------
        X : edges, graph, sparse matrix or array-like
            As in `fit`.
        y : Ignored
            For pipelines.

        Returns
        -------
        points : ndarray of shape (n_nodes, n_components)
            `embedding_`; data frames, if ``set_output`` asks for them, have the names of nodes.
        """
        self.fit(X)
        named = isinstance(self._problem_, Relations) and kind_of(X, self.input) != "adjacency"
        return framed(self, self.embedding_, self.nodes_ if named else None)

    # --- Afterwards ---------------------------------------------------------------------------

    @at_home
    def transform(self, X: Any) -> Any:
        """Find points for new nodes, while those of the known ones stay.

        Parameters
        ----------
        X : edges, graph, sparse matrix or array-like
            Of the kind that was fitted. Edges, or a graph, from new nodes to known ones; a matrix
            (n_new, n_nodes) of relations or distances to the known nodes; or samples. A known node
            that is the first end of an edge, or a sample at a distance of 0 from a known one, gets
            the point that it has.

        Returns
        -------
        points : ndarray of shape (n_new, n_components)
            For each row, or for each first end of an edge in order of appearance.

        Examples
        --------
        >>> from georeduce.apps.hyperbolic import PoincareEmbedding
        >>> edges = [("dog", "canine"), ("wolf", "canine"), ("canine", "animal"), ("cat", "animal")]
        >>> model = PoincareEmbedding(random_state=0, backend="numpy").fit(edges)
        >>> model.transform([("fox", "canine"), ("eel", "animal")]).shape
        (2, 2)
        """
        problem, kind = self._fitted(X)
        if isinstance(problem, Distances):
            X = self._checked(X)
        return attached(self, problem, X, kind)

    @at_home
    def score(self, X: Any, y: Any = None) -> float:
        """Return how well points tell what X says.

        Parameters
        ----------
        X : edges, graph, sparse matrix or array-like
            Relations between known nodes, or distances or samples as for `transform`.
        y : Ignored
            For pipelines.

        Returns
        -------
        score : float
            Mean average precision of relations; minus Kruskal's stress of distances.

        Examples
        --------
        Folds of edges would leave nodes out, which have no points to be scored. Parameters are
        compared by all edges:

        >>> from sklearn.model_selection import GridSearchCV
        >>> from georeduce.apps.hyperbolic import PoincareEmbedding
        >>> edges = [("dog", "canine"), ("wolf", "canine"), ("canine", "animal"), ("cat", "animal")]
        >>> model, everything = PoincareEmbedding(random_state=0, backend="numpy"), range(4)
        >>> search = GridSearchCV(model, {"max_iter": [1, 100]}, cv=[(everything, everything)])
        >>> search.fit(edges).best_params_
        {'max_iter': 100}
        """
        problem, kind = self._fitted(X)
        if isinstance(problem, Relations):
            return float(problem.score(X, kind, self.closure, self._in_ball()))
        X = self._checked(X)
        placed = attached(self, problem, X, kind)
        return float(problem.score(X, seen(self, placed), seen(self, self.embedding_)))

    def _relations(self, X: Any) -> Any:
        problem, kind = self._fitted(X)
        if isinstance(problem, Distances):
            raise ParameterError(expected("an embedding of relations", "one of distances"))
        return problem.known(X, kind, self.closure)

    def _checked(self, X: Any) -> Array:
        precomputed = self._problem_.precomputed
        X = to_host(X)
        checked: Array = validate_data(
            self, X, dtype=FLOATS, order="C", reset=False, ensure_all_finite=not precomputed
        )
        if precomputed:
            check_distances(checked)
        return checked

    def _fitted(self, X: Any) -> tuple[Any, str]:
        """Return the problem that was fitted and the kind of new input, which must suit it."""
        check_is_fitted(self)
        problem, kind = self._problem_, kind_of(X, self.input)
        problem.run = running(self)
        if isinstance(problem, Distances) != (kind in METRIC):
            got = f"what reads as {kind}"
            what = "distances or points" if isinstance(problem, Distances) else "relations"
            raise ParameterError(expected(f"{what}, as in fit", got, "Name what X is by input."))
        return problem, kind
