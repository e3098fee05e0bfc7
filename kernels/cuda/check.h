// Every call of the CUDA runtime goes through check: check(cudaMemsetAsync(…)).
// After some errors a process can use CUDA no more. The first of them is kept: from then on everything here throws it as
// DeviceLost, without a call of CUDA, because handles (handles.h) and memory (core/cuda/allocator.h) ask require_device first.
#pragma once

#include <mica/kernels/error.h>

#include <cuda_runtime_api.h>

namespace mica::kernels {

bool device_lost() noexcept;
void require_device();  // throws DeviceLost, with the first cause, where the device is lost

// Does CUDA say of this error that the process must be terminated and relaunched?
bool loses_device(cudaError_t error) noexcept;

// Throws what the error means: OutOfMemory, DeviceLost or CudaError. It is taken out of cudaGetLastError, where it would be blamed
// on the next launch.
[[noreturn]] void fail(cudaError_t error, const char* what, const char* file, int line);

// (nvcc 12.0 and 12.1 cannot compile std::source_location::current() as a default.)
inline void check(cudaError_t error, const char* what = "a CUDA call", const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  if (error != cudaSuccess) fail(error, what, file, line);
}

// When a library's call failed: what CUDA says of it, or cudaSuccess where it knows nothing. Throws DeviceLost where the device is lost.
cudaError_t check_lost(const char* what, const char* file, int line);

}  // namespace mica::kernels
