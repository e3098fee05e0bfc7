// 2-D convolution (cross-correlation, as in PyTorch): images N,H,W,C, filters O,H,W,I. With s, p, d for stride, padding
// and dilation, and c running over the channels of o's group:
//   y[n,i,j,o]  = b[o] + Σ_{u,v,c} x[n, i·s − p + u·d, j·s − p + v·d, c] · w[o,u,v,c]
//   gx[n,·,·,c] = Σ gy[n,i,j,o] · w[o,u,v,c]      over the same pairs
//   gw[o,u,v,c] = Σ gy[n,i,j,o] · x[n,·,·,c]      gb[o] = Σ_{n,i,j} gy[n,i,j,o]
// f64 is the definition, by plain loops (conv2d_reference); f32 is what the context's policy says: oneDNN's or our own;
// on CUDA both types are, cuDNN's or our own, and cuDNN may choose Winograd's or Fourier's transforms too.
// Winograd's transforms add neighbouring pixels and filter taps before they are multiplied: where one is infinite, NaN or
// so large that others round away beside it (1e20), outputs near it may differ from the sum above, up to NaN. The CPU's
// other kernels keep to it; Policy::library chooses oneDNN's. On CUDA what lies outside an image counts as zero instead of
// being left out: where it meets an infinite or NaN filter tap or gradient, the sum is NaN. There, from sm_80 on, tensor cores do 3×3 filters
// with stride 1 on 16 channels: with operands rounded to TF32's 10 bits where Settings::cudnn_tf32 allows it, which is the default, as in
// PyTorch; else by three products each, with f32's error, where an infinite operand makes NaN.
#pragma once

#include <mica/kernels/context.h>
#include <mica/kernels/dims.h>

namespace mica::kernels {

// bias and gb may be null.
void conv2d_forward(Cpu& cpu, const Conv2dDims& d, const float* x, const float* w, const float* bias, float* y);
void conv2d_forward(Cuda& cuda, const Conv2dDims& d, const float* x, const float* w, const float* bias, float* y);
void conv2d_forward(Cpu& cpu, const Conv2dDims& d, const double* x, const double* w, const double* bias, double* y);
void conv2d_forward(Cuda& cuda, const Conv2dDims& d, const double* x, const double* w, const double* bias, double* y);

// Both gradients, which may share work. gx may be null, or gw with gb.
void conv2d_backward(Cpu& cpu, const Conv2dDims& d, const float* x, const float* gy, const float* w, float* gx, float* gw, float* gb);
void conv2d_backward(Cuda& cuda, const Conv2dDims& d, const float* x, const float* gy, const float* w, float* gx, float* gw, float* gb);
void conv2d_backward(Cpu& cpu, const Conv2dDims& d, const double* x, const double* gy, const double* w, double* gx, double* gw, double* gb);
void conv2d_backward(Cuda& cuda, const Conv2dDims& d, const double* x, const double* gy, const double* w, double* gx, double* gw, double* gb);

}  // namespace mica::kernels
