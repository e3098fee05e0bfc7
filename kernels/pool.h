// Pooling over images N,H,W,C. f32 and f64.
// Max pooling pads with −∞, the first maximum in row order wins a tie and gets the gradient, and NaN wins over numbers;
// backward finds the winner again from x, so no index tensor is kept. cuDNN, where the policy chooses it, gives the same
// values, but does not say which of equal maxima, or of a window's NaNs, gets the gradient.
#pragma once

#include <mica/kernels/context.h>
#include <mica/kernels/dims.h>

namespace mica::kernels {

// Of numbers below 2³², as sizes with their padding are: a division of 64 bits takes several times as long.
constexpr i64 quotient(i64 a, i64 b) { return static_cast<std::uint32_t>(a) / static_cast<std::uint32_t>(b); }

// The k of [0, kernel) for which start + k·dilation lies in [0, size): from first to before end; none where end ≤ first.
struct Taps {
  i64 first, end;
};
constexpr Taps taps_inside(i64 start, i64 kernel, i64 dilation, i64 size) {
  const i64 first = start < 0 ? quotient(-start - 1, dilation) + 1 : 0;
  if (start + (kernel - 1) * dilation < size) return {first, kernel};
  return {first, start < size ? quotient(size - 1 - start, dilation) + 1 : 0};
}

template <class T> void max_pool2d_forward(Cpu& cpu, const Pool2dDims& d, const T* x, T* y);
template <class T> void max_pool2d_forward(Cuda& cuda, const Pool2dDims& d, const T* x, T* y);
template <class T> void max_pool2d_backward(Cpu& cpu, const Pool2dDims& d, const T* x, const T* gy, T* gx);
template <class T> void max_pool2d_backward(Cuda& cuda, const Pool2dDims& d, const T* x, const T* gy, T* gx);

// Average pooling: the sum of a window, in f64, over a divisor.
struct AveragePool {
  bool adaptive = false;           // windows from ⌊i·h/oh⌋ to ⌈(i+1)·h/oh⌉ instead of by kernel, stride and padding
  bool count_include_pad = true;   // does the divisor count padding?
  i64 divisor = 0;                 // used for every window, unless 0
};
template <class T> void avg_pool2d_forward(Cpu& cpu, const Pool2dDims& d, const AveragePool& rule, const T* x, T* y);
template <class T> void avg_pool2d_forward(Cuda& cuda, const Pool2dDims& d, const AveragePool& rule, const T* x, T* y);
template <class T> void avg_pool2d_backward(Cpu& cpu, const Pool2dDims& d, const AveragePool& rule, const T* gy, T* gx);
template <class T> void avg_pool2d_backward(Cuda& cuda, const Pool2dDims& d, const AveragePool& rule, const T* gy, T* gx);

}  // namespace mica::kernels
