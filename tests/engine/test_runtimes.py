"""Our OpenMP runtime beside those of scikit-learn, faiss and torch: import orders, forks, workers.

Every case is a process of its own, as runtimes are loaded once.
"""

import importlib.util
import itertools
import subprocess
import sys

import pytest

pytestmark = pytest.mark.compiler

WORK = """
import numpy as np

def work(seed=0):
    from georeduce.engine import Vi, Vj
    rng = np.random.default_rng(seed)
    x, y = rng.random((2000, 3)), rng.random((30_000, 3))  # enough for threads to be woken
    got = Vi(x).sqdist(Vj(y)).argmin(axis=1, backend="openmp", n_threads=2)[:, 0]
    rows = slice(0, 50)
    d2 = ((x[rows, None] - y) ** 2).sum(-1)
    assert (got[rows] == d2.argmin(1)).all()
    return int(got.sum())
"""
USE = {
    "georeduce": "work()",
    "sklearn": (
        "from sklearn.cluster import KMeans\n"
        "KMeans(5, n_init=1).fit(np.random.default_rng(0).random((3000, 4)))"
    ),
    "faiss": (
        "import faiss\nindex = faiss.IndexFlatL2(4)\n"
        "data = np.random.default_rng(0).random((3000, 4), dtype=np.float32)\n"
        "index.add(data); index.search(data, 3)"
    ),
    "torch": "import torch\nt = torch.randn(800, 800); (t @ t).sum().item()",
}
PEERS = [n for n in USE if n != "georeduce" and importlib.util.find_spec(n)]
ORDERS = [order for peer in PEERS for order in itertools.permutations(("georeduce", peer))] + [
    ("georeduce", *PEERS),
    (*PEERS, "georeduce"),
    (*reversed(PEERS), "georeduce"),
]


def run(code: str) -> str:
    # workers import the functions that they run from a file
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", WORK + code],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("order", dict.fromkeys(ORDERS), ids="-".join)
def test_import_orders(order):
    run("\n".join(USE[name] for name in order) + "\nwork(1)\nprint('done')")


def test_forked_child_runs_on_one_thread_and_says_so():
    out = run(
        """
import multiprocessing, warnings
from georeduce.engine import ForkWarning

def child(queue):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        first, second = work(3), work(3)
    said = [w for w in seen if issubclass(w.category, ForkWarning)]
    queue.put((first, second, len(said)))

expected = work(3)
context = multiprocessing.get_context("fork")
queue = context.Queue()
process = context.Process(target=child, args=(queue,))
process.start()
first, second, said = queue.get(timeout=60)
process.join()
assert first == second == expected
print(said)
"""
    )
    assert out.split() == ["1"]


@pytest.mark.parametrize("method", ["loky", "threading", "multiprocessing"])
def test_joblib_workers(method, tmp_path):
    # a module of its own, so that workers can import it
    (tmp_path / "work_of_test.py").write_text(WORK)
    run(
        f"""
import sys; sys.path.insert(0, {str(tmp_path)!r})
from joblib import Parallel, delayed
from work_of_test import work as job
alone = [job(n) for n in range(4)]
assert Parallel(2, backend={method!r})(delayed(job)(n) for n in range(4)) == alone
"""
    )


def test_limits_of_threadpoolctl_act():
    run(
        """
from threadpoolctl import threadpool_limits
import georeduce.engine.backends.openmp
from georeduce.engine.backends._threads import thread_count
many = thread_count()
with threadpool_limits(1):
    assert thread_count() == 1
    work()
assert thread_count() == many
"""
    )


def test_an_interrupt_ends_a_long_call():
    run(
        """
import _thread, signal, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
from georeduce.engine import Vi, Vj
x = np.random.default_rng(0).random((200, 3))
Vi(x).sqdist(Vj(x)).exp().sum(axis=1, backend="openmp")
x = np.random.default_rng(0).random((400_000, 3))
threading.Timer(1.0, _thread.interrupt_main).start()
start = time.perf_counter()
try:
    Vi(x).sqdist(Vj(x)).exp().sum(axis=1, backend="openmp")
except KeyboardInterrupt:
    print("interrupted")
else:
    raise AssertionError("it was not interrupted")
assert time.perf_counter() - start < 20
"""
    )
