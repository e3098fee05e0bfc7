#include <mica/core/allocator.h>
#include <mica/core/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define MICA_KEEP_FREED_MEMORY 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MICA_KEEP_FREED_MEMORY 0
#endif
#endif
#ifndef MICA_KEEP_FREED_MEMORY
#define MICA_KEEP_FREED_MEMORY 1
#endif

namespace mica {
namespace {

constexpr std::size_t alignment = 64;  // a cache line, and an AVX-512 register

// Rounds up to one of four sizes per power of two: at most a quarter is wasted, and few sizes occur.
std::size_t rounded(std::size_t bytes) {
  if (bytes <= alignment) return alignment;
  const std::size_t quantum = std::max(alignment, std::bit_floor(bytes - 1) / 4);
  return (bytes + quantum - 1) / quantum * quantum;
}

struct Cache {
  std::mutex mutex;
  std::map<std::size_t, std::vector<void*>> free;  // by rounded size
  MemoryStats stats;

  void release() noexcept {
    for (auto& [bytes, blocks] : free) {
      for (void* block : blocks) std::free(block);
      stats.reserved -= bytes * blocks.size();
      blocks.clear();
    }
  }
};

// Never destroyed: tensors in static storage may outlive every other object.
Cache& cache() {
  static Cache* instance = new Cache;
  return *instance;
}

}  // namespace

void* allocate_host(std::size_t bytes) {
  if (bytes > SIZE_MAX / 4) throw OutOfMemory(fmt::format("cannot allocate {} bytes: no machine has that many", bytes));
  const std::size_t size = rounded(bytes);
  Cache& c = cache();
  const std::lock_guard lock(c.mutex);
  std::vector<void*>& blocks = c.free[size];
  void* block = nullptr;
  if (!blocks.empty()) {
    block = blocks.back();
    blocks.pop_back();
  } else {
    block = std::aligned_alloc(alignment, size);
    if (!block) {
      c.release();
      block = std::aligned_alloc(alignment, size);
    }
    if (!block)
      throw OutOfMemory(fmt::format("cannot allocate {} bytes: the system refused, with {} bytes in tensors (peak {}); "
                                    "use a smaller batch",
                                    bytes, c.stats.current, c.stats.peak));
    c.stats.reserved += size;
  }
  c.stats.add(size);
  return block;
}

void free_host(void* pointer, std::size_t bytes) noexcept {
  const std::size_t size = rounded(bytes);
  Cache& c = cache();
  const std::lock_guard lock(c.mutex);
  c.stats.current -= size;
  if (MICA_KEEP_FREED_MEMORY) {
    try {
      c.free[size].push_back(pointer);
      return;
    } catch (...) {  // no memory even for the list: fall through and give the block back
    }
  }
  std::free(pointer);
  c.stats.reserved -= size;
}

MemoryStats host_memory_stats() {
  const std::lock_guard lock(cache().mutex);
  return cache().stats;
}

std::size_t take_recent_host_peak() {
  const std::lock_guard lock(cache().mutex);
  return cache().stats.take_recent_peak();
}

void release_host_cache() noexcept {
  const std::lock_guard lock(cache().mutex);
  cache().release();
}

}  // namespace mica
