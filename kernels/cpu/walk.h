// Walks rows of a strided region: the outer dimensions are counted off, the innermost is left to the caller's loop.
#pragma once

#include <mica/kernels/cpu/parallel.h>
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

  // f(offsets, length): `length` elements of the innermost dimension, whose first has these offsets. A single long row is
  // cut between threads too. `work`: what one element costs, as a multiple of a copy.
  template <class F>
  void for_each_row(const Cpu& cpu, const F& f, i64 work = 1) const {
    const i64 grain = 1 + 8192 / (work + 1);  // elements that are worth a thread
    const i64 length = row_length(), count = rows();
    if (length == 0) return;  // however many rows there are
    if (count == 1)
      return parallel_for(cpu, length, grain, [&](i64 begin, i64 end) {
        std::array<i64, K> offsets;
        for (int k = 0; k < K; ++k) offsets[k] = begin * row_stride(k);
        f(offsets, end - begin);
      });
    parallel_for(cpu, count, 1 + grain / (length + 1), [&](i64 begin, i64 end) {
      Sizes index{};  // of the row, in the outer dimensions
      std::array<i64, K> offsets;
      for (int k = 0; k < K; ++k) offsets[k] = row_offset(k, begin);
      for (i64 row = begin, dim = rank - 2; dim >= 0; row /= sizes[dim--]) index[dim] = row % sizes[dim];
      for (i64 row = begin; row < end; ++row, step(index, offsets)) f(offsets, length);
    });
  }

 private:
  // From one row to the next, without a division.
  void step(Sizes& index, std::array<i64, K>& offsets) const {
    for (int dim = rank - 2; dim >= 0; --dim) {
      for (int k = 0; k < K; ++k) offsets[k] += strides[k][dim];
      if (++index[dim] < sizes[dim]) return;
      index[dim] = 0;
      for (int k = 0; k < K; ++k) offsets[k] -= sizes[dim] * strides[k][dim];
    }
  }
};

}  // namespace mica::kernels
