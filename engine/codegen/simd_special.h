// Trigonometric, inverse, hyperbolic and error functions, powers. Part of simd.h.
#ifndef GEOREDUCE_SIMD_SPECIAL_H
#define GEOREDUCE_SIMD_SPECIAL_H

namespace gr {

// The C library, lane by lane.
#define GR_LIBRARY_1(NAME)                                                                                    \
    GR_INLINE float library_##NAME(float x) { return __builtin_##NAME##f(x); }                                \
    GR_INLINE double library_##NAME(double x) { return __builtin_##NAME(x); }                                 \
    template <class V> GR_OUTLINE V NAME##_lanes(V x) {                                                       \
        for (int k = 0; k < lanes_of<V>::count; k++) x[k] = library_##NAME((scalar_of<V>)x[k]);               \
        return x;                                                                                             \
    }
#define GR_LIBRARY_2(NAME)                                                                                    \
    GR_INLINE float library_##NAME(float x, float y) { return __builtin_##NAME##f(x, y); }                    \
    GR_INLINE double library_##NAME(double x, double y) { return __builtin_##NAME(x, y); }                    \
    template <class V> GR_OUTLINE V NAME##_lanes(V x, V y) {                                                  \
        typedef scalar_of<V> T;                                                                               \
        for (int k = 0; k < lanes_of<V>::count; k++) x[k] = library_##NAME((T)x[k], (T)y[k]);                 \
        return x;                                                                                             \
    }
#define GR_BY_LANES(NAME)                                                                                     \
    GR_LIBRARY_1(NAME)                                                                                        \
    template <class V> GR_INLINE V NAME##_v(V x) { return NAME##_lanes(x); }                                  \
    GR_FUNCTION_1(NAME)

GR_BY_LANES(sin)
GR_BY_LANES(cos)
GR_BY_LANES(tan)
GR_BY_LANES(asin)
GR_BY_LANES(acos)
GR_BY_LANES(atan)
GR_BY_LANES(sinh)
GR_BY_LANES(cosh)
GR_BY_LANES(asinh)
GR_BY_LANES(acosh)
GR_BY_LANES(atanh)
GR_BY_LANES(erf)
GR_BY_LANES(erfc)

GR_LIBRARY_2(atan2)
GR_LIBRARY_2(pow)
template <class V> GR_INLINE V atan2_v(V y, V x) { return atan2_lanes(y, x); }
template <class V> GR_INLINE V pow_v(V x, V y) { return pow_lanes(x, y); }
GR_FUNCTION_2(atan2)
GR_FUNCTION_2(pow)

// sin(x) / x, 1 at 0
template <class V> GR_INLINE V sinc_v(V x) {
    return x == 0 ? fill<V>((scalar_of<V>)1) : sin_v(x) / x;
}
GR_FUNCTION_1(sinc)

} // namespace gr

#endif
