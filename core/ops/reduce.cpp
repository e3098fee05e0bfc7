#include <mica/core/autograd.h>
#include <mica/core/dispatch.h>
#include <mica/core/error.h>
#include <mica/core/ops/elementwise.h>
#include <mica/core/ops/rearrange.h>
#include <mica/core/ops/reduce.h>
#include <mica/core/ops/scatter_add.h>
#include <mica/kernels/reduce.h>

#include <fmt/format.h>

#include <algorithm>

namespace mica {
namespace {

// How a reduction walks x, and what shape it gives.
struct Plan {
  Shape shape, kept_shape;  // of the result: as asked for, and with size 1 in place of what is reduced
  kernels::Region kept, reduced;
};

std::vector<bool> marked(const char* name, const std::vector<int>& dims, int rank) {
  std::vector<bool> reduced(static_cast<std::size_t>(std::max(rank, 1)), dims.empty());  // a scalar counts as one dimension
  for (const int given : dims) {
    const auto dim = static_cast<std::size_t>(normalize_dim(given, rank, name));
    if (reduced[dim]) throw ShapeError(fmt::format("{}: dimension {} is given twice", name, dim));
    reduced[dim] = true;
  }
  reduced.resize(static_cast<std::size_t>(rank));
  return reduced;
}

Plan plan_of(const char* name, const Tensor& x, const std::vector<int>& dims, bool keepdim) {
  require_floating(name, "the input", x);
  const std::vector<bool> reduced = marked(name, dims, x.rank());
  const Strides strides = strides_of(x.shape());
  Plan plan;
  std::vector<std::size_t> survivors;  // dimensions that the result has
  for (std::size_t dim = 0; dim < reduced.size(); ++dim) {
    plan.kept_shape.push_back(reduced[dim] ? 1 : x.shape()[dim]);
    if (keepdim || !reduced[dim]) survivors.push_back(dim);
  }
  for (const std::size_t dim : survivors) plan.shape.push_back(plan.kept_shape[dim]);
  // Positions of the result in its own memory order, which dropping dimensions may change.
  for (const int i : physical_order(static_cast<int>(survivors.size()))) {
    const std::size_t dim = survivors[static_cast<std::size_t>(i)];
    if (!reduced[dim]) plan.kept.push_back(x.shape()[dim], strides[dim]);
  }
  for (const int i : physical_order(x.rank())) {
    const auto dim = static_cast<std::size_t>(i);
    if (reduced[dim]) plan.reduced.push_back(x.shape()[dim], strides[dim]);
  }
  return plan;
}

Tensor reduce_sum(const char* name, const Tensor& x, const std::vector<int>& dims, bool keepdim, bool average) {
  const Plan plan = plan_of(name, x, dims, keepdim);
  Tensor y = Tensor::empty(plan.shape, x.dtype(), x.device());
  const double count = y.numel() == 0 ? 1 : static_cast<double>(x.numel()) / static_cast<double>(y.numel());
  const double scale = average ? 1 / count : 1;
  dispatch_floating(x, [&](auto& context, auto t) {
    using T = decltype(t);
    kernels::sum<T>(context, plan.kept, plan.reduced, scale, x.data<T>(), y.data<T>());
  });
  record(name, y, {x}, [from = x.shape(), kept = plan.kept_shape, scale](const Tensor& gy) -> Gradients {
    return {broadcast_to((scale == 1 ? gy : gy * scale).reshape(kept), from)};
  });
  return y;
}

void require_candidates(const char* name, const Tensor& x, const Plan& plan) {
  const auto end = plan.reduced.sizes.begin() + plan.reduced.rank;
  if (std::find(plan.reduced.sizes.begin(), end, 0) != end)
    throw ShapeError(fmt::format("{}: expected at least one element to choose from, got an input of shape {}", name, to_string(x.shape())));
}

// Values, and indices unless indices is null.
Tensor find(const char* name, kernels::Extremum which, const Tensor& x, const Plan& plan, Tensor* indices) {
  require_candidates(name, x, plan);
  Tensor y = Tensor::empty(plan.shape, x.dtype(), x.device());
  if (indices) *indices = Tensor::empty(plan.shape, DType::i64, x.device());
  dispatch_floating(x, [&](auto& context, auto t) {
    using T = decltype(t);
    kernels::extremum<T>(context, which, plan.kept, plan.reduced, x.data<T>(), y.data<T>(),
                         indices ? indices->data<std::int64_t>() : nullptr);
  });
  return y;
}

// The gradient goes to all positions that equal the value.
Tensor shared_extremum(const char* name, kernels::Extremum which, const Tensor& x, const std::vector<int>& dims, bool keepdim, bool nan_equal) {
  const Plan plan = plan_of(name, x, dims, keepdim);
  Tensor y = find(name, which, x, plan, nullptr);
  record(name, y, {x}, [=, x = Saved(name, x), y = Saved(name, y)](const Tensor& gy) -> Gradients {
    Tensor gx = Tensor::empty(x.get().shape(), gy.dtype(), gy.device());
    dispatch_floating(gy, [&](auto& context, auto t) {
      using T = decltype(t);
      kernels::extremum_backward<T>(context, plan.kept, plan.reduced, nan_equal, x.get().data<T>(), y.get().data<T>(), gy.data<T>(), gx.data<T>());
    });
    return {gx};
  });
  return y;
}

// The gradient goes to the first position that has the value.
ValuesAndIndices first_extremum(const char* name, kernels::Extremum which, const Tensor& x, int dim, bool keepdim) {
  const Plan plan = plan_of(name, x, {dim}, keepdim);
  ValuesAndIndices found;
  found.values = find(name, which, x, plan, &found.indices);
  record(name, found.values, {x}, [=, from = x.shape(), index = Saved(name, found.indices)](const Tensor& gy) -> Gradients {
    if (from.empty()) return {gy};
    const int along = normalize_dim(dim, static_cast<int>(from.size()), name);
    return {scatter_add(from, along, index.get().reshape(plan.kept_shape), gy.reshape(plan.kept_shape))};
  });
  return found;
}

Tensor first_index(const char* name, kernels::Extremum which, const Tensor& x, std::optional<int> dim, bool keepdim) {
  require_floating(name, "the input", x);
  Tensor index;
  if (dim) {
    find(name, which, x, plan_of(name, x, {*dim}, keepdim), &index);
    return index;
  }
  const Tensor flat = x.detach().reshape({x.numel()});  // in logical order
  const Plan plan = plan_of(name, flat, {0}, false);
  require_candidates(name, x, plan);  // names the shape that was given
  find(name, which, flat, plan, &index);
  return keepdim ? index.reshape(Shape(x.shape().size(), 1)) : index;
}

}  // namespace

Tensor sum(const Tensor& x) { return reduce_sum("sum", x, {}, false, false); }
Tensor mean(const Tensor& x) { return reduce_sum("mean", x, {}, false, true); }
Tensor sum(const Tensor& x, const std::vector<int>& dims, bool keepdim) { return reduce_sum("sum", x, dims, keepdim, false); }
Tensor mean(const Tensor& x, const std::vector<int>& dims, bool keepdim) { return reduce_sum("mean", x, dims, keepdim, true); }

Tensor amax(const Tensor& x, const std::vector<int>& dims, bool keepdim) {
  return shared_extremum("amax", kernels::Extremum::max, x, dims, keepdim, false);
}
Tensor amin(const Tensor& x, const std::vector<int>& dims, bool keepdim) {
  return shared_extremum("amin", kernels::Extremum::min, x, dims, keepdim, false);
}
Tensor max(const Tensor& x) { return shared_extremum("max", kernels::Extremum::max, x, {}, false, true); }
Tensor min(const Tensor& x) { return shared_extremum("min", kernels::Extremum::min, x, {}, false, true); }
ValuesAndIndices max(const Tensor& x, int dim, bool keepdim) { return first_extremum("max", kernels::Extremum::max, x, dim, keepdim); }
ValuesAndIndices min(const Tensor& x, int dim, bool keepdim) { return first_extremum("min", kernels::Extremum::min, x, dim, keepdim); }
Tensor argmax(const Tensor& x, std::optional<int> dim, bool keepdim) {
  return first_index("argmax", kernels::Extremum::max, x, dim, keepdim);
}
Tensor argmin(const Tensor& x, std::optional<int> dim, bool keepdim) {
  return first_index("argmin", kernels::Extremum::min, x, dim, keepdim);
}

}  // namespace mica
