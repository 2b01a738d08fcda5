#include "kernel.h"

// prod over j of concat(1 + x0 * y1 / p2, cos(take(x0, 1, -1, 2)) * sqrt(p3)), double
namespace gr {
struct kernel_52c406f237d64be7 {
    typedef double T;
    typedef lanes_of<T>::vec V;
    typedef lanes_of<T>::mask I, B;
    typedef gr::Call<T, 4, 1> Call;
    static constexpr int L = lanes_of<T>::count, NP = 3, NR = 4, NC = 2, R = 6, C = GR_REGISTERS >= 32 ? 4 : 2;
    static constexpr int RB = 96, COLUMN_BLOCK = column_block(NC, C, 64);
    static constexpr int SLOT0 = 0, SLOT1 = 1, SLOT2 = 2, SLOT3 = 3;
    struct Lanes { V s0[4]; };
    struct Row { double s0[4]; };
    GR_INLINE int64_t row_bytes(int64_t) { return sizeof(Row); }
    static void pack_parameters(const Call &a, int64_t batch, T *par) {
        const T *x2 = Slot<T>::point(a.slots[SLOT2], batch, 0);
        const T *x3 = Slot<T>::point(a.slots[SLOT3], batch, 0);
        const V t0 = broadcast(x2[(0) * a.slots[SLOT2].step]);
        const V t1 = inv(t0);
        par[0] = (t1)[0];
        GR_UNROLL for (int d2 = 0; d2 < 2; d2++) {
            const V t3 = broadcast(x3[(d2) * a.slots[SLOT3].step]);
            const V t4 = sqrt(t3);
            par[d2 + 1] = (t4)[0];
        }
    }
    static void pack_rows(const Call &a, const T *par, int64_t batch, int64_t first, T *rows) {
        const Points<T, 2> x0(a.slots[SLOT0], batch, first, a.n.M);
        GR_UNROLL for (int d0 = 0; d0 < 2; d0++) {
            const V t1 = x0.component(d0);
            store(rows + (d0) * RB, t1);
        }
        GR_UNROLL for (int d2 = 0; d2 < 2; d2++) {
            const V t3 = x0.component(d2 * -1 + 1);
            const V t4 = cos(t3);
            const V t5 = broadcast(par[d2 + 1]);
            const V t6 = t4 * t5;
            store(rows + (d2 + 2) * RB, t6);
        }
    }
    static void pack_columns(const Call &a, const T *par, int64_t batch, int64_t first, T *columns) {
        const Packed<T, 2> x1(a.slots[SLOT1], batch, first, a.n.N, columns + 0 * L);
    }
    template <int R, int C, bool MASKED>
    GR_INLINE void tile(const T *par, const T *rows, const T *columns, int left,
                        Lanes *lanes, char *states, int64_t row_bytes, int64_t j0,
                        int at) {
        V t1[R][C];
        V t2[R][C];
        GR_TILE {
            t1[r][c] = V{} + T(1.0);
            t2[r][c] = broadcast(par[0]);
        }
        GR_UNROLL for (int d0 = 0; d0 < 2; d0++) {
            {
                V f0[R];
                GR_UNROLL for (int r = 0; r < R; r++) f0[r] = lanes[r].s0[d0];
                GR_TILE {
                    const V t3 = broadcast(rows[(d0) * RB + r]);
                    const V t4 = load(columns + (c * NC + d0) * L);
                    const V t5 = t3 * t4;
                    const V t6 = t5 * t2[r][c];
                    const V t7 = t1[r][c] + t6;
                    const V u0 = f0[r] * t7;
                    if (MASKED) {
                        const B valid = iota<T>() + c * L < left;
                        f0[r] = where(valid, u0, f0[r]);
                    } else {
                        f0[r] = u0;
                    }
                }
                GR_UNROLL for (int r = 0; r < R; r++) lanes[r].s0[d0] = f0[r];
            }
        }
        GR_UNROLL for (int d8 = 0; d8 < 2; d8++) {
            {
                V f0[R];
                GR_UNROLL for (int r = 0; r < R; r++) f0[r] = lanes[r].s0[d8 + 2];
                GR_TILE {
                    const V t9 = broadcast(rows[(d8 + 2) * RB + r]);
                    const V u0 = f0[r] * t9;
                    if (MASKED) {
                        const B valid = iota<T>() + c * L < left;
                        f0[r] = where(valid, u0, f0[r]);
                    } else {
                        f0[r] = u0;
                    }
                }
                GR_UNROLL for (int r = 0; r < R; r++) lanes[r].s0[d8 + 2] = f0[r];
            }
        }
    }
    static void clear(char *state, int64_t) {
        typedef double V, T; typedef int64_t I; typedef bool B;
        Row &row = *(Row *)state;
        for (int e = 0; e < 4; e++) row.s0[e] = V{} + T(1.0);
    }
    GR_INLINE void begin(Lanes &lanes, const char *state) {
        const Row &row = *(const Row *)state;
        (void)row;
        for (int e = 0; e < 4; e++) lanes.s0[e] = V{} + T(1.0);
    }
    GR_INLINE void end(Lanes &lanes, char *state, int64_t j0) {
        Row &row = *(Row *)state;
        for (int e = 0; e < 4; e++) {
            Row one;
            V a0 = lanes.s0[e];
            GR_UNROLL for (int half = L / 2; half > 0; half /= 2) {
                const V b0 = rotate(a0, half);
                const V u0 = a0 * b0;
                a0 = u0;
            }
            one.s0[e] = a0[0];
            merge_one(row, one, e, e);
        }
    }
    static void merge_one(Row &a, const Row &b, int e, int f) {
        typedef double V, T; typedef int64_t I; typedef bool B;
        const V u0 = a.s0[e] * b.s0[e];
        a.s0[e] = u0;
    }
    static void merge_all(Row &a, const Row &b) {
        for (int e = 0; e < 4; e++) merge_one(a, b, e, e);
    }
    static void merge(char *a, char *b) {
        merge_all(*(Row *)a, *(const Row *)b);
    }
    static void finish(const Call &call, char *state, int64_t at) {
        typedef double V, T; typedef int64_t I; typedef bool B;
        const Row &row = *(const Row *)state;
        for (int e = 0; e < 4; e++) {
            ((double *)call.results[0])[at * 4 + e] = row.s0[e];
        }
    }
};
}
extern "C" __attribute__((visibility("default"))) void run_kernel_52c406f237d64be7(const gr::kernel_52c406f237d64be7::Call *call) {
    gr::Driver<gr::kernel_52c406f237d64be7>::run(*call);
}
extern "C" __attribute__((visibility("default"))) void layout_kernel_52c406f237d64be7(gr::Layout *to) {
    typedef gr::kernel_52c406f237d64be7 K;
    *to = gr::Layout{K::L, K::R, K::RB, K::COLUMN_BLOCK * K::L, K::NP * sizeof(K::Call::Scalar) / sizeof(K::T), K::NR, K::NC, sizeof(K::T)};
}
extern "C" __attribute__((visibility("default"))) int64_t scratch_bytes_kernel_52c406f237d64be7(const gr::Sizes *n) {
    return gr::Driver<gr::kernel_52c406f237d64be7>::scratch_bytes(*n);
}
extern "C" __attribute__((visibility("default"))) int64_t row_bytes_kernel_52c406f237d64be7(int64_t K) {
    return gr::kernel_52c406f237d64be7::row_bytes(K);
}
