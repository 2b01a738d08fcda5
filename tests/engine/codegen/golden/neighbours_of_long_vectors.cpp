#include "kernel.h"

// argKmin over j of sum(square(x0 - y1)), by bounds, float
namespace gr {
struct kernel_dd425f371fbb9ce4 {
    typedef float T;
    typedef lanes_of<T>::vec V;
    typedef lanes_of<T>::mask I, B;
    typedef gr::Call<T, 3, 1> Call;
    static constexpr int L = lanes_of<T>::count, NP = 100, NR = 101, NC = 101, R = 6, C = GR_REGISTERS >= 32 ? 4 : 2;
    static constexpr int RB = 48, ROW_BLOCK = RB, COLUMN_BLOCK = column_block(NC, C, 64);
    static constexpr int SLOT0 = 0, SLOT1 = 1, SLOT2 = 2;
    struct Lanes {};
    typedef Smallest<T> Row;
    GR_INLINE int64_t row_bytes(int64_t K) { return Row::bytes(K); }
    static void pack_parameters(const Call &a, int64_t batch, T *par) {
        const T *x2 = Slot<T>::point(a.slots[SLOT2], batch, 0);
        for (int d0 = 0; d0 < 100; d0++) {
            const V t1 = broadcast(x2[(d0) * a.slots[SLOT2].step]);
            par[d0] = (t1)[0];
        }
    }
    static void pack_rows(const Call &a, const T *par, int64_t batch, int64_t first, T *rows) {
        Points<T, 100> x0;
        x0.find(a.slots[SLOT0], batch, first, a.n.M);
        V a0 = V{} + T(0.0);
        for (int d1 = 0; d1 < 100; d1++) {
            const V t2 = x0.component(d1);
            const V t3 = broadcast(par[d1]);
            const V t4 = t2 - t3;
            const V t5 = t4 * t4;
            const V t6 = a0 + t5;
            a0 = t6;
        }
        const V t7 = V{} + T(4.2535293329816107e+37);
        const B t8 = a0 < t7;
        const V t9 = V{} + T(0.9999729633331299);
        const V t10 = a0 * t9;
        const V t11 = V{} + T(5.078135595552282e-36);
        const V t12 = t10 - t11;
        const B t13 = a0 == a0;
        const V t14 = V{} + GR_NAN(T);
        const V t15 = where(t13, t14, a0);
        const V t16 = where(t8, t12, t15);
        store(rows + (0) * RB, t16);
        for (int d17 = 0; d17 < 100; d17++) {
            const V t18 = x0.component(d17);
            const V t19 = broadcast(par[d17]);
            const V t20 = t18 - t19;
            store(rows + (d17 + 1) * RB, t20);
        }
    }
    static void pack_columns(const Call &a, const T *par, int64_t batch, int64_t first, T *columns) {
        Points<T, 100> x1;
        x1.find(a.slots[SLOT1], batch, first, a.n.N);
        V a0 = V{} + T(0.0);
        for (int d1 = 0; d1 < 100; d1++) {
            const V t2 = x1.component(d1);
            const V t3 = broadcast(par[d1]);
            const V t4 = t2 - t3;
            const V t5 = t4 * t4;
            const V t6 = a0 + t5;
            a0 = t6;
        }
        const V t7 = V{} + T(4.2535293329816107e+37);
        const B t8 = a0 < t7;
        const V t9 = V{} + T(0.9999729633331299);
        const V t10 = a0 * t9;
        const V t11 = V{} + T(5.078135595552282e-36);
        const V t12 = t10 - t11;
        const B t13 = a0 == a0;
        const V t14 = V{} - GR_INF(T);
        const V t15 = where(t13, t14, a0);
        const V t16 = where(t8, t12, t15);
        store(columns + (0) * L, t16);
        const V t18 = V{} + T(0.0);
        const V t19 = V{} + T(-2.0);
        for (int d17 = 0; d17 < 100; d17++) {
            const V t20 = x1.component(d17);
            const V t21 = broadcast(par[d17]);
            const V t22 = t20 - t21;
            const V t23 = t19 * t22;
            const V t24 = where(t8, t23, t18);
            store(columns + (d17 + 1) * L, t24);
        }
    }
    template <int R, int C, bool MASKED>
    GR_INLINE void tile(const T *par, const T *rows, const T *columns, int left,
                        Lanes *lanes, char *states, int64_t row_bytes, int64_t j0,
                        int at) {
        V v[R][C];
        V a3[R][C];
        V t2[R][C];
        GR_TILE {
            const V t0 = broadcast(rows[(0) * RB + r]);
            const V t1 = load(columns + (c * NC + 0) * L);
            t2[r][c] = t0 + t1;
            a3[r][c] = V{} + T(0.0);
        }
        for (int d4 = 0; d4 < 100; d4++) {
            GR_TILE {
                const V t5 = broadcast(rows[(d4 + 1) * RB + r]);
                const V t6 = load(columns + (c * NC + d4 + 1) * L);
                const V t7 = t5 * t6;
                const V t8 = a3[r][c] + t7;
                a3[r][c] = t8;
            }
        }
        GR_TILE {
            const V t9 = t2[r][c] + a3[r][c];
            v[r][c] = t9;
        }
        uint64_t some[R], all = 0;
        GR_UNROLL for (int r = 0; r < R; r++) {
            const Row &row = *(const Row *)(states + r * row_bytes);
            all |= some[r] = Row::template any_to_offer<C>(row, v[r]);
        }
        if (__builtin_expect(all != 0, 0)) {
            const uint64_t lanes = first_lanes(MASKED ? left : C * L);
            GR_UNROLL for (int r = 0; r < R; r++) {
                if (!some[r]) continue;
                Row &row = *(Row *)(states + r * row_bytes);
                Row::template offer_tile<C>(row, v[r], lanes, j0 + at);
            }
        }
    }
    static void clear(char *state, int64_t K) { ((Row *)state)->clear(K); }
    GR_INLINE void begin(Lanes &, char *, const Call &a, int64_t batch, int64_t i) {}
    GR_INLINE void end(Lanes &, char *, int64_t) {}
    static void merge(char *a, char *b) { Row::merge(*(Row *)a, *(Row *)b); }
    static void finish(const Call &a, char *state, int64_t at) {
        Row &s = *(Row *)state;
        T *values = nullptr;
        int64_t *indices = (int64_t *)a.results[0] + at * a.n.K;
        a.unproven[at] = !finish_smallest<100>(a, a.slots[SLOT0], a.slots[SLOT1], s, at, values, indices);
    }
};
}
extern "C" __attribute__((visibility("default"))) void run_kernel_dd425f371fbb9ce4(const gr::kernel_dd425f371fbb9ce4::Call *call) {
    gr::Driver<gr::kernel_dd425f371fbb9ce4>::run(*call);
}
extern "C" __attribute__((visibility("default"))) void layout_kernel_dd425f371fbb9ce4(gr::Layout *to) {
    typedef gr::kernel_dd425f371fbb9ce4 K;
    *to = gr::Layout{K::L, K::RB, K::COLUMN_BLOCK * K::L, K::NP, K::NR, K::NC, sizeof(K::T)};
}
extern "C" __attribute__((visibility("default"))) int64_t row_bytes_kernel_dd425f371fbb9ce4(int64_t K) {
    return gr::kernel_dd425f371fbb9ce4::row_bytes(K);
}
