// Losses of classifiers, and what a classifier got right. Formulas: kernels/nll_loss.h and kernels/cross_entropy.h. Losses of numbers are in
// core/ops/regression_loss.h.
#pragma once

#include <mica/core/ops/softmax.h>
#include <mica/core/tensor.h>
#include <mica/kernels/nll_loss.h>

namespace mica {

using kernels::Reduction;  // mean, sum or none

struct NllLossOptions {
  Tensor weight = {};                // (classes), or undefined for 1 each
  std::int64_t ignore_index = -100;  // a target of this value does not count
  Reduction reduction = Reduction::mean;
};

// −log_probabilities at each target: log_probabilities (N, classes, …) or (classes), target (N, …) or a scalar, i64 in
// [0, classes). A scalar, or with Reduction::none the target's shape; the mean is over Σ weight[target], NaN where that is 0.
// A target out of range is an error that names it.
Tensor nll_loss(const Tensor& log_probabilities, const Tensor& target, const NllLossOptions& options = {});

struct CrossEntropyOptions {
  Tensor weight = {};
  std::int64_t ignore_index = -100;
  Reduction reduction = Reduction::mean;
  double label_smoothing = 0;  // in [0, 1]: this share of each target is spread evenly over all classes
};

// nll_loss of the log_softmax of scores. The target is i64 classes, or probabilities: of the scores' shape and dtype.
Tensor cross_entropy(const Tensor& scores, const Tensor& target, const CrossEntropyOptions& options = {});

// How many rows of scores (N, classes) have target[n] among their k largest, of equal ones the first: an i64 scalar where scores are.
// core/metrics.h counts more.
Tensor count_correct(const Tensor& scores, const Tensor& target, std::int64_t k = 1);

}  // namespace mica
