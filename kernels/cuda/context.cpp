#include <mica/kernels/cuda/context.h>

#include <algorithm>
#include <utility>

namespace mica::kernels {

Cuda::Cuda(int device, DeviceMemory& memory, const Settings& settings)
    : device_(device), settings_(settings), memory_(memory), range_fault_(memory, 1) {
  check(cudaDeviceGetAttribute(&multiprocessors_, cudaDevAttrMultiProcessorCount, device), "asking for a device's properties");
  check(cudaDeviceGetAttribute(&capability_, cudaDevAttrComputeCapabilityMajor, device), "asking for a device's properties");
  capability_ = std::min(capability_, kernel_capability());
  clear_range_fault();
}

// By then exit() has ended the statics of these libraries, which were loaded after ours were made, and to destroy a handle may crash.
// Emulated ones have none, and their handles are counted.
void Cuda::leave_libraries() noexcept {
#ifndef MICA_CUDA_EMULATED
  [[maybe_unused]] static const auto* const left = new std::pair(std::move(cublas_), std::move(cudnn_));
#endif
}

void Cuda::clear_range_fault() { check(cudaMemsetAsync(range_fault(), 0, sizeof(RangeFault), stream_.get()), "clearing device memory"); }

}  // namespace mica::kernels
