"""The number of threads, what limits it, and forks."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from georeduce.engine.backends import _threads
from georeduce.engine.backends._compiler import find_compiler
from georeduce.engine.backends._threads import available_cpus, thread_count
from georeduce.engine.config import options
from georeduce.engine.errors import ArgumentError

TIME_LIMIT_S = 60  # a hung child fails the test rather than the suite


def run(script: str, **environment: str) -> str:
    """Return what a fresh Python prints; variables that would set threads are removed."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_", "KMP_"))}
    ran = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIME_LIMIT_S,
        env=kept | environment,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


needs_runtime = pytest.mark.skipif(
    _threads._max_threads is None, reason="no OpenMP runtime is installed"
)


def test_requests_count_as_n_jobs() -> None:
    everything = available_cpus()
    assert thread_count(1) == 1
    assert thread_count(7) == 7
    assert thread_count(-1) == everything
    assert thread_count(-everything) == 1
    assert thread_count(-everything - 5) == 1
    if everything > 1:
        assert thread_count(-2) == everything - 1


@pytest.mark.parametrize("wrong", [0, 1.5, "2", True])
def test_a_wrong_request_is_told(wrong: object) -> None:
    sentence = r"Expected the number of threads to be a positive integer.*, but got "
    with pytest.raises(ArgumentError, match=sentence):
        thread_count(wrong)  # type: ignore[arg-type]


def test_the_option_is_the_default_and_a_request_wins() -> None:
    with options(n_threads=3):
        assert thread_count(None) == 3
        assert thread_count(2) == 2
        assert _threads.describe() == (3, "options: n_threads=3")
    with options(n_threads=-1):
        assert thread_count(None) == available_cpus()


def test_affinity_limits() -> None:
    script = """
        import os
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        from georeduce.engine.backends._threads import available_cpus, thread_count
        print(available_cpus(), thread_count(-1), thread_count(None))
    """
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system has no affinity")
    assert run(script) == "1 1 1"


@pytest.mark.parametrize("value", ["1", "3", "3,2"])
def test_omp_num_threads_acts(value: str) -> None:
    script = """
        from georeduce.engine.backends import _threads
        print(_threads.thread_count(), *_threads.describe(), sep="|")
    """
    first = value.split(",")[0]
    assert run(script, OMP_NUM_THREADS=value) == f"{first}|{first}|OMP_NUM_THREADS={value}"


@pytest.mark.compiler
def test_the_runtime_of_the_kernels_is_found() -> None:
    compiler = find_compiler()
    assert compiler is not None
    assert (_threads._max_threads is not None) or not compiler.openmp


@needs_runtime
def test_threadpoolctl_acts_before_the_first_kernel() -> None:
    script = """
        from georeduce.engine.backends import _threads
        from threadpoolctl import threadpool_limits
        before = _threads.thread_count()
        with threadpool_limits(1):
            print(_threads.thread_count())
        print(_threads.thread_count() == before)
        threadpool_limits(before + 3)
        print(_threads.thread_count() - before)
        print(_threads.describe()[1])
    """
    by = "the OpenMP runtime, as set by the program or threadpoolctl"
    assert run(script).splitlines() == ["1", "True", "3", by]


@pytest.mark.parametrize(
    ("named", "count"), [("", None), ("4", 4), ("4,2", 4), (" 2 ", 2), ("0", None), ("x", None)]
)
def test_without_a_runtime(monkeypatch: pytest.MonkeyPatch, named: str, count: int | None) -> None:
    monkeypatch.setattr(_threads, "_max_threads", None)
    monkeypatch.setattr(_threads, "_named", named)
    assert thread_count(None) == (count or available_cpus())


@needs_runtime
def test_a_quota_limits_what_nobody_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_threads, "_quota", lambda: 4)
    monkeypatch.setattr(_threads, "_named", "")
    monkeypatch.setattr(_threads, "_at_start", 64)
    monkeypatch.setattr(_threads, "_max_threads", lambda: 64)
    assert thread_count(None) == 4
    assert thread_count(9) == 9
    assert _threads.describe() == (4, "the control group's quota of processor time")
    monkeypatch.setattr(_threads, "_max_threads", lambda: 8)  # set on purpose
    assert thread_count(None) == 8


@pytest.mark.parametrize(
    ("files", "count"),
    [
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "max 100000"}, 2**30),
        ({"cpu.max": "10000 100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 2**30),
        ({"cpu.max": "garbage"}, 2**30),
        ({}, 2**30),
    ],
    ids=["v2", "v2-unlimited", "v2-small", "v1", "v1-unlimited", "garbage", "none"],
)
def test_quota(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str], count: int
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    monkeypatch.setattr(_threads, "_GROUP", tmp_path)
    assert _threads._quota.__wrapped__() == count


FORK = """
    import os, warnings
    warnings.simplefilter("always")
    from georeduce.engine.backends import _threads
    from georeduce.engine.config import set_options
    {before}
    child = os.fork()
    if child == 0:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            counts = [_threads.thread_count(n) for n in (1, 4, None, 4)]
        said = [str(w.message)[:43] for w in caught if w.category.__name__ == "ForkWarning"]
        print(counts, _threads.in_forked_child(), said, flush=True)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    print(_threads.thread_count(4), _threads.in_forked_child())
"""


@pytest.mark.parametrize(
    ("before", "child"),
    [
        ("", "[1, 4, 3, 4] False []"),
        ("_threads.mark_used(1)", "[1, 4, 3, 4] False []"),
        (
            "_threads.mark_used(2)",
            "[1, 1, 1, 1] True ['Expected to run kernels on several threads,']",
        ),
        (
            "_threads.mark_used(2); set_options(after_fork='parallel')",
            "[1, 4, 3, 4] True []",
        ),
    ],
    ids=["unused", "one-thread", "serial", "parallel"],
)
def test_fork(before: str, child: str) -> None:
    lines = run(FORK.format(before=before), OMP_NUM_THREADS="3").splitlines()
    assert lines == [child, "4 False"]


@pytest.mark.compiler
@pytest.mark.compiles
def test_a_kernel_runs_in_a_forked_child(tmp_path: Path) -> None:
    # With the parent's 2 threads this child would hang: it is what the rule is for.
    script = """
        import os
        from georeduce.engine.backends import _cache, _threads
        kernel = _cache.load('''
            extern "C" __attribute__((visibility("default"))) int total(int n, int threads) {
                int sum = 0;
            #pragma omp parallel for num_threads(threads) reduction(+ : sum)
                for (int i = 0; i < n; ++i) sum += i;
                return sum;
            }
        ''')
        def launch():
            threads = _threads.thread_count(2)
            _threads.mark_used(threads)
            return kernel.total(1000, threads)
        print(launch(), flush=True)
        child = os.fork()
        if child == 0:
            import warnings
            warnings.simplefilter("ignore")
            print(launch(), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        print(launch())
    """
    assert run(script, GEOREDUCE_CACHE=str(tmp_path / "cache")).split() == ["499500"] * 3


def test_asking_is_cheap() -> None:
    import timeit

    best = min(timeit.repeat(thread_count, number=1000, repeat=20)) / 1000
    assert best < 10e-6  # 0.4 microseconds where it was written; a fifth of a warm call at most
