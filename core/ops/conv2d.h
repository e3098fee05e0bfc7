// 2-D convolution (cross-correlation) with PyTorch's meaning. Formulas: kernels/conv2d.h.
#pragma once

#include <mica/core/tensor.h>
#include <mica/kernels/dims.h>

#include <array>

namespace mica {

struct Conv2dOptions {
  std::array<std::int64_t, 2> stride{1, 1}, padding{0, 0}, dilation{1, 1};  // along H, along W
  std::int64_t groups = 1;
};

// Of an input and a weight of these shapes, both of rank 4. Nothing is checked but that strides and dilations must not be 0.
kernels::Conv2dDims conv2d_dims(const Shape& x, const Shape& weight, const Conv2dOptions& options);

// x (N, C, H, W), weight (O, C/groups, kh, kw), bias (O) or undefined → (N, O, oh, ow), with
// oh = ⌊(H + 2·padding − dilation·(kh − 1) − 1) / stride⌋ + 1. f32 or f64, all the same.
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, const Conv2dOptions& options = {});

// With stride 1 and as much padding as keeps H and W, PyTorch's padding='same': ⌊dilation·(k − 1)/2⌋ before, the rest after.
Tensor conv2d_same(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, std::array<std::int64_t, 2> dilation = {1, 1},
                   std::int64_t groups = 1);

}  // namespace mica
