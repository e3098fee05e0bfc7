// The CUDA runtime: capture and graphs.
#include "runtime.h"

#include <algorithm>

using namespace emulator;

namespace {

template <class T>
cudaError_t destroy_graph(Handles<T>& handles, T* handle) {
  return api([&] {
    T* h = handles.get(handle);
    if (h) h->alive = false, h->nodes = nullptr;
    return h ? cudaSuccess : cudaErrorInvalidValue;
  });
}

}  // namespace

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* m) {
  return api(Call::graph, [&] { return std::swap(*m, runtime().thread_mode), cudaSuccess; });
}
cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  return on(Call::graph, handle, [&](CUstream_st& s) {
    if (&s == runtime().legacy) return cudaErrorStreamCaptureUnsupported;
    if (s.capture) return cudaErrorIllegalState;
    s.capture = std::make_shared<Capture>(Capture{&s, mode == cudaStreamCaptureModeRelaxed});
    return cudaSuccess;
  });
}
cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  return on(Call::graph, handle, [&](CUstream_st& s) {
    *status = !s.capture         ? cudaStreamCaptureStatusNone
              : s.capture->valid ? cudaStreamCaptureStatusActive
                                 : cudaStreamCaptureStatusInvalidated;
    return cudaSuccess;
  });
}
// One that fails because a failure was asked for ends the capture too.
cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  return on(handle, [&](CUstream_st& s) {
    *graph = nullptr;
    const cudaError_t fault = calls(Call::graph).tick();
    if (is_sticky(fault)) runtime().sticky = fault;
    const std::shared_ptr<Capture> c = s.capture;
    if (!c) return cudaErrorIllegalState;
    if (c->origin != &s) return invalidate(*c, cudaErrorStreamCaptureUnmatched, "ending a capture on another stream");
    cudaError_t e = fault ? fault : c->valid ? cudaSuccess : cudaErrorStreamCaptureInvalidated;
    std::vector<bool> joined(c->nodes.size());  // every node must lead to the end of the origin stream
    for (size_t i : s.tail) joined[i] = true;
    for (size_t i = joined.size(); i-- > 0;)
      if (joined[i])
        for (size_t j : c->nodes[i].after) joined[j] = true;
    if (!e && std::count(joined.begin(), joined.end(), false))
      e = invalidate(*c, cudaErrorStreamCaptureUnjoined, "a forked stream never joined");
    c->active = false;
    for (auto& t : runtime().streams.all)
      if (t->capture == c) t->capture = nullptr, t->tail.clear();
    if (!e) *graph = runtime().graphs.make(), (*graph)->nodes = std::make_shared<const std::vector<Node>>(std::move(c->nodes));
    return e;
  });
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  return api(Call::graph, [&] {
    const CUgraph_st* g = runtime().graphs.get(graph);
    if (!exec || !g) return cudaErrorInvalidValue;
    *exec = runtime().executables.make();
    (*exec)->nodes = g->nodes;
    return cudaSuccess;
  });
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t handle, cudaStream_t stream) {
  return api_of_work(Call::graph, [&](cudaError_t fault) {
    return with(stream, [&](CUstream_st& s) {
      const CUgraphExec_st* exec = runtime().executables.get(handle);
      if (!exec) return cudaErrorInvalidValue;
      Work work{"cudaGraphLaunch", [nodes = exec->nodes] { run_graph(*nodes); }};
      work.injected = fault;
      for (const Node& n : *exec->nodes) work.host.insert(work.host.end(), n.work.host.begin(), n.work.host.end());
      return submit(s, std::move(work));
    });
  });
}
cudaError_t cudaGraphDestroy(cudaGraph_t g) { return destroy_graph(runtime().graphs, g); }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t g) { return destroy_graph(runtime().executables, g); }
