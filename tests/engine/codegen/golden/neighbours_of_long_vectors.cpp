#include "kernel.h"

// argKmin over j of sum(square(x0 - y1)), by bounds, float
namespace gr {
struct kernel_1e9064eb3dc93aab {
    typedef float T;
    typedef lanes_of<T>::vec V;
    typedef lanes_of<T>::mask I, B;
    typedef gr::Call<T, 3, 1> Call;
    static constexpr int L = lanes_of<T>::count, NP = 100, NR = 100, NC = 101, R = 6, C = GR_REGISTERS >= 32 ? 4 : 2;
    static constexpr int RB = 48, COLUMN_BLOCK = column_block(NC, C, 64);
    static constexpr int SLOT0 = 0, SLOT1 = 1, SLOT2 = 2;
    static constexpr double KAPPA = 2.703666687011719e-05, TINY = 5.078135595552282e-36, MOST = 4.2535293329816107e+37;
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
        for (int d0 = 0; d0 < 100; d0++) {
            const V t1 = x0.component(d0);
            const V t2 = broadcast(par[d0]);
            const V t3 = t1 - t2;
            store(rows + (d0) * RB, t3);
        }
    }
    static void pack_columns(const Call &a, const T *par, int64_t batch, int64_t first, T *columns) {
        Points<T, 100> x1;
        x1.find(a.slots[SLOT1], batch, first, a.n.N);
        V a1 = V{} + T(0.0);
        for (int d2 = 0; d2 < 100; d2++) {
            const V t3 = x1.component(d2);
            const V t4 = broadcast(par[d2]);
            const V t5 = t3 - t4;
            const V t6 = t5 * t5;
            const V t7 = a1 + t6;
            a1 = t7;
        }
        const V t8 = V{} + T(4.2535293329816107e+37);
        const B t9 = a1 < t8;
        const V t10 = V{} + T(0.0);
        const V t11 = V{} + T(-2.0);
        for (int d0 = 0; d0 < 100; d0++) {
            const V t12 = x1.component(d0);
            const V t13 = broadcast(par[d0]);
            const V t14 = t12 - t13;
            const V t15 = t11 * t14;
            const V t16 = where(t9, t15, t10);
            store(columns + (d0) * L, t16);
        }
        const V t17 = V{} + T(0.9999729633331299);
        const V t18 = a1 * t17;
        const V t19 = V{} + T(5.078135595552282e-36);
        const V t20 = t18 - t19;
        const B t21 = a1 == a1;
        const V t22 = V{} - GR_INF(T);
        const V t23 = where(t21, t22, a1);
        const V t24 = where(t9, t20, t23);
        store(columns + (100) * L, t24);
    }
    static constexpr int AGAIN = 0; // see select.h
    template <int R, int C>
    GR_INLINE void values(const T *par, const T *rows, const T *columns,
                          V (&v)[R][C]) {
        V a0[R][C];
        GR_TILE {
            a0[r][c] = V{} + T(0.0);
        }
        for (int d1 = 0; d1 < 100; d1++) {
            GR_TILE {
                const V t2 = broadcast(rows[(d1) * RB + r]);
                const V t3 = load(columns + (c * NC + d1) * L);
                const V t4 = t2 * t3;
                const V t5 = a0[r][c] + t4;
                a0[r][c] = t5;
            }
        }
        GR_TILE {
            const V t6 = load(columns + (c * NC + 100) * L);
            const V t7 = a0[r][c] + t6;
            v[r][c] = t7;
        }
    }
    static void clear(char *state, int64_t K) { ((Row *)state)->clear(K); }
    static void merge(char *a, char *b) { Row::merge(*(Row *)a, *(Row *)b); }
    static void finish(const Call &a, char *state, int64_t at) {
        Row &s = *(Row *)state;
        const Exact<100, kernel_1e9064eb3dc93aab, T> exact(a, a.slots[SLOT0], a.slots[SLOT1], at);
        T *values = nullptr;
        int64_t *indices = (int64_t *)a.results[0] + at * a.n.K;
        a.unproven[at] = !finish_smallest(a, exact, a.parameters + (a.n.parameter_batches > 1 ? at / a.n.M : 0) * NP, s, values, indices);
    }
};
}
extern "C" __attribute__((visibility("default"))) void run_kernel_1e9064eb3dc93aab(const gr::kernel_1e9064eb3dc93aab::Call *call) {
    gr::Driver<gr::kernel_1e9064eb3dc93aab>::run(*call);
}
extern "C" __attribute__((visibility("default"))) void layout_kernel_1e9064eb3dc93aab(gr::Layout *to) {
    typedef gr::kernel_1e9064eb3dc93aab K;
    *to = gr::Layout{K::L, K::RB, K::COLUMN_BLOCK * K::L, K::NP, K::NR, K::NC, sizeof(K::T)};
}
extern "C" __attribute__((visibility("default"))) int64_t row_bytes_kernel_1e9064eb3dc93aab(int64_t K) {
    return gr::kernel_1e9064eb3dc93aab::row_bytes(K);
}
