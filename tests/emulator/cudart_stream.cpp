// The CUDA runtime: streams and events.
#include "runtime.h"

using namespace emulator;

// ---- streams ----

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* s, unsigned flags) {
  return api(Call::wait, [&] {
    if (!s || flags > cudaStreamNonBlocking) return cudaErrorInvalidValue;
    *s = runtime().streams.make();
    (*s)->blocking = flags != cudaStreamNonBlocking;
    return cudaSuccess;
  });
}
cudaError_t cudaStreamDestroy(cudaStream_t handle) {  // returns at once; queued work may still run
  return on(handle, [](CUstream_st& s) {
    if (&s == runtime().legacy) return cudaErrorInvalidResourceHandle;
    s.alive = false;
    return cudaSuccess;
  });
}
cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return on(Call::wait, handle, [](CUstream_st& s) {
    if (s.capture) return invalidate(*s.capture, cudaErrorStreamCaptureUnsupported, "cudaStreamSynchronize");
    const cudaError_t e = &s == runtime().legacy ? refuse_legacy_in_capture("cudaStreamSynchronize") : cudaSuccess;
    if (!e) complete(s.end());
    return e ? e : runtime().sticky;
  });
}
cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return on(Call::wait, handle, [](CUstream_st& s) {
    if (s.capture) return invalidate(*s.capture, cudaErrorStreamCaptureUnsupported, "cudaStreamQuery");
    if (!pending(s.end())) return cudaSuccess;
    advance(s.end());  // after the answer is known, so that polling ends
    return cudaErrorNotReady;
  });
}
cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  return on(Call::wait, handle, [&](CUstream_st& s) {
    CUevent_st* e = runtime().events.get(event);
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
  return api(Call::wait, [&] {
    if (!e) return cudaErrorInvalidValue;
    *e = runtime().events.make();
    (*e)->timing = !(flags & cudaEventDisableTiming);
    return cudaSuccess;
  });
}
cudaError_t cudaEventDestroy(cudaEvent_t handle) {
  return on(handle, [](CUevent_st& e) {
    e.alive = false;
    return cudaSuccess;
  });
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  return on(Call::wait, handle, [&](CUstream_st& s) {
    CUevent_st* e = runtime().events.get(event);
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
  return on(Call::wait, handle, [](CUevent_st& e) {
    if (const cudaError_t error = refuse_event(e, "cudaEventSynchronize")) return error;
    complete(e.mark);
    return runtime().sticky;
  });
}
cudaError_t cudaEventQuery(cudaEvent_t handle) {
  return on(Call::wait, handle, [](CUevent_st& e) {
    if (const cudaError_t error = refuse_event(e, "cudaEventQuery")) return error;
    if (!pending(e.mark)) return cudaSuccess;
    advance(e.mark);
    return cudaErrorNotReady;
  });
}
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t start, cudaEvent_t end) {
  return on(start, [&](CUevent_st& a) {
    const CUevent_st* b = runtime().events.get(end);
    if (!b || !a.timing || !b->timing || !a.recorded || !b->recorded) return cudaErrorInvalidResourceHandle;
    if (pending(a.mark) || pending(b->mark)) return cudaErrorNotReady;
    *ms = std::chrono::duration<float, std::milli>(b->time - a.time).count();
    return cudaSuccess;
  });
}
