// The K smallest values of a row and their columns, as tiles of candidates come.
//
// A short list is kept sorted in registers: a value is inserted by moving those above it up by a
// lane, ten instructions and no branch. For more, candidates below the limit are appended to a
// buffer of 2 K by compressing vectors. When it is full, a value that has about K below it is found
// by counting, the others are dropped, and that value is the new limit. Only the K that are left in
// the end are sorted. Of n columns in random order some K log(2 n / K) pass, each at the cost of a
// few instructions; in the worst order, descending, all of them do, each at that same cost.
//
// Of the first tiles not all values are candidates: the least ones of classes of them, many times
// K, are values of different columns, so that the K-th of these minima is a limit.
//
// Equal values stay in the order in which they came, through every step: that is how ties go to
// the lowest column.
#ifndef GEOREDUCE_SMALLEST_H
#define GEOREDUCE_SMALLEST_H

#include "order.h"

namespace gr {

// Lane k of the result is lane k - 1 of v; the first is the last of `before`.
#if defined(__clang__)
template <class V> GR_INLINE V shifted(V before, V v) {
    constexpr int n = sizeof(V) / sizeof v[0];
    V r = v;
    for (int k = 1; k < n; k++) r[k] = v[k - 1];
    r[0] = before[n - 1];
    return r;
}
#else
GR_INLINE mf one_down(vf) { return iota<float>() + (lanes_of<float>::count - 1); }
GR_INLINE md one_down(vd) { return iota<double>() + (lanes_of<double>::count - 1); }
GR_INLINE vf shifted(vf before, vf v) { return __builtin_shuffle(before, v, one_down(v)); }
GR_INLINE vd shifted(vd before, vd v) { return __builtin_shuffle(before, v, one_down(v)); }
GR_INLINE mf shifted(mf before, mf v) { return __builtin_shuffle(before, v, one_down(vf{})); }
GR_INLINE md shifted(md before, md v) { return __builtin_shuffle(before, v, one_down(vd{})); }
#endif

// ---- the list -----------------------------------------------------------------------------------

// A head of 64 bytes, then the values, then the columns of the buffer. The columns of a row come
// in ascending order. Static functions on a list are inlined into the kernel's tile.
template <class T> struct Smallest {
    typedef Order<T> O;
    typedef typename O::V V;
    typedef typename O::I I;
    typedef typename O::Z Z;
    typedef typename O::U U;
    static constexpr int L = O::L;
    static constexpr int OFFERED = 64;                   // values that come between two `settle`
    static constexpr int MOST_TILES = 64;                // a bit for each
    static constexpr int MOST_CLASSES = 32;              // vectors of them
    static constexpr uint64_t FIRST = (uint64_t)1 << 63; // of the tiles
    static constexpr int64_t SPAN = (int64_t)1 << 31;    // of columns that are kept in 32 bits
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
    // In the list; of these, with whole columns; K; from which count on to drop values.
    int64_t count, kept, capacity, full;
    int64_t base; // the columns of those after `kept` are stored in as many bits as T, less this
    int32_t sorted; // vectors of a sorted list, which has no infinities; 0 for a buffer
    int32_t hits;   // for select.h: tiles of the last block in which something passed

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
        capacity = K, full = threshold(K), hits = 1 << 30;
        empty(*this);
    }
    GR_INLINE void empty(Smallest &s) {
        const int64_t K = s.capacity;
        s.count = s.kept = s.base = 0, s.sorted = K > 4 * L ? 0 : K > 2 * L ? 4 : K > L ? 2 : 1;
        for (int n = 0; n < s.sorted; n++) storeu(values(s) + n * L, broadcast(GR_INF(T)));
    }
    // Forget all values but the limit, of columns before those that will come.
    void restart() { empty(*this); }
    // What is in the list, in no order before `compact`. A sorted one becomes a buffer.
    Entries entries() {
        unsort(*this);
        return {values(*this), columns(*this)};
    }
    // Whether `take` of the same vectors may find something (NaN counts, now and then).
    template <int C> GR_INLINE bool hit(const V *x, V limit) {
        V least = x[0];
        GR_UNROLL for (int c = 1; c < C; c++) least = lesser(x[c], least);
        return bits_not_least(least, limit) != 0;
    }
    // Offer tiles of C vectors of values of consecutive columns, those that `hits` has a bit for,
    // the highest for the first. NaN stands where no column is.
    template <int C>
    GR_OUTLINE void take(Smallest &s, const T *x, uint64_t hits, int tiles, int64_t column) {
        static_assert(C * L <= OFFERED, "room for all values and a bit for each");
        if (s.limit != s.limit) limit_first<C>(s, x, hits, tiles);
        if (s.limit != s.limit && s.sorted && infinite(x, tiles * C * L)) unsort(s);
        if (s.count == 0) s.base = column;
        if (sizeof(T) < 8 && column - s.base >= SPAN - 64 * OFFERED) unsort(s), s.base = column;
        if (s.sorted == 1) return insert<C, 1>(s, x, hits, column);
        if (s.sorted == 2) return insert<C, 2>(s, x, hits, column);
        if (s.sorted == 4) return insert<C, 4>(s, x, hits, column);
        each(hits, [&](int t) { offer_tile<C>(s, x + t * C * L, column + t * C * L); });
        if (s.limit == s.limit) set_limit(s, s.limit);
    }
    // Offer all of another list, whose columns are greater.
    static void merge(Smallest &s, Smallest &from) {
        const Entries e = from.entries();
        unsort(s);
        for (int64_t k = 0; k < from.count; k++) {
            if (!(e.values[k] <= s.top)) continue;
            values(s)[s.count] = e.values[k], columns(s)[s.count] = e.columns[k];
            s.kept = ++s.count;
            settle(s);
        }
    }
    // Leave the K smallest, in order.
    void compact() {
        if (sorted) return unsort(*this);
        shrink(*this, capacity);
        T *v = values(*this);
        int64_t *c = columns(*this);
        O::sort(v, c, count, v + count, c + count);
    }

    // ---- offering -------------------------------------------------------------------------------

    // f(t) for every tile with a hit, in order.
    template <class F> GR_INLINE void each(uint64_t hits, F f) {
        while (hits) {
            const int t = __builtin_clzll(hits);
            hits ^= FIRST >> t;
            f(t);
        }
    }
    // Insert into a sorted list of n vectors, in registers, after all that are not greater.
    template <int C, int n>
    GR_INLINE void insert(Smallest &s, const T *x, uint64_t hits, int64_t column) {
        const V top = broadcast(s.top), before = broadcast(-GR_INF(T));
        const Z from = (Z)(column - s.base);
        T *to = values(s);
        U *at = (U *)columns(s);
        V v[n];
        I c[n];
        GR_UNROLL for (int k = 0; k < n; k++) {
            v[k] = loadu(to + k * L);
            __builtin_memcpy(&c[k], at + k * L, sizeof(I));
        }
        int64_t come = s.count;
        each(hits, [&](int t) {
            const T *tile = x + t * C * L;
            uint64_t pass = 0;
            GR_UNROLL for (int k = 0; k < C; k++)
                pass |= bits_at_most(load(tile + k * L), top) << k * L;
            for (; pass; pass &= pass - 1, come++) {
                const int l = __builtin_ctzll(pass);
                const V value = broadcast(tile[l]);
                const I place = I{} + (from + (Z)(t * C * L + l));
                GR_UNROLL for (int k = n - 1; k >= 0; k--) {
                    const V moved = shifted(k ? v[k - 1] : before, v[k]);
                    const I away = shifted(c[k ? k - 1 : 0], c[k]);
                    const I past = moved <= value ? place : away;
                    c[k] = v[k] <= value ? c[k] : past;
                    v[k] = greater(moved, lesser(value, v[k])); // of equal ones the second
                }
            }
        });
        GR_UNROLL for (int k = 0; k < n; k++) {
            storeu(to + k * L, v[k]);
            __builtin_memcpy(at + k * L, &c[k], sizeof(I));
        }
        s.count = come < s.capacity ? come : s.capacity;
        if (come >= s.capacity) set_limit(s, to[s.capacity - 1]);
    }
    // Limit the first values by themselves, inclusively, and leave the hits of what is not above.
    // Without a limit it stays where too many of them are infinite or NaN.
    template <int C>
    GR_INLINE void limit_first(Smallest &s, const T *x, uint64_t &hits, int tiles) {
        int classes = 1; // vectors of them: few enough values of the K least share one
        while (classes * L * 7 < s.capacity * 10) classes *= 2;
        if (classes > tiles || classes > MOST_CLASSES) return;
        V least[MOST_TILES], part[MOST_CLASSES];
        for (int t = 0; t < tiles; t++) {
            V m = broadcast(GR_INF(T));
            GR_UNROLL for (int c = 0; c < C; c++) m = lesser(load(x + (t * C + c) * L), m);
            least[t] = m;
        }
        for (int p = 0; p < classes; p++) {
            V m = least[p];
            for (int t = p + classes; t < tiles; t += classes) m = lesser(m, least[t]);
            part[p] = m;
        }
        T of[(MOST_CLASSES + 1) * L]; // a vector past the end is read
        __builtin_memcpy(of, part, classes * sizeof(V));
        const T at = O::kth(of, classes * L, s.capacity);
        if (!(at < GR_INF(T))) return;
        s.limit = s.top = at;
        hits = 0;
        for (int t = 0; t < tiles; t++)
            hits |= bits_at_most(least[t], broadcast(at)) ? FIRST >> t : 0;
    }
    GR_OUTLINE bool infinite(const T *x, int n) {
        uint64_t some = 0;
        for (int i = 0; i < n; i += L) some |= bits_at_most(broadcast(GR_INF(T)), load(x + i));
        return some != 0;
    }
    GR_INLINE void set_limit(Smallest &s, T at) {
        s.limit = at, s.top = O::value_of(O::key(at) - 1);
        if (s.top == at) s.top = O::value_of(O::key(at) - 2); // from +0 to -0 is no step down
    }
    // Append C vectors of values to the buffer, by compressing them.
    template <int C> GR_INLINE void offer_tile(Smallest &s, const T *x, int64_t column) {
        if (s.count == s.kept) s.base = column;
        else if (__builtin_expect(sizeof(T) < 8 && column - s.base >= SPAN - OFFERED, 0))
            widen(s), s.base = column;
        const V top = broadcast(s.top);
        const I at = iota<T>() + (Z)(column - s.base);
        T *v = values(s) + s.count;
        U *c = fresh(s) + (s.count - s.kept);
        int64_t n = 0;
        GR_UNROLL for (int k = 0; k < C; k++) {
            const V y = load(x + k * L);
            const uint64_t pass = bits_at_most(y, top);
            press(v + n, y, pass), press(c + n, at + k * L, pass), n += ones(pass);
        }
        s.count += n;
        settle(s);
    }
    GR_INLINE void settle(Smallest &s) {
        if (s.count >= s.full) shrink(s, s.capacity + s.capacity / 4);
    }
    // Make a buffer with whole columns of a sorted list too.
    static void unsort(Smallest &s) { widen(s), s.sorted = 0; }
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
        const typename O::Cut cut = O::cut_at(v, s.count, s.capacity, most);
        if (cut.count >= s.capacity) {
            s.count = O::template part<false>(v, c, s.count, cut, v, c);
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
        s.kept = s.count;
        set_limit(s, cut.at);
    }
};

} // namespace gr
#endif
