// The lower bounds of fixed.h for ctypes: points go in, and their integers and what follows from them come out.
//
// EACH(f) is f(D) for every number of components that is compiled for. Points are one after the other.
#include "fixed.h"

using namespace gr;

#if defined(__aarch64__)
static constexpr bool columns_are_arranged = true;
#else
static constexpr bool columns_are_arranged = false;
#endif

template <class S, int D> struct Harness {
    typedef Fixed<S, D, L2> F;
    static constexpr int L = F::L, P = F::P;
    alignas(GEOREDUCE_VECTOR_BYTES) int32_t rows[(P + 1) * L], columns[(P + 1) * L];

    template <bool ROWS> static void pack(const S *points, int64_t first, int64_t end, const S *par, int32_t *to) {
        static const int64_t one_batch = 0;
        F::template pack<ROWS>({points, D, 1, &one_batch}, 0, first, end, par, to, L);
    }
    // The integers of the components of n points.
    template <bool ROWS> void integers(const S *x, int64_t n, const S *par, int32_t *p) {
        for (int64_t i = 0; i < n; i += L) {
            pack<ROWS>(x, i, n, par, rows);
            const int16_t *packed = (const int16_t *)rows;
            for (int l = 0; l < L && i + l < n; l++)
                for (int k = 0; k < D; k++) {
                    const int pair = 2 * L * (k / 2), at = columns_are_arranged && !ROWS ? k % 2 * L + l : 2 * l + k % 2;
                    p[(i + l) * D + k] = ROWS ? -packed[pair + at] : packed[pair + at];
                }
        }
    }
    // Half squared distances of M rows and N columns, as a tile has them but for the BIAS.
    void halves(const S *x, int64_t M, const S *y, int64_t N, const S *par, int32_t *w) {
        for (int64_t j = 0; j < N; j += L) {
            pack<false>(y, j, N, par, columns);
            for (int64_t i = 0; i < M; i++) {
                if (i % L == 0) pack<true>(x, i, M, par, rows);
                mf v = load(columns + P * L);
                for (int p = 0; p < P; p++) add_products(v, rows + p * L + i % L, load(columns + p * L));
                for (int l = 0; l < L && j + l < N; l++) w[i * N + j + l] = v[l] + (rows[P * L + i % L] - F::BIAS);
            }
        }
    }
};

template <class S, int D> static void least_values(const int32_t *half, int64_t n, const S *par, double *to) {
    for (int64_t k = 0; k < n; k++) to[k] = Fixed<S, D, L2>::least_value(half[k], par);
}
// Values as they are computed in the end: of components side by side, and of others.
template <class S, int D> static void values(const S *x, int64_t M, const S *y, int64_t N, S *together, S *apart) {
    for (int64_t i = 0; i < M; i++)
        for (int64_t j = 0; j < N; j++) {
            together[i * N + j] = distance<L2, D>(x + i * D, 1, y + j * D, 1);
            S twice[2 * D];
            for (int k = 0; k < D; k++) twice[2 * k] = y[j * D + k];
            apart[i * N + j] = distance<L2, D>(x + i * D, 1, twice, 2);
        }
}

#define EXPORT(D, S, NAME)                                                                                             \
    extern "C" void integers_##NAME##_##D(const S *x, int64_t n, const S *par, int64_t rows, int32_t *p) {             \
        static Harness<S, D> h;                                                                                        \
        rows ? h.template integers<true>(x, n, par, p) : h.template integers<false>(x, n, par, p);                     \
    }                                                                                                                  \
    extern "C" void halves_##NAME##_##D(const S *x, int64_t M, const S *y, int64_t N, const S *par, int32_t *w) {      \
        static Harness<S, D> h;                                                                                        \
        h.halves(x, M, y, N, par, w);                                                                                  \
    }                                                                                                                  \
    extern "C" void least_values_##NAME##_##D(const int32_t *half, int64_t n, const S *par, double *to) {              \
        least_values<S, D>(half, n, par, to);                                                                          \
    }                                                                                                                  \
    extern "C" void values_##NAME##_##D(const S *x, int64_t M, const S *y, int64_t N, S *together, S *apart) {         \
        values<S, D>(x, M, y, N, together, apart);                                                                     \
    }
#define EXPORT_BOTH(D) EXPORT(D, float, f32) EXPORT(D, double, f64)
EACH(EXPORT_BOTH)
extern "C" int64_t never() { return Fixed<float, 1>::NEVER; }
extern "C" double most_f32() { return Fixed<float, 1>::MOST; }
extern "C" double most_f64() { return Fixed<double, 1>::MOST; }
