// From lower bounds to results: the few pairs with the least bounds are computed, and shown to be enough or not.
#ifndef GEOREDUCE_EXACT_H
#define GEOREDUCE_EXACT_H

#include "kernel.h"

namespace gr {

// Squared distance of two points of D components that lie side by side, in an order of terms that is always the same.
template <int D, class T> GR_INLINE T squared_distance(const T *x, const T *y) {
    typedef typename lanes_of<T>::vec V;
    constexpr int L = lanes_of<T>::count;
    V total[4] = {};
    int d = 0;
    for (; d + 4 * L <= D; d += 4 * L)
        for (int n = 0; n < 4; n++) {
            const V t = loadu(x + d + n * L) - loadu(y + d + n * L);
            total[n] += t * t;
        }
    for (; d + L <= D; d += L) {
        const V t = loadu(x + d) - loadu(y + d);
        total[0] += t * t;
    }
    T sum = hsum((total[0] + total[1]) + (total[2] + total[3]));
    for (; d < D; d++) sum += (x[d] - y[d]) * (x[d] - y[d]);
    return sum;
}
template <int D, class T> GR_INLINE T squared_distance(const T *x, int64_t x_step, const T *y, int64_t y_step) {
    if (x_step == 1 && y_step == 1) return squared_distance<D>(x, y);
    T own_x[D], own_y[D];
    for (int d = 0; d < D; d++) own_x[d] = x[d * x_step], own_y[d] = y[d * y_step];
    return squared_distance<D>(own_x, own_y);
}

// A row and the columns that it is compared with.
template <int D, class T> struct Exact {
    const T *x, *y;
    int64_t x_step, y_stride, y_step;
    template <class Call> Exact(const Call &a, const Slot<T> &rows, const Slot<T> &columns, int64_t row) {
        const int64_t batch = row / a.n.M;
        x = Slot<T>::point(rows, batch, row % a.n.M), y = Slot<T>::point(columns, batch, 0);
        x_step = rows.step, y_stride = columns.stride, y_step = columns.step;
    }
    T value(int64_t j) const { return squared_distance<D>(x, x_step, y + j * y_stride, y_step); }
    T from(const T *center) const { return squared_distance<D>(x, x_step, center, 1); }
    void fetch(int64_t j) const {
        for (int d = 0; d < D; d += 64 / (int)sizeof(T)) __builtin_prefetch(y + j * y_stride + d * y_step);
    }
};

// The K smallest of a row, out of a list of more columns than K with the least bounds. All other columns have a bound
// that is not below the largest in the list, and so a value that is not: where the K-th value is less than that, it is
// shown that these are the K smallest, ties included. Else false.
template <class F, class Call, class T, int D>
static bool finish_smallest(const Call &a, const Exact<D, T> &exact, const T *par, Smallest<float> &s, T *values, int64_t *indices) {
    const int64_t K = a.n.K;
    s.compact();
    if (s.count < a.n.kept || !(exact.from(par) < F::MOST)) return false;
    int32_t last;
    __builtin_memcpy(&last, Smallest<float>::values(s) + s.count - 1, sizeof last);
    const bool all = a.n.kept == a.n.N;
    const double least = all ? 0 : F::least_value(last - F::BIAS, par);
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
template <class F, class R, class T, int D>
static bool finish_least(const Exact<D, T> &exact, const T *par, R &r, T *values, int64_t *indices) {
    R::fold(r);
    if (r.j < 0 || !(exact.from(par) < F::MOST)) return false;
    const T value = exact.value(r.j);
    if (!(value < F::least_value((r.other & ~(R::TAGS - 1)) - F::BIAS, par))) return false;
    if (values) *values = value;
    if (indices) *indices = r.j;
    return true;
}

} // namespace gr
#endif
