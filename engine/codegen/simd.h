// Vectors for the generated CPU kernels: types, memory, masks, elementary arithmetic.
//
// Written with GCC/Clang vector extensions (C++17, GCC >= 9, Clang >= 12), so that one source
// serves AVX-512 (64-byte vectors), AVX2 (32), SSE and NEON (16). Builtins of an instruction set
// stand under `#if` where they pay, each beside a generic form. No system header but <stdint.h>:
// <cmath> and <immintrin.h> cost more compile time than the kernel.
//
//   vf   float lanes      mf   int32 lanes, as many as vf: comparison masks (0 / -1) and indices
//   vd   double lanes     md   int64 lanes, as many as vd
//
// Arithmetic, comparisons and shifts are the operators of the language. The elementary functions
// are in simd_math.h and simd_special.h; all have overloads for vf, vd, float and double. Their
// errors are in tables like this one, which tests and `python -m experiments accuracy` read: the
// largest in ulp, for all arguments, and the largest step between neighbours against the function's
// direction.
//             float    double   falls by
//   abs       0.00     0.00     0
//   sign      0.00     0.00     0
//   step      0.00     0.00     0
//   relu      0.00     0.00     0
//   floor     0.00     0.00     0
//   ceil      0.00     0.00     0
//   round     0.00     0.00     0
//   square    0.50     0.50     0
//   inv       0.50     0.50     0
//
// Expected flags: -O3 -fno-math-errno -fno-trapping-math -ffp-contract=fast, and never -ffast-math
// or one of its parts that assume finite or reorderable arithmetic.
#ifndef GEOREDUCE_SIMD_H
#define GEOREDUCE_SIMD_H

#include <stddef.h>
#include <stdint.h>

#ifndef GEOREDUCE_VECTOR_BYTES
#if defined(__AVX512F__) && defined(__AVX512DQ__)
#define GEOREDUCE_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define GEOREDUCE_VECTOR_BYTES 32
#else
#define GEOREDUCE_VECTOR_BYTES 16
#endif
#endif

// Builtins are used only where the vector width is that of the instruction set.
#if GEOREDUCE_VECTOR_BYTES == 64 && defined(__AVX512F__) && defined(__AVX512DQ__)
#define GR_AVX512 1
#elif GEOREDUCE_VECTOR_BYTES == 32 && defined(__AVX2__)
#define GR_AVX2 1
#elif GEOREDUCE_VECTOR_BYTES == 16 && defined(__SSE2__)
#define GR_SSE2 1
#endif

// Newer releases of Clang spell by meaning what used to be a builtin per instruction set.
#if defined(__clang__) && defined(__has_builtin)
#if __has_builtin(__builtin_elementwise_fma) && __has_builtin(__builtin_elementwise_sqrt)
#define GR_ELEMENTWISE 1
#endif
#endif

#define GR_INLINE static inline __attribute__((always_inline))
// Rare or long paths: one copy per kernel. A template, so that unused ones cost nothing and warn of
// nothing.
#define GR_OUTLINE static __attribute__((noinline))

namespace gr {

// ---- types --------------------------------------------------------------------------------------

typedef float vf __attribute__((vector_size(GEOREDUCE_VECTOR_BYTES)));
typedef double vd __attribute__((vector_size(GEOREDUCE_VECTOR_BYTES)));
typedef decltype(vf{} < vf{}) mf;
typedef decltype(vd{} < vd{}) md;
typedef uint32_t uf __attribute__((vector_size(GEOREDUCE_VECTOR_BYTES)));
typedef uint64_t ud __attribute__((vector_size(GEOREDUCE_VECTOR_BYTES)));

// What belongs to a scalar type T or, the same, to its vector type.
template <class T> struct lanes_of;
template <> struct lanes_of<float> {
    typedef float scalar;
    typedef vf vec;
    typedef mf mask;
    typedef uf bits;
    typedef int32_t integer;
    static constexpr int count = GEOREDUCE_VECTOR_BYTES / 4;
    static constexpr int mantissa = 23, bias = 127;
    static constexpr float magic = 12582912.0f;   // 1.5 * 2^23: adding it rounds to an integer
    static constexpr float integers = 8388608.0f; // 2^23: from here on every value is an integer
    static constexpr float smallest = 1.17549435e-38f, largest = 3.40282347e+38f;
    static constexpr uint32_t sign = 0x80000000u;
};
template <> struct lanes_of<double> {
    typedef double scalar;
    typedef vd vec;
    typedef md mask;
    typedef ud bits;
    typedef int64_t integer;
    static constexpr int count = GEOREDUCE_VECTOR_BYTES / 8;
    static constexpr int mantissa = 52, bias = 1023;
    static constexpr double magic = 6755399441055744.0;
    static constexpr double integers = 4503599627370496.0;
    static constexpr double smallest = 2.2250738585072014e-308, largest = 1.7976931348623157e+308;
    static constexpr uint64_t sign = 0x8000000000000000u;
};
template <> struct lanes_of<vf> : lanes_of<float> {};
template <> struct lanes_of<vd> : lanes_of<double> {};
template <class V> using scalar_of = typename lanes_of<V>::scalar;
template <class V> using mask_of = typename lanes_of<V>::mask;
template <class V> using bits_of = typename lanes_of<V>::bits;

#define GR_INF(T) ((T)__builtin_inff())
#define GR_NAN(T) ((T)__builtin_nanf(""))

// ---- memory -------------------------------------------------------------------------------------

// All lanes equal. Subtracting +0 keeps every value, -0 included.
template <class T> GR_INLINE typename lanes_of<T>::vec broadcast(T value) {
    return value - typename lanes_of<T>::vec{};
}
template <class V> GR_INLINE V fill(scalar_of<V> value) { return value - V{}; }

template <class T> GR_INLINE typename lanes_of<T>::vec load(const T *from) {
    typename lanes_of<T>::vec v;
    __builtin_memcpy(&v, __builtin_assume_aligned(from, GEOREDUCE_VECTOR_BYTES), sizeof v);
    return v;
}
template <class T> GR_INLINE typename lanes_of<T>::vec loadu(const T *from) {
    typename lanes_of<T>::vec v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
}
template <class T> GR_INLINE void store(T *to, typename lanes_of<T>::vec v) {
    __builtin_memcpy(__builtin_assume_aligned(to, GEOREDUCE_VECTOR_BYTES), &v, sizeof v);
}
template <class T> GR_INLINE void storeu(T *to, typename lanes_of<T>::vec v) {
    __builtin_memcpy(to, &v, sizeof v);
}

// ---- masks --------------------------------------------------------------------------------------

// 0, 1, 2, ... as a mask-typed vector: iota<float>() has the lanes of vf, iota<double>() those of
// vd.
template <class T> GR_INLINE mask_of<T> iota() {
    constexpr int n = lanes_of<T>::count;
    const typename lanes_of<T>::integer numbers[16] = {0, 1, 2,  3,  4,  5,  6,  7,
                                                       8, 9, 10, 11, 12, 13, 14, 15};
    static_assert(n <= 16, "vectors of at most 64 bytes");
    mask_of<T> m;
    __builtin_memcpy(&m, numbers, sizeof m);
    return m;
}

GR_INLINE vf where(mf m, vf a, vf b) { return m ? a : b; }
GR_INLINE vd where(md m, vd a, vd b) { return m ? a : b; }
GR_INLINE mf where(mf m, mf a, mf b) { return m ? a : b; }
GR_INLINE md where(md m, md a, md b) { return m ? a : b; }
GR_INLINE float where(bool m, float a, float b) { return m ? a : b; }
GR_INLINE double where(bool m, double a, double b) { return m ? a : b; }

// One bit a lane, lane 0 lowest.
#if GR_AVX512
GR_INLINE uint64_t bits(mf m) {
    return (uint16_t)__builtin_ia32_cvtd2mask512((int __attribute__((vector_size(64))))m);
}
GR_INLINE uint64_t bits(md m) {
    return (uint8_t)__builtin_ia32_cvtq2mask512((long long __attribute__((vector_size(64))))m);
}
#elif GR_AVX2
GR_INLINE uint64_t bits(mf m) { return (uint32_t)__builtin_ia32_movmskps256((vf)m); }
GR_INLINE uint64_t bits(md m) { return (uint32_t)__builtin_ia32_movmskpd256((vd)m); }
#elif GR_SSE2
GR_INLINE uint64_t bits(mf m) { return (uint32_t)__builtin_ia32_movmskps((vf)m); }
GR_INLINE uint64_t bits(md m) { return (uint32_t)__builtin_ia32_movmskpd((vd)m); }
#else
template <class M> GR_INLINE uint64_t bits_generic(M m, int count) {
    uint64_t r = 0;
    for (int k = 0; k < count; k++) r |= (uint64_t)(m[k] & 1) << k;
    return r;
}
GR_INLINE uint64_t bits(mf m) { return bits_generic(m, lanes_of<float>::count); }
GR_INLINE uint64_t bits(md m) { return bits_generic(m, lanes_of<double>::count); }
#endif
GR_INLINE uint64_t bits(bool m) { return m; }

template <class M> GR_INLINE bool any(M m) { return bits(m) != 0; }
template <class M> GR_INLINE bool all(M m) { return bits((M)~m) == 0; }
GR_INLINE bool any(bool m) { return m; }
GR_INLINE bool all(bool m) { return m; }

// bits(a < b) without a round trip of the mask through a vector register (GCC keeps that one).
#if GR_AVX512
GR_INLINE uint64_t bits_less(vf a, vf b) {
    return (uint16_t)__builtin_ia32_cmpps512_mask(a, b, 17, (uint16_t)-1, 4);
}
GR_INLINE uint64_t bits_less(vd a, vd b) {
    return (uint8_t)__builtin_ia32_cmppd512_mask(a, b, 17, (uint8_t)-1, 4);
}
#else
GR_INLINE uint64_t bits_less(vf a, vf b) { return bits((mf)(a < b)); }
GR_INLINE uint64_t bits_less(vd a, vd b) { return bits((md)(a < b)); }
#endif
template <class V> GR_INLINE bool any_less(V a, V b) { return bits_less(a, b) != 0; }

// ---- conversions --------------------------------------------------------------------------------

// The two halves of a vf as doubles, low lanes first, and back.
struct vd_pair {
    vd low, high;
};
typedef float vf_half __attribute__((vector_size(GEOREDUCE_VECTOR_BYTES / 2)));
GR_INLINE vd_pair widen(vf x) {
    struct {
        vf_half low, high;
    } h;
    __builtin_memcpy(&h, &x, sizeof x);
    return {__builtin_convertvector(h.low, vd), __builtin_convertvector(h.high, vd)};
}
GR_INLINE vf narrow(vd_pair x) {
    struct {
        vf_half low, high;
    } h = {__builtin_convertvector(x.low, vf_half), __builtin_convertvector(x.high, vf_half)};
    vf r;
    __builtin_memcpy(&r, &h, sizeof r);
    return r;
}
GR_INLINE vf to_real(mf m) { return __builtin_convertvector(m, vf); }
GR_INLINE vd to_real(md m) { return __builtin_convertvector(m, vd); }
GR_INLINE mf to_integer(vf x) { return __builtin_convertvector(x, mf); }
GR_INLINE md to_integer(vd x) { return __builtin_convertvector(x, md); }

// ---- elementary arithmetic ----------------------------------------------------------------------

template <class V> GR_INLINE bits_of<V> as_bits(V x) { return (bits_of<V>)x; }
template <class V> GR_INLINE V abs_v(V x) { return (V)(as_bits(x) & ~lanes_of<V>::sign); }
// |a| with the sign of b
template <class V> GR_INLINE V copysign_v(V a, V b) {
    return (V)((as_bits(a) & ~lanes_of<V>::sign) | (as_bits(b) & lanes_of<V>::sign));
}
// a with its sign flipped where b is negative
template <class V> GR_INLINE V mulsign(V a, V b) {
    return (V)(as_bits(a) ^ (as_bits(b) & lanes_of<V>::sign));
}

// The smaller and the larger of two in one instruction; b if either is NaN. (GCC does not always
// see that the conditional is the instruction.)
#if GR_AVX512 && !defined(__clang__)
GR_INLINE vf lesser(vf a, vf b) { return __builtin_ia32_minps512_mask(a, b, a, (uint16_t)-1, 4); }
GR_INLINE vd lesser(vd a, vd b) { return __builtin_ia32_minpd512_mask(a, b, a, (uint8_t)-1, 4); }
GR_INLINE vf greater(vf a, vf b) { return __builtin_ia32_maxps512_mask(a, b, a, (uint16_t)-1, 4); }
GR_INLINE vd greater(vd a, vd b) { return __builtin_ia32_maxpd512_mask(a, b, a, (uint8_t)-1, 4); }
#elif GR_AVX2 && !defined(__clang__)
GR_INLINE vf lesser(vf a, vf b) { return __builtin_ia32_minps256(a, b); }
GR_INLINE vd lesser(vd a, vd b) { return __builtin_ia32_minpd256(a, b); }
GR_INLINE vf greater(vf a, vf b) { return __builtin_ia32_maxps256(a, b); }
GR_INLINE vd greater(vd a, vd b) { return __builtin_ia32_maxpd256(a, b); }
#else
GR_INLINE vf lesser(vf a, vf b) { return a < b ? a : b; }
GR_INLINE vd lesser(vd a, vd b) { return a < b ? a : b; }
GR_INLINE vf greater(vf a, vf b) { return a > b ? a : b; }
GR_INLINE vd greater(vd a, vd b) { return a > b ? a : b; }
#endif

// Correctly rounded a * b + c, for the steps whose exactness rests on the single rounding.
// Elsewhere a * b + c is enough: -ffp-contract=fast fuses it, and the optimizer may look into it.
#if GR_ELEMENTWISE
GR_INLINE vf fused(vf a, vf b, vf c) { return __builtin_elementwise_fma(a, b, c); }
GR_INLINE vd fused(vd a, vd b, vd c) { return __builtin_elementwise_fma(a, b, c); }
#elif GR_AVX512
GR_INLINE vf fused(vf a, vf b, vf c) {
    return __builtin_ia32_vfmaddps512_mask(a, b, c, (uint16_t)-1, 4);
}
GR_INLINE vd fused(vd a, vd b, vd c) {
    return __builtin_ia32_vfmaddpd512_mask(a, b, c, (uint8_t)-1, 4);
}
#elif GR_AVX2 && defined(__FMA__)
GR_INLINE vf fused(vf a, vf b, vf c) { return __builtin_ia32_vfmaddps256(a, b, c); }
GR_INLINE vd fused(vd a, vd b, vd c) { return __builtin_ia32_vfmaddpd256(a, b, c); }
#elif GR_SSE2 && defined(__FMA__)
GR_INLINE vf fused(vf a, vf b, vf c) { return __builtin_ia32_vfmaddps(a, b, c); }
GR_INLINE vd fused(vd a, vd b, vd c) { return __builtin_ia32_vfmaddpd(a, b, c); }
#else
GR_INLINE vf fused(vf a, vf b, vf c) {
    for (int k = 0; k < lanes_of<float>::count; k++) a[k] = __builtin_fmaf(a[k], b[k], c[k]);
    return a;
}
GR_INLINE vd fused(vd a, vd b, vd c) {
    for (int k = 0; k < lanes_of<double>::count; k++) a[k] = __builtin_fma(a[k], b[k], c[k]);
    return a;
}
#endif

// Floor, ceil and rounding to even.
#if GR_ELEMENTWISE
GR_INLINE vf round(vf x) { return __builtin_elementwise_roundeven(x); }
GR_INLINE vd round(vd x) { return __builtin_elementwise_roundeven(x); }
GR_INLINE vf floor(vf x) { return __builtin_elementwise_floor(x); }
GR_INLINE vd floor(vd x) { return __builtin_elementwise_floor(x); }
GR_INLINE vf ceil(vf x) { return __builtin_elementwise_ceil(x); }
GR_INLINE vd ceil(vd x) { return __builtin_elementwise_ceil(x); }
#else
#if GR_AVX512
#define GR_ROUNDING(NAME, MODE)                                                                    \
    GR_INLINE vf NAME(vf x) {                                                                      \
        return __builtin_ia32_rndscaleps_mask(x, MODE, x, (uint16_t)-1, 4);                        \
    }                                                                                              \
    GR_INLINE vd NAME(vd x) { return __builtin_ia32_rndscalepd_mask(x, MODE, x, (uint8_t)-1, 4); }
#elif GR_AVX2
#define GR_ROUNDING(NAME, MODE)                                                                    \
    GR_INLINE vf NAME(vf x) { return __builtin_ia32_roundps256(x, MODE); }                         \
    GR_INLINE vd NAME(vd x) { return __builtin_ia32_roundpd256(x, MODE); }
#elif GR_SSE2 && defined(__SSE4_1__)
#define GR_ROUNDING(NAME, MODE)                                                                    \
    GR_INLINE vf NAME(vf x) { return __builtin_ia32_roundps(x, MODE); }                            \
    GR_INLINE vd NAME(vd x) { return __builtin_ia32_roundpd(x, MODE); }
#endif
#ifdef GR_ROUNDING
GR_ROUNDING(round, 8) // the modes also silence the inexact exception
GR_ROUNDING(floor, 9)
GR_ROUNDING(ceil, 10)
#undef GR_ROUNDING
#else
// Adding and subtracting 2^mantissa rounds |x| below it to an integer; larger ones, NaN and
// infinities stay.
template <class V> GR_INLINE V round_v(V x) {
    constexpr auto big = lanes_of<V>::integers;
    V a = abs_v(x);
    return a < big ? copysign_v((a + big) - big, x) : x;
}
template <class V> GR_INLINE V floor_v(V x) {
    V r = round_v(x);
    return copysign_v(r > x ? r - 1 : r, x);
}
GR_INLINE vf round(vf x) { return round_v(x); }
GR_INLINE vd round(vd x) { return round_v(x); }
GR_INLINE vf floor(vf x) { return floor_v(x); }
GR_INLINE vd floor(vd x) { return floor_v(x); }
GR_INLINE vf ceil(vf x) { return -floor_v(-x); }
GR_INLINE vd ceil(vd x) { return -floor_v(-x); }
#endif
#endif

#if GR_ELEMENTWISE
GR_INLINE vf sqrt(vf x) { return __builtin_elementwise_sqrt(x); }
GR_INLINE vd sqrt(vd x) { return __builtin_elementwise_sqrt(x); }
#elif GR_AVX512 && !defined(__clang__)
GR_INLINE vf sqrt(vf x) { return __builtin_ia32_sqrtps512_mask(x, x, (uint16_t)-1, 4); }
GR_INLINE vd sqrt(vd x) { return __builtin_ia32_sqrtpd512_mask(x, x, (uint8_t)-1, 4); }
#elif GR_AVX2 && !defined(__clang__)
GR_INLINE vf sqrt(vf x) { return __builtin_ia32_sqrtps256(x); }
GR_INLINE vd sqrt(vd x) { return __builtin_ia32_sqrtpd256(x); }
#elif GR_SSE2 && !defined(__clang__)
GR_INLINE vf sqrt(vf x) { return __builtin_ia32_sqrtps(x); }
GR_INLINE vd sqrt(vd x) { return __builtin_ia32_sqrtpd(x); }
#else // compilers turn the loop into the instruction, given -fno-math-errno
GR_INLINE vf sqrt(vf x) {
    for (int k = 0; k < lanes_of<float>::count; k++) x[k] = __builtin_sqrtf(x[k]);
    return x;
}
GR_INLINE vd sqrt(vd x) {
    for (int k = 0; k < lanes_of<double>::count; k++) x[k] = __builtin_sqrt(x[k]);
    return x;
}
#endif

// Overloads of a template NAME_v for vectors and, through one lane, for scalars.
#define GR_SCALAR_1(NAME)                                                                          \
    GR_INLINE float NAME(float x) { return NAME(broadcast(x))[0]; }                                \
    GR_INLINE double NAME(double x) { return NAME(broadcast(x))[0]; }
#define GR_FUNCTION_1(NAME)                                                                        \
    GR_INLINE vf NAME(vf x) { return NAME##_v(x); }                                                \
    GR_INLINE vd NAME(vd x) { return NAME##_v(x); }                                                \
    GR_SCALAR_1(NAME)
#define GR_FUNCTION_2(NAME)                                                                        \
    GR_INLINE vf NAME(vf x, vf y) { return NAME##_v(x, y); }                                       \
    GR_INLINE vd NAME(vd x, vd y) { return NAME##_v(x, y); }                                       \
    GR_INLINE float NAME(float x, float y) { return NAME##_v(broadcast(x), broadcast(y))[0]; }     \
    GR_INLINE double NAME(double x, double y) { return NAME##_v(broadcast(x), broadcast(y))[0]; }

// -1, 0, 1 or NaN; 0 for either zero
template <class V> GR_INLINE V sign_v(V x) {
    typedef scalar_of<V> T;
    V one = mulsign(fill<V>((T)1), x);
    return ((x < 0) | (x > 0)) ? one : x + (T)0;
}
// 0 below zero, else 1 (NaN included)
template <class V> GR_INLINE V step_v(V x) { return x < 0 ? V{} : fill<V>((scalar_of<V>)1); }
// max(x, 0), NaN stays NaN
template <class V> GR_INLINE V relu_v(V x) { return greater(V{}, x); }
// as np.minimum and np.maximum: NaN if either is
template <class V> GR_INLINE V minimum_v(V a, V b) { return where(a != a, a, lesser(a, b)); }
template <class V> GR_INLINE V maximum_v(V a, V b) { return where(a != a, a, greater(a, b)); }
template <class V> GR_INLINE V square_v(V x) { return x * x; }
template <class V> GR_INLINE V inv_v(V x) { return 1 / x; }

GR_FUNCTION_1(abs)
GR_FUNCTION_1(sign)
GR_FUNCTION_1(step)
GR_FUNCTION_1(relu)
GR_FUNCTION_1(square)
GR_FUNCTION_1(inv)
GR_FUNCTION_2(minimum)
GR_FUNCTION_2(maximum)
GR_FUNCTION_2(copysign)
GR_SCALAR_1(round)
GR_SCALAR_1(floor)
GR_SCALAR_1(ceil)
GR_SCALAR_1(sqrt)

GR_INLINE vf fma(vf a, vf b, vf c) { return a * b + c; }
GR_INLINE vd fma(vd a, vd b, vd c) { return a * b + c; }
GR_INLINE float fma(float a, float b, float c) { return a * b + c; }
GR_INLINE double fma(double a, double b, double c) { return a * b + c; }

// a + b and a - b by the units that multiply, where `unit` is `hidden_one`: a 1 that the compiler does
// not know, as it would make additions of these again. The results are the same to the last bit. With
// 16 registers there is none to spare for the 1, and its loads cost more than is gained.
#if defined(__AVX512F__) || defined(__aarch64__)
#ifdef __aarch64__
#define GR_ANY_VECTOR "+w"
#else
#define GR_ANY_VECTOR "+v"
#endif
template <class V> GR_INLINE V hidden_one() {
    V unit = fill<V>(1);
    asm("" : GR_ANY_VECTOR(unit));
    return unit;
}
template <class V> GR_INLINE V add_as_product(V a, V b, V unit) { return fma(b, unit, a); }
template <class V> GR_INLINE V sub_as_product(V a, V b, V unit) { return fma(a, unit, -b); }
#else
template <class V> GR_INLINE V hidden_one() { return fill<V>(1); }
template <class V> GR_INLINE V add_as_product(V a, V b, V) { return a + b; }
template <class V> GR_INLINE V sub_as_product(V a, V b, V) { return a - b; }
#endif

// ---- horizontal -------------------------------------------------------------------------------
// A fixed tree, halves onto halves: the order of a sum never depends on the compiler.

template <class T> GR_INLINE T hsum_of(typename lanes_of<T>::vec v) {
    T lane[lanes_of<T>::count];
    __builtin_memcpy(lane, &v, sizeof v);
    for (int half = lanes_of<T>::count / 2; half; half /= 2)
        for (int k = 0; k < half; k++) lane[k] += lane[k + half];
    return lane[0];
}
template <class T, bool MAX> GR_INLINE T hextreme_of(typename lanes_of<T>::vec v) {
    T lane[lanes_of<T>::count];
    __builtin_memcpy(lane, &v, sizeof v);
    for (int half = lanes_of<T>::count / 2; half; half /= 2)
        for (int k = 0; k < half; k++) {
            T a = lane[k], b = lane[k + half];
            lane[k] = (MAX ? a > b : a < b) || a != a ? a : b; // NaN wins, as in np.max
        }
    return lane[0];
}
GR_INLINE float hsum(vf v) { return hsum_of<float>(v); }
GR_INLINE double hsum(vd v) { return hsum_of<double>(v); }
GR_INLINE float hmax(vf v) { return hextreme_of<float, true>(v); }
GR_INLINE double hmax(vd v) { return hextreme_of<double, true>(v); }
GR_INLINE float hmin(vf v) { return hextreme_of<float, false>(v); }
GR_INLINE double hmin(vd v) { return hextreme_of<double, false>(v); }

} // namespace gr

#include "simd_math.h"
#include "simd_special.h"

#endif
