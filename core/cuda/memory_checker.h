// Watches every buffer of one device, as kernels/cuda/memory_check.h describes; what it finds is an Error at the next
// synchronisation. For finding faults: each allocation costs three small operations of the stream and each return three more.
// On by the environment variable MICA_CUDA_CHECK_MEMORY=1, and in the emulated build unless it is 0.
#pragma once

#include <mica/kernels/cuda/memory_check.h>

#include <cstddef>
#include <map>
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

  // Queues a look at every buffer in use; `found`, after the stream has done it, is the error's text, or empty.
  void check_all();
  std::string found();

 private:
  kernels::Cuda& cuda_;
  kernels::Scratch<kernels::MemoryFault> fault_;  // on the device
  kernels::Pinned copy_;
  std::map<void*, kernels::GuardedBuffer> in_use_, unused_;
};

}  // namespace mica
