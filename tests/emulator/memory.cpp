#include "memory.h"
#include "emulator.h"
#include <signal.h>
#include <sys/mman.h>
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <utility>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON(p, n) ASAN_POISON_MEMORY_REGION(p, n)  // exact bounds inside the page
#else
#define POISON(p, n) (void)0  // up to 255 bytes past the end stay unnoticed
#endif

namespace emulator {
const char* running = nullptr;
namespace {

constexpr size_t page = 4096, arena_bytes = size_t(1) << 40;  // addresses only: nothing is used twice, little is ever touched
char *arena = nullptr, *top = nullptr;
std::map<char*, Block>& blocks = *new std::map<char*, Block>;  // by first page, freed ones too; outlives static destructors
int access_depth = 0;
size_t in_use = 0;
struct sigaction previous;

size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

void protect(char* from, char* to, int mode) {
  if (from < to && mprotect(from, size_t(to - from), mode)) perror("emulator: mprotect"), abort();
}
void protect(const Block& b) {
  char* const end = b.pages + b.mapped;
  const bool accessible = b.live && (!b.device || access_depth > 0);
  protect(b.pages, end, accessible ? PROT_READ | PROT_WRITE : PROT_NONE);
  if (!accessible || access_depth > 0) return;
  // Lock the pages whose bytes all belong to a copy in flight: no false alarm for a neighbour sharing a page.
  for (const bool written : {false, true})
    for (const HostUse& u : b.in_flight) {
      char *from = (char*)u.p, *to = from + u.bytes;
      from = from == b.begin ? b.pages : (char*)round_up(uintptr_t(from), page);
      to = to == b.begin + b.size ? end : (char*)(uintptr_t(to) / page * page);
      if (u.written == written) protect(from, to, written ? PROT_NONE : PROT_READ);
    }
}
void protect_all() {
  for (const auto& [pages, b] : blocks) if (b.live && (b.device || !b.in_flight.empty())) protect(b);
}

Block* block_at(const void* p) {  // by page, guard page included
  if (p < arena || p >= top) return nullptr;
  return &std::prev(blocks.upper_bound((char*)p))->second;
}

// Says what happened, then lets the same instruction fault again into the previous handler: AddressSanitizer's report with
// its stack trace, or the default core dump.
void on_fault(int, siginfo_t* info, void*) {
  char* const p = (char*)info->si_addr;
  if (const Block* b = block_at(p)) {
    char where[160];
    snprintf(where, sizeof where, "%p: byte %td of %s%s allocation #%d (%zu bytes)", (void*)p, p - b->begin, b->live ? "" : "freed ",
             b->device ? "device" : "pinned", b->id, b->size);
    if (running) report("'%s' made an illegal access to %s", running, where);
    else if (b->device) report("host code dereferenced a device pointer, %s", where);
    else if (b->live && p < b->begin + b->size) report("host code touched pinned memory that a copy in flight uses, %s", where);
    else report("host code made an illegal access to %s", where);
  }
  sigaction(SIGSEGV, &previous, nullptr);
}

void start() {
  void* m = mmap(nullptr, arena_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (m == MAP_FAILED) perror("emulator: mmap"), abort();
  arena = top = (char*)m;
  struct sigaction action = {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGSEGV, &action, &previous);
}

}  // namespace

Block* allocate(size_t size, bool device) {
  if (!arena) start();
  const size_t mapped = round_up(size, page);
  if (mapped + page > size_t(arena + arena_bytes - top)) return nullptr;
  Block& b = blocks[top];
  b.id = int(blocks.size()), b.device = device, b.size = size;
  b.pages = top, b.mapped = mapped, b.begin = top + mapped - round_up(size, 256);
  top += mapped + page;
  protect(b.pages, b.pages + mapped, PROT_READ | PROT_WRITE);
  memset(b.pages, 0xFF, mapped);
  POISON(b.pages, size_t(b.begin - b.pages));
  POISON(b.begin + size, round_up(size, 256) - size);
  protect(b);
  if (device) in_use += size;
  return &b;
}
void release(Block& b) {
  b.live = false;
  protect(b);
  madvise(b.pages, b.mapped, MADV_DONTNEED);
  if (b.device) in_use -= b.size;
}
Block* find(const void* p, size_t bytes) {
  Block* b = block_at(p);
  return b && p >= b->begin && (const char*)p + bytes <= b->begin + b->size ? b : nullptr;
}
size_t device_bytes_in_use() { return in_use; }
bool report_leaked_blocks() {
  bool leaked = false;
  for (const auto& [pages, b] : blocks)
    if (b.live) report("leak: %s allocation #%d, %zu bytes", b.device ? "device" : "pinned", b.id, b.size), leaked = true;
  return leaked;
}

void hold(const std::vector<HostUse>& uses) {
  for (const HostUse& u : uses) if (Block* b = find(u.p, u.bytes)) b->in_flight.push_back(u), protect(*b);
}
void let_go(const std::vector<HostUse>& uses) {
  for (const HostUse& u : uses) {
    Block* b = find(u.p, u.bytes);
    std::erase_if(b->in_flight, [&, first = true](const HostUse& v) mutable {
      return v.p == u.p && v.bytes == u.bytes && v.written == u.written && std::exchange(first, false);
    });
    protect(*b);
  }
}

Access::Access() { if (access_depth++ == 0) protect_all(); }
Access::~Access() { if (--access_depth == 0) protect_all(); }

}  // namespace emulator
