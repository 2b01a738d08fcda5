"""What this processor can do at most: arithmetic in registers, and copies of memory.

A small C++ program, compiled as the kernels are, measures it in the run that is compared with it.
"""

from __future__ import annotations

import ctypes
import functools
from functools import partial
from typing import Any

import numpy as np

from experiments import harness
from georeduce.engine.backends._compiler import compile_source, find_compiler
from georeduce.engine.backends._library import open_library

SOURCE = r"""
#include <cstdint>
#include <cstring>
#ifdef _OPENMP
extern "C" int omp_get_thread_num();
#else
static int omp_get_thread_num() { return 0; }
#endif
// Chains that do not depend on each other: enough for four cycles of latency on two pipes, and few
// enough for the sixteen registers of AVX2. The empty statement keeps the compiler from adding them
// up in its head.
#if defined(__aarch64__)
#define KEEP(x) asm volatile("" : "+w"(x))
#elif defined(__x86_64__)
#define KEEP(x) asm volatile("" : "+v"(x))
#else
#define KEEP(x)
#endif
#define EACH(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
#define START(c) V a##c = V{} + T(c);
#define FMA(c) a##c = a##c * x + y; KEEP(a##c);
#define MIXED(c) a##c = c % 2 ? a##c + y : a##c * x + y; KEEP(a##c);
template <class T> static void chains(int64_t rounds, int threads, bool mixed) {
    typedef T V __attribute__((vector_size(BYTES)));
#pragma omp parallel num_threads(threads)
    {
        const V x = V{} + T(0.999), y = V{} + T(1e-3);
        EACH(START) // not an array, which would live in memory
        if (mixed)
            for (int64_t n = 0; n < rounds; n++) { EACH(MIXED) }
        else
            for (int64_t n = 0; n < rounds; n++) { EACH(FMA) }
    }
}
#define EXPORT extern "C" __attribute__((visibility("default")))
EXPORT void fma_float(int64_t rounds, int threads) { chains<float>(rounds, threads, false); }
EXPORT void fma_double(int64_t rounds, int threads) { chains<double>(rounds, threads, false); }
EXPORT void mixed_float(int64_t rounds, int threads) { chains<float>(rounds, threads, true); }
EXPORT void mixed_double(int64_t rounds, int threads) { chains<double>(rounds, threads, true); }
EXPORT void copy(char *to, const char *from, int64_t bytes, int threads) {
#pragma omp parallel num_threads(threads)
    {
        const int64_t part = bytes / threads, first = omp_get_thread_num() * part;
        std::memcpy(to + first, from + first, part);
    }
}
"""
CHAINS = 12
NAMES = {"float32": "float", "float64": "double"}
BLOCK = 2**27
"""Bytes of a copy: more than the caches hold."""


@functools.cache
def _library() -> tuple[ctypes.CDLL, int]:
    compiler = find_compiler()
    if compiler is None:
        raise RuntimeError("Expected a C++ compiler to measure the machine, but got none.")
    source = SOURCE.replace("BYTES", str(compiler.vector_bytes))
    return open_library(compile_source(compiler, source)), compiler.vector_bytes


_seen: dict[str, dict[str, float]] = {}


def _best(call: Any, times: int) -> float:
    return min(harness.clock(call)[0] for _ in range(times))


def arithmetic(dtype: str, rounds: int = 1_000_000, times: int = 15) -> dict[str, float]:
    """Return the peak in GFLOP/s, of fused multiply-adds alone and with as many additions.

    On some processors additions have pipes of their own, so that the second may be higher. It is
    the best that this process has seen so far: a peak is not lower because others are busy.
    """
    library, width = _library()
    lanes = width // np.dtype(dtype).itemsize
    threads = harness.threads()
    peaks = _seen.setdefault(dtype, {"fma": 0.0, "mixed": 0.0})
    for kind, per_round in (("fma", 2 * CHAINS), ("mixed", 3 * CHAINS // 2)):
        run = getattr(library, f"{kind}_{NAMES[dtype]}")
        run.argtypes, run.restype = [ctypes.c_int64, ctypes.c_int], None
        best = _best(partial(run, rounds, threads), times)
        speed = float(f"{rounds * per_round * lanes * threads / best / 1e9:.4g}")
        peaks[kind] = max(peaks[kind], speed)
    return dict(peaks)


@functools.cache
def copying(times: int = 5) -> float:
    """Return the bandwidth of a copy in GB/s, bytes read and bytes written together."""
    library, _ = _library()
    copy = library.copy
    copy.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int]
    copy.restype = None
    a, b = np.ones(BLOCK, np.uint8), np.zeros(BLOCK, np.uint8)
    best = _best(lambda: copy(b.ctypes.data, a.ctypes.data, BLOCK, harness.threads()), times)
    return float(f"{2 * BLOCK / best / 1e9:.4g}")
