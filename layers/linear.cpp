#include <mica/core/error.h>
#include <mica/layers/initialize.h>
#include <mica/layers/linear.h>

#include <fmt/format.h>

namespace mica {

Linear::Linear(std::int64_t in, std::int64_t out, bool with_bias) {
  if (in < 1 || out < 1) throw ShapeError(fmt::format("Linear: expected features of 1 or more, got {} → {}", in, out));
  weight = default_parameter({out, in}, in);
  if (with_bias) bias = default_parameter({out}, in);
}

}  // namespace mica
