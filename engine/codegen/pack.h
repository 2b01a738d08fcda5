// Points of an argument array, turned so that lanes run over points.
#ifndef GEOREDUCE_PACK_H
#define GEOREDUCE_PACK_H

#include "simd.h"

namespace gr {

#define GR_METHOD inline __attribute__((always_inline))

#define GR_METHOD inline __attribute__((always_inline))

template <class T> struct Slot {
    const T *data;
    int64_t stride, step;      // between points, between components
    const int64_t *offsets;    // of every batch
    GR_INLINE const T *point(const Slot &s, int64_t batch, int64_t n) { return s.data + s.offsets[batch] + n * s.stride; }
    // L points from `n` on; those past the end repeat the last one.
    GR_INLINE void points(const Slot &s, int64_t batch, int64_t n, int64_t end, const T **to) {
        for (int l = 0; l < lanes_of<T>::count; l++, n++) to[l] = point(s, batch, n < end ? n : end - 1);
    }
};

#if defined(__clang__) || __GNUC__ >= 12
#define GR_TRANSPOSES 1
template <class T> struct quarter { // four components of a point
    typedef T type __attribute__((vector_size(4 * sizeof(T))));
};
template <class T> using quarter_of = typename quarter<T>::type;

GR_INLINE vf joined(const quarter_of<float> *p) {
#if GEOREDUCE_VECTOR_BYTES == 16
    return p[0];
#else
    typedef float H __attribute__((vector_size(32)));
    const H h = __builtin_shufflevector(p[0], p[1], 0, 1, 2, 3, 4, 5, 6, 7);
#if GEOREDUCE_VECTOR_BYTES == 32
    return h;
#else
    const H g = __builtin_shufflevector(p[2], p[3], 0, 1, 2, 3, 4, 5, 6, 7);
    return __builtin_shufflevector(h, g, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#endif
#endif
}
#if GEOREDUCE_VECTOR_BYTES >= 32
GR_INLINE vd joined(const quarter_of<double> *p) {
#if GEOREDUCE_VECTOR_BYTES == 32
    return p[0];
#else
    return __builtin_shufflevector(p[0], p[1], 0, 1, 2, 3, 4, 5, 6, 7);
#endif
}
#endif
#if defined(__clang__) // shuffles want constants there, which differ with the width
#define GR_PICK(V, a, b, i) picked<V>(a, b, i)
template <class V, class I> GR_INLINE V picked(V a, V b, I i) {
    constexpr int L = sizeof(V) / sizeof(scalar_of<V>);
    V r;
    for (int l = 0; l < L; l++) r[l] = i[l] < L ? a[i[l]] : b[i[l] - L];
    return r;
}
#else
#define GR_PICK(V, a, b, i) __builtin_shuffle(a, b, i)
#endif

// Components k to k + 3 of L points, as four vectors, L apart, but for the first SKIP. Point l is at `from(l)`.
template <int SKIP, class T, class F> GR_INLINE void transpose(F from, int k, T *to) {
    typedef typename lanes_of<T>::vec V;
    typedef typename lanes_of<T>::mask I;
    constexpr int L = lanes_of<T>::count;
    V row[4];
    for (int q = 0; q < 4; q++) {
        quarter_of<T> part[L / 4];
        for (int g = 0; g < L / 4; g++) __builtin_memcpy(&part[g], from(4 * g + q) + k, sizeof part[g]);
        row[q] = joined(part);
    }
    // in each quarter of the lanes, a matrix of four points by four components is transposed
    const I l = iota<T>(), first = l & ~3, q = l & 3;
    const I low = first + (q >> 1) + (q & 1) * L, pairs = first + (q & 1) + (q >> 1) * L;
    const V a = GR_PICK(V, row[0], row[1], low), b = GR_PICK(V, row[2], row[3], low);
    const V c = GR_PICK(V, row[0], row[1], low + 2), d = GR_PICK(V, row[2], row[3], low + 2);
    if (SKIP < 1) store(to, GR_PICK(V, a, b, pairs));
    if (SKIP < 2) store(to + L, GR_PICK(V, a, b, pairs + 2));
    if (SKIP < 3) store(to + 2 * L, GR_PICK(V, c, d, pairs));
    store(to + 3 * L, GR_PICK(V, c, d, pairs + 2));
}
// All D components: the last four overlap those before where D is no multiple of four.
template <int D, class T, class F> GR_INLINE void transpose_all(F from, T *to) {
    constexpr int L = lanes_of<T>::count;
    for (int k = 0; k + 4 <= D; k += 4) transpose<0>(from, k, to + k * L);
    if constexpr (D % 4 != 0) transpose<4 - D % 4>(from, D - 4, to + (D - 4) * L);
}
// The same of points of at most three components that lie one after the other.
template <int D, class T> GR_INLINE void spread(const T *from, T *to) {
    typedef typename lanes_of<T>::vec V;
    typedef typename lanes_of<T>::mask I;
    constexpr int L = lanes_of<T>::count;
    V all[D];
    for (int n = 0; n < D; n++) all[n] = loadu(from + n * L);
    for (int k = 0; k < D; k++) {
        const I at = iota<T>() * D + k; // among all of them
        V r = all[0];
        if constexpr (D > 1) r = GR_PICK(V, r, all[1], at & (2 * L - 1));
        if constexpr (D > 2) r = GR_PICK(V, r, all[2], where(at < 2 * L, iota<T>(), at - L));
        store(to + k * L, r);
    }
}
#endif

// L consecutive points of a slot, D components each, as D vectors; points past the end repeat the last one.
template <int D, class T> GR_OUTLINE void turn(const Slot<T> &s, int64_t batch, int64_t first, int64_t end, T *to) {
    constexpr int L = lanes_of<T>::count, LINE = 64 / (int)sizeof(T);
    constexpr int AHEAD = 32 * 1024 / (int)sizeof(T); // fetched before it is needed, while rows pass over columns
#if GR_TRANSPOSES
    if constexpr (L % 4 == 0) {
        if (s.step == 1 && s.stride == D && first + L <= end) {
            const T *from = Slot<T>::point(s, batch, first);
            for (int b = 0; b < D * L; b += LINE) __builtin_prefetch(from + AHEAD + b, 0, 2);
            if constexpr (D < 4) spread<D>(from, to);
            else transpose_all<D>([=](int l) { return from + l * D; }, to);
            return;
        }
    }
#endif
    const T *from[L];
    Slot<T>::points(s, batch, first, end, from);
#if GR_TRANSPOSES
    if constexpr (L % 4 == 0 && D >= 4) {
        if (s.step == 1) return transpose_all<D>([&](int l) { return from[l]; }, to);
    }
#endif
    for (int l = 0; l < L; l++)
        for (int k = 0; k < D; k++) to[k * L + l] = from[l][k * s.step];
}

// L consecutive points of a slot where they are packed as they are.
template <class T, int D> struct Packed {
    static constexpr int L = lanes_of<T>::count;
    const T *lanes;
    GR_METHOD Packed(const Slot<T> &s, int64_t batch, int64_t first, int64_t end, T *to) : lanes(to) {
        turn<D>(s, batch, first, end, to);
    }
    GR_METHOD typename lanes_of<T>::vec component(int k) const { return load(lanes + k * L); }
};
// The same where something else is computed from them.
template <class T, int D> struct Points {
    static constexpr int L = lanes_of<T>::count;
    static constexpr bool STAGED = D <= 1024; // what a thread's stack can hold
    const T *from[STAGED ? 1 : L];
    int64_t step;
    alignas(GEOREDUCE_VECTOR_BYTES) T lanes[STAGED ? D * L : L];

    GR_METHOD Points(const Slot<T> &s, int64_t batch, int64_t first, int64_t end) {
        if constexpr (STAGED) {
            turn<D>(s, batch, first, end, lanes);
        } else {
            step = s.step;
            Slot<T>::points(s, batch, first, end, from);
        }
    }
    GR_METHOD typename lanes_of<T>::vec component(int k) const {
        if constexpr (STAGED) return load(lanes + k * L);
        alignas(GEOREDUCE_VECTOR_BYTES) T lane[L];
        for (int l = 0; l < L; l++) lane[l] = from[l][k * step];
        return load(lane);
    }
};
#undef GR_METHOD

} // namespace gr
#endif
