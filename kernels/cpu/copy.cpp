#include <mica/kernels/copy.h>
#include <mica/kernels/cpu/walk.h>

#include <algorithm>
#include <cstring>

namespace mica::kernels {

constexpr i64 grain = 16384;  // elements that are worth a thread

template <class T>
void fill(Cpu& cpu, i64 n, T value, T* y) {
  parallel_for(cpu, n, grain, [&](i64 begin, i64 end) { std::fill(y + begin, y + end, value); });
}

template <class From, class To>
void convert(Cpu& cpu, i64 n, const From* x, To* y) {
  parallel_for(cpu, n, grain, [&](i64 begin, i64 end) {
    for (i64 i = begin; i < end; ++i) y[i] = static_cast<To>(x[i]);
  });
}

namespace {

// A call of memmove costs more than a short row does.
template <class T>
void copy_row(i64 length, const T* from, T* to) {
  constexpr i64 step = 64 / static_cast<i64>(sizeof(T));
  if (length > 16 * step) return static_cast<void>(std::copy(from, from + length, to));
  i64 i = 0;
  for (; i + step <= length; i += step) std::memcpy(to + i, from + i, 64);
  for (; i < length; ++i) to[i] = from[i];
}

constexpr i64 block = 16;

// y[i·y_step + j] = x[i + j·x_step]: i runs along x, j along y. Through a block that fits into registers or the first
// cache, so that both are read and written in runs.
template <class T>
void transpose_plane(i64 rows, i64 columns, const T* x, i64 x_step, T* y, i64 y_step) {
  T held[block][block];
  for (i64 i0 = 0; i0 < rows; i0 += block)
    for (i64 j0 = 0; j0 < columns; j0 += block) {
      const i64 high = std::min(block, rows - i0), wide = std::min(block, columns - j0);
      for (i64 j = 0; j < wide; ++j)
        for (i64 i = 0; i < high; ++i) held[i][j] = x[i0 + i + (j0 + j) * x_step];
      for (i64 i = 0; i < high; ++i) std::copy(held[i], held[i] + wide, y + (i0 + i) * y_step + j0);
    }
}

// The copy of a region in which x is contiguous along `dim` and y along the last dimension.
template <class T>
void copy_transposed(Cpu& cpu, const Walk<2>& walk, int dim, const T* x, T* y) {
  const i64 rows = walk.sizes[dim], columns = walk.row_length(), x_step = walk.row_stride(0), y_step = walk.strides[1][dim];
  Sizes outer = walk.sizes;
  outer[dim] = (rows + block - 1) / block;  // blocks of rows, which threads share
  std::array<Sizes, 2> strides = walk.strides;
  strides[0][dim] = block;
  strides[1][dim] = block * y_step;
  i64 jobs = 1;
  for (int k = 0; k + 1 < walk.rank; ++k) jobs *= outer[k];
  parallel_for(cpu, jobs, 1 + grain / (block * columns + 1), [&](i64 begin, i64 end) {
    for (i64 job = begin; job < end; ++job) {
      i64 rest = job, x_at = 0, y_at = 0, first = 0;
      for (int k = walk.rank - 2; k >= 0; rest /= outer[k--]) {
        const i64 index = rest % outer[k];
        x_at += index * strides[0][k];
        y_at += index * strides[1][k];
        if (k == dim) first = index * block;
      }
      transpose_plane(std::min(block, rows - first), columns, x + x_at, x_step, y + y_at, y_step);
    }
  });
}

}  // namespace

template <class T>
void strided_copy(Cpu& cpu, int rank, const Sizes& sizes, const Sizes& x_strides, const T* x, const Sizes& y_strides, T* y) {
  const Walk<2> walk(rank, sizes, {x_strides, y_strides});
  const i64 x_step = walk.row_stride(0), y_step = walk.row_stride(1);
  if (y_step == 1 && x_step > 1)
    for (int dim = 0; dim + 1 < walk.rank; ++dim)
      if (walk.strides[0][dim] == 1 && walk.sizes[dim] > 1) return copy_transposed(cpu, walk, dim, x, y);
  if (walk.rank == 2 && x_step == 1 && y_step == 1) {  // rows at even distances, often short: channels of pixels
    const i64 length = walk.row_length(), x_row = walk.strides[0][0], y_row = walk.strides[1][0];
    return parallel_for(cpu, walk.sizes[0], 1 + grain / (length + 1), [&](i64 begin, i64 end) {
      for (i64 row = begin; row < end; ++row) copy_row(length, x + row * x_row, y + row * y_row);
    });
  }
  for_each_row(cpu, walk, [&](const std::array<i64, 2>& at, i64 length) {
    const T* from = x + at[0];
    T* to = y + at[1];
    if (x_step == 1 && y_step == 1) copy_row(length, from, to);
    else if (x_step == 0 && y_step == 1) std::fill(to, to + length, *from);
    else for (i64 i = 0; i < length; ++i) to[i * y_step] = from[i * x_step];
  });
}

#define MICA_CONVERT(From)                                            \
  template void convert(Cpu&, i64, const From*, float*);              \
  template void convert(Cpu&, i64, const From*, double*);             \
  template void convert(Cpu&, i64, const From*, std::int64_t*);       \
  template void convert(Cpu&, i64, const From*, std::int32_t*);       \
  template void convert(Cpu&, i64, const From*, std::uint8_t*);
#define MICA_ELEMENT_TYPE(T)                \
  template void fill(Cpu&, i64, T, T*);     \
  template void strided_copy(Cpu&, int, const Sizes&, const Sizes&, const T*, const Sizes&, T*); \
  MICA_CONVERT(T)
MICA_ELEMENT_TYPE(float)
MICA_ELEMENT_TYPE(double)
MICA_ELEMENT_TYPE(std::int64_t)
MICA_ELEMENT_TYPE(std::int32_t)
MICA_ELEMENT_TYPE(std::uint8_t)

}  // namespace mica::kernels
