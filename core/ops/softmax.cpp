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

struct Plain {
  template <class T> static void forward(auto& c, const kernels::SoftmaxDims& d, const T* x, T* y) { kernels::softmax_forward(c, d, x, y); }
  template <class T> static void backward(auto& c, const kernels::SoftmaxDims& d, const T* y, const T* gy, T* gx) {
    kernels::softmax_backward(c, d, y, gy, gx);
  }
};
struct Logarithm {
  template <class T> static void forward(auto& c, const kernels::SoftmaxDims& d, const T* x, T* y) { kernels::log_softmax_forward(c, d, x, y); }
  template <class T> static void backward(auto& c, const kernels::SoftmaxDims& d, const T* y, const T* gy, T* gx) {
    kernels::log_softmax_backward(c, d, y, gy, gx);
  }
};

template <class Kernel>
Tensor along_dim(const char* op, const Tensor& x, int dim) {
  const kernels::SoftmaxDims d = check(op, x, dim);
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  dispatch_floating(x, [&](auto& context, auto t) {
    using T = decltype(t);
    Kernel::template forward<T>(context, d, x.data<T>(), y.data<T>());
  });
  record(op, y, {x}, [d, y = Saved(op, y)](const Tensor& gy) -> Gradients {
    Tensor gx = Tensor::empty(gy.shape(), gy.dtype(), gy.device());
    dispatch_floating(gy, [&](auto& context, auto t) {
      using T = decltype(t);
      Kernel::template backward<T>(context, d, y.get().data<T>(), gy.data<T>(), gx.data<T>());
    });
    return {gx};
  });
  return y;
}

}  // namespace

Tensor softmax(const Tensor& x, int dim) { return along_dim<Plain>("softmax", x, dim); }
Tensor log_softmax(const Tensor& x, int dim) { return along_dim<Logarithm>("log_softmax", x, dim); }

}  // namespace mica
