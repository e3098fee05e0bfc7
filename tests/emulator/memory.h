// Device and pinned memory, each allocation in pages of its own, pushed against an inaccessible page; an address is never handed
// out twice. Pages decide who may do what, so an access at the wrong place or time faults where it happens, however the address
// was come by:
//   device memory    closed to the host; opened, an allocation at a time, when running work first touches it
//   pinned memory    closed to the host while queued work is to write it, read-only while queued work is to read it
//   freed memory     closed for ever
// Fresh memory is NaN. AddressSanitizer knows the bounds to the byte; without it up to 255 bytes past the end belong to the page.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

namespace emulator {

// A pinned range that queued work will read or write; until it has run, the host must keep off.
struct HostUse {
  const void* p;
  std::size_t bytes;
  bool written;
};

struct Block {
  enum class Open { closed, read, write };

  int id = 0;
  bool device = false, live = true;
  char* pages = nullptr;   // first page
  std::size_t mapped = 0;  // bytes of whole pages, before the inaccessible one
  char* begin = nullptr;   // what the program sees, aligned to 256 bytes
  std::size_t size = 0;
  std::vector<HostUse> in_flight{};
  Open open = Open::closed;                   // to running work
  std::unique_ptr<char[]> before{}, after{};  // of a Recording
  bool any_order = false;
};

Block* allocate(std::size_t size, bool device);  // null: no addresses left
void release(Block& block);
Block* find(const void* p, std::size_t bytes = 1);  // the allocation, live or freed, that holds the whole range
std::size_t device_bytes_in_use();
bool report_leaked_blocks();

void hold(const std::vector<HostUse>& uses);
void let_go(const std::vector<HostUse>& uses);

// Work runs only while one of these exists; `name` is of the work that runs in it.
class Running {
 public:
  explicit Running(const char* name);
  ~Running();
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

 private:
  const char* outer_;
};
const char* running();  // null: host code

void open(Block& block, Block::Open how);
bool open_at(const void* address);  // after a fault there; false: it is an error

// What device memory held before work first wrote to it, to run the work again from the same memory.
class Recording {
 public:
  Recording();
  ~Recording();
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;
  void rewind();  // memory is as it was; what had been written is kept

  struct Difference {
    const Block* block;
    std::size_t byte;
  };
  std::optional<Difference> difference() const;  // between what was written before rewind and what is there now
};
void allow_any_order(const void* p);  // the allocation at p may differ, in this recording

const Block* near(const void* address);  // the allocation whose pages, or the one after them, hold the address

}  // namespace emulator
