// The K nearest points, and the nearest one, by lower bounds of distances in 16-bit integers.
//
// bound.py says why the results are those of differences. Points are rounded to integers; pairs of components lie in
// 32 bits, so that one instruction is for two components of a pair of points in every lane. What a tile computes is the
// distance of such points, exactly; of a squared one half, |x|^2 / 2 + |y|^2 / 2 - x.y, whose parts are below 2^29 each.
#ifndef GEOREDUCE_FIXED_H
#define GEOREDUCE_FIXED_H

#include "exact.h"

#if defined(__aarch64__)
#include <arm_neon.h>
#endif

// The VNNI instruction is written in assembly, of which the address sanitizer does not see what it reads.
#ifdef __has_feature // Clang's, and of GCC since 14; older ones have a macro
#if __has_feature(address_sanitizer)
#define GR_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define GR_ASAN 1
#endif
#if GR_AVX512 && defined(__AVX512VNNI__) && !GR_ASAN
#define GR_VNNI 1
#endif

namespace gr {

// ---- integers ----------------------------------------------------------------------------------------------

GR_INLINE mf load(const int32_t *from) { return (mf)load((const float *)from); }
GR_INLINE void store(int32_t *to, mf v) { store((float *)to, (vf)v); }
GR_INLINE mf broadcast(int32_t value) { return mf{} + value; }

#if GR_ELEMENTWISE
GR_INLINE mf lesser(mf a, mf b) { return __builtin_elementwise_min(a, b); }
GR_INLINE mf greater(mf a, mf b) { return __builtin_elementwise_max(a, b); }
#elif GR_AVX512 && !defined(__clang__)
typedef int i512 __attribute__((vector_size(64)));
GR_INLINE mf lesser(mf a, mf b) { return (mf)__builtin_ia32_pminsd512_mask((i512)a, (i512)b, (i512)a, (uint16_t)-1); }
GR_INLINE mf greater(mf a, mf b) { return (mf)__builtin_ia32_pmaxsd512_mask((i512)a, (i512)b, (i512)a, (uint16_t)-1); }
#else
GR_INLINE mf lesser(mf a, mf b) { return a < b ? a : b; }
GR_INLINE mf greater(mf a, mf b) { return a > b ? a : b; }
#endif

// Two 16-bit integers in each lane: the sum of the products of both with those of the same lane.
GR_INLINE mf products(mf x, mf y) {
#if GR_AVX2
    typedef short H __attribute__((vector_size(32)));
    return (mf)__builtin_ia32_pmaddwd256((H)x, (H)y);
#elif GR_SSE2
    typedef short H __attribute__((vector_size(16)));
    return (mf)__builtin_ia32_pmaddwd128((H)x, (H)y);
#elif GR_AVX512 && defined(__AVX512BW__)
    typedef short H __attribute__((vector_size(64)));
#if defined(__clang__)
    return (mf)__builtin_ia32_pmaddwd512((H)x, (H)y);
#else
    return (mf)__builtin_ia32_pmaddwd512_mask((H)x, (H)y, i512{}, (uint16_t)-1);
#endif
#else
    return (x << 16 >> 16) * (y << 16 >> 16) + (x >> 16) * (y >> 16);
#endif
}

// Add the products of a row's pair with those of columns, which are `arranged`.
#if defined(__aarch64__) // the first ones of all lanes, then the second ones
GR_INLINE mf arranged(mf y) { return (mf)vcombine_s16(vmovn_s32((int32x4_t)y), vshrn_n_s32((int32x4_t)y, 16)); }
GR_INLINE mf held(mf y) { return y; }
GR_INLINE void add_products(mf &sum, const int32_t *x, mf y) {
    const int16x4_t pair = vreinterpret_s16_s32(vdup_n_s32(*x));
    const int32x4_t first = vmlal_lane_s16((int32x4_t)sum, vget_low_s16((int16x8_t)y), pair, 0);
    sum = (mf)vmlal_high_lane_s16(first, (int16x8_t)y, pair, 1);
}
#elif GR_VNNI
GR_INLINE mf arranged(mf y) { return y; }
GR_INLINE mf held(mf y) { // in a register: GCC 12 loads it again for every use
    __asm__("" : "+v"(y));
    return y;
}
GR_INLINE void add_products(mf &sum, const int32_t *x, mf y) { // GCC 12 copies and spills sums around the builtin
    __asm__("vpdpwssd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(y), "m"(*x));
}
#else
GR_INLINE mf arranged(mf y) { return y; }
GR_INLINE mf held(mf y) { return y; }
GR_INLINE void add_products(mf &sum, const int32_t *x, mf y) { sum += products(broadcast(*x), y); }
#endif

// Pairs as 16-bit lanes.
typedef short pairs __attribute__((vector_size(GEOREDUCE_VECTOR_BYTES)));
GR_INLINE pairs greater(pairs a, pairs b) {
#if GR_ELEMENTWISE
    return __builtin_elementwise_max(a, b);
#elif GR_AVX512 && defined(__AVX512BW__)
    return __builtin_ia32_pmaxsw512_mask(a, b, a, ~0u);
#elif GR_AVX2
    return __builtin_ia32_pmaxsw256(a, b);
#elif GR_SSE2
    return __builtin_ia32_pmaxsw128(a, b);
#else
    return a > b ? a : b;
#endif
}
GR_INLINE pairs absolute_difference(mf x, mf y) { // of numbers whose difference is one
    const pairs t = (pairs)x - (pairs)y;
#if GR_AVX512 && defined(__AVX512BW__) && !defined(__clang__)
    return __builtin_ia32_pabsw512_mask(t, t, ~0u);
#elif GR_AVX2 && !defined(__clang__)
    return __builtin_ia32_pabsw256(t);
#elif defined(__aarch64__)
    return (pairs)vabdq_s16((int16x8_t)x, (int16x8_t)y);
#else
    return greater(t, -t);
#endif
}
// Add both numbers of each lane, times `unit` in both halves of its.
GR_INLINE void add_pairs(mf &sum, pairs x, mf unit) {
#if GR_VNNI
    __asm__("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(unit));
#else
    sum += products((mf)x, unit);
#endif
}

// ---- points as integers --------------------------------------------------------------------------------------

// Parameters: the center of a ball, the square of its radius, and what points are multiplied by, 0 if there is no ball.
template <class S, int D, Norm N> struct Fixed {
    typedef typename lanes_of<S>::vec V;
    typedef typename lanes_of<S>::mask M;
    static constexpr int P = (D + 1) / 2, L = lanes_of<float>::count, LS = lanes_of<S>::count;
    static constexpr int NP = D + 2;
    // As in bound.py. Norms of rounded points stay below sqrt(2^29); differences of components below 2^15.
    static constexpr int32_t RADIUS = N == L2 ? 23000 : 16300;
    // Distances are multiplied by as much as 30 bits have room for, where the last ones are to say a vector's number.
    static constexpr int bits_of_count(int n) { return n > 1 ? 1 + bits_of_count((n + 1) / 2) : 0; }
    static constexpr int SHIFT = N == L2 ? 0 : N == L1 ? 14 - bits_of_count(D) : 14;
    // These are less than 2^30, plus BIAS they are floats of the same order, none of them denormal. Columns that are to
    // be in no list, or in all, have another number, for half of their squared norm or for 0.
    static constexpr int32_t BIAS = 1 << 23, NEVER = 1 << 30, ALWAYS = -(1 << 30);

    // L points: P vectors of pairs and one of half their squared norms, `step` apart; those of rows are negative.
    template <bool ROWS> static void pack(const Slot<S> &s, int64_t batch, int64_t first, int64_t end, const S *par, int32_t *to, int step) {
        const V scale = broadcast(ROWS && N == L2 ? -par[D + 1] : par[D + 1]), magic = broadcast(S(lanes_of<S>::magic));
        const V radius2 = broadcast(par[D]), most = broadcast(S(RADIUS)), edge = sqrt(radius2) * scale;
        typedef int32_t Half __attribute__((vector_size(LS * 4)));
        alignas(GEOREDUCE_VECTOR_BYTES) int32_t special[L];
        for (int h = 0; h < L; h += LS) {
            const Points<S, D> x(s, batch, first + h, end);
            V norm{}, top{};
            for (int k = 0; k < D; k++) {
                const V t = x.component(k) - broadcast(par[k]);
                norm += t * t, top = greater(abs(t), top);
            }
            const M known = norm < broadcast(GR_INF(S)), infinite = top == broadcast(GR_INF(S));
            // those outside of the ball go to where they are seen from its center
            const V factor = norm > radius2 ? edge / sqrt(norm) : scale; // no quotient of squares, which underflows
            const auto rounded = [&](int k) { // its last bits are the integer
                const V t = x.component(k) - broadcast(par[k]);
                if constexpr (N == L2) return as_bits((known ? t : V{}) * factor + magic);
                else return as_bits(greater(lesser(t * scale, most), -most) + magic);
            };
            for (int p = 0; p < P; p++) {
                bits_of<V> pair = rounded(2 * p) & 0xffff;
                if (2 * p + 1 < D) pair |= rounded(2 * p + 1) << 16;
                const Half half = __builtin_convertvector((M)pair, Half);
                __builtin_memcpy(to + p * step + h, &half, sizeof half);
            }
            const M not_a_number = norm != norm;
            const M which = infinite ? M{} + NEVER : not_a_number ? M{} + (N == LARGEST ? ALWAYS : NEVER) : M{};
            const Half half = __builtin_convertvector(which, Half);
            __builtin_memcpy(special + h, &half, sizeof half);
        }
        mf norm = {};
        for (int p = 0; p < P && N == L2; p++) {
            const mf pair = load(to + p * step);
            norm += products(pair, pair);
            if (!ROWS) store(to + p * step, arranged(pair));
        }
        const mf half = (norm + 1) >> 1, other = load(special);
        store(to + P * step, ROWS ? half + BIAS : other ? other : half);
    }

    // R rows and C vectors of columns: what orders the columns of a row as their distances do.
    template <int R, int C, int RB, int NC> GR_INLINE void distances(const int32_t *rows, const int32_t *columns, mf (*v)[C]) {
        const mf unit = broadcast((int32_t)((1 << SHIFT) * 0x10001));
        GR_TILE v[r][c] = N == L2 ? load(columns + (c * NC + P) * L) : mf{};
        const auto pair = [&](int p) __attribute__((always_inline)) {
            mf y[C];
            GR_UNROLL for (int c = 0; c < C; c++) y[c] = held(load(columns + (c * NC + p) * L));
            GR_UNROLL for (int r = 0; r < R; r++) {
                if constexpr (N == L2) {
                    GR_UNROLL for (int c = 0; c < C; c++) add_products(v[r][c], rows + p * RB + r, y[c]);
                } else {
                    const mf x = held(broadcast(rows[p * RB + r]));
                    GR_UNROLL for (int c = 0; c < C; c++) {
                        const pairs t = absolute_difference(x, y[c]);
                        if constexpr (N == L1) add_pairs(v[r][c], t, unit);
                        else v[r][c] = (mf)greater((pairs)v[r][c], t);
                    }
                }
            }
        };
        if constexpr (P <= 8) {
            GR_UNROLL for (int p = 0; p < P; p++) pair(p);
        } else {
            for (int p = 0; p < P; p++) pair(p);
        }
        if constexpr (N == LARGEST) GR_TILE v[r][c] = greater(v[r][c] << 16 >> (16 - SHIFT), v[r][c] >> 16 << SHIFT);
        if constexpr (N != L2) GR_TILE v[r][c] += load(columns + (c * NC + P) * L);
        GR_TILE v[r][c] += broadcast(rows[P * RB + r]);
    }

    // No point for which that is `v` or more has a value below this.
    static double least_value(int32_t v, const S *par) {
        constexpr double u = 1.0 / ((uint64_t)2 << lanes_of<S>::mantissa), factors = N == LARGEST ? 1 : D;
        const double w = (v - BIAS) / (double)(1 << SHIFT), root = __builtin_sqrt((double)D);
        const double from = N == L2 ? __builtin_sqrt(2 * (w - 1)) : w, factor = par[D + 1];
        const double lost = N == L2 ? root + 2 * RADIUS * (D + 16) * u : factors * (1 + 16 * RADIUS * u);
        const double distance = (from - lost) / factor;
        if (!(factor > 0 && distance > 0)) return -GR_INF(double); // the largest of no number at all is that
        const double value = N == L2 ? distance * distance : distance;
        return value * (1 - (2 * D + 16) * u) - D * (double)lanes_of<S>::smallest;
    }
};

// ---- the two least of a row ----------------------------------------------------------------------------------

// In every lane the least number and the second, of which the last bits say the vector of columns.
struct Nearest2 {
    static constexpr int TAG_BITS = 12, L = lanes_of<float>::count;
    static constexpr int32_t TAGS = 1 << TAG_BITS, NONE = 0x7fffffff;
    mf least, second;
    int64_t base;        // the first one of the columns in lanes, -1 if there are none
    int64_t j;           // of those before: the least, and
    int32_t best, other; // its number, and the second

    void clear() { least = second = broadcast(NONE), base = -1, j = -1, best = other = NONE; }
    // Fold lanes into the row.
    GR_OUTLINE void fold(Nearest2 &r) {
        mf a = r.least, b = r.second;
        GR_UNROLL for (int half = L / 2; half > 0; half /= 2) {
            const mf a2 = rotate(a, half), b2 = rotate(b, half), t = greater(a, a2);
            a = lesser(a, a2), b = lesser(lesser(b, b2), t);
        }
        const int lane = __builtin_ctzll(bits((mf)(r.least == a)));
        offer(r, a[0], r.base + (int64_t)(a[0] & (TAGS - 1)) * L + lane, b[0]);
        r.least = r.second = broadcast(NONE), r.base = -1;
    }
    GR_INLINE void offer(Nearest2 &r, int32_t least, int64_t j, int32_t second) {
        const int32_t worse = least < r.best ? r.best : least;
        second = second < worse ? second : worse;
        r.other = second < r.other ? second : r.other;
        if (least < r.best) r.best = least, r.j = j;
    }
    GR_INLINE void merge(Nearest2 &r, Nearest2 &b) {
        fold(r), fold(b);
        offer(r, b.best, b.j, b.other);
    }
};

// ---- the kernel ----------------------------------------------------------------------------------------------

// For K smallest values, or the smallest one; VALUES and INDICES are their places among the results, -1 if not wanted.
template <class S, int D, Norm N, bool LIST, int VALUES, int INDICES> struct Nearest {
    typedef Fixed<S, D, N> F;
    typedef float T; // of what is packed: integers as wide
    typedef gr::Call<S, 3, (VALUES >= 0) + (INDICES >= 0)> Call;
    static constexpr int L = F::L, P = F::P, NP = F::NP, NR = P + 1, NC = P + 1, R = N == L2 ? 6 : 4, C = GR_REGISTERS >= 32 ? 4 : 2;
    static constexpr int RB = 96, COLUMN_BLOCK = column_block(NC, C, 64 * C), AGAIN = 64 * R / (15 + C * NC); // see select.h
    struct Lanes { mf least, second; };
    template <bool, class A, class B> struct either { typedef A type; };
    template <class A, class B> struct either<false, A, B> { typedef B type; };
    typedef typename either<LIST, Smallest<float>, Nearest2>::type Row;

    GR_INLINE int64_t row_bytes(int64_t K) {
        if constexpr (LIST) return Row::bytes(K);
        else return (sizeof(Row) + 63) / 64 * 64;
    }
    static void pack_parameters(const Call &a, int64_t batch, S *par) {
        const S *from = Slot<S>::point(a.slots[2], batch, 0);
        for (int k = 0; k < NP; k++) par[k] = from[k * a.slots[2].step];
    }
    static void pack_rows(const Call &a, const S *par, int64_t batch, int64_t first, T *rows) {
        F::template pack<true>(a.slots[0], batch, first, a.n.M, par, (int32_t *)rows, RB);
    }
    static void pack_columns(const Call &a, const S *par, int64_t batch, int64_t first, T *columns) {
        F::template pack<false>(a.slots[1], batch, first, a.n.N, par, (int32_t *)columns, L);
    }

    // For lists: see select.h.
    template <int R, int C> GR_INLINE void values(const S *, const T *rows, const T *columns, vf (&v)[R][C]) {
        mf w[R][C];
        F::template distances<R, C, RB, NC>((const int32_t *)rows, (const int32_t *)columns, w);
        GR_TILE v[r][c] = (vf)w[r][c];
    }
    template <int R, int C, bool MASKED>
    GR_INLINE void tile(const S *, const T *rows, const T *columns, int left, Lanes *lanes, char *states, int64_t row_bytes, int64_t j0, int at) {
        mf v[R][C];
        F::template distances<R, C, RB, NC>((const int32_t *)rows, (const int32_t *)columns, v);
        if (((const Row *)states)->base < 0)
            for (int r = 0; r < R; r++) ((Row *)(states + r * row_bytes))->base = j0;
        const int32_t first = (int32_t)((j0 - ((const Row *)states)->base + at) / L);
        GR_UNROLL for (int c = 0; c < C; c++) {
            const mf tag = broadcast(first + c);
            GR_UNROLL for (int r = 0; r < R; r++) {
                mf t = (v[r][c] & ~(Nearest2::TAGS - 1)) | tag;
                if (MASKED) t = iota<float>() < left ? t : broadcast(Nearest2::NONE);
                lanes[r].second = lesser(lanes[r].second, greater(lanes[r].least, t));
                lanes[r].least = lesser(lanes[r].least, t);
            }
        }
    }

    static void clear(char *state, int64_t K) {
        if constexpr (LIST) ((Row *)state)->clear(K);
        else ((Row *)state)->clear();
    }
    GR_INLINE void begin(Lanes &lanes, const char *state) {
        lanes.least = ((const Row *)state)->least, lanes.second = ((const Row *)state)->second;
    }
    GR_INLINE void end(Lanes &lanes, char *state, int64_t j0) {
        Row &row = *(Row *)state;
        row.least = lanes.least, row.second = lanes.second;
        if ((j0 - row.base) / L + 2 * COLUMN_BLOCK > Row::TAGS) Row::fold(row); // no numbers left for the next block
    }
    static void merge(char *a, char *b) { Row::merge(*(Row *)a, *(Row *)b); }
    static void finish(const Call &a, char *state, int64_t at) {
        const S *par = a.parameters + (a.n.parameter_batches > 1 ? at / a.n.M : 0) * NP;
        const Exact<N, D, S> exact(a, a.slots[0], a.slots[1], at);
        const int64_t K = LIST ? a.n.K : 1;
        S *values = nullptr;
        int64_t *indices = nullptr;
        if constexpr (VALUES >= 0) values = (S *)a.results[VALUES] + at * K;
        if constexpr (INDICES >= 0) indices = (int64_t *)a.results[INDICES] + at * K;
        Row &row = *(Row *)state;
        if constexpr (LIST) a.unproven[at] = !finish_smallest<F>(a, exact, par, row, values, indices);
        else a.unproven[at] = !finish_least<F>(exact, par, row, values, indices);
    }
};

} // namespace gr
#endif
