#include <mica/core/autograd.h>
#include <mica/core/dispatch.h>
#include <mica/core/error.h>
#include <mica/core/ops/pool.h>
#include <mica/kernels/pool.h>

#include <fmt/format.h>

namespace mica {
namespace {

void check_image(const char* op, const Tensor& x) {
  require_floating(op, "the input", x);
  if (x.rank() != 4)
    throw ShapeError(fmt::format("{}: expected an input of shape (N, C, H, W), got {}", op, to_string(x.shape())));
}

kernels::Pool2dDims check(const Tensor& x, const MaxPool2dOptions& o) {
  check_image("max_pool2d", x);
  kernels::Pool2dDims d{x.size(0), x.size(1), x.size(2), x.size(3), 0, 0, o.kernel, o.stride, o.padding, o.dilation};
  for (std::size_t i = 0; i < 2; ++i) {
    if (o.kernel[i] < 1 || o.stride[i] < 0 || o.dilation[i] < 1 || o.padding[i] < 0 || o.padding[i] > o.kernel[i] / 2)
      throw ShapeError(fmt::format("max_pool2d: expected kernel and dilation of 1 or more, stride of 0 (the kernel's size) or more and "
                                   "padding of at most half the kernel, got kernel {}, stride {}, dilation {}, padding {}",
                                   o.kernel[i], o.stride[i], o.dilation[i], o.padding[i]));
    if (o.stride[i] == 0) d.stride[i] = o.kernel[i];
  }
  d.oh = kernels::window_output(d.h, d.kernel[0], d.stride[0], d.padding[0], d.dilation[0]);
  d.ow = kernels::window_output(d.w, d.kernel[1], d.stride[1], d.padding[1], d.dilation[1]);
  if (d.oh < 1 || d.ow < 1)
    throw ShapeError(fmt::format("max_pool2d: the {}×{} window does not fit into the image (input {})", d.kernel[0], d.kernel[1],
                                 to_string(x.shape())));
  return d;
}

}  // namespace

Tensor max_pool2d(const Tensor& x, const MaxPool2dOptions& options) {
  const kernels::Pool2dDims d = check(x, options);
  Tensor y = Tensor::empty({d.n, d.c, d.oh, d.ow}, x.dtype(), x.device());
  dispatch_floating(x, [&](auto& context, auto t) {
    using T = decltype(t);
    kernels::max_pool2d_forward<T>(context, d, x.data<T>(), y.data<T>());
  });
  record("max_pool2d", y, {x}, [d, x = Saved("max_pool2d", x)](const Tensor& gy) -> Gradients {
    Tensor gx = Tensor::empty(x.get().shape(), gy.dtype(), gy.device());
    dispatch_floating(gy, [&](auto& context, auto t) {
      using T = decltype(t);
      kernels::max_pool2d_backward<T>(context, d, x.get().data<T>(), gy.data<T>(), gx.data<T>());
    });
    return {gx};
  });
  return y;
}

Tensor global_avg_pool(const Tensor& x) {
  check_image("global_avg_pool", x);
  const std::int64_t n = x.size(0), c = x.size(1), pixels = x.size(2) * x.size(3);
  Tensor y = Tensor::empty({n, c, 1, 1}, x.dtype(), x.device());
  dispatch_floating(x, [&](auto& context, auto t) {
    using T = decltype(t);
    kernels::global_avg_pool_forward<T>(context, n, pixels, c, x.data<T>(), y.data<T>());
  });
  record("global_avg_pool", y, {x}, [n, c, pixels, shape = x.shape()](const Tensor& gy) -> Gradients {
    Tensor gx = Tensor::empty(shape, gy.dtype(), gy.device());
    dispatch_floating(gy, [&](auto& context, auto t) {
      using T = decltype(t);
      kernels::global_avg_pool_backward<T>(context, n, pixels, c, gy.data<T>(), gx.data<T>());
    });
    return {gx};
  });
  return y;
}

}  // namespace mica
