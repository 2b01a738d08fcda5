#include "kernel.h"

// argmin over j of sum(abs(x0 - y1)), double
namespace gr {
struct kernel_39b506642516fa7a {
    typedef double T;
    typedef lanes_of<T>::vec V;
    typedef lanes_of<T>::mask I, B;
    typedef gr::Call<T, 2, 1> Call;
    static constexpr int L = lanes_of<T>::count, NP = 0, NR = 5, NC = 5, R = 6, C = GR_REGISTERS >= 32 ? 4 : 2;
    static constexpr int RB = 96, COLUMN_BLOCK = column_block(NC, C, 64);
    static constexpr int SLOT0 = 0, SLOT1 = 1;
    struct Lanes { V s0[1]; I s1[1]; };
    struct Row { double s0[1]; int64_t s1[1]; };
    GR_INLINE int64_t row_bytes(int64_t) { return sizeof(Row); }
    static void pack_parameters(const Call &a, int64_t batch, T *par) {
    }
    static void pack_rows(const Call &a, const T *par, int64_t batch, int64_t first, T *rows) {
        const Points<T, 5> x0(a.slots[SLOT0], batch, first, a.n.M);
        GR_UNROLL for (int d0 = 0; d0 < 5; d0++) {
            const V t1 = x0.component(d0);
            store(rows + (d0) * RB, t1);
        }
    }
    static void pack_columns(const Call &a, const T *par, int64_t batch, int64_t first, T *columns) {
        const Packed<T, 5> x1(a.slots[SLOT1], batch, first, a.n.N, columns + 0 * L);
    }
    template <int R, int C, bool MASKED>
    GR_INLINE void tile(const T *par, const T *rows, const T *columns, int left,
                        Lanes *lanes, char *states, int64_t row_bytes, int64_t j0,
                        int at) {
        V a0[R][C];
        const V unit = hidden_one<V>();
        GR_TILE {
            a0[r][c] = V{} + T(0.0);
        }
        for (int d1 = 0; d1 < 5; d1++) {
            GR_TILE {
                const V t2 = broadcast(rows[(d1) * RB + r]);
                const V t3 = load(columns + (c * NC + d1) * L);
                const V t4 = t2 - t3;
                const V t5 = abs(t4);
                const V t6 = add_as_product(a0[r][c], t5, unit);
                a0[r][c] = t6;
            }
        }
        {
            V f0[R];
            GR_UNROLL for (int r = 0; r < R; r++) f0[r] = lanes[r].s0[0];
            I f1[R];
            GR_UNROLL for (int r = 0; r < R; r++) f1[r] = lanes[r].s1[0];
            GR_TILE {
                const I j = iota<T>() + (at + c * L);
                const V u0 = lesser(a0[r][c], f0[r]);
                const B u1 = a0[r][c] < f0[r];
                const I u2 = where(u1, j, f1[r]);
                if (MASKED) {
                    const B valid = iota<T>() + c * L < left;
                    f0[r] = where(valid, u0, f0[r]);
                    f1[r] = where(valid, u2, f1[r]);
                } else {
                    f0[r] = u0;
                    f1[r] = u2;
                }
            }
            GR_UNROLL for (int r = 0; r < R; r++) lanes[r].s0[0] = f0[r];
            GR_UNROLL for (int r = 0; r < R; r++) lanes[r].s1[0] = f1[r];
        }
    }
    static void clear(char *state, int64_t) {
        typedef double V, T; typedef int64_t I; typedef bool B;
        Row &row = *(Row *)state;
        for (int e = 0; e < 1; e++) row.s0[e] = V{} + GR_INF(T);
        for (int e = 0; e < 1; e++) row.s1[e] = I{} + -1;
    }
    GR_INLINE void begin(Lanes &lanes, const char *state) {
        const Row &row = *(const Row *)state;
        (void)row;
        for (int e = 0; e < 1; e++) lanes.s0[e] = V{} + GR_INF(T);
        for (int e = 0; e < 1; e++) lanes.s1[e] = I{} + -1;
    }
    GR_INLINE void end(Lanes &lanes, char *state, int64_t j0) {
        Row &row = *(Row *)state;
        for (int e = 0; e < 1; e++) {
            Row one;
            V best = lanes.s0[e];
            GR_UNROLL for (int half = L / 2; half > 0; half /= 2) {
                const V other = rotate(best, half);
                const V u0 = lesser(other, best);
                best = u0;
            }
            const int64_t first = first_of<T>(lanes.s0[e] == best, lanes.s1[e]);
            one.s0[e] = best[0];
            one.s1[e] = first < 0 ? -1 : j0 + first;
            merge_one(row, one, e, e);
        }
    }
    static void merge_one(Row &a, const Row &b, int e, int f) {
        typedef double V, T; typedef int64_t I; typedef bool B;
        const V u0 = lesser(b.s0[e], a.s0[e]);
        const B u1 = b.s0[e] < a.s0[e];
        const B u2 = b.s0[e] == a.s0[e];
        const I u3 = I{} + -1;
        const B u4 = b.s1[e] != u3;
        const B u5 = u2 & u4;
        const B u6 = a.s1[e] == u3;
        const B u7 = b.s1[e] < a.s1[e];
        const B u8 = u6 | u7;
        const B u9 = u5 & u8;
        const B u10 = u1 | u9;
        const I u11 = where(u10, b.s1[e], a.s1[e]);
        a.s0[e] = u0;
        a.s1[e] = u11;
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
            ((int64_t *)call.results[0])[at * 1 + e] = row.s1[e];
        }
    }
};
}
extern "C" __attribute__((visibility("default"))) void run_kernel_39b506642516fa7a(const gr::kernel_39b506642516fa7a::Call *call) {
    gr::Driver<gr::kernel_39b506642516fa7a>::run(*call);
}
extern "C" __attribute__((visibility("default"))) void layout_kernel_39b506642516fa7a(gr::Layout *to) {
    typedef gr::kernel_39b506642516fa7a K;
    *to = gr::Layout{K::L, K::R, K::RB, K::COLUMN_BLOCK * K::L, K::NP * sizeof(K::Call::Scalar) / sizeof(K::T), K::NR, K::NC, sizeof(K::T)};
}
extern "C" __attribute__((visibility("default"))) int64_t scratch_bytes_kernel_39b506642516fa7a(const gr::Sizes *n) {
    return gr::Driver<gr::kernel_39b506642516fa7a>::scratch_bytes(*n);
}
extern "C" __attribute__((visibility("default"))) int64_t row_bytes_kernel_39b506642516fa7a(int64_t K) {
    return gr::kernel_39b506642516fa7a::row_bytes(K);
}
