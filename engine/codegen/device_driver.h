// The loops around a compiled formula on a GPU.
//
// Hoisted values of rows and columns are packed first, component by component, by kernels of their own. A
// thread of the main kernel has R rows; the block's threads along x have TX * R, and those along y share the
// columns of a tile, where rows are few. A tile of CB columns is staged in shared memory (or, where they have
// very many components, read where it lies); each thread passes over it C columns at a time. States live in
// registers. Sums are flushed into double after every tile. Where columns are split, over threads along y or
// over chunks, states are written out and merged in order. Which pairs a thread does depends on sizes only.
#ifndef GEOREDUCE_DEVICE_DRIVER_H
#define GEOREDUCE_DEVICE_DRIVER_H

namespace gr {

template <class K> struct Driver {
    typedef typename K::T T;
    typedef typename K::Call Call;
    typedef typename K::Row Row;   // of a thread
    typedef typename K::Kept Kept; // of a row of the call
    static constexpr int R = K::R, C = K::C, RB = K::RB, CB = K::CB, NP = K::NP, NR = K::NR, NC = K::NC;
    static constexpr int ROWS = wide<T, R>::count;
    static_assert(CB % C == 0 && RB % R == 0, "blocks of whole tiles");

    GR_INLINE int64_t thread() { return (int64_t)blockIdx.x * blockDim.x + threadIdx.x; }
    GR_INLINE int64_t blocks_of(int64_t n, int size) { return (int64_t)((uint64_t)(n + size - 1) / (unsigned)size); }
    GR_INLINE const T *parameters(const Call &a, int64_t batch) {
        return a.parameters + (a.n.parameter_batches > 1 ? batch : 0) * NP;
    }

    GR_INLINE void pack_parameters(const Call &a) {
        const int64_t b = thread();
        if (b < a.n.parameter_batches) K::pack_parameters(a, b, Global<T>(a.parameters + b * NP));
    }
    // Points past the last repeat it: there is room for them.
    GR_INLINE void pack_rows(const Call &a) {
        const int64_t blocks = blocks_of(a.n.M, RB), at = thread(), block = at / RB, batch = block / blocks;
        if (batch >= a.n.row_batches) return;
        const int64_t i = block % blocks * RB + at % RB;
        Global<T> to = Global<T>(a.rows) + (block * NR * RB + at % RB);
        K::pack_rows(a, Global<const T>(parameters(a, batch)), batch, i < a.n.M ? i : a.n.M - 1, to);
    }
    GR_INLINE void pack_columns(const Call &a) {
        const int64_t blocks = blocks_of(a.n.N, CB), at = thread(), block = at / CB, batch = block / blocks;
        if (batch >= a.n.column_batches) return;
        const int64_t j = block % blocks * CB + at % CB;
        Global<T> to = Global<T>(a.columns) + (block * NC * CB + at % CB);
        K::pack_columns(a, Global<const T>(parameters(a, batch)), batch, j < a.n.N ? j : a.n.N - 1, to);
    }

    GR_INLINE Global<const T> rows_at(const Call &a, int64_t batch, int64_t i) {
        const int64_t block = (a.n.row_batches > 1 ? batch : 0) * blocks_of(a.n.M, RB) + i / RB;
        return Global<const T>(a.rows) + (block * NR * RB + i % RB);
    }
    GR_INLINE Global<const T> columns_at(const Call &a, int64_t batch, int64_t block) {
        return Global<const T>(a.columns) + ((a.n.column_batches > 1 ? batch : 0) * blocks_of(a.n.N, CB) + block) * NC * CB;
    }

    // Rows of a thread, where they stay in registers, or where they lie.
    template <int r> GR_INLINE void take(Global<const T> from, Packed<Global<const T>, RB> &x) { x.p = from; }
    template <int r> GR_INLINE void take(Global<const T> from, Registers<T, NR, r> &x) {
        GR_UNROLL for (int k = 0; k < NR; k++)
            GR_UNROLL for (int i = 0; i < r; i++) x.x[k][i] = part<r>(from + k * RB, i);
    }

    // The `left` columns of a tile, C at a time, for the threads along y in turn.
    template <class X, class Y>
    GR_INLINE void pass(Global<const T> par, const X &x, const Y &y, int left, typename K::Lanes *lanes, Row *row, int at0) {
        int at = threadIdx.y * C;
        for (; at + C <= left; at += blockDim.y * C) K::template tile<R, C>(par, x, y.from(at), lanes, row, at0 + at);
        if (C > 1)
            GR_ROLLED for (; at < left; at++) {
                K::template tile<R, 1>(par, x, y.from(at), lanes, row, at0 + at);
                if (at % C == C - 1) break;
            }
    }

    GR_INLINE void run(const Call &a) {
        const Sizes n = a.n;
        GR_SHARED(T, staged, (K::STAGED && NC > 0 ? CB * NC : 4));
        const int TX = blockDim.x, threads = TX * blockDim.y, t = threadIdx.y * TX + threadIdx.x;
        // in 32 bits: a division of 64 is a call, and registers are spilled around it
        const unsigned chunk = blockIdx.x % (unsigned)n.chunks, task = (unsigned)n.first + blockIdx.x / (unsigned)n.chunks;
        const unsigned batch = task / (unsigned)n.row_blocks, block = task % (unsigned)n.row_blocks;
        const int64_t i = (int64_t)block * (TX * R) + threadIdx.x * R, blocks = blocks_of(n.N, CB);
        const int64_t b0 = chunk * n.chunk_blocks, end = b0 + n.chunk_blocks, b1 = end < blocks ? end : blocks, j0 = b0 * CB;
        const int64_t slot = (int64_t)(chunk * blockDim.y + threadIdx.y) * n.kept + (batch * n.M + i - n.origin);
        Global<const T> par(parameters(a, batch));
        typename K::Rows x;
        take<R>(rows_at(a, batch, i < n.M ? i : 0), x);
        typename K::Lanes lanes[R];
        Row row[R];
        GR_UNROLL for (int r = 0; r < R; r++) {
            K::open(a, row[r], slot + r, j0, i + r < n.M);
            K::begin(lanes[r], (const char *)(row + r));
        }
        for (int64_t b = b0; b < b1; b++) {
            const int left = (int)(n.N - b * CB < CB ? n.N - b * CB : CB);
            const int at0 = (int)((b - b0) * CB);
            const Global<const T> from = columns_at(a, batch, b);
            if constexpr (K::STAGED && NC > 0) {
                const Shared<T> to(staged);
                if (b > b0) __syncthreads();
                for (int k = t; k < CB * NC * (int)sizeof(T) / 16; k += threads) copy_16(to, from, k);
                __syncthreads();
                pass(par, x, Packed<Shared<const T>, CB>{to}, left, lanes, row, at0);
            } else
                pass(par, x, Packed<Global<const T>, CB>{from}, left, lanes, row, at0);
            if constexpr (K::FLUSH) {
                GR_UNROLL for (int r = 0; r < R; r++) {
                    K::end(lanes[r], (char *)(row + r), j0);
                    K::begin(lanes[r], (const char *)(row + r));
                }
            }
        }
        GR_UNROLL for (int r = 0; r < R; r++) {
            if constexpr (!K::FLUSH) K::end(lanes[r], (char *)(row + r), j0);
            if (i + r >= n.M) continue;
            Kept kept = K::kept(row[r], j0);
            if (n.parts == 1) K::finish(a, (char *)&kept, batch * n.M + i + r);
            else K::put(a, kept, slot + r);
        }
    }

    // Of `GROUP` parts, `step` apart, the first becomes all of them; where no more are left, it is the result.
    GR_INLINE void merge(const Call &a, int64_t step) {
        const Sizes n = a.n;
        const int64_t at = thread() % n.kept, first = thread() / n.kept * step * K::GROUP;
        if (first >= n.parts) return;
        Kept row;
        K::get(a, row, first * n.kept + at);
        for (int64_t p = first + step; p < first + step * K::GROUP && p < n.parts; p += step) {
            Kept other;
            K::get(a, other, p * n.kept + at);
            K::merge((char *)&row, (char *)&other);
        }
        if (step * K::GROUP >= n.parts) K::finish(a, (char *)&row, n.origin + at);
        else K::put(a, row, first * n.kept + at);
    }

    // Rows that have no index hold infinities or NaN only: they are done again, by comparisons that see these.
    GR_INLINE void repair(const Call &a) {
        const Sizes n = a.n;
        if (thread() >= n.kept || K::is_found(a, n.origin + thread())) return;
        const int64_t at = n.origin + thread(), batch = at / n.M, blocks = blocks_of(n.N, CB);
        Global<const T> par(parameters(a, batch));
        const Packed<Global<const T>, RB> x{rows_at(a, batch, at % n.M)};
        typename K::Lanes lanes[1];
        Row row[1];
        K::open(a, row[0], 0, 0, true);
        for (int64_t b = 0; b < blocks; b++) {
            const Packed<Global<const T>, CB> y{columns_at(a, batch, b)};
            K::begin(lanes[0], (const char *)row);
            for (int c = 0; c < CB && b * CB + c < n.N; c++) K::template exact<1, 1>(par, x, y.from(c), lanes, row, c);
            K::end(lanes[0], (char *)row, b * CB);
        }
        K::finish(a, (char *)row, at);
    }
};

} // namespace gr
#endif
