// The loops around a compiled formula on the CPU: batches, blocks of rows and columns, register tiles, threads.
//
// A generated kernel is a struct with the types of its states and the functions that the printer makes of the
// formula and of the reduction. Lanes run over columns j; a strip of R rows passes over a block of columns that
// stays in the first-level cache; the lanes of a strip are folded into the rows' states, in double precision,
// at the end of every block. Tasks are blocks of rows times chunks of columns; what they compute and the order
// in which chunks are merged depend on the sizes only, so that the result is the same on any number of threads.
#ifndef GEOREDUCE_KERNEL_H
#define GEOREDUCE_KERNEL_H

#include "smallest.h"

#if defined(__clang__)
#define GR_UNROLL _Pragma("clang loop unroll(full)")
#else
#define GR_UNROLL _Pragma("GCC unroll 32")
#endif
#define GR_TILE GR_UNROLL for (int c = 0; c < C; c++) GR_UNROLL for (int r = 0; r < R; r++)

#ifdef _OPENMP
extern "C" int omp_get_thread_num();
#else
extern "C" inline int omp_get_thread_num() { return 0; }
#endif

namespace gr {

template <class V> GR_INLINE V one() { return V{} + 1; }
GR_INLINE double to_real(int64_t k) { return (double)k; }
GR_INLINE int64_t where(bool m, int64_t a, int64_t b) { return m ? a : b; }
GR_INLINE bool where(bool m, bool a, bool b) { return m ? a : b; }

// Lane k of the result is lane k + s of v, cyclically.
template <class V> GR_INLINE V rotate(V v, int s) {
    typedef scalar_of<V> T;
    alignas(GEOREDUCE_VECTOR_BYTES) T twice[2 * lanes_of<T>::count];
    store(twice, v);
    store(twice + lanes_of<T>::count, v);
    return loadu(twice + s);
}
GR_INLINE mf rotate(mf v, int s) { return (mf)rotate((vf)v, s); }
GR_INLINE md rotate(md v, int s) { return (md)rotate((vd)v, s); }

// Sum of the lanes, in double.
GR_INLINE double wide_sum(vd x) { return hsum(x); }
GR_INLINE double wide_sum(vf x) {
    vd_pair p = widen(x);
    return hsum(p.low + p.high);
}

// ---- arguments ---------------------------------------------------------------------------------------------

template <class T> struct Slot {
    const T *data;
    int64_t stride, step;      // between points, between components
    const int64_t *offsets;    // of every batch
    GR_INLINE const T *point(const Slot &s, int64_t batch, int64_t n) { return s.data + s.offsets[batch] + n * s.stride; }
};

// A long call is made in parts, blocks `first` to `last` - 1 of the rows of all batches, so that it can be interrupted
// between them; the first part fills the buffers of hoisted values.
struct Sizes {
    int64_t M, N, batches, K, kept /* min(K, N) */, chunks, column_batches, parameter_batches, threads, first, last;
};

template <class T, int SLOTS, int RESULTS> struct Call {
    Sizes n;
    T *parameters, *columns;
    char *scratch, *states;
    int64_t scratch_bytes;
    void *results[RESULTS];
    Slot<T> slots[SLOTS > 0 ? SLOTS : 1];
};

template <class T> using Points = const T *[lanes_of<T>::count];

// L consecutive points of a slot; those past the end repeat the last one.
template <class T> GR_INLINE void find(Points<T> &to, const Slot<T> &s, int64_t batch, int64_t first, int64_t end) {
    for (int l = 0; l < lanes_of<T>::count; l++) to[l] = Slot<T>::point(s, batch, first + l < end ? first + l : end - 1);
}
template <class T> GR_INLINE typename lanes_of<T>::vec gather(const Points<T> &from, int64_t offset) {
    alignas(GEOREDUCE_VECTOR_BYTES) T lane[lanes_of<T>::count];
    for (int l = 0; l < lanes_of<T>::count; l++) lane[l] = from[l][offset];
    return load(lane);
}

// ---- the loops ---------------------------------------------------------------------------------------------

template <class K> struct Driver {
    typedef typename K::T T;
    typedef typename K::Call Call;
    static constexpr int L = lanes_of<T>::count, RB = K::ROW_BLOCK * L, CB = K::COLUMN_BLOCK;

    // R rows and a block of columns, of which `left` exist.
    template <int R> static void strip(const T *par, const T *rows, const T *columns, int64_t left, char *states, int64_t row_bytes, int64_t j0) {
        constexpr int C = K::C;
        typename K::Lanes lanes[R];
        GR_UNROLL for (int r = 0; r < R; r++) K::begin(lanes[r], states + r * row_bytes);
        int64_t v = 0;
        for (; (v + C) * L <= left; v += C)
            K::template tile<R, C, false>(par, rows, columns + v * K::NC * L, C * L, lanes, states, row_bytes, j0, (int)(v * L));
        for (; v * L < left; v++)
            K::template tile<R, 1, true>(par, rows, columns + v * K::NC * L, (int)(left - v * L), lanes, states, row_bytes, j0, (int)(v * L));
        GR_UNROLL for (int r = 0; r < R; r++) K::end(lanes[r], states + r * row_bytes, j0);
    }

    static void rows_times_chunk(const Call &a, int64_t batch, int64_t i0, int64_t chunk, char *scratch, char *states) {
        const int64_t M = a.n.M, N = a.n.N, vectors = (N + L - 1) / L, row_bytes = K::row_bytes(a.n.kept);
        const int64_t blocks = (vectors + CB - 1) / CB;
        const int64_t b0 = blocks * chunk / a.n.chunks, b1 = blocks * (chunk + 1) / a.n.chunks;
        const int m = (int)(M - i0 < RB ? M - i0 : RB);
        T *rows = (T *)scratch;
        const T *par = a.parameters + (a.n.parameter_batches > 1 ? batch : 0) * K::NP;
        for (int g = 0; g < m; g += L) K::pack_rows(a, par, batch, i0 + g, rows + g);
        for (int r = 0; r < m; r++) K::clear(states + r * row_bytes, a.n.kept);
        const T *columns = a.columns + (a.n.column_batches > 1 ? batch : 0) * vectors * K::NC * L;
        for (int64_t b = b0; b < b1; b++) {
            const int64_t j0 = b * CB * L, left = N - j0 < CB * L ? N - j0 : CB * L;
            int r = 0;
            for (; r + K::R <= m; r += K::R) strip<K::R>(par, rows + r, columns + j0 * K::NC, left, states + r * row_bytes, row_bytes, j0);
            for (; r < m; r++) strip<1>(par, rows + r, columns + j0 * K::NC, left, states + r * row_bytes, row_bytes, j0);
        }
    }

    // Run by every thread; alone, by the one.
    static void body(const Call &a) {
        const int64_t M = a.n.M, N = a.n.N, vectors = (N + L - 1) / L, row_bytes = K::row_bytes(a.n.kept);
        const int64_t row_blocks = (M + RB - 1) / RB, all_rows = a.n.batches * M;
        char *scratch = a.scratch + omp_get_thread_num() * a.scratch_bytes;
        char *mine = scratch + (sizeof(T) * K::NR * RB + 63) / 64 * 64;
        if (K::NP > 0 && a.n.first == 0) {
#pragma omp for schedule(static)
            for (int64_t b = 0; b < a.n.parameter_batches; b++) K::pack_parameters(a, b, a.parameters + b * K::NP);
        }
        if (K::NC > 0 && a.n.first == 0) {
#pragma omp for schedule(static)
            for (int64_t v = 0; v < a.n.column_batches * vectors; v++) {
                const int64_t b = v / vectors;
                const T *par = a.parameters + (a.n.parameter_batches > 1 ? b : 0) * K::NP;
                K::pack_columns(a, par, b, v % vectors * L, a.columns + v * K::NC * L);
            }
        }
#pragma omp for schedule(dynamic)
        for (int64_t task = a.n.first * a.n.chunks; task < a.n.last * a.n.chunks; task++) {
            const int64_t chunk = task % a.n.chunks, block = task / a.n.chunks;
            const int64_t b = block / row_blocks, i0 = block % row_blocks * RB, first = b * M + i0;
            char *states = a.n.chunks > 1 ? a.states + (chunk * all_rows + first) * row_bytes : mine;
            rows_times_chunk(a, b, i0, chunk, scratch, states);
            if (a.n.chunks == 1)
                for (int64_t r = 0; r < RB && i0 + r < M; r++) K::finish(a, states + r * row_bytes, first + r);
        }
        if (a.n.chunks > 1) {
#pragma omp for schedule(static)
            for (int64_t row = 0; row < all_rows; row++) {
                char *state = a.states + row * row_bytes;
                for (int64_t c = 1; c < a.n.chunks; c++) K::merge(state, a.states + (c * all_rows + row) * row_bytes);
                K::finish(a, state, row);
            }
        }
    }

    static void run(const Call &a) {
        if (a.n.threads > 1) {
#pragma omp parallel num_threads((int)a.n.threads)
            body(a);
        } else
            body(a);
    }
};

// Sizes that the caller needs to allocate buffers.
struct Layout {
    int64_t lanes, row_block, column_block, n_parameters, n_rows, n_columns, scalar_bytes;
};

} // namespace gr
#endif
