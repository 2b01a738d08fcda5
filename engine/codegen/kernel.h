// The loops around a compiled formula on the CPU: batches, blocks of rows and columns, register tiles, threads.
//
// A generated kernel is a struct with the types of its states and the functions that the printer makes of the
// formula and of the reduction. Lanes run over columns j; a strip of R rows passes over a block of columns that
// stays in the first-level cache; the lanes of a strip are folded into the rows' states, in double precision,
// at the end of every block. Tasks are blocks of rows times chunks of columns; what they compute and the order
// in which chunks are merged depend on the sizes only, so that the result is the same on any number of threads.
#ifndef GEOREDUCE_KERNEL_H
#define GEOREDUCE_KERNEL_H

#include "pack.h"
#include "select.h"

// Vector registers.
#if defined(__AVX512F__) || defined(__aarch64__)
#define GR_REGISTERS 32
#else
#define GR_REGISTERS 16
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
GR_INLINE double lesser(double a, double b) { return a < b ? a : b; }
GR_INLINE double greater(double a, double b) { return a > b ? a : b; }
GR_INLINE int64_t where(bool m, int64_t a, int64_t b) { return m ? a : b; }
GR_INLINE bool where(bool m, bool a, bool b) { return m ? a : b; }

// Lane k of the result is lane k + s of v, cyclically.
#if defined(__clang__)
template <class V> GR_INLINE V rotate(V v, int s) {
    typedef scalar_of<V> T;
    alignas(GEOREDUCE_VECTOR_BYTES) T twice[2 * lanes_of<T>::count];
    store(twice, v);
    store(twice + lanes_of<T>::count, v);
    return loadu(twice + s);
}
GR_INLINE mf rotate(mf v, int s) { return (mf)rotate((vf)v, s); }
GR_INLINE md rotate(md v, int s) { return (md)rotate((vd)v, s); }
#else
GR_INLINE vf rotate(vf v, int s) { return __builtin_shuffle(v, iota<float>() + s); } // indices count modulo L
GR_INLINE vd rotate(vd v, int s) { return __builtin_shuffle(v, iota<double>() + s); }
GR_INLINE mf rotate(mf v, int s) { return __builtin_shuffle(v, iota<float>() + s); }
GR_INLINE md rotate(md v, int s) { return __builtin_shuffle(v, iota<double>() + s); }
#endif

// Sum of the lanes, in double.
GR_INLINE double wide_sum(vd x) { return hsum(x); }
GR_INLINE double wide_sum(vf x) {
    vd_pair p = widen(x);
    return hsum(p.low + p.high);
}

// The smallest of the indices whose lanes are chosen, or -1, which counts as none, if there is no other.
template <class T> GR_INLINE int64_t first_of(mask_of<T> chosen, mask_of<T> indices) {
    typedef typename lanes_of<T>::bits U; // of whose numbers -1 is the largest
    U first = (U)(indices | ~chosen);
    GR_UNROLL for (int half = lanes_of<T>::count / 2; half > 0; half /= 2) {
        const U other = (U)rotate((mask_of<T>)first, half);
        first = other < first ? other : first;
    }
    return ((mask_of<T>)first)[0];
}

// ---- arguments ---------------------------------------------------------------------------------------------

// A call does a part of the rows, blocks `first` to `last` - 1 of those of all batches, so that long work can be
// interrupted in between. `block` rows are one, a multiple of R, at most RB. Columns that would not stay in the
// last-level cache come in waves, vectors `from` to `to` - 1: the rows of a part pass over a wave before the next one is
// packed into the same buffer; where there are few rows, over `chunks` parts of a wave at a time. `pack` says whether
// columns (1), or parameters and columns (2), are still to be packed; if `blockwise`, columns are packed by those who use
// them. `kept` is K, or less where there are fewer columns, or more for the spares of bounds.
struct Sizes {
    int64_t M, N, batches, K, kept, chunks, column_batches, parameter_batches, block, blockwise;
    int64_t threads, first, last, from, to, pack;
};

template <class T, int SLOTS, int RESULTS> struct Call {
    typedef T Scalar;
    Sizes n;
    T *parameters;
    void *columns;
    char *scratch, *states;
    int64_t scratch_bytes;
    uint8_t *unproven; // of every row, for results from bounds
    void *results[RESULTS];
    Slot<T> slots[SLOTS > 0 ? SLOTS : 1];
};

// Whether a state can forget all values but what bounds those that may still matter.
template <class Row> constexpr auto restarts(Row *row) -> decltype(row->restart(), true) { return true; }
constexpr bool restarts(...) { return false; }

// How many vectors of columns, of NC components each, are in some bytes, at most `most`: whole tiles of C.
constexpr int vectors_in(int bytes, int NC, int C, int most) {
    const int all = bytes / (GEOREDUCE_VECTOR_BYTES * (NC > 0 ? NC : 1)), fit = all < most ? all : most;
    return fit < C ? C : fit / C * C;
}
// How many of them rows pass over together. A block stays in the second-level cache while all rows of a block pass over
// it, and where its components are few, so that there is little to compute for each byte, in the first-level cache.
constexpr int column_block(int NC, int C, int most) {
    return vectors_in(NC > 16 ? 192 * 1024 : 24 * 1024, NC, C, most);
}

// ---- the loops ---------------------------------------------------------------------------------------------

template <class K> struct Driver {
    typedef typename K::T T; // of what is packed
    typedef typename K::Call Call;
    typedef typename Call::Scalar S;
    static constexpr int L = lanes_of<T>::count, RB = K::RB, CB = K::COLUMN_BLOCK;
    static constexpr int TAIL = K::R > 1 ? K::R / 2 : 1;
    static_assert(RB % L == 0 && RB % K::R == 0 && RB % TAIL == 0 && CB % K::C == 0, "blocks of whole tiles");
    // Where a block is packed and used at once, points and what is packed of them share the first-level cache.
    static constexpr int PACKED = vectors_in(12 * 1024, K::NC, K::C, CB);
    static constexpr int64_t ROW_BYTES = (sizeof(T) * K::NR * RB + 63) / 64 * 64;

    // R rows and a block of columns, of which `left` exist.
    template <int R> static void strip(const S *par, const T *rows, const T *columns, int64_t left, char *states, int64_t row_bytes, int64_t j0) {
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
    template <int R, class... A> GR_INLINE void pass(A... a) {
        if constexpr (is_list<typename K::Row>::value) Selection<K>::template strip<R>(a...);
        else strip<R>(a...);
    }

    // `m` rows and a block of columns.
    static void strips(const S *par, const T *rows, int m, const T *columns, int64_t left, char *states, int64_t row_bytes, int64_t j0) {
        for (int r = 0; r < m;) {
            if (m - r > TAIL) pass<K::R>(par, rows + r, columns, left, states + r * row_bytes, row_bytes, j0), r += K::R;
            else pass<TAIL>(par, rows + r, columns, left, states + r * row_bytes, row_bytes, j0), r += TAIL;
        }
    }

    // Bytes of what a thread works in: hoisted rows, their states, and a block of columns.
    static int64_t scratch_bytes(const Sizes &n) {
        return ROW_BYTES + state_bytes(n) + (n.blockwise ? (int64_t)sizeof(T) * K::NC * L * PACKED : 0);
    }
    static int64_t state_bytes(const Sizes &n) { return (K::row_bytes(n.kept) * n.block + 63) / 64 * 64; }

    // `m` rows from `i0` on. Rows past the last are computed too, as far as they fill a strip: there is room for them.
    static void rows_times_chunk(const Call &a, int64_t batch, int64_t i0, int m, int64_t chunk, T *rows, char *states, T *packed) {
        const int64_t N = a.n.N, vectors = a.n.to - a.n.from, row_bytes = K::row_bytes(a.n.kept);
        const int64_t blocks = (vectors + CB - 1) / CB, end = N < a.n.to * L ? N : a.n.to * L;
        const int64_t b0 = blocks * chunk / a.n.chunks, b1 = blocks * (chunk + 1) / a.n.chunks;
        const S *par = a.parameters + (a.n.parameter_batches > 1 ? batch : 0) * K::NP;
        for (int g = 0; g < whole(m); g += L) K::pack_rows(a, par, batch, i0 + g, rows + g);
        const T *all = (const T *)a.columns + (a.n.column_batches > 1 ? batch : 0) * vectors * K::NC * L;
        const int64_t step = packed ? PACKED : CB, v1 = b1 * CB < vectors ? b1 * CB : vectors;
        for (int64_t v = b0 * CB; v < v1; v += step) {
            const int64_t j0 = (a.n.from + v) * L, stop = (a.n.from + v + step < a.n.from + v1 ? v + step : v1) + a.n.from;
            const int64_t left = (end < stop * L ? end : stop * L) - j0;
            const T *columns = all + v * L * K::NC;
            if (packed) {
                for (int64_t j = 0; j < left; j += L) K::pack_columns(a, par, batch, j0 + j, packed + j * K::NC);
                columns = packed;
            }
            strips(par, rows, m, columns, left, states, row_bytes, j0);
        }
    }
    static int whole(int m) { return (m + K::R - 1) / K::R * K::R; } // strips

    // Make the states of `m` rows those before a chunk: what they were after the waves `before`, or new ones. A list that
    // starts anew still knows a limit, where one of columns before is at hand: most values are not to pass, and those
    // equal to it would lose to the columns before. `same` says that `states` are such lists, of the same rows.
    static void prepare(const Call &a, int m, char *states, const char *before, bool first, bool same) {
        const int64_t row_bytes = K::row_bytes(a.n.kept);
        if (first && before) __builtin_memcpy(states, before, m * row_bytes);
        for (int r = first && before ? m : 0; r < whole(m); r++) {
            char *state = states + r * row_bytes;
            typedef typename K::Row Row;
            if constexpr (restarts((Row *)nullptr)) {
                if (same || (before && r < m)) {
                    if (!same) __builtin_memcpy(state, before + r * row_bytes, sizeof(Row));
                    ((Row *)state)->restart();
                    continue;
                }
            }
            K::clear(state, a.n.kept);
        }
    }

    static void pack_parameters(const Call &a) {
        if (K::NP > 0 && a.n.pack > 1) {
#pragma omp for schedule(static)
            for (int64_t b = 0; b < a.n.parameter_batches; b++) K::pack_parameters(a, b, a.parameters + b * K::NP);
        }
    }

    // Run by every thread; alone, by the one.
    static void body(const Call &a) {
        const int64_t M = a.n.M, B = a.n.block, vectors = a.n.to - a.n.from, row_bytes = K::row_bytes(a.n.kept);
        const int64_t row_blocks = (M + B - 1) / B, all_rows = a.n.batches * M;
        const int64_t origin = a.n.first / row_blocks * M + a.n.first % row_blocks * B; // 0 where there are chunks
        const bool split = a.n.chunks > 1, last_wave = a.n.to * L >= a.n.N;
        // the states of chunks follow those after the waves before
        char *merged = a.states, *chunks = merged + (split && (a.n.from > 0 || !last_wave) ? all_rows * row_bytes : 0);
        char *scratch = a.scratch + omp_get_thread_num() * a.scratch_bytes;
        char *mine = scratch + ROW_BYTES;
        T *packed = a.n.blockwise ? (T *)(mine + state_bytes(a.n)) : nullptr;
        pack_parameters(a);
        if (K::NC > 0 && a.n.pack > 0 && !a.n.blockwise) {
#pragma omp for schedule(static)
            for (int64_t v = 0; v < a.n.column_batches * vectors; v++) {
                const int64_t b = v / vectors;
                const S *par = a.parameters + (a.n.parameter_batches > 1 ? b : 0) * K::NP;
                K::pack_columns(a, par, b, (a.n.from + v % vectors) * L, (T *)a.columns + v * K::NC * L);
            }
        }
        int64_t done = -1, upto = 0; // the block and the chunk whose states are in `mine`
#pragma omp for schedule(dynamic)
        for (int64_t task = a.n.first * a.n.chunks; task < a.n.last * a.n.chunks; task++) {
            const int64_t chunk = task % a.n.chunks, block = task / a.n.chunks;
            const int64_t b = block / row_blocks, i0 = block % row_blocks * B, first = b * M + i0;
            const int64_t m = M - i0 < B ? M - i0 : B;
            const char *before = a.n.from > 0 ? merged + (first - origin) * row_bytes : nullptr;
            prepare(a, (int)m, mine, before, chunk == 0, block == done && chunk > upto);
            rows_times_chunk(a, b, i0, (int)m, chunk, (T *)scratch, mine, packed);
            done = block, upto = chunk;
            if (!split && last_wave)
                for (int64_t r = 0; r < m; r++) K::finish(a, mine + r * row_bytes, first + r);
            else
                __builtin_memcpy(chunks + (chunk * all_rows + first - origin) * row_bytes, mine, m * row_bytes);
        }
        if (split) {
#pragma omp for schedule(static)
            for (int64_t row = 0; row < all_rows; row++) {
                char *state = merged + row * row_bytes, *from = chunks + row * row_bytes;
                if (state != from) __builtin_memcpy(state, from, row_bytes);
                for (int64_t c = 1; c < a.n.chunks; c++) K::merge(state, from + c * all_rows * row_bytes);
                if (last_wave) K::finish(a, state, row);
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
    int64_t lanes, strip, row_block, column_block, n_parameters, n_rows, n_columns, scalar_bytes;
};

} // namespace gr
#endif
