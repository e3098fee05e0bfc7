#include <mica/core/error.h>
#include <mica/layers/initialize.h>
#include <mica/layers/layer_norm.h>

#include <fmt/format.h>

namespace mica {

LayerNorm::LayerNorm(const Shape& normalized_shape, const Options& options) : normalized_shape_(normalized_shape), eps_(options.eps) {
  if (normalized_shape.empty() || numel(normalized_shape) < 1)
    throw ShapeError(fmt::format("LayerNorm: expected a normalized_shape of one size or more, each 1 or more, got {}",
                                 to_string(normalized_shape)));
  if (!options.elementwise_affine) return;
  weight = constant_parameter(normalized_shape, 1);
  if (options.bias) bias = constant_parameter(normalized_shape, 0);
}

}  // namespace mica
