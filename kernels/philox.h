// Philox4x32-10, a counter-based random generator: the number for a counter is a pure function of key and counter, so
// it does not depend on the order of execution, the thread count or the backend.
// Source: Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011.
#pragma once

#include <array>
#include <cstdint>

namespace mica::kernels {

// Which sequence: a seed, a stream (one for each use: a layer, the shuffle, …) and a step (a call, an epoch, …).
struct RandomKey {
  std::uint64_t seed = 0;
  std::uint64_t stream = 0;
  std::uint32_t step = 0;
  const std::uint32_t* place = nullptr;  // where a captured graph's kernel finds the step instead, in device memory (core/replayed.h)

  // As a kernel of a graph must use it; the key itself elsewhere.
  constexpr RandomKey in_kernel() const { return place ? RandomKey{seed, stream, *place} : *this; }
};

using RandomBlock = std::array<std::uint32_t, 4>;

// Ten rounds on counter x under a 64-bit key.
constexpr RandomBlock philox_rounds(RandomBlock x, std::uint32_t k0, std::uint32_t k1) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53} * x[0], p1 = std::uint64_t{0xCD9E8D57} * x[2];
    x = {static_cast<std::uint32_t>(p1 >> 32) ^ x[1] ^ k0, static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ x[3] ^ k1, static_cast<std::uint32_t>(p0)};
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return x;
}

// Numbers 4·block to 4·block + 3 of the key's sequence.
constexpr RandomBlock philox(const RandomKey& key, std::uint32_t block) {
  return philox_rounds({block, key.step, static_cast<std::uint32_t>(key.stream), static_cast<std::uint32_t>(key.stream >> 32)},
                       static_cast<std::uint32_t>(key.seed), static_cast<std::uint32_t>(key.seed >> 32));
}

constexpr std::uint32_t random_bits(const RandomKey& key, std::uint64_t index) {
  return philox(key, static_cast<std::uint32_t>(index / 4))[index % 4];
}

// Uniform in [0, 1) with 24 bits: exact in f32.
constexpr float to_uniform(std::uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1p-24F; }

}  // namespace mica::kernels
