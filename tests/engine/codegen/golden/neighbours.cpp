#include "kernel.h"

// Kmin_argKmin over j of sum(square(x0 - y1)), float
namespace gr {
struct kernel_70bfd672f9a170e2 {
    typedef float T;
    typedef lanes_of<T>::vec V;
    typedef lanes_of<T>::mask I, B;
    typedef gr::Call<T, 2, 2> Call;
    static constexpr int L = lanes_of<T>::count, R = 4, C = 4, ROW_BLOCK = 4, COLUMN_BLOCK = 64;
    static constexpr int RB = ROW_BLOCK * L, NP = 0, NR = 3, NC = 3;
    static constexpr int SLOT0 = 0, SLOT1 = 1;
    struct Lanes {};
    typedef Smallest<T> Row;
    GR_INLINE int64_t row_bytes(int64_t K) { return Row::bytes(K); }
    static void pack_parameters(const Call &a, int64_t batch, T *par) {
    }
    static void pack_rows(const Call &a, const T *par, int64_t batch, int64_t first, T *rows) {
        Points<T> x0;
        find<T>(x0, a.slots[SLOT0], batch, first, a.n.M);
        GR_UNROLL for (int d0 = 0; d0 < 3; d0++) {
            const V t1 = gather<T>(x0, (d0) * a.slots[SLOT0].step);
            store(rows + (d0) * RB, t1);
        }
    }
    static void pack_columns(const Call &a, const T *par, int64_t batch, int64_t first, T *columns) {
        Points<T> x1;
        find<T>(x1, a.slots[SLOT1], batch, first, a.n.N);
        GR_UNROLL for (int d0 = 0; d0 < 3; d0++) {
            const V t1 = gather<T>(x1, (d0) * a.slots[SLOT1].step);
            store(columns + (d0) * L, t1);
        }
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
            v[r][c] = a0[r][c];
        }
        static_assert(C * L <= 64, "a bit for each value of a row");
        uint64_t some = 0;
        GR_UNROLL for (int r = 0; r < R; r++) {
            const V limit = broadcast(((const Row *)(states + r * row_bytes))->limit);
            GR_UNROLL for (int c = 0; c < C; c++) some |= bits_not_least(v[r][c], limit);
        }
        if (__builtin_expect(some != 0, 0)) {
            GR_UNROLL for (int r = 0; r < R; r++) {
                Row &row = *(Row *)(states + r * row_bytes);
                const V limit = broadcast(row.limit);
                uint64_t hits = 0;
                GR_UNROLL for (int c = 0; c < C; c++)
                    hits |= bits_not_least(v[r][c], limit) << (c * L);
                if (MASKED) hits &= first_lanes(left);
                if (!hits) continue;
                alignas(GEOREDUCE_VECTOR_BYTES) T values[C * L];
                GR_UNROLL for (int c = 0; c < C; c++) store(values + c * L, v[r][c]);
                offer_all(row, values, hits, j0 + at);
            }
        }
    }
    static void clear(char *state, int64_t K) { ((Row *)state)->clear(K); }
    GR_INLINE void begin(Lanes &, const char *) {}
    GR_INLINE void end(Lanes &, char *, int64_t) {}
    static void merge(char *a, const char *b) {
        Row &to = *(Row *)a, &from = *(Row *)b;
        for (int64_t k = 0; k < from.count; k++)
            Row::offer(to, from.entries()[k].value, from.entries()[k].column);
    }
    static void finish(const Call &a, const char *state, int64_t at) {
        Row &s = *(Row *)state;
        s.compact();
        T *to0 = (T *)a.results[0] + at * a.n.K;
        for (int64_t k = 0; k < a.n.K; k++) to0[k] = k < s.count ? s.entries()[k].value : GR_INF(T);
        int64_t *to1 = (int64_t *)a.results[1] + at * a.n.K;
        for (int64_t k = 0; k < a.n.K; k++) to1[k] = k < s.count ? s.entries()[k].column : -1;
    }
};
}
extern "C" __attribute__((visibility("default"))) void run_kernel_70bfd672f9a170e2(const gr::kernel_70bfd672f9a170e2::Call *call) {
    gr::Driver<gr::kernel_70bfd672f9a170e2>::run(*call);
}
extern "C" __attribute__((visibility("default"))) void layout_kernel_70bfd672f9a170e2(gr::Layout *to) {
    typedef gr::kernel_70bfd672f9a170e2 K;
    *to = gr::Layout{K::L, K::RB, K::COLUMN_BLOCK * K::L, K::NP, K::NR, K::NC, sizeof(K::T)};
}
extern "C" __attribute__((visibility("default"))) int64_t row_bytes_kernel_70bfd672f9a170e2(int64_t K) {
    return gr::kernel_70bfd672f9a170e2::row_bytes(K);
}
