// Gathering along one dimension by index, and its reverse. T: every element type for gather, f32 and f64 for scatter_add.
#pragma once

#include <mica/kernels/context.h>
#include <mica/kernels/dims.h>

#include <optional>

namespace mica::kernels {

// The positions of an index tensor, which is dense in its memory order: `rank` dimensions but for the one that is
// indexed, each with its size and the strides of x and of the index; then the indexed one.
struct GatherDims {
  int rank = 0;
  Sizes sizes{}, x_strides{}, index_strides{};
  i64 length, x_step, index_step;  // along the indexed dimension
  i64 x_length;                    // of x along it
};

// y[at] = x[at with index[at] in place of the indexed dimension]; y is laid out as the index. Indices are in [0, x_length);
// on CUDA others, which watch_range will report, read 0 and add nothing.
template <class T> void gather(Cpu& cpu, const GatherDims& d, const T* x, const i64* index, T* y);
template <class T> void gather(Cuda& cuda, const GatherDims& d, const T* x, const i64* index, T* y);
// x[at with index[at] in place of the indexed dimension] += y[at], in the order of positions.
template <class T> void scatter_add(Cpu& cpu, const GatherDims& d, const i64* index, const T* y, T* x);
template <class T> void scatter_add(Cuda& cuda, const GatherDims& d, const i64* index, const T* y, T* x);

// The first of n values outside [0, size) that is not `allowed`, or n.
i64 first_out_of_range(Cpu& cpu, i64 n, i64 size, std::optional<i64> allowed, const i64* values);
// The same, found on the device later and kept there: see RangeFault in kernels/cuda/context.h. `site` tells them apart.
void watch_range(Cuda& cuda, i64 n, i64 size, std::optional<i64> allowed, const i64* values, int site);

}  // namespace mica::kernels
