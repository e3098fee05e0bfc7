// Host memory for tensors: 64-byte aligned, kept in free lists by size, so that a training step in its steady state
// neither asks the system for memory nor faults a page. Thread-safe. When the system refuses, the free lists are given
// back and the request is tried once more; then OutOfMemory names the request and what is in use.
// Under AddressSanitizer nothing is kept, so that a use after free is seen.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>

namespace mica {

struct MemoryStats {
  std::size_t current = 0;      // bytes handed out now
  std::size_t peak = 0;         // largest value that current ever had
  std::size_t recent_peak = 0;  // largest since take_recent_peak (core/memory.h)
  std::size_t reserved = 0;     // bytes held from the system: current, what blocks have beyond it, and the free lists

  void add(std::size_t bytes) {
    current += bytes;
    peak = std::max(peak, current);
    recent_peak = std::max(recent_peak, current);
  }
  std::size_t take_recent_peak() { return std::exchange(recent_peak, current); }
};

void* allocate_host(std::size_t bytes);  // never null; 0 bytes is a valid request
void free_host(void* pointer, std::size_t bytes) noexcept;

MemoryStats host_memory_stats();
std::size_t take_recent_host_peak();
void release_host_cache() noexcept;  // gives the free lists back to the system

}  // namespace mica
