// The loops around a compiled formula on a GPU where rows are reduced over some of the columns only.
//
// Points are packed as by device_driver.h. A block of threads has some rows and the intervals of columns that they all
// use; it passes over the tiles that an interval touches, of which only the interval's columns count. Rows of a thread
// and columns of a tile are loaded by vectors, so that they begin at multiples of R and of C: what lies before the first
// row of the block, or after its last one, is computed and thrown away.
#ifndef GEOREDUCE_DEVICE_BLOCK_SPARSE_H
#define GEOREDUCE_DEVICE_BLOCK_SPARSE_H

namespace gr {

template <class K> struct BlockSparse {
    typedef Driver<K> D;
    typedef typename K::T T;
    typedef typename K::Call Call;
    typedef typename K::Row Row;
    typedef typename K::Kept Kept;
    static constexpr int R = K::R, C = K::C, RB = K::RB, CB = K::CB, NC = K::NC;

    GR_INLINE void pack_parameters(const Call &a) { D::pack_parameters(a); }
    GR_INLINE void pack_rows(const Call &a) { D::pack_rows(a); }
    GR_INLINE void pack_columns(const Call &a) { D::pack_columns(a); }

    // What a block of threads does: rows `first` to `end` - 1 of a batch, and intervals `from` to `to` - 1. At `list` are
    // four numbers for each of the call's blocks, the first row counted through all batches, the number of rows, `from`
    // and `to`; then two for each interval, its first column and the one past its last.
    struct Block {
        int64_t batch, first, end, from, to;
        Global<const int64_t> intervals;
    };
    GR_INLINE Block block(const Call &a, int64_t list) {
        const Global<const int64_t> all((const int64_t *)list), own = all + (a.n.first + blockIdx.x) * 4;
        const int64_t batch = own[0] / a.n.M, first = own[0] - batch * a.n.M;
        return {batch, first, first + own[1], own[2], own[3], all + a.n.row_blocks * 4};
    }
    GR_INLINE int64_t row_of_thread(const Block &b) { return b.first / R * R + threadIdx.x * R; }

    // Columns `low` to `high` - 1 of a tile.
    template <class X, class Y>
    GR_INLINE void pass(Global<const T> par, const X &x, const Y &y, int low, int high, typename K::Lanes *lanes, Row *row, int at0) {
        for (int at = low / C * C; at < high; at += C) {
            if (at >= low && at + C <= high) K::template tile<R, C>(par, x, y.from(at), lanes, row, at0 + at);
            else
                GR_ROLLED for (int c = at < low ? low : at; c < at + C && c < high; c++)
                    K::template tile<R, 1>(par, x, y.from(c), lanes, row, at0 + c);
        }
    }

    GR_INLINE void run(const Call &a, int64_t list) {
        const Sizes n = a.n;
        GR_SHARED(T, staged, (K::STAGED && NC > 0 ? CB * NC : 4));
        const Block own = block(a, list);
        const int64_t i = row_of_thread(own), slot = own.batch * n.M + i - n.origin;
        Global<const T> par(D::parameters(a, own.batch));
        typename K::Rows x;
        D::template take<R>(D::rows_at(a, own.batch, i < n.M ? i : 0), x);
        typename K::Lanes lanes[R];
        Row row[R];
        GR_UNROLL for (int r = 0; r < R; r++) {
            K::open(a, row[r], slot + r, 0, i + r >= own.first && i + r < own.end);
            K::begin(lanes[r], (const char *)(row + r));
        }
        int64_t there = -1; // the tile that is staged
        for (int64_t k = own.from; k < own.to; k++) {
            const int64_t first = own.intervals[2 * k], end = own.intervals[2 * k + 1];
            for (int64_t b = first / CB; b * CB < end; b++) {
                const int low = (int)(first > b * CB ? first - b * CB : 0), high = (int)(end - b * CB < CB ? end - b * CB : CB);
                const Global<const T> from = D::columns_at(a, own.batch, b);
                if constexpr (K::STAGED && NC > 0) {
                    const Shared<T> to(staged);
                    if (b != there) {
                        if (there >= 0) __syncthreads();
                        for (int m = threadIdx.x; m < CB * NC * (int)sizeof(T) / 16; m += blockDim.x) copy_16(to, from, m);
                        __syncthreads();
                        there = b;
                    }
                    pass(par, x, Packed<Shared<const T>, CB>{to}, low, high, lanes, row, (int)(b * CB));
                } else
                    pass(par, x, Packed<Global<const T>, CB>{from}, low, high, lanes, row, (int)(b * CB));
                if constexpr (K::FLUSH) {
                    GR_UNROLL for (int r = 0; r < R; r++) {
                        K::end(lanes[r], (char *)(row + r), 0);
                        K::begin(lanes[r], (const char *)(row + r));
                    }
                }
            }
        }
        GR_UNROLL for (int r = 0; r < R; r++) {
            if constexpr (!K::FLUSH) K::end(lanes[r], (char *)(row + r), 0);
            if (i + r < own.first || i + r >= own.end) continue;
            Kept kept = K::kept(row[r], 0);
            K::finish(a, (char *)&kept, own.batch * n.M + i + r);
        }
    }

    // See Driver::repair.
    GR_INLINE void repair(const Call &a, int64_t list) {
        const Block own = block(a, list);
        Global<const T> par(D::parameters(a, own.batch));
        for (int64_t i = row_of_thread(own); i < row_of_thread(own) + R; i++) {
            const int64_t at = own.batch * a.n.M + i;
            if (own.from == own.to || i < own.first || i >= own.end || K::is_found(a, at)) continue;
            const Packed<Global<const T>, RB> x{D::rows_at(a, own.batch, i)};
            typename K::Lanes lanes[1];
            Row row[1];
            K::open(a, row[0], 0, 0, true);
            for (int64_t k = own.from; k < own.to; k++) {
                K::begin(lanes[0], (const char *)row);
                for (int64_t j = own.intervals[2 * k]; j < own.intervals[2 * k + 1]; j++) {
                    const Packed<Global<const T>, CB> y{D::columns_at(a, own.batch, j / CB)};
                    K::template exact<1, 1>(par, x, y.from((int)(j % CB)), lanes, row, (int)j);
                }
                K::end(lanes[0], (char *)row, 0);
            }
            K::finish(a, (char *)row, at);
        }
    }
};

} // namespace gr
#endif
