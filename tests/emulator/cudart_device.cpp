// The CUDA runtime: devices and errors. The headers declare every function extern "C", so these definitions are too.
#include "report.h"
#include "runtime.h"
#include "shared_memory.h"

#include <cstring>

using namespace emulator;

// ---- devices ----

cudaError_t cudaGetDeviceCount(int* count) {
  return api([&] { return *count = 1, cudaSuccess; });
}
cudaError_t cudaGetDevice(int* device) {
  return api([&] { return *device = 0, cudaSuccess; });
}
cudaError_t cudaSetDevice(int device) {
  return api([&] { return device == 0 ? cudaSuccess : cudaErrorInvalidDevice; });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return api([&] {
    if (!properties || device != 0) return cudaErrorInvalidDevice;
    *properties = {};
    std::strcpy(properties->name, "emulated");
    properties->major = 9, properties->multiProcessorCount = 4, properties->warpSize = 32, properties->maxThreadsPerBlock = 1024;
    properties->totalGlobalMem = runtime().options.device_bytes, properties->sharedMemPerBlock = std::size_t{48} << 10;
    properties->l2CacheSize = 64 << 10;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  cudaDeviceProp properties;
  if (const cudaError_t error = cudaGetDeviceProperties(&properties, device)) return error;
  return api([&] {
    switch (attribute) {
      case cudaDevAttrMultiProcessorCount:
        return *value = properties.multiProcessorCount, cudaSuccess;
      case cudaDevAttrComputeCapabilityMajor:
        return *value = properties.major, cudaSuccess;
      case cudaDevAttrComputeCapabilityMinor:
        return *value = properties.minor, cudaSuccess;
      case cudaDevAttrMaxThreadsPerBlock:
        return *value = properties.maxThreadsPerBlock, cudaSuccess;
      case cudaDevAttrWarpSize:
        return *value = properties.warpSize, cudaSuccess;
      case cudaDevAttrMaxSharedMemoryPerBlock:
        return *value = static_cast<int>(properties.sharedMemPerBlock), cudaSuccess;
      case cudaDevAttrL2CacheSize:
        return *value = properties.l2CacheSize, cudaSuccess;
      case cudaDevAttrClockRate:
        return *value = 1'000'000, cudaSuccess;  // kHz
      default:
        report("device attribute %d is not emulated", static_cast<int>(attribute));
        return cudaErrorInvalidValue;
    }
  });
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  return api([&] {
    if (!kernel || attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 || static_cast<std::size_t>(value) > SharedMemory::limit_on_request) {
      report("cudaFuncSetAttribute: attribute %d of %d is not emulated, or more than %zu bytes", static_cast<int>(attribute), value, SharedMemory::limit_on_request);
      return cudaErrorInvalidValue;
    }
    runtime().dynamic_limits[kernel] = static_cast<std::size_t>(value);
    return cudaSuccess;
  });
}

cudaError_t cudaDriverGetVersion(int* version) {
  return api([&] { return *version = CUDART_VERSION, cudaSuccess; });
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  return api([&] { return *version = CUDART_VERSION, cudaSuccess; });
}

cudaError_t cudaDeviceSynchronize() {
  return api(Call::wait, [] {
    if (const cudaError_t error = refuse_in_capture("cudaDeviceSynchronize")) return error;
    const Running batch(nullptr);
    auto& streams = runtime().streams.all;
    for (std::size_t i = streams.size(); i-- > 0;) complete(streams[i]->end());  // latest stream first
    return runtime().sticky;
  });
}

// ---- errors ----

cudaError_t cudaPeekAtLastError() {
  const std::lock_guard lock(runtime().mutex);
  ++runtime().all_calls;
  return runtime().last;  // of calls of this runtime: a broken context shows when it is next asked for something
}
cudaError_t cudaGetLastError() {
  const std::lock_guard lock(runtime().mutex);
  const cudaError_t error = cudaPeekAtLastError();
  runtime().last = cudaSuccess;
  return error;
}
const char* cudaGetErrorString(cudaError_t error) { return cudaGetErrorName(error); }
const char* cudaGetErrorName(cudaError_t error) {
#define NAME(code) \
  case code:       \
    return #code;
  switch (error) {
    NAME(cudaSuccess)
    NAME(cudaErrorInvalidValue)
    NAME(cudaErrorMemoryAllocation)
    NAME(cudaErrorInvalidConfiguration)
    NAME(cudaErrorInvalidDevice)
    NAME(cudaErrorInvalidResourceHandle)
    NAME(cudaErrorIllegalState)
    NAME(cudaErrorNotReady)
    NAME(cudaErrorIllegalAddress)
    NAME(cudaErrorLaunchOutOfResources)
    NAME(cudaErrorAssert)
    NAME(cudaErrorLaunchFailure)
    NAME(cudaErrorLaunchTimeout)
    NAME(cudaErrorHardwareStackError)
    NAME(cudaErrorIllegalInstruction)
    NAME(cudaErrorMisalignedAddress)
    NAME(cudaErrorInvalidAddressSpace)
    NAME(cudaErrorInvalidPc)
    NAME(cudaErrorMpsClientTerminated)
    NAME(cudaErrorExternalDevice)
    NAME(cudaErrorUnknown)
    NAME(cudaErrorNoDevice)
    NAME(cudaErrorInsufficientDriver)
    NAME(cudaErrorStreamCaptureUnsupported)
    NAME(cudaErrorStreamCaptureInvalidated)
    NAME(cudaErrorStreamCaptureMerge)
    NAME(cudaErrorStreamCaptureUnmatched)
    NAME(cudaErrorStreamCaptureUnjoined)
    NAME(cudaErrorStreamCaptureIsolation)
    NAME(cudaErrorStreamCaptureImplicit)
    NAME(cudaErrorCapturedEvent)
    default:
      break;
  }
  // These are not in every header.
  return static_cast<int>(error) == 226 ? "cudaErrorContained" : static_cast<int>(error) == 721 ? "cudaErrorTensorMemoryLeak" : "unrecognized error code";
#undef NAME
}
