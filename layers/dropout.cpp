#include <mica/core/error.h>
#include <mica/core/random.h>
#include <mica/core/replayed.h>
#include <mica/layers/dropout.h>

#include <fmt/format.h>

namespace mica {

void Dropout::set_p(double p) {
  if (!(p >= 0 && p <= 1)) throw Error(fmt::format("Dropout: expected a probability from 0 to 1, got {}", p));
  p_ = p;
}

kernels::Dropout Dropout::next_mask(Device device) {
  if (!training() || p_ == 0) return {};
  const GraphValue<std::uint32_t> call = replayed<std::uint32_t>(device, [calls = calls_] { return (*calls)++; });
  RandomKey key = random_key("dropout " + path(), call.value);
  key.place = call.place;
  return {p_, key};
}

Tensor Dropout::forward(const Tensor& x) {
  const kernels::Dropout mask = next_mask(x.device());
  return dropout(x, mask.p, training(), mask.key);
}

}  // namespace mica
