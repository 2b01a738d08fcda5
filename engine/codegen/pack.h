// Points of an argument array, turned so that lanes run over points.
#ifndef GEOREDUCE_PACK_H
#define GEOREDUCE_PACK_H

#include "simd.h"

namespace gr {

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
// Lane l of the result is lane P::at(l) of a and b, one after the other.
template <int N, int... l> struct Shuffle : Shuffle<N - 1, N - 1, l...> {};
template <int... l> struct Shuffle<0, l...> {
    template <class P, class V> GR_INLINE V pick(V a, V b) { return __builtin_shufflevector(a, b, P::at(l)...); }
};
template <class P, class V> GR_INLINE V pick(V a, V b) {
    return Shuffle<sizeof(V) / sizeof(a[0])>::template pick<P>(a, b);
}
// Of four lanes each: the first (or last) two of a and of b in turn; the first (or last) two of a, and of b.
template <int L, int SECOND> struct Turns {
    static constexpr int at(int l) { return (l & ~3) + ((l & 3) >> 1) + (l & 1) * L + 2 * SECOND; }
};
template <int L, int SECOND> struct Halves {
    static constexpr int at(int l) { return (l & ~3) + (l & 1) + ((l & 3) >> 1) * L + 2 * SECOND; }
};
// Component K of points of D components: from the first two vectors, then also from the third.
template <int L, int D, int K> struct Early {
    static constexpr int at(int l) { return (l * D + K) & (2 * L - 1); }
};
template <int L, int D, int K> struct Late {
    static constexpr int at(int l) { return l * D + K < 2 * L ? l : l * D + K - L; }
};

// Components k to k + 3 of L points, as four vectors, L apart, but for the first SKIP. Point l is at `from(l)`.
template <int SKIP, class T, class F> GR_INLINE void transpose(F from, int k, T *to) {
    typedef typename lanes_of<T>::vec V;
    constexpr int L = lanes_of<T>::count;
    V row[4];
    for (int q = 0; q < 4; q++) {
        quarter_of<T> part[L / 4];
        for (int g = 0; g < L / 4; g++) __builtin_memcpy(&part[g], from(4 * g + q) + k, sizeof part[g]);
        row[q] = joined(part);
    }
    // in each quarter of the lanes, a matrix of four points by four components is transposed
    const V a = pick<Turns<L, 0>>(row[0], row[1]), b = pick<Turns<L, 0>>(row[2], row[3]);
    const V c = pick<Turns<L, 1>>(row[0], row[1]), d = pick<Turns<L, 1>>(row[2], row[3]);
    if (SKIP < 1) store(to, pick<Halves<L, 0>>(a, b));
    if (SKIP < 2) store(to + L, pick<Halves<L, 1>>(a, b));
    if (SKIP < 3) store(to + 2 * L, pick<Halves<L, 0>>(c, d));
    store(to + 3 * L, pick<Halves<L, 1>>(c, d));
}
// All D components: the last four overlap those before where D is no multiple of four.
template <int D, class T, class F> GR_INLINE void transpose_all(F from, T *to) {
    constexpr int L = lanes_of<T>::count;
    for (int k = 0; k + 4 <= D; k += 4) transpose<0>(from, k, to + k * L);
    if constexpr (D % 4 != 0) transpose<4 - D % 4>(from, D - 4, to + (D - 4) * L);
}
// The same of points of at most three components that lie one after the other.
template <int D, int K = 0, class T> GR_INLINE void spread(const T *from, T *to) {
    typedef typename lanes_of<T>::vec V;
    constexpr int L = lanes_of<T>::count;
    V r = loadu(from);
    if constexpr (D > 1) r = pick<Early<L, D, K>>(r, loadu(from + L));
    if constexpr (D > 2) r = pick<Late<L, D, K>>(r, loadu(from + 2 * L));
    store(to + K * L, r);
    if constexpr (K + 1 < D) spread<D, K + 1>(from, to);
}
#endif

// L consecutive points of a slot, D components each, as D vectors; points past the end repeat the last one.
template <int D, class T> GR_OUTLINE void turn(const Slot<T> &s, int64_t batch, int64_t first, int64_t end, T *to) {
    constexpr int L = lanes_of<T>::count, LINE = 64 / (int)sizeof(T);
    constexpr int AHEAD = 32 * 1024 / (int)sizeof(T); // fetched before it is needed, while rows pass over columns
#if GR_TRANSPOSES
    if constexpr (D < 4 || L % 4 == 0) {
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
