#include <mica/core/error.h>
#include <mica/layers/batch_norm.h>
#include <mica/layers/initialize.h>

#include <fmt/format.h>

namespace mica {

BatchNorm::BatchNorm(const char* kind, std::int64_t channels, const Options& options) : options_(options) {
  if (channels < 1) throw ShapeError(fmt::format("{}: expected 1 channel or more, got {}", kind, channels));
  weight = constant_parameter({channels}, 1);
  bias = constant_parameter({channels}, 0);
  running_mean = Tensor::zeros({channels});
  running_var = Tensor::ones({channels});
  num_batches_tracked = Tensor::zeros({}, DType::i64);
}

void BatchNorm::visit(Visitor& v) {
  v("weight", weight);
  v("bias", bias);
  v.buffer("running_mean", running_mean);
  v.buffer("running_var", running_var);
  v.buffer("num_batches_tracked", num_batches_tracked);
}

Tensor BatchNorm::normalize(const Tensor& x, bool relu, const kernels::Dropout& dropout) {
  return batch_norm(x, weight, bias, running_mean, running_var, options_for(relu, dropout));
}

BatchNormOptions BatchNorm::options_for(bool relu, const kernels::Dropout& dropout) const {
  return {training(), options_.momentum, options_.eps, relu, dropout, num_batches_tracked};
}

Tensor BatchNorm1d::forward(const Tensor& x, bool relu, const kernels::Dropout& dropout) {
  if (x.rank() == 2) return normalize(x, relu, dropout);
  if (x.rank() != 3)
    throw ShapeError(fmt::format("BatchNorm1d: expected an input of shape (N, C) or (N, C, L), got {}", to_string(x.shape())));
  const Tensor image = x.reshape({x.size(0), x.size(1), x.size(2), 1});
  return normalize(image, relu, dropout).reshape(x.shape());
}

Tensor BatchNorm2d::forward(const Tensor& x, bool relu, const kernels::Dropout& dropout) {
  if (x.rank() != 4)
    throw ShapeError(fmt::format("BatchNorm2d: expected an input of shape (N, C, H, W), got {}", to_string(x.shape())));
  return normalize(x, relu, dropout);
}

}  // namespace mica
