// The shared memory of the block that runs: 48 KB at most, or 99 KB where the kernel was allowed that, NaN when the block begins, each variable between guards. A write
// into a guard is found when the block ends, or by AddressSanitizer at once. Variables are placed at 8 beyond a multiple of 16
// unless more is asked for, so that UBSan sees 16-byte accesses that nothing aligned.
#pragma once

#include "sanitizers.h"

#include <cstddef>
#include <optional>
#include <vector>

namespace emulator {

class SharedMemory {
 public:
  void begin_launch(std::size_t most_bytes);
  void begin_block();
  // The variable that `key` stands for, made where this launch has not asked for it yet. Null: the block would use too much.
  void* variable(const void* key, std::size_t bytes, std::size_t alignment);
  // How many bytes from a variable's end the first damaged guard byte lies, and the variable's size; negative: before it.
  struct Damage {
    std::ptrdiff_t past_end;
    std::size_t size;
  };
  std::optional<Damage> damage() const;
  void end_launch();

  std::size_t used() const { return used_; }
  std::size_t most() const { return most_; }
  static constexpr std::size_t limit = 48 << 10, limit_on_request = 99 << 10;  // by cudaFuncSetAttribute, on every GPU from sm_80 on

  // An address that ThreadSanitizer has not met in this launch, to order threads by.
  void* fresh_tag();

 private:
  struct Variable {
    const void* key;
    std::size_t offset, bytes;
  };
  char* map(std::size_t bytes);

  static constexpr std::size_t guard = 256, region_bytes = 128 << 10;
  char* region_ = nullptr;
  std::size_t end_ = 0, used_ = 0, most_ = limit;
  std::vector<Variable> variables_;
  std::vector<char*> mapped_;  // under ThreadSanitizer: a region for each block, and tags
  char *tags_ = nullptr, *tags_end_ = nullptr;
};

}  // namespace emulator
