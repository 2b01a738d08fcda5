// What generated CUDA kernels are made of: a "vector" V of the printer is one scalar T of a thread.
//
// Compiled by NVRTC, without headers, or by a C++ compiler on emulator.h, which defines GR_EMULATED and
// what CUDA has built in. Functions are CUDA's own, with the errors that its documentation gives. The one
// exception is `fast_exp` of floats, for pairs, whose arguments are rounded already: it adds at most
// |x| * 2^-23 (one rounding of the argument and one of a constant) + 2^-22 of relative error, and
// results below 2^-126 are 0. What is computed per row or per column uses CUDA's `expf`.
#ifndef GEOREDUCE_DEVICE_H
#define GEOREDUCE_DEVICE_H

#ifndef GR_EMULATED
typedef long long int64_t;
typedef unsigned long long uint64_t;
#define GR_INLINE static __device__ __forceinline__
#define GR_MEMBER __device__ __forceinline__
#define GR_OUTLINE static __device__ __noinline__
#define GR_PRAGMA(x) _Pragma(#x)
#define GR_UNROLL GR_PRAGMA(unroll)
#define GR_UNROLL_BY(n) GR_PRAGMA(unroll n)
#define GR_ROLLED GR_PRAGMA(unroll 1)
#define GR_SHARED(T, name, count) __shared__ __align__(16) T name[count]
#define GR_ENTRY(threads) extern "C" __global__ void __launch_bounds__(threads, 2)
#endif
#define GR_TILE GR_UNROLL for (int c = 0; c < C; c++) GR_UNROLL for (int r = 0; r < R; r++)
#define GR_INF(T) ((T)__int_as_float(0x7f800000))
#define GR_NAN(T) ((T)__int_as_float(0x7fc00000))

namespace gr {

// ---- memory ----------------------------------------------------------------------------------------------

#ifndef GR_CHECKED // pointers that an emulator checks are its own
template <class T> using Global = T *;
template <class T> using Shared = T *;
#endif

// Components of the n of a vector load.
template <class T, int n> struct wide { static constexpr int count = n * sizeof(T) > 16 ? 16 / sizeof(T) : n; };

#ifndef GR_EMULATED
template <int n> GR_INLINE float part(const float *p, int c) {
    if constexpr (n == 1) return p[c];
    if constexpr (n == 2) {
        const float2 q = *(const float2 *)(p + c / 2 * 2);
        return c % 2 == 0 ? q.x : q.y;
    }
    const float4 q = *(const float4 *)(p + c / 4 * 4);
    return c % 4 == 0 ? q.x : c % 4 == 1 ? q.y : c % 4 == 2 ? q.z : q.w;
}
template <int n> GR_INLINE double part(const double *p, int c) {
    if constexpr (n == 1) return p[c];
    const double2 q = *(const double2 *)(p + c / 2 * 2);
    return c % 2 == 0 ? q.x : q.y;
}
// Sixteen bytes of a copy.
template <class T> GR_INLINE void copy_16(T *to, const T *from, int n) { ((float4 *)to)[n] = ((const float4 *)from)[n]; }
#else
template <int n, class P> GR_INLINE typename element<P>::exact part(P p, int c) {
    constexpr int count = wide<typename element<P>::exact, n>::count;
    check_alignment(p, c / count * count, count);
    return p[c];
}
template <class To, class From> GR_INLINE void copy_16(To to, From from, int n) {
    constexpr int count = 16 / sizeof(typename element<From>::exact);
    check_alignment(to, n * count, count), check_alignment(from, n * count, count);
    for (int k = 0; k < count; k++) to[n * count + k] = from[n * count + k];
}
#endif

// Hoisted values of points that stand one after the other: component k of point n at k * STRIDE + n.
// `at<n>` loads point c of n, of which it knows that the first is aligned.
template <class P, int STRIDE> struct Packed {
    P p;
    template <int n> GR_MEMBER auto at(int k, int c) const { return part<n>(p + (int64_t)k * STRIDE, c); }
    GR_MEMBER Packed from(int n) const { return {p + n}; }
};
// The same of R rows, in registers.
template <class T, int COUNT, int R> struct Registers {
    T x[COUNT > 0 ? COUNT : 1][R];
    template <int n> GR_MEMBER T at(int k, int r) const { return x[k][r]; }
};

// ---- scalars ---------------------------------------------------------------------------------------------

template <class T> GR_INLINE T broadcast(T x) { return x; }
template <class V> GR_INLINE V one() { return (V)1; }
template <class T> GR_INLINE T where(bool m, T a, T b) { return m ? a : b; }
template <class T> GR_INLINE T lesser(T a, T b) { return a < b ? a : b; }
template <class T> GR_INLINE T greater(T a, T b) { return a > b ? a : b; }

#define GR_FUNCTION(NAME, F)                                                                                     \
    GR_INLINE float NAME(float x) { return ::F##f(x); }                                                          \
    GR_INLINE double NAME(double x) { return ::F(x); }
GR_FUNCTION(abs, fabs)
GR_FUNCTION(sqrt, sqrt)
GR_FUNCTION(rsqrt, rsqrt)
GR_FUNCTION(floor, floor)
GR_FUNCTION(ceil, ceil)
GR_FUNCTION(round, rint)
GR_FUNCTION(exp, exp)
GR_FUNCTION(expm1, expm1)
GR_FUNCTION(log, log)
GR_FUNCTION(log1p, log1p)
GR_FUNCTION(sin, sin)
GR_FUNCTION(cos, cos)
GR_FUNCTION(tan, tan)
GR_FUNCTION(asin, asin)
GR_FUNCTION(acos, acos)
GR_FUNCTION(atan, atan)
GR_FUNCTION(sinh, sinh)
GR_FUNCTION(cosh, cosh)
GR_FUNCTION(tanh, tanh)
GR_FUNCTION(asinh, asinh)
GR_FUNCTION(acosh, acosh)
GR_FUNCTION(atanh, atanh)
GR_FUNCTION(erf, erf)
GR_FUNCTION(erfc, erfc)
GR_INLINE float pow(float x, float y) { return ::powf(x, y); }
GR_INLINE double pow(double x, double y) { return ::pow(x, y); }
GR_INLINE float atan2(float y, float x) { return ::atan2f(y, x); }
GR_INLINE double atan2(double y, double x) { return ::atan2(y, x); }
// For states, which are never NaN: the other one where x is.
GR_INLINE float least(float x, float state) { return ::fminf(x, state); }
GR_INLINE double least(double x, double state) { return ::fmin(x, state); }
GR_INLINE float most(float x, float state) { return ::fmaxf(x, state); }
GR_INLINE double most(double x, double state) { return ::fmax(x, state); }

template <class T> GR_INLINE T inv(T x) { return 1 / x; }
template <class T> GR_INLINE T sign(T x) { return x > 0 ? (T)1 : x < 0 ? (T)-1 : x + (T)0; }
template <class T> GR_INLINE T step(T x) { return x < 0 ? (T)0 : (T)1; }
template <class T> GR_INLINE T minimum(T a, T b) { return a != a ? a : lesser(a, b); }
template <class T> GR_INLINE T maximum(T a, T b) { return a != a ? a : greater(a, b); }
template <class T> GR_INLINE T xlogx(T x) { return x == 0 ? (T)0 : x * log(x); }
template <class T> GR_INLINE T sinc(T x) { return x == 0 ? (T)1 : sin(x) / x; }
template <class T> GR_INLINE T sigmoid(T x) {
    const T e = exp(-abs(x));
    return (x >= 0 ? (T)1 : e) / (1 + e);
}
template <class T> GR_INLINE T softplus(T x) { return greater(x, (T)0) + log1p(exp(-abs(x))); }

#ifndef GR_EMULATED
GR_INLINE float ex2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
#endif
GR_INLINE float fast_exp(float x) { return ex2(x * 1.44269504f); }
GR_INLINE double fast_exp(double x) { return ::exp(x); }

// ---- arguments -------------------------------------------------------------------------------------------

template <class T> struct Slot {
    const T *data;
    int64_t stride, step;   // between points, between components
    const int64_t *offsets; // of every batch
};
template <class T> GR_INLINE Global<const T> point(const Slot<T> &s, int64_t batch, int64_t n) {
    return Global<const T>(s.data) + (Global<const int64_t>(s.offsets)[batch] + n * s.stride);
}

// A launch does row blocks `first` and those after it, of all batches; a row block has as many rows as
// the threads along x of a block hold. `kept` rows have states, the first of them being row `origin` of
// all batches: one for each row, chunk of columns and thread along y, `parts` for each row. A batch has
// `row_blocks`, and a chunk `chunk_blocks` tiles of columns.
struct Sizes {
    int64_t M, N, batches, K, chunks, parts, row_batches, column_batches, parameter_batches, first, origin, kept;
    int64_t row_blocks, chunk_blocks;
};
template <class T, int SLOTS, int RESULTS> struct Call {
    Sizes n;
    T *parameters, *rows, *columns;
    char *states;
    void *results[RESULTS];
    Slot<T> slots[SLOTS > 0 ? SLOTS : 1];
};
template <class R> GR_INLINE Global<R> result(void *p) { return Global<R>((R *)p); }

} // namespace gr
#endif
