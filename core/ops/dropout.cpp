#include <mica/core/autograd.h>
#include <mica/core/dispatch.h>
#include <mica/core/error.h>
#include <mica/core/ops/dropout.h>
#include <mica/kernels/dropout.h>

#include <fmt/format.h>

namespace mica {

namespace {

// By cuDNN; undefined where it cannot.
Tensor generated(const Tensor& x, double p) {
  const kernels::GeneratedDropout d{p, current_seed(), seedings()};
  const std::int64_t n = x.numel();
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device()), reserve;
  bool done = false;
  dispatch_floating(x, [&](auto& context, auto t) {
    using T = decltype(t);
    reserve = Tensor::empty({kernels::dropout_reserve_bytes<T>(context, n)}, DType::u8, x.device());
    done = kernels::dropout_by_cudnn<T>(context, n, d, x.data<T>(), y.data<T>(), reserve.data<std::uint8_t>());
  });
  if (!done) return {};
  record("dropout", y, {x}, [d, n, reserve](const Tensor& gy) -> Gradients {
    Tensor gx = Tensor::empty(gy.shape(), gy.dtype(), gy.device()), mask = reserve;
    dispatch_floating(gy, [&](auto& context, auto t) {
      using T = decltype(t);
      kernels::dropout_backward_by_cudnn<T>(context, n, d, gy.data<T>(), gx.data<T>(), mask.data<std::uint8_t>());
    });
    return {gx};
  });
  return y;
}

}  // namespace

Tensor dropout(const Tensor& x, double p, bool training, const RandomKey& key) {
  require_floating("dropout", "the input", x);
  if (!(p >= 0 && p <= 1)) throw Error(fmt::format("dropout: expected a probability from 0 to 1, got {}", p));
  if (!training || p == 0) return x;
  if (p < 1 && x.numel() > 0 && by_cudnn(x, kernels::LibraryOp::dropout))
    if (const Tensor y = generated(x, p); y.defined()) return y;
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
