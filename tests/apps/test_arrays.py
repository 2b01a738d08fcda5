"""Arrays of PyTorch and CuPy in: what estimators make of them, and what comes back.

The double of CuPy runs kernels on the emulator. It lets no array of a GPU become NumPy's but by
``get``, which is counted here.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import fake_cupy
import numpy as np
import pytest
from helpers import eps
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from georeduce.apps.gmm import BayesianGaussianMixture, GaussianMixture, KernelDensity, KMeans
from georeduce.apps.hyperbolic import HyperbolicKMeans, RiemannianGaussianMixture
from georeduce.apps.knn import KNeighborsClassifier, KNeighborsRegressor, NearestNeighbors
from georeduce.apps.ot import SinkhornTransport, _sizes
from georeduce.engine import ArgumentError, DTypeError, options

N, M, D, K = 24, 9, 3, 2
"""Samples, queries, features; components and neighbors."""
NEAR = float(np.sqrt(eps(np.float64)))
"""Relative: iterations amplify rounding, but not by 10^7."""
DRAWN = {"random_state": 0, "init_params": "random_from_data", "max_iter": 3, "tol": 0.0}
WEIGHTED = ("sample_weight",)


def named(model: Any) -> str:
    """Return an id: the class, and what tells estimators of one class apart."""
    params = model.get_params()
    kinds = [params[name] for name in ("metric", "covariance_type", "bandwidth") if name in params]
    return "-".join(map(str, (type(model).__name__, *kinds)))


CASES = [
    (NearestNeighbors(n_neighbors=K), "kneighbors", ()),
    (NearestNeighbors(n_neighbors=K, metric="cosine"), "kneighbors", ()),
    (NearestNeighbors(n_neighbors=K, metric="poincare"), "kneighbors", ()),
    (KNeighborsClassifier(K, weights="distance"), "predict predict_proba", ("y",)),
    (KNeighborsRegressor(K), "predict", ("y",)),
    (KMeans(K, random_state=0), "predict transform score", WEIGHTED),
    (KMeans(K, random_state=0, metric="cosine", init="random"), "predict transform score", ()),
    (HyperbolicKMeans(K, random_state=0), "predict transform score", WEIGHTED),
    (KernelDensity(bandwidth=0.5), "score_samples score", WEIGHTED),
    (KernelDensity(bandwidth="cv", kernel="linear"), "score_samples", WEIGHTED),
    *(
        (model, "predict predict_proba score_samples score", WEIGHTED)
        for model in (
            GaussianMixture(K, **DRAWN),
            GaussianMixture(K, covariance_type="tied", **{**DRAWN, "init_params": "random"}),
            BayesianGaussianMixture(n_components=K, covariance_type="diag", **DRAWN),
            RiemannianGaussianMixture(K, random_state=0, coordinates="ball"),
        )
    ),
    (SinkhornTransport(1.0, tol=NEAR), "transform inverse_transform", ()),
]
"""Estimators, the methods that take X, and what else their fit takes here."""
each_case = pytest.mark.parametrize(
    ("model", "methods", "more"), CASES, ids=[named(model) for model, *_ in CASES]
)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A double with two devices."""
    monkeypatch.setattr(_sizes, "SAMPLE", 4)  # transport looks at the costs of some on the host
    return fake_cupy.install(monkeypatch)


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of the arrays that came from a GPU, as they come."""
    shapes: list[tuple[int, ...]] = []
    get = fake_cupy.ndarray.get

    def told(array: Any) -> Any:
        shapes.append(array.shape)
        return get(array)

    monkeypatch.setattr(fake_cupy.ndarray, "get", told)
    return shapes


def problem(rng: np.random.Generator, dtype: Any = np.float64) -> tuple[Any, Any, dict[str, Any]]:
    """Return samples of two clusters in the unit ball, queries, and what fit takes besides."""
    X = (0.1 * rng.normal(size=(N, D)) + np.where(np.arange(N) % 2, 0.3, -0.3)[:, None]) / 2
    more = {"y": np.arange(N) % 2, "sample_weight": rng.uniform(0.5, 2, N)}
    return X.astype(dtype), X[:M].astype(dtype) + dtype(0.01), more


def results_of(model: Any, methods: str, X: Any) -> dict[str, Any]:
    """Return what the methods give, a name for each array."""
    found: dict[str, Any] = {}
    for method in methods.split():
        result = getattr(model, method)(X)
        parts = result if isinstance(result, tuple) else (result,)
        found |= {f"{method}[{n}]": part for n, part in enumerate(parts)}
    return found


def public(model: Any) -> dict[str, Any]:
    return {name: a for name, a in vars(model).items() if name.endswith("_") and name[0] != "_"}


# --- PyTorch ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@each_case
def test_tensors(model: Any, methods: str, more: Any, dtype: Any, rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    X, queries, given = problem(rng, dtype)
    given = {name: given[name] for name in more}
    with options(backend="numpy"):
        theirs = clone(model).fit(X, **given)
        exact = results_of(theirs, methods, queries)
        tensors = {name: torch.from_numpy(a) for name, a in given.items()}
        ours = clone(model).fit(torch.from_numpy(X), **tensors)
        found = results_of(ours, methods, torch.from_numpy(queries))
    for name, a in found.items():
        if isinstance(exact[name], float):
            assert a == exact[name]
        else:
            assert isinstance(a, torch.Tensor), name
            assert a.numpy().dtype == exact[name].dtype
            np.testing.assert_array_equal(a.numpy(), exact[name])
    for name, a in public(theirs).items():
        assert type(getattr(ours, name)) is type(a), name
        np.testing.assert_array_equal(getattr(ours, name), a)
    again = pickle.loads(pickle.dumps(ours))
    with options(backend="numpy"):
        for name, a in results_of(again, methods, queries).items():
            np.testing.assert_array_equal(a, exact[name])


def test_what_is_asked_without_samples_comes_in_the_library_of_the_fit(rng: Any) -> None:
    torch = pytest.importorskip("torch")
    X, _, given = problem(rng, np.float32)
    with options(backend="numpy"):
        for model in (GaussianMixture(K), KernelDensity()):
            drawn = model.fit(torch.from_numpy(X)).sample(4)
            for a in drawn if isinstance(drawn, tuple) else (drawn,):
                assert isinstance(a, torch.Tensor)
            model.fit(X)
            assert not isinstance(model.sample(4), torch.Tensor)
        search = KNeighborsClassifier(K).fit(torch.from_numpy(X), given["y"])
        assert all(isinstance(a, torch.Tensor) for a in search.kneighbors())
        assert isinstance(search.predict(None), torch.Tensor)
        assert 0 <= search.score(None, torch.from_numpy(given["y"])) <= 1
        graph = search.kneighbors_graph(torch.from_numpy(X), mode="distance")
        assert graph.shape == (N, N)
        labels = KMeans(K).fit_predict(torch.from_numpy(X))
        assert isinstance(labels, torch.Tensor)
        assert isinstance(GaussianMixture(K).fit_predict(torch.from_numpy(X)), torch.Tensor)
        assert isinstance(KMeans(K).fit_transform(torch.from_numpy(X)), torch.Tensor)
        model = GaussianMixture(K).partial_fit(torch.from_numpy(X))
        assert isinstance(model.sample()[0], torch.Tensor)


def test_tensors_are_viewed_not_copied(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    X = torch.from_numpy(problem(rng)[0])
    assert np.shares_memory(KernelDensity().fit(X)._fit_X, X.numpy())


@pytest.mark.parametrize(
    "model",
    [
        GaussianMixture(K, **DRAWN),
        BayesianGaussianMixture(n_components=K, covariance_type="tied", **DRAWN),
        KernelDensity(bandwidth=0.5),
        KernelDensity(bandwidth=0.5, kernel="cosine"),
    ],
    ids=["mixture", "bayesian", "gaussian-density", "cosine-density"],
)
def test_log_densities_have_gradients(model: Any, rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    X, queries, given = problem(rng)
    model.set_params(backend="numpy").fit(X, sample_weight=given["sample_weight"])
    x = torch.from_numpy(queries).requires_grad_()
    found = model.score_samples(x)
    np.testing.assert_allclose(found.detach().numpy(), model.score_samples(queries), rtol=NEAR)
    found.sum().backward()
    step = eps(np.float64) ** (1 / 3)
    for d in range(D):
        ahead, behind = (
            model.score_samples(queries + sign * step * np.eye(D)[d]) for sign in (1, -1)
        )
        slope = (ahead - behind) / (2 * step)
        scale = step * np.abs(slope).max()  # both the third derivative's share and the rounding's
        np.testing.assert_allclose(x.grad[:, d].numpy(), slope, rtol=0, atol=scale)


def test_other_results_of_tensors_that_want_gradients_are_detached(rng: Any) -> None:
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(problem(rng)[0]).requires_grad_()
    model = GaussianMixture(K, backend="numpy").fit(x)
    assert not model.predict_proba(x).requires_grad
    with torch.no_grad():
        assert not model.score_samples(x).requires_grad


PROGRAM = """
import torch
from georeduce.apps.gmm import KernelDensity
X = torch.rand(9, 2)
model = KernelDensity(backend="numpy").fit(X)
program = torch.compile(lambda x: 2 * model.score_samples(x), backend="eager")
assert torch.equal(program(X), 2 * model.score_samples(X))
x = X.clone().requires_grad_()
program(x).sum().backward()
assert bool(x.grad.any())
"""


@pytest.mark.slow
def test_compiled_programs_leave_estimators_to_python() -> None:
    """In a process of its own, as torch.compile stays with one."""
    pytest.importorskip("torch")
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_is_wrong_with_tensors_that_want_gradients(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    X = problem(rng)[0]
    model = KernelDensity(backend="numpy").fit(X)
    x = torch.from_numpy(np.where(np.arange(D) == 1, np.nan, X)).requires_grad_()
    with pytest.raises(ValueError, match="Input X contains NaN"):
        model.score_samples(x)
    with pytest.raises(ValueError, match="X has 2 features, but KernelDensity is expecting 3"):
        model.score_samples(x[:, :2])


def test_labels_that_are_no_numbers_remain_numpys(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    X, _, given = problem(rng)
    names = np.array(["even", "odd"])[given["y"]]
    model = KNeighborsClassifier(1, backend="numpy").fit(torch.from_numpy(X), names)
    assert model.predict(torch.from_numpy(X)).tolist() == names.tolist()


def test_a_search_for_parameters_takes_tensors(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    X, _, given = problem(rng)
    search = GridSearchCV(KNeighborsClassifier(backend="numpy"), {"n_neighbors": [1, 2]}, cv=2)
    search.fit(torch.from_numpy(X), torch.from_numpy(given["y"]))
    assert isinstance(search.predict(torch.from_numpy(X)), torch.Tensor)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("half", r"Expected X of dtype float32 or float64, but got torch.float16. Pass X.float()"),
        ("to_sparse", "Expected X as a dense tensor, but got one of layout torch.sparse_coo."),
        ("to_meta", "Expected X on the CPU or a CUDA device, but got one on meta. Pass X.cpu()."),
    ],
    ids=["half", "sparse", "meta"],
)
def test_tensors_that_are_refused(change: str, sentence: str) -> None:
    torch = pytest.importorskip("torch")
    X = torch.zeros(4, 2)
    X = X.to("meta") if change == "to_meta" else getattr(X, change)()
    with pytest.raises(DTypeError) as caught:
        KMeans(1).fit(X)
    assert str(caught.value).startswith(sentence)


def test_integers_become_float64() -> None:
    torch = pytest.importorskip("torch")
    X = torch.arange(8).reshape(4, 2)
    assert KernelDensity(backend="numpy").fit(X).score_samples(X).dtype == torch.float64


# --- CuPy -------------------------------------------------------------------------------------


@pytest.mark.compiler
@each_case
def test_arrays_of_a_gpu(
    model: Any, methods: str, more: Any, cupy: Any, fetched: list[Any], rng: np.random.Generator
) -> None:
    X, queries, given = problem(rng)
    given = {name: given[name] for name in more}
    theirs = clone(model).set_params(backend="numpy").fit(X, **given)
    exact = results_of(theirs, methods, queries)
    with cupy.cuda.Device(1):
        there = cupy.asarray(X)
        asked = cupy.asarray(queries)
        given = {name: cupy.asarray(a) for name, a in given.items()}
    ours = clone(model).fit(there, **given)
    found = results_of(ours, methods, asked)
    assert not {(N, D), (M, D)} & set(fetched), "samples went to the host"
    for name, a in found.items():
        if not isinstance(exact[name], float):
            assert isinstance(a, cupy.ndarray), name
            assert a.device.id == 1
            assert a.dtype == exact[name].dtype
            a = a.get()
        np.testing.assert_allclose(a, exact[name], rtol=NEAR, atol=NEAR, err_msg=name)
    for name, a in public(theirs).items():
        assert type(getattr(ours, name)) is type(a), name
        if not isinstance(a, dict | str) and name != "errors_":  # which come in float32 at first
            np.testing.assert_allclose(getattr(ours, name), a, rtol=NEAR, atol=NEAR, err_msg=name)


@pytest.mark.compiler
@pytest.mark.parametrize("start", ["kmeans", "k-means++"])
def test_starts_on_a_gpu(start: str, cupy: Any, rng: np.random.Generator) -> None:
    X = problem(rng)[0]
    model = GaussianMixture(K, init_params=start, random_state=0)
    exact = clone(model).set_params(backend="numpy").fit(X)
    ours = model.fit(cupy.asarray(X))
    # components may stand in another order
    np.testing.assert_allclose(ours.score(cupy.asarray(X)), exact.score(X), rtol=model.tol)


@pytest.mark.compiler
def test_data_of_a_gpu_and_of_numpy_meet_on_the_gpu(cupy: Any, rng: np.random.Generator) -> None:
    X, queries, _ = problem(rng)
    search = NearestNeighbors(n_neighbors=K)
    with cupy.cuda.Device(1):
        there, asked = cupy.asarray(X), cupy.asarray(queries)
    exact = search.fit(X).kneighbors(queries)
    found = search.kneighbors(asked)
    assert [a.get().tolist() for a in found[1:]] == [a.tolist() for a in exact[1:]]
    before = len(fake_cupy.Stream.current.launched)
    found = search.fit(there).kneighbors(queries)
    assert all(isinstance(a, np.ndarray) for a in found)
    assert found[1].tolist() == exact[1].tolist()
    assert len(fake_cupy.Stream.current.launched) > before


def test_what_is_wrong_is_told_in_the_same_words(cupy: Any, rng: np.random.Generator) -> None:
    X = problem(rng)[0]
    nan, inf = (np.where(np.arange(D) == 1, a, X) for a in (np.nan, np.inf))
    cases = [(GaussianMixture(K), a) for a in (nan, inf, X[:1], X[0], X[:, :0], X + 1j)]
    for model, wrong in [*cases, (KMeans(N + 1), X)]:
        said = []
        for a in (wrong, cupy.asarray(wrong)):
            with pytest.raises(ValueError, match=r"\w") as caught:
                model.fit(a)
            said.append(str(caught.value))
        assert said[0] == said[1]
    model = KernelDensity(backend="numpy").fit(X)
    with pytest.raises(ValueError, match="X has 2 features, but KernelDensity is expecting 3"):
        model.score_samples(cupy.asarray(X[:, :2]))


def test_a_backend_of_the_processor_refuses_arrays_of_a_gpu(cupy: Any, rng: Any) -> None:
    X = cupy.asarray(problem(rng)[0])
    for model in (KMeans(K), GaussianMixture(K), KernelDensity(), NearestNeighbors()):
        ask = model.fit
        if not hasattr(model, "n_init"):  # it keeps the samples, and reduces nothing yet
            model.fit(X)
            ask = getattr(model, "kneighbors", None) or model.score_samples
        model.set_params(backend="numpy")
        with pytest.raises(ArgumentError, match='Use backend="cuda" or "auto"'):
            ask(X)


@pytest.mark.compiler
def test_tensors_of_a_gpu(
    cupy: Any, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """The double shows that they come and go through CuPy, on their device and its stream."""
    torch = pytest.importorskip("torch")

    class There(torch.Tensor):  # type: ignore[name-defined,misc]
        device = torch.device("cuda", 1)

        def __dlpack__(self, **how: Any) -> Any:
            return self.as_subclass(torch.Tensor).__dlpack__()

        def __dlpack_device__(self) -> Any:
            return self.as_subclass(torch.Tensor).__dlpack_device__()

    stream = cupy.cuda.ExternalStream(7, 1)
    monkeypatch.setattr(cupy.cuda, "ExternalStream", lambda *its: stream if its == (7, 1) else None)
    streams = {There.device: type("Stream", (), {"cuda_stream": 7})}
    monkeypatch.setattr(torch.cuda, "current_stream", streams.__getitem__)
    monkeypatch.setattr(
        torch, "from_dlpack", lambda a: torch.from_numpy(a.get()).as_subclass(There)
    )
    X = problem(rng)[0]
    there = torch.from_numpy(X).as_subclass(There)
    model = KernelDensity(bandwidth=0.5)
    exact = clone(model).set_params(backend="numpy").fit(X).score_samples(X)
    found = model.fit(there).score_samples(there)
    assert type(found) is There
    assert stream.launched
    np.testing.assert_allclose(found.as_subclass(torch.Tensor).numpy(), exact, rtol=NEAR)
