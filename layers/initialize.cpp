#include <mica/core/autograd.h>
#include <mica/core/error.h>
#include <mica/layers/initialize.h>

#include <fmt/format.h>

#include <cmath>

namespace mica {
namespace {

struct Fans {
  double in, out;
};

Fans fans_of(const char* name, const Tensor& x) {
  if (x.rank() < 2)
    throw ShapeError(fmt::format("{}: expected a weight of shape (out, in, …), got {}; a bias has no fans", name, to_string(x.shape())));
  double field = 1;  // of a kernel
  for (int dim = 2; dim < x.rank(); ++dim) field *= static_cast<double>(x.size(dim));
  return {static_cast<double>(x.size(1)) * field, static_cast<double>(x.size(0)) * field};
}

double kaiming_deviation(const char* name, const Tensor& x, const KaimingOptions& o) {
  const Fans fans = fans_of(name, x);
  return calculate_gain(o.nonlinearity, o.a) / std::sqrt(o.mode == FanMode::fan_in ? fans.in : fans.out);
}

double xavier_deviation(const char* name, const Tensor& x, double gain) {
  const Fans fans = fans_of(name, x);
  return gain * std::sqrt(2 / (fans.in + fans.out));
}

void symmetric_uniform_(Tensor& x, double deviation) {
  const double bound = std::sqrt(3.0) * deviation;
  uniform_(x, -bound, bound);
}

}  // namespace

void constant_(Tensor& x, double value) {
  const NoGrad no_grad;
  x.fill_(value);
}

void uniform_(Tensor& x, double low, double high) {
  if (x.numel() > 0) uniform_(x, low, high, next_initializer_key());
}

void normal_(Tensor& x, double mean, double deviation) {
  if (x.numel() > 0) normal_(x, mean, deviation, next_initializer_key());
}

double calculate_gain(Nonlinearity nonlinearity, double negative_slope) {
  switch (nonlinearity) {
    case Nonlinearity::linear:
    case Nonlinearity::sigmoid: return 1;
    case Nonlinearity::tanh: return 5.0 / 3;
    case Nonlinearity::relu: return std::sqrt(2.0);
    case Nonlinearity::leaky_relu: break;
  }
  return std::sqrt(2 / (1 + negative_slope * negative_slope));
}

void kaiming_uniform_(Tensor& x, const KaimingOptions& options) {
  symmetric_uniform_(x, kaiming_deviation("kaiming_uniform_", x, options));
}
void kaiming_normal_(Tensor& x, const KaimingOptions& options) { normal_(x, 0, kaiming_deviation("kaiming_normal_", x, options)); }
void xavier_uniform_(Tensor& x, double gain) { symmetric_uniform_(x, xavier_deviation("xavier_uniform_", x, gain)); }
void xavier_normal_(Tensor& x, double gain) { normal_(x, 0, xavier_deviation("xavier_normal_", x, gain)); }

Tensor default_parameter(const Shape& shape, std::int64_t fan_in) {
  Tensor parameter = Tensor::empty(shape);
  const double bound = 1 / std::sqrt(static_cast<double>(fan_in));
  uniform_(parameter, -bound, bound);
  return parameter.set_requires_grad();
}

Tensor constant_parameter(const Shape& shape, double value) { return Tensor::full(shape, value).set_requires_grad(); }

}  // namespace mica
