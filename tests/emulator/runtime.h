// The state behind the CUDA runtime's functions (cudart_*.cpp), and how queued work is ordered and run. Work runs inside
// whichever call waits for it, on the calling thread; calls from several threads come one after another.
#pragma once

#include "options.h"
#include "work.h"

#include <algorithm>
#include <array>
#include <map>
#include <mutex>

namespace emulator {

template <class T>
struct Handles {
  std::vector<std::unique_ptr<T>> all;

  T* make() { return all.emplace_back(std::make_unique<T>()).get(); }
  T* get(T* handle) const {  // null unless it is a live handle
    for (const auto& p : all)
      if (p.get() == handle) return handle->alive ? handle : nullptr;
    return nullptr;
  }
  long alive() const {
    return std::ranges::count_if(all, [](const auto& handle) { return handle->alive; });
  }
};

// One kind of calls: how many there were, and which of them fails.
struct Calls {
  int seen = 0;
  int left = 0;  // until one fails; 0: none does
  cudaError_t error = cudaSuccess;
  bool ever_after = false;
  cudaError_t tick() {
    ++seen;
    if (left == 0 || --left > 0) return cudaSuccess;
    if (ever_after) left = 1;
    return error;
  }
};

struct Runtime {
  Options options = options_from_environment();
  Random random{options.schedule_seed};
  std::recursive_mutex mutex;
  std::map<const void*, std::size_t> dynamic_limits;  // of kernels that were allowed another
  Handles<CUstream_st> streams;
  Handles<CUevent_st> events;
  Handles<CUgraph_st> graphs;
  Handles<CUgraphExec_st> executables;
  CUstream_st* legacy = streams.make();
  cudaError_t last = cudaSuccess, sticky = cudaSuccess;
  cudaStreamCaptureMode thread_mode = cudaStreamCaptureModeGlobal;
  std::array<Calls, call_kinds> calls;  // by Call
  int all_calls = 0;
  std::size_t refused_ranks = 0;  // of libraries' proposals, the first ones
  int refused = 0;                // of those, so far
  std::map<std::string, int> tracked;
  std::map<std::string, int> submitted;  // by enqueue

  Runtime();
};
Runtime& runtime();

void report_leaks();  // when the program ends

cudaError_t submit(CUstream_st& stream, Work work);  // queues, or records into the stream's capture
bool pending(const Mark& mark);
void advance(const Mark& mark);   // runs one operation that the mark needs
void complete(const Mark& mark);  // runs all of them, and in a random schedule perhaps others
void run_graph(const std::vector<Node>& nodes);

// ---- captures ----

cudaError_t invalidate(Capture& capture, cudaError_t error, const char* what);
// What the documentation calls potentially unsafe: refused while any capture is active, unless it or the thread is relaxed.
cudaError_t refuse_in_capture(const char* what);
// The legacy default stream waits for every blocking stream, which it may not while one of them is being captured.
cudaError_t refuse_legacy_in_capture(const char* what);

// ---- every function of the API ----

inline Calls& calls(Call kind) { return runtime().calls[static_cast<std::size_t>(kind)]; }
bool is_sticky(cudaError_t error);  // after such an error every later call fails

// A broken context answers with its error, and failures are remembered for cudaGetLastError().
template <class F>
cudaError_t api(const F& body) {
  const std::lock_guard lock(runtime().mutex);
  ++runtime().all_calls;
  const cudaError_t error = runtime().sticky ? runtime().sticky : body();
  if (error) runtime().last = error;
  return error;
}

// One whose nth call may be made to fail: at once, or when the work runs that it submits.
template <class F>
cudaError_t api(Call kind, const F& body) {
  return api([&] {
    const cudaError_t fault = calls(kind).tick();
    if (is_sticky(fault)) runtime().sticky = fault;
    return fault ? fault : body();
  });
}
template <class F>
cudaError_t api_of_work(Call kind, const F& body) {  // body(error of the work)
  return api([&] {
    const cudaError_t fault = calls(kind).tick();
    return fault && !is_sticky(fault) ? fault : body(fault);
  });
}

CUstream_st* live_stream(cudaStream_t handle);  // null, with a report, where it is none

// f(stream), f(event)
template <class F>
cudaError_t with(cudaStream_t handle, const F& f) {
  CUstream_st* const stream = live_stream(handle);
  return stream ? f(*stream) : cudaErrorInvalidResourceHandle;
}
template <class F>
cudaError_t with(cudaEvent_t handle, const F& f) {
  CUevent_st* const event = runtime().events.get(handle);
  return event ? f(*event) : cudaErrorInvalidResourceHandle;
}
template <class H, class F>
cudaError_t on(H handle, const F& f) {
  return api([&] { return with(handle, f); });
}
template <class H, class F>
cudaError_t on(Call kind, H handle, const F& f) {
  return api(kind, [&] { return with(handle, f); });
}

}  // namespace emulator
