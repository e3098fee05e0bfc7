#include <mica/core/autograd.h>
#include <mica/core/dispatch.h>
#include <mica/core/error.h>
#include <mica/core/ops/conv2d.h>
#include <mica/core/ops/rearrange.h>
#include <mica/kernels/conv2d.h>

#include <fmt/format.h>

#include <algorithm>

namespace mica {
namespace {

kernels::Conv2dDims check(const Tensor& x, const Tensor& w, const Tensor& bias, const Conv2dOptions& o) {
  require_floating("conv2d", "the input", x);
  require_same_type("conv2d", x, w);
  if (bias.defined()) require_same_type("conv2d", x, bias);
  const auto fail = [&](const std::string& what) {
    throw ShapeError(fmt::format("conv2d: {} (input {}, weight {})", what, to_string(x.shape()), to_string(w.shape())));
  };
  if (x.rank() != 4) fail(fmt::format("expected an input of shape (N, C, H, W) or (C, H, W), got rank {}", x.rank()));
  if (w.rank() != 4) fail(fmt::format("expected a weight of rank 4 (O, C/groups, kh, kw), got rank {}", w.rank()));
  for (std::size_t i = 0; i < 2; ++i)
    if (o.stride[i] < 1 || o.dilation[i] < 1 || o.padding[i] < 0 || std::max({o.stride[i], o.dilation[i], o.padding[i]}) > kernels::largest_window)
      fail(fmt::format("expected stride and dilation of 1 or more and padding of 0 or more (none from 2³¹), got stride {}, dilation {}, padding {}",
                       o.stride[i], o.dilation[i], o.padding[i]));
  if (o.groups < 1 || w.size(0) % o.groups != 0)
    fail(fmt::format("expected groups to divide the {} output channels, got {} groups", w.size(0), o.groups));
  if (x.size(1) != w.size(1) * o.groups) fail(fmt::format("expected {} input channels, got {}", w.size(1) * o.groups, x.size(1)));
  if (numel(w.shape()) == 0) fail("expected a weight with at least one element");
  if (bias.defined() && bias.shape() != Shape{w.size(0)})
    fail(fmt::format("expected a bias of shape {}, got {}", w.size(0), to_string(bias.shape())));
  const kernels::Conv2dDims d = conv2d_dims(x.shape(), w.shape(), o);
  if (d.oh < 1 || d.ow < 1)
    fail(fmt::format("the {}×{} kernel with dilation {}×{} does not fit into the {}×{} image with padding {}×{}", d.kh, d.kw,
                     o.dilation[0], o.dilation[1], d.h, d.w, o.padding[0], o.padding[1]));
  return d;
}

}  // namespace

kernels::Conv2dDims conv2d_dims(const Shape& x, const Shape& w, const Conv2dOptions& o) {
  return {x[0], x[1], x[2], x[3], w[0], w[2], w[3], kernels::window_output(x[2], w[2], o.stride[0], o.padding[0], o.dilation[0]),
          kernels::window_output(x[3], w[3], o.stride[1], o.padding[1], o.dilation[1]), o.stride, o.padding, o.dilation, o.groups};
}

Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dOptions& options) {
  if (x.rank() == 3) {  // one image
    const Tensor y = conv2d(x.reshape({1, x.size(0), x.size(1), x.size(2)}), weight, bias, options);
    return y.reshape({y.size(1), y.size(2), y.size(3)});
  }
  const kernels::Conv2dDims d = check(x, weight, bias, options);
  Tensor y = Tensor::empty({d.n, d.o, d.oh, d.ow}, x.dtype(), x.device());
  if (d.n > 0)
    dispatch_floating(x, [&](auto& context, auto t) {
      using T = decltype(t);
      kernels::conv2d_forward(context, d, x.data<T>(), weight.data<T>(), data_or_null<T>(bias), y.data<T>());
    });
  record("conv2d", y, {x, weight, bias},
         [d, x = Saved("conv2d", x), weight = Saved("conv2d", weight), need_gx = x.requires_grad(),
          need_gb = bias.defined()](const Tensor& gy) -> Gradients {
           const Tensor& w = weight.get();
           Tensor gx = need_gx ? Tensor::empty({d.n, d.c, d.h, d.w}, gy.dtype(), gy.device()) : Tensor();
           Tensor gw = Tensor::zeros(w.shape(), gy.dtype(), gy.device());
           Tensor gb = need_gb ? Tensor::zeros({d.o}, gy.dtype(), gy.device()) : Tensor();
           if (d.n > 0)
             dispatch_floating(gy, [&](auto& context, auto t) {
               using T = decltype(t);
               kernels::conv2d_backward(context, d, x.get().data<T>(), gy.data<T>(), w.data<T>(), need_gx ? gx.data<T>() : nullptr,
                                        gw.data<T>(), need_gb ? gb.data<T>() : nullptr);
             });
           return {gx, gw, gb};
         });
  return y;
}

// Where the padding after is one more than before, both sides get the larger, and the first row or column is dropped.
Tensor conv2d_same(const Tensor& x, const Tensor& weight, const Tensor& bias, std::array<std::int64_t, 2> dilation, std::int64_t groups) {
  if (weight.rank() != 4) return conv2d(x, weight, bias, {{1, 1}, {0, 0}, dilation, groups});  // which says what is wrong
  Conv2dOptions options{{1, 1}, {}, dilation, groups};
  for (std::size_t i = 0; i < 2; ++i) options.padding[i] = (dilation[i] * (weight.shape()[2 + i] - 1) + 1) / 2;
  Tensor y = conv2d(x, weight, bias, options);
  for (std::size_t i = 0; i < 2; ++i) {
    const int dim = static_cast<int>(i) - 2;
    if (dilation[i] * (weight.shape()[2 + i] - 1) % 2 == 1) y = split(y, {1, y.size(dim) - 1}, dim)[1];
  }
  return y;
}

}  // namespace mica
