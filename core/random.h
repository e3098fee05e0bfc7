// Seeds and streams of Mica's counter-based random numbers (kernels/philox.h). Same seed, same bits, whatever the
// thread count or backend.
#pragma once

#include <mica/core/tensor.h>
#include <mica/kernels/philox.h>

#include <string_view>

namespace mica {

using kernels::RandomKey;

// Sets the process's seed (0 at start) and restarts the numbering of modules that are made from here on.
void manual_seed(std::uint64_t seed);
std::uint64_t current_seed();
std::uint64_t seedings();  // how often it was set: a generator that keeps a state starts anew with each

// The key of one use: its name (a layer's path, "shuffle", …) and a counter that the use keeps itself.
RandomKey random_key(std::string_view use, std::uint32_t step = 0);

// A key for a new parameter: the n-th asked for since manual_seed.
RandomKey next_initializer_key();

// Fills with U(low, high), in memory order. Throws Error unless low <= high.
void uniform_(Tensor& x, double low, double high, const RandomKey& key);

// Fills with N(mean, deviation²), in memory order: numbers 2k and 2k + 1 of the key's sequence make elements 2k and 2k + 1
// by Box and Muller's formula in f64. Throws Error unless deviation >= 0.
void normal_(Tensor& x, double mean, double deviation, const RandomKey& key);

// A permutation of 0 … n − 1 (Fisher-Yates on the key's numbers).
std::vector<std::int64_t> random_permutation(std::int64_t n, const RandomKey& key);

}  // namespace mica
