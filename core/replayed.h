// Numbers that the host works out for kernels, and works out anew for each replay of a captured graph (core/cuda_graph.h):
//   const GraphValue<double> lr = replayed<double>(device, [this] { return lr_; });
// Outside of a capture this is next() at once. In a capture next() is not called then, but before each replay, in the order of
// the calls in the capture; kernels find what it gave in device memory. What next refers to must outlive the graph.
#pragma once

#include <mica/core/device.h>
#include <mica/kernels/graph_value.h>

#include <cstring>
#include <functional>
#include <type_traits>

namespace mica {

using kernels::GraphValue;

// Where a graph that is being captured on this thread keeps such values.
class ReplayedValues {
 public:
  virtual ~ReplayedValues() = default;
  // A place for `bytes`, which write(to) fills before each replay; null: nothing is recorded yet, take the value of now.
  virtual const void* place(std::size_t bytes, std::function<void(void* to)> write) = 0;

  static ReplayedValues* of(Device device) noexcept;  // null: none is captured
};

template <class T, class Next>
GraphValue<T> replayed(Device device, const Next& next) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (ReplayedValues* values = ReplayedValues::of(device)) {
    const void* place = values->place(sizeof(T), [next](void* to) {
      const T value = next();
      std::memcpy(to, &value, sizeof value);
    });
    if (place) return {T{}, static_cast<const T*>(place)};
  }
  return {next(), nullptr};
}

}  // namespace mica
