// Points of an argument array, turned so that lanes run over points.
#ifndef GEOREDUCE_PACK_H
#define GEOREDUCE_PACK_H

#include "simd.h"

namespace gr {

template <class T> struct Slot {
    const T *data;
    int64_t stride, step;      // between points, between components
    const int64_t *offsets;    // of every batch
    GR_INLINE const T *point(const Slot &s, int64_t batch, int64_t n) { return s.data + s.offsets[batch] + n * s.stride; }
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

// Components k to k + 3 of L points, as four vectors, L apart.
template <class T> GR_INLINE void transpose(const T *const *from, int k, T *to) {
    typedef typename lanes_of<T>::vec V;
    typedef typename lanes_of<T>::mask I;
    constexpr int L = lanes_of<T>::count;
    V row[4];
    for (int q = 0; q < 4; q++) {
        quarter_of<T> part[L / 4];
        for (int g = 0; g < L / 4; g++) __builtin_memcpy(&part[g], from[4 * g + q] + k, sizeof part[g]);
        row[q] = joined(part);
    }
    // in each quarter of the lanes, a matrix of four points by four components is transposed
    const I l = iota<T>(), first = l & ~3, q = l & 3;
    const I low = first + (q >> 1) + (q & 1) * L, pairs = first + (q & 1) + (q >> 1) * L;
    const V a = GR_PICK(V, row[0], row[1], low), b = GR_PICK(V, row[2], row[3], low);
    const V c = GR_PICK(V, row[0], row[1], low + 2), d = GR_PICK(V, row[2], row[3], low + 2);
    store(to, GR_PICK(V, a, b, pairs)), store(to + L, GR_PICK(V, a, b, pairs + 2));
    store(to + 2 * L, GR_PICK(V, c, d, pairs)), store(to + 3 * L, GR_PICK(V, c, d, pairs + 2));
}
#endif

// L consecutive points of a slot, D components each; those past the end repeat the last one.
template <class T, int D> struct Points {
    static constexpr int L = lanes_of<T>::count;
    static constexpr bool STAGED = D <= 1024; // what a thread's stack can hold
    static constexpr int AHEAD = 4; // vectors that are fetched before they are needed
    const T *from[L];
    int64_t step;
    alignas(GEOREDUCE_VECTOR_BYTES) T lanes[STAGED ? D * L : L];

    inline __attribute__((always_inline)) void find(const Slot<T> &s, int64_t batch, int64_t first, int64_t end) {
        step = s.step;
        for (int l = 0; l < L; l++) from[l] = Slot<T>::point(s, batch, first + l < end ? first + l : end - 1);
        if constexpr (STAGED) {
            if (s.step == 1 && s.stride == D) // ahead of the hardware, which stops at the ends of pages
                for (int b = 0; b < D * L; b += 64 / (int)sizeof(T)) __builtin_prefetch(from[0] + AHEAD * L * D + b);
#if GR_TRANSPOSES
            if constexpr (L % 4 == 0 && D >= 4) {
                if (s.step == 1) {
                    for (int k = 0; k < D; k = k + 8 > D && k + 4 < D ? D - 4 : k + 4) // the last four may overlap
                        transpose(from, k, lanes + k * L);
                    return;
                }
            }
#endif
            for (int l = 0; l < L; l++)
                for (int k = 0; k < D; k++) lanes[k * L + l] = from[l][k * s.step];
        }
    }
    // Component k of the points.
    inline __attribute__((always_inline)) typename lanes_of<T>::vec component(int k) const {
        if constexpr (STAGED) return load(lanes + k * L);
        alignas(GEOREDUCE_VECTOR_BYTES) T lane[L];
        for (int l = 0; l < L; l++) lane[l] = from[l][k * step];
        return load(lane);
    }
};

} // namespace gr
#endif
