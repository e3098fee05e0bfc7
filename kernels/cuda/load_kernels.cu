#include <mica/kernels/cuda/context.h>
#include <mica/kernels/cuda/portable.h>

namespace mica::kernels {
namespace {

[[maybe_unused]] __global__ void probe() {}

}  // namespace

cudaError_t load_kernels() {
#ifdef __CUDACC__
  cudaFuncAttributes attributes;
  const cudaError_t error = cudaFuncGetAttributes(&attributes, probe);
  (void)cudaGetLastError();
  return error;
#else
  return cudaSuccess;
#endif
}

}  // namespace mica::kernels
