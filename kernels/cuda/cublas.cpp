// Which cuBLAS was loaded, whether it fits, and its errors.
#include <mica/kernels/cuda/context.h>
#include <mica/kernels/cuda/cublas.h>

#include <fmt/format.h>

namespace mica::kernels {

#ifndef MICA_CUBLAS

std::string why_no_cublas() { return "this build of Mica has no cuBLAS, because its header was not found when Mica was configured"; }
Cublas* Cuda::cublas() { return nullptr; }

#else

#define MICA_TEXT(x) #x
#define MICA_NUMBER(x) MICA_TEXT(x)

// After the version that the header belongs to come others, only to be able to say which one is there.
const SharedLibrary& cublas_library() {
  static const SharedLibrary library{"libcublasLt.so." MICA_NUMBER(CUBLAS_VER_MAJOR), "libcublasLt.so", "libcublasLt.so.14", "libcublasLt.so.13",
                                     "libcublasLt.so.12", "libcublasLt.so.11"};
  return library;
}

namespace {

std::string reason_against_cublas() {
#ifndef MICA_CUDA_EMULATED
  if (!cublas_library().loaded()) return "cuBLAS was not found: " + cublas_library().reason();
#endif
  int major = 0;
  try {
    check(MICA_CUBLAS_CALL(cublasLtGetProperty)(MAJOR_VERSION, &major), "cublasLtGetProperty");
  } catch (const CudaError& error) {
    return std::string("cuBLAS does not tell its version: ") + error.what();
  }
  if (major == CUBLAS_VER_MAJOR) return {};
  return fmt::format("cuBLAS was found in version {}, but this build of Mica needs version {}", major, CUBLAS_VER_MAJOR);
}

}  // namespace

std::string why_no_cublas() {
  static const std::string reason = reason_against_cublas();
  return reason;
}

Cublas* Cuda::cublas() {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  if (!cublas_ && why_no_cublas().empty()) cublas_ = with_more_memory([] { return std::make_shared<Cublas>(); });
  return cublas_.get();
}

// A failure that has its cause in CUDA would otherwise be blamed on the next launch.
void check(cublasStatus_t status, const char* what, const char* file, int line) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  const cudaError_t cause = check_lost(what, file, line);
  const std::string text = fmt::format("{} failed: {}, {}{} ({}:{})", what, MICA_CUBLAS_CALL(cublasLtGetStatusName)(status),
                              MICA_CUBLAS_CALL(cublasLtGetStatusString)(status),
                              cause == cudaSuccess ? "" : fmt::format("; CUDA says {}, {}", cudaGetErrorName(cause), cudaGetErrorString(cause)), file, line);
  if (status == CUBLAS_STATUS_ALLOC_FAILED || cause == cudaErrorMemoryAllocation) throw OutOfMemory(text + "; use a smaller batch");
  throw CudaError(text);
}

#endif

}  // namespace mica::kernels
