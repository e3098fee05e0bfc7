// The second pass of a sum that many blocks share. Each block leaves its part in a row of scratch memory; here the rows are
// added in order, in f64, so that the result depends on the partition alone, which depends on sizes alone.
#pragma once

#include <mica/kernels/cuda/launch.h>

namespace mica::kernels {

// partial: rows×n. What a column adds up to goes to y[0 … y_size), and from there on to tail. bias, unless null, is added
// with a period of bias_size.
template <class T>
struct PartialSums {
  const T* partial;
  unsigned rows, n;
  T* y;
  unsigned y_size;
  T* tail;
  const T* bias = nullptr;
  unsigned bias_size = 1;
};

inline constexpr int partial_columns = 32, partial_threads = 8;  // a block adds 32 columns, 8 threads each

template <class T>
__global__ void __launch_bounds__(partial_columns * partial_threads) partial_sums_kernel(PartialSums<T> s) {
  MICA_SHARED(double, of_thread, [partial_threads][partial_columns]);
  const unsigned column = blockIdx.x * partial_columns + threadIdx.x;
  double total = 0;
  if (column < s.n) {
#pragma unroll 8
    for (unsigned row = threadIdx.y; row < s.rows; row += partial_threads) total += s.partial[static_cast<std::size_t>(row) * s.n + column];
  }
  of_thread[threadIdx.y][threadIdx.x] = total;
  __syncthreads();
  if (threadIdx.y > 0 || column >= s.n) return;
  for (int k = 1; k < partial_threads; ++k) total += of_thread[k][threadIdx.x];
  if (s.bias) total += s.bias[column % s.bias_size];
  (column < s.y_size ? s.y[column] : s.tail[column - s.y_size]) = static_cast<T>(total);
}

template <class T>
void add_partial_sums(Cuda& cuda, const char* name, const PartialSums<T>& sums) {
  const dim3 grid(static_cast<unsigned>(ceil_div(sums.n, partial_columns)));
  launch(cuda, name, partial_sums_kernel<T>, {grid, dim3(partial_columns, partial_threads)}, sums);
}

}  // namespace mica::kernels
