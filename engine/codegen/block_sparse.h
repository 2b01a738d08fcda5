// The loops around a compiled formula where rows are reduced over some of the columns only.
//
// A block is some rows, at most as many as those of `kernel.h`, and the intervals of columns that they all use. These
// columns are packed one after the other, as if they were neighbours, so that neither short intervals nor their ends
// cost more than a copy; a row's indices count them in this order, which is that of the columns, so that ties go to the
// lowest index, and are replaced by the columns' own when the row is finished. Each block is done by one thread.
#ifndef GEOREDUCE_BLOCK_SPARSE_H
#define GEOREDUCE_BLOCK_SPARSE_H

#include "kernel.h"

namespace gr {

struct RowBlock {
    int64_t row, rows; // of all batches, none in two of them
    int64_t from, to;  // intervals
};
struct Interval {
    int64_t first, end; // columns of the batch
    int64_t place;      // of the first among the columns of the block
};
// Blocks `first` to `last` - 1 of a call are of these. `indices` has a bit for every result that holds indices,
// `width` numbers for each row.
struct Blocks {
    const RowBlock *blocks;
    const Interval *intervals;
    int64_t indices, width;
};

template <class K> struct BlockSparse {
    typedef Driver<K> D;
    typedef typename D::T T;
    typedef typename D::S S;
    typedef typename D::Call Call;
    static constexpr int L = D::L, NC = K::NC;

    // Pack `number` columns of a block, those from `place` on, of which the first is in interval k. The result is the
    // interval of the next one. Lanes past the end of an interval are written again, or belong to no column.
    static const Interval *pack(const Call &a, const S *par, int64_t batch, const Interval *k, int64_t place, int64_t number, T *packed, T *one) {
        for (int64_t done = 0; done < number;) {
            const int64_t j = k->first + place + done - k->place, lane = done % L, left = k->end - j;
            const int64_t here = left < L - lane ? left : L - lane;
            T *to = packed + (done - lane) * NC;
            K::pack_columns(a, par, batch, j, lane == 0 ? to : one);
            if (lane > 0)
                for (int c = 0; c < NC; c++) __builtin_memcpy(to + c * L + lane, one + c * L, here * sizeof(T));
            done += here;
            if (here == left) k++;
        }
        return k;
    }

    // Make places among a block's columns the indices of these columns; -1 stays.
    static void rename(int64_t *index, int64_t number, const Interval *intervals, int64_t count) {
        for (int64_t n = 0; n < number; n++) {
            if (index[n] < 0) continue;
            const Interval *k = intervals; // the last one whose place is not above
            for (int64_t some = count; some > 1;) {
                const int64_t half = some / 2;
                if (k[half].place <= index[n]) k += half;
                some -= half;
            }
            index[n] += k->first - k->place;
        }
    }

    static void block(const Call &a, const Blocks &all, const RowBlock &b, T *rows, char *states, T *packed, T *one) {
        const int64_t row_bytes = K::row_bytes(a.n.kept), batch = b.row / a.n.M, i0 = b.row % a.n.M;
        const int m = (int)b.rows, whole = D::whole(m);
        const S *par = a.parameters + (a.n.parameter_batches > 1 ? batch : 0) * K::NP;
        const Interval *k = all.intervals + b.from, *last = all.intervals + b.to - 1;
        const int64_t number = b.from < b.to ? last->place + last->end - last->first : 0;
        for (int r = 0; r < whole; r++) K::clear(states + r * row_bytes, a.n.kept);
        if (number > 0)
            for (int g = 0; g < whole; g += L) K::pack_rows(a, par, batch, i0 + g, rows + g);
        for (int64_t at = 0; at < number; at += D::PACKED * L) {
            const int64_t left = number - at < D::PACKED * L ? number - at : D::PACKED * L;
            k = pack(a, par, batch, k, at, left, packed, one);
            D::strips(par, rows, m, packed, left, states, row_bytes, at);
        }
        for (int r = 0; r < m; r++) K::finish(a, states + r * row_bytes, b.row + r);
        for (int64_t bits = all.indices; bits && number > 0; bits &= bits - 1) {
            int64_t *index = (int64_t *)a.results[__builtin_ctzll(bits)] + b.row * all.width;
            rename(index, m * all.width, all.intervals + b.from, b.to - b.from);
        }
    }

    // Run by every thread; alone, by the one. Its scratch has room for one more vector of columns than `scratch_bytes`.
    static void body(const Call &a, const Blocks &all) {
        char *scratch = a.scratch + omp_get_thread_num() * a.scratch_bytes, *states = scratch + D::ROW_BYTES;
        T *packed = (T *)(states + D::state_bytes(a.n)), *one = packed + NC * L * D::PACKED;
        D::pack_parameters(a);
#pragma omp for schedule(dynamic)
        for (int64_t n = a.n.first; n < a.n.last; n++) block(a, all, all.blocks[n], (T *)scratch, states, packed, one);
    }

    static void run(const Call &a, const Blocks &all) {
        if (a.n.threads > 1) {
#pragma omp parallel num_threads((int)a.n.threads)
            body(a, all);
        } else
            body(a, all);
    }
};

} // namespace gr
#endif
