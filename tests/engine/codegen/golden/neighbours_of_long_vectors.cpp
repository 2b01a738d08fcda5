#include "kernel.h"

// argKmin over j of sum(square(x0 - y1)), float
namespace gr {
struct kernel_6715d95fee1e0063 {
    typedef float T;
    typedef lanes_of<T>::vec V;
    typedef lanes_of<T>::mask I, B;
    typedef gr::Call<T, 2, 1> Call;
    static constexpr int L = lanes_of<T>::count, NP = 0, NR = 100, NC = 100, R = 6, C = GR_REGISTERS >= 32 ? 4 : 2;
    static constexpr int RB = 48, COLUMN_BLOCK = column_block(NC, C, 64);
    static constexpr int SLOT0 = 0, SLOT1 = 1;
    struct Lanes {};
    typedef Smallest<T> Row;
    GR_INLINE int64_t row_bytes(int64_t K) { return Row::bytes(K); }
    static void pack_parameters(const Call &a, int64_t batch, T *par) {
    }
    static void pack_rows(const Call &a, const T *par, int64_t batch, int64_t first, T *rows) {
        const Points<T, 100> x0(a.slots[SLOT0], batch, first, a.n.M);
        for (int d0 = 0; d0 < 100; d0++) {
            const V t1 = x0.component(d0);
            store(rows + (d0) * RB, t1);
        }
    }
    static void pack_columns(const Call &a, const T *par, int64_t batch, int64_t first, T *columns) {
        const Packed<T, 100> x1(a.slots[SLOT1], batch, first, a.n.N, columns + 0 * L);
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
                const V t4 = t2 - t3;
                const V t5 = t4 * t4;
                const V t6 = a0[r][c] + t5;
                a0[r][c] = t6;
            }
        }
        GR_TILE {
            v[r][c] = a0[r][c];
        }
    }
    static void clear(char *state, int64_t K) { ((Row *)state)->clear(K); }
    static void merge(char *a, char *b) { Row::merge(*(Row *)a, *(Row *)b); }
    static void finish(const Call &a, char *state, int64_t at) {
        Row &s = *(Row *)state;
        s.compact();
        const auto e = s.entries();
        int64_t *to0 = (int64_t *)a.results[0] + at * a.n.K;
        for (int64_t k = 0; k < s.count; k++) to0[k] = e.columns[k];
        for (int64_t k = s.count; k < a.n.K; k++) to0[k] = -1;
    }
};
}
extern "C" __attribute__((visibility("default"))) void run_kernel_6715d95fee1e0063(const gr::kernel_6715d95fee1e0063::Call *call) {
    gr::Driver<gr::kernel_6715d95fee1e0063>::run(*call);
}
extern "C" __attribute__((visibility("default"))) void layout_kernel_6715d95fee1e0063(gr::Layout *to) {
    typedef gr::kernel_6715d95fee1e0063 K;
    *to = gr::Layout{K::L, K::R, K::RB, K::COLUMN_BLOCK * K::L, K::NP * sizeof(K::Call::Scalar) / sizeof(K::T), K::NR, K::NC, sizeof(K::T)};
}
extern "C" __attribute__((visibility("default"))) int64_t scratch_bytes_kernel_6715d95fee1e0063(const gr::Sizes *n) {
    return gr::Driver<gr::kernel_6715d95fee1e0063>::scratch_bytes(*n);
}
extern "C" __attribute__((visibility("default"))) int64_t row_bytes_kernel_6715d95fee1e0063(int64_t K) {
    return gr::kernel_6715d95fee1e0063::row_bytes(K);
}
