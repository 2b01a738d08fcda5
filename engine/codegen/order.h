// Order among values and their columns: cuts of many at about the K-th, sorting, compressing.
#ifndef GEOREDUCE_ORDER_H
#define GEOREDUCE_ORDER_H

#include "simd.h"

#ifndef GR_UNROLL
#if defined(__clang__)
#define GR_UNROLL _Pragma("clang loop unroll(full)")
#else
#define GR_UNROLL _Pragma("GCC unroll 32")
#endif
#endif

namespace gr {

// ---- masks and compression ----------------------------------------------------------------------

// One bit for each lane where a >= b does not hold, all of them where b is NaN; where a <= b holds.
#if GR_AVX512
GR_INLINE uint64_t bits_not_least(vf a, vf b) {
    return (uint16_t)__builtin_ia32_cmpps512_mask(a, b, 25, (uint16_t)-1, 4);
}
GR_INLINE uint64_t bits_not_least(vd a, vd b) {
    return (uint8_t)__builtin_ia32_cmppd512_mask(a, b, 25, (uint8_t)-1, 4);
}
GR_INLINE uint64_t bits_at_most(vf a, vf b) {
    return (uint16_t)__builtin_ia32_cmpps512_mask(a, b, 18, (uint16_t)-1, 4);
}
GR_INLINE uint64_t bits_at_most(vd a, vd b) {
    return (uint8_t)__builtin_ia32_cmppd512_mask(a, b, 18, (uint8_t)-1, 4);
}
#else
GR_INLINE uint64_t bits_not_least(vf a, vf b) { return bits((mf) ~(a >= b)); }
GR_INLINE uint64_t bits_not_least(vd a, vd b) { return bits((md) ~(a >= b)); }
GR_INLINE uint64_t bits_at_most(vf a, vf b) { return bits((mf)(a <= b)); }
GR_INLINE uint64_t bits_at_most(vd a, vd b) { return bits((md)(a <= b)); }
#endif
// A bit for each of the first `n` lanes.
GR_INLINE uint64_t first_lanes(int n) { return n >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1; }
GR_INLINE int ones(uint64_t b) { return __builtin_popcountll(b); }

// Store the lanes of v that `keep` has a bit for, one after the other; a whole vector may be
// written. Compressed in a register: the instruction that compresses to memory is slow on Zen 4.
#if GR_AVX512
typedef int w32 __attribute__((vector_size(64)));
typedef long long w64 __attribute__((vector_size(64)));
GR_INLINE vf pressed(vf v, uint64_t keep) {
    return __builtin_ia32_compresssf512_mask(v, v, (uint16_t)keep);
}
GR_INLINE vd pressed(vd v, uint64_t keep) {
    return __builtin_ia32_compressdf512_mask(v, v, (uint8_t)keep);
}
GR_INLINE mf pressed(mf v, uint64_t keep) {
    return (mf)__builtin_ia32_compresssi512_mask((w32)v, (w32)v, (uint16_t)keep);
}
GR_INLINE md pressed(md v, uint64_t keep) {
    return (md)__builtin_ia32_compressdi512_mask((w64)v, (w64)v, (uint8_t)keep);
}
template <class S, class V> GR_INLINE void press(S *to, V v, uint64_t keep) {
    v = pressed(v, keep);
    __builtin_memcpy(to, &v, sizeof v);
}
#else
template <class S, class V> GR_INLINE void press(S *to, V v, uint64_t keep) {
    constexpr int n = sizeof(V) / sizeof(S);
    S lane[n];
    __builtin_memcpy(lane, &v, sizeof v);
    for (int k = 0; k < n; k++) *to = lane[k], to += keep >> k & 1;
}
#endif

// ---- cuts and sorting ---------------------------------------------------------------------------

template <class T> struct Order {
    typedef typename lanes_of<T>::vec V;
    typedef typename lanes_of<T>::mask I;
    typedef typename lanes_of<T>::integer Z;
    typedef decltype(lanes_of<T>::sign + 0) U;             // bits of a T
    static constexpr int L = lanes_of<T>::count;           // values in a vector
    static constexpr int W = lanes_of<double>::count;      // columns in a vector
    static constexpr int FEW = 4 * L;                      // sorted by counting

    // Those of n values that are less than `at`, or equal to it if `with`.
    struct Cut {
        T at;
        bool with;
        int64_t count;
    };
    template <class P> GR_INLINE int64_t number(const T *v, int64_t n, P pass) {
        int64_t r = 0, i = 0;
        for (; i + L <= n; i += L) r += ones(pass(loadu(v + i)));
        return r + ones(pass(loadu(v + i)) & first_lanes((int)(n - i)));
    }
    static T least(const T *v, int64_t n) {
        T r = v[0];
        V m = broadcast(r);
        int64_t i = 0;
        for (; i + L <= n; i += L) m = lesser(loadu(v + i), m);
        for (; i < n; i++) r = v[i] < r ? v[i] : r;
        for (int l = 0; l < L; l++) r = m[l] < r ? m[l] : r;
        return r;
    }
    // A cut with at least `lo` and at most `hi` < n values; with fewer, and without those equal to
    // `at`, if there are so many of these that it cannot be. Found by counting: first at the values
    // of a sample, then in the middle between two, as numbers in the order of the values.
    GR_OUTLINE Cut cut_at(const T *v, int64_t n, int64_t lo, int64_t hi) {
        T sample[L], steps[L];
        int32_t rank[L];
        for (int l = 0; l < L; l++) sample[l] = v[n * l / L];
        ranks(sample, L, rank);
        for (int l = 0; l < L; l++) steps[rank[l]] = sample[l];
        U first = key(-GR_INF(T)), last = key(GR_INF(T)) + 1; // the cut is between, or at `first`
        int p = (int)((lo + hi) * L / (2 * n));
        for (;;) {
            if (p >= L || key(steps[p]) <= first || key(steps[p]) >= last) p = L;
            const T at = p < L ? steps[p] : value_of(first + (last - first) / 2);
            const V x = broadcast(at);
            const int64_t below = number(v, n, [=](V y) { return bits_less(y, x); });
            if (below > hi) {
                last = key(at);
                while (p < L && p >= 0 && key(steps[p]) >= last) p--;
                if (p < 0) steps[p = 0] = least(v, n);
            } else if (below >= lo) {
                return {at, false, below};
            } else {
                const int64_t upto = number(v, n, [=](V y) { return bits_at_most(y, x); });
                if (upto >= lo) return upto <= hi ? Cut{at, true, upto} : Cut{at, false, below};
                first = key(at);
                while (p < L && key(steps[p]) <= first) p++;
            }
        }
    }
    // Whole numbers in the order of the values, one apart where no value is between.
    GR_INLINE U key(T t) {
        U u;
        __builtin_memcpy(&u, &t, sizeof u);
        return u & lanes_of<T>::sign ? ~u : u | lanes_of<T>::sign;
    }
    GR_INLINE T value_of(U u) {
        u = u & lanes_of<T>::sign ? u & ~lanes_of<T>::sign : ~u;
        T t;
        __builtin_memcpy(&t, &u, sizeof t);
        return t;
    }
    // Move those of the cut to the front, in order, and the others behind them if BOTH; v2 and c2
    // are room for as many. Return the number of those in front.
    template <bool BOTH>
    GR_OUTLINE int64_t part(T *v, int64_t *c, int64_t n, Cut cut, T *v2, int64_t *c2) {
        const V at = broadcast(cut.at);
        int64_t i = 0, m = 0, u = 0;
        for (; i + L <= n; i += L) {
            const V x = loadu(v + i);
            uint64_t yes = cut.with ? bits_at_most(x, at) : bits_less(x, at);
            uint64_t no = ~yes & first_lanes(L);
            md column[L / W];
            GR_UNROLL for (int h = 0; h < L / W; h++)
                __builtin_memcpy(&column[h], c + i + h * W, sizeof(md));
            press(v + m, x, yes);
            if (BOTH) press(v2 + u, x, no);
            GR_UNROLL for (int h = 0; h < L / W; h++, yes >>= W, no >>= W) {
                press(c + m, column[h], yes & first_lanes(W)), m += ones(yes & first_lanes(W));
                if (BOTH) press(c2 + u, column[h], no & first_lanes(W));
                if (BOTH) u += ones(no & first_lanes(W));
            }
        }
        for (; i < n; i++) { // one by one: behind the end stand others' values
            const T x = v[i];
            const int64_t k = c[i];
            const bool yes = (x < cut.at) | (cut.with & (x == cut.at));
            if (BOTH) v2[u] = x, c2[u] = k, u += !yes;
            v[m] = x, c[m] = k, m += yes;
        }
        if (BOTH) __builtin_memcpy(v + m, v2, u * sizeof(T));
        if (BOTH) __builtin_memcpy(c + m, c2, u * sizeof(int64_t));
        return m;
    }

    // A value that at least K of n are not above, about the K-th.
    GR_INLINE T kth(const T *v, int n, int64_t K) {
        if (n > 2 * L) return cut_at(v, n, K, K + K / 8).at;
        V most = broadcast(-GR_INF(T));
        for (int i = 0; i < n; i += L) {
            const V x = loadu(v + i);
            I less{};
            for (int k = 0; k < n; k++) less -= broadcast(v[k]) < x;
            most = greater(less < (Z)K ? x : broadcast(-GR_INF(T)), most);
        }
        T r = most[0];
        for (int l = 1; l < L; l++) r = most[l] > r ? most[l] : r;
        return r;
    }
    // ---- sorting --------------------------------------------------------------------------------

    // The places of n values in their order: how many are less, or equal and before.
    GR_INLINE void ranks(const T *v, int n, int32_t *rank) {
        for (int i = 0; i < n; i += L) {
            const V x = loadu(v + i);
            I r{};
            int k = 0;
            for (; k < i; k++) r -= broadcast(v[k]) <= x;
            for (; k < n && k < i + L; k++) {
                const V y = broadcast(v[k]);
                r -= (y < x) | ((y == x) & (iota<T>() > (Z)(k - i)));
            }
            for (; k < n; k++) r -= broadcast(v[k]) < x;
            for (int l = 0; l < L; l++) rank[i + l] = (int32_t)r[l];
        }
    }
    GR_OUTLINE void sort(T *v, int64_t *c, int64_t n, T *v2, int64_t *c2) {
        while (n > FEW) {
            Cut cut = cut_at(v, n, n / 4, n - n / 4);
            const bool equal = cut.count == 0; // the least is so often that it is not to be cut
            cut.with |= equal;
            const int64_t m = part<true>(v, c, n, cut, v2, c2);
            if (!equal) sort(v, c, m, v2, c2);
            v += m, c += m, n -= m;
        }
        int32_t rank[FEW];
        ranks(v, (int)n, rank);
        for (int k = 0; k < n; k++) v2[rank[k]] = v[k], c2[rank[k]] = c[k];
        __builtin_memcpy(v, v2, n * sizeof(T));
        __builtin_memcpy(c, c2, n * sizeof(int64_t));
    }
};

} // namespace gr
#endif
