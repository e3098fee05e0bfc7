// Reductions over any dimensions of an f32 or f64 tensor: sums, and largest or smallest values.
#pragma once

#include <mica/kernels/context.h>
#include <mica/kernels/dims.h>

namespace mica::kernels {

// Some dimensions of x: their sizes and x's strides along them, outermost first.
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
template <class T> void sum(Cuda& cuda, const Region& kept, const Region& reduced, double scale, const T* x, T* y);

enum class Extremum { max, min };

// y[k] = the largest or smallest x over `reduced`, and index[k], unless null, its first position there, counted in the
// region's order. A NaN wins over numbers. `reduced` is not empty.
template <class T>
void extremum(Cpu& cpu, Extremum which, const Region& kept, const Region& reduced, const T* x, T* y, i64* index);
template <class T>
void extremum(Cuda& cuda, Extremum which, const Region& kept, const Region& reduced, const T* x, T* y, i64* index);

// The gradient of extremum, shared evenly among the positions of `reduced` that equal y; with none, because y is NaN,
// they all become NaN or, where nan_equal, it is shared among the NaNs. gx is walked like x.
template <class T>
void extremum_backward(Cpu& cpu, const Region& kept, const Region& reduced, bool nan_equal, const T* x, const T* y, const T* gy, T* gx);
template <class T>
void extremum_backward(Cuda& cuda, const Region& kept, const Region& reduced, bool nan_equal, const T* x, const T* y, const T* gy, T* gx);

}  // namespace mica::kernels
