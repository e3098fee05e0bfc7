// The convolutions among which conv2d.cu chooses.
#pragma once

#include <mica/kernels/conv2d.h>
#include <mica/kernels/cuda/context.h>

namespace mica::kernels {

// Any convolution, as products of matrices: conv2d_product.cu.
namespace conv2d_product {
template <class T> void forward(Cuda& cuda, const Conv2dDims& d, const T* x, const T* w, const T* bias, T* y);
template <class T> void backward_data(Cuda& cuda, const Conv2dDims& d, const T* gy, const T* w, T* gx);
template <class T> void backward_weight(Cuda& cuda, const Conv2dDims& d, const T* x, const T* gy, T* gw);
}  // namespace conv2d_product

// Images of one channel: conv2d_image.cu. f32.
namespace conv2d_image {
bool applies(const Conv2dDims& d);
void forward(Cuda& cuda, const Conv2dDims& d, const float* x, const float* w, const float* bias, float* y);
}  // namespace conv2d_image

// 3×3 filters with stride 1: conv2d_3x3.cu and, for the filters' gradient, conv2d_3x3_weight.cu. f32.
namespace conv2d_3x3 {
bool applies(const Conv2dDims& d);
void forward(Cuda& cuda, const Conv2dDims& d, const float* x, const float* w, const float* bias, float* y);
void backward_data(Cuda& cuda, const Conv2dDims& d, const float* gy, const float* w, float* gx);
void backward_weight(Cuda& cuda, const Conv2dDims& d, const float* x, const float* gy, float* gw, float* gb);  // gb may be null
}  // namespace conv2d_3x3

// 3×3 filters on 16 channels, by tensor cores: conv2d_tensor_forward.cu and conv2d_tensor_backward.cu, which conv2d_chain.h calls too.
namespace conv2d_tensor {
bool applies(const Cuda& cuda, const Conv2dDims& d);  // x, y, their gradients and bias must be aligned to 16 bytes
void forward(Cuda& cuda, const Conv2dDims& d, const float* x, const float* w, const float* bias, float* y);
void backward(Cuda& cuda, const Conv2dDims& d, const float* x, const float* gy, const float* w, float* gx, float* gw);  // one may be null
}  // namespace conv2d_tensor

// cuDNN's, where the policy chooses it: conv2d_cudnn.cpp. False: it cannot do this one.
namespace conv2d_cudnn {
template <class T> bool forward(Cuda& cuda, const Conv2dDims& d, const T* x, const T* w, const T* bias, T* y);
template <class T> bool backward_data(Cuda& cuda, const Conv2dDims& d, const T* gy, const T* w, T* gx);
template <class T> bool backward_weight(Cuda& cuda, const Conv2dDims& d, const T* x, const T* gy, T* gw);
}  // namespace conv2d_cudnn

}  // namespace mica::kernels
