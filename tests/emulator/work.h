// What streams hold: work, the marks it waits for, and what a capture records.
#pragma once

#include "device.h"
#include "memory.h"

#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace emulator {

// The first `count` operations of a stream.
struct Mark {
  CUstream_st* stream = nullptr;
  std::size_t count = 0;
};

struct Work {
  std::string name;
  std::function<void()> body;
  std::vector<Buffer> device{};  // must be live device memory when the work runs
  std::vector<HostUse> host{};   // pinned memory that it will touch
  std::vector<Mark> after{};
  cudaError_t injected = cudaSuccess;
};

struct Node {
  Work work;
  std::vector<std::size_t> after;
};

struct Capture {
  CUstream_st* origin;
  bool relaxed, active = true, valid = true;
  std::vector<Node> nodes{};
};

struct Handle {
  bool alive = true;
};

}  // namespace emulator

// The CUDA headers leave these types incomplete, so an implementation may define them. Objects are never deleted, only marked
// dead: a stale handle stays recognisable.
struct CUstream_st : emulator::Handle {
  bool blocking = false;  // ordered with the legacy default stream
  std::deque<emulator::Work> queue;
  std::size_t issued = 0, done = 0;
  std::shared_ptr<emulator::Capture> capture;
  std::vector<std::size_t> tail;  // nodes that the next captured operation follows
  emulator::Mark end() { return {this, issued}; }
};

struct CUevent_st : emulator::Handle {
  bool timing = true, recorded = false;
  emulator::Mark mark;
  std::chrono::steady_clock::time_point time;
  std::shared_ptr<emulator::Capture> capture;  // set if last recorded inside a capture
  std::vector<std::size_t> nodes;
};

struct CUgraph_st : emulator::Handle {
  std::shared_ptr<const std::vector<emulator::Node>> nodes;
};
struct CUgraphExec_st : CUgraph_st {};
