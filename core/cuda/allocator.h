// Memory of one CUDA device, kept in free lists by size. All its users work on one stream, so a block may be handed out
// again as soon as it is given back: the stream runs the new owner's work after the old one's. When the device refuses, the
// free lists are given back, after waiting for the work that may still use them, and the request is tried once more, at last
// without rounding; then OutOfMemory names the request and what is free. Thread-safe. With a MemoryChecker every buffer is
// watched, and blocks are larger by its canary.
// A graph replays its work on the same addresses, so what was allocated while it was captured is its own: a MemoryPool.
#pragma once

#include <mica/core/allocator.h>
#include <mica/core/cuda/memory_checker.h>
#include <mica/kernels/cuda/context.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace mica {

using FreeLists = std::map<std::size_t, std::vector<void*>>;  // blocks by size

struct MemoryPool {
  FreeLists free;
};

class CudaAllocator final : public kernels::DeviceMemory {
 public:
  explicit CudaAllocator(int device) : device_(device) {}

  void* allocate(std::size_t bytes) override;
  void free(void* pointer, std::size_t bytes) noexcept override;
  bool release_unused() override;  // waits for the device; false while a graph is recorded, when that cannot be

  MemoryStats stats();
  std::size_t take_recent_peak();
  void release_cache();  // waits for the device; throws Error while a graph is recorded

  // From now on memory comes from this pool, which takes what it lacks from all other memory, and returns there; null: as
  // usual. `recording`: the stream is being captured, so that nothing can wait for it.
  void use_pool(MemoryPool* pool, bool recording);
  void dissolve(MemoryPool& pool) noexcept;  // its blocks, also those in use, are all others' from now on

  // From now on buffers are watched, if that is wanted; cuda works on this memory.
  void watch(kernels::Cuda& cuda);
  void unwatch() noexcept;  // before cuda ends
  void check_all();     // queues a look at all buffers
  std::string found();  // once that is done: what was wrong, or nothing

  // From now on nothing is kept: the program ends, and what statics still hold goes straight back.
  void close() noexcept;

 private:
  struct Block {
    void* pointer;
    std::size_t size;
  };
  Block take(std::size_t bytes, std::size_t needed);           // at least `needed`; `bytes` is what was asked for
  static void* take_free(FreeLists& lists, std::size_t size);  // null: there is none
  void* take_new(std::size_t size);                            // null: the device has no more
  [[noreturn]] void refuse(std::size_t bytes) const;
  void release_free_lists(FreeLists& lists) noexcept;
  bool wait_and_release();

  int device_;
  std::mutex mutex_;
  FreeLists free_;
  std::map<void*, std::size_t> tight_;      // blocks, in use or free, that were not rounded up, and their sizes
  std::map<void*, MemoryPool*> pooled_;     // blocks of pools, in use or free
  MemoryPool* pool_ = nullptr;              // that requests are served from
  bool recording_ = false;
  MemoryStats stats_;
  std::unique_ptr<MemoryChecker> checker_;
  bool closed_ = false;
};

}  // namespace mica
