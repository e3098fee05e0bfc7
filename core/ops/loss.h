// Log-softmax, the negative log-likelihood, and what a classifier got right. Formulas: kernels/softmax.h.
#pragma once

#include <mica/core/tensor.h>

namespace mica {

Tensor log_softmax(const Tensor& x, int dim);  // along a logical dimension of any f32 or f64 tensor

// The mean of −log_probabilities[n, target[n]]: log_probabilities (N, classes), target (N) of i64 in [0, classes).
// A scalar; NaN for N = 0. A target out of range is an error that names it.
Tensor nll_loss(const Tensor& log_probabilities, const Tensor& target);

// How many rows of scores (N, classes) are largest at target[n]; the first of equals counts.
std::int64_t count_correct(const Tensor& scores, const Tensor& target);

}  // namespace mica
