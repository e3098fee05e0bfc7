// Softmax and log-softmax along one dimension. f32 and f64, sums in f64.
//   softmax:      y = exp(x − m) / Σ exp(x − m),      gx = y · (gy − Σ gy·y)         m = max x
//   log_softmax:  y = x − m − log Σ exp(x − m),       gx = gy − exp(y) · Σ gy
#pragma once

#include <mica/kernels/context.h>
#include <mica/kernels/dims.h>

namespace mica::kernels {

// x, y, gy, gx: outer×length×inner, along the middle.
struct SoftmaxDims {
  i64 outer, length, inner;
};
template <class T> void softmax_forward(Cpu& cpu, const SoftmaxDims& d, const T* x, T* y);
template <class T> void softmax_forward(Cuda& cuda, const SoftmaxDims& d, const T* x, T* y);
template <class T> void softmax_backward(Cpu& cpu, const SoftmaxDims& d, const T* y, const T* gy, T* gx);
template <class T> void softmax_backward(Cuda& cuda, const SoftmaxDims& d, const T* y, const T* gy, T* gx);
template <class T> void log_softmax_forward(Cpu& cpu, const SoftmaxDims& d, const T* x, T* y);
template <class T> void log_softmax_forward(Cuda& cuda, const SoftmaxDims& d, const T* x, T* y);
template <class T> void log_softmax_backward(Cpu& cpu, const SoftmaxDims& d, const T* y, const T* gy, T* gx);
template <class T> void log_softmax_backward(Cuda& cuda, const SoftmaxDims& d, const T* y, const T* gy, T* gx);

}  // namespace mica::kernels
