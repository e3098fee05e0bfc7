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

int kernel_capability() {
#ifdef __CUDACC__
  cudaFuncAttributes attributes{};
  check(cudaFuncGetAttributes(&attributes, probe), "asking for a kernel's properties");
  return attributes.ptxVersion / 10;
#else
  return 9;
#endif
}

}  // namespace mica::kernels
