// Clipping of gradients, between backward and an optimizer's step: torch.nn.utils.clip_grad_norm_ and clip_grad_value_.
// They change gradients in place; parameters without one are skipped.
#pragma once

#include <mica/core/tensor.h>

#include <vector>

namespace mica {

// Multiplies all gradients by min(1, max_norm / (norm + 1e-6)) and returns the norm they had before, that of all
// elements as one vector: (Σ |g|ᵖ)^(1/p) with p = norm_type > 0, infinity for the largest |g|; 0 where there is none.
// A norm that is not finite makes gradients 0 or NaN, or with error_if_nonfinite is an Error that changes nothing.
double clip_grad_norm_(const std::vector<Tensor>& parameters, double max_norm, double norm_type = 2, bool error_if_nonfinite = false);

// Brings every element into [−clip_value, clip_value].
void clip_grad_value_(const std::vector<Tensor>& parameters, double clip_value);

}  // namespace mica
