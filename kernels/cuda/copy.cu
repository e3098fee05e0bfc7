// Moving elements. A transposition goes through a tile of shared memory, so that both sides are read and written in runs.
#include <mica/kernels/copy.h>
#include <mica/kernels/cuda/launch.h>
#include <mica/kernels/cuda/pack.h>
#include <mica/kernels/cuda/strided.h>

#include <algorithm>

namespace mica::kernels {
namespace {

template <class T>
__global__ void fill_kernel(unsigned n, unsigned packs, T value, T* y) {
  Pack<T> same;
  for (T& v : same.at) v = value;
  for (unsigned p = first_item(); p < packs; p += item_step()) store_pack(y + p * Pack<T>::size, same);
  for (unsigned i = packs * Pack<T>::size + first_item(); i < n; i += item_step()) y[i] = value;
}

template <class From, class To>
__global__ void convert_kernel(unsigned n, const From* x, To* y) {
  for (unsigned i = first_item(); i < n; i += item_step()) y[i] = static_cast<To>(x[i]);
}

template <class T>
__global__ void strided_copy_kernel(unsigned n, Strided<2> walk, const T* x, T* y) {
  for (unsigned i = first_item(); i < n; i += item_step()) {
    const auto places = walk.places(i);
    y[places.at[1]] = x[places.at[0]];
  }
}

constexpr int tile = 32, tile_rows = 8;  // a block moves tile×tile elements with tile×tile_rows threads

// x: planes of columns×rows, contiguous along rows; y: rows×columns, contiguous along columns. The outer dimensions, planes, are
// counted by blockIdx.z.
template <class T>
__global__ void transpose_kernel(unsigned rows, unsigned columns, unsigned planes, Strided<2> outer, const T* x, i64 x_step, T* y, i64 y_step) {
  MICA_SHARED(T, held, [tile][tile + 1]);  // one more, so that a column's elements lie in different banks
  for (unsigned plane = blockIdx.z; plane < planes; plane += gridDim.z) {
    const auto places = outer.places(plane);
    const T* from = x + places.at[0];
    T* to = y + places.at[1];
    for (unsigned row0 = blockIdx.y * tile; row0 < rows; row0 += gridDim.y * tile)
      for (unsigned column0 = blockIdx.x * tile; column0 < columns; column0 += gridDim.x * tile) {
        for (unsigned j = threadIdx.y; j < tile; j += tile_rows)
          if (row0 + threadIdx.x < rows && column0 + j < columns) held[j][threadIdx.x] = from[(column0 + j) * x_step + row0 + threadIdx.x];
        __syncthreads();
        for (unsigned i = threadIdx.y; i < tile; i += tile_rows)
          if (row0 + i < rows && column0 + threadIdx.x < columns) to[(row0 + i) * y_step + column0 + threadIdx.x] = held[threadIdx.x][i];
        __syncthreads();
      }
  }
}

// x is contiguous along `dim`, y along the last dimension.
template <class T>
void transpose(Cuda& cuda, const Walk<2>& walk, int dim, const T* x, T* y) {
  Sizes sizes{}, x_strides{}, y_strides{};
  int rank = 0;
  i64 planes = 1;
  for (int k = 0; k + 1 < walk.rank; ++k) {
    if (k == dim) continue;
    sizes[rank] = walk.sizes[k], x_strides[rank] = walk.strides[0][k], y_strides[rank] = walk.strides[1][k];
    planes *= sizes[rank++];
  }
  const i64 rows = walk.sizes[dim], columns = walk.row_length();
  constexpr i64 most = 65535;  // of a grid along y and z
  const dim3 grid(static_cast<unsigned>(ceil_div(columns, tile)), static_cast<unsigned>(std::min(ceil_div(rows, tile), most)),
                  static_cast<unsigned>(std::min(planes, most)));
  launch(cuda, "transpose", transpose_kernel<T>, {grid, dim3(tile, tile_rows)}, static_cast<unsigned>(rows),
         static_cast<unsigned>(columns), static_cast<unsigned>(planes), Strided<2>(Walk<2>(rank, sizes, {x_strides, y_strides})), x,
         walk.row_stride(0), y, walk.strides[1][dim]);
}

}  // namespace

template <class T>
void fill(Cuda& cuda, i64 n, T value, T* y) {
  if (n == 0) return;
  const i64 packs = all_aligned(y) ? n / Pack<T>::size : 0;
  launch(cuda, "fill", fill_kernel<T>, grid_for(cuda, packs > 0 ? packs : n), static_cast<unsigned>(n), static_cast<unsigned>(packs), value, y);
}

template <class From, class To>
void convert(Cuda& cuda, i64 n, const From* x, To* y) {
  if (n > 0) launch(cuda, "convert", convert_kernel<From, To>, grid_for(cuda, n), static_cast<unsigned>(n), x, y);
}

template <class T>
void strided_copy(Cuda& cuda, int rank, const Sizes& sizes, const Sizes& x_strides, const T* x, const Sizes& y_strides, T* y) {
  const Walk<2> walk(rank, sizes, {x_strides, y_strides});
  const i64 n = items(walk);
  if (n == 0) return;
  if (walk.row_stride(1) == 1 && walk.row_stride(0) > 1)
    for (int dim = 0; dim + 1 < walk.rank; ++dim)
      if (walk.strides[0][dim] == 1 && walk.sizes[dim] > 1) return transpose(cuda, walk, dim, x, y);
  launch(cuda, "strided_copy", strided_copy_kernel<T>, grid_for(cuda, n), static_cast<unsigned>(n), Strided<2>(walk), x, y);
}

#define MICA_CONVERT(From)                                  \
  template void convert(Cuda&, i64, const From*, float*);   \
  template void convert(Cuda&, i64, const From*, double*);  \
  template void convert(Cuda&, i64, const From*, std::int64_t*); \
  template void convert(Cuda&, i64, const From*, std::int32_t*); \
  template void convert(Cuda&, i64, const From*, std::uint8_t*);
#define MICA_ELEMENT_TYPE(T)               \
  template void fill(Cuda&, i64, T, T*);   \
  template void strided_copy(Cuda&, int, const Sizes&, const Sizes&, const T*, const Sizes&, T*); \
  MICA_CONVERT(T)
MICA_ELEMENT_TYPE(float)
MICA_ELEMENT_TYPE(double)
MICA_ELEMENT_TYPE(std::int64_t)
MICA_ELEMENT_TYPE(std::int32_t)
MICA_ELEMENT_TYPE(std::uint8_t)

}  // namespace mica::kernels
