#include <mica/kernels/cuda/context.h>

namespace mica::kernels {

Cuda::Cuda(int device, DeviceMemory& memory, const Settings& settings)
    : device_(device), settings_(settings), memory_(memory), range_fault_(memory, 1) {
  check(cudaDeviceGetAttribute(&multiprocessors_, cudaDevAttrMultiProcessorCount, device), "asking for a device's properties");
  clear_range_fault();
}

void Cuda::clear_range_fault() { check(cudaMemsetAsync(range_fault(), 0, sizeof(RangeFault), stream_.get()), "clearing device memory"); }

}  // namespace mica::kernels
