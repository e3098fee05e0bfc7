// Clipping of gradients, between backward and an optimizer's step: torch.nn.utils.clip_grad_norm_ and clip_grad_value_.
// They change gradients in place; parameters without one are skipped. All gradients must be on one device (DeviceError).
#pragma once

#include <mica/core/tensor.h>

#include <vector>

namespace mica {

// Multiplies all gradients by min(1, max_norm / (norm + 1e-6)) and returns the norm they had before, that of all
// elements as one vector: (Σ |g|ᵖ)^(1/p) with p = norm_type > 0, infinity for the largest |g|; 0 where there is none.
// The norm is an f64 scalar where the parameters are, f32 and f64 together; item<double>() reads it, and nothing else waits for
// a device. A norm that is not finite makes gradients 0 or NaN, or with error_if_nonfinite, for which the host reads the norm, is
// an Error that changes nothing.
Tensor clip_grad_norm_(const std::vector<Tensor>& parameters, double max_norm, double norm_type = 2, bool error_if_nonfinite = false);

// Brings every element into [−clip_value, clip_value].
void clip_grad_value_(const std::vector<Tensor>& parameters, double clip_value);

}  // namespace mica
