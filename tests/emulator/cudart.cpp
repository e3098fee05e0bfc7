// The CUDA runtime calls a framework needs, with the error codes of the real library. Queued work runs inside whichever call
// waits for it. The header declares everything extern "C", so these definitions are too.
#include "runtime.h"
#include <cstring>

using namespace emulator;

namespace {

cudaError_t copy(CUstream_st& s, const char* name, void* dst, const void* src, size_t n, cudaMemcpyKind kind) {
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
  if (to_device) work.device.push_back({dst, n});
  if (from_device) work.device.push_back({src, n});
  if (d && !to_device) work.host.push_back({dst, n, true});
  if (f && !from_device) work.host.push_back({src, n, false});
  return submit(s, std::move(work));
}

cudaError_t allocate(void** p, size_t size, bool device) {
  return api([&] {
    if (!p) return cudaErrorInvalidValue;
    if (const cudaError_t e = refuse_in_capture("allocating memory")) return e;
    if (const cudaError_t e = device ? rt().malloc_fault.tick() : cudaSuccess) return e;
    const bool full = device && size > rt().options.device_bytes - device_bytes_in_use();
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

template <class T> cudaError_t destroy_graph(Handles<T>& handles, T* handle) {
  return api([&] {
    T* h = handles.get(handle);
    if (h) h->alive = false, h->nodes = nullptr;
    return h ? cudaSuccess : cudaErrorInvalidValue;
  });
}

}  // namespace

// ---- device ----

cudaError_t cudaGetDeviceCount(int* n) { return api([&] { *n = 1; return cudaSuccess; }); }
cudaError_t cudaGetDevice(int* d) { return api([&] { *d = 0; return cudaSuccess; }); }
cudaError_t cudaSetDevice(int d) { return api([&] { return d == 0 ? cudaSuccess : cudaErrorInvalidDevice; }); }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int d) {
  return api([&] {
    if (!p || d != 0) return cudaErrorInvalidDevice;
    *p = {};
    strcpy(p->name, "emulated");
    p->major = 9, p->multiProcessorCount = 4, p->warpSize = 32, p->maxThreadsPerBlock = 1024;
    p->totalGlobalMem = rt().options.device_bytes, p->sharedMemPerBlock = 48 << 10;
    return cudaSuccess;
  });
}
cudaError_t cudaDeviceGetAttribute(int* v, cudaDeviceAttr a, int d) {
  cudaDeviceProp p;
  if (const cudaError_t e = cudaGetDeviceProperties(&p, d)) return e;
  return api([&] {
    switch (a) {
      case cudaDevAttrMultiProcessorCount: *v = p.multiProcessorCount; return cudaSuccess;
      case cudaDevAttrComputeCapabilityMajor: *v = p.major; return cudaSuccess;
      case cudaDevAttrComputeCapabilityMinor: *v = p.minor; return cudaSuccess;
      case cudaDevAttrMaxSharedMemoryPerBlock: *v = int(p.sharedMemPerBlock); return cudaSuccess;
      default: report("device attribute %d is not emulated", int(a)); return cudaErrorInvalidValue;
    }
  });
}
cudaError_t cudaDeviceSynchronize() {
  return api([] {
    if (const cudaError_t e = refuse_in_capture("cudaDeviceSynchronize")) return e;
    Access once;
    for (size_t i = rt().streams.all.size(); i-- > 0;) complete(rt().streams.all[i]->end());  // latest stream first
    return rt().sticky;
  });
}

// ---- errors ----

cudaError_t cudaPeekAtLastError() { return rt().sticky ? rt().sticky : rt().last; }
cudaError_t cudaGetLastError() { const cudaError_t e = cudaPeekAtLastError(); rt().last = cudaSuccess; return e; }
const char* cudaGetErrorString(cudaError_t e) { return cudaGetErrorName(e); }
const char* cudaGetErrorName(cudaError_t e) {
#define NAME(code) case code: return #code;
  switch (e) {
    NAME(cudaSuccess) NAME(cudaErrorInvalidValue) NAME(cudaErrorMemoryAllocation) NAME(cudaErrorInvalidConfiguration)
    NAME(cudaErrorInvalidDevice) NAME(cudaErrorInvalidResourceHandle) NAME(cudaErrorIllegalState) NAME(cudaErrorNotReady)
    NAME(cudaErrorIllegalAddress) NAME(cudaErrorLaunchOutOfResources) NAME(cudaErrorAssert) NAME(cudaErrorLaunchFailure)
    NAME(cudaErrorStreamCaptureUnsupported) NAME(cudaErrorStreamCaptureInvalidated) NAME(cudaErrorStreamCaptureMerge)
    NAME(cudaErrorStreamCaptureUnmatched) NAME(cudaErrorStreamCaptureUnjoined) NAME(cudaErrorStreamCaptureIsolation)
    NAME(cudaErrorStreamCaptureImplicit) NAME(cudaErrorCapturedEvent)
    default: return "unrecognized error code";
  }
#undef NAME
}

// ---- memory ----

cudaError_t cudaMalloc(void** p, size_t n) { return allocate(p, n, true); }
cudaError_t cudaMallocHost(void** p, size_t n) { return allocate(p, n, false); }
cudaError_t cudaFree(void* p) { return release(p, true); }
cudaError_t cudaFreeHost(void* p) { return release(p, false); }
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  return api([&] { *total = rt().options.device_bytes, *free = *total - device_bytes_in_use(); return cudaSuccess; });
}
cudaError_t cudaMemcpyAsync(void* d, const void* s, size_t n, cudaMemcpyKind k, cudaStream_t handle) {
  return on_stream(handle, [&](CUstream_st& stream) { return copy(stream, "cudaMemcpyAsync", d, s, n, k); });
}
cudaError_t cudaMemcpy(void* d, const void* s, size_t n, cudaMemcpyKind k) {  // on the legacy stream, and waits for it
  return on_stream(nullptr, [&](CUstream_st& legacy) {
    if (const cudaError_t e = refuse_legacy_in_capture("cudaMemcpy")) return e;
    if (const cudaError_t e = refuse_in_capture("cudaMemcpy")) return e;
    if (const cudaError_t e = copy(legacy, "cudaMemcpy", d, s, n, k)) return e;
    complete(legacy.end());
    return rt().sticky;
  });
}
cudaError_t cudaMemsetAsync(void* p, int value, size_t n, cudaStream_t handle) {
  return on_stream(handle, [&](CUstream_st& s) {
    const Block* b = find(p, n);
    if (n && (!b || !b->live || !b->device)) return cudaErrorInvalidValue;
    return n ? submit(s, {"cudaMemsetAsync", [=] { memset(p, value, n); }, {{p, n}}}) : cudaSuccess;
  });
}

// ---- streams ----

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* s, unsigned flags) {
  return api([&] {
    if (!s || flags > cudaStreamNonBlocking) return cudaErrorInvalidValue;
    *s = rt().streams.make();
    (*s)->blocking = flags != cudaStreamNonBlocking;
    return cudaSuccess;
  });
}
cudaError_t cudaStreamDestroy(cudaStream_t handle) {  // returns at once; queued work may still run
  return on_stream(handle, [](CUstream_st& s) {
    if (&s == rt().legacy) return cudaErrorInvalidResourceHandle;
    s.alive = false;
    return cudaSuccess;
  });
}
cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return on_stream(handle, [](CUstream_st& s) {
    if (s.capture) return invalidate(*s.capture, cudaErrorStreamCaptureUnsupported, "cudaStreamSynchronize");
    const cudaError_t e = &s == rt().legacy ? refuse_legacy_in_capture("cudaStreamSynchronize") : cudaSuccess;
    if (!e) complete(s.end());
    return e ? e : rt().sticky;
  });
}
cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return on_stream(handle, [](CUstream_st& s) {
    if (s.capture) return invalidate(*s.capture, cudaErrorStreamCaptureUnsupported, "cudaStreamQuery");
    if (!pending(s.end())) return cudaSuccess;
    advance(s.end());  // after the answer is known, so that polling ends
    return cudaErrorNotReady;
  });
}
cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  return on_stream(handle, [&](CUstream_st& s) {
    CUevent_st* e = rt().events.get(event);
    if (!e) return cudaErrorInvalidResourceHandle;
    if (!e->recorded) return cudaSuccess;
    if (e->capture) {  // the stream joins, or already belongs to, the capture that the event was recorded in
      if (!e->capture->active) return cudaErrorCapturedEvent;
      if (s.capture && s.capture != e->capture) return invalidate(*s.capture, cudaErrorStreamCaptureMerge, "waiting for another capture");
      s.capture = e->capture;
      s.tail.insert(s.tail.end(), e->nodes.begin(), e->nodes.end());
      return s.capture->valid ? cudaSuccess : cudaErrorStreamCaptureInvalidated;
    }
    if (s.capture) return invalidate(*s.capture, cudaErrorStreamCaptureIsolation, "waiting for an event from outside the capture");
    return submit(s, {"cudaStreamWaitEvent", [] {}, {}, {}, {e->mark}});
  });
}

// ---- events ----

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* e, unsigned flags) {
  return api([&] {
    if (!e) return cudaErrorInvalidValue;
    *e = rt().events.make();
    (*e)->timing = !(flags & cudaEventDisableTiming);
    return cudaSuccess;
  });
}
cudaError_t cudaEventDestroy(cudaEvent_t handle) { return on_event(handle, [](CUevent_st& e) { e.alive = false; return cudaSuccess; }); }
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  return on_stream(handle, [&](CUstream_st& s) {
    CUevent_st* e = rt().events.get(event);
    if (!e) return cudaErrorInvalidResourceHandle;
    e->recorded = true, e->capture = s.capture, e->nodes = s.tail;
    if (s.capture) return s.capture->valid ? cudaSuccess : cudaErrorStreamCaptureInvalidated;
    const cudaError_t error = submit(s, {"cudaEventRecord", [e] { e->time = std::chrono::steady_clock::now(); }});
    e->mark = s.end();
    return error;
  });
}
static cudaError_t refuse_event(CUevent_st& e, const char* what) {
  if (e.capture) return e.capture->active ? invalidate(*e.capture, cudaErrorCapturedEvent, what) : cudaErrorCapturedEvent;
  return refuse_in_capture(what);
}
cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  return on_event(handle, [](CUevent_st& e) {
    if (const cudaError_t error = refuse_event(e, "cudaEventSynchronize")) return error;
    complete(e.mark);
    return rt().sticky;
  });
}
cudaError_t cudaEventQuery(cudaEvent_t handle) {
  return on_event(handle, [](CUevent_st& e) {
    if (const cudaError_t error = refuse_event(e, "cudaEventQuery")) return error;
    if (!pending(e.mark)) return cudaSuccess;
    advance(e.mark);
    return cudaErrorNotReady;
  });
}
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t start, cudaEvent_t end) {
  return on_event(start, [&](CUevent_st& a) {
    const CUevent_st* b = rt().events.get(end);
    if (!b || !a.timing || !b->timing || !a.recorded || !b->recorded) return cudaErrorInvalidResourceHandle;
    if (pending(a.mark) || pending(b->mark)) return cudaErrorNotReady;
    *ms = std::chrono::duration<float, std::milli>(b->time - a.time).count();
    return cudaSuccess;
  });
}

// ---- capture and graphs ----

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* m) { std::swap(*m, rt().thread_mode); return cudaSuccess; }
cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  return on_stream(handle, [&](CUstream_st& s) {
    if (&s == rt().legacy) return cudaErrorStreamCaptureUnsupported;
    if (s.capture) return cudaErrorIllegalState;
    s.capture = std::make_shared<Capture>(Capture{&s, mode == cudaStreamCaptureModeRelaxed});
    return cudaSuccess;
  });
}
cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  return on_stream(handle, [&](CUstream_st& s) {
    *status = !s.capture ? cudaStreamCaptureStatusNone : s.capture->valid ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusInvalidated;
    return cudaSuccess;
  });
}
cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  return on_stream(handle, [&](CUstream_st& s) {
    *graph = nullptr;
    const std::shared_ptr<Capture> c = s.capture;
    if (!c) return cudaErrorIllegalState;
    if (c->origin != &s) return invalidate(*c, cudaErrorStreamCaptureUnmatched, "ending a capture on another stream");
    cudaError_t e = c->valid ? cudaSuccess : cudaErrorStreamCaptureInvalidated;
    std::vector<bool> joined(c->nodes.size());  // every node must lead to the end of the origin stream
    for (size_t i : s.tail) joined[i] = true;
    for (size_t i = joined.size(); i-- > 0;) if (joined[i]) for (size_t j : c->nodes[i].after) joined[j] = true;
    if (!e && std::count(joined.begin(), joined.end(), false)) e = invalidate(*c, cudaErrorStreamCaptureUnjoined, "a forked stream never joined");
    c->active = false;
    for (auto& t : rt().streams.all) if (t->capture == c) t->capture = nullptr, t->tail.clear();
    if (!e) *graph = rt().graphs.make(), (*graph)->nodes = std::make_shared<const std::vector<Node>>(std::move(c->nodes));
    return e;
  });
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  return api([&] {
    const CUgraph_st* g = rt().graphs.get(graph);
    if (!exec || !g) return cudaErrorInvalidValue;
    *exec = rt().execs.make();
    (*exec)->nodes = g->nodes;
    return cudaSuccess;
  });
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t handle, cudaStream_t stream) {
  return on_stream(stream, [&](CUstream_st& s) {
    const CUgraphExec_st* exec = rt().execs.get(handle);
    if (!exec) return cudaErrorInvalidValue;
    Work work{"cudaGraphLaunch", [nodes = exec->nodes] { run_graph(*nodes); }};
    for (const Node& n : *exec->nodes) work.host.insert(work.host.end(), n.work.host.begin(), n.work.host.end());
    return submit(s, std::move(work));
  });
}
cudaError_t cudaGraphDestroy(cudaGraph_t g) { return destroy_graph(rt().graphs, g); }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t g) { return destroy_graph(rt().execs, g); }
