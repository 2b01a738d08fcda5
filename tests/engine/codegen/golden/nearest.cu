// argmin over j of sum(abs(x0 - y1)), double
namespace gr {
struct kernel_3687764ed1aadd9e {
    typedef double T, V;
    typedef int I;
    typedef bool B;
    typedef gr::Call<T, 2, 1> Call;
    static constexpr int NP = 0, NR = 5, NC = 5;
    static constexpr int R = 4, C = 2;
    static constexpr int RB = 128, CB = 64;
    static constexpr bool STAGED = true;
    static constexpr int SLOT0 = 0, SLOT1 = 1;
    typedef Registers<T, NR, R> Rows;
    struct Lanes { V s0[1]; I s1[1]; };
    struct Row { double s0[1]; int64_t s1[1]; };
    typedef Row Kept;
    static constexpr bool FLUSH = false;
    static constexpr int GROUP = 16;
    GR_INLINE void pack_parameters(const Call &a, int64_t batch, Global<T> to) {
    }
    GR_INLINE void pack_rows(const Call &a, Global<const T> par, int64_t batch, int64_t n, Global<T> to) {
        const Global<const T> x0 = point(a.slots[SLOT0], batch, n);
        const int64_t step0 = a.slots[SLOT0].step;
        GR_UNROLL for (int d0 = 0; d0 < 5; d0++) {
            const V t1 = x0[(d0) * step0];
            to[(d0) * RB] = t1;
        }
    }
    GR_INLINE void pack_columns(const Call &a, Global<const T> par, int64_t batch, int64_t n, Global<T> to) {
        const Global<const T> x1 = point(a.slots[SLOT1], batch, n);
        const int64_t step1 = a.slots[SLOT1].step;
        GR_UNROLL for (int d0 = 0; d0 < 5; d0++) {
            const V t1 = x1[(d0) * step1];
            to[(d0) * CB] = t1;
        }
    }
    template <int R, int C, class X, class Y>
    GR_INLINE void tile(Global<const T> par, const X &rows, const Y &columns,
                        Lanes *lanes, Row *row, int at) {
        V a0[R][C];
        GR_TILE {
            a0[r][c] = V{} + T(0.0);
        }
        GR_UNROLL for (int d1 = 0; d1 < 5; d1++) {
            GR_TILE {
                const V t2 = rows.template at<R>(d1, r);
                const V t3 = columns.template at<C>(d1, c);
                const V t4 = t2 - t3;
                const V t5 = abs(t4);
                const V t6 = a0[r][c] + t5;
                a0[r][c] = t6;
            }
        }
        GR_TILE {
            const V u0 = least(a0[r][c], lanes[r].s0[0]);
            const B u1 = a0[r][c] < lanes[r].s0[0];
            const I u2 = where(u1, (at + c), lanes[r].s1[0]);
            lanes[r].s0[0] = u0;
            lanes[r].s1[0] = u2;
        }
    }
    template <int R, int C, class X, class Y>
    GR_INLINE void exact(Global<const T> par, const X &rows, const Y &columns,
                        Lanes *lanes, Row *row, int at) {
        V a0[R][C];
        GR_TILE {
            a0[r][c] = V{} + T(0.0);
        }
        GR_UNROLL for (int d1 = 0; d1 < 5; d1++) {
            GR_TILE {
                const V t2 = rows.template at<R>(d1, r);
                const V t3 = columns.template at<C>(d1, c);
                const V t4 = t2 - t3;
                const V t5 = abs(t4);
                const V t6 = a0[r][c] + t5;
                a0[r][c] = t6;
            }
        }
        GR_TILE {
            const B u0 = a0[r][c] == a0[r][c];
            const V u1 = V{} + GR_INF(T);
            const V u2 = where(u0, a0[r][c], u1);
            const V u3 = least(u2, lanes[r].s0[0]);
            const B u4 = u2 < lanes[r].s0[0];
            const B u5 = u2 == lanes[r].s0[0];
            const I u6 = I{} + -1;
            const I u7 = where(u0, (at + c), u6);
            const B u8 = u7 != u6;
            const B u9 = u5 & u8;
            const B u10 = lanes[r].s1[0] == u6;
            const B u11 = u7 < lanes[r].s1[0];
            const B u12 = u10 | u11;
            const B u13 = u9 & u12;
            const B u14 = u4 | u13;
            const I u15 = where(u14, u7, lanes[r].s1[0]);
            lanes[r].s0[0] = u3;
            lanes[r].s1[0] = u15;
        }
    }
    GR_INLINE void clear(char *state, int64_t) {
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
            one.s0[e] = lanes.s0[e];
            one.s1[e] = lanes.s1[e] < 0 ? -1 : j0 + lanes.s1[e];
            merge_one(row, one, e, e);
        }
    }
    GR_INLINE void merge_one(Row &a, const Row &b, int e, int f) {
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
            result<int64_t>(call.results[0])[at * 1 + e] = row.s1[e];
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
    GR_INLINE bool is_found(const Call &a, int64_t at) {
        bool all = true;
        for (int e = 0; e < 1; e++)
            all &= result<int64_t>(a.results[0])[at * 1 + e] >= 0;
        return all;
    }
};
}
GR_ENTRY(128) pack_parameters_kernel_3687764ed1aadd9e(const gr::kernel_3687764ed1aadd9e::Call *call, int64_t step) {
    gr::Driver<gr::kernel_3687764ed1aadd9e>::pack_parameters(*call);
}
GR_ENTRY(128) pack_rows_kernel_3687764ed1aadd9e(const gr::kernel_3687764ed1aadd9e::Call *call, int64_t step) {
    gr::Driver<gr::kernel_3687764ed1aadd9e>::pack_rows(*call);
}
GR_ENTRY(128) pack_columns_kernel_3687764ed1aadd9e(const gr::kernel_3687764ed1aadd9e::Call *call, int64_t step) {
    gr::Driver<gr::kernel_3687764ed1aadd9e>::pack_columns(*call);
}
GR_ENTRY(128) run_kernel_3687764ed1aadd9e(const gr::kernel_3687764ed1aadd9e::Call *call, int64_t step) {
    gr::Driver<gr::kernel_3687764ed1aadd9e>::run(*call);
}
GR_ENTRY(128) merge_kernel_3687764ed1aadd9e(const gr::kernel_3687764ed1aadd9e::Call *call, int64_t step) {
    gr::Driver<gr::kernel_3687764ed1aadd9e>::merge(*call, step);
}
GR_ENTRY(128) repair_kernel_3687764ed1aadd9e(const gr::kernel_3687764ed1aadd9e::Call *call, int64_t step) {
    gr::Driver<gr::kernel_3687764ed1aadd9e>::repair(*call);
}
