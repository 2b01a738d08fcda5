// Judges the functions of simd.h: their results beside those of the C library in a wider type,
// double for float and long double for double, whose own errors are below a hundredth of an ulp.
//
// For each function NAME_f32(x, y, n, reference, candidates, count, verdicts), and NAME_f64
// likewise. `x` are the arguments, in ascending order if falls are to be found. Without any (a null
// pointer) they are n floats by their bits, from the number on that y points to. Functions of two
// arguments take the second from y. `candidates` are up to 8 functions (x, result, n) or
// (x, y, result, n) that work on multiples of 16, those of simd_harness.cpp; each has its verdict,
// which must be zeroed before. `reference`, if there is one, is a function (x, result, n) of the
// wider type that takes the C library's place: vectors are several times as fast.
#include <cmath>
#include <cstdint>
#include <cstring>

template <class T> struct number;
template <> struct number<float> {
    typedef double wide;
    static constexpr double end = 0x1p128;
};
template <> struct number<double> {
    typedef long double wide;
    static constexpr long double end = 0x1p1024L;
};

struct Verdict {
    double error, at, at_y; // the largest error in ulp, and where
    double fall, fall_at;   // the largest step against the direction of the function, in ulp
    int64_t falls;          // how many such steps
    int64_t wrong;          // how often NaN, or the sign of a zero, is not as in C
    double wrong_at, wrong_y;
};

// ---- meanings -----------------------------------------------------------------------------------

// -1, 1: the function falls, rises; 2: rises with |x|; 0: as the exact values do
#define MEANING(NAME, DIRECTION, VALUE)                                                            \
    struct NAME##_meaning {                                                                        \
        static constexpr int direction = DIRECTION;                                                \
        template <class W> static W of(W x, W) { return VALUE; }                                   \
    };
#define MEANING_2(NAME, VALUE)                                                                     \
    struct NAME##_meaning {                                                                        \
        static constexpr int direction = 0;                                                        \
        template <class W> static W of(W x, W y) { return VALUE; }                                 \
    };
#define FUNCTIONS_1(F)                                                                             \
    F(exp, 1, std::exp(x))                                                                         \
    F(expm1, 1, std::expm1(x))                                                                     \
    F(log, 1, std::log(x))                                                                         \
    F(log1p, 1, std::log1p(x))                                                                     \
    F(xlogx, 0, x == 0 ? 0 : x * std::log(x))                                                      \
    F(sqrt, 1, std::sqrt(x))                                                                       \
    F(rsqrt, -1, 1 / std::sqrt(x))                                                                 \
    F(tanh, 1, std::tanh(x))                                                                       \
    F(sigmoid, 1, x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)))                \
    F(softplus, 1, (x > 0 ? x : 0) + std::log1p(std::exp(-std::fabs(x))))                          \
    F(sin, 0, std::sin(x))                                                                         \
    F(cos, 0, std::cos(x))                                                                         \
    F(tan, 0, std::tan(x))                                                                         \
    F(sinc, 0, x == 0 ? 1 : std::sin(x) / x)                                                       \
    F(asin, 1, std::asin(x))                                                                       \
    F(acos, -1, std::acos(x))                                                                      \
    F(atan, 1, std::atan(x))                                                                       \
    F(sinh, 1, std::sinh(x))                                                                       \
    F(cosh, 2, std::cosh(x))                                                                       \
    F(asinh, 1, std::asinh(x))                                                                     \
    F(acosh, 1, std::acosh(x))                                                                     \
    F(atanh, 1, std::atanh(x))                                                                     \
    F(erf, 1, std::erf(x))                                                                         \
    F(erfc, -1, std::erfc(x))                                                                      \
    F(abs, 2, std::fabs(x))                                                                        \
    F(sign, 1, x > 0 ? 1 : x < 0 ? -1 : x + 0)                                                     \
    F(step, 1, x < 0 ? 0 : 1)                                                                      \
    F(relu, 1, x < 0 ? 0 : x)                                                                      \
    F(floor, 1, std::floor(x))                                                                     \
    F(ceil, 1, std::ceil(x))                                                                       \
    F(round, 1, std::nearbyint(x))                                                                 \
    F(square, 2, x * x)                                                                            \
    F(inv, -1, 1 / x)
#define FUNCTIONS_2(F)                                                                             \
    F(pow, std::pow(x, y))                                                                         \
    F(atan2, std::atan2(x, y))
FUNCTIONS_1(MEANING)
FUNCTIONS_2(MEANING_2)

// ---- judging ------------------------------------------------------------------------------------

constexpr int block = 4096;

// One block of arguments and exact values, and the results of one candidate.
template <class T> struct Block {
    typedef typename number<T>::wide W;
    alignas(64) T x[block + 16], y[block + 16], got[block + 16], near[block + 16];
    alignas(64) W exact[block + 16], bounded[block + 16], units[block + 16]; // units: 1 / ulp
};

// One unit in the last place of `value`, as a T has places.
inline double unit_of(double value, float) {
    uint64_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    bits &= 0x7ff0000000000000u; // the power of two below, or infinity
    double power;
    std::memcpy(&power, &bits, sizeof power);
    power = power > 0x1p-126 ? power : 0x1p-126;
    return (power < 0x1p127 ? power : 0x1p127) * 0x1p-23;
}
inline long double unit_of(long double value, double) {
    int exponent = value == 0 ? -1022 : std::ilogb(value);
    exponent = exponent < -1022 ? -1022 : exponent > 1023 ? 1023 : exponent;
    return std::ldexp(1.0L, exponent - 52);
}

// Infinity counts as the number after the largest.
template <class W> inline W bounded(W value, W end) {
    value = value > end ? end : value;
    return value < -end ? -end : value;
}
template <class T> inline typename number<T>::wide error_at(const Block<T> &b, int k) {
    typedef typename number<T>::wide W;
    return std::fabs(bounded((W)b.got[k], (W)number<T>::end) - b.bounded[k]) * b.units[k];
}
template <class T> inline bool wrong_at(const Block<T> &b, int k) {
    T got = b.got[k], near = b.near[k];
    bool sign = (got == 0) & (near == 0) & (std::signbit(got) != std::signbit(near));
    return sign | ((got != got) != (near != near));
}

// The step of the results into argument k if it goes the wrong way, else 0. Steps from -0 to 0 are
// none: 1 / x jumps there.
template <class M, class T> inline T fall_at(const Block<T> &b, int k) {
    typedef typename number<T>::wide W;
    T x = b.x[k], before = b.x[k - 1], rise = b.got[k] - b.got[k - 1], wanted = M::direction;
    if (M::direction == 2) wanted = x > 0 ? (T)1 : (T)-1;
    wanted = x < before ? -wanted : wanted;
    if (M::direction == 0) {
        W true_rise = b.exact[k] - b.exact[k - 1], noise = std::fabs(b.exact[k]) * (W)0x1p-48;
        wanted = true_rise > noise ? (T)1 : true_rise < -noise ? (T)-1 : (T)0;
    }
    rise = rise * wanted;
    bool fell = (rise < 0) & (std::signbit(x) == std::signbit(before));
    return fell ? rise : (T)0;
}

template <class M, class T> void judge_block(Block<T> &b, int from, int to, bool two, Verdict &v) {
    typedef typename number<T>::wide W;
    W worst = v.error;
#pragma omp simd reduction(max : worst)
    for (int k = from; k < to; k++) {
        W error = error_at(b, k);
        worst = error > worst ? error : worst; // a NaN is right, or counted below
    }
    if (worst > v.error) {
        int k = from;
        while (error_at(b, k) != worst) k++;
        v.error = (double)worst, v.at = b.x[k], v.at_y = b.y[k];
    }
    int32_t wrong = 0;
#pragma omp simd reduction(+ : wrong)
    for (int k = from; k < to; k++) wrong += wrong_at(b, k);
    for (int k = to - 1; wrong && !v.wrong && k >= from; k--)
        if (wrong_at(b, k)) v.wrong_at = b.x[k], v.wrong_y = b.y[k]; // the first of them stays
    v.wrong += wrong;
    if (two) return;
    int32_t falls = 0;
#pragma omp simd reduction(+ : falls)
    for (int k = 1; k < to; k++) falls += fall_at<M>(b, k) < 0;
    for (int k = 1; falls && k < to; k++) {
        double fall = (double)(std::fabs((W)fall_at<M>(b, k)) * b.units[k]);
        if (fall > v.fall) v.fall = fall, v.fall_at = b.x[k];
    }
    v.falls += falls;
}

// Of equals the one of smaller arguments, so that threads do not matter.
static void merge(const Verdict &from, Verdict &into) {
    if (from.error > into.error || (from.error == into.error && from.at < into.at))
        into.error = from.error, into.at = from.at, into.at_y = from.at_y;
    if (from.fall > into.fall || (from.fall == into.fall && from.fall_at < into.fall_at))
        into.fall = from.fall, into.fall_at = from.fall_at;
    if (from.wrong && (!into.wrong || from.wrong_at < into.wrong_at))
        into.wrong_at = from.wrong_at, into.wrong_y = from.wrong_y;
    into.falls += from.falls, into.wrong += from.wrong;
}

template <class M, bool TWO, class T>
void judge(const T *x, const T *y, int64_t n, void *reference, void *const *candidates, int count,
           Verdict *verdicts) {
    typedef typename number<T>::wide W;
    uint32_t first = 0;
    if (!x) std::memcpy(&first, y, sizeof first);
#pragma omp parallel
    {
        static thread_local Block<T> b;
        Verdict mine[8] = {};
#pragma omp for schedule(dynamic, 16)
        for (int64_t start = 0; start < n; start += block) {
            // One argument before the block, for the step into it; whole vectors after it.
            int64_t begin = start ? start - 1 : 0, end = start + block < n ? start + block : n;
            int size = (int)(end - begin), padded = (size + 15) / 16 * 16;
            for (int k = 0; k < padded; k++) {
                int64_t at = begin + (k < size ? k : size - 1);
                uint32_t bits = first + (uint32_t)at;
                float value;
                std::memcpy(&value, &bits, sizeof value);
                b.x[k] = x ? x[at] : (T)value;
                b.y[k] = TWO ? y[at] : 0;
            }
            if (reference) {
                for (int k = 0; k < padded; k++) b.bounded[k] = b.x[k];
                ((void (*)(W *, W *, int64_t))reference)(b.bounded, b.exact, padded);
            } else {
                for (int k = 0; k < size; k++) b.exact[k] = M::of((W)b.x[k], (W)b.y[k]);
            }
            for (int k = 0; k < size; k++) {
                b.near[k] = (T)b.exact[k];
                b.bounded[k] = bounded(b.exact[k], (W)number<T>::end);
                b.units[k] = 1 / unit_of(b.exact[k], T());
            }
            for (int c = 0; c < count; c++) {
                if (TWO)
                    ((void (*)(T *, T *, T *, int64_t))candidates[c])(b.x, b.y, b.got, padded);
                else
                    ((void (*)(T *, T *, int64_t))candidates[c])(b.x, b.got, padded);
                judge_block<M>(b, start != 0, size, TWO, mine[c]);
            }
        }
#pragma omp critical
        for (int c = 0; c < count; c++) merge(mine[c], verdicts[c]);
    }
}

#define EXPORT(NAME, TWO, SUFFIX, T)                                                               \
    extern "C" void NAME##_##SUFFIX(const T *x, const T *y, int64_t n, void *reference,            \
                                    void *const *candidates, int count, Verdict *verdicts) {       \
        judge<NAME##_meaning, TWO>(x, y, n, reference, candidates, count, verdicts);               \
    }
#define EXPORT_1(NAME, DIRECTION, VALUE)                                                           \
    EXPORT(NAME, false, f32, float) EXPORT(NAME, false, f64, double)
#define EXPORT_2(NAME, VALUE) EXPORT(NAME, true, f32, float) EXPORT(NAME, true, f64, double)
FUNCTIONS_1(EXPORT_1)
FUNCTIONS_2(EXPORT_2)
