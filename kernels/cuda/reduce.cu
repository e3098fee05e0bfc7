// Reductions over any dimensions: one block for each result.
#include <mica/kernels/cuda/block_reduce.h>
#include <mica/kernels/cuda/launch.h>
#include <mica/kernels/cuda/strided.h>
#include <mica/kernels/reduce.h>

namespace mica::kernels {
namespace {

template <class T>
__global__ void sum_kernel(unsigned outputs, unsigned length, Strided<1> kept, Strided<1> reduced, double scale, const T* x, T* y) {
  for (unsigned k = blockIdx.x; k < outputs; k += gridDim.x) {
    const T* from = x + kept.places(k).at[0];
    double total = 0;
    for (unsigned i = threadIdx.x; i < length; i += blockDim.x) total += static_cast<double>(from[reduced.places(i).at[0]]);
    total = block_reduce(total, 0.0, Plus{});
    if (threadIdx.x == 0) y[k] = static_cast<T>(scale * total);
  }
}

}  // namespace

template <class T>
void sum(Cuda& cuda, const Region& kept, const Region& reduced, double scale, const T* x, T* y) {
  const Walk<1> outputs(kept.rank, kept.sizes, {kept.strides}), inputs(reduced.rank, reduced.sizes, {reduced.strides});
  const i64 count = items(outputs), length = items(inputs);
  if (count == 0) return;
  const dim3 grid(static_cast<unsigned>(std::min<i64>(count, 65535)));
  launch(cuda, "sum", sum_kernel<T>, {grid, dim3(threads_per_block)}, static_cast<unsigned>(count), static_cast<unsigned>(length),
         Strided<1>(outputs), Strided<1>(inputs), scale, x, y);
}

#define MICA_FLOATING(T) template void sum(Cuda&, const Region&, const Region&, double, const T*, T*);
MICA_FLOATING(float)
MICA_FLOATING(double)

}  // namespace mica::kernels
