// How the tensor-core convolutions cut images into blocks.
#pragma once

#include <mica/kernels/cuda/conv2d_tensor.h>

#include <type_traits>

namespace mica::kernels::conv2d_tensor {

inline constexpr int most_columns = 29;  // of an image: with a border of two, and a column to spare, they fit into a tile's row

constexpr int forward_warps(int outs) { return 3 * outs / 16; }  // at most
constexpr std::size_t tile_bytes(int rows) { return sizeof(float) * static_cast<std::size_t>(rows * row_floats); }

// For 16 channels on images of this width: no more than find columns.
inline int warps_for(i64 width) {
  const int wanted = static_cast<int>(ceil_div(columns_of_block(static_cast<int>(width)), columns_of_warp));
  return std::min(wanted, 3);
}

// f(outs, rows of a strip, precision), as constants. Rows: what leaves the fewest beyond the image's height; more where that is equal,
// since filters and borders are then read less often, but no more than registers hold.
template <class F>
void with_kernel(const Conv2dDims& d, i64 height, bool tf32, const F& f) {
  const auto covered = [&](i64 rows) { return ceil_div(height, strips * rows) * strips * rows; };
  const auto with_outs = [&](auto outs) {
    constexpr int many = outs == 16 ? 6 : 5;
    constexpr std::integral_constant<int, 4> few;
    constexpr std::integral_constant<int, 3> fewest;
    if (!tf32) f(outs, fewest, std::integral_constant<Precision, Precision::three_tf32>());
    else if (covered(many) <= covered(few)) f(outs, std::integral_constant<int, many>(), std::integral_constant<Precision, Precision::tf32>());
    else f(outs, few, std::integral_constant<Precision, Precision::tf32>());
  };
  if (d.o == 16) with_outs(std::integral_constant<int, 16>());
  else with_outs(std::integral_constant<int, 32>());
}

}  // namespace mica::kernels::conv2d_tensor
