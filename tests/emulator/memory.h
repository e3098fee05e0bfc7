// Emulated device and pinned memory: page-protected, so that an access at the wrong time or place faults where it happens.
#pragma once
#include <cstddef>
#include <vector>

namespace emulator {

// A pinned range that queued work will read or write; until it has run, the host must keep off.
struct HostUse { const void* p; size_t bytes; bool written; };

struct Block {
  int id = 0;
  bool device = false, live = true;
  char* pages = nullptr;  // first page
  size_t mapped = 0;      // bytes of whole pages; one inaccessible guard page follows
  char* begin = nullptr;  // what the program sees: 256-byte aligned, pushed against the guard page
  size_t size = 0;
  std::vector<HostUse> in_flight{};
};

Block* allocate(size_t size, bool device);  // filled with 0xFF, which is NaN for every float type
void release(Block&);                       // the address is never handed out again
Block* find(const void* p, size_t bytes = 1);  // the block, live or freed, holding the whole range
size_t device_bytes_in_use();
bool report_leaked_blocks();

void hold(const std::vector<HostUse>&);
void let_go(const std::vector<HostUse>&);

// Emulated work runs only while one of these exists: then, and only then, device memory and pinned memory in flight are
// accessible.
struct Access { Access(); ~Access(); Access(const Access&) = delete; };

extern const char* running;  // name of the work that runs now, or null while host code runs

}  // namespace emulator
