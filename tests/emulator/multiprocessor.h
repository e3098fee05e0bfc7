// Runs a kernel's blocks one after another, each thread of a block on a fibre when it has to wait for others. A thread that
// never waits runs through on the fibre of the one before it, without a switch.
//
// Within a block each warp runs as far as it can alone before the next one begins, which is the harshest order for a missing
// barrier; in random order a warp is interrupted now and then. A barrier that some threads do not reach, lanes that disagree on
// a warp function, shared memory over its limit and the like are errors that name file, line, block and thread.
//
// Under ThreadSanitizer every CUDA thread is a fibre of its own from its start, ordered with others by barriers and by the
// launch's beginning and end only.
#pragma once

#include "fibre.h"
#include "order.h"
#include "shared_memory.h"

#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>
#include <source_location>
#include <stdexcept>
#include <string>
#include <vector>

namespace emulator {

struct KernelError : std::runtime_error {
  using runtime_error::runtime_error;
};

using Place = std::source_location;
bool same_place(const Place& a, const Place& b);

// The thread that runs, as kernels see it.
struct Here {
  uint3 thread{}, block{};
  dim3 block_size, grid_size;
  unsigned number = 0;  // of the thread in its block
};
inline Here here;

struct Kernel {
  const char* name;
  dim3 grid, block;
  std::size_t dynamic_bytes, shared_limit;
  void (*body)(const void* arguments);
  const void* arguments;
};

enum class State : std::uint8_t { ready, at_barrier, in_warp_function, done };
enum class WarpFunction : std::uint8_t { sync, shuffle, ballot, add, minimum, maximum, bit_and, bit_or, bit_xor, tensor_product };

struct Thread {
  Fibre* fibre = nullptr;  // null until it runs
  State state = State::ready;
  uint3 index{};
  unsigned number = 0;
  Place place{};  // where it waits, since `state`
  std::uint64_t given = 0, received = 0;
  WarpFunction function{};
  unsigned mask = 0;
  int source = 0;       // lane that a shuffle reads
  void* tag = nullptr;  // of a warp function, for ThreadSanitizer
};

class Multiprocessor {
 public:
  void run(const Kernel& kernel, const Turns& turns);  // throws KernelError

  // Called by CUDA threads.
  struct Votes {
    unsigned count;
    bool all, any;
  };
  Votes barrier(bool vote, const Place& place);
  std::uint64_t warp_function(WarpFunction function, unsigned mask, std::uint64_t value, int source, const Place& place);
  void* shared(const void* key, std::size_t bytes, std::size_t alignment);
  void* dynamic_shared();
  void before_atomic();  // where a thread may lose its turn without a barrier
  [[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 2, 3)));

 private:
  static constexpr unsigned most_threads = 1024, warp_size = 32;

  static void fibre_body();
  void run_block();
  void begin_block();
  void begin_orders();
  Thread* next();
  void give_fibre(Thread& thread);
  void make_current(Thread& thread);
  void resume(Thread& thread);
  void wait();  // of the current thread, until others made it ready
  void make_ready(Thread& thread);
  void release_barrier();
  [[noreturn]] void stuck();
  void complete(Thread* warp, Thread& last);
  void check_same(Thread& last, Thread& other);
  void tensor_product(Thread* warp);
  void abandon();

  const Kernel* kernel_ = nullptr;
  Turns turns_{};
  Random random_{0};  // begins anew with each block
  Thread threads_[most_threads];
  Thread *current_ = nullptr, *handed_over_ = nullptr;
  unsigned count_ = 0, warps_ = 0, done_ = 0;
  unsigned ready_[warp_size]{};    // a bit a lane, a word a warp
  unsigned waiting_[warp_size]{};  // lanes in a warp function that is not complete
  unsigned warp_order_[warp_size]{}, lane_order_[warp_size]{};
  unsigned turn_ = 0, lane_ = 0;
  std::vector<std::unique_ptr<Fibre>> fibres_;
  std::vector<Fibre*> idle_;
  SharedMemory shared_;
  void* barrier_tag_ = nullptr;
  std::uint64_t atomics_ = 0, blocks_ = 0;
  std::string error_;
};
Multiprocessor& multiprocessor();

}  // namespace emulator
