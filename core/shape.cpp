#include <mica/core/error.h>
#include <mica/core/shape.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>

namespace mica {

std::int64_t numel(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

std::string to_string(const Shape& shape) {
  return shape.empty() ? "scalar" : fmt::format("{}", fmt::join(shape, "×"));
}

std::vector<int> physical_order(int rank) {
  if (rank == 4) return {0, 2, 3, 1};
  std::vector<int> order(static_cast<std::size_t>(rank));
  std::iota(order.begin(), order.end(), 0);
  return order;
}

Strides strides_of(const Shape& shape) {
  const std::vector<int> order = physical_order(static_cast<int>(shape.size()));
  Strides strides(shape.size());
  std::int64_t stride = 1;
  for (auto dim = order.rbegin(); dim != order.rend(); ++dim) {
    strides[static_cast<std::size_t>(*dim)] = stride;
    stride *= shape[static_cast<std::size_t>(*dim)];
  }
  return strides;
}

namespace {

// Is memory order also logical order? True for every rank but 4, and there when the permutation moves nothing.
bool stored_in_logical_order(const Shape& s) { return s.size() != 4 || s[1] == 1 || s[2] * s[3] == 1; }

}  // namespace

bool same_memory_order(const Shape& a, const Shape& b) {
  if (a == b || (stored_in_logical_order(a) && stored_in_logical_order(b))) return true;
  return a.size() == 4 && b.size() == 4 && a[1] == b[1] && a[2] * a[3] == b[2] * b[3];  // H and W traded only
}

int normalize_dim(int dim, int rank, const char* op) {
  const int dims = std::max(rank, 1);
  if (dim < -dims || dim >= dims)
    throw ShapeError(fmt::format("{}: dimension {} is out of range for a tensor of rank {}; give one of {} to {}", op,
                                 dim, rank, -dims, dims - 1));
  return dim < 0 ? dim + dims : dim;
}

Shape broadcast(const Shape& a, const Shape& b, const char* op) {
  Shape out(std::max(a.size(), b.size()));
  for (std::size_t back = 1; back <= out.size(); ++back) {
    const std::int64_t sa = back <= a.size() ? a[a.size() - back] : 1;
    const std::int64_t sb = back <= b.size() ? b[b.size() - back] : 1;
    if (sa != sb && sa != 1 && sb != 1)
      throw ShapeError(fmt::format("{}: shapes {} and {} do not broadcast: sizes {} and {} differ and neither is 1", op,
                                   to_string(a), to_string(b), sa, sb));
    out[out.size() - back] = sa == 1 ? sb : sa;
  }
  return out;
}

Strides broadcast_strides(const Shape& shape, const Shape& target) {
  const Strides own = strides_of(shape);
  Strides strides(target.size(), 0);
  const std::size_t lead = target.size() - shape.size();
  for (std::size_t i = 0; i < shape.size(); ++i)
    if (shape[i] != 1) strides[lead + i] = own[i];
  return strides;
}

}  // namespace mica
