// Losses between two f32 or f64 tensors of one shape (others broadcast), averaged, summed or left single. Both sides get
// gradients. Formulas: kernels/functors.h.
#pragma once

#include <mica/core/tensor.h>
#include <mica/kernels/nll_loss.h>

namespace mica {

using kernels::Reduction;  // mean, sum or none

Tensor mse_loss(const Tensor& input, const Tensor& target, Reduction reduction = Reduction::mean);  // (input − target)²
Tensor l1_loss(const Tensor& input, const Tensor& target, Reduction reduction = Reduction::mean);   // |input − target|
Tensor huber_loss(const Tensor& input, const Tensor& target, double delta = 1, Reduction reduction = Reduction::mean);  // delta > 0

}  // namespace mica
