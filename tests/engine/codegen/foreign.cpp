// Runs kernels on a processor that Python is not on: arguments from a file, results to another.
//
// Compiled with KERNELS, the file that has the kernels' sources, and EACH(f), their names. The
// first argument is a kernel's name; the files are written and read by `Foreign` in test_isa.py. Every buffer is a
// heap block of its own and filled with NaN beforehand, so that what was never written shows.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include KERNELS

static FILE *from;

static int64_t number() {
    int64_t n;
    if (fread(&n, sizeof n, 1, from) != 1) exit(3);
    return n;
}

static void *room(int64_t bytes) {
    void *block = aligned_alloc(64, (bytes + 64) / 64 * 64);
    return memset(block, 0xff, bytes);
}

template <class K> static int run(FILE *to) {
    typedef typename K::T T;             // of what is packed
    typedef typename K::Call::Scalar S;  // of arguments and parameters
    typename K::Call a;
    constexpr int slots = sizeof(a.slots) / sizeof(a.slots[0]);
    constexpr int results = sizeof(a.results) / sizeof(a.results[0]);
    memset(&a, 0, sizeof a);
    a.n.M = number(), a.n.N = number(), a.n.K = number();
    a.n.threads = number(), a.n.chunks = number(), a.n.kept = number();
    a.n.batches = a.n.column_batches = a.n.parameter_batches = 1;
    a.n.block = K::RB, a.n.blockwise = a.n.M <= K::RB;
    a.n.first = 0, a.n.last = (a.n.M + K::RB - 1) / K::RB;

    static const int64_t one_batch = 0;
    const int64_t given = number();
    for (int64_t s = 0; s < given; s++) {
        const int64_t rows = number(), columns = number();
        S *data = (S *)room(rows * columns * sizeof(S));
        if ((int64_t)fread(data, sizeof(S), rows * columns, from) != rows * columns) return 3;
        if (s < slots) a.slots[s] = {data, columns, 1, &one_batch};
    }
    int64_t sizes[results];
    if (number() != results) return 4;
    for (int64_t &size : sizes) size = number();
    for (int r = 0; r < results; r++) a.results[r] = room(sizes[r]);

    const int64_t vectors = (a.n.N + K::L - 1) / K::L, row_bytes = K::row_bytes(a.n.kept);
    a.n.from = 0, a.n.to = vectors, a.n.pack = 2; // one wave, and the first part
    a.scratch_bytes = (gr::Driver<K>::scratch_bytes(a.n) + 63) / 64 * 64;
    a.parameters = (S *)room(K::NP * sizeof(S));
    a.columns = (T *)room(vectors * K::NC * K::L * sizeof(T));
    a.scratch = (char *)room(a.scratch_bytes * a.n.threads);
    a.states = (char *)room(row_bytes * a.n.chunks * a.n.M);
    a.unproven = (uint8_t *)room(a.n.M);
    gr::Driver<K>::run(a);
    for (int r = 0; r < results; r++)
        if ((int64_t)fwrite(a.results[r], 1, sizes[r], to) != sizes[r]) return 5;
    if ((int64_t)fwrite(a.unproven, 1, a.n.M, to) != a.n.M) return 5;
    return fclose(to) ? 5 : 0;
}

int main(int count, char **words) {
    if (count == 2 && !strcmp(words[1], "width")) return GEOREDUCE_VECTOR_BYTES;
    if (count != 4) return 2;
    from = fopen(words[2], "rb");
    FILE *to = fopen(words[3], "wb");
    if (!from || !to) return 2;
#define SERVE(NAME)                                                                                \
    if (!strcmp(words[1], #NAME)) return run<gr::NAME>(to);
    EACH(SERVE)
    return 6;
}
