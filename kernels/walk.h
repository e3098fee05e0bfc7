// Regions of several operands, walked together: the dimensions in which they differ, as few as possible.
#pragma once

#include <mica/kernels/dims.h>

namespace mica::kernels {

// A region of up to max_rank dimensions read by K operands. Dimensions that all operands step through as one are
// merged, so that a region without broadcasting becomes one long row.
template <int K>
struct Walk {
  int rank = 0;
  Sizes sizes{};
  std::array<Sizes, K> strides{};

  Walk(int given, const Sizes& given_sizes, const std::array<Sizes, K>& given_strides) {
    for (int dim = 0; dim < given; ++dim) {
      if (given_sizes[dim] == 1) continue;
      bool merge = rank > 0;
      for (int k = 0; k < K; ++k)
        merge = merge && strides[k][rank - 1] == given_sizes[dim] * given_strides[k][dim];
      if (!merge) ++rank;
      sizes[rank - 1] = (merge ? sizes[rank - 1] : 1) * given_sizes[dim];
      for (int k = 0; k < K; ++k) strides[k][rank - 1] = given_strides[k][dim];
    }
    if (rank == 0) sizes[rank++] = 1;
  }

  i64 row_length() const { return sizes[rank - 1]; }
  i64 row_stride(int k) const { return strides[k][rank - 1]; }
  i64 rows() const {
    i64 rows = 1;
    for (int dim = 0; dim + 1 < rank; ++dim) rows *= sizes[dim];
    return rows;
  }
  // Where row `row` begins in operand k.
  i64 row_offset(int k, i64 row) const {
    i64 offset = 0;
    for (int dim = rank - 2; dim >= 0; --dim) {
      offset += row % sizes[dim] * strides[k][dim];
      row /= sizes[dim];
    }
    return offset;
  }
};

}  // namespace mica::kernels
