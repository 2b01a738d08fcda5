#include "kernel.h"

// sum over j of exp(-(sum(square(x0 - y1)) / p2)) * take(y1, 0, 1, 2), double
namespace gr {
struct kernel_03a4117391541f2c {
    typedef double T;
    typedef lanes_of<T>::vec V;
    typedef lanes_of<T>::mask I, B;
    typedef gr::Call<T, 3, 1> Call;
    static constexpr int L = lanes_of<T>::count, NP = 1, NR = 10, NC = 10, R = 2, C = GR_REGISTERS >= 32 ? 4 : 2;
    static constexpr int RB = 128, COLUMN_BLOCK = column_block(NC, C, 64);
    static constexpr int SLOT0 = 0, SLOT1 = 1, SLOT2 = 2;
    struct Lanes { V s0[2]; };
    struct Row { double s0[2]; };
    GR_INLINE int64_t row_bytes(int64_t) { return sizeof(Row); }
    static void pack_parameters(const Call &a, int64_t batch, T *par) {
        const T *x2 = Slot<T>::point(a.slots[SLOT2], batch, 0);
        const V t0 = broadcast(x2[(0) * a.slots[SLOT2].step]);
        const V t1 = inv(t0);
        par[0] = (t1)[0];
    }
    static void pack_rows(const Call &a, const T *par, int64_t batch, int64_t first, T *rows) {
        const Points<T, 10> x0(a.slots[SLOT0], batch, first, a.n.M);
        for (int d0 = 0; d0 < 10; d0++) {
            const V t1 = x0.component(d0);
            store(rows + (d0) * RB, t1);
        }
    }
    static void pack_columns(const Call &a, const T *par, int64_t batch, int64_t first, T *columns) {
        const Packed<T, 10> x1(a.slots[SLOT1], batch, first, a.n.N, columns + 0 * L);
    }
    template <int R, int C, bool MASKED>
    GR_INLINE void tile(const T *par, const T *rows, const T *columns, int left,
                        Lanes *lanes, char *states, int64_t row_bytes, int64_t j0,
                        int at) {
        V a1[R][C];
        V t11[R][C];
        GR_TILE {
            a1[r][c] = V{} + T(0.0);
        }
        GR_UNROLL for (int d2 = 0; d2 < 10; d2++) {
            GR_TILE {
                const V t3 = broadcast(rows[(d2) * RB + r]);
                const V t4 = load(columns + (c * NC + d2) * L);
                const V t5 = t3 - t4;
                const V t6 = t5 * t5;
                const V t7 = a1[r][c] + t6;
                a1[r][c] = t7;
            }
        }
        GR_TILE {
            const V t8 = broadcast(par[0]);
            const V t9 = a1[r][c] * t8;
            const V t10 = -t9;
            t11[r][c] = exp(t10);
        }
        GR_UNROLL for (int d0 = 0; d0 < 2; d0++) {
            {
                V f0[R];
                GR_UNROLL for (int r = 0; r < R; r++) f0[r] = lanes[r].s0[d0];
                GR_TILE {
                    const V t12 = load(columns + (c * NC + d0) * L);
                    const V t13 = t11[r][c] * t12;
                    const V u0 = f0[r] + t13;
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
    }
    static void clear(char *state, int64_t) {
        typedef double V, T; typedef int64_t I; typedef bool B;
        Row &row = *(Row *)state;
        for (int e = 0; e < 2; e++) row.s0[e] = V{} + T(0.0);
    }
    GR_INLINE void begin(Lanes &lanes, const char *state) {
        const Row &row = *(const Row *)state;
        (void)row;
        for (int e = 0; e < 2; e++) lanes.s0[e] = V{} + T(0.0);
    }
    GR_INLINE void end(Lanes &lanes, char *state, int64_t j0) {
        Row &row = *(Row *)state;
        for (int e = 0; e < 2; e++) {
            Row one;
            one.s0[e] = wide_sum(lanes.s0[e]);
            merge_one(row, one, e, e);
        }
    }
    static void merge_one(Row &a, const Row &b, int e, int f) {
        typedef double V, T; typedef int64_t I; typedef bool B;
        const V u0 = a.s0[e] + b.s0[e];
        a.s0[e] = u0;
    }
    static void merge_all(Row &a, const Row &b) {
        for (int e = 0; e < 2; e++) merge_one(a, b, e, e);
    }
    static void merge(char *a, char *b) {
        merge_all(*(Row *)a, *(const Row *)b);
    }
    static void finish(const Call &call, char *state, int64_t at) {
        typedef double V, T; typedef int64_t I; typedef bool B;
        const Row &row = *(const Row *)state;
        for (int e = 0; e < 2; e++) {
            ((double *)call.results[0])[at * 2 + e] = row.s0[e];
        }
    }
};
}
extern "C" __attribute__((visibility("default"))) void run_kernel_03a4117391541f2c(const gr::kernel_03a4117391541f2c::Call *call) {
    gr::Driver<gr::kernel_03a4117391541f2c>::run(*call);
}
extern "C" __attribute__((visibility("default"))) void layout_kernel_03a4117391541f2c(gr::Layout *to) {
    typedef gr::kernel_03a4117391541f2c K;
    *to = gr::Layout{K::L, K::R, K::RB, K::COLUMN_BLOCK * K::L, K::NP * sizeof(K::Call::Scalar) / sizeof(K::T), K::NR, K::NC, sizeof(K::T)};
}
extern "C" __attribute__((visibility("default"))) int64_t scratch_bytes_kernel_03a4117391541f2c(const gr::Sizes *n) {
    return gr::Driver<gr::kernel_03a4117391541f2c>::scratch_bytes(*n);
}
extern "C" __attribute__((visibility("default"))) int64_t row_bytes_kernel_03a4117391541f2c(int64_t K) {
    return gr::kernel_03a4117391541f2c::row_bytes(K);
}
