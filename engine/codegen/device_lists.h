// Lists of the K smallest on a GPU: sorted in registers for few, heaps in memory for many.
//
// Values are offered in the order of columns, so that an equal one that comes later is not smaller. NaN is
// never listed, infinities are: a limit is NaN until the list is full, and what passes is "not at least".
#ifndef GEOREDUCE_DEVICE_LISTS_H
#define GEOREDUCE_DEVICE_LISTS_H

namespace gr {

// Element c of an array in registers, which have no addresses.
template <class T, int C> GR_INLINE T pick(const T (&v)[C], int c) {
    T x = v[0];
    GR_UNROLL for (int k = 1; k < C; k++) x = c == k ? v[k] : x;
    return x;
}

// At most CAP; the first CAP - K places hold -infinity for good, so that the last one is the K-th.
template <class T, int CAP, class J> struct Sorted {
    T value[CAP];
    J column[CAP];

    GR_MEMBER void clear(int64_t K) {
        GR_UNROLL for (int k = 0; k < CAP; k++) {
            value[k] = k < CAP - K ? -GR_INF(T) : GR_NAN(T);
            column[k] = -1;
        }
    }
    GR_MEMBER bool passes(T v) const { return !(v >= value[CAP - 1]); }
    GR_MEMBER void offer(T v, J j) {
        if (!passes(v) || v != v) return;
        GR_UNROLL for (int k = CAP - 1; k > 0; k--) {
            const bool above = !(v >= value[k - 1]), here = !(v >= value[k]);
            column[k] = above ? column[k - 1] : here ? j : column[k];
            value[k] = above ? value[k - 1] : here ? v : value[k];
        }
        if (!(v >= value[0])) value[0] = v, column[0] = j;
    }
    // Of a list whose columns lie anywhere: of equal values the one of the lower column is smaller.
    GR_MEMBER void merge(const Sorted &b) {
        for (int n = 0; n < CAP; n++) {
            const T v = b.value[n];
            const J j = b.column[n];
            if (j < 0) continue;
            for (int k = CAP - 1; k >= 0; k--) {
                const bool here = !(v >= value[k]) || (v == value[k] && j < column[k]);
                const bool above = k > 0 && (!(v >= value[k - 1]) || (v == value[k - 1] && j < column[k - 1]));
                if (!here) break;
                column[k] = above ? column[k - 1] : j;
                value[k] = above ? value[k - 1] : v;
            }
        }
    }
    GR_MEMBER void finish(void *values, void *columns, int64_t at, int64_t K) {
        for (int k = 0; k < CAP; k++) {
            if (k < CAP - K) continue;
            const int64_t to = at * K + (k - (CAP - K));
            if (values) result<T>(values)[to] = column[k] < 0 ? GR_INF(T) : value[k];
            if (columns) result<int64_t>(columns)[to] = column[k];
        }
    }
};
template <class T, int CAP> GR_INLINE Sorted<T, CAP, int64_t> kept_of(const Sorted<T, CAP, int> &list, int64_t j0) {
    Sorted<T, CAP, int64_t> to;
    GR_UNROLL for (int k = 0; k < CAP; k++) {
        to.value[k] = list.value[k];
        to.column[k] = list.column[k] < 0 ? -1 : j0 + list.column[k];
    }
    return to;
}

// Any K: the largest is the root. All columns of all lists come first in memory, then all values, then counts.
template <class T> struct Heap {
    Global<int64_t> column;
    Global<T> value;
    T limit;
    int64_t count, K, j0;

    GR_MEMBER void open(char *states, int64_t lists, int64_t slot, int64_t most, int64_t first, bool exists) {
        K = most, count = 0, j0 = first;
        column = Global<int64_t>((int64_t *)states);
        value = Global<T>((T *)(states + lists * K * 8));
        if (exists) column = column + slot * K, value = value + slot * K;
        limit = exists ? GR_NAN(T) : -GR_INF(T);
    }
    GR_INLINE Global<int64_t> counts(char *states, int64_t lists, int64_t K) {
        return Global<int64_t>((int64_t *)(states + lists * K * 8 + (lists * K * sizeof(T) + 7) / 8 * 8));
    }
    GR_MEMBER bool passes(T v) const { return !(v >= limit); }
    GR_MEMBER void offer(T v, int j) {
        if (passes(v) && v == v) insert(v, j0 + j);
    }
    GR_INLINE bool larger(T a, int64_t ja, T b, int64_t jb) { return a > b || (a == b && ja > jb); }
    GR_MEMBER void insert(T v, int64_t j) {
        limit = inserted(column, value, count, K, v, j);
        if (count < K) count++;
    }
    // Returns the limit.
    GR_INLINE T inserted(Global<int64_t> column, Global<T> value, int64_t count, int64_t K, T v, int64_t j) {
        if (count == K) {
            sink(column, value, v, j, K);
            return value[0];
        }
        int64_t k = count;
        while (k > 0 && larger(v, j, value[(k - 1) / 2], column[(k - 1) / 2])) {
            value[k] = (T)value[(k - 1) / 2], column[k] = (int64_t)column[(k - 1) / 2];
            k = (k - 1) / 2;
        }
        value[k] = v, column[k] = j;
        return count + 1 < K ? GR_NAN(T) : (T)value[0];
    }
    // Put a value in the place of the root of the first n.
    GR_INLINE void sink(Global<int64_t> column, Global<T> value, T v, int64_t j, int64_t n) {
        int64_t k = 0;
        while (2 * k + 1 < n) {
            int64_t child = 2 * k + 1;
            if (child + 1 < n && larger(value[child + 1], column[child + 1], value[child], column[child])) child++;
            if (!larger(value[child], column[child], v, j)) break;
            value[k] = (T)value[child], column[k] = (int64_t)column[child];
            k = child;
        }
        value[k] = v, column[k] = j;
    }
    GR_MEMBER void merge(const Heap &b) {
        for (int64_t n = 0; n < b.count; n++) {
            const T v = b.value[n];
            const int64_t j = b.column[n];
            if (count < K || larger(value[0], column[0], v, j)) insert(v, j);
        }
    }
    GR_MEMBER void finish(void *values, void *columns, int64_t at, int64_t) {
        for (int64_t n = count - 1; n > 0; n--) {
            const T v = value[n];
            const int64_t j = column[n];
            value[n] = (T)value[0], column[n] = (int64_t)column[0];
            sink(column, value, v, j, n);
        }
        for (int64_t k = 0; k < K; k++) {
            const bool exists = k < count;
            if (values) result<T>(values)[at * K + k] = exists ? (T)value[k] : GR_INF(T);
            if (columns) result<int64_t>(columns)[at * K + k] = exists ? (int64_t)column[k] : -1;
        }
    }
};

} // namespace gr
#endif
