#include <mica/core/dispatch.h>
#include <mica/core/error.h>
#include <mica/core/scope.h>
#include <mica/kernels/optimizer.h>
#include <mica/optim/clip.h>

#include <fmt/format.h>

#include <cmath>

namespace mica {
namespace {

// The gradients there are, of f32 and f64, all on one device.
std::vector<Tensor> gradients_of(const char* op, const std::vector<Tensor>& parameters) {
  std::vector<Tensor> gradients;
  for (const Tensor& parameter : parameters)
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  for (const Tensor& gradient : gradients) require_same_device(op, gradients.front(), gradient);
  return gradients;
}

// f(context, slots) for the gradients of f32, then for those of f64.
template <class F>
void for_each_dtype(const std::vector<Tensor>& gradients, const F& f) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    std::vector<Tensor> some;
    for (const Tensor& gradient : gradients)
      if (gradient.dtype() == dtype) some.push_back(gradient);
    if (some.empty()) continue;
    dispatch_floating(some.front(), [&](auto& context, auto t) {
      using T = decltype(t);
      std::vector<kernels::GradientSlot<T>> slots;
      for (const Tensor& gradient : some) slots.push_back({gradient.numel(), gradient.data<T>()});
      f(context, std::span<const kernels::GradientSlot<T>>(slots));
    });
  }
}

void changed(const std::vector<Tensor>& gradients) {
  for (const Tensor& gradient : gradients) gradient.bump_version();
}

}  // namespace

Tensor clip_grad_norm_(const std::vector<Tensor>& parameters, double max_norm, double norm_type, bool error_if_nonfinite) {
  static const Scope::Name name = std::make_shared<const std::string>("clip_grad_norm_");
  const Scope scope(name, Pass::optimizer);
  if (!(norm_type > 0))
    throw Error(fmt::format("clip_grad_norm_: expected a norm type above 0 (infinity included), got {}", norm_type));
  const std::vector<Tensor> gradients = gradients_of("clip_grad_norm_", parameters);
  if (gradients.empty()) return Tensor::zeros({}, DType::f64);
  const Device device = gradients.front().device();
  const Tensor sums = Tensor::empty({2}, DType::f64, device), factor = Tensor::empty({}, DType::f64, device);
  const Tensor norm = Tensor::empty({}, DType::f64, device);
  int parts = 0;
  for_each_dtype(gradients, [&](auto& context, auto slots) { kernels::power_sum(context, norm_type, slots, sums.data<double>() + parts++); });
  dispatch_device(norm, [&](auto& context) {
    kernels::clip_factor(context, norm_type, max_norm, parts, sums.data<double>(), norm.data<double>(), factor.data<double>());
  });
  if (error_if_nonfinite && !std::isfinite(norm.item<double>()))
    throw Error(fmt::format("clip_grad_norm_: the norm of order {} of all gradients is {}, so they cannot be clipped; without "
                            "error_if_nonfinite they are multiplied all the same",
                            norm_type, norm.item<double>()));
  for_each_dtype(gradients, [&](auto& context, auto slots) { kernels::scale(context, factor.data<double>(), slots); });
  changed(gradients);
  return norm;
}

void clip_grad_value_(const std::vector<Tensor>& parameters, double clip_value) {
  static const Scope::Name name = std::make_shared<const std::string>("clip_grad_value_");
  const Scope scope(name, Pass::optimizer);
  const std::vector<Tensor> gradients = gradients_of("clip_grad_value_", parameters);
  for_each_dtype(gradients, [&](auto& context, auto slots) { kernels::clamp(context, clip_value, slots); });
  changed(gradients);
}

}  // namespace mica
