// Exponentials and logarithms on vectors: the functions that kernels spend their time in. Part of
// simd.h.
//
// Largest error in ulp, of any build (vectors of 64, 32 or 16 bytes, with and without FMA),
// infinities, NaN and denormals included, and the largest step between neighbours against the
// function's direction:
//             float    double   falls by
//   exp       1.75     1.25     1
//   expm1     1.25     1.30     1
//   log       1.00     0.95     0
//   log1p     1.00     0.95     0
//   xlogx     1.90     1.80     2
//   sqrt      0.50     0.50     0
//   rsqrt     1.55     1.60     1
//   tanh      1.85     1.80     1
//   sigmoid   1.65     1.65     1
//   softplus  1.85     1.80     2
#ifndef GEOREDUCE_SIMD_MATH_H
#define GEOREDUCE_SIMD_MATH_H

namespace gr {

// c0 + c1 x + c2 x^2 + ...
template <class V> GR_INLINE V poly(V, scalar_of<V> c0) { return fill<V>(c0); }
template <class V> GR_INLINE V poly(V x, scalar_of<V> c0, scalar_of<V> c1) { return x * c1 + c0; }
template <class V, class... C> GR_INLINE V poly(V x, scalar_of<V> c0, scalar_of<V> c1, C... rest) {
    return poly(x, c1, scalar_of<V>(rest)...) * x + c0;
}

template <class V> struct constants;
template <> struct constants<vf> {
    // log 2 in two parts, the first short enough that n * log2_high is exact for every exponent n
    static constexpr float log2_e = 1.44269504f, log2_high = 0.693145752f,
                           log2_low = 1.42860677e-6f;
    static constexpr float exp_above = 90.0f,
                           exp_below = -105.0f; // exp and cosh are inf, or exp 0, from there on
    static constexpr float expm1_below = -20.0f, tanh_above = 10.0f; // expm1 is -1, tanh is 1
};
template <> struct constants<vd> {
    static constexpr double log2_e = 1.4426950408889634;
    static constexpr double log2_high = 0.6931471803691238, log2_low = 1.9082149292705877e-10;
    static constexpr double exp_above = 711.0, exp_below = -746.0;
    static constexpr double expm1_below = -40.0, tanh_above = 20.0;
};

// 2^n for integral n whose power is a normal number: the low bits of n + magic hold n.
template <class V> GR_INLINE V power_of_two(V n) {
    typedef lanes_of<V> L;
    return (V)((as_bits(n + L::magic) + L::bias) << L::mantissa);
}

// p * 2^n for integral n, rounded once where the product is denormal. The AVX-512 instruction takes
// any n, infinities included (p * 2^-inf is 0 even for NaN p); elsewhere |n| must stay within two
// normal exponents. To the nearest integer, for |x| below lanes_of<V>::magic / 2.
template <class V> GR_INLINE V round_small(V x) {
    return (x + lanes_of<V>::magic) - lanes_of<V>::magic;
}

#if GR_AVX512
GR_INLINE vf scale(vf p, vf n) { return __builtin_ia32_scalefps512_mask(p, n, p, (uint16_t)-1, 4); }
GR_INLINE vd scale(vd p, vd n) { return __builtin_ia32_scalefpd512_mask(p, n, p, (uint8_t)-1, 4); }
// the number of smaller size, with the sign of x; the limit if x is NaN
GR_INLINE vf clamp_size(vf x, float limit) {
    return __builtin_ia32_rangeps512_mask(x, fill<vf>(limit), 2, x, (uint16_t)-1, 4);
}
GR_INLINE vd clamp_size(vd x, double limit) {
    return __builtin_ia32_rangepd512_mask(x, fill<vd>(limit), 2, x, (uint8_t)-1, 4);
}
#else
template <class V> GR_INLINE V scale_by_bits(V p, bits_of<V> n) {
    typedef lanes_of<V> L;
    bits_of<V> first = n >> 1, second = n - first;
    return p * (V)((first + L::bias) << L::mantissa) * (V)((second + L::bias) << L::mantissa);
}
template <class V> GR_INLINE V scale(V p, V n) {
    return scale_by_bits(p, as_bits(n + lanes_of<V>::magic));
}
#endif

// ---- exp, expm1 ---------------------------------------------------------------------------------

// (exp(r) - 1 - r) / r^2 on |r| <= log(2) / 2
GR_INLINE vf exp_tail(vf r) {
    return poly(r, 4.9999994e-01f, 1.6666521e-01f, 4.166838e-02f, 8.368711e-03f, 1.3814853e-03f);
}
GR_INLINE vd exp_tail(vd r) {
    return poly(r, 0.5000000000000011, 0.1666666666666641, 0.04166666666653053,
                0.008333333333496245, 0.0013888888943546964, 0.0001984126950300321,
                2.48014931750815e-05, 2.7557589347441e-06, 2.7630223730220497e-07,
                2.499918076002437e-08);
}
// the same, of smaller error relative to exp(r) - 1
GR_INLINE vf expm1_tail(vf r) {
    return poly(r, 4.9999997e-01f, 1.6666543e-01f, 4.1667204e-02f, 8.3665205e-03f, 1.3882222e-03f);
}
GR_INLINE vd expm1_tail(vd r) {
    return poly(r, 0.5, 0.16666666666666677, 0.04166666666666651, 0.008333333333321702,
                0.0013888888888962544, 0.00019841269885938648, 2.480158717215518e-05,
                2.7557244404161607e-06, 2.755740300486458e-07, 2.510896756316948e-08,
                2.087520783577827e-09);
}

#if GR_AVX512
// exp counts its argument in steps of log(2) / count. 2^(k / count) are in two registers: as many as
// one instruction finds by the lowest bits of k.
template <class V> struct exp_steps;
template <> struct exp_steps<vf> {
    static constexpr int count = 32;
};
template <> struct exp_steps<vd> {
    static constexpr int count = 16;
};
GR_INLINE vf step_powers(uf k) {
    const vf low = {
        1.0f, 1.0218972f, 1.0442737f, 1.0671405f, 1.0905077f, 1.1143868f, 1.1387886f, 1.1637249f,
        1.1892071f, 1.2152474f, 1.2418578f, 1.269051f, 1.2968396f, 1.3252367f, 1.3542556f,
        1.38391f};
    const vf high = {
        1.4142135f, 1.4451808f, 1.4768262f, 1.5091645f, 1.5422108f, 1.5759809f, 1.6104903f,
        1.6457555f, 1.6817929f, 1.7186193f, 1.7562522f, 1.7947091f, 1.8340081f, 1.8741677f,
        1.9152066f, 1.9571441f};
#ifdef __clang__
    return __builtin_ia32_vpermi2varps512(low, (mf)k, high);
#else
    return __builtin_shuffle(low, high, k);
#endif
}
GR_INLINE vd step_powers(ud k) {
    const vd low = {1.0,
                    1.0442737824274138,
                    1.0905077326652577,
                    1.1387886347566916,
                    1.189207115002721,
                    1.241857812073484,
                    1.2968395546510096,
                    1.3542555469368927};
    const vd high = {1.4142135623730951, 1.4768261459394993, 1.5422108254079407,
                     1.6104903319492543, 1.681792830507429,  1.7562521603732995,
                     1.8340080864093424, 1.9152065613971474};
#ifdef __clang__
    return __builtin_ia32_vpermi2varpd512(low, (md)k, high);
#else
    return __builtin_shuffle(low, high, k);
#endif
}
// (exp(r) - 1) / r within half a step
GR_INLINE vf exp_short_tail(vf r) { return poly(r, 1.0000147f, 0.5f); }
GR_INLINE vd exp_short_tail(vd r) {
    return poly(r, 1.0, 0.5000000000000006, 0.1666666666442263, 0.04166666665942781,
                0.008333471845989768, 0.0013889132504258399);
}
// x = n log(2) + r with n in steps: exp(x) = 2^floor(n) 2^(n - floor(n)) exp(r). Adding magic /
// count rounds to steps, whose number is in the lowest bits of the sum. x may be anything: where it
// is too large r is clamped, even from NaN, and n settles the result.
template <class V> GR_INLINE V exp_v(V x) {
    typedef constants<V> C;
    constexpr auto magic = lanes_of<V>::magic / exp_steps<V>::count;
    V sum = x * C::log2_e + magic, n = sum - magic;
    V r = clamp_size(V((x - n * C::log2_high) - n * C::log2_low), (scalar_of<V>)0.5);
    V power = step_powers(as_bits(sum));
    return scale(V(power * (exp_short_tail(r) * r) + power), n);
}
#else
template <class V> GR_INLINE V exp_v(V x) {
    typedef lanes_of<V> L;
    typedef constants<V> C;
    typedef scalar_of<V> T;
    x = greater(fill<V>(C::exp_below), lesser(fill<V>(C::exp_above), x)); // NaN stays
    V sum = x * C::log2_e + L::magic, n = sum - L::magic;
    V r = (x - n * C::log2_high) - n * C::log2_low;
    V p = (exp_tail(r) * r + (T)1) * r + (T)1;
    return scale_by_bits(p, as_bits(sum));
}
#endif
GR_FUNCTION_1(exp)

// exp(x + low) = 2^n (1 + tail), low no larger than the rounding error of x
template <class V> struct exp_parts {
    V n, tail;
};
template <class V> GR_INLINE exp_parts<V> exp_parts_of(V x, V low) {
    typedef constants<V> C;
    typedef scalar_of<V> T;
    x = greater(fill<V>(C::exp_below), lesser(fill<V>(C::exp_above), x)); // NaN stays
    V n = round_small(x * C::log2_e);
    V r = (x - n * C::log2_high) - (n * C::log2_low - low);
    return {n, (exp_tail(r) * r + (T)1) * r};
}
// exp(x + low) * 2^shift
template <class V> GR_INLINE V exp_sum(V x, V low, scalar_of<V> shift) {
    exp_parts<V> e = exp_parts_of(x, low);
    return scale(V(e.tail + (scalar_of<V>)1), V(e.n + shift));
}

// For x between expm1_below and exp_above, or NaN; a zero loses its sign. The parts of exp(r) -
// 2^-n = (1 - 2^-n + high) + (r^2 tail(r) + low), r = high + low, are added such that one rounding
// counts.
template <class V> GR_INLINE V expm1_core(V x) {
    typedef constants<V> C;
    typedef scalar_of<V> T;
    V n = round_small(x * C::log2_e);
    V high = x - n * C::log2_high, low = n * -C::log2_low, r = high + low;
#if GR_AVX512
    V down = scale(fill<V>((T)1), V(-n)); // 2^-n
#else
    V down = power_of_two(greater(V(-n), fill<V>((T)-100))); // the same, or small enough
#endif
    V y = (((T)1 - down) + high) + (r * r * expm1_tail(r) + low);
    return scale(y, n);
}
template <class V> GR_INLINE V expm1_v(V x) {
    typedef constants<V> C;
    V inside = greater(fill<V>(C::expm1_below), lesser(fill<V>(C::exp_above), x)); // NaN stays
    return copysign_v(expm1_core(inside), x);
}
GR_FUNCTION_1(expm1)

// ---- log, log1p ---------------------------------------------------------------------------------

// x = 2^k (1 + f) with -1/4 <= f < 1/2.
template <class V> struct mantissa_split {
    V k, f;
};
#if GR_AVX512
GR_INLINE vf mantissa_of(vf x) {
    return __builtin_ia32_getmantps512_mask(x, 15, x, (uint16_t)-1, 4);
}
GR_INLINE vd mantissa_of(vd x) {
    return __builtin_ia32_getmantpd512_mask(x, 15, x, (uint8_t)-1, 4);
}
GR_INLINE vf exponent_of(vf x) { return __builtin_ia32_getexpps512_mask(x, x, (uint16_t)-1, 4); }
GR_INLINE vd exponent_of(vd x) { return __builtin_ia32_getexppd512_mask(x, x, (uint8_t)-1, 4); }
// At 0 and inf k is infinite and f is 0, below 0 f is NaN: log_core comes out right by itself.
template <class V> GR_INLINE mantissa_split<V> mantissa_split_of(V x) {
    V m = mantissa_of(x);
    return {exponent_of(x) - exponent_of(m), m - 1};
}
template <class V> GR_INLINE V log_edges(V, V result) { return result; }
#else
template <class V> GR_INLINE mantissa_split<V> mantissa_split_of(V x) {
    typedef lanes_of<V> L;
    typedef scalar_of<V> T;
    typedef decltype(L::sign) U;
    constexpr T up = (T)((U)1 << (L::mantissa + 2)), shift = L::mantissa + 2;
    constexpr U quarter =
        (U)1 << (L::mantissa - 1); // carries into the exponent from a mantissa of 1.5 on
    auto tiny = x < L::smallest;
    x = tiny ? x * up : x;
    bits_of<V> e = (as_bits(x) + quarter) >> L::mantissa;
    V m = (V)(as_bits(x) - (e << L::mantissa) + ((U)L::bias << L::mantissa));
    V k = (V)(e | as_bits(fill<V>(L::integers))) -
          (L::integers + (T)L::bias); // e fits the mantissa of 2^mantissa
    return {tiny ? k - shift : k, m - 1};
}
template <class V> GR_INLINE V log_edges(V x, V result) {
    typedef scalar_of<V> T;
    result = x < GR_INF(T) ? result : x; // inf and NaN
    V other = x == 0 ? fill<V>(-GR_INF(T)) : fill<V>(GR_NAN(T));
    return x > 0 ? result : other;
}
#endif

// log(1 + f) + k log(2) + low, for low about as small as the rounding error of f; -0 for none,
// which costs nothing
GR_INLINE vf log_core(vf k, vf f, vf low) {
    typedef constants<vf> C;
    vf q = poly(f, -5.e-01f, 3.3333454e-01f, -2.5000057e-01f, 1.9990608e-01f, -1.664775e-01f,
                1.4482023e-01f, -1.3162346e-01f, 1.04487635e-01f, -4.4913203e-02f);
    return (f + (f * f * q + (k * C::log2_low + low))) + k * C::log2_high;
}
GR_INLINE vd log_core(vd k, vd f, vd low) {
    // log(1 + f) = 2 artanh(s) = f - f^2 / 2 + s (f^2 / 2 + s^2 R(s^2))
    typedef constants<vd> C;
    vd s = f / (f + 2.0), z = s * s, h = 0.5 * f * f;
    vd r = z * poly(z, 0.666666666666666, 0.40000000000055974, 0.2857142855599704,
                    0.22222224277590408, 0.18181666995719112, 0.15391075626775758,
                    0.13174207020710293, 0.13838937469775706);
    return k * C::log2_high - ((h - (s * (h + r) + (k * C::log2_low + low))) - f);
}

template <class V> GR_INLINE V log_v(V x) {
    mantissa_split<V> s = mantissa_split_of(x);
    return log_edges(x, log_core(s.k, s.f, -V{}));
}
GR_FUNCTION_1(log)

// log(1 + x + extra), extra no larger than the rounding error of x; a zero loses its sign.
// EXACT: half an ulp better, at three instructions.
template <bool EXACT, class V> GR_INLINE V log1p_sum(V x, V extra) {
    typedef scalar_of<V> T;
    V u = x + (T)1, lost = (x - (u - (T)1)) + extra; // 1 + x + extra = u + lost
    mantissa_split<V> s = mantissa_split_of(u);
#if GR_AVX512
    V down = scale(lost, lesser(V(-s.k), fill<V>((T)64))); // -k < 64 but where u is 0
#else
    V down = lost * power_of_two(
                        V(-lesser(s.k, fill<V>((T)64)))); // nothing is lost worth having above 2^64
#endif
    V f = s.f + down;
    return log_edges(u, log_core(s.k, f, EXACT ? down - (f - s.f) : -V{}));
}
template <class V> GR_INLINE V log1p_v(V x) { return copysign_v(log1p_sum<false>(x, V{}), x); }
GR_FUNCTION_1(log1p)

template <class V> GR_INLINE V xlogx_v(V x) { return x == 0 ? V{} : x * log_v(x); }
GR_FUNCTION_1(xlogx)

// ---- compositions -------------------------------------------------------------------------------

#if GR_AVX512
GR_INLINE vf rsqrt_estimate(vf x) { return __builtin_ia32_rsqrt14ps512_mask(x, x, (uint16_t)-1); }
GR_INLINE vd rsqrt_estimate(vd x) { return __builtin_ia32_rsqrt14pd512_mask(x, x, (uint8_t)-1); }
// Newton's step. The error term is NaN where y is 0 or inf; `lesser` then puts a harmless number
// there.
template <class V> GR_INLINE V rsqrt_step(V x, V y) {
    typedef scalar_of<V> T;
    V error = lesser(V((T)1 - x * y * y), fill<V>((T)0.0009765625));
    return y + y * (T)0.5 * error;
}
GR_INLINE vf rsqrt(vf x) { return rsqrt_step(x, rsqrt_estimate(x)); }
GR_INLINE vd rsqrt(vd x) { return rsqrt_step(x, rsqrt_step(x, rsqrt_estimate(x))); }
#else
GR_INLINE vf rsqrt(vf x) { return 1 / sqrt(x); }
GR_INLINE vd rsqrt(vd x) { return 1 / sqrt(x); }
#endif
GR_SCALAR_1(rsqrt)

// With e = exp(2 |x|) - 1 it is 1 - 2 / (e + 2), and e / 2 - (e^2 / 2) / (e + 2) where that would
// cancel: only the larger of the two terms brings its rounding error along in full.
template <class V> GR_INLINE V tanh_v(V x) {
    typedef scalar_of<V> T;
    V a = lesser(fill<V>(constants<V>::tanh_above), abs_v(x)); // NaN stays
    V e = expm1_core(V(a + a)), h = e * (T)0.5;
    V one = fill<V>((T)1), two = fill<V>((T)2);
    mask_of<V> large = e > two;
    return copysign_v(V(where(large, one, h) - where(large, two, e * h) / (e + two)), x);
}
GR_FUNCTION_1(tanh)

// 1 / (1 + exp(-x)), by e = exp(-|x|) = 2^n (1 + tail) so that small values keep their digits:
// q = 1 / (1 + e), times 2^n (1 + tail) below 0. `off` is what the roundings took from q, relative
// to it; it joins the tail, so that the last sum is the only rounding that counts.
template <class V> GR_INLINE V sigmoid_v(V x) {
    typedef scalar_of<V> T;
    exp_parts<V> p = exp_parts_of(V(-abs_v(x)), V{});
    V e = scale(V(p.tail + (T)1), p.n), s = e + (T)1, q = (T)1 / s;
    V off = fused(-q, s, fill<V>((T)1)) - q * (e - (s - (T)1));
    mask_of<V> below = x < 0;
    V tail = where(below, off * p.tail + (p.tail + off), off);
    return scale(V(tail * q + q), where(below, p.n, V{}));
}
GR_FUNCTION_1(sigmoid)

// log(1 + exp(x)); the exponential is the exact one, as it is most of the sum below 0
template <class V> GR_INLINE V softplus_v(V x) {
    return relu_v(x) + log1p_v(exp_sum(V(-abs_v(x)), V{}, (scalar_of<V>)0));
}
GR_FUNCTION_1(softplus)

} // namespace gr

#endif
