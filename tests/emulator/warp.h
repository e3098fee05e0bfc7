// Warp functions as kernels call them. Every lane named by the mask must come, to the same line and with the same mask.
#pragma once

#include "multiprocessor.h"

#include <cstring>

namespace emulator {

inline int lane() { return static_cast<int>(here.number % 32); }

inline unsigned warp(WarpFunction function, unsigned mask, unsigned value, const Place& at) {
  return static_cast<unsigned>(multiprocessor().warp_function(function, mask, value, 0, at));
}

template <class T>
T shuffle(unsigned mask, T value, int source, const Place& at) {
  static_assert(sizeof(T) <= 8);
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = multiprocessor().warp_function(WarpFunction::shuffle, mask, bits, source, at);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace emulator

inline void __syncwarp(unsigned mask = ~0u, const emulator::Place& at = emulator::Place::current()) {
  emulator::warp(emulator::WarpFunction::sync, mask, 0, at);
}
inline unsigned __ballot_sync(unsigned mask, int vote, const emulator::Place& at = emulator::Place::current()) {
  return emulator::warp(emulator::WarpFunction::ballot, mask, vote != 0, at);
}
inline int __any_sync(unsigned mask, int vote, const emulator::Place& at = emulator::Place::current()) {
  return emulator::warp(emulator::WarpFunction::ballot, mask, vote != 0, at) != 0;
}
inline int __all_sync(unsigned mask, int vote, const emulator::Place& at = emulator::Place::current()) {
  return emulator::warp(emulator::WarpFunction::ballot, mask, vote != 0, at) == mask;
}
// Which lanes run together is the hardware's choice: no portable kernel asks.
inline unsigned __activemask() { emulator::multiprocessor().fail("__activemask means nothing here"); }

// Lanes exchange values within groups of `width`, a power of two; a lane whose partner is outside its group keeps its own.
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, const emulator::Place& at = emulator::Place::current()) {
  return emulator::shuffle(mask, value, (emulator::lane() & ~(width - 1)) | (source & (width - 1)), at);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, const emulator::Place& at = emulator::Place::current()) {
  const int lane = emulator::lane(), source = lane ^ bits;
  return emulator::shuffle(mask, value, source >= (lane & ~(width - 1)) + width ? lane : source, at);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32, const emulator::Place& at = emulator::Place::current()) {
  const int lane = emulator::lane(), source = lane + static_cast<int>(by);
  return emulator::shuffle(mask, value, source >= (lane & ~(width - 1)) + width ? lane : source, at);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, const emulator::Place& at = emulator::Place::current()) {
  const int lane = emulator::lane(), source = lane - static_cast<int>(by);
  return emulator::shuffle(mask, value, source < (lane & ~(width - 1)) ? lane : source, at);
}

#define EMULATOR_REDUCE(name, function)                                                                         \
  inline unsigned name(unsigned mask, unsigned value, const emulator::Place& at = emulator::Place::current()) { \
    return emulator::warp(emulator::WarpFunction::function, mask, value, at);                                   \
  }
EMULATOR_REDUCE(__reduce_add_sync, add)
EMULATOR_REDUCE(__reduce_min_sync, minimum)
EMULATOR_REDUCE(__reduce_max_sync, maximum)
EMULATOR_REDUCE(__reduce_and_sync, bit_and)
EMULATOR_REDUCE(__reduce_or_sync, bit_or)
EMULATOR_REDUCE(__reduce_xor_sync, bit_xor)
#undef EMULATOR_REDUCE
