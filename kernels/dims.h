// Plain dimensions that kernels take. Images are stored N,H,W,C and filters O,H,W,I; sizes in elements.
#pragma once

#include <array>
#include <cstdint>

namespace mica::kernels {

using i64 = std::int64_t;

// The largest kernel, stride, padding or dilation, so that no sum or product of two overflows, and oneDNN takes it.
inline constexpr i64 largest_window = (i64{1} << 31) - 1;

// Output size of a sliding window along one dimension; below 1 where the window does not fit. With `ceil`, a last window
// may hang over the end, if it begins inside the image or its padding on the left.
constexpr i64 window_output(i64 size, i64 kernel, i64 stride, i64 padding, i64 dilation, bool ceil = false) {
  const i64 room = size + 2 * padding - dilation * (kernel - 1) - 1 + (ceil ? stride - 1 : 0);
  const i64 count = room < 0 ? 0 : room / stride + 1;
  return ceil && (count - 1) * stride >= size + padding ? count - 1 : count;
}

struct Conv2dDims {
  i64 n, c, h, w;      // input n×h×w×c
  i64 o, kh, kw;       // filters o×kh×kw×(c/groups)
  i64 oh, ow;          // output n×oh×ow×o
  std::array<i64, 2> stride, padding, dilation;  // along h, along w
  i64 groups;

  constexpr bool operator==(const Conv2dDims&) const = default;
};

struct Pool2dDims {
  i64 n, c, h, w;      // input n×h×w×c
  i64 oh, ow;          // output n×oh×ow×c
  std::array<i64, 2> kernel, stride, padding, dilation;
};

// c[m×n] = op(a) · op(b), row-major; op(a) is m×k, op(b) is k×n, and a transposed operand is stored the other way.
// `batch` such products, one after the other in memory.
struct MatmulDims {
  i64 m, n, k;
  bool transpose_a = false, transpose_b = false;
  i64 batch = 1;

  constexpr bool operator==(const MatmulDims&) const = default;
};

// A walk over up to max_rank dimensions, outermost first, with the strides of each operand.
inline constexpr int max_rank = 8;
using Sizes = std::array<i64, max_rank>;

}  // namespace mica::kernels
