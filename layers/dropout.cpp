#include <mica/core/error.h>
#include <mica/layers/dropout.h>

#include <fmt/format.h>

namespace mica {

void Dropout::set_p(double p) {
  if (!(p >= 0 && p <= 1)) throw Error(fmt::format("Dropout: expected a probability from 0 to 1, got {}", p));
  p_ = p;
}

kernels::Dropout Dropout::next_mask() {
  if (!training() || p_ == 0) return {};
  return {p_, random_key("dropout " + path(), calls_++)};
}

Tensor Dropout::forward(const Tensor& x) {
  const kernels::Dropout mask = next_mask();
  return dropout(x, mask.p, training(), mask.key);
}

}  // namespace mica
