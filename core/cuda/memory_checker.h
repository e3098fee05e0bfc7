// Watches every buffer of one device, as kernels/cuda/memory_check.h describes; what it finds is an Error at the next
// synchronisation. For finding faults: each allocation costs three small operations of the stream and each return three more.
// While a graph is recorded only canaries are written: what a replay finds in a block is not what the recording found there.
// On by the environment variable MICA_CUDA_CHECK_MEMORY=1, and in the emulated build unless it is 0.
#pragma once

#include <mica/kernels/cuda/memory_check.h>

#include <cstddef>
#include <functional>
#include <map>
#include <set>
#include <string>

namespace mica {

class MemoryChecker {
 public:
  explicit MemoryChecker(kernels::Cuda& cuda);
  static bool wanted();

  // A block of `size` bytes becomes a buffer of `bytes`; at least canary_bytes lie between its end and the block's.
  void handed_out(void* block, std::size_t bytes, std::size_t size);
  // The block's size; 0, and nothing done, for one that was handed out before this began.
  std::size_t given_back(void* block) noexcept;
  void forget(void* block) noexcept;  // goes back to the device

  // Of blocks that changed hands between these, the device then knows nothing. `open`: of which ones a graph may still write to
  // what nobody uses.
  void begin_recording() { recording_ = true; }
  void end_recording(const std::function<bool(void* block)>& open) noexcept;
  void close(void* block) noexcept;  // nobody uses it, and no graph will

  // Queues a look at every buffer in use; `found`, after the stream has done it, is the error's text, or empty.
  void check_all();
  std::string found();

 private:
  void write(const kernels::GuardedBuffer& buffer);  // its canary

  kernels::Cuda& cuda_;
  kernels::Scratch<kernels::MemoryFault> fault_;  // on the device
  kernels::Pinned copy_;
  std::map<void*, kernels::GuardedBuffer> in_use_, unused_;
  std::map<void*, std::size_t> unwatched_;  // in use, without a canary, because writing it failed; their sizes
  bool recording_ = false;
  std::set<void*> changed_;  // while recording
};

}  // namespace mica
