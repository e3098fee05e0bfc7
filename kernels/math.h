// exp, log, tanh, erf and pow of f32, free of branches and calls, so that a loop over them becomes vector code on every
// backend. f64 is the C library's. The forms of exp, log and tanh are those of the Cephes library (netlib.org/cephes, single
// precision). Errors against f64 are measured in tests/core/math_test.cpp.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

// On a functor or formula that device code will share, and that host loops must inline to become vector code.
#ifdef __CUDACC__
#define MICA_FUNCTION __host__ __device__ inline
#else
#define MICA_FUNCTION inline __attribute__((always_inline))
#endif

namespace mica::kernels::math {

inline constexpr float infinity = std::numeric_limits<float>::infinity();
inline constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

MICA_FUNCTION float from_bits(std::int32_t bits) { return std::bit_cast<float>(bits); }
MICA_FUNCTION std::int32_t to_bits(float x) { return std::bit_cast<std::int32_t>(x); }
MICA_FUNCTION float absolute(float x) { return from_bits(to_bits(x) & 0x7fffffff); }
MICA_FUNCTION double absolute(double x) { return std::fabs(x); }
MICA_FUNCTION float with_sign_of(float magnitude, float sign) {
  return from_bits((to_bits(magnitude) & 0x7fffffff) | (to_bits(sign) & static_cast<std::int32_t>(0x80000000)));
}

// a·b + c, rounded once where `fused`, which needs an instruction for it, and twice otherwise. Spelled out, because a
// compiler that chose for itself would choose differently for the rest of a loop than for its vectors.
template <bool fused, class T>
MICA_FUNCTION T multiply_add(T a, T b, T c) {
  if constexpr (!fused) return a * b + c;
  else if constexpr (sizeof(T) == 4) return __builtin_fmaf(a, b, c);
  else return __builtin_fma(a, b, c);
}

// 2^n for n in [−126, 127].
MICA_FUNCTION float power_of_two(std::int32_t n) { return from_bits((n + 127) << 23); }

// e^(x − n·ln 2) by a polynomial, where that is at most ln 2 / 2 in size.
template <bool fused = false>
MICA_FUNCTION float exp_near(float x, float n) {
  const float r = multiply_add<fused>(n, 2.12194440e-4F, multiply_add<fused>(n, -0.693359375F, x));
  float p = 1.9875691500e-4F;
  p = multiply_add<fused>(p, r, 1.3981999507e-3F);
  p = multiply_add<fused>(p, r, 8.3334519073e-3F);
  p = multiply_add<fused>(p, r, 4.1665795894e-2F);
  p = multiply_add<fused>(p, r, 1.6666665459e-1F);
  p = multiply_add<fused>(p, r, 5.0000001201e-1F);
  return multiply_add<fused>(p, r * r, r) + 1.0F;
}

// x = n·ln 2 + r, and 2^n in two halves so that denormals come out right.
template <bool fused = false>
MICA_FUNCTION float exp(float x) {
  const float bounded = x > 89.0F ? 89.0F : x < -104.0F ? -104.0F : x;  // e^89 = ∞, e^−104 = 0; NaN stays
  const float magic = 12582912.0F;                                      // 1.5·2^23: adding it rounds to an integer
  const float shifted = bounded * 1.44269504088896341F + magic;
  const std::int32_t whole = to_bits(shifted) - to_bits(magic), half = whole >> 1;
  return exp_near<fused>(bounded, shifted - magic) * power_of_two(half) * power_of_two(whole - half);
}
template <bool fused = false>
MICA_FUNCTION double exp(double x) { return std::exp(x); }

// x = m·2^e with m in [√½, √2), then log m by a polynomial in m − 1.
template <bool fused = false>
MICA_FUNCTION float log(float x) {
  const bool small = x < 1.17549435e-38F;  // denormal
  const float scaled = small ? x * 8388608.0F : x;
  const auto bits = static_cast<std::uint32_t>(to_bits(scaled));  // unsigned, since a negative x wraps around
  const std::int32_t whole = static_cast<std::int32_t>(bits - 0x3f3504f3U) >> 23;  // 0x3f3504f3 is √½
  const float m = from_bits(static_cast<std::int32_t>(bits - (static_cast<std::uint32_t>(whole) << 23))) - 1.0F, e = static_cast<float>(whole) - (small ? 23.0F : 0.0F);
  const float z = m * m;
  float p = 7.0376836292e-2F;
  p = multiply_add<fused>(p, m, -1.1514610310e-1F);
  p = multiply_add<fused>(p, m, 1.1676998740e-1F);
  p = multiply_add<fused>(p, m, -1.2420140846e-1F);
  p = multiply_add<fused>(p, m, 1.4249322787e-1F);
  p = multiply_add<fused>(p, m, -1.6668057665e-1F);
  p = multiply_add<fused>(p, m, 2.0000714765e-1F);
  p = multiply_add<fused>(p, m, -2.4999993993e-1F);
  p = multiply_add<fused>(p, m, 3.3333331174e-1F);
  const float tail = m * z * p - 2.12194440e-4F * e - 0.5F * z;
  const float y = (m + tail) + 0.693359375F * e;
  const float edge = x == 0.0F ? -infinity : x < 0.0F ? not_a_number : x;  // ∞ and NaN are their own logarithm
  return ((x > 0.0F) & (x < infinity)) ? y : edge;
}
template <bool fused = false>
MICA_FUNCTION double log(double x) { return std::log(x); }

// e^x for 0 ≤ x < 80, where nothing overflows and nothing is denormal.
template <bool fused = false>
MICA_FUNCTION float exp_moderate(float x) {
  const float magic = 12582912.0F, shifted = x * 1.44269504088896341F + magic, n = shifted - magic;
  return exp_near<fused>(x, n) * power_of_two(to_bits(shifted) - to_bits(magic));
}

// e^x for x ≤ 0, with 0 in place of what is below f32's normal numbers: for softmax, of which that is nothing.
template <bool fused = false>
MICA_FUNCTION float exp_nonpositive(float x) {
  const float bounded = x < -87.0F ? -87.0F : x;
  const float magic = 12582912.0F, shifted = bounded * 1.44269504088896341F + magic;
  const float y = exp_near<fused>(bounded, shifted - magic) * power_of_two(to_bits(shifted) - to_bits(magic));
  return x < -87.0F ? 0.0F : y;
}
template <bool fused = false>
MICA_FUNCTION double exp_nonpositive(double x) { return std::exp(x); }

template <bool fused = false>
MICA_FUNCTION float tanh(float x) {
  const float a = absolute(x), z = x * x, bounded = a > 20.0F ? 20.0F : a;  // tanh 20 = 1 in f32
  float p = -5.70498872745e-3F;
  p = multiply_add<fused>(p, z, 2.06390887954e-2F);
  p = multiply_add<fused>(p, z, -5.37397155531e-2F);
  p = multiply_add<fused>(p, z, 1.33314422036e-1F);
  p = multiply_add<fused>(p, z, -3.33332819422e-1F);
  const float near = multiply_add<fused>(p * z, x, x), far = with_sign_of(1.0F - 2.0F / (exp_moderate<fused>(2.0F * bounded) + 1.0F), x);
  return a < 0.625F ? near : x != x ? x : far;
}
template <bool fused = false>
MICA_FUNCTION double tanh(double x) { return std::tanh(x); }

// x·P(x²)/Q(x²) on [−4, 4], beyond which erf is ±1 in f32; the coefficients are Eigen's (generic_fast_erf_float).
template <bool fused = false>
MICA_FUNCTION float erf(float x) {
  const float a = x > 4.0F ? 4.0F : x < -4.0F ? -4.0F : x, z = a * a;
  float p = -2.72614225801306e-10F;
  p = multiply_add<fused>(p, z, 2.77068142495902e-08F);
  p = multiply_add<fused>(p, z, -2.10102402082508e-06F);
  p = multiply_add<fused>(p, z, -5.69250639462346e-05F);
  p = multiply_add<fused>(p, z, -7.34990630326855e-04F);
  p = multiply_add<fused>(p, z, -2.95459980854025e-03F);
  p = multiply_add<fused>(p, z, -1.60960333262415e-02F);
  float q = -1.45660718464996e-05F;
  q = multiply_add<fused>(q, z, -2.13374055278905e-04F);
  q = multiply_add<fused>(q, z, -1.68282697438203e-03F);
  q = multiply_add<fused>(q, z, -7.37332916720468e-03F);
  q = multiply_add<fused>(q, z, -1.42647390514189e-02F);
  return a * p / q;
}
template <bool fused = false>
MICA_FUNCTION double erf(double x) { return std::erf(x); }

MICA_FUNCTION float sqrt(float x) { return __builtin_sqrtf(x); }
MICA_FUNCTION double sqrt(double x) { return std::sqrt(x); }

// |x|^y = 2^(y·log2|x|) in f64, right to f32's last bit but for its rounding, then the C library's rules for signs,
// zeros and infinities.
template <bool fused = false>
MICA_FUNCTION float pow(float x, float y) {
  const double a = static_cast<double>(absolute(x));
  const std::int64_t bits = std::bit_cast<std::int64_t>(a);
  const std::int64_t whole = (bits - 0x3fe6a09e667f3bcd) >> 52;  // of √½
  const double m = std::bit_cast<double>(bits - (whole << 52));  // in [√½, √2)
  const double s = (m - 1.0) / (m + 1.0), z = s * s;             // log m = 2·artanh s, |s| < 0.172
  double p = 2.0 / 15.0;
  p = multiply_add<fused>(p, z, 2.0 / 13.0);
  p = multiply_add<fused>(p, z, 2.0 / 11.0);
  p = multiply_add<fused>(p, z, 2.0 / 9.0);
  p = multiply_add<fused>(p, z, 2.0 / 7.0);
  p = multiply_add<fused>(p, z, 2.0 / 5.0);
  p = multiply_add<fused>(p, z, 2.0 / 3.0);
  p = multiply_add<fused>(p, z, 2.0);
  // The exponent as f64 without a conversion from 64-bit integers, which AVX2 and AVX-512F lack.
  const double e = std::bit_cast<double>((whole + 2048) | 0x4330000000000000) - 4503599627372544.0;  // 2^52 + 2048
  const double power = static_cast<double>(y) * (s * p * 1.4426950408889634 + e);
  const double bounded = power > 200.0 ? 200.0 : power < -200.0 ? -200.0 : power;  // beyond f32 on either side
  const double magic = 6755399441055744.0;                                         // 1.5·2^52
  const double shifted = bounded + magic, n = shifted - magic, r = (bounded - n) * 0.6931471805599453;
  double q = 1.0 / 5040.0;
  q = multiply_add<fused>(q, r, 1.0 / 720.0);
  q = multiply_add<fused>(q, r, 1.0 / 120.0);
  q = multiply_add<fused>(q, r, 1.0 / 24.0);
  q = multiply_add<fused>(q, r, 1.0 / 6.0);
  q = multiply_add<fused>(q, r, 0.5);
  q = multiply_add<fused>(q, r, 1.0);
  q = multiply_add<fused>(q, r, 1.0);
  const std::uint64_t scale = std::bit_cast<std::uint64_t>(shifted) << 52;
  const float finite = static_cast<float>(std::bit_cast<double>(std::bit_cast<std::uint64_t>(q) + scale));

  const float b = absolute(y), ax = absolute(x);
  const bool grows = (ax > 1.0F) == (y > 0.0F);               // of |x|^±∞
  const bool integer = ((b + 8388608.0F) - 8388608.0F == b) | (b >= 8388608.0F);  // from 2^23 on all are, from 2^24 on even
  const bool odd = integer & (b < 16777216.0F) & ((b * 0.5F + 8388608.0F) - 8388608.0F != b * 0.5F);
  float size = finite;
  size = ax == 0.0F ? (y < 0.0F ? infinity : 0.0F) : size;
  size = ax == infinity ? (y < 0.0F ? 0.0F : infinity) : size;
  size = b == infinity ? (ax == 1.0F ? 1.0F : grows ? infinity : 0.0F) : size;
  const bool negative = to_bits(x) < 0;
  float result = (negative & odd) ? -size : size;
  result = ((x < 0.0F) & (ax != infinity) & !integer & (b != infinity)) ? not_a_number : result;
  result = ((x != x) | (y != y)) ? not_a_number : result;
  return ((y == 0.0F) | (x == 1.0F)) ? 1.0F : result;
}
template <bool fused = false>
MICA_FUNCTION double pow(double x, double y) { return std::pow(x, y); }

}  // namespace mica::kernels::math
