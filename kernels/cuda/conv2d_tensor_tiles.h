// How the tensor-core convolutions cut images into blocks.
#pragma once

#include <mica/kernels/cuda/conv2d_tensor.h>

#include <type_traits>

namespace mica::kernels::conv2d_tensor {

inline constexpr int most_columns = 29;  // of an image: with a border of two, and a column to spare, they fit into a tile's row

constexpr int warps_of_block(int outs) { return 3 * outs / 16; }
constexpr std::size_t tile_bytes(int rows) { return sizeof(float) * static_cast<std::size_t>(rows * row_floats); }

// Of a block on images of this width: no more than find columns.
inline int warps_for(i64 width, int outs) {
  const int wanted = static_cast<int>(ceil_div(columns_of_block(static_cast<int>(width)), columns_of_warp));
  return std::min(wanted, 3) * outs / 16;
}

Precision precision_of(const Cuda& cuda);

// f(outs, rows of a strip, precision), as constants. Rows: what leaves the fewest beyond the image's height; more where that is equal,
// since filters and borders are then read less often.
template <class F>
void with_kernel(const Cuda& cuda, const Conv2dDims& d, i64 height, const F& f) {
  const auto covered = [&](i64 rows) { return ceil_div(height, strips * rows) * strips * rows; };
  const auto with_precision = [&](auto outs, auto rows) {
    if (precision_of(cuda) == Precision::tf32) f(outs, rows, std::integral_constant<Precision, Precision::tf32>());
    else f(outs, rows, std::integral_constant<Precision, Precision::three_tf32>());
  };
  const auto with_rows = [&](auto outs) {
    constexpr int many = outs == 16 ? 6 : 5;  // as registers allow
    if (covered(many) <= covered(4)) with_precision(outs, std::integral_constant<int, many>());
    else with_precision(outs, std::integral_constant<int, 4>());
  };
  if (d.o == 16) with_rows(std::integral_constant<int, 16>());
  else with_rows(std::integral_constant<int, 32>());
}

}  // namespace mica::kernels::conv2d_tensor
