// From a logical shape to the sizes and strides that kernels walk: dimensions in memory order of `shape`.
#pragma once

#include <mica/core/shape.h>
#include <mica/kernels/dims.h>

namespace mica {

// values[dim] for each dimension of a tensor of values.size() dimensions, outermost in memory first.
inline kernels::Sizes in_memory_order(const std::vector<std::int64_t>& values) {
  kernels::Sizes sizes{};
  const std::vector<int> order = physical_order(static_cast<int>(values.size()));
  for (std::size_t i = 0; i < order.size(); ++i) sizes[i] = values[static_cast<std::size_t>(order[i])];
  return sizes;
}

}  // namespace mica
