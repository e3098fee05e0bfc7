// Batch normalisation over the channels of (N, C) or (N, C, …), with PyTorch's meaning. Formulas: kernels/batch_norm.h.
#pragma once

#include <mica/core/tensor.h>
#include <mica/kernels/dropout.h>

#include <optional>

namespace mica {

struct BatchNormOptions {
  bool training = false;  // normalise by the batch's statistics, and update the running ones; otherwise by the running ones
  // running = (1 − momentum) · running + momentum · batch, the batch's variance unbiased. None: 1 / num_batches_tracked,
  // which averages all batches.
  std::optional<double> momentum = 0.1;
  double eps = 1e-5;
  bool relu = false;                // fused: ReLU of the result,
  kernels::Dropout dropout = {};  // and dropout after it; p > 0 needs relu
  Tensor num_batches_tracked = {};  // i64 scalar that counts the batches in training; may be undefined where momentum is given
};

// weight, bias, running_mean, running_var: (C). Undefined weight and bias count as 1 and 0; running statistics may be
// undefined in training, and are changed in place. One value per channel in training is an error.
Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor running_mean, Tensor running_var,
                  const BatchNormOptions& options);

}  // namespace mica
