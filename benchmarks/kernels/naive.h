// The naive implementations beside which kernels are timed, and the reference that they are checked against: one formula, which
// gives output i of an op from its inputs.
//   template <class Real> struct Relu { const float* x;  MICA_FUNCTION Real operator()(i64 i) const {…} };
// Real is float where it is timed (a plain loop on one thread of the CPU, a thread for each output on CUDA) and double where it
// is the reference: inputs are f32 in both.
#pragma once

#include <mica/kernels/context.h>
#include <mica/kernels/dims.h>
#include <mica/kernels/math.h>

namespace mica::bench {

using kernels::Cpu;
using kernels::Cuda;
using kernels::i64;

// Of value i of images N,H,W,C.
struct Position {
  int n, row, column, c;
  MICA_FUNCTION Position(i64 i, int h, int w, int channels) {
    const int index = static_cast<int>(i);
    c = index % channels, column = index / channels % w, row = index / channels / w % h, n = index / channels / w / h;
  }
};

template <class Formula>
void each(Cpu&, i64 n, const Formula& formula, float* y) {
  for (i64 i = 0; i < n; ++i) y[i] = formula(i);
}
template <class Formula>
void each(Cuda& cuda, i64 n, const Formula& formula, float* y);  // naive.cu, which lists the formulas

}  // namespace mica::bench
