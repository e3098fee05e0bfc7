// The state behind the CUDA runtime's functions (cudart_*.cpp), and how queued work is ordered and run. Work runs inside
// whichever call waits for it, on the calling thread; calls from several threads come one after another.
#pragma once

#include "options.h"
#include "work.h"

#include <algorithm>
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

struct Countdown {
  int left = 0;
  cudaError_t error = cudaSuccess;
  cudaError_t tick() { return left && --left == 0 ? error : cudaSuccess; }
};

struct Runtime {
  Options options = options_from_environment();
  Random random{options.schedule_seed};
  std::recursive_mutex mutex;
  Handles<CUstream_st> streams;
  Handles<CUevent_st> events;
  Handles<CUgraph_st> graphs;
  Handles<CUgraphExec_st> executables;
  CUstream_st* legacy = streams.make();
  cudaError_t last = cudaSuccess, sticky = cudaSuccess;
  cudaStreamCaptureMode thread_mode = cudaStreamCaptureModeGlobal;
  Countdown malloc_fault, launch_fault, library_fault;
  std::map<std::string, int> tracked;
  std::map<std::string, int> submitted;  // by enqueue

  Runtime() { legacy->blocking = true; }
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

// A broken context answers with its error, and failures are remembered for cudaGetLastError().
template <class F>
cudaError_t api(const F& body) {
  const std::lock_guard lock(runtime().mutex);
  const cudaError_t error = runtime().sticky ? runtime().sticky : body();
  if (error) runtime().last = error;
  return error;
}

CUstream_st* live_stream(cudaStream_t handle);  // null, with a report, where it is none

template <class F>
cudaError_t on_stream(cudaStream_t handle, const F& body) {
  return api([&] {
    CUstream_st* const stream = live_stream(handle);
    return stream ? body(*stream) : cudaErrorInvalidResourceHandle;
  });
}
template <class F>
cudaError_t on_event(cudaEvent_t handle, const F& body) {
  return api([&] {
    CUevent_st* const event = runtime().events.get(handle);
    return event ? body(*event) : cudaErrorInvalidResourceHandle;
  });
}

}  // namespace emulator
