// CUDA on a C++ compiler: what generated kernels use of it, so that their very source runs without a GPU.
//
// The threads of a block are fibers of one thread of the machine: each runs until the next barrier, then
// the next one. Blocks are run in parallel. With GR_CHECKED, memory is reached through pointers that know
// their arrays. Found, and told with the block and the thread: a barrier that only a part of a block
// reaches, or at different places; an access outside of every array, shared or global; a vector access that
// is not aligned; a read of shared memory that nobody in the block has written.
#ifndef GEOREDUCE_EMULATOR_H
#define GEOREDUCE_EMULATOR_H
#define GR_EMULATED 1
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O1") // compiling takes longer than running, and O3 twice as long
#endif

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#define GR_INLINE static inline
#define GR_MEMBER inline
#define GR_OUTLINE static __attribute__((noinline))
#define GR_PRAGMA(x) _Pragma(#x)
#define GR_UNROLL
#define GR_UNROLL_BY(n)
#define GR_ROLLED
#define GR_ENTRY(threads) extern "C" __attribute__((visibility("default"))) void

static inline float __int_as_float(int bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
#define rsqrt gr_rsqrt // newer C libraries have their own
#define rsqrtf gr_rsqrtf
static inline double gr_rsqrt(double x) { return 1 / sqrt(x); }
static inline float gr_rsqrtf(float x) { return 1 / sqrtf(x); }

namespace gr {

static inline float ex2(float x) {
    const float y = exp2f(x);
    return y < 1.17549435e-38f ? 0 : y; // as ex2.approx.ftz
}

// ---- fibers ----------------------------------------------------------------------------------------------

struct Dim {
    unsigned x, y, z;
};
constexpr int MOST = 1024, STACK = 256 * 1024;

struct Fiber {
    Dim thread;
    bool done;
    int line; // of the barrier that it waits at
#if defined(__x86_64__)
    void *context;
#else
    ucontext_t context;
#endif
};
struct Array {
    const char *begin, *end;
    uint8_t *written; // of each byte, of shared memory
};
struct Worker {
    Fiber fibers[MOST];
    Fiber home;
    char *stacks;
    int count;
    int64_t serial; // of the block, so that shared memory knows when it is new
    void (*kernel)(const void *, int64_t);
    const void *call;
    int64_t step;
    const Array *arrays;
    int64_t n_arrays;
    bool failed;
    char message[256];
};
static thread_local Worker *worker;
static thread_local Fiber *now;
static thread_local Dim block_index, block_size, grid_size;
#define threadIdx (gr::now->thread)
#define blockIdx gr::block_index
#define blockDim gr::block_size
#define gridDim gr::grid_size

#if defined(__x86_64__)
extern "C" __attribute__((visibility("hidden"))) void gr_switch(void **from, void *to);
asm(R"(
.text
.type gr_switch, @function
gr_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size gr_switch, .-gr_switch
)");
static inline void go(Fiber &from, Fiber &to) { gr_switch(&from.context, to.context); }
#else
static inline void go(Fiber &from, Fiber &to) { swapcontext(&from.context, &to.context); }
#endif

static void pause() { go(*now, worker->home); }

static void entry() {
    worker->kernel(worker->call, worker->step);
    now->done = true;
    pause();
}

static void prepare(Fiber &f, char *stack) {
#if defined(__x86_64__)
    void **top = (void **)(stack + STACK);
    *--top = nullptr;
    *--top = (void *)&entry;
    f.context = top - 6; // six registers
#else
    getcontext(&f.context);
    f.context.uc_stack.ss_sp = stack;
    f.context.uc_stack.ss_size = STACK;
    f.context.uc_link = nullptr;
    makecontext(&f.context, entry, 0);
#endif
}

// Ends the launch; returns to no one.
[[noreturn]] static void fail(const char *what) {
    if (!worker->failed)
        snprintf(worker->message, sizeof worker->message, "block %u, thread (%u, %u): %s", block_index.x, now->thread.x,
                 now->thread.y, what);
    worker->failed = true;
    for (;;) pause();
}

static void barrier(int line) {
    now->line = line;
    pause();
}
#define __syncthreads() gr::barrier(__LINE__)

// Run a block; false if it failed.
static bool run_block(Worker &w, int64_t index) {
    block_index = {(unsigned)index, 0, 0};
    w.serial++;
    for (int t = 0; t < w.count; t++) {
        w.fibers[t].thread = {t % block_size.x, t / block_size.x, 0};
        w.fibers[t].done = false;
        prepare(w.fibers[t], w.stacks + (int64_t)t * STACK);
    }
    for (;;) {
        int waiting = 0, line = 0;
        Fiber *other = nullptr;
        for (int t = 0; t < w.count; t++) {
            Fiber &f = w.fibers[t];
            if (f.done) continue;
            now = &f;
            go(w.home, f);
            if (w.failed) return false;
            if (f.done) continue;
            if (waiting && f.line != line) other = &f;
            line = f.line;
            waiting++;
        }
        if (!waiting) return true;
        if (waiting == w.count && !other) continue;
        if (!other)
            for (int t = 0; t < w.count; t++)
                if (w.fibers[t].done) other = &w.fibers[t];
        snprintf(w.message, sizeof w.message, "block %u: a barrier is reached by a part of the block only, not by thread (%u, %u)",
                 block_index.x, other->thread.x, other->thread.y);
        w.failed = true;
        return false;
    }
}

// ---- memory ----------------------------------------------------------------------------------------------

template <class P> struct element;
template <class T> struct element<T *> { typedef T exact; };
template <class T> struct element<const T *> { typedef T exact; };

#ifndef GR_CHECKED
#define GR_SHARED(T, name, count) alignas(16) static thread_local T name[count]
#else
static const Array *array_of(const void *p) {
    for (int64_t n = 0; n < worker->n_arrays; n++)
        if (p >= worker->arrays[n].begin && p < worker->arrays[n].end) return worker->arrays + n;
    return nullptr;
}

template <class T> struct Element {
    T *at;
    const Array *array;
    typedef typename element<T *>::exact exact;

    void check(bool writes) const {
        const char *p = (const char *)at;
        char text[128];
        if (!array || p < array->begin || p + sizeof(T) > array->end) {
            if (array)
                snprintf(text, sizeof text, "%s %d bytes at offset %lld of %s array of %lld bytes", writes ? "writes" : "reads",
                         (int)sizeof(T), (long long)(p - array->begin), array->written ? "a shared" : "a global",
                         (long long)(array->end - array->begin));
            else
                snprintf(text, sizeof text, "%s %d bytes outside of all arrays", writes ? "writes" : "reads", (int)sizeof(T));
            fail(text);
        }
        if (!array->written) return;
        uint8_t *flags = array->written + (p - array->begin);
        if (writes) memset(flags, 1, sizeof(T));
        else if (memchr(flags, 0, sizeof(T))) fail("reads shared memory that was not written");
    }
    operator exact() const {
        check(false);
        return *at;
    }
    const Element &operator=(const exact &value) const {
        check(true);
        *at = value;
        return *this;
    }
    const Element &operator=(const Element &other) const { return *this = (exact)other; }
};
template <class T> struct Checked {
    T *p;
    const Array *array;
    Checked() = default;
    explicit Checked(T *q) : p(q), array(array_of(q)) {}
    Checked(T *q, const Array *a) : p(q), array(a) {}
    operator Checked<const T>() const { return {p, array}; }
    Checked operator+(int64_t n) const { return {p + n, array}; }
    Element<T> operator[](int64_t n) const { return {p + n, array}; }
};
template <class T> struct element<Checked<T>> { typedef typename element<T *>::exact exact; };
template <class T> using Global = Checked<T>;
template <class T> using Shared = Checked<T>;

template <class T> static inline Checked<T> shared_array(T *data, uint8_t *written, int64_t bytes, Array &array, int64_t &serial) {
    if (serial != worker->serial) {
        serial = worker->serial;
        memset(written, 0, bytes);
        array = {(const char *)data, (const char *)data + bytes, written};
    }
    return {data, &array};
}
#define GR_SHARED(T, name, count)                                                                                \
    alignas(16) static thread_local T name##_data[count];                                                        \
    static thread_local uint8_t name##_written[sizeof name##_data];                                              \
    static thread_local gr::Array name##_array;                                                                  \
    static thread_local int64_t name##_serial;                                                                   \
    const gr::Shared<T> name = gr::shared_array(name##_data, name##_written, sizeof name##_data, name##_array, name##_serial)
#endif

// Whether `count` numbers from the n-th on may be loaded at once.
template <class T> static inline void check_alignment(T *, int64_t, int) {}
#ifdef GR_CHECKED
template <class T> static inline void check_alignment(const Checked<T> &p, int64_t n, int count) {
    if ((uintptr_t)(p.p + n) % (count * sizeof(T))) fail("accesses a vector that is not aligned");
}
#endif

} // namespace gr

// Runs a kernel; returns whether it failed, and why in `message`.
extern "C" __attribute__((visibility("default"))) int gr_emulate(void (*kernel)(const void *, int64_t), const void *call,
                                                                 int64_t step, int64_t grid, int bx, int by, int threads,
                                                                 const gr::Array *arrays, int64_t n_arrays, char *message) {
    using namespace gr;
    bool failed = false;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        static thread_local Worker *mine; // kept: threads of the machine are reused
        if (!mine) {
            mine = (Worker *)calloc(1, sizeof(Worker));
            mine->stacks = (char *)mmap(nullptr, (size_t)MOST * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        }
        worker = mine;
        worker->count = bx * by;
        worker->kernel = kernel, worker->call = call, worker->step = step;
        worker->arrays = arrays, worker->n_arrays = n_arrays;
        worker->failed = false;
        block_size = {(unsigned)bx, (unsigned)by, 1}, grid_size = {(unsigned)grid, 1, 1};
#pragma omp for schedule(dynamic)
        for (int64_t b = 0; b < grid; b++) {
            if (worker->failed || failed || run_block(*worker, b)) continue;
#pragma omp critical
            {
                if (!failed) strcpy(message, worker->message);
                failed = true;
            }
        }
    }
    return failed;
}
#endif
