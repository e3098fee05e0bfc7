// Parameter updates, one call for all parameters of a group. f32 and f64; formulas are PyTorch's.
#pragma once

#include <mica/kernels/cpu/context.h>
#include <mica/kernels/dims.h>

#include <span>

namespace mica::kernels {

template <class T>
struct SgdSlot {
  i64 n;
  T* parameter;
  const T* gradient;
  T* momentum;  // null without momentum
  bool first;   // has momentum no history yet?
};

// d = g + weight_decay·θ;  b = d at the first step, then momentum·b + (1 − dampening)·d;
// θ −= lr · (nesterov ? d + momentum·b : b)
struct SgdSettings {
  double lr, momentum, dampening, weight_decay;
  bool nesterov;
};
template <class T> void sgd_step(Cpu& cpu, const SgdSettings& settings, std::span<const SgdSlot<T>> slots);

}  // namespace mica::kernels
