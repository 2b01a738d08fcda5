// Loops over arrays around every function of simd.h, for ctypes: NAME_f32(x, result, n) by whole
// vectors, NAME_f32_scalar(x, result, n) by the scalar overload; f64 likewise; functions of two
// arguments take x, y.
#include "simd.h"

#define LOOP_1(NAME, SUFFIX, T)                                                                    \
    extern "C" void NAME##_##SUFFIX(const T *x, T *result, int64_t n) {                            \
        for (int64_t i = 0; i < n; i += gr::lanes_of<T>::count)                                    \
            gr::storeu(result + i, gr::NAME(gr::loadu(x + i)));                                    \
    }                                                                                              \
    extern "C" void NAME##_##SUFFIX##_scalar(const T *x, T *result, int64_t n) {                   \
        for (int64_t i = 0; i < n; i++) result[i] = gr::NAME(x[i]);                                \
    }
#define LOOP_2(NAME, SUFFIX, T)                                                                    \
    extern "C" void NAME##_##SUFFIX(const T *x, const T *y, T *result, int64_t n) {                \
        for (int64_t i = 0; i < n; i += gr::lanes_of<T>::count)                                    \
            gr::storeu(result + i, gr::NAME(gr::loadu(x + i), gr::loadu(y + i)));                  \
    }                                                                                              \
    extern "C" void NAME##_##SUFFIX##_scalar(const T *x, const T *y, T *result, int64_t n) {       \
        for (int64_t i = 0; i < n; i++) result[i] = gr::NAME(x[i], y[i]);                          \
    }
#define BOTH_1(NAME) LOOP_1(NAME, f32, float) LOOP_1(NAME, f64, double)
#define BOTH_2(NAME) LOOP_2(NAME, f32, float) LOOP_2(NAME, f64, double)

namespace gr {
template <class V> GR_INLINE V plus(V a, V b) { return add_as_product(a, b, hidden_one<V>()); }
template <class V> GR_INLINE V minus(V a, V b) { return sub_as_product(a, b, hidden_one<V>()); }
} // namespace gr

BOTH_2(plus)
BOTH_2(minus)
BOTH_1(exp)
BOTH_1(expm1) BOTH_1(log) BOTH_1(log1p) BOTH_1(xlogx) BOTH_1(sqrt) BOTH_1(rsqrt) BOTH_1(tanh)
    BOTH_1(sigmoid) BOTH_1(softplus) BOTH_1(sin) BOTH_1(cos) BOTH_1(tan) BOTH_1(sinc) BOTH_1(asin)
        BOTH_1(acos) BOTH_1(atan) BOTH_1(sinh) BOTH_1(cosh) BOTH_1(asinh) BOTH_1(acosh)
            BOTH_1(atanh) BOTH_1(erf) BOTH_1(erfc) BOTH_1(abs) BOTH_1(sign) BOTH_1(step)
                BOTH_1(relu) BOTH_1(floor) BOTH_1(ceil) BOTH_1(round) BOTH_1(square) BOTH_1(inv)
                    BOTH_2(pow) BOTH_2(atan2) BOTH_2(minimum) BOTH_2(maximum) BOTH_2(copysign)

    // One vector each of x and y through everything that is not a function of single lanes.
    template <class T>
    struct Structure {
    int64_t count, bits_less, bits, any_less, any, all;
    T hsum, hmax, hmin;
    T selected[16], three[16], fused[16], integer[16];
    int64_t iota[16];
};
template <class T> static void structure_of(const T *x, const T *y, Structure<T> *s) {
    using namespace gr;
    alignas(GEOREDUCE_VECTOR_BYTES) T copy[16];
    __builtin_memcpy(copy, x, sizeof(T) * lanes_of<T>::count);
    auto a = load<T>(copy), b = loadu<T>(y);
    auto less = a < b;
    s->count = lanes_of<T>::count;
    s->bits_less = (int64_t)bits_less(a, b), s->any_less = any_less(a, b);
    s->bits = (int64_t)bits(less), s->any = any(less), s->all = all(less);
    s->hsum = hsum(a), s->hmax = hmax(a), s->hmin = hmin(a);
    store<T>(copy, where(less, a, b));
    __builtin_memcpy(s->selected, copy, sizeof copy);
    storeu<T>(s->three, broadcast<T>((T)3));
    storeu<T>(s->fused, fused(a, b, broadcast<T>((T)-1)));
    storeu<T>(s->integer, to_real(to_integer(a)));
    auto numbers = iota<T>();
    for (int k = 0; k < lanes_of<T>::count; k++) s->iota[k] = numbers[k];
}
extern "C" void structure_f32(const float *x, const float *y, Structure<float> *s) {
    structure_of(x, y, s);
}
extern "C" void structure_f64(const double *x, const double *y, Structure<double> *s) {
    structure_of(x, y, s);
}
extern "C" void widen_narrow(const float *x, double *wide, float *back) {
    gr::vd_pair p = gr::widen(gr::loadu(x));
    gr::storeu(wide, p.low);
    gr::storeu(wide + gr::lanes_of<double>::count, p.high);
    gr::storeu(back, gr::narrow(p));
}
extern "C" int vector_bytes() { return GEOREDUCE_VECTOR_BYTES; }
