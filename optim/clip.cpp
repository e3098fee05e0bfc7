#include <mica/core/dispatch.h>
#include <mica/core/error.h>
#include <mica/kernels/optimizer.h>
#include <mica/optim/clip.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace mica {
namespace {

// f(context, slots) for the gradients of f32, then for those of f64.
template <class F>
void for_gradients(const std::vector<Tensor>& parameters, const F& f) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    std::vector<Tensor> gradients;
    for (const Tensor& parameter : parameters)
      if (parameter.dtype() == dtype && parameter.grad().defined()) gradients.push_back(parameter.grad());
    if (gradients.empty()) continue;
    dispatch_floating(gradients.front(), [&](auto& context, auto t) {
      using T = decltype(t);
      std::vector<kernels::GradientSlot<T>> slots;
      for (const Tensor& gradient : gradients) slots.push_back({gradient.numel(), gradient.data<T>()});
      f(context, std::span<const kernels::GradientSlot<T>>(slots));
    });
  }
}

void gradients_changed(const std::vector<Tensor>& parameters) {
  for (const Tensor& parameter : parameters)
    if (parameter.grad().defined()) parameter.grad().bump_version();
}

}  // namespace

double clip_grad_norm_(const std::vector<Tensor>& parameters, double max_norm, double norm_type, bool error_if_nonfinite) {
  if (!(norm_type > 0))
    throw Error(fmt::format("clip_grad_norm_: expected a norm type above 0 (infinity included), got {}", norm_type));
  double total = 0;
  for_gradients(parameters, [&](auto& context, auto slots) {
    const double part = kernels::power_sum(context, norm_type, slots);
    if (!std::isinf(norm_type)) total += part;
    else if (part > total || std::isnan(part)) total = part;
  });
  const double norm = std::isinf(norm_type) ? total : norm_type == 2 ? std::sqrt(total) : std::pow(total, 1 / norm_type);
  if (error_if_nonfinite && !std::isfinite(norm))
    throw Error(fmt::format("clip_grad_norm_: the norm of order {} of all gradients is {}, so they cannot be clipped; without "
                            "error_if_nonfinite they are multiplied all the same",
                            norm_type, norm));
  const double wanted = max_norm / (norm + 1e-6), factor = wanted > 1 ? 1 : wanted;  // NaN stays
  for_gradients(parameters, [&](auto& context, auto slots) { kernels::scale(context, factor, slots); });
  gradients_changed(parameters);
  return norm;
}

void clip_grad_value_(const std::vector<Tensor>& parameters, double clip_value) {
  for_gradients(parameters, [&](auto& context, auto slots) { kernels::clamp(context, clip_value, slots); });
  gradients_changed(parameters);
}

}  // namespace mica
