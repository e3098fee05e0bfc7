// Pooling over images N,H,W,C. f32 and f64.
// Max pooling pads with −∞, the first maximum in row order wins a tie and gets the gradient, and NaN wins over numbers;
// backward finds the winner again from x, so no index tensor is kept.
#pragma once

#include <mica/kernels/cpu/context.h>
#include <mica/kernels/dims.h>

namespace mica::kernels {

template <class T> void max_pool2d_forward(Cpu& cpu, const Pool2dDims& d, const T* x, T* y);
template <class T> void max_pool2d_backward(Cpu& cpu, const Pool2dDims& d, const T* x, const T* gy, T* gx);

// y[n,c] = mean over the pixels of x[n,·,c]; gx = gy / pixels. Sums are in f64.
template <class T> void global_avg_pool_forward(Cpu& cpu, i64 n, i64 pixels, i64 c, const T* x, T* y);
template <class T> void global_avg_pool_backward(Cpu& cpu, i64 n, i64 pixels, i64 c, const T* gy, T* gx);

}  // namespace mica::kernels
