// Kmin_argKmin over j of sum(square(x0 - y1)), float, at most 16
namespace gr {
struct kernel_2fb3368eb72ce9b4 {
    typedef float T, V;
    typedef int I;
    typedef bool B;
    typedef gr::Call<T, 2, 2> Call;
    static constexpr int NP = 0, NR = 20, NC = 20;
    static constexpr int R = 2, C = 8;
    static constexpr int RB = 64, CB = 64;
    static constexpr bool STAGED = true;
    static constexpr int SLOT0 = 0, SLOT1 = 1;
    typedef Packed<Global<const T>, RB> Rows;
    struct Lanes {};
    typedef Sorted<T, 16, int> Row;
    typedef Sorted<T, 16, int64_t> Kept;
    static constexpr bool FLUSH = false;
    static constexpr int GROUP = 16;
    GR_INLINE void pack_parameters(const Call &a, int64_t batch, Global<T> to) {
    }
    GR_INLINE void pack_rows(const Call &a, Global<const T> par, int64_t batch, int64_t n, Global<T> to) {
        const Global<const T> x0 = point(a.slots[SLOT0], batch, n);
        const int64_t step0 = a.slots[SLOT0].step;
        for (int d0 = 0; d0 < 20; d0++) {
            const V t1 = x0[(d0) * step0];
            to[(d0) * RB] = t1;
        }
    }
    GR_INLINE void pack_columns(const Call &a, Global<const T> par, int64_t batch, int64_t n, Global<T> to) {
        const Global<const T> x1 = point(a.slots[SLOT1], batch, n);
        const int64_t step1 = a.slots[SLOT1].step;
        for (int d0 = 0; d0 < 20; d0++) {
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
        GR_UNROLL_BY(5) for (int d1 = 0; d1 < 20; d1++) {
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
        bool some = false;
        GR_TILE some |= row[r].passes(v[r][c]);
        if (some) {
            GR_UNROLL for (int r = 0; r < R; r++) {
                GR_ROLLED for (int c = 0; c < C; c++) row[r].offer(pick(v[r], c), at + c);
            }
        }
    }
    GR_INLINE void open(const Call &a, Row &row, int64_t, int64_t, bool) {
        row.clear(a.n.K);
    }
    GR_INLINE Kept kept(const Row &row, int64_t j0) { return kept_of(row, j0); }
    GR_INLINE void put(const Call &a, const Kept &row, int64_t slot) {
        Global<Kept>((Kept *)a.states)[slot] = row;
    }
    GR_INLINE void get(const Call &a, Kept &row, int64_t slot) {
        row = Global<Kept>((Kept *)a.states)[slot];
    }
    GR_INLINE void begin(Lanes &, const char *) {}
    GR_INLINE void end(Lanes &, char *, int64_t) {}
    GR_INLINE void merge(char *a, char *b) { ((Kept *)a)->merge(*(Kept *)b); }
    GR_INLINE void finish(const Call &a, char *state, int64_t at) {
        ((Kept *)state)->finish(a.results[0], a.results[1], at, a.n.K);
    }
};
}
GR_ENTRY(128) pack_parameters_kernel_2fb3368eb72ce9b4(const gr::kernel_2fb3368eb72ce9b4::Call *call, int64_t step) {
    gr::Driver<gr::kernel_2fb3368eb72ce9b4>::pack_parameters(*call);
}
GR_ENTRY(128) pack_rows_kernel_2fb3368eb72ce9b4(const gr::kernel_2fb3368eb72ce9b4::Call *call, int64_t step) {
    gr::Driver<gr::kernel_2fb3368eb72ce9b4>::pack_rows(*call);
}
GR_ENTRY(128) pack_columns_kernel_2fb3368eb72ce9b4(const gr::kernel_2fb3368eb72ce9b4::Call *call, int64_t step) {
    gr::Driver<gr::kernel_2fb3368eb72ce9b4>::pack_columns(*call);
}
GR_ENTRY(128) run_kernel_2fb3368eb72ce9b4(const gr::kernel_2fb3368eb72ce9b4::Call *call, int64_t step) {
    gr::Driver<gr::kernel_2fb3368eb72ce9b4>::run(*call);
}
GR_ENTRY(128) merge_kernel_2fb3368eb72ce9b4(const gr::kernel_2fb3368eb72ce9b4::Call *call, int64_t step) {
    gr::Driver<gr::kernel_2fb3368eb72ce9b4>::merge(*call, step);
}
