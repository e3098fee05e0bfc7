// Products of a warp by tensor cores, and the f32 values that they take: PTX by nvcc; on the emulator the same fragments, the same
// loss of bits. For devices from sm_80 on; code for older ones compiles and must not run.
//
// mma.sync.m16n8k8, D[16×8] += A[16×8] · B[8×8]; in lane 4g + t:
//   a0 (g, t)   a1 (g+8, t)   a2 (g, t+4)   a3 (g+8, t+4)     of A (row, k)
//   b0 (t, g)   b1 (t+4, g)                                   of B (k, column)
//   d0 (g, 2t)  d1 (g, 2t+1)  d2 (g+8, 2t)  d3 (g+8, 2t+1)    of D (row, column)
// Source: PTX ISA, "Matrix Fragments for mma.m16n8k8".
#pragma once

#include <mica/kernels/cuda/pack.h>
#include <mica/kernels/math.h>

namespace mica::kernels {

enum class Precision {
  tf32,       // operands rounded to 10 bits behind the point, one product
  three_tf32  // each operand the sum of two of that kind, three products, and their sums rounded as f32's are: f32's error
};

MICA_DEVICE float from_bits(unsigned bits) { return __uint_as_float(bits); }

// What the unit sees of x.
MICA_DEVICE float kept_by_tensor_core(float x) { return from_bits(__float_as_uint(x) & 0xffffe000U); }

// To the nearest, halves away from zero: half of the last kept bit is added, and the unit drops the rest. Infinity stays, and NaN, made
// quiet: of others the unit may drop all that tells them from infinity. Zero becomes a denormal, which the unit takes for zero.
MICA_DEVICE float round_to_tf32(float x) { return math::absolute(x) < math::infinity ? from_bits(__float_as_uint(x) + 0x1000U) : x + x; }

// To who asks whether a rounded value is positive, what lies below is zero.
inline constexpr float least_positive = 0x1p-126F;

MICA_DEVICE void tensor_core_product(float (&d)[4], float a0, float a1, float a2, float a3, float b0, float b1) {
#ifndef __CUDACC__
  emulator::mma_m16n8k8_tf32(d, {a0, a1, a2, a3}, {b0, b1});
#elif __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(__float_as_uint(a0)), "r"(__float_as_uint(a1)), "r"(__float_as_uint(a2)), "r"(__float_as_uint(a3)), "r"(__float_as_uint(b0)),
        "r"(__float_as_uint(b1)));
#else
  __trap();
#endif
}

// An operand for three products: high may be the value itself, since the unit drops the rest; low is exact in f32.
template <int n>
struct Fragment {
  float at[n];
};
template <int n>
struct SplitFragment {
  Fragment<n> high, low;
};
template <int n>
MICA_DEVICE SplitFragment<n> split(const Fragment<n>& v) {
  SplitFragment<n> both{v, {}};
  for (int i = 0; i < n; ++i) both.low.at[i] = v.at[i] - kept_by_tensor_core(v.at[i]);
  return both;
}

MICA_DEVICE void tensor_core_product(float (&d)[4], const Fragment<4>& a, const Fragment<2>& b) {
  tensor_core_product(d, a.at[0], a.at[1], a.at[2], a.at[3], b.at[0], b.at[1]);
}
MICA_DEVICE void tensor_core_product(float (&d)[4], const SplitFragment<4>& a, const SplitFragment<2>& b) {  // small terms first
  tensor_core_product(d, a.low, b.high);
  tensor_core_product(d, a.high, b.low);
  tensor_core_product(d, a.high, b.high);
}

MICA_DEVICE void add(float (&total)[4], const float (&part)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) total[i] += part[i];
}

// total += a · b. Tensor cores cut off what their sums cannot hold, instead of rounding it, so that long ones come out too small; for f32's
// error they sum few products at a time, and the rest is done by additions. Source: Fasi, Higham, Mikaitis, Pranesh, "Numerical behavior of
// NVIDIA tensor cores", PeerJ Computer Science 2021.
template <Precision precision>
MICA_DEVICE void add_product(float (&total)[4], const Fragment<4>& a, const Fragment<2>& b) {
  if constexpr (precision == Precision::tf32) {
    tensor_core_product(total, a, b);
  } else {
    float part[4] = {};
    tensor_core_product(part, split(a), split(b));
    add(total, part);
  }
}

}  // namespace mica::kernels
