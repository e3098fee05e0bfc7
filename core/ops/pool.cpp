#include <mica/core/autograd.h>
#include <mica/core/dispatch.h>
#include <mica/core/error.h>
#include <mica/core/ops/pool.h>
#include <mica/kernels/pool.h>

#include <fmt/format.h>

#include <algorithm>

namespace mica {
namespace {

// `sized`: how many of the last dimensions may not be 0.
void check_image(const char* op, const Tensor& x, int sized) {
  require_floating(op, "the input", x);
  if (x.rank() != 4 && x.rank() != 3)
    throw ShapeError(fmt::format("{}: expected an input of shape (N, C, H, W) or (C, H, W), got {}", op, to_string(x.shape())));
  for (int dim = x.rank() - sized; dim < x.rank(); ++dim)
    if (x.size(dim) == 0)
      throw ShapeError(fmt::format("{}: expected an image with at least one {}, got {}", op, sized == 3 ? "channel and pixel" : "pixel", to_string(x.shape())));
}

struct Window {
  Pair kernel, stride, padding, dilation;
  bool ceil_mode;
};

kernels::Pool2dDims check(const char* op, const Tensor& x, const Window& w) {
  kernels::Pool2dDims d{x.size(0), x.size(1), x.size(2), x.size(3), 0, 0, w.kernel, w.stride, w.padding, w.dilation};
  for (std::size_t i = 0; i < 2; ++i)
    if (w.kernel[i] < 1 || w.stride[i] < 1 || w.dilation[i] < 1 || w.padding[i] < 0 || w.padding[i] > w.kernel[i] / 2 ||
        std::max({w.kernel[i], w.stride[i], w.dilation[i]}) > kernels::largest_window)
      throw ShapeError(fmt::format("{}: expected kernel, stride and dilation of 1 or more and padding of 0 to half the kernel, got kernel {}, "
                                   "stride {}, padding {}, dilation {}",
                                   op, w.kernel[i], w.stride[i], w.padding[i], w.dilation[i]));
  d.oh = kernels::window_output(d.h, d.kernel[0], d.stride[0], d.padding[0], d.dilation[0], w.ceil_mode);
  d.ow = kernels::window_output(d.w, d.kernel[1], d.stride[1], d.padding[1], d.dilation[1], w.ceil_mode);
  if (d.oh < 1 || d.ow < 1)
    throw ShapeError(fmt::format("{}: the {}×{} window with dilation {}×{} does not fit into the {}×{} image with padding {}×{}", op, d.kernel[0],
                                 d.kernel[1], d.dilation[0], d.dilation[1], d.h, d.w, d.padding[0], d.padding[1]));
  return d;
}

// (C, H, W) → (1, C, H, W), and back.
Tensor as_batch(const Tensor& x) { return x.reshape({1, x.size(0), x.size(1), x.size(2)}); }
Tensor as_image(const Tensor& y) { return y.reshape({y.size(1), y.size(2), y.size(3)}); }

Tensor average(const char* op, const Tensor& x, const kernels::Pool2dDims& d, const kernels::AveragePool& rule) {
  Tensor y = Tensor::empty({d.n, d.c, d.oh, d.ow}, x.dtype(), x.device());
  dispatch_floating(x, [&](auto& context, auto t) {
    using T = decltype(t);
    kernels::avg_pool2d_forward<T>(context, d, rule, x.data<T>(), y.data<T>());
  });
  record(op, y, {x}, [d, rule](const Tensor& gy) -> Gradients {
    Tensor gx = Tensor::empty({d.n, d.c, d.h, d.w}, gy.dtype(), gy.device());
    dispatch_floating(gy, [&](auto& context, auto t) {
      using T = decltype(t);
      kernels::avg_pool2d_backward<T>(context, d, rule, gy.data<T>(), gx.data<T>());
    });
    return {gx};
  });
  return y;
}

Tensor adaptive_average(const char* op, const Tensor& x, const std::array<std::optional<std::int64_t>, 2>& size) {
  check_image(op, x, 0);
  const bool one_pixel = size[0].value_or(x.size(-2)) == 1 && size[1].value_or(x.size(-1)) == 1;
  check_image(op, x, one_pixel ? 0 : 2);  // the mean of no pixels is NaN, as in PyTorch
  if (x.rank() == 3) return as_image(adaptive_average(op, as_batch(x), size));
  const kernels::Pool2dDims d{x.size(0), x.size(1), x.size(2), x.size(3), size[0].value_or(x.size(2)), size[1].value_or(x.size(3)), {}, {}, {}, {}};
  if (d.oh < 0 || d.ow < 0) throw ShapeError(fmt::format("{}: expected an output size of 0 or more, got {}×{}", op, d.oh, d.ow));
  return average(op, x, d, {true, true, 0});
}

}  // namespace

Tensor max_pool2d(const Tensor& x, const MaxPool2dOptions& o) {
  check_image("max_pool2d", x, 3);
  if (x.rank() == 3) return as_image(max_pool2d(as_batch(x), o));
  const kernels::Pool2dDims d = check("max_pool2d", x, {o.kernel, o.stride.value_or(o.kernel), o.padding, o.dilation, o.ceil_mode});
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

Tensor avg_pool2d(const Tensor& x, const AvgPool2dOptions& o) {
  check_image("avg_pool2d", x, 3);
  if (x.rank() == 3) return as_image(avg_pool2d(as_batch(x), o));
  if (o.divisor_override == 0) throw ShapeError("avg_pool2d: expected a divisor_override other than 0");
  const kernels::Pool2dDims d = check("avg_pool2d", x, {o.kernel, o.stride.value_or(o.kernel), o.padding, {1, 1}, o.ceil_mode});
  return average("avg_pool2d", x, d, {false, o.count_include_pad, o.divisor_override.value_or(0)});
}

Tensor adaptive_avg_pool2d(const Tensor& x, const std::array<std::optional<std::int64_t>, 2>& output_size) {
  return adaptive_average("adaptive_avg_pool2d", x, output_size);
}

Tensor global_avg_pool(const Tensor& x) { return adaptive_average("global_avg_pool", x, {1, 1}); }

}  // namespace mica
