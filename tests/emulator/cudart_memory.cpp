// The CUDA runtime: allocations and copies.
#include "report.h"
#include "runtime.h"

#include <cstring>

using namespace emulator;

namespace {

cudaError_t copy(CUstream_st& s, const char* name, void* dst, const void* src, size_t n, cudaMemcpyKind kind, cudaError_t fault) {
  if (n == 0) return cudaSuccess;
  const Block *d = find(dst, n), *f = find(src, n);
  const bool to_device = d && d->device, from_device = f && f->device;
  const bool fits = (d ? d->live : dst && !find(dst)) && (f ? f->live : src && !find(src));
  const cudaMemcpyKind actual = from_device ? (to_device ? cudaMemcpyDeviceToDevice : cudaMemcpyDeviceToHost)
                                            : (to_device ? cudaMemcpyHostToDevice : cudaMemcpyHostToHost);
  if (!fits || (kind != cudaMemcpyDefault && kind != actual)) {
    report("%s: the pointers do not fit the direction or the size, %zu bytes", name, n);
    return cudaErrorInvalidValue;
  }
  // Real hardware records the pageable pointer and silently reads whatever lies there at replay. Here it is an error.
  if (s.capture && (!d || !f)) return invalidate(*s.capture, cudaErrorStreamCaptureUnsupported, "a copy with pageable host memory");
  Work work{name, [=] { memcpy(dst, src, n); }};
  work.injected = fault;
  if (to_device) work.device.push_back({dst, n, true});
  if (from_device) work.device.push_back({src, n});
  if (d && !to_device) work.host.push_back({dst, n, true});
  if (f && !from_device) work.host.push_back({src, n, false});
  if (actual == cudaMemcpyDeviceToHost) ++runtime().submitted[reading];
  return submit(s, std::move(work));
}

cudaError_t allocate(void** p, size_t size, bool device) {
  return api(Call::allocation, [&] {
    if (!p) return cudaErrorInvalidValue;
    if (const cudaError_t e = refuse_in_capture("allocating memory")) return e;
    const bool full = device && size > runtime().options.device_bytes - device_bytes_in_use();
    const Block* b = size && !full ? emulator::allocate(size, device) : nullptr;
    if (size && !b) return cudaErrorMemoryAllocation;
    *p = b ? b->begin : nullptr;
    return cudaSuccess;
  });
}
// Does not wait for queued work: the documentation says that cudaFree "may" synchronise, so nobody should rely on it.
cudaError_t release(void* p, bool device) {
  return api([&] {
    if (!p) return cudaSuccess;
    if (const cudaError_t e = refuse_in_capture("freeing memory")) return e;
    Block* b = find(p);
    if (!b || !b->live || b->device != device || b->begin != p) {
      report("%s(%p): %s", device ? "cudaFree" : "cudaFreeHost", p, b && !b->live ? "freed before" : "not the start of such an allocation");
      return cudaErrorInvalidValue;
    }
    emulator::release(*b);
    return cudaSuccess;
  });
}

}  // namespace

cudaError_t cudaMalloc(void** p, size_t n) { return allocate(p, n, true); }
cudaError_t cudaMallocHost(void** p, size_t n) { return allocate(p, n, false); }
cudaError_t cudaFree(void* p) { return release(p, true); }
cudaError_t cudaFreeHost(void* p) { return release(p, false); }
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  return api([&] {
    *total = runtime().options.device_bytes, *free = *total - device_bytes_in_use();
    return cudaSuccess;
  });
}
cudaError_t cudaMemcpyAsync(void* d, const void* s, size_t n, cudaMemcpyKind k, cudaStream_t handle) {
  return api_of_work(Call::copy, [&](cudaError_t fault) {
    return with(handle, [&](CUstream_st& stream) { return copy(stream, "cudaMemcpyAsync", d, s, n, k, fault); });
  });
}
cudaError_t cudaMemcpy(void* d, const void* s, size_t n, cudaMemcpyKind k) {  // on the legacy stream, and waits for it
  return api_of_work(Call::copy, [&](cudaError_t fault) {
    CUstream_st& legacy = *runtime().legacy;
    if (const cudaError_t e = refuse_legacy_in_capture("cudaMemcpy")) return e;
    if (const cudaError_t e = refuse_in_capture("cudaMemcpy")) return e;
    if (const cudaError_t e = copy(legacy, "cudaMemcpy", d, s, n, k, fault)) return e;
    complete(legacy.end());
    return runtime().sticky;
  });
}
cudaError_t cudaMemsetAsync(void* p, int value, size_t n, cudaStream_t handle) {
  return api_of_work(Call::copy, [&](cudaError_t fault) {
    return with(handle, [&](CUstream_st& s) {
      const Block* b = find(p, n);
      if (n && (!b || !b->live || !b->device)) return cudaErrorInvalidValue;
      return n ? submit(s, {"cudaMemsetAsync", [=] { memset(p, value, n); }, {{p, n, true}}, {}, {}, fault}) : cudaSuccess;
    });
  });
}
