// The state behind fake_cudart.cpp: streams, events, captures. One host thread.
#pragma once
#include "emulator.h"
#include "memory.h"
#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>

namespace emulator {

struct Marker { CUstream_st* stream = nullptr; size_t seq = 0; };  // "the first seq operations of this stream"

struct Work {
  std::string name;
  std::function<void()> body;
  std::vector<Buffer> device{};   // must be live device memory when the work runs
  std::vector<HostUse> host{};    // pinned memory it will touch
  std::vector<Marker> after{};
  cudaError_t injected = cudaSuccess;
};
struct Node { Work work; std::vector<size_t> after; };
struct Capture {
  CUstream_st* origin;
  bool relaxed, active = true, valid = true;
  std::vector<Node> nodes{};
};
struct Handle { bool alive = true; };

}  // namespace emulator

// The real headers leave these types incomplete, so the fake may define them. Objects are never deleted, only marked dead:
// a stale handle stays recognisable.
struct CUstream_st : emulator::Handle {
  bool blocking = false;  // implicitly ordered with the legacy default stream
  std::deque<emulator::Work> queue;
  size_t issued = 0, done = 0;
  std::shared_ptr<emulator::Capture> capture;
  std::vector<size_t> tail;  // nodes that the next captured operation follows
  emulator::Marker end() { return {this, issued}; }
};
struct CUevent_st : emulator::Handle {
  bool timing = true, recorded = false;
  emulator::Marker mark;
  std::chrono::steady_clock::time_point time;
  std::shared_ptr<emulator::Capture> capture;  // set if last recorded inside a capture
  std::vector<size_t> nodes;
};
struct CUgraph_st : emulator::Handle { std::shared_ptr<const std::vector<emulator::Node>> nodes; };
struct CUgraphExec_st : CUgraph_st {};

namespace emulator {

template <class T> struct Handles {
  std::vector<std::unique_ptr<T>> all;
  T* make() { return all.emplace_back(std::make_unique<T>()).get(); }
  T* get(T* h) const {  // null unless h is a live handle
    for (auto& p : all) if (p.get() == h) return h->alive ? h : nullptr;
    return nullptr;
  }
  long alive() const { return std::count_if(all.begin(), all.end(), [](auto& h) { return h->alive; }); }
};

struct Countdown {
  int left = 0;
  cudaError_t error = cudaSuccess;
  cudaError_t tick() { return left && --left == 0 ? error : cudaSuccess; }
};

struct Runtime {
  Options options;
  std::mt19937 random;
  Handles<CUstream_st> streams;
  Handles<CUevent_st> events;
  Handles<CUgraph_st> graphs;
  Handles<CUgraphExec_st> execs;
  CUstream_st* legacy = streams.make();
  cudaError_t last = cudaSuccess, sticky = cudaSuccess;
  cudaStreamCaptureMode thread_mode = cudaStreamCaptureModeGlobal;
  Countdown malloc_fault, launch_fault;
  std::map<std::string, int> live;
  Runtime();
};
Runtime& rt();

cudaError_t submit(CUstream_st&, Work);  // queues, or records into the stream's capture
bool pending(const Marker&);
void advance(const Marker&);   // runs one operation that the marker needs
void complete(const Marker&);  // runs all of them, and under Schedule::random perhaps others
void run_graph(const std::vector<Node>&);

cudaError_t invalidate(Capture&, cudaError_t, const char* what);
// Calls the documentation names "potentially unsafe": refused while any capture is active, unless it or the thread is relaxed.
cudaError_t refuse_in_capture(const char* what);
// The legacy default stream depends on every blocking stream, which it may not do while one is being captured.
cudaError_t refuse_legacy_in_capture(const char* what);

// Every API call: a broken context answers with its error, and failures are remembered for cudaGetLastError().
template <class F> cudaError_t api(F body) {
  const cudaError_t e = rt().sticky ? rt().sticky : body();
  if (e) rt().last = e;
  return e;
}
template <class F> cudaError_t on_stream(cudaStream_t handle, F body) {
  return api([&] {
    CUstream_st* s = !handle || handle == cudaStreamLegacy ? rt().legacy : rt().streams.get(handle);
    if (!s) report("%p is not a live stream", (void*)handle);
    return s ? body(*s) : cudaErrorInvalidResourceHandle;
  });
}
template <class F> cudaError_t on_event(cudaEvent_t handle, F body) {
  return api([&] { CUevent_st* e = rt().events.get(handle); return e ? body(*e) : cudaErrorInvalidResourceHandle; });
}

}  // namespace emulator
