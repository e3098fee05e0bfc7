#include <mica/core/autograd.h>
#include <mica/core/dispatch.h>
#include <mica/core/error.h>
#include <mica/core/ops/dropout.h>
#include <mica/kernels/dropout.h>

#include <fmt/format.h>

namespace mica {

Tensor dropout(const Tensor& x, double p, bool training, const RandomKey& key) {
  require_floating("dropout", "the input", x);
  if (!(p >= 0 && p <= 1)) throw Error(fmt::format("dropout: expected a probability from 0 to 1, got {}", p));
  if (!training || p == 0) return x;
  const auto apply = [d = kernels::Dropout{p, key}](const Tensor& from) {
    Tensor to = Tensor::empty(from.shape(), from.dtype(), from.device());
    dispatch_floating(from, [&](auto& context, auto t) {
      using T = decltype(t);
      kernels::dropout<T>(context, from.numel(), d, from.data<T>(), to.data<T>());
    });
    return to;
  };
  Tensor y = apply(x);
  record("dropout", y, {x}, [apply](const Tensor& gy) -> Gradients { return {apply(gy)}; });
  return y;
}

}  // namespace mica
