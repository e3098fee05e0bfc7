// Every call of the CUDA runtime goes through check: check(cudaMemsetAsync(…)).
#pragma once

#include <mica/kernels/error.h>

#include <cuda_runtime_api.h>

#include <string>

namespace mica::kernels {

// The error is taken out of cudaGetLastError, where it would be blamed on the next launch.
// (nvcc 12.0 and 12.1 cannot compile std::source_location::current() as a default.)
inline void check(cudaError_t error, const char* what = "a CUDA call", const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  if (error == cudaSuccess) return;
  (void)cudaGetLastError();
  throw CudaError(std::string(what) + " failed: " + cudaGetErrorName(error) + ", " + cudaGetErrorString(error) + " (" + file +
                  ":" + std::to_string(line) + ")");
}

}  // namespace mica::kernels
