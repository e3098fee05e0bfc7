#include <mica/core/autograd.h>
#include <mica/core/dispatch.h>
#include <mica/core/error.h>
#include <mica/core/ops/elementwise.h>
#include <mica/core/ops/reduce.h>
#include <mica/kernels/reduce.h>

#include <fmt/format.h>

#include <numeric>

namespace mica {
namespace {

std::vector<bool> reduced_dims(const char* name, const std::vector<int>& dims, int rank) {
  std::vector<bool> reduced(static_cast<std::size_t>(rank), dims.empty());
  for (const int given : dims) {
    const auto dim = static_cast<std::size_t>(normalize_dim(given, rank, name));
    if (reduced[dim]) throw ShapeError(fmt::format("{}: dimension {} is given twice", name, dim));
    reduced[dim] = true;
  }
  return reduced;
}

Tensor reduce(const char* name, const Tensor& x, const std::vector<int>& dims, bool keepdim, bool average) {
  require_floating(name, "the input", x);
  const std::vector<bool> reduced = reduced_dims(name, dims, x.rank());
  const Strides strides = strides_of(x.shape());
  const auto u = [](auto i) { return static_cast<std::size_t>(i); };

  Shape kept_shape, shape;  // with size 1 in place of what is summed; without
  kernels::Region summed, kept;
  for (std::size_t dim = 0; dim < reduced.size(); ++dim) {
    kept_shape.push_back(reduced[dim] ? 1 : x.shape()[dim]);
    if (!reduced[dim]) shape.push_back(x.shape()[dim]);
  }
  // Positions of y in its own memory order, which dropping dimensions may change.
  std::vector<std::size_t> survivors;
  for (std::size_t dim = 0; dim < reduced.size(); ++dim)
    if (keepdim || !reduced[dim]) survivors.push_back(dim);
  for (const int i : physical_order(static_cast<int>(survivors.size()))) {
    const std::size_t dim = survivors[u(i)];
    if (!reduced[dim]) kept.push_back(x.shape()[dim], strides[dim]);
  }
  for (const int dim : physical_order(x.rank()))
    if (reduced[u(dim)]) summed.push_back(x.shape()[u(dim)], strides[u(dim)]);

  Tensor y = Tensor::empty(keepdim ? kept_shape : shape, x.dtype(), x.device());
  const double count = y.numel() == 0 ? 1 : static_cast<double>(x.numel()) / static_cast<double>(y.numel());
  const double scale = average ? 1 / count : 1;
  dispatch_floating(x, [&](auto& context, auto t) {
    using T = decltype(t);
    kernels::sum<T>(context, kept, summed, scale, x.data<T>(), y.data<T>());
  });
  record(name, y, {x}, [from = x.shape(), kept_shape, scale](const Tensor& gy) -> Gradients {
    return {mul(gy.reshape(kept_shape), Tensor::full(from, scale, gy.dtype(), gy.device()))};
  });
  return y;
}

}  // namespace

Tensor sum(const Tensor& x) { return reduce("sum", x, {}, false, false); }
Tensor mean(const Tensor& x) { return reduce("mean", x, {}, false, true); }
Tensor sum(const Tensor& x, const std::vector<int>& dims, bool keepdim) { return reduce("sum", x, dims, keepdim, false); }
Tensor mean(const Tensor& x, const std::vector<int>& dims, bool keepdim) { return reduce("mean", x, dims, keepdim, true); }

}  // namespace mica
