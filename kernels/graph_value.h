// An argument of a kernel that a captured graph must not freeze, because it is another at each replay: a rate, a step's number.
#pragma once

#include <mica/kernels/math.h>

namespace mica::kernels {

template <class T>
struct GraphValue {
  T value{};
  const T* place = nullptr;  // where the value lies when the kernel runs, in device memory; null: it is `value`

  GraphValue() = default;
  GraphValue(const T& now, const T* then = nullptr) : value(now), place(then) {}

  MICA_FUNCTION T get() const { return place ? *place : value; }
};

}  // namespace mica::kernels
