// The K smallest values of a row and their columns, as vectors of candidates come.
#ifndef GEOREDUCE_SMALLEST_H
#define GEOREDUCE_SMALLEST_H

#include "simd.h"

namespace gr {

// One bit for each lane where a >= b does not hold: all of them where b is NaN.
#if GR_AVX512
GR_INLINE uint64_t bits_not_least(vf a, vf b) { return (uint16_t)__builtin_ia32_cmpps512_mask(a, b, 25, (uint16_t)-1, 4); }
GR_INLINE uint64_t bits_not_least(vd a, vd b) { return (uint8_t)__builtin_ia32_cmppd512_mask(a, b, 25, (uint8_t)-1, 4); }
#else
GR_INLINE uint64_t bits_not_least(vf a, vf b) { return bits((mf)~(a >= b)); }
GR_INLINE uint64_t bits_not_least(vd a, vd b) { return bits((md)~(a >= b)); }
#endif

// The K smallest values of a row and their columns, ordered by value, then by column. A small K is kept in order by
// insertion. For a large one candidates are appended, and when the room is used up the K smallest are sorted to the
// front. `limit` is the K-th, as of the last time that they were in order, and NaN before there were K: comparing with
// it lets through all that could be among them. Columns come in ascending order.
template <class T> struct Smallest {
    struct Entry {
        T value;
        int64_t column;
        bool operator<(const Entry &b) const { return value < b.value || (value == b.value && column < b.column); }
    };
    T limit;
    int64_t count, capacity;
    static constexpr int INSERTION = 64; // largest K that is kept by insertion
    GR_INLINE int64_t room(int64_t K) { return K <= INSERTION ? K : 2 * K; }
    GR_INLINE int64_t bytes(int64_t K) { return (sizeof(Smallest) + room(K) * sizeof(Entry) + 63) / 64 * 64; }
    Entry *entries() { return (Entry *)((char *)this + (sizeof(Smallest) + 15) / 16 * 16); }
    void clear(int64_t K) { limit = GR_NAN(T), count = 0, capacity = K; }
    GR_INLINE void swap(Entry &a, Entry &b) {
        Entry t = a;
        a = b, b = t;
    }
    // Sort entries `lo` to `hi` - 1 as far as the first K need it.
    static void order(Entry *e, int64_t lo, int64_t hi, int64_t K) {
        while (hi - lo > 16) {
            int64_t middle = lo + (hi - lo) / 2, i = lo, j = hi - 1;
            if (e[middle] < e[lo]) swap(e[middle], e[lo]);
            if (e[hi - 1] < e[middle]) swap(e[hi - 1], e[middle]);
            if (e[middle] < e[lo]) swap(e[middle], e[lo]);
            const Entry pivot = e[middle];
            while (i <= j) {
                while (e[i] < pivot) i++;
                while (pivot < e[j]) j--;
                if (i <= j) swap(e[i++], e[j--]);
            }
            // [lo, j] <= pivot <= [i, hi): the shorter side by recursion, so that its depth is logarithmic
            if (i >= K) hi = j + 1;
            else if (j + 1 - lo < hi - i) order(e, lo, j + 1, K), lo = i;
            else order(e, i, hi, K), hi = j + 1;
        }
        for (int64_t i = lo + 1; i < hi; i++) {
            const Entry x = e[i];
            int64_t p = i;
            for (; p > lo && x < e[p - 1]; p--) e[p] = e[p - 1];
            e[p] = x;
        }
    }
    void compact() {
        if (capacity <= INSERTION) return;
        order(entries(), 0, count, capacity);
        if (count >= capacity) count = capacity, limit = entries()[capacity - 1].value;
    }
    GR_INLINE void offer(Smallest &s, T x, int64_t column) {
        if (x != x || x >= s.limit) return;
        Entry *e = s.entries();
        if (s.capacity > INSERTION) {
            e[s.count++] = {x, column};
            if (s.count == room(s.capacity)) s.compact();
            return;
        }
        int64_t p = s.count < s.capacity ? s.count++ : s.capacity - 1;
        for (; p > 0 && e[p - 1].value > x; p--) e[p] = e[p - 1];
        e[p] = {x, column};
        if (s.count == s.capacity) s.limit = e[s.count - 1].value;
    }
};
// Offer the values whose bit is set, of consecutive columns.
template <class T> static __attribute__((noinline)) void offer_all(Smallest<T> &row, const T *values, uint64_t hits, int64_t column) {
    for (; hits; hits &= hits - 1) {
        int n = __builtin_ctzll(hits);
        Smallest<T>::offer(row, values[n], column + n);
    }
}
// A bit for each of the first `n` lanes.
GR_INLINE uint64_t first_lanes(int n) { return n >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1; }

} // namespace gr
#endif
