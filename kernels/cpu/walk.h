// Walks rows of a region on the CPU's threads: the outer dimensions are counted off, the innermost is left to the caller's loop.
#pragma once

#include <mica/kernels/cpu/parallel.h>
#include <mica/kernels/walk.h>

namespace mica::kernels {

// From one row to the next, without a division.
template <int K>
void step(const Walk<K>& walk, Sizes& index, std::array<i64, K>& offsets) {
  for (int dim = walk.rank - 2; dim >= 0; --dim) {
    for (int k = 0; k < K; ++k) offsets[k] += walk.strides[k][dim];
    if (++index[dim] < walk.sizes[dim]) return;
    index[dim] = 0;
    for (int k = 0; k < K; ++k) offsets[k] -= walk.sizes[dim] * walk.strides[k][dim];
  }
}

// Work on one row, behind a pointer: the walk is compiled once for each K, and not for each op.
template <int K>
struct RowWork {
  void (*call)(const void* f, const std::array<i64, K>& offsets, i64 length);
  const void* f;
  void operator()(const std::array<i64, K>& offsets, i64 length) const { call(f, offsets, length); }
};

template <int K>
__attribute__((noinline)) void walk_rows(const Cpu& cpu, const Walk<K>& walk, const RowWork<K>& f, i64 work) {
  const i64 grain = 1 + 8192 / (work + 1);  // elements that are worth a thread
  const i64 length = walk.row_length(), count = walk.rows();
  if (length == 0) return;  // however many rows there are
  if (count == 1)
    return parallel_for(cpu, length, grain, [&](i64 begin, i64 end) {
      std::array<i64, K> offsets;
      for (int k = 0; k < K; ++k) offsets[k] = begin * walk.row_stride(k);
      f(offsets, end - begin);
    });
  parallel_for(cpu, count, 1 + grain / (length + 1), [&](i64 begin, i64 end) {
    Sizes index{};  // of the row, in the outer dimensions
    std::array<i64, K> offsets;
    for (int k = 0; k < K; ++k) offsets[k] = walk.row_offset(k, begin);
    for (i64 row = begin, dim = walk.rank - 2; dim >= 0; row /= walk.sizes[dim--]) index[dim] = row % walk.sizes[dim];
    for (i64 row = begin; row < end; ++row, step<K>(walk, index, offsets)) f(offsets, length);
  });
}

// f(offsets, length): `length` elements of the innermost dimension, whose first has these offsets. A single long row is
// cut between threads too. `work`: what one element costs, as a multiple of a copy.
template <int K, class F>
void for_each_row(const Cpu& cpu, const Walk<K>& walk, const F& f, i64 work = 1) {
  const auto call = [](const void* g, const std::array<i64, K>& offsets, i64 length) { (*static_cast<const F*>(g))(offsets, length); };
  walk_rows<K>(cpu, walk, {call, &f}, work);
}

}  // namespace mica::kernels
