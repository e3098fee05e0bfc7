#include "shared_memory.h"

#include "raw_memory.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <new>

namespace emulator {
namespace {

constexpr unsigned char guard_byte = 0xA5;

}  // namespace

// Past the sanitizers' interceptors: to ThreadSanitizer nothing here looks like an access.
char* SharedMemory::map(std::size_t bytes) {
  auto* const p = reinterpret_cast<char*>(syscall(SYS_mmap, nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (p == MAP_FAILED) throw std::bad_alloc();
  return p;
}

void SharedMemory::begin_launch(std::size_t most_bytes) {
  most_ = most_bytes;
  if (!region_) region_ = map(region_bytes);
  variables_.clear();
  end_ = 0;
  asan::poison(region_, region_bytes);
}

void SharedMemory::begin_block() {
  used_ = 0;
  if (tsan::on) {  // neighbouring blocks share no address
    mapped_.push_back(region_ = map(region_bytes));
    variables_.clear();
    end_ = 0;
  }
  for (const Variable& v : variables_) raw_fill(region_ + v.offset, not_a_number, v.bytes), used_ += v.bytes;
}

void* SharedMemory::variable(const void* key, std::size_t bytes, std::size_t alignment) {
  for (const Variable& v : variables_)
    if (v.key == key) return region_ + v.offset;
  if ((used_ += bytes) > most_) return nullptr;
  const std::size_t step = std::max<std::size_t>(alignment, 16), aligned = (end_ + guard + step - 1) / step * step;
  const std::size_t offset = aligned + (alignment < 16 ? 8 : 0);
  if (offset + bytes + guard > region_bytes) return nullptr;
  raw_fill(region_ + end_, guard_byte, offset - end_);
  raw_fill(region_ + offset, not_a_number, bytes);
  raw_fill(region_ + offset + bytes, guard_byte, guard);
  asan::unpoison(region_ + offset, bytes);
  end_ = offset + bytes;
  variables_.push_back({key, offset, bytes});
  return region_ + offset;
}

std::optional<SharedMemory::Damage> SharedMemory::damage() const {
  std::size_t from = 0;
  for (const Variable& v : variables_) {
    if (const std::size_t at = raw_other_than(region_ + from, guard_byte, v.offset - from); at < v.offset - from) {
      if (from > 0) return Damage{static_cast<std::ptrdiff_t>(at), (&v)[-1].bytes};
      return Damage{static_cast<std::ptrdiff_t>(from + at) - static_cast<std::ptrdiff_t>(v.offset + v.bytes), v.bytes};
    }
    from = v.offset + v.bytes;
  }
  if (variables_.empty()) return std::nullopt;
  if (const std::size_t at = raw_other_than(region_ + from, guard_byte, guard); at < guard)
    return Damage{static_cast<std::ptrdiff_t>(at), variables_.back().bytes};
  return std::nullopt;
}

void SharedMemory::end_launch() {
  for (char* p : mapped_) syscall(SYS_munmap, p, region_bytes);
  if (tsan::on) region_ = nullptr;
  mapped_.clear();
  tags_ = tags_end_ = nullptr;
}

void* SharedMemory::fresh_tag() {
  if (tags_ == tags_end_) {
    mapped_.push_back(tags_ = map(region_bytes));
    tags_end_ = tags_ + region_bytes;
  }
  return (tags_ += 8) - 8;
}

}  // namespace emulator
