// Hot loops written once and compiled for several instruction sets: `Vector` is sixteen floats side by side, and a file of
// kernels that uses it is included by each_instruction_set.h inside the namespaces avx512, avx2 and portable. MICA_CALL
// runs the fastest that this machine has. All three give the same bits, but where multiply_add rounds once (avx512 and
// avx2) or twice (portable). The method is Highway's (foreach_target.h) and simdjson's.
#pragma once

#include <algorithm>

// Inside a debug or sanitized build, too: the choice is an ordinary branch.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define MICA_X86_VECTORS
#include <immintrin.h>
#endif

namespace mica::kernels {

enum class InstructionSet { portable, avx2, avx512 };

InstructionSet instruction_set();  // the best of this machine, or less where limited

// Uses no better one from now on, in every thread: for tests and measurements.
void limit_instruction_set(InstructionSet most);

#ifdef MICA_X86_VECTORS
#define MICA_CALL(f, ...)                                                                 \
  (instruction_set() == InstructionSet::avx512 ? avx512::f(__VA_ARGS__)                   \
   : instruction_set() == InstructionSet::avx2 ? avx2::f(__VA_ARGS__) : portable::f(__VA_ARGS__))
#else
#define MICA_CALL(f, ...) portable::f(__VA_ARGS__)
#endif

// The same for loops over f32 or f64 (T): f64 is for checking, and only its portable version is compiled.
#define MICA_CALL_FOR(T, f, ...)                            \
  do {                                                      \
    if constexpr (sizeof(T) == 8) portable::f(__VA_ARGS__); \
    else MICA_CALL(f, __VA_ARGS__);                         \
  } while (false)

// Every Vector has: load and store of 16 floats or of the first `count` (others read as 0), broadcast, + − ·,
// multiply_add (a·b + c), max (b where either is NaN or they are equal), where_positive (b where !(a <= 0), else 0), and
// where_beats (a where x > y or x is NaN, else b).
// registers: how many accumulators a loop may hold beside its operands.

namespace portable {

struct Vector {
  static constexpr int registers = 4;
  float v[16];

  template <class F> static Vector make(const F& f) {
    Vector result;
    for (int i = 0; i < 16; ++i) result.v[i] = f(i);
    return result;
  }
  static Vector load(const float* p) { return make([=](int i) { return p[i]; }); }
  static Vector load(const float* p, int count) { return make([=](int i) { return i < count ? p[i] : 0.0F; }); }
  static Vector broadcast(float x) { return make([=](int) { return x; }); }
  void store(float* p) const { std::copy(v, v + 16, p); }
  void store(float* p, int count) const { std::copy(v, v + count, p); }
  friend Vector operator+(const Vector& a, const Vector& b) { return make([&](int i) { return a.v[i] + b.v[i]; }); }
  friend Vector operator-(const Vector& a, const Vector& b) { return make([&](int i) { return a.v[i] - b.v[i]; }); }
  friend Vector operator*(const Vector& a, const Vector& b) { return make([&](int i) { return a.v[i] * b.v[i]; }); }
  friend Vector multiply_add(const Vector& a, const Vector& b, const Vector& c) { return a * b + c; }
  friend Vector max(const Vector& a, const Vector& b) { return make([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; }); }
  friend Vector where_positive(const Vector& a, const Vector& b) { return make([&](int i) { return a.v[i] <= 0 ? 0.0F : b.v[i]; }); }
  friend Vector where_beats(const Vector& x, const Vector& y, const Vector& a, const Vector& b) {
    return make([&](int i) { return x.v[i] > y.v[i] || x.v[i] != x.v[i] ? a.v[i] : b.v[i]; });
  }
};

}  // namespace portable

#ifdef MICA_X86_VECTORS

#define MICA_OP inline __attribute__((always_inline))

#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace avx2 {

struct Vector {
  static constexpr int registers = 6;  // of 8: a vector is two of the 16 registers
  __m256 low, high;

  static MICA_OP __m256i first(int count) { return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)); }
  static MICA_OP Vector load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static MICA_OP Vector load(const float* p, int count) { return {_mm256_maskload_ps(p, first(count)), _mm256_maskload_ps(p + 8, first(count - 8))}; }
  static MICA_OP Vector broadcast(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  MICA_OP void store(float* p) const { _mm256_storeu_ps(p, low), _mm256_storeu_ps(p + 8, high); }
  MICA_OP void store(float* p, int count) const { _mm256_maskstore_ps(p, first(count), low), _mm256_maskstore_ps(p + 8, first(count - 8), high); }
};
MICA_OP Vector operator+(const Vector& a, const Vector& b) { return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
MICA_OP Vector operator-(const Vector& a, const Vector& b) { return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)}; }
MICA_OP Vector operator*(const Vector& a, const Vector& b) { return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
MICA_OP Vector multiply_add(const Vector& a, const Vector& b, const Vector& c) {
  return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
MICA_OP Vector max(const Vector& a, const Vector& b) { return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)}; }
MICA_OP __m256 where_positive(__m256 a, __m256 b) { return _mm256_andnot_ps(_mm256_cmp_ps(a, _mm256_setzero_ps(), _CMP_LE_OQ), b); }
MICA_OP Vector where_positive(const Vector& a, const Vector& b) { return {where_positive(a.low, b.low), where_positive(a.high, b.high)}; }
MICA_OP __m256 where_beats(__m256 x, __m256 y, __m256 a, __m256 b) {
  return _mm256_blendv_ps(b, a, _mm256_or_ps(_mm256_cmp_ps(x, y, _CMP_GT_OQ), _mm256_cmp_ps(x, x, _CMP_UNORD_Q)));
}
MICA_OP Vector where_beats(const Vector& x, const Vector& y, const Vector& a, const Vector& b) {
  return {where_beats(x.low, y.low, a.low, b.low), where_beats(x.high, y.high, a.high, b.high)};
}

}  // namespace avx2
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512f")
namespace avx512 {

struct Vector {
  static constexpr int registers = 24;  // of 32
  __m512 v;

  static MICA_OP __mmask16 first(int count) { return static_cast<__mmask16>((1U << count) - 1); }
  static MICA_OP Vector load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static MICA_OP Vector load(const float* p, int count) { return {_mm512_maskz_loadu_ps(first(count), p)}; }
  static MICA_OP Vector broadcast(float x) { return {_mm512_set1_ps(x)}; }
  MICA_OP void store(float* p) const { _mm512_storeu_ps(p, v); }
  MICA_OP void store(float* p, int count) const { _mm512_mask_storeu_ps(p, first(count), v); }
};
MICA_OP Vector operator+(const Vector& a, const Vector& b) { return {_mm512_add_ps(a.v, b.v)}; }
MICA_OP Vector operator-(const Vector& a, const Vector& b) { return {_mm512_sub_ps(a.v, b.v)}; }
MICA_OP Vector operator*(const Vector& a, const Vector& b) { return {_mm512_mul_ps(a.v, b.v)}; }
MICA_OP Vector multiply_add(const Vector& a, const Vector& b, const Vector& c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
// With a mask of all: g++ 12 warns falsely of _mm512_max_ps.
MICA_OP Vector max(const Vector& a, const Vector& b) { return {_mm512_maskz_max_ps(0xffff, a.v, b.v)}; }
MICA_OP Vector where_positive(const Vector& a, const Vector& b) {
  return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a.v, _mm512_setzero_ps(), _CMP_NLE_UQ), b.v)};
}
MICA_OP Vector where_beats(const Vector& x, const Vector& y, const Vector& a, const Vector& b) {
  const unsigned wins = _mm512_cmp_ps_mask(x.v, y.v, _CMP_GT_OQ) | _mm512_cmp_ps_mask(x.v, x.v, _CMP_UNORD_Q);
  return {_mm512_mask_mov_ps(b.v, static_cast<__mmask16>(wins), a.v)};
}

}  // namespace avx512
#pragma GCC pop_options

#undef MICA_OP
#endif

}  // namespace mica::kernels
