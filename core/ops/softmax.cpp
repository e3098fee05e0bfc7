#include <mica/core/autograd.h>
#include <mica/core/dispatch.h>
#include <mica/core/ops/softmax.h>
#include <mica/kernels/softmax.h>

namespace mica {
namespace {

kernels::SoftmaxDims check(const char* op, const Tensor& x, int dim) {
  require_floating(op, "the input", x);
  const auto along = static_cast<std::size_t>(normalize_dim(dim, x.rank(), op));
  if (x.rank() == 0) return {1, 1, 1};
  const std::int64_t length = x.shape()[along], inner = strides_of(x.shape())[along];
  return {x.numel() == 0 ? 0 : x.numel() / (length * inner), length, inner};
}

}  // namespace

Tensor softmax(const Tensor& x, int dim) {
  const kernels::SoftmaxDims d = check("softmax", x, dim);
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  dispatch_floating(x, [&](auto& context, auto t) {
    using T = decltype(t);
    kernels::softmax_forward<T>(context, d, x.data<T>(), y.data<T>());
  });
  record("softmax", y, {x}, [d, y = Saved("softmax", y)](const Tensor& gy) -> Gradients {
    Tensor gx = Tensor::empty(gy.shape(), gy.dtype(), gy.device());
    dispatch_floating(gy, [&](auto& context, auto t) {
      using T = decltype(t);
      kernels::softmax_backward<T>(context, d, y.get().data<T>(), gy.data<T>(), gx.data<T>());
    });
    return {gx};
  });
  return y;
}

Tensor log_softmax(const Tensor& x, int dim) {
  const kernels::SoftmaxDims d = check("log_softmax", x, dim);
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  dispatch_floating(x, [&](auto& context, auto t) {
    using T = decltype(t);
    kernels::log_softmax_forward<T>(context, d, x.data<T>(), y.data<T>());
  });
  record("log_softmax", y, {x}, [d, y = Saved("log_softmax", y)](const Tensor& gy) -> Gradients {
    Tensor gx = Tensor::empty(gy.shape(), gy.dtype(), gy.device());
    dispatch_floating(gy, [&](auto& context, auto t) {
      using T = decltype(t);
      kernels::log_softmax_backward<T>(context, d, y.get().data<T>(), gy.data<T>(), gx.data<T>());
    });
    return {gx};
  });
  return y;
}

}  // namespace mica
