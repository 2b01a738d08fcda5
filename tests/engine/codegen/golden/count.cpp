#include "kernel.h"

// count over j of lt(sum(square(x0 - y1)), 1), float
namespace gr {
struct kernel_779cced471bbbe96 {
    typedef float T;
    typedef lanes_of<T>::vec V;
    typedef lanes_of<T>::mask I, B;
    typedef gr::Call<T, 2, 1> Call;
    static constexpr int L = lanes_of<T>::count, NP = 0, NR = 2, NC = 2, R = 6, C = GR_REGISTERS >= 32 ? 4 : 2;
    static constexpr int RB = 96, COLUMN_BLOCK = column_block(NC, C, 64);
    static constexpr int SLOT0 = 0, SLOT1 = 1;
    struct Lanes { I s0[1]; };
    struct Row { int64_t s0[1]; };
    GR_INLINE int64_t row_bytes(int64_t) { return sizeof(Row); }
    static void pack_parameters(const Call &a, int64_t batch, T *par) {
    }
    static void pack_rows(const Call &a, const T *par, int64_t batch, int64_t first, T *rows) {
        const Points<T, 2> x0(a.slots[SLOT0], batch, first, a.n.M);
        GR_UNROLL for (int d0 = 0; d0 < 2; d0++) {
            const V t1 = x0.component(d0);
            store(rows + (d0) * RB, t1);
        }
    }
    static void pack_columns(const Call &a, const T *par, int64_t batch, int64_t first, T *columns) {
        const Packed<T, 2> x1(a.slots[SLOT1], batch, first, a.n.N, columns + 0 * L);
    }
    template <int R, int C, bool MASKED>
    GR_INLINE void tile(const T *par, const T *rows, const T *columns, int left,
                        Lanes *lanes, char *states, int64_t row_bytes, int64_t j0,
                        int at) {
        V a0[R][C];
        GR_TILE {
            a0[r][c] = V{} + T(0.0);
        }
        GR_UNROLL for (int d1 = 0; d1 < 2; d1++) {
            GR_TILE {
                const V t2 = broadcast(rows[(d1) * RB + r]);
                const V t3 = load(columns + (c * NC + d1) * L);
                const V t4 = t2 - t3;
                const V t5 = t4 * t4;
                const V t6 = a0[r][c] + t5;
                a0[r][c] = t6;
            }
        }
        {
            I f0[R];
            GR_UNROLL for (int r = 0; r < R; r++) f0[r] = lanes[r].s0[0];
            GR_TILE {
                const V t7 = V{} + T(1.0);
                const B t8 = a0[r][c] < t7;
                const I u0 = where(t8, one<I>(), I{});
                const I u1 = f0[r] + u0;
                if (MASKED) {
                    const B valid = iota<T>() + c * L < left;
                    f0[r] = where(valid, u1, f0[r]);
                } else {
                    f0[r] = u1;
                }
            }
            GR_UNROLL for (int r = 0; r < R; r++) lanes[r].s0[0] = f0[r];
        }
    }
    static void clear(char *state, int64_t) {
        typedef double V, T; typedef int64_t I; typedef bool B;
        Row &row = *(Row *)state;
        for (int e = 0; e < 1; e++) row.s0[e] = I{} + 0;
    }
    GR_INLINE void begin(Lanes &lanes, const char *state) {
        const Row &row = *(const Row *)state;
        (void)row;
        for (int e = 0; e < 1; e++) lanes.s0[e] = I{} + 0;
    }
    GR_INLINE void end(Lanes &lanes, char *state, int64_t j0) {
        Row &row = *(Row *)state;
        for (int e = 0; e < 1; e++) {
            Row one;
            I a0 = lanes.s0[e];
            GR_UNROLL for (int half = L / 2; half > 0; half /= 2) {
                const I b0 = rotate(a0, half);
                const I u0 = a0 + b0;
                a0 = u0;
            }
            one.s0[e] = a0[0];
            merge_one(row, one, e, e);
        }
    }
    static void merge_one(Row &a, const Row &b, int e, int f) {
        typedef double V, T; typedef int64_t I; typedef bool B;
        const I u0 = a.s0[e] + b.s0[e];
        a.s0[e] = u0;
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
            ((int64_t *)call.results[0])[at * 1 + e] = row.s0[e];
        }
    }
};
}
extern "C" __attribute__((visibility("default"))) void run_kernel_779cced471bbbe96(const gr::kernel_779cced471bbbe96::Call *call) {
    gr::Driver<gr::kernel_779cced471bbbe96>::run(*call);
}
extern "C" __attribute__((visibility("default"))) void layout_kernel_779cced471bbbe96(gr::Layout *to) {
    typedef gr::kernel_779cced471bbbe96 K;
    *to = gr::Layout{K::L, K::R, K::RB, K::COLUMN_BLOCK * K::L, K::NP * sizeof(K::Call::Scalar) / sizeof(K::T), K::NR, K::NC, sizeof(K::T)};
}
extern "C" __attribute__((visibility("default"))) int64_t scratch_bytes_kernel_779cced471bbbe96(const gr::Sizes *n) {
    return gr::Driver<gr::kernel_779cced471bbbe96>::scratch_bytes(*n);
}
extern "C" __attribute__((visibility("default"))) int64_t row_bytes_kernel_779cced471bbbe96(int64_t K) {
    return gr::kernel_779cced471bbbe96::row_bytes(K);
}
