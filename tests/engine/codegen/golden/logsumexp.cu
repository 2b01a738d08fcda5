// logsumexp over j of sum(square(x0 - y1)), float
namespace gr {
struct kernel_48729d1402c51681 {
    typedef float T, V;
    typedef int I;
    typedef bool B;
    typedef gr::Call<T, 2, 1> Call;
    static constexpr int NP = 0, NR = 3, NC = 3;
    static constexpr int R = 4, C = 8;
    static constexpr int RB = 128, CB = 64;
    static constexpr bool STAGED = true;
    static constexpr int SLOT0 = 0, SLOT1 = 1;
    typedef Registers<T, NR, R> Rows;
    struct Lanes { V s0[1]; V s1[1]; };
    struct Row { double s0[1]; double s1[1]; };
    typedef Row Kept;
    static constexpr bool FLUSH = true;
    static constexpr int GROUP = 16;
    GR_INLINE void pack_parameters(const Call &a, int64_t batch, Global<T> to) {
    }
    GR_INLINE void pack_rows(const Call &a, Global<const T> par, int64_t batch, int64_t n, Global<T> to) {
        const Global<const T> x0 = point(a.slots[SLOT0], batch, n);
        const int64_t step0 = a.slots[SLOT0].step;
        GR_UNROLL for (int d0 = 0; d0 < 3; d0++) {
            const V t1 = x0[(d0) * step0];
            to[(d0) * RB] = t1;
        }
    }
    GR_INLINE void pack_columns(const Call &a, Global<const T> par, int64_t batch, int64_t n, Global<T> to) {
        const Global<const T> x1 = point(a.slots[SLOT1], batch, n);
        const int64_t step1 = a.slots[SLOT1].step;
        GR_UNROLL for (int d0 = 0; d0 < 3; d0++) {
            const V t1 = x1[(d0) * step1];
            to[(d0) * CB] = t1;
        }
    }
    template <int R, int C, class X, class Y>
    GR_INLINE void tile(Global<const T> par, const X &rows, const Y &columns,
                        Lanes *lanes, Row *row, int at) {
        V v[R][C];
        V a0[R][C];
        GR_TILE {
            a0[r][c] = V{} + T(0.0);
        }
        GR_UNROLL for (int d1 = 0; d1 < 3; d1++) {
            GR_TILE {
                const V t2 = rows.template at<R>(d1, r);
                const V t3 = columns.template at<C>(d1, c);
                const V t4 = t2 - t3;
                const V t5 = t4 * t4;
                const V t6 = a0[r][c] + t5;
                a0[r][c] = t6;
            }
        }
        GR_TILE {
            v[r][c] = a0[r][c];
        }
        GR_UNROLL for (int r = 0; r < R; r++) {
            V m = lanes[r].s0[0];
            GR_UNROLL for (int c = 0; c < C; c++) {
                const V u0 = most(v[r][c], m);
                m = u0;
            }
            const V f0 = abs(m);
            const V f1 = V{} + GR_INF(T);
            const B f2 = f0 < f1;
            const V f3 = V{} + T(0.0);
            const V f4 = where(f2, m, f3);
            if (lanes[r].s0[0] != m) {
                const V scale = fast_exp(lesser(lanes[r].s0[0] - f4, V{}));
                lanes[r].s1[0] *= scale;
                lanes[r].s0[0] = m;
            }
            GR_UNROLL for (int c = 0; c < C; c++) {
                v[r][c] = fast_exp(v[r][c] - f4);
                const V u1_0 = lanes[r].s1[0] + v[r][c];
                lanes[r].s1[0] = u1_0;
            }
        }
    }
    GR_INLINE void clear(char *state, int64_t) {
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
            if (row.s0[e] != lanes.s0[e]) {
                const V f0 = abs(lanes.s0[e]);
                const V f1 = V{} + GR_INF(T);
                const B f2 = f0 < f1;
                const V f3 = V{} + T(0.0);
                const V f4 = where(f2, lanes.s0[e], f3);
                const V below = lesser((T)row.s0[e] - f4, V{});
                const V scale = fast_exp(below);
                row.s1[e] *= scale;
                row.s0[e] = lanes.s0[e];
            }
            row.s1[e] += lanes.s1[e];
        }
    }
    GR_INLINE void merge_one(Row &a, const Row &b, int e, int f) {
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
    GR_INLINE void merge_all(Row &a, const Row &b) {
        for (int e = 0; e < 1; e++) merge_one(a, b, e, e);
    }
    GR_INLINE void merge(char *a, char *b) {
        merge_all(*(Row *)a, *(const Row *)b);
    }
    GR_INLINE void finish(const Call &call, char *state, int64_t at) {
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
            result<float>(call.results[0])[at * 1 + e] = u6;
        }
    }
    GR_INLINE void open(const Call &, Row &row, int64_t, int64_t, bool) {
        clear((char *)&row, 0);
    }
    GR_INLINE Row &kept(Row &row, int64_t) { return row; }
    GR_INLINE void put(const Call &a, const Row &row, int64_t slot) {
        Global<Row>((Row *)a.states)[slot] = row;
    }
    GR_INLINE void get(const Call &a, Row &row, int64_t slot) {
        row = Global<Row>((Row *)a.states)[slot];
    }
};
}
GR_ENTRY(128) pack_parameters_kernel_48729d1402c51681(const gr::kernel_48729d1402c51681::Call *call, int64_t step) {
    gr::Driver<gr::kernel_48729d1402c51681>::pack_parameters(*call);
}
GR_ENTRY(128) pack_rows_kernel_48729d1402c51681(const gr::kernel_48729d1402c51681::Call *call, int64_t step) {
    gr::Driver<gr::kernel_48729d1402c51681>::pack_rows(*call);
}
GR_ENTRY(128) pack_columns_kernel_48729d1402c51681(const gr::kernel_48729d1402c51681::Call *call, int64_t step) {
    gr::Driver<gr::kernel_48729d1402c51681>::pack_columns(*call);
}
GR_ENTRY(128) run_kernel_48729d1402c51681(const gr::kernel_48729d1402c51681::Call *call, int64_t step) {
    gr::Driver<gr::kernel_48729d1402c51681>::run(*call);
}
GR_ENTRY(128) merge_kernel_48729d1402c51681(const gr::kernel_48729d1402c51681::Call *call, int64_t step) {
    gr::Driver<gr::kernel_48729d1402c51681>::merge(*call, step);
}
