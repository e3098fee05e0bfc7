#include <mica/core/error.h>
#include <mica/layers/conv2d.h>
#include <mica/layers/initialize.h>

#include <fmt/format.h>

namespace mica {

Conv2d::Conv2d(std::int64_t in, std::int64_t out, NumberOrPair kernel, const Options& options)
    : options_{options.stride, options.padding, options.dilation, options.groups} {
  if (in < 1 || out < 1 || kernel.h < 1 || kernel.w < 1 || options.groups < 1 || in % options.groups != 0 || out % options.groups != 0)
    throw ShapeError(fmt::format("Conv2d: expected channels and kernel of 1 or more and groups that divide both channels, got {} → {} "
                                 "channels, kernel {}×{}, groups {}",
                                 in, out, kernel.h, kernel.w, options.groups));
  const std::int64_t fan_in = in / options.groups * kernel.h * kernel.w;
  weight = default_parameter({out, in / options.groups, kernel.h, kernel.w}, fan_in);
  if (options.bias) bias = default_parameter({out}, fan_in);
}

std::int64_t Conv2d::mult_adds(const Shape& y) { return parameter_count() * y[0] * y[2] * y[3]; }

}  // namespace mica
