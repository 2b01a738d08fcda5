// The lists of smallest.h for ctypes: values of a row go in by one of the ways that a kernel has, and the K smallest
// come out. Lists stand between fences, so that what is written outside of them is seen.
#include "smallest.h"

#include <stdlib.h>

using namespace gr;

enum Way { TILES, VECTORS, MERGED, WAYS };

template <class T> struct Row {
    typedef Smallest<T> S;
    static constexpr int FENCE = 4096, L = S::L;
    template <int C> static constexpr int TILES_OF_64 = 64 / (C * L); // with one number for all columns left out
    char *memory;
    int64_t size;
    S *list;

    explicit Row(int64_t K) : size(S::bytes(K)) {
        memory = (char *)aligned_alloc(64, (size + 2 * FENCE + 63) / 64 * 64);
        __builtin_memset(memory, 0x5a, size + 2 * FENCE);
        list = (S *)(memory + FENCE);
        list->clear(K);
    }
    bool free_within_fences() {
        bool good = true;
        for (int n = 0; n < FENCE; n++) good &= memory[n] == 0x5a && memory[FENCE + size + n] == 0x5a;
        free(memory);
        return good;
    }
    // Values j0 to j1 - 1, as select.h has it: tiles of C vectors, of which several have one limit. After every 64 columns
    // `leap` are left out.
    template <int C> void offer(const T *v, int64_t j0, int64_t j1, int64_t leap) {
        constexpr int MOST = TILES_OF_64<C> < 4 ? TILES_OF_64<C> * 16 : 64;
        alignas(GEOREDUCE_VECTOR_BYTES) T held[MOST * C * L];
        for (int64_t j = j0; j < j1;) {
            const int64_t block = (leap ? TILES_OF_64<C> : j % 3 ? MOST : MOST / 2) * C * L;
            const int64_t run = leap && 64 - j % 64 < block ? 64 - j % 64 : block, n = run < j1 - j ? run : j1 - j;
            const int tiles = (int)((n + C * L - 1) / (C * L));
            const typename S::V limit = broadcast(list->limit);
            uint64_t hits = 0;
            for (int t = 0; t < tiles; t++) {
                typename S::V x[C];
                for (int c = 0; c < C; c++) {
                    T lane[L];
                    for (int l = 0; l < L; l++) {
                        const int64_t k = (t * C + c) * L + l;
                        lane[l] = k < n ? v[j + k] : GR_NAN(T);
                    }
                    x[c] = loadu(lane), store(held + (t * C + c) * L, x[c]);
                }
                if (S::template hit<C>(x, limit)) hits |= S::FIRST >> t;
            }
            if (hits) S::template take<C>(*list, held, hits, tiles, j + j / 64 * leap);
            j += n;
        }
    }
    void offer(Way way, const T *v, int64_t j0, int64_t j1, int64_t leap) {
        if (way == VECTORS) offer<1>(v, j0, j1, leap);
        else offer<4>(v, j0, j1, leap);
    }
};

// Stores K values and columns and, as they were before the end, the limit and the top. Returns how many there are; -1 if
// something was written outside of a list, -2 if the list as a whole is not what it is by its entries.
template <class T>
static int64_t smallest(int64_t way, const T *v, int64_t n, int64_t K, int64_t leap, T *values, int64_t *columns, T *before) {
    Row<T> row(K);
    bool good = true;
    if (way == MERGED) {
        const int chunks = 3;
        row.offer(TILES, v, 0, n / chunks, leap);
        for (int c = 1; c < chunks; c++) {
            Row<T> other(K);
            other.offer(TILES, v, n * c / chunks, n * (c + 1) / chunks, leap);
            Smallest<T>::merge(*row.list, *other.list);
            good &= other.free_within_fences();
        }
    } else
        row.offer((Way)way, v, 0, n, leap);
    before[0] = row.list->limit, before[1] = row.list->top;
    row.list->compact();
    const int64_t count = row.list->count;
    if (count > K) return -2;
    for (int64_t k = 0; k < count; k++) values[k] = row.list->entries()[k].value, columns[k] = row.list->entries()[k].column;
    good &= row.free_within_fences();
    return good ? count : -1;
}

extern "C" int64_t ways() { return WAYS; }
extern "C" int64_t vector_bytes() { return GEOREDUCE_VECTOR_BYTES; }
extern "C" int64_t bytes_f32(int64_t K) { return Smallest<float>::bytes(K); }
extern "C" int64_t bytes_f64(int64_t K) { return Smallest<double>::bytes(K); }
extern "C" int64_t smallest_f32(int64_t way, const float *v, int64_t n, int64_t K, int64_t leap, float *values,
                                int64_t *columns, float *before) {
    return smallest(way, v, n, K, leap, values, columns, before);
}
extern "C" int64_t smallest_f64(int64_t way, const double *v, int64_t n, int64_t K, int64_t leap, double *values,
                                int64_t *columns, double *before) {
    return smallest(way, v, n, K, leap, values, columns, before);
}
