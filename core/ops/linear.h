// The fully connected layer's op, with PyTorch's meaning.
#pragma once

#include <mica/core/tensor.h>

namespace mica {

// y = x · weightᵀ + bias: x (…, in), weight (out, in), bias (out) or undefined → (…, out). f32 or f64.
//   gx = gy · weight,   gweight = gyᵀ · x,   gbias = Σ gy over all rows
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {});

}  // namespace mica
