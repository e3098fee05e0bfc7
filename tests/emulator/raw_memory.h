// Filling, copying and comparing that no sanitizer sees: for memory whose bounds are locked, and for what CUDA threads must not
// be blamed for. Volatile, or the compiler would call memset, which they replace.
#pragma once

#include <cstddef>
#include <cstdint>

namespace emulator {

inline constexpr unsigned char not_a_number = 0xFF;  // in every byte: NaN for every float type, −1 for every integer

#define EMULATOR_RAW __attribute__((no_sanitize("address", "undefined", "thread"), noinline)) inline

EMULATOR_RAW void raw_fill(void* to, unsigned char byte, std::size_t n) {
  auto* at = static_cast<volatile unsigned char*>(to);
  const std::uint64_t word = byte * 0x0101010101010101u;
  for (; n > 0 && reinterpret_cast<std::uintptr_t>(at) % 8 != 0; --n) *at++ = byte;
  for (; n >= 8; n -= 8, at += 8) *reinterpret_cast<volatile std::uint64_t*>(at) = word;
  for (; n > 0; --n) *at++ = byte;
}

// Both aligned to 8 bytes.
EMULATOR_RAW void raw_copy(void* to, const void* from, std::size_t n) {
  auto* target = static_cast<volatile unsigned char*>(to);
  auto* source = static_cast<const volatile unsigned char*>(from);
  for (; n >= 8; n -= 8, target += 8, source += 8)
    *reinterpret_cast<volatile std::uint64_t*>(target) = *reinterpret_cast<const volatile std::uint64_t*>(source);
  for (; n > 0; --n) *target++ = *source++;
}

// The number of the first byte that differs, or n.
EMULATOR_RAW std::size_t raw_mismatch(const void* a, const void* b, std::size_t n) {
  auto *x = static_cast<const volatile unsigned char*>(a), *y = static_cast<const volatile unsigned char*>(b);
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8)
    if (*reinterpret_cast<const volatile std::uint64_t*>(x + i) != *reinterpret_cast<const volatile std::uint64_t*>(y + i)) break;
  while (i < n && x[i] == y[i]) ++i;
  return i;
}

// The number of the first byte that is not `byte`, or n.
EMULATOR_RAW std::size_t raw_other_than(const void* p, unsigned char byte, std::size_t n) {
  auto* x = static_cast<const volatile unsigned char*>(p);
  std::size_t i = 0;
  while (i < n && x[i] == byte) ++i;
  return i;
}

#undef EMULATOR_RAW

}  // namespace emulator
