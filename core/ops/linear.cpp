#include <mica/core/autograd.h>
#include <mica/core/error.h>
#include <mica/core/ops/linear.h>
#include <mica/core/ops/product.h>
#include <mica/core/ops/reduce.h>

#include <fmt/format.h>

namespace mica {
namespace {

void check(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  require_floating("linear", "the input", x);
  require_same_type("linear", x, weight);
  if (bias.defined()) require_same_type("linear", x, bias);
  if (weight.rank() != 2)
    throw ShapeError(fmt::format("linear: expected a weight of shape (out, in), got {}", to_string(weight.shape())));
  if (x.rank() < 1 || x.size(-1) != weight.size(1))
    throw ShapeError(fmt::format("linear: expected an input whose last dimension is {}, got {} (weight {})", weight.size(1),
                                 to_string(x.shape()), to_string(weight.shape())));
  if (bias.defined() && bias.shape() != Shape{weight.size(0)})
    throw ShapeError(fmt::format("linear: expected a bias of shape {}, got {}", weight.size(0), to_string(bias.shape())));
}

}  // namespace

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  check(x, weight, bias);
  const std::int64_t in = weight.size(1), out = weight.size(0);
  if (x.rank() != 2) {
    Shape shape = x.shape(), rows{1, in};
    for (std::size_t i = 0; i + 1 < shape.size(); ++i) rows[0] *= shape[i];
    shape.back() = out;
    return linear(x.reshape(rows), weight, bias).reshape(shape);
  }
  const std::int64_t n = x.size(0);
  Tensor y = product({n, out, in, false, true}, x, weight, bias);
  record("linear", y, {x, weight, bias},
         [=, x = Saved("linear", x), weight = Saved("linear", weight), need_gx = x.requires_grad(),
          need_gb = bias.defined()](const Tensor& gy) -> Gradients {
           return {need_gx ? product({n, in, out}, gy, weight.get()) : Tensor(),
                   product({out, in, n, true, false}, gy, x.get()), need_gb ? sum(gy, {0}) : Tensor()};
         });
  return y;
}

}  // namespace mica
