// From lower bounds to results: the few pairs with the least bounds are computed, and shown to be enough or not.
#ifndef GEOREDUCE_EXACT_H
#define GEOREDUCE_EXACT_H

#include "kernel.h"

namespace gr {

// The norms: sums of absolute values, sums of squares, and largest absolute values.
enum Norm { L1 = 1, L2 = 2, LARGEST = 3 };

// Add the terms of components of which this is the difference.
template <Norm N, class V> GR_INLINE V with_term(V total, V difference) {
    if constexpr (N == L2) return total + difference * difference;
    else if constexpr (N == L1) return total + abs(difference);
    else return greater(abs(difference), total); // a NaN never is the largest
}
template <Norm N, class V> GR_INLINE V joined_terms(V a, V b) { return N == LARGEST ? greater(a, b) : a + b; }

// The norm of the difference of two points of D components that lie side by side, in an order of terms that is always the same.
template <Norm N, int D, class T> GR_INLINE T distance(const T *x, const T *y) {
    typedef typename lanes_of<T>::vec V;
    constexpr int L = lanes_of<T>::count;
    const V none = broadcast(N == LARGEST ? -GR_INF(T) : T(0));
    V total[4] = {none, none, none, none};
    int d = 0;
    for (; d + 4 * L <= D; d += 4 * L)
        for (int n = 0; n < 4; n++) total[n] = with_term<N>(total[n], loadu(x + d + n * L) - loadu(y + d + n * L));
    for (; d + L <= D; d += L) total[0] = with_term<N>(total[0], loadu(x + d) - loadu(y + d));
    const V all = joined_terms<N>(joined_terms<N>(total[0], total[1]), joined_terms<N>(total[2], total[3]));
    T sum = N == LARGEST ? all[0] : hsum(all);
    if (N == LARGEST) for (int l = 1; l < L; l++) sum = greater(all[l], sum);
    for (; d < D; d++) sum = with_term<N>(sum, x[d] - y[d]);
    return sum;
}
template <Norm N, int D, class T> GR_INLINE T distance(const T *x, int64_t x_step, const T *y, int64_t y_step) {
    if (x_step == 1 && y_step == 1) return distance<N, D>(x, y);
    T own_x[D], own_y[D];
    for (int d = 0; d < D; d++) own_x[d] = x[d * x_step], own_y[d] = y[d * y_step];
    return distance<N, D>(own_x, own_y);
}

// A row and the columns that it is compared with.
template <Norm N, int D, class T> struct Exact {
    const T *x, *y;
    int64_t x_step, y_stride, y_step;
    template <class Call> Exact(const Call &a, const Slot<T> &rows, const Slot<T> &columns, int64_t row) {
        const int64_t batch = row / a.n.M;
        x = Slot<T>::point(rows, batch, row % a.n.M), y = Slot<T>::point(columns, batch, 0);
        x_step = rows.step, y_stride = columns.stride, y_step = columns.step;
    }
    T value(int64_t j) const { return distance<N, D>(x, x_step, y + j * y_stride, y_step); }
    // Whether the row has a place near the center: not so if it has a NaN, or if sums of such rows may overflow.
    bool known(const T *center) const {
        return distance<N == L2 ? L2 : L1, D>(x, x_step, center, 1) < lanes_of<T>::largest / 16;
    }
    void fetch(int64_t j) const {
        for (int d = 0; d < D; d += 64 / (int)sizeof(T)) __builtin_prefetch(y + j * y_stride + d * y_step);
    }
};

// The K smallest of a row, out of a list of more columns than K with the least bounds. All other columns have a bound
// that is not below the largest in the list, and so a value that is not below F::least_value of that: where the K-th value
// is less, it is shown that these are the K smallest, ties included. Else false.
template <class F, class Call, Norm N, int D, class T>
static bool finish_smallest(const Call &a, const Exact<N, D, T> &exact, const T *par, Smallest<float> &s, T *values, int64_t *indices) {
    const int64_t K = a.n.K;
    s.compact();
    if (s.count < a.n.kept || !exact.known(par)) return false;
    int32_t last;
    __builtin_memcpy(&last, Smallest<float>::values(s) + s.count - 1, sizeof last);
    const bool all = a.n.kept == a.n.N;
    const double least = all ? 0 : F::least_value(last, par);
    static_assert(sizeof(T) <= 2 * sizeof(float), "room for as many values in place of twice as many bounds");
    T *v = (T *)Smallest<float>::values(s);
    int64_t *c = Smallest<float>::columns(s), n = 0;
    constexpr int AHEAD = 4;
    for (int64_t k = 0; k < AHEAD && k < s.count; k++) exact.fetch(c[k]);
    for (int64_t k = 0; k < s.count; k++) {
        if (k + AHEAD < s.count) exact.fetch(c[k + AHEAD]);
        const int64_t j = c[k];
        const T value = exact.value(j);
        if (value != value) continue;
        int64_t p = n++; // in the order of bounds they are nearly in the order of values
        for (; p > 0 && (value < v[p - 1] || (value == v[p - 1] && j < c[p - 1])); p--) v[p] = v[p - 1], c[p] = c[p - 1];
        v[p] = value, c[p] = j;
    }
    if (!all && !(n >= K && v[K - 1] < least)) return false;
    for (int64_t k = 0; k < K; k++) {
        if (values) values[k] = k < n ? v[k] : GR_INF(T);
        if (indices) indices[k] = k < n ? c[k] : -1;
    }
    return true;
}

// The same for the smallest value, from the column with the least bound and the second least bound.
template <class F, class R, Norm N, int D, class T>
static bool finish_least(const Exact<N, D, T> &exact, const T *par, R &r, T *values, int64_t *indices) {
    R::fold(r);
    if (r.j < 0 || !exact.known(par)) return false;
    const T value = exact.value(r.j);
    if (!(value < F::least_value(r.other & ~(R::TAGS - 1), par))) return false;
    if (values) *values = value;
    if (indices) *indices = r.j;
    return true;
}

} // namespace gr
#endif
