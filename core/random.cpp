#include <mica/core/autograd.h>
#include <mica/core/dispatch.h>
#include <mica/core/error.h>
#include <mica/core/memory.h>
#include <mica/core/random.h>
#include <mica/kernels/dropout.h>

#include <fmt/format.h>

#include <atomic>
#include <cmath>
#include <numbers>
#include <numeric>

namespace mica {
namespace {

std::atomic<std::uint64_t> seed = 0, times_seeded = 0;
std::atomic<std::uint32_t> initialized = 0;

}  // namespace

void manual_seed(std::uint64_t value) {
  seed = value;
  initialized = 0;
  ++times_seeded;
}

std::uint64_t current_seed() { return seed; }
std::uint64_t seedings() { return times_seeded; }

RandomKey random_key(std::string_view use, std::uint32_t step) {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a, 64 bits
  for (const char c : use) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return {seed, hash, step};
}

RandomKey next_initializer_key() { return random_key("initialize", initialized++); }

void uniform_(Tensor& x, double low, double high, const RandomKey& key) {
  require_floating("uniform_", "the tensor", x);
  if (!(low <= high)) throw Error(fmt::format("uniform_: expected bounds in order, got {} and {}", low, high));
  dispatch_floating(x, [&](auto& context, auto t) {
    kernels::uniform(context, x.numel(), key, low, high, x.data<decltype(t)>());
  });
  x.bump_version();
}

void normal_(Tensor& x, double mean, double deviation, const RandomKey& key) {
  require_floating("normal_", "the tensor", x);
  if (!(deviation >= 0)) throw Error(fmt::format("normal_: expected a deviation of 0 or more, got {}", deviation));
  Tensor drawn = Tensor::empty(x.shape(), x.dtype());  // on the CPU, wherever x is: the same bits, and only at the start
  dispatch_floating(drawn, [&](auto&, auto t) {
    using T = decltype(t);
    T* y = drawn.data<T>();
    for (std::int64_t i = 0; i < x.numel(); i += 2) {
      const kernels::RandomBlock bits = kernels::philox(key, static_cast<std::uint32_t>(i / 4));
      const std::size_t pair = i % 4 == 0 ? 0 : 2;
      // u in (0, 1], so that its logarithm is finite; the angle in [0, 2π).
      const double u = (bits[pair] + 1.0) * 0x1p-32, angle = 2 * std::numbers::pi * (bits[pair + 1] * 0x1p-32);
      const double radius = deviation * std::sqrt(-2 * std::log(u));
      y[i] = static_cast<T>(mean + radius * std::cos(angle));
      if (i + 1 < x.numel()) y[i + 1] = static_cast<T>(mean + radius * std::sin(angle));
    }
  });
  copy_bytes("normal_", x.device(), x.raw_data(), Device::cpu(), drawn.raw_data(), static_cast<std::size_t>(x.numel()) * size_of(x.dtype()));
  x.bump_version();
}

std::vector<std::int64_t> random_permutation(std::int64_t n, const RandomKey& key) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  for (std::int64_t i = n - 1; i > 0; --i) {
    // The high half of bits · (i + 1): uniform to within n / 2³².
    const std::uint64_t bits = kernels::random_bits(key, static_cast<std::uint64_t>(i));
    const auto j = static_cast<std::size_t>(bits * static_cast<std::uint64_t>(i + 1) >> 32);
    std::swap(order[static_cast<std::size_t>(i)], order[j]);
  }
  return order;
}

}  // namespace mica
