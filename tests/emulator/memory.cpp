#include "memory.h"

#include "fault.h"
#include "raw_memory.h"
#include "report.h"
#include "sanitizers.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <utility>

namespace emulator {
namespace {

constexpr std::size_t page = 4096, arena_bytes = std::size_t{1} << 38;  // addresses: little of them is ever touched

struct Arena {
  char *begin = nullptr, *top = nullptr;
  std::map<char*, Block> blocks;  // by first page, freed ones too
  std::vector<Block*> opened, recorded;
  const char* running = nullptr;
  int depth = 0;  // of Running
  bool recording = false;
  std::size_t in_use = 0;
};
Arena& arena() {
  static auto& one = *new Arena;  // outlives every static destructor
  return one;
}

std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

void protect(char* from, char* to, int mode) {
  if (from < to && mprotect(from, static_cast<std::size_t>(to - from), mode)) std::perror("emulator: mprotect"), std::abort();
}

// As the host may use it now.
void protect(const Block& b) {
  char* const end = b.pages + b.mapped;
  protect(b.pages, end, b.live && !b.device ? PROT_READ | PROT_WRITE : PROT_NONE);
  if (!b.live) return;
  // Lock the pages whose bytes all belong to a copy in flight: no false alarm for a neighbour that shares a page.
  for (const bool written : {false, true})
    for (const HostUse& use : b.in_flight) {
      char *from = static_cast<char*>(const_cast<void*>(use.p)), *to = from + use.bytes;
      from = from == b.begin ? b.pages : reinterpret_cast<char*>(round_up(reinterpret_cast<std::uintptr_t>(from), page));
      to = to == b.begin + b.size ? end : reinterpret_cast<char*>(reinterpret_cast<std::uintptr_t>(to) / page * page);
      if (use.written == written) protect(from, to, written ? PROT_NONE : PROT_READ);
    }
}

void start(Arena& a) {
  void* const memory =
      reinterpret_cast<void*>(syscall(SYS_mmap, nullptr, arena_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  if (memory == MAP_FAILED) std::perror("emulator: mmap"), std::abort();
  a.begin = a.top = static_cast<char*>(memory);
  handle_faults();
}

Block* block_near(const void* p) {
  Arena& a = arena();
  auto* const at = static_cast<char*>(const_cast<void*>(p));
  if (at < a.begin || at >= a.top) return nullptr;
  return &std::prev(a.blocks.upper_bound(at))->second;
}

void keep(Block& b) {
  b.before = std::make_unique<char[]>(b.mapped);
  raw_copy(b.before.get(), b.pages, b.mapped);
  arena().recorded.push_back(&b);
}

}  // namespace

// ---- allocations ----

Block* allocate(std::size_t size, bool device) {
  Arena& a = arena();
  if (!a.begin) start(a);
  const std::size_t mapped = round_up(size, page);
  if (mapped + page > static_cast<std::size_t>(a.begin + arena_bytes - a.top)) return nullptr;
  Block& b = a.blocks[a.top];
  b.id = static_cast<int>(a.blocks.size()), b.device = device, b.size = size;
  a.opened.reserve(2 * a.blocks.size());  // open_at runs in a signal handler, where ThreadSanitizer forbids asking for memory
  b.pages = a.top, b.mapped = mapped, b.begin = a.top + mapped - round_up(size, 256);
  a.top += mapped + page;
  protect(b.pages, b.pages + mapped, PROT_READ | PROT_WRITE);
  raw_fill(b.pages, not_a_number, mapped);
  asan::poison(b.pages, static_cast<std::size_t>(b.begin - b.pages));
  asan::poison(b.begin + size, round_up(size, 256) - size);
  if (device) protect(b), a.in_use += size;
  return &b;
}

void release(Block& b) {
  b.live = false, b.open = Block::Open::closed;
  protect(b);
  madvise(b.pages, b.mapped, MADV_DONTNEED);
  if (b.device) arena().in_use -= b.size;
}

Block* find(const void* p, std::size_t bytes) {
  Block* const b = block_near(p);
  const auto* const at = static_cast<const char*>(p);
  return b && at >= b->begin && at + bytes <= b->begin + b->size ? b : nullptr;
}

const Block* near(const void* address) { return block_near(address); }
std::size_t device_bytes_in_use() { return arena().in_use; }

bool report_leaked_blocks() {
  bool leaked = false;
  for (const auto& [pages, b] : arena().blocks)
    if (b.live) report("leak: %s allocation #%d, %zu bytes", b.device ? "device" : "pinned", b.id, b.size), leaked = true;
  return leaked;
}

// ---- pinned memory in flight ----

void hold(const std::vector<HostUse>& uses) {
  for (const HostUse& use : uses)
    if (Block* b = find(use.p, use.bytes)) b->in_flight.push_back(use), protect(*b);
}

void let_go(const std::vector<HostUse>& uses) {
  for (const HostUse& use : uses) {
    Block* const b = find(use.p, use.bytes);
    if (!b) continue;
    const auto same = [&](const HostUse& v) { return v.p == use.p && v.bytes == use.bytes && v.written == use.written; };
    if (const auto at = std::ranges::find_if(b->in_flight, same); at != b->in_flight.end()) b->in_flight.erase(at);
    protect(*b);
  }
}

// ---- opening to running work ----

const char* running() { return arena().running; }

Running::Running(const char* name) : outer_(std::exchange(arena().running, name)) {
  if (arena().depth++ == 0) handle_faults();
}
Running::~Running() {
  Arena& a = arena();
  a.running = outer_;
  if (--a.depth > 0) return;
  for (Block* b : a.opened)
    if (std::exchange(b->open, Block::Open::closed) != Block::Open::closed) protect(*b);
  a.opened.clear();
}

void open(Block& b, Block::Open how) {
  Arena& a = arena();
  if (b.open >= how) return;
  if (b.open == Block::Open::closed) a.opened.push_back(&b);
  if (how == Block::Open::write && a.recording && b.device && !b.before) {
    protect(b.pages, b.pages + b.mapped, PROT_READ | PROT_WRITE);
    keep(b);
  } else {
    protect(b.pages, b.pages + b.mapped, how == Block::Open::write ? PROT_READ | PROT_WRITE : PROT_READ);
  }
  b.open = how;
}

// The first fault is taken for a read, one of memory that can be read is a write.
bool open_at(const void* address) {
  Block* const b = block_near(address);
  if (!arena().running || !b || !b->live || static_cast<const char*>(address) >= b->pages + b->mapped) return false;
  if (b->open == Block::Open::write) return false;
  open(*b, b->open == Block::Open::closed ? Block::Open::read : Block::Open::write);
  return true;
}

// ---- recordings ----

Recording::Recording() {
  Arena& a = arena();
  a.recording = true;
  for (Block* b : a.opened)
    if (b->device && b->open == Block::Open::write) protect(b->pages, b->pages + b->mapped, PROT_READ), b->open = Block::Open::read;
}
Recording::~Recording() {
  Arena& a = arena();
  a.recording = false;
  for (Block* b : a.recorded) b->before.reset(), b->after.reset(), b->any_order = false;
  a.recorded.clear();
}

void Recording::rewind() {
  for (Block* b : arena().recorded) {
    b->after = std::make_unique<char[]>(b->mapped);
    raw_copy(b->after.get(), b->pages, b->mapped);
    raw_copy(b->pages, b->before.get(), b->mapped);
  }
}

std::optional<Recording::Difference> Recording::difference() const {
  for (const Block* b : arena().recorded) {
    if (b->any_order) continue;
    const char* const first = b->after ? b->after.get() : b->before.get();  // without: written in the second run only
    if (const std::size_t at = raw_mismatch(first, b->pages, b->mapped); at < b->mapped)
      return Difference{b, at - static_cast<std::size_t>(b->begin - b->pages)};
  }
  return std::nullopt;
}

void allow_any_order(const void* p) {
  if (Block* const b = block_near(p)) b->any_order = true;
}

}  // namespace emulator
