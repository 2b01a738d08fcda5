// The K smallest values of a row and their columns, as vectors of candidates come.
//
// Candidates below the limit are appended to a buffer of 2 K by compressing vectors. When it is
// full, a value that has about K below it is found by counting, the others are dropped, and that
// value is the new limit. Only the K that are left in the end are sorted. Of n columns in random
// order some K log2(2 n / K) pass, each at the cost of a few instructions whatever K is; in the
// worst order, descending, all of them do, each at that same cost.
//
// Equal values stay in the order in which they came, through every step: that is how ties go to
// the lowest column.
#ifndef GEOREDUCE_SMALLEST_H
#define GEOREDUCE_SMALLEST_H

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

// ---- the list -----------------------------------------------------------------------------------

// A head of 64 bytes, then the values, then the columns of the buffer. The columns of a row come
// in ascending order. Static functions on a list are inlined into the kernel's tile.
template <class T> struct Smallest {
    typedef typename lanes_of<T>::vec V;
    typedef typename lanes_of<T>::mask I;
    typedef typename lanes_of<T>::integer Z;
    typedef decltype(lanes_of<T>::sign + 0) U;             // bits of a T
    static constexpr int L = lanes_of<T>::count;           // values in a vector
    static constexpr int W = lanes_of<double>::count;      // columns in a vector
    static constexpr int OFFERED = 64;                     // values that come between two `settle`
    static constexpr int FEW = 4 * L;                      // sorted by counting
    static constexpr int64_t SPAN = (int64_t)1 << 31;      // of columns that are kept in 32 bits
    static_assert(sizeof(U) == sizeof(T) && sizeof(Z) == sizeof(T), "as wide");
    struct Entry {
        T value;
        int64_t column;
    };
    struct Entries {
        const T *values;
        const int64_t *columns;
        Entry operator[](int64_t k) const { return {values[k], columns[k]}; }
    };

    // At least K values that came are below the limit or equal to it, so that no other that is not
    // below can be among the K smallest; NaN before that is so. `top` is the largest value that is
    // below: infinity before that, since infinities are values like others.
    T limit, top;
    // In the buffer; of these, with whole columns; K; from which count on to drop values.
    int64_t count, kept, capacity, full;
    int64_t base; // the columns of those after `kept` are stored in as many bits as T, less this

    GR_INLINE int64_t threshold(int64_t K) { return K + (K > 8 ? K : 8); }
    GR_INLINE int64_t room(int64_t K) { return (threshold(K) + OFFERED + 2 * L + 15) / 16 * 16; }
    // An odd number of cache lines: the limits of many rows are not to meet in a set of the cache.
    GR_INLINE int64_t bytes(int64_t K) {
        static_assert(sizeof(Smallest) <= 64, "the head");
        return ((64 + room(K) * (int64_t)(sizeof(T) + sizeof(int64_t)) + 63) / 64 | 1) * 64;
    }
    GR_INLINE T *values(Smallest &s) { return (T *)((char *)&s + 64); }
    GR_INLINE int64_t *columns(Smallest &s) { return (int64_t *)(values(s) + room(s.capacity)); }
    GR_INLINE U *fresh(Smallest &s) { return (U *)(columns(s) + s.kept); }

    void clear(int64_t K) {
        limit = GR_NAN(T), top = GR_INF(T);
        count = kept = base = 0, capacity = K, full = threshold(K);
    }
    // Forget all values but the limit, of columns before those that will come.
    void restart() { count = kept = base = 0; }
    // What is in the buffer, in no order before `compact`.
    Entries entries() {
        widen(*this);
        return {values(*this), columns(*this)};
    }
    // Whether `offer_tile` of the same vectors may find something (NaN counts, now and then).
    template <int C> GR_INLINE uint64_t any_to_offer(const Smallest &s, const V *x) {
        V least = x[0];
        GR_UNROLL for (int c = 1; c < C; c++) least = lesser(x[c], least);
        return bits_not_least(least, broadcast(s.limit));
    }
    // Offer C vectors of values of consecutive columns, those that `lanes` has a bit for.
    template <int C>
    GR_INLINE void offer_tile(Smallest &s, const V *x, uint64_t lanes, int64_t column) {
        static_assert(C * L <= OFFERED, "room for all values and a bit for each");
        if (C == 1) return offer_vector(s, x[0], lanes, column); // at the end of a row
        start(s, column);
        const V top = broadcast(s.top);
        const I at = iota<T>() + (Z)(column - s.base);
        T *v = values(s) + s.count;
        U *c = fresh(s) + (s.count - s.kept);
        int64_t n = 0;
        GR_UNROLL for (int k = 0; k < C; k++) {
            const uint64_t pass = bits_at_most(x[k], top) & lanes >> k * L;
            press(v + n, x[k], pass), press(c + n, at + k * L, pass), n += ones(pass);
        }
        s.count += n;
        settle(s);
    }
    GR_OUTLINE void offer_vector(Smallest &s, V x, uint64_t lanes, int64_t column) {
        start(s, column);
        append(s, x, lanes, column);
        settle(s);
    }
    GR_INLINE void offer(Smallest &s, T x, int64_t column) {
        if (!(x <= s.top)) return;
        start(s, column);
        values(s)[s.count] = x, fresh(s)[s.count - s.kept] = (U)(column - s.base), s.count++;
        settle(s);
    }
    // Offer all of another list, whose columns are greater.
    static void merge(Smallest &s, Smallest &from) {
        const Entries e = from.entries();
        widen(s);
        for (int64_t k = 0; k < from.count; k++) {
            if (!(e.values[k] <= s.top)) continue;
            values(s)[s.count] = e.values[k], columns(s)[s.count] = e.columns[k];
            s.kept = ++s.count;
            settle(s);
        }
    }
    // Leave the K smallest, in order.
    void compact() {
        shrink(*this, capacity);
        T *v = values(*this);
        int64_t *c = columns(*this);
        sort(v, c, count, v + count, c + count);
    }

    // ---- in steps: `start` with the first column, `append` at most OFFERED values, `settle` ------

    GR_INLINE void start(Smallest &s, int64_t column) {
        if (s.count == s.kept) s.base = column;
        else if (__builtin_expect(sizeof(T) < 8 && column - s.base >= SPAN - OFFERED, 0))
            widen(s), s.base = column;
    }
    GR_INLINE void append(Smallest &s, V x, uint64_t lanes, int64_t column) {
        lanes &= bits_at_most(x, broadcast(s.top));
        press(values(s) + s.count, x, lanes);
        press(fresh(s) + (s.count - s.kept), iota<T>() + (Z)(column - s.base), lanes);
        s.count += ones(lanes);
    }
    GR_INLINE void settle(Smallest &s) {
        if (s.count >= s.full) shrink(s, s.capacity + s.capacity / 4);
    }
    // Make whole columns of those stored less the base: in place, so from the last on.
    static void widen(Smallest &s) {
        int64_t *to = columns(s) + s.kept;
        const U *from = fresh(s);
        for (int64_t k = (s.count - s.kept + L - 1) / L * L; k > 0; k -= L) {
            U x[L];
            int64_t y[L];
            __builtin_memcpy(x, from + k - L, sizeof x);
            for (int l = 0; l < L; l++) y[l] = s.base + (int64_t)x[l];
            __builtin_memcpy(to + k - L, y, sizeof y);
        }
        s.kept = s.count;
    }

    // ---- dropping -------------------------------------------------------------------------------

    // Drop the largest until at most `most` >= K are left, and at least K.
    GR_OUTLINE void shrink(Smallest &s, int64_t most) {
        widen(s);
        if (s.count <= most) return;
        T *v = values(s);
        int64_t *c = columns(s);
        const Cut cut = cut_at(v, s.count, s.capacity, most);
        if (cut.count >= s.capacity) {
            s.count = part<false>(v, c, s.count, cut, v, c);
        } else { // of the equal ones the first
            int64_t n = 0, ties = s.capacity - cut.count;
            for (int64_t k = 0; k < s.count; k++) {
                const T x = v[k];
                const bool tie = (x == cut.at) & (ties > 0);
                v[n] = x, c[n] = c[k];
                ties -= tie, n += tie | (x < cut.at);
            }
            s.count = n;
        }
        s.kept = s.count, s.limit = cut.at, s.top = value_of(key(cut.at) - 1);
        if (s.top == s.limit) s.top = value_of(key(cut.at) - 2); // from +0 to -0 is no step down
    }

    // Those of n values that are less than `at`, or equal to it if `with`.
    struct Cut {
        T at;
        bool with;
        int64_t count;
    };
    template <class P> GR_INLINE int64_t number(const T *v, int64_t n, P pass) {
        I total{};
        int64_t i = 0;
        for (; i + L <= n; i += L) total -= (I)pass(loadu(v + i));
        total -= (I)pass(loadu(v + i)) & (iota<T>() < (Z)(n - i));
        int64_t r = 0;
        for (int l = 0; l < L; l++) r += total[l];
        return r;
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
            const int64_t below = number(v, n, [=](V y) { return y < x; });
            if (below > hi) {
                last = key(at);
                while (p < L && p >= 0 && key(steps[p]) >= last) p--;
                if (p < 0) steps[p = 0] = least(v, n);
            } else if (below >= lo) {
                return {at, false, below};
            } else {
                const int64_t upto = number(v, n, [=](V y) { return y <= x; });
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
