// Trigonometric, inverse, hyperbolic and error functions, powers. Part of simd.h.
//
// Largest error in ulp, of any build (vectors of 64, 32 or 16 bytes, with and without FMA),
// infinities, NaN and denormals included, and the largest step between neighbours against the
// function's direction:
//             float    double   falls by
//   sin       0.85     0.85     0
//   cos       0.85     0.85     0
//   tan       1.25     1.20     0
//   sinc      1.65     1.65     2
//   asin      1.20     1.20     0
//   acos      1.15     1.20     0
//   atan      1.65     1.70     1
//   atan2     1.80     1.80     0
//   sinh      1.70     1.75     0
//   cosh      1.65     1.65     0
//   asinh     1.35     1.30     1
//   acosh     1.85     1.65     0
//   atanh     1.45     1.35     0
//   erf       1.55     1.50     1
//   erfc      2.00     1.95     1
//   pow       0.55     1.70     0
#ifndef GEOREDUCE_SIMD_SPECIAL_H
#define GEOREDUCE_SIMD_SPECIAL_H

namespace gr {

// ---- sin, cos, tan, sinc ------------------------------------------------------------------------

// x - n pi/2 is exact to the last bit of the result up to trig_limit; lanes beyond go to the C
// library.
template <class V> struct trig;
template <> struct trig<vf> {
    static constexpr float limit = 1e5f, two_over_pi = 0.636619747f;
    static constexpr float half_pi_1 = 1.57079625f, half_pi_2 = 7.5497894e-8f,
                           half_pi_3 = 5.3903025e-15f;
};
template <> struct trig<vd> {
    static constexpr double limit = 1e6, two_over_pi = 0.6366197723675814;
    static constexpr double half_pi_1 = 1.5707963267948966, half_pi_2 = 6.123233995736765e-17;
    static constexpr double half_pi_3 = 1.0828566739219139e-32;
};

// x = n pi/2 + r + low with |r| <= pi/4; of n the two lowest bits count
template <class V> struct quadrant_split {
    V r, low;
    bits_of<V> n;
};
template <class V> GR_INLINE quadrant_split<V> quadrant_split_of(V x) {
    typedef trig<V> C;
    V whole = x * C::two_over_pi + lanes_of<V>::magic, n = whole - lanes_of<V>::magic;
    V first = fused(n, fill<V>(-C::half_pi_1), x); // exact
    V second = fused(n, fill<V>(C::half_pi_2), V{}),
      lost = fused(n, fill<V>(C::half_pi_2), V(-second));
    V r = first - second, back = r - first;
    // What r lacks is its own rounding error, that of `second`, and the third part.
    V low = ((first - (r - back)) - (second + back)) - (lost + n * C::half_pi_3);
    return {r, low, as_bits(whole)};
}

// (sin(r) / r - 1) / r^2 and (cos(r) - 1 + r^2 / 2) / r^4 as polynomials in z = r^2
GR_INLINE vf sin_tail(vf z) { return poly(z, -1.6666655e-01f, 8.332173e-03f, -1.9516682e-04f); }
GR_INLINE vf cos_tail(vf z) {
    return poly(z, 4.1666646e-02f, -1.3887362e-03f, 2.4437797e-05f);
}
GR_INLINE vd sin_tail(vd z) {
    return poly(z, -0.16666666666666632, 0.00833333333332232, -0.00019841269829726324,
                2.755731366194077e-06, -2.5050753194835307e-08, 1.5896498950268272e-10);
}
GR_INLINE vd cos_tail(vd z) {
    return poly(z, 0.0416666666666666, -0.0013888888888874, 2.4801587289399348e-05,
                -2.7557314327002224e-07, 2.0875719660464517e-09, -1.1359452806654637e-11);
}

// (tan(r) / r - 1) / r^2
GR_INLINE vf tan_tail(vf z) {
    return poly(z, 3.3333352e-01f, 1.33326e-01f, 5.40667e-02f, 2.1248795e-02f, 1.0918822e-02f,
                -1.1858886e-05f, 4.4246614e-03f);
}
GR_INLINE vd tan_tail(vd z) {
    return poly(z, 0.33333333333333387, 0.1333333333332476, 0.05396825397319652,
                0.021869488391852418, 0.008863238034829881, 0.0035920997860913397,
                0.0014560528177382538, 0.0005888305656326463, 0.00024386524947301154,
                8.328304179099189e-05, 6.769746669215051e-05, -2.6204172706865182e-05,
                4.908809853103892e-05, -2.44868684600171e-05, 9.844147564280706e-06);
}

// sin and cos of r + low; a zero r keeps its sign
template <class V> GR_INLINE V sin_of(quadrant_split<V> q) {
    typedef scalar_of<V> T;
    V z = q.r * q.r;
    return copysign_v(V(q.r + (q.r * z * sin_tail(z) + q.low * ((T)1 - (T)0.5 * z))), q.r);
}
template <class V> GR_INLINE V cos_of(quadrant_split<V> q) {
    typedef scalar_of<V> T;
    V z = q.r * q.r, half = z * (T)0.5, w = (T)1 - half, lost = ((T)1 - w) - half;
    return w + (z * z * cos_tail(z) + (lost - q.r * q.low));
}
// a on even quadrants, b on odd ones
template <class V> GR_INLINE V by_parity(bits_of<V> quadrant, V a, V b) {
    return (quadrant & 1) == 0 ? a : b;
}
// -a on quadrants 2 and 3
template <class V> GR_INLINE V by_half(bits_of<V> quadrant, V a) {
    constexpr int to_sign = 8 * sizeof(scalar_of<V>) - 2;
    return (V)(as_bits(a) ^ ((quadrant & 2) << to_sign));
}

// The C library for the lanes beyond the limit.
#define GR_LARGE(NAME)                                                                             \
    GR_INLINE float library_##NAME(float x) { return (float)__builtin_##NAME((double)x); }         \
    GR_INLINE double library_##NAME(double x) { return __builtin_##NAME(x); }                      \
    template <class V> GR_OUTLINE V NAME##_large(V x, V result) {                                  \
        for (int k = 0; k < lanes_of<V>::count; k++)                                               \
            if (!(x[k] >= -trig<V>::limit && x[k] <= trig<V>::limit))                              \
                result[k] = library_##NAME(x[k]);                                                  \
        return result;                                                                             \
    }                                                                                              \
    template <class V> GR_INLINE V NAME##_v(V x) {                                                 \
        V result = NAME##_small(x);                                                                \
        if (__builtin_expect(any_less(fill<V>(trig<V>::limit), abs_v(x)), 0))                      \
            return NAME##_large(x, result);                                                        \
        return result;                                                                             \
    }                                                                                              \
    GR_FUNCTION_1(NAME)

template <class V> GR_INLINE V sin_small(V x) {
    quadrant_split<V> q = quadrant_split_of(x);
    return by_half(q.n, by_parity(q.n, sin_of(q), cos_of(q)));
}
template <class V> GR_INLINE V cos_small(V x) {
    quadrant_split<V> q = quadrant_split_of(x);
    return by_half<V>(q.n + 1, by_parity(q.n, cos_of(q), sin_of(q)));
}
template <class V> GR_INLINE V tan_small(V x) {
    typedef scalar_of<V> T;
    quadrant_split<V> q = quadrant_split_of(x);
    V z = q.r * q.r, small = q.r * z * tan_tail(z), t = q.r + small;
    small = small + q.low * (t * t + (T)1); // tan' = 1 + tan^2
    t = q.r + small;
    V lost = small - (t - q.r), c = (T)-1 / t; // -1 / (t + lost), to first order in what c lacks
    c = c + c * (fused(c, t, fill<V>((T)1)) + c * lost);
    return by_parity(q.n, copysign_v(t, q.r), c);
}
GR_LARGE(sin)
GR_LARGE(cos)
GR_LARGE(tan)
#undef GR_LARGE

// sin(x) / x, 1 at 0
template <class V> GR_INLINE V sinc_v(V x) {
    return x == 0 ? fill<V>((scalar_of<V>)1) : sin_v(x) / x;
}
GR_FUNCTION_1(sinc)

// ---- asin, acos, atan, atan2 --------------------------------------------------------------------

// pi and pi/2, each with what its rounding lost
template <class V> struct circle;
template <> struct circle<vf> {
    static constexpr float half = 1.57079637f, half_low = -4.37113883e-8f;
};
template <> struct circle<vd> {
    static constexpr double half = 1.5707963267948966, half_low = 6.123233995736766e-17;
};

// (asin(s) / s - 1) / z as a polynomial in z = s^2 <= 1/4
GR_INLINE vf asin_tail(vf z) {
    return poly(z, 1.6666754e-01f, 7.495232e-02f, 4.5478452e-02f, 2.414037e-02f, 4.2231664e-02f);
}
GR_INLINE vd asin_tail(vd z) {
    return poly(z, 0.16666666666666763, 0.07499999999970108, 0.04464285717527735,
                0.03038194267565849, 0.022372215896116477, 0.01735159566265727,
                0.013981016722002379, 0.01139730692294753, 0.010789248198068483,
                0.0036724442156628673, 0.02179005311314281, -0.02111592602054174,
                0.03270169329673542);
}
// asin(|x|) = s + q, or pi/2 - 2 (s + q) above 1/2 where asin(1 - 2 s^2) is used; q is the small
// part
template <class V> struct asin_parts {
    V s, q;
    mask_of<V> large;
};
template <class V> GR_INLINE asin_parts<V> asin_of(V x) {
    typedef scalar_of<V> T;
    V a = abs_v(x);
    mask_of<V> large = a > (T)0.5;
    V z = where(large, ((T)1 - a) * (T)0.5, a * a);
    V s = where(large, sqrt(z), a);
    return {s, s * z * asin_tail(z), large};
}
template <class V> GR_INLINE V asin_v(V x) {
    typedef circle<V> C;
    asin_parts<V> p = asin_of(x);
    V twice = p.s + p.s, head = C::half - twice, lost = (C::half - head) - twice;
    V large = head - (p.q + p.q - (C::half_low + lost));
    return copysign_v(where(p.large, large, p.s + p.q), x);
}
GR_FUNCTION_1(asin)

template <class V> GR_INLINE V acos_v(V x) {
    typedef circle<V> C;
    asin_parts<V> s = asin_of(x);
    V p = mulsign(V(s.s + s.q), x), twice = p + p;
    // large: 2 p, or pi - 2 p for negative x; small: pi/2 - p
    V base = where(s.large, where(x < 0, fill<V>(2 * C::half), V{}), fill<V>(C::half));
    V low = where(s.large, where(x < 0, fill<V>(2 * C::half_low), V{}), fill<V>(C::half_low));
    return base + where(s.large, twice + low, low - p);
}
GR_FUNCTION_1(acos)

// (atan(t) / t - 1) / z as a polynomial in z = t^2 for |t| <= tan(pi/8)
GR_INLINE vf atan_tail(vf z) {
    return poly(z, -3.3333316e-01f, 1.9998488e-01f, -1.4243826e-01f, 1.0595833e-01f,
                -6.0830094e-02f);
}
GR_INLINE vd atan_tail(vd z) {
    return poly(z, -0.333333333333332, 0.19999999999954032, -0.1428571428024255,
                0.11111110785782108, -0.09090897824753988, 0.07692061408157928,
                -0.06663117596994708, 0.058479876092238134, -0.05039745938423651,
                0.03807572061146564, -0.017919370574999195);
}
// For x >= 0: atan(x) = b + atan(t) with b = 0, pi/4, pi/2 and t = x, (x - 1) / (x + 1), -1 / x.
template <class V> GR_INLINE V atan_positive(V x) {
    typedef circle<V> C;
    typedef scalar_of<V> T;
    mask_of<V> mid = x > (T)0.41421356237309503, high = x > (T)2.414213562373095;
    V one = fill<V>((T)1);
    V below = x - one, above = x + one;
    V t = where(high, V(-one), where(mid, below, x)) / where(high, x, where(mid, above, one));
    // what the roundings of x - 1 and x + 1 took from t; 1 / (x + 1) = (1 - t) / 2
    V lost = ((x - (below + one)) - t * (x - (above - one))) * ((T)0.5 - (T)0.5 * t);
    V b = where(high, fill<V>(C::half), where(mid, fill<V>(C::half / 2), V{}));
    V low = where(high, fill<V>(C::half_low), where(mid, C::half_low / 2 + lost, V{}));
    V z = t * t;
    return (b + t) + (t * z * atan_tail(z) + low);
}
template <class V> GR_INLINE V atan_v(V x) { return copysign_v(atan_positive(abs_v(x)), x); }
GR_FUNCTION_1(atan)

template <class V> GR_INLINE V atan2_v(V y, V x) {
    typedef circle<V> C;
    typedef scalar_of<V> T;
    V ax = abs_v(x), ay = abs_v(y);
    V t = ay == ax ? fill<V>((T)1) : ay / ax; // also for two infinities
    V a = atan_positive(ax + ay == 0 ? V{} : t);
    V left = 2 * C::half - (a - 2 * C::half_low);
    V one = fill<V>((T)1);
    return copysign_v(copysign_v(one, x) < 0 ? left : a, y);
}
GR_FUNCTION_2(atan2)

// ---- sinh, cosh and the inverses ----------------------------------------------------------------

template <class V> GR_INLINE V cosh_v(V x) {
    V h = exp_sum(abs_v(x), V{}, (scalar_of<V>)-1); // exp(|x|) / 2, which overflows later than exp
    return h + (scalar_of<V>)0.25 / h;
}
GR_FUNCTION_1(cosh)

// (sinh(x) / x - 1) / z as a polynomial in z = x^2 <= 1
GR_INLINE vf sinh_tail(vf z) {
    return poly(z, 1.6666667e-01f, 8.3333505e-03f, 1.9836066e-04f, 2.8174384e-06f);
}
GR_INLINE vd sinh_tail(vd z) {
    return poly(z, 0.16666666666666669, 0.008333333333333139, 0.00019841269841437678,
                2.755731915532987e-06, 2.5052123400411097e-08, 1.6057240160342772e-10,
                7.75931838800543e-13);
}
template <class V> GR_INLINE V sinh_v(V x) {
    typedef scalar_of<V> T;
    V a = abs_v(x), z = x * x, h = exp_sum(a, V{}, (T)-1);
    return copysign_v(a < (T)1 ? V(a * z * sinh_tail(z) + a) : V(h - (T)0.25 / h), x);
}
GR_FUNCTION_1(sinh)

// From here on squares may overflow and 1 + x is x: asinh and acosh are log(2 x).
template <class V> struct inverse_limit {
    static constexpr scalar_of<V> value = sizeof(scalar_of<V>) == 4
                                              ? (scalar_of<V>)1073741824.0 // 2^30, 2^60
                                              : (scalar_of<V>)1152921504606846976.0;
};
template <class V> GR_INLINE V log_2(void) { return fill<V>((scalar_of<V>)0.6931471805599453); }
template <class V> GR_INLINE V asinh_v(V x) {
    typedef scalar_of<V> T;
    V a = abs_v(x);
    mask_of<V> large = a > inverse_limit<V>::value;
    V z = a * a, w = z / (sqrt(V(z + (T)1)) + (T)1); // asinh(a) = log1p(a + w), w <= a
    w = where(large, V{}, w);
    V s = a + w;
    return copysign_v(log1p_sum<true>(s, V(w - (s - a))) + where(large, log_2<V>(), V{}), x);
}
GR_FUNCTION_1(asinh)

template <class V> GR_INLINE V acosh_v(V x) {
    typedef scalar_of<V> T;
    mask_of<V> large = x > inverse_limit<V>::value;
    V t = x - (T)1, w = sqrt(fused(t, t, V(t + t))); // acosh(x) = log1p(t + w), w >= t
    V s = where(large, x, t + w), lost = where(large, V{}, t - (s - w));
    V result = log1p_sum<true>(s, lost) + where(large, log_2<V>(), V{});
    return x < (T)1 ? fill<V>(GR_NAN(T)) : result;
}
GR_FUNCTION_1(acosh)

template <class V> GR_INLINE V atanh_v(V x) {
    typedef scalar_of<V> T;
    V a = abs_v(x), twice = a + a;
    mask_of<V> small = a <= (T)0.5;
    // atanh(a) = log1p(2 a / (1 - a)) / 2, and 2 a / (1 - a) = 2 a + 2 a^2 / (1 - a)
    V head = where(small, twice, V{}), tail = where(small, twice * a, twice) / ((T)1 - a);
    V s = head + tail;
    return copysign_v(V(log1p_sum<true>(s, V(tail - (s - head))) * (T)0.5), x);
}
GR_FUNCTION_1(atanh)

// ---- erf, erfc ----------------------------------------------------------------------------------

// erf(x) / x - 1 as a polynomial in z = x^2 <= 1
GR_INLINE vf erf_head(vf z) {
    return poly(z, 1.2837917e-01f, -3.7612626e-01f, 1.12836e-01f, -2.6854446e-02f, 5.1895366e-03f,
                -8.0208457e-04f, 7.889119e-05f);
}
GR_INLINE vd erf_head(vd z) {
    return poly(z, 0.1283791670955126, -0.3761263890318375, 0.11283791670954885,
                -0.026866170645077875, 0.005223977624828431, -0.0008548326981425542,
                0.0001205533113295582, -1.4925595772180906e-05, 1.64610084778027e-06,
                -1.6350396222864617e-07, 1.466032872274226e-08, -1.137495573607015e-09,
                5.960685338520971e-11);
}
// (x + 3.5) exp(x^2) erfc(x) = head + t tail(t) for x >= 1/2, with t = (x - 4.5) / (x + 3.5), good
// until erfc underflows
GR_INLINE vf erfc_tail(vf t) {
    return poly(t, -6.8514097e-01f, 4.2135987e-01f, -2.2496343e-01f, 1.02004796e-01f,
                -3.7742447e-02f, 1.0458868e-02f, -1.6208669e-03f, -2.2267296e-04f, 1.8563736e-04f);
}
GR_INLINE vd erfc_tail(vd t) {
    return poly(t, -0.6851409981894168, 0.42135979195190476, -0.2249629697563675,
                0.10200612432293295, -0.03774673914573446, 0.010448716278844576,
                -0.0016084319645237577, -0.00018990661617302465, 0.00018242421957794877,
                -3.222366978820215e-05, -9.340700698821382e-06, 5.065043392802526e-06,
                1.1477683640232672e-07, -5.801534365900586e-07, 5.3396419593529e-08,
                6.578549383003622e-08, -1.0256277434152646e-08, -7.656017947321097e-09,
                1.0067469927823954e-09, 6.803812506117698e-10);
}
// erfc(x) for x >= 1/2
template <class V> GR_INLINE V erfc_positive(V x) {
    typedef scalar_of<V> T;
    constexpr T head = sizeof(T) == 4 ? (T)0.9798784f : (T)0.9798784341907313;
    constexpr T head_low = sizeof(T) == 4 ? (T)8.6e-9 : (T)6.6e-17; // what rounding took from all of them
    x = lesser(fill<V>(sizeof(T) == 4 ? (T)11 : (T)28), x); // 0 from there on; NaN stays
    V above = x - (T)4.5, below = x + (T)3.5, t = above / below;
    V tail = erfc_tail(t), p = tail * t + head, q = p / below;
    V square = x * x, lost = fused(x, x, V(-square)); // x^2 = square + lost
    // What the roundings took, relative to q, goes to the exponent: from t, where p' / p is nearly
    // 0.4 t - 0.72; from `below`, whose inverse is (1 - t) / 8; from q and p, where 1 / p is nearly
    // 0.68 t + 1.04.
    V off_below = x - (below - (T)3.5);
    V off_t = ((x - (above + (T)4.5)) + fused(-t, below, above)) - t * off_below;
    V off = (off_t * (t * (T)0.4 - (T)0.72) - off_below) * (((T)1 - t) * (T)0.125);
    V rest = fused(-q, below, p) + (fused(tail, t, V(head - p)) + head_low);
    off = rest * (t * (T)0.68 + (T)1.04) + off;
    exp_parts<V> e = exp_parts_of(V(-square), V(off - lost));
    return scale(fused(e.tail, q, q), e.n); // rounded once
}
template <class V> GR_INLINE V erf_v(V x) {
    typedef scalar_of<V> T;
    V a = abs_v(x), one = fill<V>((T)1);
    V result = a * erf_head(V(a * a)) + a;
    if (any_less(one, a)) result = a > one ? one - erfc_positive(a) : result;
    return copysign_v(result, x);
}
GR_FUNCTION_1(erf)

template <class V> GR_INLINE V erfc_v(V x) {
    typedef scalar_of<V> T;
    V a = abs_v(x), half = fill<V>((T)0.5);
    V result = ((T)1 - x) - x * erf_head(V(x * x));
    if (any_less(half, a)) {
        V tail = erfc_positive(a);
        result = a > half ? (x < 0 ? (T)2 - tail : tail) : result;
    }
    return result;
}
GR_FUNCTION_1(erfc)

// ---- pow ----------------------------------------------------------------------------------------

// From |x|^y to C's pow: the sign, and the cases that no limit of exp(y log |x|) gives.
template <class V> GR_INLINE V pow_edges(V x, V y, V power) {
    typedef scalar_of<V> T;
    V one = fill<V>((T)1), half = y * (T)0.5;
    mask_of<V> whole = floor(y) == y, odd = whole & (floor(half) != half);
    power = where(odd, copysign_v(power, x), power);
    power = where((x < 0) & (x > -GR_INF(T)) & ~whole, fill<V>(GR_NAN(T)), power);
    power = where((x == -one) & (abs_v(y) == GR_INF(T)), one, power);
    return where((y == 0) | (x == one), one, power);
}
// float: by way of double, where the error of the logarithm does not count
template <class V> GR_OUTLINE V pow_single(V x, V y) {
    vd_pair a = widen(abs_v(x)), b = widen(y);
    a.low = exp_v(vd(b.low * log_v(a.low)));
    a.high = exp_v(vd(b.high * log_v(a.high)));
    return pow_edges(x, y, narrow(a));
}
GR_INLINE vf pow_v(vf x, vf y) { return pow_single(x, y); }

// double: y log|x| may be 700, so the logarithm is kept as a sum of two, good to 2^-64. In each
// pair the second is the rounding error of the first, and more.
template <class V> GR_OUTLINE V pow_double(V x, V y) {
    typedef constants<V> C;
    V a = abs_v(x);
    mantissa_split<V> m = mantissa_split_of(a);
    // log(1 + f) = 2 s + s^3 (2/3 + z e(z)), s = f / (2 + f), z = s^2; 1 / (2 + f) = (1 - s) / 2
    V d = m.f + 2.0, s = m.f / d;
    V s2 = (fused(-s, d, m.f) - s * (m.f - (d - 2.0))) * (0.5 - 0.5 * s);
    V z = s * s, z2 = fused(s, s, V(-z)) + 2.0 * s * s2;
    V e =
        z * poly(z, 0.39999999999999997, 0.28571428571435664, 0.2222222221850598,
                 0.1818181892259413, 0.15384543009840862, 0.13337161334887987, 0.11653207498745112,
                 0.12192722025146957);
    V p = e + 0.6666666666666666, p2 = (e - (p - 0.6666666666666666)) + 3.700743415417188e-17;
    V c = s * z, c2 = fused(s, z, V(-c)) + (s * z2 + s2 * z);
    V t = c * p, t2 = fused(c, p, V(-t)) + (c * p2 + c2 * p);
    V l = 2.0 * s + t, l2 = (t - (l - 2.0 * s)) + (t2 + 2.0 * s2);
    V k = m.k * C::log2_high; // exact
    V h = k + l, h2 = (l - (h - k)) + (l2 + m.k * C::log2_low);
    h = log_edges(a, h);
    V w = y * h, w2 = fused(y, h, V(-w)) + y * h2;
    w2 = where(abs_v(w) < 1000.0, w2, V{}); // no infinity minus infinity
    return pow_edges(x, y, exp_sum(w, w2, 0.0));
}
GR_INLINE vd pow_v(vd x, vd y) { return pow_double(x, y); }
GR_FUNCTION_2(pow)

} // namespace gr

#endif
