// What the losses of classes compute of one line, on every backend. In f64, rounded once for each result.
#pragma once

#include <mica/kernels/cross_entropy.h>
#include <mica/kernels/math.h>

namespace mica::kernels {

template <class T>
MICA_FUNCTION double weight_of(const T* weight, i64 c) { return weight ? static_cast<double>(weight[c]) : 1.0; }

// Does a line count? Targets out of range do not: on CUDA kernels meet them before their error is thrown, and must not read there.
MICA_FUNCTION bool counts(const NllDims& d, i64 target) { return target != d.ignore_index && target >= 0 && target < d.classes; }

template <class T>
MICA_FUNCTION double counted_weight(const NllDims& d, i64 target, const T* weight) { return counts(d, target) ? weight_of(weight, target) : 0.0; }

// −gloss of a line, over the total weight for the mean.
template <class T>
MICA_FUNCTION double negative_share(const NllDims& d, i64 line, const double* total_weight, const T* gloss) {
  const double by = d.reduction == Reduction::mean ? 1 / *total_weight : 1;
  return -by * static_cast<double>(gloss[d.reduction == Reduction::none ? line : 0]);
}

// The loss of a line that counts, from its target's y and Σ w[c]·y[c], which is not looked at without smoothing.
template <class T>
MICA_FUNCTION double smoothed_loss(const CrossEntropy<T>& call, i64 target, T y, double all) {
  const double loss = -weight_of(call.weight, target) * static_cast<double>(y);
  if (call.smoothing == 0) return loss;
  return (1 - call.smoothing) * loss - call.smoothing / static_cast<double>(call.d.classes) * all;
}

// The gradient gy of a line's y: shares of the smoothing, and what the target has beside its own.
template <class T>
struct LineGradient {
  i64 target = 0;
  bool smoothed = false;
  double soft = 0, hard = 0;

  LineGradient() = default;
  MICA_FUNCTION LineGradient(const CrossEntropy<T>& call, i64 line, const double* total_weight, const T* gloss) : target(call.target[line]) {
    if (!counts(call.d, target)) return;
    const double g = negative_share(call.d, line, total_weight, gloss);
    smoothed = call.smoothing != 0;
    soft = g * (call.smoothing / static_cast<double>(call.d.classes));
    hard = g * (1 - call.smoothing) * weight_of(call.weight, target);
  }
  MICA_FUNCTION T share(double weight) const { return smoothed ? static_cast<T>(soft * weight) : T(0); }
  MICA_FUNCTION T of(i64 c, double weight) const { return c == target ? share(weight) + static_cast<T>(hard) : share(weight); }
  // Σ gy, where all is Σ w[c].
  MICA_FUNCTION T total(double all) const { return static_cast<T>(smoothed ? soft * all + hard : hard); }
};

}  // namespace mica::kernels
