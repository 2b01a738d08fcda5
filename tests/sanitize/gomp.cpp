// The part of GNU's OpenMP runtime that kernels call, out of nothing but threads, a mutex and barriers.
//
// ThreadSanitizer sees how these synchronise, and does not see how GNU's runtime does (futexes in a library
// that is not instrumented), of which it would report races that there are not. Threads are made for each
// region and joined after it. There are pauses at random, so that orders come up that a machine with few
// processors would not show.
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

constexpr int MOST = 64; // threads of a team; loops that it is in at the same time, as some need not be waited for

struct Loop {
    long number, next, end, step, chunk;
};
struct Team {
    int size = 1;
    void (*body)(void *) = nullptr;
    void *data = nullptr;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_barrier_t barrier;
    Loop loops[MOST] = {};
};
struct Worker {
    Team *team = nullptr;
    int number = 0;
    long loops = 0; // that it has entered
    unsigned random = 0;
};

thread_local Team lone_team;
thread_local Worker lone_worker{&lone_team};
thread_local Worker *self = nullptr;

Worker &me() { return self ? *self : lone_worker; }

void pause_at_random() {
    unsigned &random = me().random;
    random = random * 1103515245u + 12345u;
    for (unsigned n = random >> 16 & 3; n > 0; n--) sched_yield();
}

void wait_for_all() {
    if (me().team->size > 1) pthread_barrier_wait(&me().team->barrier);
}

bool take(long *from, long *to) {
    if (me().team->size > 1) pause_at_random();
    Team &team = *me().team;
    Loop &loop = team.loops[me().loops % MOST];
    pthread_mutex_lock(&team.lock);
    const bool some = loop.step > 0 ? loop.next < loop.end : loop.next > loop.end;
    if (some) {
        *from = loop.next;
        loop.next += loop.chunk * loop.step;
        const bool past = loop.step > 0 ? loop.next > loop.end : loop.next < loop.end;
        *to = past ? loop.end : loop.next;
    }
    pthread_mutex_unlock(&team.lock);
    return some;
}

bool start(long from, long to, long step, long chunk, long *first, long *last) {
    Team &team = *me().team;
    const long number = ++me().loops;
    Loop &loop = team.loops[number % MOST];
    pthread_mutex_lock(&team.lock);
    if (loop.number < number) loop = {number, from, to, step, chunk};
    pthread_mutex_unlock(&team.lock);
    return take(first, last);
}

void *work(void *argument) {
    Worker *const outside = self;
    self = (Worker *)argument;
    pause_at_random();
    self->team->body(self->team->data);
    self = outside;
    return nullptr;
}

} // namespace

EXPORT void GOMP_parallel(void (*body)(void *), void *data, unsigned threads, unsigned) {
    static thread_local unsigned seed = 1;
    Team team;
    Worker workers[MOST];
    pthread_t started[MOST];
    team.size = threads ? (int)threads : 1, team.body = body, team.data = data;
    if (team.size > MOST || self) abort(); // regions within regions: kernels have none
    pthread_barrier_init(&team.barrier, nullptr, team.size);
    for (int n = 0; n < team.size; n++) workers[n] = {&team, n, 0, seed += 77};
    for (int n = 1; n < team.size; n++)
        if (pthread_create(&started[n], nullptr, work, &workers[n])) abort();
    work(&workers[0]);
    for (int n = 1; n < team.size; n++) pthread_join(started[n], nullptr);
    pthread_barrier_destroy(&team.barrier);
}
EXPORT void GOMP_barrier() { wait_for_all(); }

#define START(NAME)                                                                                                    \
    EXPORT bool NAME(long from, long to, long step, long chunk, long *first, long *last) {                             \
        return start(from, to, step, chunk, first, last);                                                              \
    }
START(GOMP_loop_dynamic_start)
START(GOMP_loop_nonmonotonic_dynamic_start)
EXPORT bool GOMP_loop_dynamic_next(long *first, long *last) { return take(first, last); }
EXPORT bool GOMP_loop_nonmonotonic_dynamic_next(long *first, long *last) { return take(first, last); }
EXPORT void GOMP_loop_end() { wait_for_all(); }
EXPORT void GOMP_loop_end_nowait() {}

EXPORT int omp_get_thread_num() { return me().number; }
EXPORT int omp_get_num_threads() { return me().team->size; }
EXPORT int omp_get_max_threads() { return MOST; }
EXPORT int georeduce_stand_in() { return 1; }
