// sum over j of exp(-(sum(square(x0 - y1)) / p2)) * take(y1, 0, 1, 2), double
namespace gr {
struct kernel_e6389ce44b8ef333 {
    typedef double T, V;
    typedef int I;
    typedef bool B;
    typedef gr::Call<T, 3, 1> Call;
    static constexpr int NP = 1, NR = 10, NC = 10;
    static constexpr int R = 4, C = 4;
    static constexpr int RB = 128, CB = 64;
    static constexpr bool STAGED = true;
    static constexpr int SLOT0 = 0, SLOT1 = 1, SLOT2 = 2;
    typedef Packed<Global<const T>, RB> Rows;
    struct Lanes { V s0[2]; };
    struct Row { double s0[2]; };
    typedef Row Kept;
    static constexpr bool FLUSH = true;
    static constexpr int GROUP = 16;
    GR_INLINE void pack_parameters(const Call &a, int64_t batch, Global<T> to) {
        const Global<const T> x2 = point(a.slots[SLOT2], batch, 0);
        const int64_t step2 = a.slots[SLOT2].step;
        const V t0 = x2[(0) * step2];
        const V t1 = inv(t0);
        to[0] = t1;
    }
    GR_INLINE void pack_rows(const Call &a, Global<const T> par, int64_t batch, int64_t n, Global<T> to) {
        const Global<const T> x0 = point(a.slots[SLOT0], batch, n);
        const int64_t step0 = a.slots[SLOT0].step;
        for (int d0 = 0; d0 < 10; d0++) {
            const V t1 = x0[(d0) * step0];
            to[(d0) * RB] = t1;
        }
    }
    GR_INLINE void pack_columns(const Call &a, Global<const T> par, int64_t batch, int64_t n, Global<T> to) {
        const Global<const T> x1 = point(a.slots[SLOT1], batch, n);
        const int64_t step1 = a.slots[SLOT1].step;
        for (int d0 = 0; d0 < 10; d0++) {
            const V t1 = x1[(d0) * step1];
            to[(d0) * CB] = t1;
        }
    }
    template <int R, int C, class X, class Y>
    GR_INLINE void tile(Global<const T> par, const X &rows, const Y &columns,
                        Lanes *lanes, Row *row, int at) {
        V a1[R][C];
        V t11[R][C];
        GR_TILE {
            a1[r][c] = V{} + T(0.0);
        }
        GR_UNROLL for (int d2 = 0; d2 < 10; d2++) {
            GR_TILE {
                const V t3 = rows.template at<R>(d2, r);
                const V t4 = columns.template at<C>(d2, c);
                const V t5 = t3 - t4;
                const V t6 = t5 * t5;
                const V t7 = a1[r][c] + t6;
                a1[r][c] = t7;
            }
        }
        GR_TILE {
            const V t8 = par[0];
            const V t9 = a1[r][c] * t8;
            const V t10 = -t9;
            t11[r][c] = fast_exp(t10);
        }
        GR_UNROLL for (int d0 = 0; d0 < 2; d0++) {
            GR_TILE {
                const V t12 = columns.template at<C>(d0, c);
                const V t13 = t11[r][c] * t12;
                const V u0 = lanes[r].s0[d0] + t13;
                lanes[r].s0[d0] = u0;
            }
        }
    }
    GR_INLINE void clear(char *state, int64_t) {
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
            one.s0[e] = lanes.s0[e];
            merge_one(row, one, e, e);
        }
    }
    GR_INLINE void merge_one(Row &a, const Row &b, int e, int f) {
        typedef double V, T; typedef int64_t I; typedef bool B;
        const V u0 = a.s0[e] + b.s0[e];
        a.s0[e] = u0;
    }
    GR_INLINE void merge_all(Row &a, const Row &b) {
        for (int e = 0; e < 2; e++) merge_one(a, b, e, e);
    }
    GR_INLINE void merge(char *a, char *b) {
        merge_all(*(Row *)a, *(const Row *)b);
    }
    GR_INLINE void finish(const Call &call, char *state, int64_t at) {
        typedef double V, T; typedef int64_t I; typedef bool B;
        const Row &row = *(const Row *)state;
        for (int e = 0; e < 2; e++) {
            result<double>(call.results[0])[at * 2 + e] = row.s0[e];
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
GR_ENTRY(128) pack_parameters_kernel_e6389ce44b8ef333(const gr::kernel_e6389ce44b8ef333::Call *call, int64_t step) {
    gr::Driver<gr::kernel_e6389ce44b8ef333>::pack_parameters(*call);
}
GR_ENTRY(128) pack_rows_kernel_e6389ce44b8ef333(const gr::kernel_e6389ce44b8ef333::Call *call, int64_t step) {
    gr::Driver<gr::kernel_e6389ce44b8ef333>::pack_rows(*call);
}
GR_ENTRY(128) pack_columns_kernel_e6389ce44b8ef333(const gr::kernel_e6389ce44b8ef333::Call *call, int64_t step) {
    gr::Driver<gr::kernel_e6389ce44b8ef333>::pack_columns(*call);
}
GR_ENTRY(128) run_kernel_e6389ce44b8ef333(const gr::kernel_e6389ce44b8ef333::Call *call, int64_t step) {
    gr::Driver<gr::kernel_e6389ce44b8ef333>::run(*call);
}
GR_ENTRY(128) merge_kernel_e6389ce44b8ef333(const gr::kernel_e6389ce44b8ef333::Call *call, int64_t step) {
    gr::Driver<gr::kernel_e6389ce44b8ef333>::merge(*call, step);
}
