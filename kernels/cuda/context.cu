#include <mica/kernels/cuda/context.h>
#include <mica/kernels/cuda/portable.h>

namespace mica::kernels {
namespace {

[[maybe_unused]] __global__ void probe() {}

}  // namespace

Cuda::Cuda(int device, DeviceMemory& memory) : device_(device), memory_(memory), range_fault_(memory, 1) {
  check(cudaDeviceGetAttribute(&multiprocessors_, cudaDevAttrMultiProcessorCount, device), "asking for a device's properties");
  clear_range_fault();
}

void Cuda::clear_range_fault() { check(cudaMemsetAsync(range_fault(), 0, sizeof(RangeFault), stream_.get()), "clearing device memory"); }

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
