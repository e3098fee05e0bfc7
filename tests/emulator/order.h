// The orders in which blocks, warps and lanes run. Hardware promises none, so a kernel must give the same bits under all.
// EMULATOR_ORDER=forward|reverse|random:<seed>, random:1 by default.
#pragma once

#include <bit>
#include <cstdint>
#include <utility>

namespace emulator {

enum class Order { forward, reverse, random };

// Marsaglia's xorshift64: the same numbers for the same seed, everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_((seed + 1) * 0x9E3779B97F4A7C15u | 1) {}
  std::uint64_t next() {
    state_ ^= state_ << 13, state_ ^= state_ >> 7, state_ ^= state_ << 17;
    return state_ >> 8;
  }
  bool one_in(unsigned n) { return next() % n == 0; }

 private:
  std::uint64_t state_;
};

// In which order one run of a kernel takes its turns. Of two runs that differ in `reversed` only, every two blocks change
// places, and so do the warps of a block and the lanes of a warp each time that all of them can go on.
struct Turns {
  Order order;
  std::uint64_t seed;
  bool reversed;
};

// A permutation of 0 … count−1, without a table: i ↦ odd·i + offset mod 2ᵏ ≥ count, where what is count or more is left out.
class Permutation {
 public:
  Permutation() = default;
  Permutation(const Turns& turns, std::uint64_t count, Random& random) : count_(count), mask_(std::bit_ceil(count) - 1) {
    if (turns.order == Order::reverse) odd_ = mask_, offset_ = mask_;  // −1, from the end
    if (turns.order == Order::random) odd_ = random.next() | 1, offset_ = random.next();
    if (turns.reversed) i_ = mask_, step_ = mask_;
  }
  std::uint64_t next() {
    for (;;)
      if (const std::uint64_t value = (odd_ * std::exchange(i_, i_ + step_) + offset_) & mask_; value < count_) return value;
  }

 private:
  std::uint64_t count_ = 1, mask_ = 0, odd_ = 1, offset_ = 0, i_ = 0, step_ = 1;
};

}  // namespace emulator
