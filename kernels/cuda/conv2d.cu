// Which kernel computes a convolution: cuDNN's where it is chosen, otherwise for f64 the one for any convolution, for f32 a
// tiled one where there is one for its shape.
#include <mica/kernels/cuda/by_cudnn.h>
#include <mica/kernels/cuda/conv2d.h>
#include <mica/kernels/cuda/pack.h>
#include <mica/kernels/reduce.h>

namespace mica::kernels {
namespace {

// gb[o] = Σ gy over pixels
template <class T>
void backward_bias(Cuda& cuda, const Conv2dDims& d, const T* gy, T* gb) {
  Region kept, reduced;
  kept.push_back(d.o, 1);
  reduced.push_back(d.n * d.oh * d.ow, d.o);
  sum(cuda, kept, reduced, 1.0, gy, gb);
}

template <class T>
void backward_weight(Cuda& cuda, const Conv2dDims& d, const T* x, const T* gy, T* gw, T* gb) {
  conv2d_product::backward_weight(cuda, d, x, gy, gw);
  if (gb) backward_bias(cuda, d, gy, gb);
}

// What cuDNN does of the gradients is then null.
template <class T>
void backward_by_cudnn(Cuda& cuda, const Conv2dDims& d, const T* x, const T* gy, const T* w, T*& gx, T*& gw, T* gb) {
  if (gx && MICA_BY_CUDNN(conv2d, conv2d_cudnn::backward_data(cuda, d, gy, w, gx))) gx = nullptr;
  if (!gw || !MICA_BY_CUDNN(conv2d, conv2d_cudnn::backward_weight(cuda, d, x, gy, gw))) return;
  if (gb) backward_bias(cuda, d, gy, gb);
  gw = nullptr;
}

}  // namespace

void conv2d_forward(Cuda& cuda, const Conv2dDims& d, const double* x, const double* w, const double* bias, double* y) {
  if (MICA_BY_CUDNN(conv2d, conv2d_cudnn::forward(cuda, d, x, w, bias, y))) return;
  conv2d_product::forward(cuda, d, x, w, bias, y);
}

void conv2d_backward(Cuda& cuda, const Conv2dDims& d, const double* x, const double* gy, const double* w, double* gx, double* gw, double* gb) {
  backward_by_cudnn(cuda, d, x, gy, w, gx, gw, gb);
  if (gx) conv2d_product::backward_data(cuda, d, gy, w, gx);
  if (gw) backward_weight(cuda, d, x, gy, gw, gb);
}

void conv2d_forward(Cuda& cuda, const Conv2dDims& d, const float* x, const float* w, const float* bias, float* y) {
  if (MICA_BY_CUDNN(conv2d, conv2d_cudnn::forward(cuda, d, x, w, bias, y))) return;
  if (conv2d_tensor::applies(cuda, d) && all_aligned(x, bias, y)) conv2d_tensor::forward(cuda, d, x, w, bias, y);
  else if (conv2d_image::applies(d)) conv2d_image::forward(cuda, d, x, w, bias, y);
  else if (conv2d_3x3::applies(d)) conv2d_3x3::forward(cuda, d, x, w, bias, y);
  else conv2d_product::forward(cuda, d, x, w, bias, y);
}

void conv2d_backward(Cuda& cuda, const Conv2dDims& d, const float* x, const float* gy, const float* w, float* gx, float* gw, float* gb) {
  backward_by_cudnn(cuda, d, x, gy, w, gx, gw, gb);
  if ((gx || gw) && conv2d_tensor::applies(cuda, d) && all_aligned(x, gy, gx)) {
    conv2d_tensor::backward(cuda, d, x, gy, w, gx, gw);
    if (gw && gb) backward_bias(cuda, d, gy, gb);
    return;
  }
  if (!conv2d_3x3::applies(d)) {
    if (gx) conv2d_product::backward_data(cuda, d, gy, w, gx);
    if (gw) backward_weight(cuda, d, x, gy, gw, gb);
    return;
  }
  if (gx) conv2d_3x3::backward_data(cuda, d, gy, w, gx);
  if (gw) conv2d_3x3::backward_weight(cuda, d, x, gy, gw, gb);
}

}  // namespace mica::kernels
