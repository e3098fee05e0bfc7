#include <mica/kernels/cuda/check.h>
#include <mica/kernels/cuda/context.h>

#include <atomic>
#include <mutex>
#include <string>

namespace mica::kernels {
namespace {

std::atomic<bool> lost = false;

struct Loss {
  std::mutex mutex;
  std::string cause;  // of the first error; then unchanged
};

Loss& loss() {
  static Loss& one = *new Loss;  // tensors in static storage may outlive every static here
  return one;
}

// The first cause, whichever error is at hand.
std::string keep(const std::string& cause) {
  const std::lock_guard lock(loss().mutex);
  if (loss().cause.empty()) {
    const char* const kernel = Cuda::last_launch();
    loss().cause = cause + "; the last kernel started before was " + (*kernel ? kernel : "none");
  }
  lost = true;
  return loss().cause;
}

[[noreturn]] void throw_lost(const std::string& cause) {
  throw DeviceLost("the CUDA device is lost for this process: " + cause +
                   "; restart the program, under CUDA_LAUNCH_BLOCKING=1 or compute-sanitizer to find the kernel");
}

}  // namespace

bool device_lost() noexcept { return lost.load(std::memory_order_relaxed); }

void require_device() {
  if (device_lost()) throw_lost(keep({}));
}

// The 13 errors of which driver_types.h (CUDA 13.0) says "To continue using CUDA, the process must be terminated and relaunched."
// By number: older headers do not have all of them.
bool loses_device(cudaError_t error) noexcept {
  switch (static_cast<int>(error)) {
    case 226:  // cudaErrorContained
    case 700:  // cudaErrorIllegalAddress
    case 702:  // cudaErrorLaunchTimeout
    case 710:  // cudaErrorAssert
    case 714:  // cudaErrorHardwareStackError
    case 715:  // cudaErrorIllegalInstruction
    case 716:  // cudaErrorMisalignedAddress
    case 717:  // cudaErrorInvalidAddressSpace
    case 718:  // cudaErrorInvalidPc
    case 719:  // cudaErrorLaunchFailure
    case 721:  // cudaErrorTensorMemoryLeak
    case 810:  // cudaErrorMpsClientTerminated
    case 911:  // cudaErrorExternalDevice
      return true;
    default:
      return false;
  }
}

// A library may have a CUDA runtime of its own, whose errors ours hears of when it asks the device for something. The last error is
// taken, or the next launch would be blamed for it.
cudaError_t check_lost(const char* what, const char* file, int line) {
  require_device();
  cudaError_t cause = cudaGetLastError();
  std::size_t left = 0, total = 0;
  if (cause == cudaSuccess) cause = cudaMemGetInfo(&left, &total);
  (void)cudaGetLastError();
  if (loses_device(cause)) fail(cause, what, file, line);
  return cause;
}

void fail(cudaError_t error, const char* what, const char* file, int line) {
  require_device();
  (void)cudaGetLastError();
  const std::string place = std::string(" (") + file + ":" + std::to_string(line) + ")";
  const std::string text = std::string(what) + " failed: " + cudaGetErrorName(error) + ", " + cudaGetErrorString(error) + place;
  if (loses_device(error)) throw_lost(keep(text));
  if (error == cudaErrorMemoryAllocation) throw OutOfMemory(text + "; use a smaller batch");
  throw CudaError(text);
}

}  // namespace mica::kernels
