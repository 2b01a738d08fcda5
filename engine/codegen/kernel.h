// The loops around a compiled formula on the CPU: batches, blocks of rows and columns, register tiles, threads.
//
// A generated kernel is a struct with the types of its states and the functions that the printer makes of the
// formula and of the reduction. Lanes run over columns j; a strip of R rows passes over a block of columns that
// stays in the first-level cache; the lanes of a strip are folded into the rows' states, in double precision,
// at the end of every block. Tasks are blocks of rows times chunks of columns; what they compute and the order
// in which chunks are merged depend on the sizes only, so that the result is the same on any number of threads.
#ifndef GEOREDUCE_KERNEL_H
#define GEOREDUCE_KERNEL_H

#include "exact.h"
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

// ---- arguments ---------------------------------------------------------------------------------------------

// A call does a part of the rows, blocks `first` to `last` - 1 of those of all batches, so that long work can be
// interrupted in between. Columns that would not stay in the last-level cache come in waves, vectors `from` to `to` - 1:
// the rows of a part pass over a wave before the next one is packed into the same buffer. `pack` says whether columns (1),
// or parameters and columns (2), are still to be packed. `kept` is K, or less where there are fewer columns, or more for
// the spares of bounds.
struct Sizes {
    int64_t M, N, batches, K, kept, chunks, column_batches, parameter_batches, threads, first, last, from, to, pack;
};

template <class T, int SLOTS, int RESULTS> struct Call {
    Sizes n;
    T *parameters, *columns;
    char *scratch, *states;
    int64_t scratch_bytes;
    uint8_t *unproven; // of every row, for results from bounds
    void *results[RESULTS];
    Slot<T> slots[SLOTS > 0 ? SLOTS : 1];
};

// ---- the loops ---------------------------------------------------------------------------------------------

template <class K> struct Driver {
    typedef typename K::T T;
    typedef typename K::Call Call;
    static constexpr int L = lanes_of<T>::count, RB = K::RB, CB = K::COLUMN_BLOCK;
    static constexpr int TAIL = K::R > 1 ? K::R / 2 : 1;
    static_assert(RB % L == 0 && RB % K::R == 0 && RB % TAIL == 0 && CB % K::C == 0, "blocks of whole tiles");
    static constexpr int64_t ROW_BYTES = (sizeof(T) * K::NR * RB + 63) / 64 * 64;

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
    template <int R, class... A> GR_INLINE void pass(A... a) {
        if constexpr (is_list<typename K::Row>::value) Selection<K>::template strip<R>(a...);
        else strip<R>(a...);
    }

    // Whether columns are packed by those who use them: there is one block of rows, and memory need not see them.
    static bool packs_blocks(const Call &a) { return a.n.M <= RB && a.n.column_batches == a.n.batches; }

    // Rows past the last are computed too, as far as they fill a strip: there is room for them in `rows` and `states`.
    static void rows_times_chunk(const Call &a, int64_t batch, int64_t i0, int64_t chunk, char *scratch, char *states, T *packed) {
        const int64_t M = a.n.M, N = a.n.N, vectors = a.n.to - a.n.from, row_bytes = K::row_bytes(a.n.kept);
        const int64_t blocks = (vectors + CB - 1) / CB, end = N < a.n.to * L ? N : a.n.to * L;
        const int64_t b0 = blocks * chunk / a.n.chunks, b1 = blocks * (chunk + 1) / a.n.chunks;
        const int m = (int)(M - i0 < RB ? M - i0 : RB);
        T *rows = (T *)scratch;
        const T *par = a.parameters + (a.n.parameter_batches > 1 ? batch : 0) * K::NP;
        for (int g = 0; g < (m + K::R - 1) / K::R * K::R; g += L) K::pack_rows(a, par, batch, i0 + g, rows + g);
        for (int r = a.n.from == 0 ? 0 : m; r < (m + K::R - 1) / K::R * K::R; r++) K::clear(states + r * row_bytes, a.n.kept);
        const T *all = a.columns + (a.n.column_batches > 1 ? batch : 0) * vectors * K::NC * L;
        for (int64_t b = b0; b < b1; b++) {
            const int64_t j0 = (a.n.from + b * CB) * L, left = end - j0 < CB * L ? end - j0 : CB * L;
            const T *columns = all + b * CB * L * K::NC;
            if (packed) {
                for (int64_t j = 0; j < left; j += L) K::pack_columns(a, par, batch, j0 + j, packed + j * K::NC);
                columns = packed;
            }
            for (int r = 0; r < m;) {
                if (m - r > TAIL) pass<K::R>(par, rows + r, columns, left, states + r * row_bytes, row_bytes, j0), r += K::R;
                else pass<TAIL>(par, rows + r, columns, left, states + r * row_bytes, row_bytes, j0), r += TAIL;
            }
        }
    }

    // Run by every thread; alone, by the one.
    static void body(const Call &a) {
        const int64_t M = a.n.M, vectors = a.n.to - a.n.from, row_bytes = K::row_bytes(a.n.kept);
        const int64_t row_blocks = (M + RB - 1) / RB, all_rows = a.n.batches * M;
        const int64_t origin = a.n.first / row_blocks * M + a.n.first % row_blocks * RB; // 0 where there are chunks
        const bool blockwise = packs_blocks(a);
        char *scratch = a.scratch + omp_get_thread_num() * a.scratch_bytes;
        char *mine = scratch + ROW_BYTES;
        T *packed = blockwise ? (T *)(mine + (row_bytes * RB + 63) / 64 * 64) : nullptr;
        if (K::NP > 0 && a.n.pack > 1) {
#pragma omp for schedule(static)
            for (int64_t b = 0; b < a.n.parameter_batches; b++) K::pack_parameters(a, b, a.parameters + b * K::NP);
        }
        if (K::NC > 0 && a.n.pack > 0 && !blockwise) {
#pragma omp for schedule(static)
            for (int64_t v = 0; v < a.n.column_batches * vectors; v++) {
                const int64_t b = v / vectors;
                const T *par = a.parameters + (a.n.parameter_batches > 1 ? b : 0) * K::NP;
                K::pack_columns(a, par, b, (a.n.from + v % vectors) * L, a.columns + v * K::NC * L);
            }
        }
#pragma omp for schedule(dynamic)
        for (int64_t task = a.n.first * a.n.chunks; task < a.n.last * a.n.chunks; task++) {
            const int64_t chunk = task % a.n.chunks, block = task / a.n.chunks;
            const int64_t b = block / row_blocks, i0 = block % row_blocks * RB, first = b * M + i0;
            const int64_t m = M - i0 < RB ? M - i0 : RB;
            char *kept = a.states + (chunk * all_rows + first - origin) * row_bytes; // between chunks or waves
            if (a.n.from > 0) __builtin_memcpy(mine, kept, m * row_bytes);
            rows_times_chunk(a, b, i0, chunk, scratch, mine, packed);
            if (a.n.chunks == 1 && a.n.to * L >= a.n.N)
                for (int64_t r = 0; r < m; r++) K::finish(a, mine + r * row_bytes, first + r);
            else
                __builtin_memcpy(kept, mine, m * row_bytes);
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

// How many vectors of columns, of NC components each, rows pass over together, at most `most`: whole tiles of C.
// A block stays in the second-level cache while all rows of a block pass over it, and where its components are few,
// so that there is little to compute for each byte, in the first-level cache.
constexpr int column_block(int NC, int C, int most) {
    const int bytes = GEOREDUCE_VECTOR_BYTES * (NC > 0 ? NC : 1), cache = NC > 16 ? 192 * 1024 : 24 * 1024;
    const int fit = cache / bytes < most ? cache / bytes : most;
    return fit < C ? C : fit / C * C;
}

} // namespace gr
#endif
