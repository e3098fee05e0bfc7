// Softmax along one logical dimension of an f32 or f64 tensor. Formulas: kernels/softmax.h.
#pragma once

#include <mica/core/tensor.h>

namespace mica {

Tensor softmax(const Tensor& x, int dim);
Tensor log_softmax(const Tensor& x, int dim);

}  // namespace mica
