// Parameter updates, clipping of gradients before them and averages of parameters after them: one call, one parallel region or
// launch, for all tensors given.
// f32 and f64; formulas are PyTorch's. A slot is one parameter; its pointers lead to n elements each, and no two overlap.
#pragma once

#include <mica/kernels/context.h>
#include <mica/kernels/dims.h>
#include <mica/kernels/graph_value.h>

#include <cmath>
#include <span>

namespace mica::kernels {

template <class T>
struct SgdSlot {
  i64 n;
  T* parameter;
  const T* gradient;
  T* momentum;             // null without momentum: for all slots of a call or for none
  GraphValue<bool> first;  // has momentum no history yet?
};

// d = g + weight_decay·θ;  b = d at the first step, then momentum·b + (1 − dampening)·d;
// θ −= lr · (nesterov ? d + momentum·b : b)
struct SgdSettings {
  GraphValue<double> lr, momentum;
  double dampening, weight_decay;
  bool nesterov;
};
template <class T> void sgd_step(Cpu& cpu, const SgdSettings& settings, std::span<const SgdSlot<T>> slots);
template <class T> void sgd_step(Cuda& cuda, const SgdSettings& settings, std::span<const SgdSlot<T>> slots);

// What the rate and the number of a parameter's step, t ≥ 1, make of it.
template <class T>
struct AdamBias {
  T rate;   // lr / (1 − β₁ᵗ)
  T scale;  // 1 / √(1 − β₂ᵗ)

  AdamBias() = default;
  AdamBias(double lr, double beta1, double beta2, i64 step) {
    const double t = static_cast<double>(step);
    rate = static_cast<T>(lr / (1 - std::pow(beta1, t)));
    scale = static_cast<T>(1 / std::sqrt(1 - std::pow(beta2, t)));
  }
};

template <class T>
struct AdamSlot {
  i64 n;
  T* parameter;
  const T* gradient;
  T *mean, *mean_square;  // m, v: zeros before the first step
  GraphValue<AdamBias<T>> bias;
};

// d = g + weight_decay·θ;  m = β₁·m + (1 − β₁)·d;  v = β₂·v + (1 − β₂)·d²;
// θ = keep·θ − lr/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + eps)
struct AdamSettings {
  GraphValue<double> beta1;
  double beta2, eps, weight_decay;
  GraphValue<double> keep = 1;  // 1 − lr·(decoupled weight decay)
};
template <class T> void adam_step(Cpu& cpu, const AdamSettings& settings, std::span<const AdamSlot<T>> slots);
template <class T> void adam_step(Cuda& cuda, const AdamSettings& settings, std::span<const AdamSlot<T>> slots);

template <class T>
struct RmspropSlot {
  i64 n;
  T* parameter;
  const T* gradient;
  T* square;    // v
  T* momentum;  // b; null without momentum: for all slots of a call or for none
  T* mean;      // m; null unless centered, likewise; all are zeros before the first step
};

// d = g + weight_decay·θ;  v = alpha·v + (1 − alpha)·d²;  m = m + (1 − alpha)·(d − m);
// s = d / (√(centered ? v − m² : v) + eps);  θ −= lr · (with momentum ? b = momentum·b + s : s)
struct RmspropSettings {
  GraphValue<double> lr;
  double alpha, eps, weight_decay;
  GraphValue<double> momentum;
};
template <class T> void rmsprop_step(Cpu& cpu, const RmspropSettings& settings, std::span<const RmspropSlot<T>> slots);
template <class T> void rmsprop_step(Cuda& cuda, const RmspropSettings& settings, std::span<const RmspropSlot<T>> slots);

template <class T>
struct AverageSlot {
  i64 n;
  T* average;
  const T* value;
};

// average = average + weight·(value − average), weight in [0, 1]: PyTorch's lerp; a weight of 1 copies.
template <class T> void average(Cpu& cpu, const GraphValue<double>& weight, std::span<const AverageSlot<T>> slots);
template <class T> void average(Cuda& cuda, const GraphValue<double>& weight, std::span<const AverageSlot<T>> slots);

template <class T>
struct GradientSlot {
  i64 n;
  T* gradient;
};

// *sum = Σ |g|ᵖ over all slots, p > 0; for p = ∞ the largest |g|. In f64, in an order that depends on the sizes alone; NaN
// where an element is. `sum` is memory of the context's device, as all pointers of what follows are: nothing here waits for it.
template <class T> void power_sum(Cpu& cpu, double p, std::span<const GradientSlot<T>> slots, double* sum);
template <class T> void power_sum(Cuda& cuda, double p, std::span<const GradientSlot<T>> slots, double* sum);

// *norm = (Σ sums)^(1/p), for p = ∞ the largest of them; *factor = min(1, max_norm / (norm + 1e-6)), NaN where the norm is.
// `parts` ≥ 1 sums, those of gradients of different dtypes.
void clip_factor(Cpu& cpu, double p, double max_norm, int parts, const double* sums, double* norm, double* factor);
void clip_factor(Cuda& cuda, double p, double max_norm, int parts, const double* sums, double* norm, double* factor);

// g = *factor · g; a factor of 1 leaves gradients as they are, unread.
template <class T> void scale(Cpu& cpu, const double* factor, std::span<const GradientSlot<T>> slots);
template <class T> void scale(Cuda& cuda, const double* factor, std::span<const GradientSlot<T>> slots);

// g = min(max(g, −limit), limit); NaN stays
template <class T> void clamp(Cpu& cpu, double limit, std::span<const GradientSlot<T>> slots);
template <class T> void clamp(Cuda& cuda, double limit, std::span<const GradientSlot<T>> slots);

}  // namespace mica::kernels
