#include <mica/core/autograd.h>
#include <mica/core/dispatch.h>
#include <mica/core/error.h>
#include <mica/core/ops/layer_norm.h>
#include <mica/kernels/layer_norm.h>

#include <fmt/format.h>

#include <algorithm>

namespace mica {
namespace {

void check(const Tensor& x, const Shape& normalized, const Tensor& weight, const Tensor& bias) {
  require_floating("layer_norm", "the input", x);
  const Shape& shape = x.shape();
  if (normalized.empty())
    throw ShapeError(fmt::format("layer_norm: expected a normalized_shape of one size or more, got none; give the last sizes of the input {}",
                                 to_string(shape)));
  if (normalized.size() > shape.size() || !std::equal(normalized.rbegin(), normalized.rend(), shape.rbegin()))
    throw ShapeError(fmt::format("layer_norm: expected an input whose last dimensions are {}, got {}", to_string(normalized), to_string(shape)));
  for (const auto& [name, t] : {std::pair("weight", &weight), std::pair("bias", &bias)}) {
    if (!t->defined()) continue;
    require_same_type("layer_norm", x, *t);
    if (t->shape() != normalized)
      throw ShapeError(fmt::format("layer_norm: expected a {} of shape {}, got {}", name, to_string(normalized), to_string(t->shape())));
  }
}

// Of the rows of a matrix.
Tensor normalize_rows(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  const std::int64_t rows = x.size(0), n = x.size(1);
  const auto row_values = [&] { return Tensor::empty({rows}, x.dtype(), x.device()); };
  Tensor y = Tensor::empty({rows, n}, x.dtype(), x.device()), mean = row_values(), inverse_std = row_values();
  dispatch_floating(x, [&](auto& context, auto t) {
    using T = decltype(t);
    kernels::layer_norm_forward<T>(context, rows, n, eps, x.data<T>(), data_or_null<T>(weight), data_or_null<T>(bias), y.data<T>(),
                                   mean.data<T>(), inverse_std.data<T>());
  });
  record("layer_norm", y, {x, weight, bias},
         [=, x = Saved("layer_norm", x), weight = Saved("layer_norm", weight), need_gx = x.requires_grad(), need_gw = weight.defined(),
          need_gb = bias.defined()](const Tensor& gy) -> Gradients {
           const auto wanted = [&](bool needed, const Shape& shape) { return needed ? Tensor::empty(shape, gy.dtype(), gy.device()) : Tensor(); };
           Tensor gx = wanted(need_gx, {rows, n}), gw = wanted(need_gw, {n}), gb = wanted(need_gb, {n});
           dispatch_floating(gy, [&](auto& context, auto t) {
             using T = decltype(t);
             kernels::layer_norm_backward<T>(context, rows, n, x.get().data<T>(), data_or_null<T>(weight.get()), mean.data<T>(),
                                             inverse_std.data<T>(), gy.data<T>(), need_gx ? gx.data<T>() : nullptr,
                                             need_gw ? gw.data<T>() : nullptr, need_gb ? gb.data<T>() : nullptr);
           });
           return {gx, gw, gb};
         });
  return y;
}

}  // namespace

Tensor layer_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight, const Tensor& bias, double eps) {
  check(x, normalized_shape, weight, bias);
  const auto flat = [](const Tensor& t) { return t.defined() ? t.reshape({t.numel()}) : t; };  // in logical order
  const std::int64_t n = numel(normalized_shape);
  const std::int64_t rows = numel(Shape(x.shape().begin(), x.shape().end() - static_cast<std::ptrdiff_t>(normalized_shape.size())));
  return normalize_rows(x.reshape({rows, n}), flat(weight), flat(bias), eps).reshape(x.shape());
}

}  // namespace mica
