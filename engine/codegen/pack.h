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

#if defined(__clang__)
#define GR_SHUFFLE(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
#define GR_SHUFFLE(a, b, i, j, k, l) __builtin_shuffle(a, b, (I){i, j, k, l})
#endif

// Four components of four points, from rows of points to rows of components that are L apart.
template <class T, int L> GR_INLINE void transpose4(const T *p, const T *q, const T *r, const T *s, T *to) {
    typedef T V __attribute__((vector_size(4 * sizeof(T))));
    typedef decltype(mask_of<T>{}[0] + 0) S;
    typedef S I __attribute__((vector_size(4 * sizeof(T))));
    V a, b, c, d;
    __builtin_memcpy(&a, p, sizeof(V)), __builtin_memcpy(&b, q, sizeof(V));
    __builtin_memcpy(&c, r, sizeof(V)), __builtin_memcpy(&d, s, sizeof(V));
    const V ab0 = GR_SHUFFLE(a, b, 0, 4, 1, 5), ab1 = GR_SHUFFLE(a, b, 2, 6, 3, 7);
    const V cd0 = GR_SHUFFLE(c, d, 0, 4, 1, 5), cd1 = GR_SHUFFLE(c, d, 2, 6, 3, 7);
    const V k0 = GR_SHUFFLE(ab0, cd0, 0, 1, 4, 5), k1 = GR_SHUFFLE(ab0, cd0, 2, 3, 6, 7);
    const V k2 = GR_SHUFFLE(ab1, cd1, 0, 1, 4, 5), k3 = GR_SHUFFLE(ab1, cd1, 2, 3, 6, 7);
    __builtin_memcpy(to, &k0, sizeof(V)), __builtin_memcpy(to + L, &k1, sizeof(V));
    __builtin_memcpy(to + 2 * L, &k2, sizeof(V)), __builtin_memcpy(to + 3 * L, &k3, sizeof(V));
}

// L consecutive points of a slot, D components each; those past the end repeat the last one.
template <class T, int D> struct Points {
    static constexpr int L = lanes_of<T>::count;
    static constexpr bool STAGED = D <= 1024; // what a thread's stack can hold
    const T *from[L];
    int64_t step;
    alignas(GEOREDUCE_VECTOR_BYTES) T lanes[STAGED ? D * L : L];

    inline __attribute__((always_inline)) void find(const Slot<T> &s, int64_t batch, int64_t first, int64_t end) {
        step = s.step;
        for (int l = 0; l < L; l++) from[l] = Slot<T>::point(s, batch, first + l < end ? first + l : end - 1);
        if constexpr (STAGED) {
            if constexpr (L % 4 == 0 && D >= 4) {
                if (s.step == 1) {
                    for (int k = 0; k < D; k = k + 8 > D && k + 4 < D ? D - 4 : k + 4) // the last four may overlap
                        for (int l = 0; l < L; l += 4)
                            transpose4<T, L>(from[l] + k, from[l + 1] + k, from[l + 2] + k, from[l + 3] + k, lanes + k * L + l);
                    return;
                }
            }
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
