// Every call of the CUDA runtime goes through check: check(cudaMemsetAsync(…)).
#pragma once

#include <mica/kernels/error.h>

#include <cuda_runtime_api.h>

#include <source_location>
#include <string>

namespace mica::kernels {

// The error is taken out of cudaGetLastError, where it would be blamed on the next launch.
inline void check(cudaError_t error, const char* what = "a CUDA call", const std::source_location& at = std::source_location::current()) {
  if (error == cudaSuccess) return;
  (void)cudaGetLastError();
  throw CudaError(std::string(what) + " failed: " + cudaGetErrorName(error) + ", " + cudaGetErrorString(error) + " (" + at.file_name() +
                  ":" + std::to_string(at.line()) + ")");
}

}  // namespace mica::kernels
