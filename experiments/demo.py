"""The main job: real data classified by exact nearest neighbours, beside scikit-learn's own.

Digits and breast cancer ship with scikit-learn. A pipeline is searched over k, weights and metric,
one of them written here as a formula; then the same with scikit-learn's classifier. Accuracy,
seconds and the neighbours themselves are compared. Fashion-MNIST joins in where Debian's package
`dataset-fashion-mnist` is installed. Results go to `out/demo/`.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import neighbors
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler
from tqdm import tqdm

from experiments import demo_figure, harness
from georeduce.apps.knn import KNeighborsClassifier
from georeduce.engine import LazyTensor

Array = NDArray[Any]
OUT = harness.ROOT / "out" / "demo"
FASHION = Path("/usr/share/datasets/fashion-mnist")
FOLDS = 3
COMPARED = 15  # neighbours of each query
WEIGHTS = ("uniform", "distance")


def bray_curtis(x: LazyTensor, y: LazyTensor) -> LazyTensor:
    """Return a distance as a user writes it: sum |x - y| / (sum |x| + sum |y|)."""
    return (x - y).abs().sum(-1) / (x.abs() + y.abs()).sum(-1)


@dataclass(frozen=True)
class Metric:
    """A metric as georeduce and as scikit-learn know it, and how far rounding may move it.

    `exact` is its value (squared for euclidean) from float64 differences; `scale(D, values,
    reach)`, times the machine epsilon, is the error allowed in the value at which a search stops.
    """

    ours: Any
    theirs: str
    exact: Callable[[Array, Array], Array]
    scale: Callable[[int, Array, Array], Array]


def cosine(x: Array, y: Array) -> Array:
    norms = np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1)
    return 1 - (x * y).sum(-1) / norms


# scikit-learn computes |x|^2 + |y|^2 - 2 x.y, whose error is a part of the norms, not the value.
METRICS = {
    "euclidean": Metric(
        "euclidean",
        "euclidean",
        lambda x, y: ((x - y) ** 2).sum(-1),
        lambda D, values, reach: (D + 3) * reach,
    ),
    "manhattan": Metric(
        "manhattan",
        "manhattan",
        lambda x, y: np.abs(x - y).sum(-1),
        lambda D, values, reach: (D + 3) * values,
    ),
    "cosine": Metric(
        "cosine", "cosine", cosine, lambda D, values, reach: np.full_like(values, 2 * D + 8)
    ),
    "bray_curtis": Metric(
        bray_curtis,
        "braycurtis",
        lambda x, y: np.abs(x - y).sum(-1) / (np.abs(x) + np.abs(y)).sum(-1),
        lambda D, values, reach: 2 * (D + 3) * values,
    ),
}
LIBRARIES: dict[str, Callable[..., Any]] = {
    "georeduce": KNeighborsClassifier,
    "scikit-learn": partial(neighbors.KNeighborsClassifier, algorithm="brute"),
}


@dataclass(frozen=True)
class Row:
    """A row of the table: one library on one data set."""

    data: str
    library: str
    best: str
    validation: float  # mean accuracy over the folds; nan if nothing was searched
    test: float
    seconds: float
    curves: dict[str, list[tuple[int, float]]]  # metric -> (k, accuracy), for the figure


@contextmanager
def stopwatch() -> Iterator[Callable[[], float]]:
    start = time.perf_counter()
    yield lambda: time.perf_counter() - start


def search(data: str, library: str, ks: tuple[int, ...], split: Any, bar: Any) -> Row:
    """Search k, weights and metric by cross-validation; score the best on the test part."""
    X, X_test, y, y_test = split
    metrics = {getattr(m, "ours" if library == "georeduce" else "theirs"): n
               for n, m in METRICS.items()}  # fmt: skip

    def score(model: Any, X: Array, y: Array) -> float:
        bar.set_description(f"{data}, {library}", refresh=False)
        bar.update()
        return float(model.score(X, y))

    grid = {"knn__n_neighbors": ks, "knn__weights": WEIGHTS, "knn__metric": list(metrics)}
    model = Pipeline([("scale", MinMaxScaler()), ("knn", LIBRARIES[library]())])
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    with stopwatch() as seconds:
        found = GridSearchCV(model, grid, cv=folds, scoring=score).fit(X, y)
        test = float(found.best_estimator_.score(X_test, y_test))
        spent = seconds()
    best = found.best_params_
    named = f"{metrics[best['knn__metric']]}, k={best['knn__n_neighbors']}, {best['knn__weights']}"
    curves: dict[str, list[tuple[int, float]]] = {}
    for tried, mean in zip(
        found.cv_results_["params"], found.cv_results_["mean_test_score"], strict=True
    ):
        if tried["knn__weights"] == "uniform":
            curves.setdefault(metrics[tried["knn__metric"]], []).append(
                (tried["knn__n_neighbors"], float(mean))
            )
    return Row(data, library, named, float(found.best_score_), test, spent, curves)


def differing(metric: Metric, X: Array, queries: Array, ours: Array, theirs: Array) -> int:
    """Return how many neighbours differ by more than a tie, which should be none.

    Both searches are exact up to rounding, so that at each position the *true* values of the two
    neighbours may differ by the errors of both, twice: see `knn.check`.
    """
    eps = 4 * np.finfo(X.dtype).eps
    reach = (np.linalg.norm(queries, axis=1) + np.linalg.norm(X, axis=1).max()) ** 2
    count = int((np.diff(np.sort(ours, axis=1), axis=1) == 0).sum())  # none may be named twice
    for rows in np.array_split(np.arange(len(queries)), len(queries) // 1000 + 1):
        x = queries[rows, None].astype(np.float64)
        first, second = (metric.exact(x, X[f[rows]].astype(np.float64)) for f in (ours, theirs))
        scale = metric.scale(X.shape[1], np.maximum(first, second), reach[rows, None])
        count += int((np.abs(first - second) > eps * scale).sum())
    return count


def compare_neighbours(split: Any) -> dict[str, tuple[int, int]]:
    """Return metric -> (neighbours that differ by more than a tie, neighbours compared)."""
    X, X_test, y, _ = split
    scaler = MinMaxScaler().fit(X)
    X, X_test = scaler.transform(X), scaler.transform(X_test)
    counts = {}
    for name, metric in METRICS.items():
        found = [
            make(metric=which).fit(X, y).kneighbors(X_test, COMPARED, return_distance=False)
            for make, which in zip(
                LIBRARIES.values(), (metric.ours, metric.theirs), strict=True
            )
        ]  # fmt: skip
        counts[name] = (differing(metric, X, X_test, *found), found[0].size)
    return counts


def fashion(bar: Any) -> tuple[list[Row], str, int]:
    """Classify the 10,000 images by the 60,000, without a search: it is the size that matters."""

    def read(name: str, offset: int) -> Array:
        with gzip.open(FASHION / name) as file:
            return np.frombuffer(file.read(), np.uint8, offset=offset)

    X, X_test = (
        read(f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 784).astype(np.float32)
        for part in ("train", "t10k")
    )
    y, y_test = (read(f"{part}-labels-idx1-ubyte.gz", 8) for part in ("train", "t10k"))
    rows, found, k = [], [], 5
    for library, make in LIBRARIES.items():
        bar.set_description(f"fashion-mnist, {library}")
        model = make(n_neighbors=k).fit(X, y)
        with stopwatch() as seconds:
            found.append(model.kneighbors(X_test, return_distance=False))
            spent = seconds()
        votes = (y[found[-1]][:, :, None] == np.arange(10)).sum(1)
        test = float((votes.argmax(1) == y_test).mean())
        rows.append(
            Row("fashion-mnist", library, f"euclidean, k={k}, uniform", np.nan, test, spent, {})
        )
        bar.update()
    differ = differing(METRICS["euclidean"], X, X_test, *found)
    note = f"fashion-mnist: neighbours that differ by more than a tie: {differ} of "
    return rows, f"{note}{found[0].size:,}", differ


def table(rows: list[Row], notes: list[str]) -> str:
    """Return the results as Markdown."""
    lines = [
        "| data | library | best | validation | test | seconds |",
        "|---|---|---|---:|---:|---:|",
    ]
    for row in rows:
        validation = "" if np.isnan(row.validation) else f"{row.validation:.4f}"
        scores = f"{validation} | {row.test:.4f} | {row.seconds:.2f}"
        lines.append(f"| {row.data} | {row.library} | {row.best} | {scores} |")
    lines += ["", *(f"- {note}" for note in notes)]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Run the demo and name what it wrote."""
    asked = harness.parser(__doc__, "demo").parse_args(arguments)
    ks = (1, 5) if asked.quick else (1, 3, 5, 9, 15)
    sets = {"digits": load_digits, "breast cancer": load_breast_cancer}
    with_fashion = FASHION.is_dir() and not asked.quick
    total = len(sets) * len(LIBRARIES) * len(ks) * len(WEIGHTS) * len(METRICS) * FOLDS
    rows: list[Row] = []
    notes: list[str] = []
    wrong = 0
    with tqdm(total=total + 2 * with_fashion, unit="fit", mininterval=0.5) as bar:
        for data, load in sets.items():
            X, y = load(return_X_y=True)
            split = train_test_split(X, y, test_size=0.3, stratify=y, random_state=0)
            rows += [search(data, library, ks, split, bar) for library in LIBRARIES]
            counts = compare_neighbours(split)
            wrong += sum(count for count, _ in counts.values())
            told = ", ".join(f"{name} {a} of {b:,}" for name, (a, b) in counts.items())
            notes.append(f"{data}: neighbours that differ by more than a tie: {told}")
        if with_fashion:
            more, note, differ = fashion(bar)
            rows += more
            wrong += differ
            notes.append(note)
    if not FASHION.is_dir():
        notes.append("fashion-mnist: left out, Debian's dataset-fashion-mnist is not installed")
    notes.append("seconds: the whole search, compilation and the score on the test part included")
    OUT.mkdir(parents=True, exist_ok=True)
    text = table(rows, notes)
    (OUT / "table.md").write_text(text, encoding="utf-8")
    demo_figure.draw(rows, OUT / "figure.png")
    print(f"\n{text}\nWritten: {OUT / 'table.md'}\n         {OUT / 'figure.png'}")
    return 1 if wrong else 0
