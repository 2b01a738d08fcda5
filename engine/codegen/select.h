// How the tiles of a strip offer their values to the lists of the K smallest of its rows.
//
// While a strip passes over a block of columns, limits stand still. Of every tile and row it is noted whether something
// is below the limit; at the end of the block what was noted is offered. So the loop over tiles has no branches, and a
// processor runs through it undisturbed. Values are either held until then, at the cost of a store for each vector, or,
// where there is little to find and little to compute, the tiles in question are computed again.
#ifndef GEOREDUCE_SELECT_H
#define GEOREDUCE_SELECT_H

#include "smallest.h"

// Loads are not moved across.
#define GR_BARRIER __asm__ volatile("" ::: "memory")

namespace gr {

template <class K> struct Selection {
    typedef typename K::T T;
    typedef typename K::Call::Scalar S;
    typedef typename lanes_of<T>::vec V;
    typedef Smallest<T> Row;
    static constexpr int L = lanes_of<T>::count, C = K::C, NC = K::NC, TILES = K::COLUMN_BLOCK / C;
    // Whether compilers may make vectors of the components of R rows before the loop: they are kept in memory, where a few
    // cost less than to be made in every tile, and many do not.
    static constexpr bool HOISTS = K::NR * K::R <= 32;
    static_assert(TILES <= Row::MOST_TILES && TILES * C * L <= 64 * Row::OFFERED, "a block of at most 64 tiles");

    template <int R> struct Block {
        alignas(GEOREDUCE_VECTOR_BYTES) T held[R][TILES * C * L];
        uint64_t hits[R]; // of tiles, as Smallest::take has them
    };

    // As Driver::strip.
    template <int R> static void strip(const S *par, const T *rows, const T *columns, int64_t left, char *states, int64_t row_bytes, int64_t j0) {
        Block<R> b;
        Row &first = *(Row *)states;
        const int whole = (int)(left / (C * L)), tiles = (int)((left + C * L - 1) / (C * L));
        uint64_t hits[R] = {};
        V limit[R];
        GR_UNROLL for (int r = 0; r < R; r++) limit[r] = broadcast(((Row *)(states + r * row_bytes))->limit);
        const bool holds = R != K::R || first.hits > K::AGAIN;
        if (holds) {
            for (int t = 0; t < whole; t++) {
                if (!HOISTS) GR_BARRIER;
                V v[R][C];
                K::template values<R, C>(par, rows, columns + t * C * NC * L, v);
                GR_UNROLL for (int r = 0; r < R; r++) {
                    GR_UNROLL for (int c = 0; c < C; c++) store(b.held[r] + (t * C + c) * L, v[r][c]);
                    hits[r] = 2 * hits[r] + Row::template hit<C>(v[r], limit[r]);
                }
            }
        } else {
            for (int t = 0; t < whole; t++) {
                if (!HOISTS) GR_BARRIER;
                V v[R][C];
                K::template values<R, C>(par, rows, columns + t * C * NC * L, v);
                GR_UNROLL for (int r = 0; r < R; r++) hits[r] = 2 * hits[r] + Row::template hit<C>(v[r], limit[r]);
            }
        }
        uint64_t some = 0; // a bit for each row
        int number = 0;
        GR_UNROLL for (int r = 0; r < R; r++) {
            b.hits[r] = whole > 0 ? hits[r] << (64 - whole) : 0;
            number += ones(hits[r]), some |= (uint64_t)(hits[r] != 0) << r;
        }
        first.hits = number;
        if (whole < tiles) rest(par, rows, columns, b, whole, left), some = first_lanes(R);
        for (; some; some &= some - 1) {
            const int r = __builtin_ctzll(some);
            if (!holds) again(par, rows + r, columns, b.held[r], whole > 0 ? hits[r] << (64 - whole) : 0);
            Row::template take<C>(*(Row *)(states + r * row_bytes), b.held[r], b.hits[r], tiles, j0);
        }
    }
    // The values of a row's tiles in which something may pass.
    GR_OUTLINE void again(const S *par, const T *row, const T *columns, T *held, uint64_t hits) {
        Row::each(hits, [&](int t) {
            V v[1][C];
            K::template values<1, C>(par, row, columns + t * C * NC * L, v);
            GR_UNROLL for (int c = 0; c < C; c++) store(held + (t * C + c) * L, v[0][c]);
        });
    }
    // The last vectors of a row, which do not fill a tile.
    template <int R> GR_OUTLINE void rest(const S *par, const T *rows, const T *columns, Block<R> &b, int t, int64_t left) {
        for (int c = 0; c < C; c++) {
            const int at = (t * C + c) * L;
            V v[R][1];
            GR_UNROLL for (int r = 0; r < R; r++) v[r][0] = broadcast(GR_NAN(T));
            if (at < left) K::template values<R, 1>(par, rows, columns + at * NC, v);
            GR_UNROLL for (int r = 0; r < R; r++)
                store(b.held[r] + at, where(iota<T>() < (typename Row::Z)(left - at), v[r][0], broadcast(GR_NAN(T))));
        }
        for (int r = 0; r < R; r++) b.hits[r] |= Row::FIRST >> t;
    }
};

template <class S> struct is_list { static constexpr bool value = false; };
template <class T> struct is_list<Smallest<T>> { static constexpr bool value = true; };

} // namespace gr
#endif
