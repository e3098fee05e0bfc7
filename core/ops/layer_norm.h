// Layer normalisation over the last dimensions, with PyTorch's meaning. Formulas: kernels/layer_norm.h.
#pragma once

#include <mica/core/tensor.h>

namespace mica {

// normalized_shape: the last sizes of x. weight, bias: of that shape, or undefined for 1 and 0.
Tensor layer_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight = {}, const Tensor& bias = {}, double eps = 1e-5);

}  // namespace mica
