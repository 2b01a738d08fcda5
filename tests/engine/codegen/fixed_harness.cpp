// The lower bounds of fixed.h for ctypes: points go in, and their integers and what follows from them come out.
//
// EACH(f) is f(N, D) for every norm and number of components that is compiled for. Points are one after the other.
#include "fixed.h"

using namespace gr;

#if defined(__aarch64__)
static constexpr bool columns_are_arranged = true;
#else
static constexpr bool columns_are_arranged = false;
#endif

template <class S, Norm N, int D> struct Harness {
    typedef Fixed<S, D, N> F;
    static constexpr int L = F::L, P = F::P;
    alignas(GEOREDUCE_VECTOR_BYTES) int32_t rows[(P + 1) * L], columns[(P + 1) * L];

    template <bool ROWS> static void pack(const S *points, int64_t first, int64_t end, const S *par, int32_t *to) {
        static const int64_t one_batch = 0;
        F::template pack<ROWS>({points, D, 1, &one_batch}, 0, first, end, par, to, L);
    }
    // The integers of the components of n points.
    template <bool ROWS> void integers(const S *x, int64_t n, const S *par, int32_t *p) {
        constexpr bool arranged = columns_are_arranged && !ROWS && N == L2, negative = ROWS && N == L2;
        for (int64_t i = 0; i < n; i += L) {
            pack<ROWS>(x, i, n, par, rows);
            const int16_t *packed = (const int16_t *)rows;
            for (int l = 0; l < L && i + l < n; l++)
                for (int k = 0; k < D; k++) {
                    const int at = k / 2 * 2 * L + (arranged ? k % 2 * L + l : 2 * l + k % 2);
                    p[(i + l) * D + k] = negative ? -packed[at] : packed[at];
                }
        }
    }
    // What tiles have for M rows and N columns.
    void distances(const S *x, int64_t m, const S *y, int64_t n, const S *par, int32_t *w) {
        for (int64_t j = 0; j < n; j += L) {
            pack<false>(y, j, n, par, columns);
            for (int64_t i = 0; i < m; i++) {
                if (i % L == 0) pack<true>(x, i, m, par, rows);
                mf v[1][1];
                F::template distances<1, 1, L, P + 1>(rows + i % L, columns, v);
                for (int l = 0; l < L && j + l < n; l++) w[i * n + j + l] = v[0][0][l];
            }
        }
    }
};

template <class S, Norm N, int D> static void least_values(const int32_t *v, int64_t n, const S *par, double *to) {
    for (int64_t k = 0; k < n; k++) to[k] = Fixed<S, D, N>::least_value(v[k], par);
}
// Values as they are computed in the end: of components side by side, and of others.
template <class S, Norm N, int D> static void values(const S *x, int64_t m, const S *y, int64_t n, S *together, S *apart) {
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            together[i * n + j] = distance<N, D>(x + i * D, 1, y + j * D, 1);
            S twice[2 * D];
            for (int k = 0; k < D; k++) twice[2 * k] = y[j * D + k];
            apart[i * n + j] = distance<N, D>(x + i * D, 1, twice, 2);
        }
}

#define EXPORT(N, D, S, NAME)                                                                                          \
    extern "C" void integers_##NAME##_##N##_##D(const S *x, int64_t n, const S *par, int64_t rows, int32_t *p) {       \
        static Harness<S, N, D> h;                                                                                     \
        rows ? h.template integers<true>(x, n, par, p) : h.template integers<false>(x, n, par, p);                     \
    }                                                                                                                  \
    extern "C" void distances_##NAME##_##N##_##D(const S *x, int64_t m, const S *y, int64_t n, const S *par, int32_t *w) { \
        static Harness<S, N, D> h;                                                                                     \
        h.distances(x, m, y, n, par, w);                                                                               \
    }                                                                                                                  \
    extern "C" void least_values_##NAME##_##N##_##D(const int32_t *v, int64_t n, const S *par, double *to) {           \
        least_values<S, N, D>(v, n, par, to);                                                                          \
    }                                                                                                                  \
    extern "C" void values_##NAME##_##N##_##D(const S *x, int64_t m, const S *y, int64_t n, S *together, S *apart) {   \
        values<S, N, D>(x, m, y, n, together, apart);                                                                  \
    }                                                                                                                  \
    extern "C" int64_t shift_##NAME##_##N##_##D() { return Fixed<S, D, N>::SHIFT; }
#define EXPORT_BOTH(N, D) EXPORT(N, D, float, f32) EXPORT(N, D, double, f64)
EACH(EXPORT_BOTH)
extern "C" int64_t bias() { return Fixed<float, 1, L2>::BIAS; }
extern "C" int64_t never() { return Fixed<float, 1, L2>::NEVER; }
extern "C" int64_t always() { return Fixed<float, 1, L2>::ALWAYS; }
