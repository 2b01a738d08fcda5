#include "kernel.h"

// logsumexp over j of sum(square(x0 - y1)), float
namespace gr {
struct kernel_6e335d4eb274faf7 {
    typedef float T;
    typedef lanes_of<T>::vec V;
    typedef lanes_of<T>::mask I, B;
    typedef gr::Call<T, 2, 1> Call;
    static constexpr int L = lanes_of<T>::count, NP = 0, NR = 3, NC = 3, R = 2, C = GR_REGISTERS >= 32 ? 4 : 2;
    static constexpr int RB = 128, COLUMN_BLOCK = column_block(NC, C, 64);
    static constexpr int SLOT0 = 0, SLOT1 = 1;
    struct Lanes { V s0[1]; V s1[1]; };
    struct Row { double s0[1]; double s1[1]; };
    GR_INLINE int64_t row_bytes(int64_t) { return sizeof(Row); }
    static void pack_parameters(const Call &a, int64_t batch, T *par) {
    }
    static void pack_rows(const Call &a, const T *par, int64_t batch, int64_t first, T *rows) {
        const Points<T, 3> x0(a.slots[SLOT0], batch, first, a.n.M);
        GR_UNROLL for (int d0 = 0; d0 < 3; d0++) {
            const V t1 = x0.component(d0);
            store(rows + (d0) * RB, t1);
        }
    }
    static void pack_columns(const Call &a, const T *par, int64_t batch, int64_t first, T *columns) {
        const Packed<T, 3> x1(a.slots[SLOT1], batch, first, a.n.N, columns + 0 * L);
    }
    template <int R, int C, bool MASKED>
    GR_INLINE void tile(const T *par, const T *rows, const T *columns, int left,
                        Lanes *lanes, char *states, int64_t row_bytes, int64_t j0,
                        int at) {
        V v[R][C];
        V a0[R][C];
        GR_TILE {
            a0[r][c] = V{} + T(0.0);
        }
        GR_UNROLL for (int d1 = 0; d1 < 3; d1++) {
            GR_TILE {
                const V t2 = broadcast(rows[(d1) * RB + r]);
                const V t3 = load(columns + (c * NC + d1) * L);
                const V t4 = t2 - t3;
                const V t5 = t4 * t4;
                const V t6 = a0[r][c] + t5;
                a0[r][c] = t6;
            }
        }
        GR_TILE {
            v[r][c] = MASKED ? where(iota<T>() + c * L < left, a0[r][c], V{} - GR_INF(T)) : a0[r][c];
        }
        GR_UNROLL for (int r = 0; r < R; r++) {
            V m = lanes[r].s0[0];
            GR_UNROLL for (int c = 0; c < C; c++) {
                const V u0 = greater(v[r][c], m);
                m = u0;
            }
            const V f0 = abs(m);
            const V f1 = V{} + GR_INF(T);
            const B f2 = f0 < f1;
            const V f3 = V{} + T(0.0);
            const V f4 = where(f2, m, f3);
            if (any_less(lanes[r].s0[0], m)) {
                const V scale = exp(lesser(lanes[r].s0[0] - f4, V{}));
                lanes[r].s1[0] *= scale;
                lanes[r].s0[0] = m;
            }
            GR_UNROLL for (int c = 0; c < C; c++) {
                v[r][c] = exp(v[r][c] - f4);
                const V u1_0 = lanes[r].s1[0] + v[r][c];
                if (MASKED) {
                    const B valid = iota<T>() + c * L < left;
                    lanes[r].s1[0] = where(valid, u1_0, lanes[r].s1[0]);
                } else {
                    lanes[r].s1[0] = u1_0;
                }
            }
        }
    }
    static void clear(char *state, int64_t) {
        typedef double V, T; typedef int64_t I; typedef bool B;
        Row &row = *(Row *)state;
        for (int e = 0; e < 1; e++) row.s0[e] = V{} - GR_INF(T);
        for (int e = 0; e < 1; e++) row.s1[e] = V{} + T(0.0);
    }
    GR_INLINE void begin(Lanes &lanes, const char *state) {
        const Row &row = *(const Row *)state;
        (void)row;
        for (int e = 0; e < 1; e++) lanes.s0[e] = V{} + (T)row.s0[e];
        for (int e = 0; e < 1; e++) lanes.s1[e] = V{} + T(0.0);
    }
    GR_INLINE void end(Lanes &lanes, char *state, int64_t j0) {
        Row &row = *(Row *)state;
        for (int e = 0; e < 1; e++) {
            Row one;
            V top = lanes.s0[e];
            GR_UNROLL for (int half = L / 2; half > 0; half /= 2) {
                const V other = rotate(top, half);
                const V u0 = greater(other, top);
                top = u0;
            }
            const V f0 = abs(top);
            const V f1 = V{} + GR_INF(T);
            const B f2 = f0 < f1;
            const V f3 = V{} + T(0.0);
            const V f4 = where(f2, top, f3);
            one.s0[e] = top[0];
            const bool moved = any_less(lanes.s0[e], top);
            const V below = lesser(lanes.s0[e] - f4, V{});
            const V scale = moved ? exp(below) : gr::one<V>();
            one.s1[e] = wide_sum(lanes.s1[e] * scale);
            if (row.s0[e] == one.s0[e]) {
                row.s1[e] += one.s1[e];
            } else {
                merge_one(row, one, e, e);
            }
        }
    }
    static void merge_one(Row &a, const Row &b, int e, int f) {
        typedef double V, T; typedef int64_t I; typedef bool B;
        const V u0 = greater(b.s0[e], a.s0[e]);
        const V u1 = abs(u0);
        const V u2 = V{} + GR_INF(T);
        const B u3 = u1 < u2;
        const V u4 = V{} + T(0.0);
        const V u5 = where(u3, u0, u4);
        const V u6 = a.s0[e] - u5;
        const V u7 = exp(u6);
        const V u8 = a.s1[e] * u7;
        const V u9 = b.s0[e] - u5;
        const V u10 = exp(u9);
        const V u11 = b.s1[e] * u10;
        const V u12 = u8 + u11;
        a.s0[e] = u0;
        a.s1[e] = u12;
    }
    static void merge_all(Row &a, const Row &b) {
        for (int e = 0; e < 1; e++) merge_one(a, b, e, e);
    }
    static void merge(char *a, char *b) {
        merge_all(*(Row *)a, *(const Row *)b);
    }
    static void finish(const Call &call, char *state, int64_t at) {
        typedef double V, T; typedef int64_t I; typedef bool B;
        const Row &row = *(const Row *)state;
        for (int e = 0; e < 1; e++) {
            const V u0 = abs(row.s0[e]);
            const V u1 = V{} + GR_INF(T);
            const B u2 = u0 < u1;
            const V u3 = V{} + T(0.0);
            const V u4 = where(u2, row.s0[e], u3);
            const V u5 = log(row.s1[e]);
            const V u6 = u4 + u5;
            ((float *)call.results[0])[at * 1 + e] = u6;
        }
    }
};
}
extern "C" __attribute__((visibility("default"))) void run_kernel_6e335d4eb274faf7(const gr::kernel_6e335d4eb274faf7::Call *call) {
    gr::Driver<gr::kernel_6e335d4eb274faf7>::run(*call);
}
extern "C" __attribute__((visibility("default"))) void layout_kernel_6e335d4eb274faf7(gr::Layout *to) {
    typedef gr::kernel_6e335d4eb274faf7 K;
    *to = gr::Layout{K::L, K::R, K::RB, K::COLUMN_BLOCK * K::L, K::NP * sizeof(K::Call::Scalar) / sizeof(K::T), K::NR, K::NC, sizeof(K::T)};
}
extern "C" __attribute__((visibility("default"))) int64_t scratch_bytes_kernel_6e335d4eb274faf7(const gr::Sizes *n) {
    return gr::Driver<gr::kernel_6e335d4eb274faf7>::scratch_bytes(*n);
}
extern "C" __attribute__((visibility("default"))) int64_t row_bytes_kernel_6e335d4eb274faf7(int64_t K) {
    return gr::kernel_6e335d4eb274faf7::row_bytes(K);
}
