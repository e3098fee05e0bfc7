#include <mica/core/autograd.h>
#include <mica/core/dispatch.h>
#include <mica/core/error.h>
#include <mica/core/ops/rearrange.h>
#include <mica/core/ops/scatter_add.h>
#include <mica/core/range.h>
#include <mica/core/walk.h>
#include <mica/kernels/copy.h>
#include <mica/kernels/gather.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>

namespace mica {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

// y = x over `shape`, from and to these strides of its logical dimensions and offsets; walked in y's memory order.
void copy_region(const Shape& shape, const Tensor& x, const Strides& x_strides, std::int64_t x_offset, const Tensor& y,
                 const Strides& y_strides, std::int64_t y_offset) {
  if (numel(shape) == 0) return;
  dispatch(x, [&](auto& context, auto t) {
    using T = decltype(t);
    kernels::strided_copy<T>(context, static_cast<int>(shape.size()), in_memory_order(shape), in_memory_order(x_strides),
                             x.data<T>() + x_offset, in_memory_order(y_strides), y.data<T>() + y_offset);
  });
}

}  // namespace

Tensor permute(const Tensor& x, const std::vector<int>& given) {
  if (given.size() != x.shape().size())
    throw ShapeError(fmt::format("permute: expected {} dimensions, one for each of the input ({}), got [{}]", x.rank(), to_string(x.shape()),
                                 fmt::join(given, ", ")));
  std::vector<int> dims, inverse(given.size(), -1);
  Shape shape;
  Strides strides;
  const Strides x_strides = strides_of(x.shape());
  for (const int dim : given) {
    const int from = normalize_dim(dim, x.rank(), "permute");
    if (inverse[at(from)] >= 0)
      throw ShapeError(fmt::format("permute: dimension {} is given twice in [{}]", from, fmt::join(given, ", ")));
    inverse[at(from)] = static_cast<int>(dims.size());
    dims.push_back(from);
    shape.push_back(x.shape()[at(from)]);
    strides.push_back(x_strides[at(from)]);
  }
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  copy_region(shape, x, strides, 0, y, strides_of(shape), 0);
  record("permute", y, {x}, [inverse](const Tensor& gy) -> Gradients { return {permute(gy, inverse)}; });
  return y;
}

Tensor transpose(const Tensor& x, int dim0, int dim1) {
  const int a = normalize_dim(dim0, x.rank(), "transpose"), b = normalize_dim(dim1, x.rank(), "transpose");
  std::vector<int> dims(x.shape().size());
  std::iota(dims.begin(), dims.end(), 0);
  if (a != b) std::swap(dims[at(a)], dims[at(b)]);
  return permute(x, dims);
}

Tensor broadcast_to(const Tensor& x, const Shape& shape) {
  if (shape == x.shape()) return x;
  const bool negative = std::any_of(shape.begin(), shape.end(), [](std::int64_t size) { return size < 0; });
  if (negative || broadcast(x.shape(), shape, "broadcast_to") != shape)
    throw ShapeError(fmt::format("broadcast_to: shape {} cannot become {}; only sizes of 1 change, and new dimensions come in front",
                                 to_string(x.shape()), to_string(shape)));
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  copy_region(shape, x, broadcast_strides(x.shape(), shape), 0, y, strides_of(shape), 0);
  record("broadcast_to", y, {x}, [](const Tensor& gy) -> Gradients { return {gy}; });
  return y;
}

// ---- joining and cutting ----

namespace {

// The part of `whole` that begins at `begin` along dim and has part's shape: copied from part, or to it.
enum class Into { whole, part };
void copy_part(const Tensor& whole, int dim, std::int64_t begin, const Tensor& part, Into into) {
  const Strides whole_strides = strides_of(whole.shape()), part_strides = strides_of(part.shape());
  const std::int64_t offset = begin * whole_strides[at(dim)];
  if (into == Into::whole) copy_region(part.shape(), part, part_strides, 0, whole, whole_strides, offset);
  else copy_region(part.shape(), whole, whole_strides, offset, part, part_strides, 0);
}

Shape with_size(Shape shape, int dim, std::int64_t size) {
  shape[at(dim)] = size;
  return shape;
}

// A tensor of shape (0) joins anything, as in PyTorch.
bool is_nothing(const Tensor& x) { return x.shape() == Shape{0}; }

const Tensor& first_of(const char* name, const std::vector<Tensor>& tensors) {
  if (tensors.empty()) throw ShapeError(fmt::format("{}: expected at least one tensor, got none", name));
  const auto found = std::find_if_not(tensors.begin(), tensors.end(), is_nothing);
  return found == tensors.end() ? tensors.front() : *found;
}

}  // namespace

Tensor cat(const std::vector<Tensor>& tensors, int given) {
  const Tensor& first = first_of("cat", tensors);
  if (first.rank() == 0) throw ShapeError("cat: a scalar has no dimension to join along; use stack");
  const int dim = is_nothing(first) ? 0 : normalize_dim(given, first.rank(), "cat");
  std::int64_t total = 0;
  for (const Tensor& x : tensors) {
    require_same_type("cat", first, x);
    if (is_nothing(x)) continue;
    if (x.rank() != first.rank() || with_size(x.shape(), dim, 0) != with_size(first.shape(), dim, 0))
      throw ShapeError(fmt::format("cat: shapes {} and {} differ in more than dimension {}", to_string(first.shape()), to_string(x.shape()), dim));
    total += x.size(dim);
  }
  Tensor y = Tensor::empty(is_nothing(first) ? first.shape() : with_size(first.shape(), dim, total), first.dtype(), first.device());
  std::vector<Shape> shapes;
  std::int64_t begin = 0;
  for (const Tensor& x : tensors) {
    shapes.push_back(x.shape());
    if (is_nothing(x)) continue;
    copy_part(y, dim, begin, x, Into::whole);
    begin += x.size(dim);
  }
  record("cat", y, tensors, [dim, shapes](const Tensor& gy) -> Gradients {
    Gradients gradients;
    std::int64_t from = 0;
    for (const Shape& shape : shapes) {
      gradients.push_back(Tensor::empty(shape, gy.dtype(), gy.device()));
      if (numel(shape) == 0) continue;
      copy_part(gy, dim, from, gradients.back(), Into::part);
      from += shape[at(dim)];
    }
    return gradients;
  });
  return y;
}

Tensor stack(const std::vector<Tensor>& tensors, int given) {
  if (tensors.empty()) throw ShapeError("stack: expected at least one tensor, got none");
  const Shape& shape = tensors.front().shape();
  const int dim = normalize_dim(given, static_cast<int>(shape.size()) + 1, "stack");
  Shape one = shape;
  one.insert(one.begin() + dim, 1);
  std::vector<Tensor> parts;
  for (const Tensor& x : tensors) {
    require_same_type("stack", tensors.front(), x);
    if (x.shape() != shape)
      throw ShapeError(fmt::format("stack: expected tensors of one shape, got {} and {}", to_string(shape), to_string(x.shape())));
    parts.push_back(x.reshape(one));
  }
  return cat(parts, dim);
}

std::vector<Tensor> split(const Tensor& x, const std::vector<std::int64_t>& sizes, int given) {
  if (x.rank() == 0) throw ShapeError("split: a scalar has no dimension to cut along");
  const int dim = normalize_dim(given, x.rank(), "split");
  if (std::any_of(sizes.begin(), sizes.end(), [](std::int64_t size) { return size < 0; }) ||
      std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0}) != x.size(dim))
    throw ShapeError(fmt::format("split: expected sizes of 0 or more that sum to {}, the size of dimension {} of {}, got [{}]", x.size(dim), dim,
                                 to_string(x.shape()), fmt::join(sizes, ", ")));
  // The parts' gradients meet in one tensor, which the first of them to arrive makes: the others write into it and pass
  // nothing on. `joint` is recorded before the parts, so its turn comes after them.
  auto gx = std::make_shared<Tensor>();
  Tensor joint = x.detach();
  record("split", joint, {x}, [gx](const Tensor& whole) -> Gradients {
    *gx = Tensor();
    return {whole};
  }, true);  // parts may run backward one by one
  std::vector<Tensor> parts;
  std::int64_t begin = 0;
  for (const std::int64_t size : sizes) {
    Tensor part = Tensor::empty(with_size(x.shape(), dim, size), x.dtype(), x.device());
    copy_part(x, dim, begin, part, Into::part);
    record("split", part, {joint}, [gx, dim, begin, shape = x.shape()](const Tensor& gy) -> Gradients {
      const bool first = !gx->defined();
      if (first) *gx = Tensor::zeros(shape, gy.dtype(), gy.device());
      copy_part(*gx, dim, begin, gy, Into::whole);
      return {first ? *gx : Tensor()};
    });
    parts.push_back(part);
    begin += size;
  }
  return parts;
}

std::vector<Tensor> split(const Tensor& x, std::int64_t size, int dim) {
  if (x.rank() == 0) throw ShapeError("split: a scalar has no dimension to cut along");
  const std::int64_t total = x.size(normalize_dim(dim, x.rank(), "split"));
  if (size < 0 || (size == 0 && total > 0))
    throw ShapeError(fmt::format("split: expected parts of a size of 1 or more, got {} (input {})", size, to_string(x.shape())));
  std::vector<std::int64_t> sizes;
  for (std::int64_t left = total; left > 0; left -= sizes.back()) sizes.push_back(std::min(size, left));
  if (sizes.empty()) sizes.push_back(0);
  return split(x, sizes, dim);
}

// ---- by index ----

namespace {

kernels::GatherDims gather_dims(const Shape& x, int dim, const Shape& index) {
  const Strides x_strides = strides_of(x), index_strides = strides_of(index);
  kernels::GatherDims d{};
  for (const int i : physical_order(static_cast<int>(x.size()))) {
    if (i == dim) continue;
    const auto k = static_cast<std::size_t>(d.rank++);
    d.sizes[k] = index[at(i)];
    d.x_strides[k] = x_strides[at(i)];
    d.index_strides[k] = index_strides[at(i)];
  }
  d.length = index[at(dim)];
  d.x_step = x_strides[at(dim)];
  d.index_step = index_strides[at(dim)];
  d.x_length = x[at(dim)];
  return d;
}

void check_index(const Tensor& x, int dim, const Tensor& index) {
  if (index.dtype() != DType::i64)
    throw DTypeError(fmt::format("gather: the index is {}, expected i64; convert it with to()", name_of(index.dtype())));
  require_same_device("gather", x, index);
  bool fits = index.rank() == x.rank();
  for (int i = 0; fits && i < x.rank(); ++i) fits = i == dim || index.size(i) <= x.size(i);
  if (!fits)
    throw ShapeError(fmt::format("gather: expected an index of the input's rank, no larger than the input but in dimension {}, got {} (input {})",
                                 dim, to_string(index.shape()), to_string(x.shape())));
  const std::int64_t size = x.size(dim);
  require_in_range(index, size, {}, [=, shape = x.shape()](std::int64_t, std::int64_t value) {
    return fmt::format("gather: an index is {}, expected 0 to {}, positions in dimension {} of the input {}", value, size - 1, dim, to_string(shape));
  });
}

}  // namespace

Tensor scatter_add(const Shape& shape, int dim, const Tensor& index, const Tensor& source) {
  Tensor y = Tensor::zeros(shape, source.dtype(), source.device());
  dispatch_floating(source, [&](auto& context, auto t) {
    using T = decltype(t);
    kernels::scatter_add<T>(context, gather_dims(shape, dim, index.shape()), index.data<std::int64_t>(), source.data<T>(), y.data<T>());
  });
  return y;
}

Tensor gather(const Tensor& given, int given_dim, const Tensor& given_index) {
  if (given.rank() == 0 && given_index.rank() <= 1) {  // a scalar is indexed as one element
    normalize_dim(given_dim, 0, "gather");
    return gather(given.reshape({1}), 0, given_index.reshape({given_index.numel()})).reshape(given_index.shape());
  }
  if (given_index.rank() == 0 && given.rank() == 1) return gather(given, given_dim, given_index.reshape({1})).reshape({});
  const Tensor &x = given, &index = given_index;
  const int dim = normalize_dim(given_dim, x.rank(), "gather");
  check_index(x, dim, index);
  Tensor y = Tensor::empty(index.shape(), x.dtype(), x.device());
  if (index.numel() > 0)
    dispatch(x, [&](auto& context, auto t) {
      using T = decltype(t);
      kernels::gather<T>(context, gather_dims(x.shape(), dim, index.shape()), x.data<T>(), index.data<std::int64_t>(), y.data<T>());
    });
  record("gather", y, {x}, [dim, from = x.shape(), index = Saved("gather", index)](const Tensor& gy) -> Gradients {
    return {scatter_add(from, dim, index.get(), gy)};
  });
  return y;
}

}  // namespace mica
