#include <mica/core/random.h>
#include <mica/layers/initialize.h>

#include <cmath>

namespace mica {

Tensor default_parameter(const Shape& shape, std::int64_t fan_in) {
  Tensor parameter = Tensor::empty(shape);
  const double bound = 1 / std::sqrt(static_cast<double>(fan_in));
  uniform_(parameter, -bound, bound, next_initializer_key());
  return parameter.set_requires_grad();
}

Tensor constant_parameter(const Shape& shape, double value) { return Tensor::full(shape, value).set_requires_grad(); }

}  // namespace mica
