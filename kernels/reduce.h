// Sums over any dimensions of an f32 or f64 tensor.
#pragma once

#include <mica/kernels/cpu/context.h>
#include <mica/kernels/dims.h>

namespace mica::kernels {

// Some dimensions of x: their sizes and x's strides along them.
struct Region {
  int rank = 0;
  Sizes sizes{}, strides{};

  void push_back(i64 size, i64 stride) {
    sizes[static_cast<std::size_t>(rank)] = size;
    strides[static_cast<std::size_t>(rank++)] = stride;
  }
};

// y[k] = scale · Σ x over `reduced`, for the k-th position of `kept`. Sums are in f64 and in an order that depends on
// the sizes alone.
template <class T> void sum(Cpu& cpu, const Region& kept, const Region& reduced, double scale, const T* x, T* y);

}  // namespace mica::kernels
